//! The reads of a client: each is asked until it is answered, or refused for good.

use kernel::env::{ConnId, Limits};
use kernel::store::RecordKey;
use kernel::wire::client::{Get, get_key};
use kernel::wire::op::Timestamp;
use kernel::wire::{Code, Consistency, ReadConsistency};

use super::{Action, Client, Found, Said};

/// A read that was not answered yet.
#[derive(Debug)]
pub(super) struct Reading {
    map: String,
    key: String,
    level: ReadConsistency,
    /// Asked, on the line that is open now.
    pub asked: bool,
    pub not_before_us: u64,
    /// Since when nobody has what this line's session was told of.
    pub behind_us: Option<u64>,
}

/// So long it is waited for what a session was told of: it may be lost. Another session was told of nothing.
const BEHIND_US: u64 = 5_000_000;

impl Reading {
    pub fn new(map: &str, key: &str, level: ReadConsistency) -> Self {
        Self {
            map: map.into(),
            key: key.into(),
            level,
            asked: false,
            not_before_us: 0,
            behind_us: None,
        }
    }

    /// How many replicas have to answer: as many as have to take a write of that level.
    pub fn takes(&self) -> Consistency {
        match self.level {
            ReadConsistency::Quorum => Consistency::Quorum,
            ReadConsistency::Owner | ReadConsistency::Any => Consistency::Eventual,
        }
    }

    pub fn name(&self) -> bytes::Bytes {
        let name = RecordKey::new(&self.map, self.key.as_bytes(), &Limits::default());
        name.expect("a plan's names are short").as_bytes().clone()
    }
}

/// Whether what was refused so may be asked again.
pub(super) fn can_retry(code: u64) -> bool {
    use Code::{Behind, ClockUnsure, NoQuorum, NotMember, NotReady, OutcomeUnknown, Overloaded, StorageFull};
    matches!(
        Code::from_number(code),
        Some(Overloaded | OutcomeUnknown | NotReady | StorageFull | NoQuorum | Behind | ClockUnsure | NotMember)
    )
}

impl Client {
    /// Asks what can be asked now, at most so many. How many that were.
    pub(super) fn ask_reads(&mut self, at_us: u64, conn: ConnId, most: usize, out: &mut Vec<Action>) -> usize {
        let due = self.reads.iter_mut();
        let due = due.filter(|(_, read)| !read.asked && read.not_before_us <= at_us);
        let mut asked = Vec::new();
        for (id, read) in due.take(most) {
            let get = Get {
                id: &id.to_string(),
                map: &read.map,
                key: read.key.as_bytes(),
                consistency: read.level,
            };
            read.asked = true;
            asked.push((*id, read.name(), read.level, get_key(&get)));
        }
        for (request, key, level, frame) in &asked {
            let (request, key, level) = (*request, key.clone(), *level);
            out.push(self.says(conn, Said::AsksToRead { request, key, level }));
            out.push(Action::Send(conn, frame.clone()));
        }
        asked.len()
    }

    /// A read was answered. What a client has read it writes after: its clock observes the stamp.
    pub(super) fn answered_read(
        &mut self,
        conn: ConnId,
        id: &str,
        found: Option<(&[u8], Timestamp<'_>)>,
        out: &mut Vec<Action>,
    ) {
        let asked = id.parse().ok().and_then(|id| self.reads.remove_entry(&id));
        let Some((request, read)) = asked else { return };
        if let Some((_, at)) = found.as_ref().filter(|_| !self.config.twin) {
            self.hlc.observe(at.stamp);
        }
        self.values_read += 1;
        let found = found.map(|(value, at)| Found::of(value, &at));
        let key = read.name();
        out.push(self.says(conn, Said::Found { request, key, found }));
    }

    /// A request with a name was refused: a read, or a query that is watched.
    pub(super) fn refused_request(&mut self, at_us: u64, conn: ConnId, id: u64, code: u64, out: &mut Vec<Action>) {
        if self.refused_register(at_us, conn, id, code, out) {
            return self.answered(at_us);
        }
        let Some(read) = self.reads.get_mut(&id).filter(|read| read.asked) else {
            return;
        };
        let for_good = !can_retry(code);
        let is_behind = code == u64::from(Code::Behind.number());
        let behind_us = is_behind.then(|| read.behind_us.unwrap_or(at_us));
        read.behind_us = behind_us;
        read.asked = false;
        read.not_before_us = at_us + self.config.patience_us / 3;
        if for_good {
            self.reads.remove(&id);
            self.refused += 1;
        }
        let request = id;
        out.push(self.says(conn, Said::Refused { request, for_good }));
        if !self.waits_for_replicas && behind_us.is_some_and(|since_us| at_us - since_us >= BEHIND_US) {
            self.hang_up(at_us, out);
        }
    }

    /// No replica has lost anything, and none does from now on.
    pub fn wait_for_replicas(&mut self) {
        self.waits_for_replicas = true;
    }

    pub(super) fn awaits_reads(&self) -> bool {
        self.reads.values().any(|read| read.asked)
    }
}
