//! A floor as a number, and what lies at or below it.

use crate::crdt::Version;
use crate::hlc::{MAX_MILLIS, Stamp};

/// The highest floor: the time of the last stamp that a write may carry.
pub const FLOOR_MAX: u64 = MAX_MILLIS << 16 | 0xffff;

/// Whether `stamp` lies at or below `floor`, which is in units of [`Stamp::time`]. Nothing is at or below 0, the floor
/// that a partition begins with.
///
/// Stamps order by time first, so what is at or below a floor is a prefix of a map that is ordered by stamp.
pub fn is_at_or_below(stamp: Stamp, floor: u64) -> bool {
    floor > 0 && stamp.time() <= floor
}

/// Whether every replica may forget a version at this floor: a tombstone at or below it, and what was written and has expired at or
/// below it. A function of the version and the floor, and of nobody's time: all forget the same.
pub fn is_collectable(version: &Version<'_>, floor: u64) -> bool {
    is_at_or_below(version.stamp, floor) && (version.is_tombstone() || version.is_expired(floor >> 16))
}

/// The newest floor that may be proposed at `wall_ms`: everything at or below it is older than the offline horizon.
/// 0 if nothing can be so old.
pub fn candidate(wall_ms: u64, horizon_ms: u64) -> u64 {
    // One below the first stamp of that millisecond: a write exactly at the horizon is still welcome.
    let horizon = wall_ms.min(MAX_MILLIS).saturating_sub(horizon_ms) << 16;
    horizon.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WriterId;

    fn stamp(ms: u64, counter: u16) -> Stamp {
        Stamp::new(ms, counter, WriterId(u64::MAX)).unwrap()
    }

    #[test]
    fn a_floor_holds_its_own_time_whoever_wrote() {
        let floor = stamp(7, 3).time();
        assert!(is_at_or_below(stamp(7, 3), floor) && is_at_or_below(stamp(6, 9), floor));
        assert!(!is_at_or_below(stamp(7, 4), floor));
        assert!(!is_at_or_below(Stamp::ZERO, 0));
        assert!(is_at_or_below(Stamp::ZERO, 1));
        assert_eq!(stamp(MAX_MILLIS, u16::MAX).time(), FLOOR_MAX);
    }

    #[test]
    fn a_candidate_is_older_than_the_horizon() {
        let newest = candidate(1_000, 400);
        assert!(is_at_or_below(stamp(599, u16::MAX), newest));
        assert!(!is_at_or_below(stamp(600, 0), newest));
        assert_eq!(candidate(400, 400), 0);
        assert_eq!(candidate(399, 400), 0);
        assert!(candidate(u64::MAX, 0) < FLOOR_MAX);
    }
}
