//! The two clocks of one simulated node: as wrong as the plan wants them.

use kernel::env::{Now, VirtualClock};

/// What the wall clock of the world shows when a run begins: the first of January 2026.
pub const EPOCH_MS: u64 = 1_767_225_600_000;

/// How a node's clocks are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockProfile {
    /// How far the wall clock is ahead of the world's (or behind it) when the run begins.
    pub skew_ms: i64,
    /// How much faster both clocks run, in millionths.
    pub drift_ppm: i64,
}

/// A [`VirtualClock`] that is read from the virtual time of a run.
///
/// The monotonic clock begins again at every boot, as an operating system's does; the wall clock goes on.
#[derive(Debug, Clone)]
pub struct HostClock {
    profile: ClockProfile,
    skew_ms: i64,
    /// What the wall clock shows while it stands still.
    frozen_ms: Option<u64>,
    booted_at_us: u64,
    clock: VirtualClock,
}

impl HostClock {
    /// A clock that was never booted.
    pub fn new(profile: ClockProfile) -> Self {
        Self {
            profile,
            skew_ms: profile.skew_ms,
            frozen_ms: None,
            booted_at_us: 0,
            clock: VirtualClock::default(),
        }
    }

    /// The monotonic clock begins again.
    pub fn boot(&mut self, at_us: u64) {
        self.booted_at_us = at_us;
        self.clock = VirtualClock::default();
    }

    /// Puts the wall clock forward, or back.
    pub fn jump(&mut self, by_ms: i64) {
        self.skew_ms += by_ms;
    }

    /// The wall clock stands still.
    pub fn freeze(&mut self, at_us: u64) {
        self.frozen_ms = Some(self.wall_ms(at_us));
    }

    /// It goes on from where it stood.
    pub fn thaw(&mut self, at_us: u64) {
        if let Some(shown_ms) = self.frozen_ms.take() {
            let behind_ms = self.wall_ms(at_us).saturating_sub(shown_ms);
            self.skew_ms -= i64::try_from(behind_ms).unwrap_or(0);
        }
    }

    /// Whether it stands still.
    pub fn is_frozen(&self) -> bool {
        self.frozen_ms.is_some()
    }

    /// Puts the wall clock right: somebody mended the time service.
    pub fn heal(&mut self) {
        self.skew_ms = 0;
        self.frozen_ms = None;
    }

    /// The reading at the virtual time `at_us`.
    pub fn read(&mut self, at_us: u64) -> Now {
        let wall_ms = self.wall_ms(at_us);
        let mono_us = self.stretched(at_us - self.booted_at_us);
        self.clock.set(Now { wall_ms, mono_us });
        self.clock.now()
    }

    /// The first virtual time at which the monotonic clock shows `mono_us`.
    pub fn due(&self, mono_us: u64) -> u64 {
        // Beyond a thousand years nobody waits.
        if mono_us > 1 << 55 {
            return u64::MAX / 2;
        }
        let rate = 1_000_000_u64.saturating_add_signed(self.profile.drift_ppm);
        let scaled = u128::from(mono_us) * 1_000_000 / u128::from(rate);
        let mut since_boot_us = u64::try_from(scaled).unwrap_or(u64::MAX / 2);
        while self.stretched(since_boot_us) < mono_us {
            since_boot_us += 1;
        }
        self.booted_at_us.saturating_add(since_boot_us)
    }

    fn wall_ms(&self, at_us: u64) -> u64 {
        let right_ms = EPOCH_MS + self.stretched(at_us) / 1_000;
        self.frozen_ms.unwrap_or(right_ms.saturating_add_signed(self.skew_ms))
    }

    fn stretched(&self, elapsed_us: u64) -> u64 {
        let drift_us = i128::from(elapsed_us) * i128::from(self.profile.drift_ppm) / 1_000_000;
        elapsed_us.saturating_add_signed(i64::try_from(drift_us).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_due_exactly_when_the_drifting_clock_shows_it() {
        for drift_ppm in [-50_000, -7, 0, 3, 50_000] {
            let mut clock = HostClock::new(ClockProfile { skew_ms: 0, drift_ppm });
            clock.boot(1_234);
            for mono_us in [1, 999, 1_000_003, 77_777_777] {
                let due_us = clock.due(mono_us);
                assert!(clock.clone().read(due_us).mono_us >= mono_us);
                assert!(clock.read(due_us - 1).mono_us < mono_us, "drift {drift_ppm}, {mono_us}");
            }
        }
    }

    #[test]
    fn a_frozen_wall_clock_stands_and_then_goes_on_from_there() {
        let mut clock = HostClock::new(ClockProfile::default());
        clock.boot(0);
        let before = clock.read(5_000);
        clock.freeze(5_000);
        let frozen = clock.read(900_000);
        assert_eq!((frozen.wall_ms, frozen.mono_us), (before.wall_ms, 900_000));
        clock.thaw(900_000);
        assert_eq!(clock.read(907_000).wall_ms, before.wall_ms + 7);
        clock.heal();
        assert_eq!(clock.read(907_000).wall_ms, EPOCH_MS + 907);
    }

    #[test]
    fn the_wall_clock_jumps_and_the_monotonic_one_does_not() {
        let mut clock = HostClock::new(ClockProfile::default());
        clock.boot(0);
        let before = clock.read(5_000);
        clock.jump(-3_000);
        let after = clock.read(6_000);
        assert_eq!(after.wall_ms, before.wall_ms + 1 - 3_000);
        assert_eq!(after.mono_us, before.mono_us + 1_000);
    }
}
