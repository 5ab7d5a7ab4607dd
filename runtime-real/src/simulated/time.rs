//! The virtual time of a run.

use std::time::Duration;

use madsim::time::TimeHandle;

/// The virtual time, in microseconds since the run began.
///
/// # Panics
/// Outside of a simulated runtime.
pub fn now_us() -> u64 {
    u64::try_from(TimeHandle::current().elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Comes back at the virtual time `at_us`, or at once if that has come. madsim's timers take a millisecond at least, as
/// tokio's do, so it may be a little later.
pub async fn until_us(at_us: u64) {
    let left_us = at_us.saturating_sub(now_us());
    if left_us > 0 {
        TimeHandle::current().sleep(Duration::from_micros(left_us)).await;
    }
}
