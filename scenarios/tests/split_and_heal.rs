//! The network splits a cluster in two. Both sides go on taking writes, to the same keys; when the split heals, everybody
//! holds the same, and nothing that was acknowledged is gone.

use sim::story::Story;

const KEYS: [&str; 4] = ["sun", "moon", "mars", "venus"];

fn split() -> Story {
    Story::of_nodes(3)
        .writes(0, &KEYS, 200..6_000, 40)
        .writes(1, &KEYS, 210..6_000, 55)
        .writes(2, &KEYS, 220..6_000, 70)
        .deletes(1, "mars", 3_000)
        .deletes(0, "venus", 3_500)
        .split(&[0], &[1, 2], 1_000..5_000)
}

#[test]
fn both_sides_take_writes_and_agree_once_it_heals() {
    let story = split();
    for report in story.holds(0..15) {
        assert_eq!(
            report.acknowledged,
            story.written(),
            "nobody had to wait for the other side"
        );
    }
}

#[test]
fn so_it_is_over_datagrams() {
    let story = split().over_datagrams();
    for report in story.holds(0..15) {
        assert_eq!(report.acknowledged, story.written());
    }
}

#[test]
fn a_cluster_in_three_pieces_heals_too() {
    split().split(&[1], &[2], 2_000..7_000).holds(0..15);
}
