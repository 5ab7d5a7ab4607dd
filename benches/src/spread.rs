//! Many measurements of one thing.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// Times, ascending.
#[derive(Debug, Clone, Default)]
pub struct Spread(Vec<Duration>);

impl Spread {
    /// Of these times, in any order.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that so many of a hundred stay within.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(at).copied().unwrap_or_default()
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        let (half, most, all) = (ms(50), ms(99), ms(100));
        write!(
            f,
            "p50 {half:.1} ms, p99 {most:.1} ms, max {all:.1} ms ({})",
            self.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_millis));
        let ms = [1, 50, 99, 100].map(|percent| spread.percentile(percent).as_millis());
        assert_eq!(ms, [2, 100, 198, 200]);
        assert_eq!(Spread::default().percentile(99), Duration::ZERO);
    }
}
