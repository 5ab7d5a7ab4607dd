//! The node that acts as owner dies, before or after others have what it acknowledged. What a quorum has is read by quorum
//! whoever is left; what only the owner had is there again with its disk.

use sim::plan::{Event, FaultKind};
use sim::story::Story;

const KEYS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Each node owns its share of the keys. One after another is killed, for long enough that others act in its place.
fn killed_in_turn(nodes: usize) -> Story {
    let mut story = Story::of_nodes(nodes).and_clients(3).by_quorum();
    for (client, key) in KEYS.into_iter().enumerate().take(3) {
        story = story
            .writes(client, &KEYS, 2_000 + 7 * client as u64..9_000, 60)
            .reads(client, key, 2_500..9_500, 90);
    }
    for node in 0..nodes {
        let at_ms = 3_000 + 6_000 * node as u64 / nodes as u64;
        story = story.down(node, at_ms..at_ms + 5_000 / nodes as u64);
    }
    story
}

#[test]
fn what_a_backup_has_acknowledged_is_read_after_its_owner_is_dead() {
    for nodes in [3, 5] {
        let story = killed_in_turn(nodes);
        for report in story.holds(0..5) {
            assert_eq!(report.acknowledged, story.written());
            assert!(report.read > 200, "{} reads", report.read);
        }
    }
}

#[test]
fn two_of_five_die_for_good_and_what_three_hold_is_written_and_read() {
    // A partition whose replicas are mostly among the two may have no majority: eventual writes ask for none.
    let mut story = Story::of_nodes(5).and_clients(3).loses_for_good(2);
    for client in 0..3 {
        story = story.writes(client, &KEYS, 2_000 + 7 * client as u64..9_000, 60);
    }
    let story = story.down(3, 5_000..10_000).down(4, 5_500..10_000);
    for report in story.holds(0..5) {
        assert_eq!(report.acknowledged, story.written());
    }
}

/// Frames take so long that an owner has acknowledged what no backup has heard of yet, and then it is killed, in the middle of a step
/// or between two.
fn killed_before_the_backups_hear() -> Story {
    let mut story = Story::of_nodes(3).frames_take(20..150);
    for client in 0..3 {
        story = story.writes(client, &KEYS, 3_000 + 13 * client as u64..9_000, 40);
    }
    for turn in 0..9 {
        let (node, at_ms) = (turn as usize % 3, 3_500 + 600 * turn);
        let in_a_step = FaultKind::CrashAt.on_node(node).by(5 + turn as i64).for_us(350_000);
        story = match turn % 2 {
            0 => story.at(at_ms, Event::Fault(in_a_step)),
            _ => story.down(node, at_ms..at_ms + 350),
        };
    }
    story
}

#[test]
fn what_no_backup_had_comes_back_with_its_owner() {
    let story = killed_before_the_backups_hear();
    for report in story.holds(0..8) {
        assert_eq!(report.acknowledged, story.written());
    }
}
