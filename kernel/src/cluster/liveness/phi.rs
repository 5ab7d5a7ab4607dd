//! How unusual a silence is.

use serde::{Deserialize, Serialize};

/// By how many standard deviations, in thousandths, a normal variable exceeds its mean once in ten to the power of the index.
const DEVIATIONS: [u64; 13] = [
    0, 1_282, 2_326, 3_090, 3_719, 4_265, 4_753, 5_199, 5_612, 5_998, 6_361, 6_706, 7_035,
];

/// A new sample moves the averages by a 64th of the difference, once there are so many. Before, all samples weigh the same.
const WEIGHT: i64 = 64;

/// The silences of one member that ended, as a mean and a variance that forget slowly: phi-accrual suspicion (Hayashibara
/// and others, 2004) without floating point. The paper asks how unlikely the present silence is; here the question is
/// turned around, to the length at which a silence is as unlikely as `phi` says, so that a table answers it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Silences {
    weight: i64,
    mean_us: i64,
    variance_us2: i64,
}

impl Silences {
    /// A silence ended after `len_us`.
    pub(super) fn sample(&mut self, len_us: u64) {
        // A quarter of an hour, so that no square overflows.
        let len_us = len_us.min(900_000_000) as i64;
        self.weight = (self.weight + 1).min(WEIGHT);
        let off_us = len_us - self.mean_us;
        self.mean_us += off_us / self.weight;
        // Both factors have the same sign: Welford's recurrence never goes below zero.
        let square_us2 = off_us * (len_us - self.mean_us);
        self.variance_us2 += (square_us2 - self.variance_us2) / self.weight;
    }

    /// How long a silence has to be for it to happen once in ten to the power of `phi`, at most 12.
    pub(super) fn unlikely_us(&self, phi: u32) -> u64 {
        let deviation_us = (self.variance_us2.max(0) as u64).isqrt();
        let deviations = DEVIATIONS[(phi as usize).min(DEVIATIONS.len() - 1)];
        self.mean_us.max(0) as u64 + deviation_us.saturating_mul(deviations) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_measured_against_those_before_it() {
        let mut silences = Silences::default();
        for n in 0..10_000u64 {
            silences.sample(if n % 2 == 0 { 80_000 } else { 120_000 });
        }
        // Mean 100 ms, deviation 20 ms: phi 8 is 5.612 deviations above.
        let unlikely_ms = silences.unlikely_us(8) / 1_000;
        assert!((208..=216).contains(&unlikely_ms), "{unlikely_ms}");
        assert!(silences.unlikely_us(3) < silences.unlikely_us(8));
        assert_eq!(silences.unlikely_us(12), silences.unlikely_us(99));
    }

    #[test]
    fn a_slower_network_is_learned_and_forgotten() {
        let mut silences = Silences::default();
        let after = |silences: &mut Silences, len_us| {
            (0..1_000).for_each(|_| silences.sample(len_us));
            silences.unlikely_us(8)
        };
        let fast_us = after(&mut silences, 50_000);
        assert!(after(&mut silences, 900_000) > 850_000);
        assert!(after(&mut silences, 50_000) < fast_us + 20_000);
        silences.sample(u64::MAX);
    }
}
