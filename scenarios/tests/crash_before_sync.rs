//! A node crashes while a write is on its way to the disk. Nobody was told that the write is done, or it is there afterwards;
//! the client asks again, with the same stamp, and it is done once.

use kernel::env::Mutant;
use sim::story::Story;

/// One node, a slow disk, a client that writes and one that reads; and a crash every now and then: most of them fall into a
/// sync.
fn crashing() -> Story {
    let mut story = Story::of_nodes(1)
        .and_clients(2)
        .syncs_take(20..200)
        .writes(0, &["a", "b", "c"], 100..8_000, 30)
        .reads(1, "a", 115..8_000, 50);
    for at_ms in (1_000..9_000).step_by(700) {
        story = story.down(0, at_ms..at_ms + 100);
    }
    story
}

#[test]
fn what_was_acknowledged_is_there_and_every_write_is_done_in_the_end() {
    let story = crashing();
    for report in story.holds(0..15) {
        assert_eq!(report.acknowledged, story.written());
        assert!(report.read > 0);
    }
}

#[test]
fn a_node_that_speaks_before_it_persists_is_found_out() {
    assert_eq!(crashing().broken_by(Mutant::AckBeforeCommit).breaks(0..15), 15);
}

#[test]
fn a_node_that_shows_what_is_not_yet_on_disk_is_found_out() {
    assert_eq!(crashing().broken_by(Mutant::ReadUncommitted).breaks(0..15), 15);
}
