//! People watch a map while a cluster has its troubles. Whatever happens, each of them holds in the end what the query would
//! answer, and nobody was shown a row that a crash could have taken back.

use kernel::env::Mutant;
use sim::plan::{Event, FaultKind};
use sim::story::Story;

const KEYS: [&str; 5] = ["sun", "moon", "mars", "venus", "ceres"];

/// Three nodes that are written to, and one client at each who watches: all of it, a part of it, the three greatest.
fn watched() -> Story {
    let mut story = Story::of_nodes(3);
    for (client, what) in ["all by-key 0", "outside:40:90 up 0", "above:20 down 3"]
        .into_iter()
        .enumerate()
    {
        story = story
            .watches(client, what, 100)
            .writes(client, &KEYS, 200..7_000, 60 + 11 * client);
    }
    story.deletes(1, "mars", 3_000).deletes(0, "ceres", 6_900)
}

/// Everybody holds an answer, and those who ask for three have three.
fn everybody_holds_the_answer(story: &Story) {
    for report in story.holds(0..15) {
        assert_eq!(report.acknowledged, story.written());
        assert!(report.watched >= 3, "{} rows", report.watched);
    }
}

#[test]
fn what_happens_elsewhere_is_seen_here() {
    everybody_holds_the_answer(&watched());
}

#[test]
fn a_split_is_seen_to_heal() {
    everybody_holds_the_answer(&watched().split(&[0], &[1, 2], 1_000..5_000));
}

#[test]
fn who_watches_a_node_that_crashes_watches_another() {
    everybody_holds_the_answer(
        &watched()
            .down(0, 2_000..2_500)
            .down(1, 4_000..6_000)
            .down(2, 5_000..5_100),
    );
}

#[test]
fn who_was_offline_gets_a_whole_answer() {
    everybody_holds_the_answer(&watched().offline(2, 1_000..6_500));
}

fn failing() -> Story {
    let mut story = watched().syncs_take(1..20);
    for at_ms in (500..7_000).step_by(300) {
        story = story.at(
            at_ms,
            Event::Fault(FaultKind::FailCommit.on_node((at_ms / 300 % 3) as usize)),
        );
    }
    story
}

#[test]
fn a_failed_commit_is_not_shown_and_what_follows_is() {
    everybody_holds_the_answer(&failing());
}

#[test]
fn one_that_goes_on_from_the_failed_state_is_found_out() {
    // Each key is written once: what a failed commit hid is not told of again by chance.
    let keys: Vec<String> = (0..100).map(|key| format!("k{key}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut story = Story::of_nodes(1)
        .syncs_take(1..20)
        .and_clients(2)
        .watches(1, "all by-key 0", 50)
        .writes(0, &keys, 100..5_100, 50);
    for at_ms in (500..5_000).step_by(300) {
        story = story.at(at_ms, Event::Fault(FaultKind::FailCommit.on_node(0)));
    }
    story.holds(0..10);
    assert!(story.broken_by(Mutant::SkipStale).breaks(0..10) > 0);
}

#[test]
fn one_that_tells_before_the_sync_is_found_out() {
    assert_eq!(watched().broken_by(Mutant::TellBeforeCommit).breaks(0..5), 5);
}
