//! A node comes late, or comes back after much has been written. It gets everything from the others, deletes included, and
//! what it alone knew gets to them.

use kernel::env::Mutant;
use sim::story::Story;

/// The third node begins after five seconds of writing.
fn late() -> Story {
    let keys: Vec<String> = (0..40).map(|key| format!("k{key}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    Story::of_nodes(3)
        .down(2, 0..5_000)
        .writes(0, &keys, 100..4_500, 20)
        .writes(1, &keys, 110..4_500, 30)
        .deletes(0, "k1", 4_600)
        .deletes(1, "k2", 4_610)
}

#[test]
fn it_gets_everything() {
    let story = late();
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, story.written());
    }
}

#[test]
fn it_gets_everything_while_the_others_crash_and_the_network_loses_frames() {
    late()
        .over_datagrams()
        .down(0, 5_100..5_300)
        .down(1, 5_400..6_000)
        .holds(0..10);
}

#[test]
fn a_client_that_was_offline_for_long_brings_its_writes() {
    let story = late()
        .offline(2, 0..9_000)
        .writes(2, &["k1", "k2", "own"], 200..4_000, 100);
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, story.written());
    }
}

#[test]
fn a_delete_that_left_no_trace_is_found_out() {
    // The offline client's older writes come after the deletes.
    let story = late().offline(2, 0..6_000).writes(2, &["k1", "k2"], 200..400, 100);
    assert!(story.broken_by(Mutant::ForgetTombstone).breaks(0..10) > 0);
}
