//! The operating system's clocks.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_io::Timer;
use kernel::env::Now;

use crate::driver::Clock;

/// The operating system's clocks; the monotonic one counts from when this was made.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Clocks that begin now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        // A wall clock before 1970 is taken for 1970: the kernel's own bounds on drift refuse what comes of it.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            wall_ms: wall.as_millis() as u64,
            mono_us: self.start.elapsed().as_micros() as u64,
        }
    }

    fn sleep_until(&self, mono_us: u64) -> impl Future<Output = ()> {
        let timer = match self.start.checked_add(Duration::from_micros(mono_us)) {
            Some(at) => Timer::at(at),
            None => Timer::never(),
        };
        async {
            timer.await;
        }
    }
}
