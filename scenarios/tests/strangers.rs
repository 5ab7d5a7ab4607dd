//! Nodes with a secret serve those who know it, over connections of every kind, and nobody else. What arrives damaged is
//! refused, and asked again.

use sim::story::Story;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// Five clients write, and the last two are not who they say.
fn guarded() -> Story {
    let story = Story::of_nodes(3)
        .and_clients(5)
        .with_a_secret(2)
        .watches(2, "all by-key 0", 100);
    (0..5).fold(story, |story, client| {
        story.writes(client, &KEYS, 200..4_000, 50 + 7 * client)
    })
}

fn those_of(story: &Story, clients: u64) -> u64 {
    let intruders = Story::of_nodes(3);
    let intruders = (clients as usize..5).fold(intruders, |story, client| {
        story.writes(client, &KEYS, 200..4_000, 50 + 7 * client)
    });
    story.written() - intruders.written()
}

#[test]
fn who_knows_the_secret_is_served_and_nobody_else() {
    let story = guarded();
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, those_of(&story, 3));
    }
}

#[test]
fn so_it_is_by_exchange_and_through_crashes() {
    let story = guarded().by_exchange(2).down(0, 1_000..1_500).down(1, 2_000..2_200);
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, those_of(&story, 3));
    }
}

#[test]
fn so_it_is_over_datagrams_where_a_request_overtakes_its_token() {
    let story = guarded().by_exchange(1).over_datagrams();
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, those_of(&story, 3));
    }
}

#[test]
fn a_frame_that_nobody_can_read_is_asked_again() {
    let story = guarded().by_exchange(1).damaging(100);
    for report in story.holds(0..10) {
        // An operation in which a bit is wrong is refused by its name, and no client asks that again.
        assert_eq!(report.acknowledged + report.refused, those_of(&story, 3));
        assert!(report.refused < 20, "{} were refused", report.refused);
    }
}
