//! What becomes of a cluster whose disks are lost, swapped or slow. Who comes back with nothing, or with what is old, does not vote under
//! its old name: it is a member anew, and is filled.

use sim::plan::FaultKind;
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

fn all_is_done(story: &Story, seeds: u64) {
    for report in story.holds(0..seeds) {
        assert_eq!(report.acknowledged, story.written());
    }
}

#[test]
fn a_node_loses_its_disk_and_is_filled_under_another_id() {
    for node in 0..3 {
        all_is_done(&busy(3).befalls(FaultKind::Wipe, node, 5_000..5_500), 4);
    }
    all_is_done(
        &busy(5)
            .befalls(FaultKind::Wipe, 0, 4_000..4_500)
            .befalls(FaultKind::Wipe, 3, 6_000..6_200),
        4,
    );
}

#[test]
fn a_node_comes_back_with_an_older_copy_of_its_disk() {
    for node in 0..3 {
        all_is_done(&busy(3).befalls(FaultKind::OldDisk, node, 4_000..6_500), 4);
    }
    all_is_done(&busy(5).befalls(FaultKind::OldDisk, 1, 3_500..7_000), 4);
}

#[test]
fn the_disk_of_an_owner_is_slow_and_the_others_are_not_held_up_for_ever() {
    for nodes in [3, 5] {
        let story = busy(nodes).syncs_take(1..5).slow_disk(0, 50, 3_000..8_000);
        all_is_done(&story, 5);
    }
}
