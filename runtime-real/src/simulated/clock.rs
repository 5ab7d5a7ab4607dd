//! The clocks of a simulated node: as wrong as a test makes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::env::Now;
use sim::clock::{ClockProfile, HostClock};

use super::time::{now_us, until_us};
use crate::driver::Clock;

/// The simulator's [`HostClock`] on madsim's time. Clones are the same clock: the test that puts it wrong holds one, the
/// node another.
#[derive(Debug, Clone)]
pub struct NodeClock(Arc<Mutex<HostClock>>);

impl NodeClock {
    /// A clock that was never booted.
    pub fn new(profile: ClockProfile) -> Self {
        Self(Arc::new(Mutex::new(HostClock::new(profile))))
    }

    /// The monotonic clock begins again, as it does when a machine starts.
    pub fn boot(&self) {
        self.lock().boot(now_us());
    }

    /// Puts the wall clock forward, or back.
    pub fn jump(&self, by_ms: i64) {
        self.lock().jump(by_ms);
    }

    fn lock(&self) -> MutexGuard<'_, HostClock> {
        // Whoever panicked while holding it is the failure that the test reports.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Now {
        self.lock().read(now_us())
    }

    async fn sleep_until(&self, mono_us: u64) {
        let due_us = self.lock().due(mono_us);
        until_us(due_us).await;
    }
}
