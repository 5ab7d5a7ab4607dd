//! Values with a time to live: what has expired stays so, wherever the clocks go, and replicas agree on everything else.

use kernel::env::Mutant;
use sim::plan::{Event, FaultKind};
use sim::story::Story;

/// A value that expires under a wall clock that jumps ahead, is put right, and then the node crashes.
fn a_clock_that_is_put_right() -> Story {
    const HOUR_MS: i64 = 3_600_000;
    let jump = |by_ms| Event::Fault(FaultKind::Jump.on_node(0).by(by_ms));
    Story::of_nodes(1)
        .writes_for(0, "brief", 100, 5_000)
        .at(2_500, jump(HOUR_MS))
        .reads(0, "brief", 2_600..2_900, 50)
        .at(3_000, jump(-HOUR_MS))
        .reads(0, "brief", 3_050..3_300, 50)
        .down(0, 3_400..3_500)
        .reads(0, "brief", 3_600..4_500, 50)
}

#[test]
fn what_has_expired_stays_so() {
    a_clock_that_is_put_right().holds(0..10);
}

#[test]
fn a_time_that_is_acted_on_and_not_durable_is_found_out() {
    let broken = a_clock_that_is_put_right().broken_by(Mutant::ExpireEarly);
    assert!(broken.breaks(0..10) > 0);
}

/// Nodes half a minute apart disagree on what is gone by now, and on nothing that they hold.
#[test]
fn nodes_with_different_clocks_hold_the_same() {
    let mut story = Story::of_nodes(3).skewed(&[15_000, 0, -15_000]);
    for turn in 0..40 {
        let key = ["a", "b", "c"][turn as usize % 3];
        story = story.writes_for(turn as usize % 3, key, 100 + turn * 90, 200 + turn * 50);
    }
    let story = story
        .reads(0, "a", 300..5_000, 70)
        .reads(1, "b", 300..5_000, 70)
        .watches(2, "all by-key 0", 200)
        .down(1, 2_000..2_300)
        .split(&[0], &[1, 2], 2_500..3_500);
    for report in story.holds(0..10) {
        assert_eq!(report.acknowledged, story.written());
    }
}
