//! Fetches under way: two loops work on them side by side, and the machine hears of them in order.

use std::collections::VecDeque;

use kernel::env::Ticket;
use kernel::machine::{Fetched, StorageError};

use super::stores::LogState;

/// The fetches that were not yet answered to the machine, in their order.
#[derive(Debug, Default)]
pub(super) struct Fetches(VecDeque<(Ticket, Reading)>);

#[derive(Debug)]
enum Reading {
    /// One loop was asked.
    Waiting,
    /// Both were.
    Recovering {
        log: Option<Result<LogState, StorageError>>,
        applied: Option<Result<u64, StorageError>>,
    },
    Done(Result<Fetched, StorageError>),
}

impl Fetches {
    /// A fetch that one loop answers.
    pub(super) fn wait(&mut self, ticket: Ticket) {
        self.0.push_back((ticket, Reading::Waiting));
    }

    /// A recovery, which both loops answer.
    pub(super) fn recover(&mut self, ticket: Ticket) {
        let (log, applied) = (None, None);
        self.0.push_back((ticket, Reading::Recovering { log, applied }));
    }

    /// A loop answered a fetch.
    pub(super) fn done(&mut self, ticket: Ticket, result: Result<Fetched, StorageError>) {
        self.note(ticket, |reading| *reading = Reading::Done(result));
    }

    /// The log answered a recovery.
    pub(super) fn log_recovered(&mut self, ticket: Ticket, result: Result<LogState, StorageError>) {
        self.note(ticket, |reading| {
            if let Reading::Recovering { log, .. } = reading {
                *log = Some(result);
            }
        });
    }

    /// The records answered a recovery.
    pub(super) fn records_recovered(&mut self, ticket: Ticket, result: Result<u64, StorageError>) {
        self.note(ticket, |reading| {
            if let Reading::Recovering { applied, .. } = reading {
                *applied = Some(result);
            }
        });
    }

    fn note(&mut self, ticket: Ticket, note: impl FnOnce(&mut Reading)) {
        let Some((_, reading)) = self.0.iter_mut().find(|(waiting, _)| *waiting == ticket) else {
            return;
        };
        note(reading);
        if let Reading::Recovering {
            log: Some(log),
            applied: Some(applied),
        } = reading
        {
            *reading = Reading::Done(join(*log, *applied));
        }
    }

    /// The first fetch, if it was answered: it may go to the machine.
    pub(super) fn next_done(&mut self) -> Option<(Ticket, Result<Fetched, StorageError>)> {
        let Some((_, Reading::Done(_))) = self.0.front() else {
            return None;
        };
        match self.0.pop_front() {
            Some((ticket, Reading::Done(result))) => Some((ticket, result)),
            _ => None,
        }
    }
}

/// The answer to [`Fetch::Recover`](kernel::machine::Fetch::Recover) from both halves. The log must go on where the records end.
fn join(log: Result<LogState, StorageError>, applied: Result<u64, StorageError>) -> Result<Fetched, StorageError> {
    let (LogState { range: log, room }, applied) = (log?, applied?);
    match log {
        Some((first, _)) if first > applied + 1 => {
            tracing::error!(
                applied,
                first,
                "entries are missing: the records hold the log up to {applied}, and the log begins at {first}"
            );
            Err(StorageError::Corrupt)
        }
        Some((_, last)) if last < applied => {
            tracing::error!(
                applied,
                last,
                "the log is older than the records: they hold it up to {applied}, and it ends at {last}"
            );
            Err(StorageError::Corrupt)
        }
        _ => Ok(Fetched::Recovered { applied, log, room }),
    }
}
