//! The simulator's disk behind the driver's two stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kernel::env::{SeededRng, Ticket};
use kernel::machine::{Apply, Fetch, Fetched, Room, StorageError};
use sim::disk::{Answer, DiskProfile, VirtualDisk};

use super::time::{now_us, until_us};
use crate::driver::{LogState, LogStore, RecordStore};

/// A [`VirtualDisk`] in madsim's time: slow, failing, and losing at a crash what was not synced. Clones are the same disk.
///
/// The log and the records of a node are two loops that wait side by side; each takes from the disk what has been done for
/// both and leaves the other's answers where it will find them.
#[derive(Debug, Clone)]
pub struct Device(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    disk: VirtualDisk,
    tickets: Ticket,
    done: BTreeMap<Ticket, Answer>,
}

/// The log of a [`Device`].
#[derive(Debug)]
pub struct DeviceLog(Device);

/// The records of a [`Device`].
#[derive(Debug)]
pub struct DeviceRecords(Device);

impl Device {
    /// An empty disk.
    pub fn new(profile: DiskProfile, rng: SeededRng) -> Self {
        Self(Arc::new(Mutex::new(State {
            disk: VirtualDisk::new(profile, rng),
            tickets: Ticket(0),
            done: BTreeMap::new(),
        })))
    }

    /// The two stores, for one boot of a node.
    pub fn stores(&self) -> (DeviceLog, DeviceRecords) {
        (DeviceLog(self.clone()), DeviceRecords(self.clone()))
    }

    /// The power goes. Its node must have been killed: nobody is answered any more.
    pub fn crash(&self) {
        let mut state = self.lock();
        state.disk.crash(now_us());
        state.done.clear();
    }

    /// Looks at the disk, or disturbs it.
    pub fn with<T>(&self, look: impl FnOnce(&mut VirtualDisk) -> T) -> T {
        look(&mut self.lock().disk)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while holding it is the failure that the test reports.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, ask: impl FnOnce(&mut VirtualDisk, u64, Ticket)) -> Ticket {
        let mut state = self.lock();
        state.tickets = state.tickets.next();
        let ticket = state.tickets;
        ask(&mut state.disk, now_us(), ticket);
        ticket
    }

    /// Waits until the disk has done what `ticket` asks.
    async fn answer(&self, ticket: Ticket) -> Answer {
        loop {
            let next_us = {
                let mut state = self.lock();
                let at_us = now_us();
                while let Some(answer) = state.disk.poll(at_us) {
                    state.done.insert(ticket_of(&answer), answer);
                }
                if let Some(answer) = state.done.remove(&ticket) {
                    return answer;
                }
                state.disk.next_at_us()
            };
            // What was asked is never forgotten but by a crash, and then nobody waits.
            until_us(next_us.unwrap_or(u64::MAX / 2)).await;
        }
    }

    async fn committed(&self, ticket: Ticket) -> Result<Room, StorageError> {
        match self.answer(ticket).await {
            Answer::Committed(_, result) => result,
            other => unreachable!("a commit was answered with {other:?}"),
        }
    }

    async fn fetched(&self, fetch: Fetch) -> Result<Fetched, StorageError> {
        let ticket = self.ask(|disk, at_us, ticket| disk.fetch(at_us, ticket, fetch));
        match self.answer(ticket).await {
            Answer::Fetched(_, result) => result,
            other => unreachable!("a fetch was answered with {other:?}"),
        }
    }
}

fn ticket_of(answer: &Answer) -> Ticket {
    match answer {
        Answer::Committed(ticket, _) | Answer::Applied(ticket, _) | Answer::Fetched(ticket, _) => *ticket,
    }
}

impl LogStore for DeviceLog {
    async fn recover(&mut self) -> Result<LogState, StorageError> {
        match self.0.fetched(Fetch::Recover).await? {
            Fetched::Recovered { log, room, .. } => Ok(LogState { range: log, room }),
            other => unreachable!("a recovery was answered with {other:?}"),
        }
    }

    async fn room(&mut self) -> Result<Room, StorageError> {
        let ticket = self.0.ask(|disk, at_us, ticket| disk.commit(at_us, ticket, None));
        self.0.committed(ticket).await
    }

    async fn append(&mut self, entries: &[(u64, Bytes)]) -> Result<Room, StorageError> {
        let entries = entries.iter().cloned();
        let commit = |entry| {
            self.0
                .ask(|disk, at_us, ticket| disk.commit(at_us, ticket, Some(entry)))
        };
        let tickets: Vec<Ticket> = entries.map(commit).collect();
        let mut appended = Ok(Room { bytes: 0 });
        for ticket in tickets {
            let result = self.0.committed(ticket).await;
            appended = appended.and(result);
        }
        appended
    }

    async fn cut(&mut self, upto: u64) -> Result<(), StorageError> {
        self.0.with(|disk| disk.cut(upto));
        Ok(())
    }

    async fn read(&mut self, from: u64, limit_bytes: usize) -> Result<(Vec<(u64, Bytes)>, bool), StorageError> {
        match self.0.fetched(Fetch::Log { from, limit_bytes }).await? {
            Fetched::Log { entries, done } => Ok((entries, done)),
            other => unreachable!("a read of the log was answered with {other:?}"),
        }
    }
}

impl RecordStore for DeviceRecords {
    async fn recover(&mut self) -> Result<u64, StorageError> {
        // The failure of the log is the log's to forget: a read takes the time that looking takes, and changes nothing.
        let (after, limit_bytes) = (None, 0);
        self.0.fetched(Fetch::Records { after, limit_bytes }).await?;
        Ok(self.0.with(|disk| disk.applied()))
    }

    async fn apply(&mut self, upto: u64, puts: &[(Bytes, Bytes)], deletes: &[Bytes]) -> Result<(), StorageError> {
        let (puts, deletes) = (puts.to_vec(), deletes.to_vec());
        let ask = |disk: &mut VirtualDisk, at_us, ticket| {
            let apply = Apply {
                ticket,
                upto,
                puts,
                deletes,
            };
            disk.apply(at_us, apply);
        };
        let ticket = self.0.ask(ask);
        match self.0.answer(ticket).await {
            Answer::Applied(_, result) => result,
            other => unreachable!("an apply was answered with {other:?}"),
        }
    }

    async fn read(
        &mut self,
        after: Option<&[u8]>,
        limit_bytes: usize,
    ) -> Result<(Vec<(Bytes, Bytes)>, bool), StorageError> {
        let after = after.map(Bytes::copy_from_slice);
        match self.0.fetched(Fetch::Records { after, limit_bytes }).await? {
            Fetched::Records { rows, done } => Ok((rows, done)),
            other => unreachable!("a read of the records was answered with {other:?}"),
        }
    }
}
