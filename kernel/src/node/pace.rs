//! How fast one asks for what is not urgent: less often where answers are held up, for then somebody on their way has other things to do.
//!
//! Delay tells of that before loss does (LEDBAT, RFC 6817). The least time that an answer took in the last minute is what it takes; what the
//! least of the last few took above that is waiting, and for several times as long nothing is asked. One that is late is chance, a few are not.

use serde::{Deserialize, Serialize};

/// How many times as long as an answer was held up nothing is asked for.
const YIELDS: u64 = 8;

/// How many times as long as the last answer took the next one is waited for.
const PATIENCE: u64 = 4;

/// Nothing is held up for longer by that, and no answer is waited for longer.
const LONGEST_US: u64 = 5_000_000;

/// How long it is remembered what an answer takes where nothing holds it up: so long, and for as long again. Paths change.
const REMEMBERED_US: u64 = 30_000_000;

/// So many answers are all late where somebody is held up.
const FEW: usize = 4;

/// What is known of one who is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// The least time that an answer took since `since_us`, and in the time before that.
    least_us: Option<u64>,
    before_us: Option<u64>,
    since_us: u64,
    /// How long the last ones took, the latest first.
    last_us: [Option<u64>; FEW],
    /// Nothing is asked for before.
    rest_us: Option<u64>,
}

impl Pace {
    /// An answer came that took so long: to a question that was asked once, and that had something to bring.
    pub fn answered(&mut self, took_us: u64, now_us: u64) {
        let passed_us = now_us.saturating_sub(self.since_us);
        if passed_us >= REMEMBERED_US {
            self.before_us = self.least_us.take().filter(|_| passed_us < 2 * REMEMBERED_US);
            self.since_us = now_us;
        }
        let least_us = self.least_us.map_or(took_us, |least_us| least_us.min(took_us));
        self.least_us = Some(least_us);
        let least_us = self.before_us.map_or(least_us, |before_us| before_us.min(least_us));
        self.last_us.rotate_right(1);
        self.last_us[0] = Some(took_us);
        let lately_us = self.last_us.iter().flatten().min().copied().unwrap_or(took_us);
        let rest_us = lately_us
            .saturating_sub(least_us)
            .saturating_mul(YIELDS)
            .min(LONGEST_US);
        self.rest_us = (rest_us > 0).then_some(now_us + rest_us);
    }

    /// Until when nothing is asked for.
    pub fn rest_us(&self) -> Option<u64> {
        self.rest_us
    }

    /// The rest is over, if it is. `true`: it was one, and is.
    pub fn is_over(&mut self, now_us: u64) -> bool {
        let over = self.rest_us.is_some_and(|rest_us| rest_us <= now_us);
        if over {
            self.rest_us = None;
        }
        over
    }

    /// How long an answer is waited for, at least so long.
    pub fn patience_us(&self, least_us: u64) -> u64 {
        let last_us = self.last_us[0].unwrap_or_default();
        last_us.saturating_mul(PATIENCE).min(LONGEST_US).max(least_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_held_up_rests_and_who_is_late_once_does_not() {
        let mut pace = Pace::default();
        pace.answered(10_000, 0);
        assert_eq!((pace.rest_us(), pace.patience_us(1)), (None, 40_000));
        for _ in 1..FEW {
            pace.answered(50_000, 900_000);
            assert_eq!(pace.rest_us(), None, "it is not long ago that it was answered at once");
        }
        pace.answered(30_000, 1_000_000);
        let rest_us = pace.rest_us().unwrap();
        assert_eq!(rest_us, 1_000_000 + 20_000 * YIELDS);
        assert!(!pace.is_over(rest_us - 1));
        assert!(pace.is_over(rest_us) && !pace.is_over(rest_us) && pace.rest_us().is_none());
        pace.answered(9_000, 2_000_000);
        assert_eq!(pace.rest_us(), None);
        (0..FEW).for_each(|_| pace.answered(u64::MAX / 8, 3_000_000));
        assert_eq!(pace.rest_us(), Some(3_000_000 + LONGEST_US));
        assert_eq!(pace.patience_us(1), LONGEST_US);
    }

    #[test]
    fn a_path_that_is_longer_now_is_what_it_takes_after_a_while_and_not_before() {
        let mut pace = Pace::default();
        pace.answered(1_000, 0);
        // However many answers are held up: that they are is no news of the path.
        for (count, at_us) in (0..REMEMBERED_US).step_by(10_000).enumerate() {
            pace.answered(100_000, at_us);
            assert_eq!(pace.rest_us().is_some(), count + 1 >= FEW);
        }
        for turn in 1..4 {
            pace.answered(100_000, turn * REMEMBERED_US);
        }
        assert_eq!(pace.rest_us(), None);
        (0..FEW as u64).for_each(|turn| pace.answered(300_000, 10 * REMEMBERED_US + turn));
        assert_eq!(pace.rest_us(), None, "nothing is known any more of so long ago");
    }
}
