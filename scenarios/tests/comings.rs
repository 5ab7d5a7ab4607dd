//! Who belongs to a cluster changes while everybody goes on: many join at once, some leave and join anew, one is there twice, one was given
//! up and is there again. Nothing that was acknowledged is lost, and what was asked is done.

use kernel::env::Mutant;
use sim::plan::{Event, FaultKind, On};
use sim::run::Report;
use sim::story::Story;

const KEYS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

fn busy(nodes: usize) -> Story {
    let mut story = Story::of_nodes(nodes).and_clients(3).by_quorum();
    for (client, key) in KEYS.into_iter().enumerate().take(3) {
        story = story
            .writes(client, &KEYS, 2_500 + 17 * client as u64..9_000, 50)
            .reads(client, key, 3_000..9_500, 70);
    }
    story
}

fn all_is_done(story: &Story, seeds: u64) -> Vec<Report> {
    let reports = story.holds(0..seeds);
    for report in &reports {
        assert_eq!(report.acknowledged, story.written());
    }
    reports
}

fn times(reports: &[Report], spot: &str) -> u64 {
    let times = reports
        .iter()
        .map(|report| report.reached.get(spot).copied().unwrap_or(0));
    times.sum()
}

#[test]
fn ten_join_at_once_while_clients_write() {
    let mut story = Story::of_nodes(11).and_clients(3).by_quorum();
    for client in 0..3 {
        story = story.writes(client, &KEYS, 17 * client as u64..6_000, 50);
    }
    all_is_done(&story, 2);
}

#[test]
fn one_after_another_leaves_and_joins_anew() {
    for nodes in [3, 5, 9] {
        let mut story = busy(nodes);
        for (turn, at_ms) in (3_000..8_000).step_by(1_200).enumerate() {
            story = story.befalls(FaultKind::Leave, turn % nodes, at_ms..at_ms + 1_000);
        }
        let reports = all_is_done(&story, 3);
        assert!(times(&reports, "left-rejoined") > 0, "nobody had left in time");
    }
}

/// Who leaves has taken writes meanwhile that nobody else heard of: it is cut off from all but one, who holds none of them.
fn cut_off_while_it_leaves() -> Story {
    let mut story = Story::of_nodes(5)
        .and_clients(2)
        .befalls(FaultKind::Leave, 1, 3_000..9_500)
        .split(&[1], &[0, 2, 3], 3_005..9_500);
    let keys: Vec<String> = (0..60).map(|number| format!("k{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    // Nobody writes over what the other has written.
    let (theirs, its_own) = keys.split_at(10);
    story = story.writes(0, theirs, 1_500..6_000, 50);
    story.writes(1, its_own, 1_500..6_000, 20)
}

#[test]
fn who_leaves_takes_nothing_along() {
    cut_off_while_it_leaves().holds(0..6);
}

#[test]
fn one_that_is_removed_with_what_it_has_is_found_out() {
    let story = cut_off_while_it_leaves().broken_by(Mutant::LeavesWithLeftovers);
    assert!(story.breaks(0..6) > 0);
}

#[test]
fn two_leave_at_once_and_one_of_the_others_crashes() {
    let story = busy(5)
        .befalls(FaultKind::Leave, 1, 3_000..6_000)
        .befalls(FaultKind::Leave, 3, 3_100..6_000)
        .down(0, 3_200..3_600);
    let reports = all_is_done(&story, 4);
    assert!(times(&reports, "left-rejoined") > 0, "nobody had left in time");
}

#[test]
fn a_node_that_is_there_twice_is_one_and_a_new_one() {
    for nodes in [3, 5] {
        for (kept, cloned) in [(0, 1), (2, 0)] {
            let clone = FaultKind::CloneDisk.on(On::Nodes(kept, cloned)).for_us(500_000);
            let reports = all_is_done(&busy(nodes).at(5_000, Event::Fault(clone)), 3);
            assert!(times(&reports, "disk-cloned") > 0);
        }
    }
}

#[test]
fn a_removed_node_that_is_there_again_joins_anew() {
    for nodes in [5, 9] {
        let story = busy(nodes).gives_up_after(500).down(1, 3_000..8_000);
        let reports = all_is_done(&story, 3);
        assert!(times(&reports, "removed-returned") > 0, "it was not removed");
    }
}
