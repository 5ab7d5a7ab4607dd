//! Saying something now and then, however often it happens.

use std::time::{Duration, Instant};

/// No more than one line in so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Lets one line pass in a second, and counts the others.
#[derive(Debug, Default)]
pub struct Sparingly {
    last: Option<Instant>,
    unsaid: u64,
}

impl Sparingly {
    /// Whether it may be said now; with how often it was not since the last time.
    pub fn may(&mut self) -> Option<u64> {
        self.may_at(Instant::now())
    }

    fn may_at(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            self.unsaid += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_the_rest_is_counted() {
        let (mut sparingly, start) = (Sparingly::default(), Instant::now());
        assert_eq!(sparingly.may_at(start), Some(0));
        assert_eq!(sparingly.may_at(start), None);
        assert_eq!(sparingly.may_at(start + PAUSE / 2), None);
        assert_eq!(sparingly.may_at(start + PAUSE), Some(2));
    }
}
