//! What is to be recorded, on its way from the node to the thread that writes it. The node never waits: it takes a lock that
//! is only ever held to move memory about.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Ring;

/// Bytes of entries that may wait to be written.
const BYTES_MAX: usize = 8 << 20;

/// With so many bytes the writer does not wait for more.
const BATCH_BYTES: usize = 256 << 10;

/// How long the writer waits for more. A node that is killed loses as much of its recording.
const PAUSE: Duration = Duration::from_millis(50);

/// What the writer does.
#[derive(Debug)]
enum Job {
    Begin { number: u64, head: Vec<u8> },
    Entries(Vec<u8>),
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Bytes of entries that have come since the writer last took what there was.
    fresh: usize,
    /// Bytes of entries that are not written yet, those that the writer has taken included.
    entry_bytes: usize,
    /// The same of a segment's head. There is one at a time.
    head_bytes: usize,
    closed: bool,
    failed: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

/// What became of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    Taken,
    /// The writer does not keep up.
    Full,
    /// The writer has failed, and takes nothing any more.
    Failed,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds entries to the segment that was begun last, if there is room.
    pub fn push(&self, entries: &[u8]) -> Push {
        let waiting = self.lock();
        // One that is greater than all that may wait passes alone.
        if waiting.entry_bytes > 0 && waiting.entry_bytes + entries.len() > BYTES_MAX {
            return Push::Full;
        }
        self.add(waiting, entries)
    }

    /// Adds the last entry of a segment, for which there is always room.
    pub fn push_last(&self, entry: &[u8]) -> Push {
        self.add(self.lock(), entry)
    }

    fn add(&self, mut waiting: MutexGuard<'_, Waiting>, entries: &[u8]) -> Push {
        if waiting.failed {
            return Push::Failed;
        }
        let before = waiting.fresh;
        waiting.fresh += entries.len();
        waiting.entry_bytes += entries.len();
        let after = waiting.fresh;
        match waiting.jobs.back_mut() {
            Some(Job::Entries(more)) => more.extend_from_slice(entries),
            _ => waiting.jobs.push_back(Job::Entries(entries.to_vec())),
        }
        drop(waiting);
        if before == 0 || (before < BATCH_BYTES && after >= BATCH_BYTES) {
            self.filled.notify_one();
        }
        Push::Taken
    }

    /// Whether a segment can be begun: one head waits at a time.
    pub fn takes_head(&self) -> bool {
        let waiting = self.lock();
        waiting.head_bytes == 0 && !waiting.failed
    }

    /// Bytes that are not written yet.
    pub fn unwritten(&self) -> usize {
        let waiting = self.lock();
        waiting.entry_bytes + waiting.head_bytes
    }

    /// Begins a segment.
    pub fn begin(&self, number: u64, head: Vec<u8>) {
        let mut waiting = self.lock();
        waiting.head_bytes = head.len();
        waiting.jobs.push_back(Job::Begin { number, head });
        drop(waiting);
        self.filled.notify_one();
    }

    /// There is no more to come.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Writes what comes into `ring`, until the queue is closed and empty, or writing fails.
    pub fn write_into(&self, ring: &mut Ring) {
        while let Some(jobs) = self.take() {
            for job in jobs {
                let written = match &job {
                    Job::Begin { number, head } => ring.begin(*number, head),
                    Job::Entries(entries) => ring.append(entries),
                };
                let mut waiting = self.lock();
                match &job {
                    Job::Begin { .. } => waiting.head_bytes = 0,
                    Job::Entries(entries) => waiting.entry_bytes -= entries.len(),
                }
                if let Err(error) = written {
                    *waiting = Waiting {
                        failed: true,
                        ..Waiting::default()
                    };
                    drop(waiting);
                    tracing::error!(%error, "the recording cannot be written, and ends here; the node goes on");
                    return;
                }
            }
        }
    }

    /// All that waits, once there is something and a little time has passed. `None`: there is no more to come.
    fn take(&self) -> Option<VecDeque<Job>> {
        let waiting = self.lock();
        let empty = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.closed;
        let waiting = self
            .filled
            .wait_while(waiting, empty)
            .unwrap_or_else(PoisonError::into_inner);
        let few = |waiting: &mut Waiting| waiting.fresh < BATCH_BYTES && waiting.head_bytes == 0 && !waiting.closed;
        let waited = self.filled.wait_timeout_while(waiting, PAUSE, few);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.jobs.is_empty() {
            return None;
        }
        waiting.fresh = 0;
        Some(std::mem::take(&mut waiting.jobs))
    }
}
