//! Whether a node may trust its own wall clock. The defence that CockroachDB and YugabyteDB put before a hybrid clock: the
//! median of the others.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::env::{NodeId, Now};

/// What a node knows of its own wall clock, from the monotonic one and from what its peers say theirs show.
///
/// A jump of the wall clock against the monotonic one is believed only once a majority of all, this node included, agree with what it
/// shows since; and a node that is further than half the drift bound from the median of all clocks that it knows, its own included,
/// admits nothing. Two nodes that know the same clocks and admit are then no further apart than the bound. A node that hears
/// nobody has nobody to ask, and believes its clock: both sides of a split take writes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ClockTrust {
    last: Option<Now>,
    /// When the wall clock jumped, if nobody has confirmed it yet.
    jumped_us: Option<u64>,
    peers: BTreeMap<NodeId, Heard>,
}

/// What a peer's wall clock showed, and when.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Heard {
    wall_ms: u64,
    mono_us: u64,
}

/// What is to be thought of a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// Stamps may be admitted by it.
    Sure,
    /// It is too far from the peers' median: nothing may be admitted.
    Off {
        /// Milliseconds by which the median is ahead of it; negative if it is behind.
        by_ms: i64,
    },
    /// It has jumped, and too few peers have said yet that it is right.
    Jumped,
}

impl ClockTrust {
    /// Takes note of the time, and says whether the wall clock has jumped. Called with every step; `max_drift_ms` as in
    /// [`Limits`](crate::env::Limits).
    pub fn tick(&mut self, now: Now, max_drift_ms: u64) -> bool {
        let jumped = self.last.is_some_and(|last| {
            let passed_ms = now.mono_us.saturating_sub(last.mono_us) / 1_000;
            let expected_ms = last.wall_ms.saturating_add(passed_ms);
            now.wall_ms.abs_diff(expected_ms) > max_drift_ms / 2
        });
        if jumped {
            self.jumped_us = Some(now.mono_us);
        }
        self.last = Some(now);
        jumped
    }

    /// A peer says what its wall clock shows.
    pub fn heard(&mut self, peer: NodeId, wall_ms: u64, now: Now) {
        let mono_us = now.mono_us;
        self.peers.insert(peer, Heard { wall_ms, mono_us });
    }

    /// A peer is not reached any more: what it said counts no longer.
    pub fn lost(&mut self, peer: NodeId) {
        self.peers.remove(&peer);
    }

    /// What to think of the wall clock. `peers` are all the others that belong to the cluster, heard of or not; what one of them
    /// said longer than `silence_ms` ago does not count.
    pub fn verdict(&mut self, now: Now, peers: &[NodeId], max_drift_ms: u64, silence_ms: u64) -> Trust {
        self.peers.retain(|peer, _| peers.contains(peer));
        let fresh = |heard: &Heard| now.mono_us.saturating_sub(heard.mono_us) <= silence_ms.saturating_mul(1_000);
        let heard: Vec<Heard> = self.peers.values().copied().filter(fresh).collect();
        let bound_ms = i64::try_from(max_drift_ms / 2).unwrap_or(i64::MAX);
        let agree = |heard: &Heard| ahead_ms(heard, now).abs() <= bound_ms;
        if let Some(jumped_us) = self.jumped_us {
            let confirming = heard.iter().filter(|heard| heard.mono_us >= jumped_us && agree(heard));
            // Of three of which one is dead, the two that are left must do.
            if (1 + confirming.count()) * 2 > 1 + peers.len() {
                self.jumped_us = None;
            } else {
                return Trust::Jumped;
            }
        }
        // This node is one of them: a single slow clock among three must not put the two good ones in the wrong.
        let mut ahead: Vec<i64> = heard.iter().map(|heard| ahead_ms(heard, now)).collect();
        ahead.push(0);
        ahead.sort_unstable();
        // Of two in the middle the nearer one: where clocks are half against half, nobody can say who is right.
        let middle = [ahead[(ahead.len() - 1) / 2], ahead[ahead.len() / 2]];
        match middle.into_iter().min_by_key(|ms| ms.abs()) {
            Some(by_ms) if by_ms.abs() > bound_ms => Trust::Off { by_ms },
            _ => Trust::Sure,
        }
    }
}

/// How far a peer's wall clock is ahead of this node's, if it went on as the monotonic one did.
fn ahead_ms(heard: &Heard, now: Now) -> i64 {
    let passed_ms = now.mono_us.saturating_sub(heard.mono_us) / 1_000;
    let theirs_ms = heard.wall_ms.saturating_add(passed_ms);
    let difference = i128::from(theirs_ms) - i128::from(now.wall_ms);
    difference.clamp(i128::from(-i64::MAX), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND_MS: u64 = 60_000;
    const SILENCE_MS: u64 = 5_000;

    fn now(wall_ms: u64, mono_ms: u64) -> Now {
        Now {
            wall_ms,
            mono_us: mono_ms * 1_000,
        }
    }

    fn peers(count: u64) -> Vec<NodeId> {
        (0..count).map(NodeId).collect()
    }

    fn verdict(trust: &mut ClockTrust, now: Now, count: u64) -> Trust {
        trust.tick(now, BOUND_MS);
        trust.verdict(now, &peers(count), BOUND_MS, SILENCE_MS)
    }

    #[test]
    fn a_node_alone_believes_its_clock() {
        let mut trust = ClockTrust::default();
        assert_eq!(verdict(&mut trust, now(1_000_000, 0), 0), Trust::Sure);
        assert_eq!(verdict(&mut trust, now(9_000_000, 1), 0), Trust::Sure);
        let mut trust = ClockTrust::default();
        assert_eq!(
            verdict(&mut trust, now(1_000_000, 0), 2),
            Trust::Sure,
            "nobody has spoken yet"
        );
    }

    #[test]
    fn far_future_clock() {
        let mut trust = ClockTrust::default();
        let here = now(1_000_000, 0);
        // One liar among three changes nothing, neither do two of four.
        for (peer, ahead_ms) in [(0, 10), (1, -20), (2, 9_000_000)] {
            trust.heard(NodeId(peer), 1_000_000u64.saturating_add_signed(ahead_ms), here);
        }
        assert_eq!(verdict(&mut trust, here, 3), Trust::Sure);
        // But a majority does: it is this node that is off.
        for (peer, behind_ms) in [(0, 30_002), (1, 30_001), (2, 30_003)] {
            trust.heard(NodeId(peer), 1_000_000 - behind_ms, here);
        }
        assert_eq!(verdict(&mut trust, here, 3), Trust::Off { by_ms: -30_001 });
        trust.heard(NodeId(1), 1_000_000 - 30_000, here);
        assert_eq!(
            verdict(&mut trust, here, 3),
            Trust::Sure,
            "half the bound is near enough"
        );
        // The liar is not a member any more.
        trust.heard(NodeId(1), 1_000_000 + 30_001, here);
        trust.heard(NodeId(0), 1_000_000 + 30_001, here);
        assert_eq!(verdict(&mut trust, here, 2), Trust::Off { by_ms: 30_001 });
        assert_eq!(
            verdict(&mut trust, now(1_006_000, 6_000), 2),
            Trust::Sure,
            "that was too long ago"
        );
    }

    /// The two good clocks of three stay in the right, whichever way the third is off; and it knows.
    #[test]
    fn one_bad_clock_of_three() {
        for bad_ms in [1_000_000 - 900_000, 1_000_000 + 900_000] {
            let seen_by = |own_ms: u64, others: [u64; 2]| {
                let (mut trust, here) = (ClockTrust::default(), now(own_ms, 0));
                for (peer, wall_ms) in (0..).zip(others) {
                    trust.heard(NodeId(peer), wall_ms, here);
                }
                verdict(&mut trust, here, 2)
            };
            assert_eq!(seen_by(1_000_000, [1_000_100, bad_ms]), Trust::Sure);
            assert!(matches!(seen_by(bad_ms, [1_000_000, 1_000_100]), Trust::Off { .. }));
        }
        // Of two that disagree nobody can say who is right.
        let (mut trust, here) = (ClockTrust::default(), now(1_000_000, 0));
        trust.heard(NodeId(0), 100_000, here);
        assert_eq!(verdict(&mut trust, here, 1), Trust::Sure);
    }

    #[test]
    fn a_jump_is_believed_once_a_majority_agrees() {
        let mut trust = ClockTrust::default();
        assert_eq!(verdict(&mut trust, now(1_000_000, 0), 3), Trust::Sure);
        assert_eq!(
            verdict(&mut trust, now(1_031_000, 1_000), 3),
            Trust::Sure,
            "half the bound is no jump"
        );
        trust.heard(NodeId(0), 4_000_000, now(1_031_000, 1_000));
        let jumped = now(4_000_000, 2_000);
        assert_eq!(
            verdict(&mut trust, jumped, 3),
            Trust::Jumped,
            "what was said before does not count"
        );
        trust.heard(NodeId(1), 4_000_100, jumped);
        assert_eq!(verdict(&mut trust, jumped, 3), Trust::Jumped, "one of three");
        trust.heard(NodeId(2), 1_032_000, jumped);
        assert_eq!(
            verdict(&mut trust, jumped, 3),
            Trust::Jumped,
            "one of three, and one against it"
        );
        trust.heard(NodeId(0), 3_999_000, jumped);
        assert_eq!(verdict(&mut trust, jumped, 3), Trust::Sure);
        assert_eq!(
            verdict(&mut trust, now(4_001_000, 3_000), 3),
            Trust::Sure,
            "and stays believed"
        );
        assert_eq!(
            verdict(&mut trust, now(1_002_000, 4_000), 3),
            Trust::Jumped,
            "back again"
        );
    }

    #[test]
    fn more_than_half_the_bound_is_a_jump_either_way() {
        for wall_ms in [1_031_001, 970_999] {
            let mut trust = ClockTrust::default();
            assert_eq!(verdict(&mut trust, now(1_000_000, 0), 3), Trust::Sure);
            assert_eq!(verdict(&mut trust, now(wall_ms, 1_000), 3), Trust::Jumped, "{wall_ms}");
        }
    }

    #[test]
    fn half_of_all_are_no_majority() {
        // Of so many others, so many who agree are too few: with this node they are half, or less.
        for (count, too_few) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)] {
            let mut trust = ClockTrust::default();
            trust.tick(now(1_000_000, 0), BOUND_MS);
            let jumped = now(4_000_000, 1_000);
            for peer in 0..too_few {
                trust.heard(NodeId(peer), 4_000_000, jumped);
            }
            assert_eq!(
                verdict(&mut trust, jumped, count),
                Trust::Jumped,
                "{too_few} of {count}"
            );
            trust.heard(NodeId(too_few), 4_000_000, jumped);
            assert_eq!(verdict(&mut trust, jumped, count), Trust::Sure, "one more of {count}");
        }
    }

    /// What a peer said a while ago is compared with what its clock must show by now.
    #[test]
    fn what_was_said_ages_with_the_monotonic_clock() {
        let mut trust = ClockTrust::default();
        for peer in peers(2) {
            trust.heard(peer, 1_000_000, now(1_000_000, 0));
        }
        let later = now(1_040_500, 40_500);
        trust.tick(later, BOUND_MS);
        assert_eq!(trust.verdict(later, &peers(2), BOUND_MS, 60_000), Trust::Sure);
        let late = Now {
            wall_ms: 1_070_501,
            ..later
        };
        assert_eq!(
            trust.verdict(late, &peers(2), BOUND_MS, 60_000),
            Trust::Off { by_ms: -30_001 }
        );
    }

    #[test]
    fn clocks_at_the_ends_of_time_do_not_overflow() {
        let mut trust = ClockTrust::default();
        let all_say = |trust: &mut ClockTrust, wall_ms| {
            peers(2)
                .into_iter()
                .for_each(|peer| trust.heard(peer, wall_ms, now(0, 0)));
        };
        all_say(&mut trust, u64::MAX);
        assert_eq!(verdict(&mut trust, now(0, 0), 2), Trust::Off { by_ms: i64::MAX });
        all_say(&mut trust, 0);
        let far = Now {
            wall_ms: u64::MAX,
            mono_us: 1,
        };
        assert_eq!(trust.verdict(far, &peers(2), u64::MAX, u64::MAX), Trust::Sure);
        assert!(matches!(trust.verdict(far, &peers(2), 0, u64::MAX), Trust::Off { .. }));
    }
}
