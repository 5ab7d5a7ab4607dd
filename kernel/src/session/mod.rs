//! Floor 8: connections, whatever carries them, and what clients ask over them.

mod admit;
mod counts;
mod floors;
mod outbox;
mod place;
mod secret;
mod serve;
mod subscriptions;

use alloc::collections::BTreeMap;
use serde::{Deserialize, Serialize};

pub use counts::{Counts, Kind};
pub use floors::{Behind, Floor, Floors, Shown};
pub use outbox::{Outbox, Shows};
pub use place::{Coordinator, Place};
pub use secret::{Purpose, Secret};
pub use serve::{Desk, Request, Taken};
pub use subscriptions::{Asked, Name, Subscriptions, answer, read_query, refusal_of_query};

use crate::env::{ConnId, Limits, Mutant, Mutants, Ticket};
use crate::machine::{ConnKind, Role};

/// The open connections, with what is true of each whoever is at its other end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Conns {
    table: BTreeMap<ConnId, Conn>,
    /// The sum of what is unsent on all of them.
    unsent_bytes: u64,
    /// Connections that have yet to authenticate, by when their patience ends.
    deadlines: BTreeMap<(u64, ConnId), ()>,
    mutants: Mutants,
}

/// One open connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Conn {
    /// What it can do.
    pub kind: ConnKind,
    /// Whether its other end has shown that it may speak.
    pub access: Access,
    /// Bytes given to the host for it and not yet drained.
    pub unsent_bytes: u64,
    /// Nothing that came over it was refused that might yet be taken: acknowledgements may say "everything up to here".
    pub gapless: bool,
    /// The newest ticket that an envelope of this connection waits for.
    newest: Ticket,
    deadline_us: u64,
}

/// Whether the other end of a connection may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It has to authenticate first.
    Awaited,
    /// It may.
    Granted,
    /// It tried and failed: it is being closed, and what it still says is not heard.
    Refused,
}

impl Conns {
    /// None yet.
    pub fn new(mutants: Mutants) -> Self {
        Self {
            mutants,
            ..Self::default()
        }
    }

    /// Takes note of a new connection. One without access has [`Limits::silence_ms`] to gain it.
    pub fn open(&mut self, conn: ConnId, kind: ConnKind, access: Access, now_us: u64, limits: &Limits) {
        let deadline_us = now_us + limits.silence_ms * 1_000;
        if access == Access::Awaited && !self.mutants.is(Mutant::HandshakeWithoutEnd) {
            self.deadlines.insert((deadline_us, conn), ());
        }
        let entry = Conn {
            kind,
            access,
            unsent_bytes: 0,
            // Where frames are lost, so are operations before the one that is answered, and refusals on their way.
            gapless: kind.ordered,
            newest: Ticket(0),
            deadline_us,
        };
        let before = self.table.insert(conn, entry);
        assert!(before.is_none(), "the host used the number of {conn:?} twice");
    }

    /// Forgets a connection.
    pub fn remove(&mut self, conn: ConnId) -> Option<Conn> {
        let gone = self.table.remove(&conn)?;
        self.deadlines.remove(&(gone.deadline_us, conn));
        self.unsent_bytes -= gone.unsent_bytes;
        Some(gone)
    }

    /// One connection, if it is open.
    pub fn get(&self, conn: ConnId) -> Option<&Conn> {
        self.table.get(&conn)
    }

    /// Gives or refuses access.
    pub fn set_access(&mut self, conn: ConnId, access: Access) {
        if let Some(entry) = self.table.get_mut(&conn) {
            entry.access = access;
            if access == Access::Granted {
                self.deadlines.remove(&(entry.deadline_us, conn));
            }
        }
    }

    /// Something that came over it was refused, and might yet be taken.
    pub fn left_gap(&mut self, conn: ConnId) {
        if let Some(entry) = self.table.get_mut(&conn) {
            entry.gapless = false;
        }
    }

    /// Counts bytes given to the host.
    pub fn sent(&mut self, conn: ConnId, bytes: u64) {
        if self.mutants.is(Mutant::UnsentNotCounted) {
            return;
        }
        if let Some(entry) = self.table.get_mut(&conn) {
            entry.unsent_bytes += bytes;
            self.unsent_bytes += bytes;
        }
    }

    /// Counts bytes that the host has handed on, or that were dropped.
    pub fn drained(&mut self, conn: ConnId, bytes: u64) {
        if let Some(entry) = self.table.get_mut(&conn) {
            let times = if self.mutants.is(Mutant::DrainedTwice) { 2 } else { 1 };
            let bytes = (times * bytes).min(entry.unsent_bytes);
            entry.unsent_bytes -= bytes;
            self.unsent_bytes -= bytes;
        }
    }

    /// Whether the connection cannot be given `bytes` more and must be closed: it was told to slow down at half of that, or all
    /// of them together hold too much, and it is one of those who do not read.
    pub fn is_hopeless(&self, conn: &Conn, bytes: u64, limits: &Limits) -> bool {
        const LITTLE: u64 = 64 << 10;
        let most = 2 * limits.unsent_bytes + limits.frame_bytes as u64;
        let together = self.unsent_bytes + bytes > limits.unsent_total_bytes;
        conn.unsent_bytes + bytes > most || (together && conn.unsent_bytes > LITTLE.min(limits.unsent_bytes))
    }

    /// Whether the connection has as much unsent as it may. Its requests are refused until some of it has drained.
    pub fn is_full(&self, conn: ConnId, limits: &Limits) -> bool {
        self.get(conn).is_some_and(|c| c.unsent_bytes > limits.unsent_bytes)
    }

    /// The longest frame that may be given to the connection, in bytes.
    pub fn longest(&self, conn: ConnId, limits: &Limits) -> usize {
        let carries = self.get(conn).map_or(0, |c| c.kind.frame_bytes);
        carries.min(limits.frame_bytes)
    }

    /// Whether an envelope given now must wait behind others of this connection that wait for a ticket after `settled`.
    pub fn must_wait(&self, conn: ConnId, settled: Ticket) -> bool {
        self.get(conn).is_some_and(|c| c.kind.ordered && c.newest > settled)
    }

    /// An envelope of this connection waits for `ticket`.
    pub fn waits_for(&mut self, conn: ConnId, ticket: Ticket) {
        if let Some(entry) = self.table.get_mut(&conn) {
            entry.newest = ticket;
        }
    }

    /// The connections of one role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = ConnId> {
        self.table
            .iter()
            .filter(move |(_, c)| c.kind.role == role)
            .map(|(id, _)| *id)
    }

    /// The first connection whose patience has ended.
    pub fn expired(&self, now_us: u64) -> Option<ConnId> {
        let (&(deadline_us, conn), ()) = self.deadlines.first_key_value()?;
        (deadline_us <= now_us).then_some(conn)
    }

    /// When the next patience ends.
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines
            .first_key_value()
            .map(|(&(deadline_us, _), ())| deadline_us)
    }

    /// Whether there is a place for another connection of this role. An eighth is kept for nodes: clients must not be able
    /// to end replication by being many.
    pub fn has_place(&self, role: Role, limits: &Limits) -> bool {
        let kept = if role == Role::Client {
            limits.connections / 8
        } else {
            0
        };
        self.table.len() < limits.connections - kept
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(ordered: bool) -> ConnKind {
        ConnKind {
            role: Role::Client,
            push: true,
            ordered,
            frame_bytes: 1_000,
        }
    }

    #[test]
    fn envelopes_wait_behind_those_of_their_own_ordered_connection() {
        let (mut conns, limits) = (Conns::default(), Limits::default());
        for (conn, ordered) in [(1, true), (2, false), (3, true)] {
            conns.open(ConnId(conn), kind(ordered), Access::Granted, 0, &limits);
        }
        conns.waits_for(ConnId(1), Ticket(5));
        conns.waits_for(ConnId(2), Ticket(5));
        assert!(conns.must_wait(ConnId(1), Ticket(4)));
        assert!(!conns.must_wait(ConnId(1), Ticket(5)));
        assert!(!conns.must_wait(ConnId(2), Ticket(4)), "order is not promised there");
        assert!(!conns.must_wait(ConnId(3), Ticket(4)));
    }

    #[test]
    fn who_does_not_authenticate_in_time_is_found() {
        let (mut conns, limits) = (Conns::default(), Limits::default());
        let patience_us = limits.silence_ms * 1_000;
        conns.open(ConnId(1), kind(true), Access::Awaited, 10, &limits);
        conns.open(ConnId(2), kind(true), Access::Awaited, 20, &limits);
        conns.set_access(ConnId(1), Access::Granted);
        assert_eq!(conns.next_deadline_us(), Some(20 + patience_us));
        assert_eq!(conns.expired(19 + patience_us), None);
        assert_eq!(conns.expired(20 + patience_us), Some(ConnId(2)));
        conns.remove(ConnId(2));
        assert_eq!(conns.next_deadline_us(), None);
    }

    #[test]
    fn unsent_bytes_fill_and_drain() {
        let limits = Limits {
            unsent_bytes: 10,
            ..Limits::default()
        };
        let mut conns = Conns::default();
        conns.open(ConnId(1), kind(true), Access::Granted, 0, &limits);
        conns.sent(ConnId(1), 11);
        assert!(conns.is_full(ConnId(1), &limits));
        conns.drained(ConnId(1), 1);
        assert!(!conns.is_full(ConnId(1), &limits));
        conns.drained(ConnId(1), 1_000);
        assert_eq!(conns.get(ConnId(1)).unwrap().unsent_bytes, 0);
    }
}
