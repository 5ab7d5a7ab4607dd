//! Time as the kernel sees it: a reading that the host hands to every step.

use serde::{Deserialize, Serialize};

/// One reading of a node's two clocks. It stands still within a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Now {
    /// Wall clock, milliseconds since the Unix epoch. It may jump, both ways.
    pub wall_ms: u64,
    /// Monotonic clock, microseconds since some instant of the host's choosing. It never goes back.
    pub mono_us: u64,
}

/// The clock of one node, moved by its host and by nobody else.
///
/// A simulator advances it to the time of the next event; a production host sets it from the operating
/// system's clocks before each step. The wall clock can be put wrong on purpose (skew, jumps); the
/// monotonic one can only move forward.
#[derive(Debug, Clone, Default)]
pub struct VirtualClock {
    now: Now,
}

impl VirtualClock {
    /// A clock that shows `now`.
    pub fn new(now: Now) -> Self {
        Self { now }
    }

    /// The reading to pass to [`Machine::step`](crate::machine::Machine::step).
    pub fn now(&self) -> Now {
        self.now
    }

    /// Moves the clock to what the host's own clocks show. A monotonic reading older than the last one is
    /// taken as no progress: some virtual machines do that, and no timer may run twice for it.
    pub fn set(&mut self, reading: Now) {
        self.now = Now {
            wall_ms: reading.wall_ms,
            mono_us: reading.mono_us.max(self.now.mono_us),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_back_and_the_wall_clock_may() {
        let mut clock = VirtualClock::new(Now {
            wall_ms: 1_000,
            mono_us: 50,
        });
        clock.set(Now {
            wall_ms: 400,
            mono_us: 20,
        });
        assert_eq!(
            clock.now(),
            Now {
                wall_ms: 400,
                mono_us: 50
            }
        );
    }
}
