//! How fast one asks for what is not urgent: less often where answers are held up, for then somebody on their way has other things to do.
//!
//! Delay tells of that before loss does (LEDBAT, RFC 6817). The least time that an answer took lately is what it takes; what is above it is
//! waiting, and for several times as long nothing is asked.

use serde::{Deserialize, Serialize};

/// How many times as long as an answer was held up nothing is asked for.
const YIELDS: u64 = 8;

/// Nothing is held up for longer by that, and no answer is waited for longer.
const LONGEST_US: u64 = 5_000_000;

/// How long it is remembered what an answer takes where nothing holds it up: so long, and for as long again. Paths change.
const REMEMBERED_US: u64 = 30_000_000;

/// What is known of one who is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// The least time that an answer took since `since_us`, and in the time before that.
    least_us: Option<u64>,
    before_us: Option<u64>,
    since_us: u64,
    last_us: u64,
    /// Nothing is asked for before.
    rest_us: Option<u64>,
}

impl Pace {
    /// An answer came that took so long: to a question that was asked once, and that had something to bring.
    pub fn answered(&mut self, took_us: u64, now_us: u64) {
        if now_us.saturating_sub(self.since_us) >= REMEMBERED_US {
            self.before_us = self.least_us.take();
            self.since_us = now_us;
        }
        let least_us = self.least_us.map_or(took_us, |least_us| least_us.min(took_us));
        self.least_us = Some(least_us);
        self.last_us = took_us;
        let least_us = self.before_us.map_or(least_us, |before_us| before_us.min(least_us));
        let rest_us = (took_us - least_us).saturating_mul(YIELDS).min(LONGEST_US);
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
        self.last_us.saturating_mul(4).min(LONGEST_US).max(least_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_held_up_rests_and_who_is_not_does_not() {
        let mut pace = Pace::default();
        pace.answered(10_000, 0);
        assert_eq!((pace.rest_us(), pace.patience_us(1)), (None, 40_000));
        pace.answered(30_000, 1_000_000);
        let rest_us = pace.rest_us().unwrap();
        assert_eq!(rest_us, 1_000_000 + 20_000 * YIELDS);
        assert!(!pace.is_over(rest_us - 1));
        assert!(pace.is_over(rest_us) && !pace.is_over(rest_us) && pace.rest_us().is_none());
        pace.answered(9_000, 2_000_000);
        assert_eq!(pace.rest_us(), None);
        pace.answered(u64::MAX / 8, 3_000_000);
        assert_eq!(pace.rest_us(), Some(3_000_000 + LONGEST_US));
        assert_eq!(pace.patience_us(1), LONGEST_US);
    }

    #[test]
    fn a_path_that_is_longer_now_is_what_it_takes_after_a_while_and_not_before() {
        let mut pace = Pace::default();
        pace.answered(1_000, 0);
        // However many answers are held up: that they are is no news of the path.
        for at_us in (0..REMEMBERED_US).step_by(10_000) {
            pace.answered(100_000, at_us);
            assert!(pace.rest_us().is_some());
        }
        for turn in 1..4 {
            pace.answered(100_000, turn * REMEMBERED_US);
        }
        assert_eq!(pace.rest_us(), None);
    }
}
