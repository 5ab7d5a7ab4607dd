//! A disk fails under a node, again and again. All that was in flight fails with it, its clients hear that nobody knows, the
//! node reads its disk anew and goes on; asking again with the same stamp is safe whichever way it went.

use sim::plan::{Event, FaultKind};
use sim::story::Story;

fn failing(nodes: usize) -> Story {
    let mut story = Story::of_nodes(nodes).syncs_take(1..20);
    for client in 0..nodes {
        story = story.writes(client, &["a", "b"], 100..8_000, 25);
    }
    for at_ms in (500..9_000).step_by(400) {
        story = story.at(at_ms, Event::Fault(FaultKind::FailCommit.on_node(0)));
        story = story.at(at_ms + 100, Event::Fault(FaultKind::FailApply.on_node(0)));
    }
    story
}

#[test]
fn every_write_is_done_in_the_end() {
    for story in [failing(1), failing(3)] {
        for report in story.holds(0..10) {
            assert_eq!(report.acknowledged, story.written());
        }
    }
}

#[test]
fn failures_and_crashes_at_once_do_no_worse() {
    let story = failing(3)
        .down(0, 1_510..1_600)
        .down(1, 2_505..2_900)
        .down(0, 4_920..4_930);
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, story.written());
    }
}

#[test]
fn a_full_disk_refuses_and_takes_writes_again_once_there_is_room() {
    let for_us = 2_000_000;
    let story = Story::of_nodes(1)
        .writes(0, &["a", "b"], 100..6_000, 50)
        .at(2_000, Event::Fault(FaultKind::Full.on_node(0).for_us(for_us)));
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, story.written());
    }
}
