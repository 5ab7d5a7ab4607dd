//! Splits that are not halves: a bridge, one way, and one that falls into a move. A minority acknowledges nothing by quorum, both sides
//! go on by themselves, and all of it is merged.

use sim::story::Story;

const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Everybody writes and reads, by quorum.
fn busy(nodes: usize) -> Story {
    let mut story = Story::of_nodes(nodes).by_quorum();
    for (client, key) in KEYS.into_iter().enumerate().take(nodes) {
        story = story
            .writes(client, &KEYS, 2_000 + 11 * client as u64..9_000, 50)
            .reads(client, key, 2_500..9_000, 80);
    }
    story
}

fn all_is_done(story: &Story, seeds: u64) {
    for report in story.holds(0..seeds) {
        assert_eq!(report.acknowledged, story.written());
    }
}

#[test]
fn a_bridge_is_heard_by_two_who_do_not_hear_each_other() {
    all_is_done(&busy(3).split(&[0], &[2], 3_000..7_000), 8);
    all_is_done(&busy(5).split(&[0, 1], &[3, 4], 3_000..7_000), 4);
}

#[test]
fn one_is_heard_and_hears_nobody() {
    all_is_done(&busy(3).one_way(&[0], &[1, 2], 3_000..7_000), 8);
    all_is_done(&busy(5).one_way(&[0, 1], &[2, 3, 4], 3_000..7_000), 4);
}

/// The last node comes up in a split, and the others take it in with those that they reach: partitions are on their way to it when the
/// split turns.
fn split_in_a_move(nodes: usize) -> Story {
    let last = nodes - 1;
    let (one, other): (Vec<usize>, Vec<usize>) = (0..last).partition(|node| 2 * node < last);
    busy(nodes)
        .down(last, 0..3_000)
        .split(&[0], &[last], 3_000..4_500)
        .split(&one, &other, 4_600..6_000)
        .split(&other, &[last], 6_200..7_500)
}

#[test]
fn a_node_joins_while_the_network_is_split() {
    all_is_done(&split_in_a_move(3), 8);
    all_is_done(&split_in_a_move(5), 4);
}
