//! What a thread has spent.

use std::hint::black_box;
use std::ops::{Add, AddAssign};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// CPU time of one thread, and the time that passed meanwhile: more, where the machine did something else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// CPU time.
    pub cpu: Duration,
    /// Time that passed.
    pub wall: Duration,
}

impl Add for Spent {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            cpu: self.cpu + more.cpu,
            wall: self.wall + more.wall,
        }
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

/// Runs since it was started, on the thread that asks.
#[derive(Debug)]
pub struct Timer {
    cpu: Duration,
    wall: Instant,
}

impl Timer {
    /// A timer that runs.
    pub fn start() -> Self {
        Self {
            cpu: cpu_time(),
            wall: Instant::now(),
        }
    }

    /// What was spent since.
    pub fn spent(&self) -> Spent {
        Spent {
            cpu: cpu_time() - self.cpu,
            wall: self.wall.elapsed(),
        }
    }
}

/// What `work` on `subject` takes.
pub fn measure<T>(subject: &mut T, work: impl FnOnce(&mut T)) -> Spent {
    let timer = Timer::start();
    work(subject);
    let spent = timer.spent();
    black_box(subject);
    spent
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
