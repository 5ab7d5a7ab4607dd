//! The two storage loops, and the driver's end of them.
//!
//! Each loop owns one store and takes requests in order. In production each runs on a thread of its own; under a
//! simulated runtime they are tasks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_channel::{Receiver, Sender, unbounded};
use bytes::Bytes;
use kernel::env::Ticket;
use kernel::machine::{Apply, Commit, Envelope, Fetched, Room, StorageError};

use super::stores::{LogState, LogStore, RecordStore};

/// Room below which it is looked at anew whenever it is asked for.
const SCARCE_BYTES: u64 = 64 << 20;

/// The driver's end of storage.
///
/// The channels to the loops have no bound of their own: what is in them is bounded by the machine's limits, and by
/// the driver, which takes no frames while too many bytes wait for their commit.
#[derive(Debug)]
pub struct Disk {
    pub(super) log: Sender<LogRequest>,
    pub(super) records: Sender<RecordsRequest>,
    pub(super) answers: Receiver<Answer>,
    /// Requests carry the epoch that they were made in. It is counted up by each recovery.
    pub(super) epoch: u64,
    /// Applies carry the attempt that they belong to. It is counted up by each failed one.
    pub(super) attempt: u64,
}

#[derive(Debug)]
pub(super) enum LogRequest {
    Commit {
        epoch: u64,
        commit: Commit,
    },
    Cut(u64),
    Read {
        ticket: Ticket,
        from: u64,
        limit_bytes: usize,
    },
    Recover(Ticket),
}

#[derive(Debug)]
pub(super) enum RecordsRequest {
    Apply {
        epoch: u64,
        /// Counted up by the driver when the machine hears that an apply failed.
        attempt: u64,
        apply: Apply,
    },
    Read {
        ticket: Ticket,
        after: Option<Bytes>,
        limit_bytes: usize,
    },
    Recover(Ticket),
}

#[derive(Debug)]
pub(super) enum Answer {
    /// With the envelopes that may leave now; none if it failed.
    Committed {
        ticket: Ticket,
        entry_bytes: u64,
        result: Result<Room, StorageError>,
        envelopes: Vec<Envelope>,
    },
    Applied {
        ticket: Ticket,
        result: Result<(), StorageError>,
    },
    Fetched {
        ticket: Ticket,
        result: Result<Fetched, StorageError>,
    },
    LogRecovered {
        ticket: Ticket,
        result: Result<LogState, StorageError>,
    },
    RecordsRecovered {
        ticket: Ticket,
        result: Result<u64, StorageError>,
    },
    /// A loop ended: its store panicked, or the driver is gone.
    Gone,
}

/// The driver's end, the loop of the log and the loop of the records. Both loops end when the driver's end is
/// dropped.
pub fn disk<L: LogStore, R: RecordStore>(
    log: L,
    records: R,
) -> (Disk, impl Future<Output = ()> + Send, impl Future<Output = ()> + Send) {
    let (to_log, log_requests) = unbounded();
    let (to_records, records_requests) = unbounded();
    let (answer, answers) = unbounded();
    let failed = Failed::default();
    let log_loop = log_loop(log, log_requests, Farewell(answer.clone()), failed.clone());
    let records_loop = records_loop(records, records_requests, Farewell(answer), failed);
    let disk = Disk {
        log: to_log,
        records: to_records,
        answers,
        epoch: 1,
        attempt: 1,
    };
    (disk, log_loop, records_loop)
}

/// The last epoch in which a commit failed, seen by both loops. Everything of that epoch that comes later fails
/// too; a recovery begins a new one, and so forgets the failure without touching what is still queued from before.
#[derive(Debug, Clone, Default)]
struct Failed(Arc<AtomicU64>);

impl Failed {
    fn set(&self, epoch: u64) {
        self.0.fetch_max(epoch, Ordering::SeqCst);
    }

    fn check(&self, epoch: u64) -> Result<(), StorageError> {
        match self.0.load(Ordering::SeqCst) >= epoch {
            true => Err(StorageError::Io),
            false => Ok(()),
        }
    }
}

/// Where a loop's answers go. Tells the driver when the loop ends, also by a panic of its store or before it began: a node whose disk is gone must not wait for ever.
struct Farewell(Sender<Answer>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.0.try_send(Answer::Gone);
    }
}

async fn log_loop<L: LogStore>(mut log: L, requests: Receiver<LogRequest>, answers: Farewell, failed: Failed) {
    let answer = |answer| drop(answers.0.try_send(answer));
    let mut room = Room { bytes: 0 };
    let mut queue = VecDeque::new();
    loop {
        if queue.is_empty() {
            match requests.recv().await {
                Ok(request) => queue.push_back(request),
                Err(_) => return,
            }
        }
        while let Ok(request) = requests.try_recv() {
            queue.push_back(request);
        }
        let mut group = Vec::new();
        while let Some(LogRequest::Commit { .. }) = queue.front() {
            if let Some(LogRequest::Commit { epoch, commit }) = queue.pop_front() {
                group.push((epoch, commit));
            }
        }
        if !group.is_empty() {
            let answers = append(&mut log, group, &mut room, &failed).await;
            answers.into_iter().for_each(answer);
            continue;
        }
        match queue.pop_front() {
            Some(LogRequest::Cut(upto)) => {
                // Nobody waits for a cut, and an entry too many does no harm: the next cut takes it along.
                if let Err(error) = log.cut(upto).await {
                    tracing::warn!(upto, %error, "the log was not cut");
                }
            }
            Some(LogRequest::Read {
                ticket,
                from,
                limit_bytes,
            }) => {
                let result = log.read(from, limit_bytes).await;
                let result = result.map(|(entries, done)| Fetched::Log { entries, done });
                answer(Answer::Fetched { ticket, result });
            }
            Some(LogRequest::Recover(ticket)) => {
                let result = log.recover().await;
                room = result.map_or(Room { bytes: 0 }, |state| state.room);
                answer(Answer::LogRecovered { ticket, result });
            }
            Some(LogRequest::Commit { .. }) | None => {}
        }
    }
}

/// Group commit: all that is queued goes to the disk in one transaction, and is then answered in order. All of a
/// group have the same epoch, as a recovery in between would have split it.
async fn append<L: LogStore>(log: &mut L, group: Vec<(u64, Commit)>, room: &mut Room, failed: &Failed) -> Vec<Answer> {
    let epoch = group.first().map_or(0, |(epoch, _)| *epoch);
    let entries: Vec<_> = group.iter().filter_map(|(_, commit)| commit.entry.clone()).collect();
    let before = failed.check(epoch);
    let appended = match before {
        Err(error) => Err(error),
        Ok(()) if !entries.is_empty() => log.append(&entries).await,
        // A machine that has refused for lack of room asks again with a barrier.
        Ok(()) if room.bytes < SCARCE_BYTES => log.room().await,
        Ok(()) => Ok(*room),
    };
    match appended {
        Ok(now) => *room = now,
        Err(_) => failed.set(epoch),
    }
    // What is granted with a commit counts those behind it as still to come, also where they went to disk together.
    let mut behind: u64 = entries.iter().map(|(_, entry)| entry.len() as u64).sum();
    let (mut answers, mut written) = (Vec::with_capacity(group.len()), false);
    for (_, commit) in group {
        // Barriers in front of the first entry wait for nothing in this group.
        written |= commit.entry.is_some();
        let entry_bytes = commit.entry.map_or(0, |(_, entry)| entry.len() as u64);
        behind -= entry_bytes;
        let room = Room {
            bytes: room.bytes.saturating_add(behind),
        };
        let result = if written {
            appended.map(|_| room)
        } else {
            before.map(|()| room)
        };
        answers.push(Answer::Committed {
            ticket: commit.ticket,
            entry_bytes,
            result,
            envelopes: result.map_or_else(|_| Vec::new(), |_| commit.envelopes),
        });
    }
    answers
}

async fn records_loop<R: RecordStore>(
    mut records: R,
    requests: Receiver<RecordsRequest>,
    answers: Farewell,
    failed: Failed,
) {
    let mut failed_attempt = 0;
    while let Ok(request) = requests.recv().await {
        let answer = match request {
            RecordsRequest::Apply { epoch, attempt, apply } => {
                // What follows a failed apply builds on it, and must wait until the machine knows. Commits need not.
                let result = match failed.check(epoch) {
                    Ok(()) if attempt > failed_attempt => records.apply(apply.upto, &apply.puts, &apply.deletes).await,
                    _ => Err(StorageError::Io),
                };
                if result.is_err() {
                    failed_attempt = failed_attempt.max(attempt);
                }
                let ticket = apply.ticket;
                Answer::Applied { ticket, result }
            }
            RecordsRequest::Read {
                ticket,
                after,
                limit_bytes,
            } => {
                let result = records.read(after.as_deref(), limit_bytes).await;
                let result = result.map(|(rows, done)| Fetched::Records { rows, done });
                Answer::Fetched { ticket, result }
            }
            RecordsRequest::Recover(ticket) => {
                failed_attempt = 0;
                let result = records.recover().await;
                Answer::RecordsRecovered { ticket, result }
            }
        };
        let _ = answers.0.try_send(answer);
    }
}
