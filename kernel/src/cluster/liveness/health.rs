//! How far this node can trust itself: the local health of Lifeguard (Dadgar, Phillips, Currey, 2018).

use serde::{Deserialize, Serialize};

/// The clock by which silences are measured: the host's, without the time in which this node did not run. A process that was
/// stopped for a minute wakes up to members that were silent for the moment that it would have waited anyway.
///
/// Beside it the score of Lifeguard: what speaks against this node itself raises it, what speaks for it lowers it,
/// and silences have to be longer by that factor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LocalHealth {
    host_us: u64,
    lived_us: u64,
    score: u64,
    /// Whether something spoke against this node in this round.
    is_bad: bool,
}

impl LocalHealth {
    /// The host's clock stands at `now_us`. By its own clock the node was to be stepped at `wake_us`; by `late_us` more it may be
    /// late. Whether it was later than that.
    pub(super) fn advance(&mut self, now_us: u64, wake_us: Option<u64>, late_us: u64) -> bool {
        let gap_us = now_us.saturating_sub(self.host_us);
        self.host_us = self.host_us.max(now_us);
        let allowed_us = wake_us.map(|wake_us| wake_us.saturating_sub(self.lived_us).saturating_add(late_us));
        let lived_us = allowed_us.map_or(gap_us, |allowed_us| gap_us.min(allowed_us));
        self.lived_us += lived_us;
        lived_us < gap_us
    }

    /// How long this node has lived, in microseconds.
    pub(super) fn lived_us(&self) -> u64 {
        self.lived_us
    }

    /// When the host's clock shows what this node's own will show at `lived_us`, if no step is late.
    pub(super) fn host_us(&self, lived_us: u64) -> u64 {
        self.host_us + lived_us.saturating_sub(self.lived_us)
    }

    /// Something speaks against this node.
    pub(super) fn worse(&mut self, max: u64) {
        self.score = (self.score + 1).min(max);
        self.is_bad = true;
    }

    /// A round is over: one in which nothing spoke against this node speaks for it.
    pub(super) fn end_round(&mut self) {
        if !core::mem::take(&mut self.is_bad) {
            self.score = self.score.saturating_sub(1);
        }
    }

    /// By how much silences have to be longer: 1 in good health.
    pub(super) fn factor(&self) -> u64 {
        1 + self.score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_the_node_did_not_run_is_not_lived() {
        let mut health = LocalHealth::default();
        assert!(!health.advance(1_000, None, 50));
        assert!(!health.advance(1_140, Some(1_100), 50), "late, but not too late");
        assert_eq!((health.lived_us(), health.host_us(1_150)), (1_140, 1_150));
        assert!(health.advance(90_000, Some(1_200), 50), "a pause");
        assert_eq!((health.lived_us(), health.host_us(1_260)), (1_250, 90_010));
        assert!(!health.advance(80_000, Some(1_300), 50), "the clock never goes back");
        assert_eq!(health.lived_us(), 1_250);
    }

    #[test]
    fn the_score_has_a_most_and_a_least() {
        let mut health = LocalHealth::default();
        health.end_round();
        assert_eq!(health.factor(), 1);
        (0..9).for_each(|_| health.worse(4));
        assert_eq!(health.factor(), 5);
        health.end_round();
        assert_eq!(health.factor(), 5, "a bad round");
        health.end_round();
        assert_eq!(health.factor(), 4);
    }
}
