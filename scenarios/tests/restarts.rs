//! Nodes are restarted: all at once, one after another while everybody goes on, and one again and again. Nothing that was acknowledged is
//! lost, and what was asked is done.

use sim::plan::{Event, FaultKind};
use sim::story::Story;

const KEYS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

fn busy(nodes: usize) -> Story {
    let mut story = Story::of_nodes(nodes).and_clients(3).by_quorum();
    for (client, key) in KEYS.into_iter().enumerate().take(3) {
        story = story
            .writes(client, &KEYS, 2_000 + 17 * client as u64..9_000, 50)
            .reads(client, key, 2_500..9_500, 70);
    }
    story
}

fn all_is_done(story: &Story, seeds: u64) {
    for report in story.holds(0..seeds) {
        assert_eq!(report.acknowledged, story.written());
    }
}

#[test]
fn every_node_is_restarted_at_once() {
    for nodes in [3, 5] {
        let mut story = busy(nodes);
        for at_ms in [3_000, 4_500, 6_000] {
            for node in 0..nodes {
                story = story.down(node, at_ms..at_ms + 200);
            }
        }
        all_is_done(&story, 5);
    }
}

#[test]
fn one_after_another_is_restarted_under_load() {
    for nodes in [3, 5] {
        let mut story = busy(nodes);
        for node in 0..nodes {
            let at_ms = 3_000 + 6_000 * node as u64 / nodes as u64;
            story = story.befalls(FaultKind::Stop, node, at_ms..at_ms + 500);
        }
        all_is_done(&story, 5);
    }
}

#[test]
fn one_flaps() {
    for nodes in [3, 5] {
        let flaps = FaultKind::CrashLoop.on_node(1).by(150_000).for_us(5_000_000);
        all_is_done(&busy(nodes).at(3_000, Event::Fault(flaps)), 5);
    }
}

#[test]
fn the_link_of_one_flaps() {
    for nodes in [3, 5] {
        let others: Vec<usize> = (1..nodes).collect();
        let mut story = busy(nodes);
        for at_ms in (3_000..8_000).step_by(700) {
            story = story.split(&[0], &others, at_ms..at_ms + 400);
        }
        all_is_done(&story, 5);
    }
}
