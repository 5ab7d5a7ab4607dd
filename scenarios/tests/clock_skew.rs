//! Clocks are wrong: nodes are a minute apart and their clocks jump, clients live in the past and in the future. Causality
//! holds, good nodes believe each other, and only a writer too far ahead is refused, by name.

use sim::plan::{Event, FaultKind};
use sim::story::Story;

const KEYS: [&str; 2] = ["a", "b"];

#[test]
fn nodes_a_minute_apart_converge() {
    let story = Story::of_nodes(3)
        .skewed(&[30_000, 0, -30_000])
        .writes(0, &KEYS, 100..5_000, 40)
        .writes(1, &KEYS, 110..5_000, 40)
        .writes(2, &KEYS, 120..5_000, 40);
    for report in story.holds(0..10) {
        assert_eq!((report.acknowledged, report.refused), (story.written(), 0));
    }
}

#[test]
fn five_nodes_a_minute_apart_agree_on_who_belongs_and_read_what_a_quorum_has() {
    let mut story = Story::of_nodes(5)
        .skewed(&[30_000, -30_000, 0, 29_000, -29_000])
        .by_quorum();
    for client in 0..5 {
        story = story
            .writes(client, &KEYS, 2_000 + 10 * client as u64..6_000, 60)
            .reads(client, KEYS[client % 2], 2_500..6_500, 90);
    }
    let story = story.down(0, 3_000..4_000).down(3, 4_500..5_000);
    for report in story.holds(0..5) {
        assert_eq!((report.acknowledged, report.refused), (story.written(), 0));
    }
}

#[test]
fn a_clock_that_jumps_back_under_a_crash_does_not_take_the_stamps_with_it() {
    let mut story = Story::of_nodes(2)
        .writes(0, &KEYS, 100..6_000, 30)
        .writes(1, &KEYS, 110..6_000, 30);
    for (turn, at_ms) in (1_000..6_000).step_by(600).enumerate() {
        let by_ms = if turn % 2 == 0 { -20_000 } else { 15_000 };
        story = story
            .at(at_ms, Event::Fault(FaultKind::Jump.on_node(turn % 2).by(by_ms)))
            .down(turn % 2, at_ms + 50..at_ms + 120);
    }
    story.holds(0..10);
}

#[test]
fn a_client_from_the_future_is_refused_and_does_no_harm() {
    let story = Story::of_nodes(2)
        .clients_skewed(&[120_000, 0])
        .writes(0, &KEYS, 100..3_000, 50)
        .writes(1, &KEYS, 100..3_000, 50);
    for report in story.holds(0..10) {
        assert_eq!(
            (report.acknowledged, report.refused),
            (58, 58),
            "one client's writes each"
        );
    }
}

#[test]
fn a_client_from_the_past_loses_to_newer_writes_and_is_acknowledged_all_the_same() {
    let story = Story::of_nodes(2)
        .clients_skewed(&[-3_600_000, 0])
        .writes(1, &KEYS, 100..3_000, 50)
        .writes(0, &KEYS, 120..3_000, 50);
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, story.written());
    }
}
