//! What a node has given for each of its connections and not yet got rid of, counted from outside: from what goes in and what
//! comes out.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::env::{ConnId, Ticket};
use kernel::machine::{ConnKind, Envelope, Input};

use crate::trace::Step;

/// The connections of one node in one boot.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub conns: BTreeMap<ConnId, Conn>,
    /// The bytes of all connections together.
    pub unsent_bytes: u64,
    /// What waits for a commit: for whom, and how many bytes.
    held: BTreeMap<Ticket, Vec<(ConnId, u64)>>,
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub kind: ConnKind,
    /// This node dialled it.
    pub dialled: bool,
    pub unsent_bytes: u64,
}

/// The envelopes of a step, in the order of their places.
pub(crate) fn given<'s>(step: &Step<'s>) -> impl Iterator<Item = &'s Envelope> {
    let output = step.output;
    let waiting = output.commit.iter().flat_map(|commit| &commit.envelopes);
    output.send.iter().chain(waiting)
}

/// Whether a frame is of one of these kinds, as nodes write it: its kind comes first. What is of another need not be read.
pub(crate) fn is_one_of(frame: &[u8], kinds: &[&str]) -> bool {
    // A map of a few, the name `type`, and a short text.
    let (Some(b"\xa4type"), Some(head), Some(rest)) = (frame.get(1..6), frame.get(6), frame.get(7..)) else {
        return false;
    };
    let is = |kind: &&str| usize::from(*head) == 0xa0 + kind.len() && rest.starts_with(kind.as_bytes());
    kinds.iter().any(is)
}

impl Traffic {
    /// Takes note of a step.
    pub fn step(&mut self, step: &Step<'_>) {
        match step.input {
            Input::Opened { conn, kind, peer } => {
                let open = Conn {
                    kind: *kind,
                    dialled: peer.is_some(),
                    unsent_bytes: 0,
                };
                self.conns.insert(*conn, open);
            }
            Input::Drained { conn, bytes } => self.drain(*conn, *bytes),
            Input::Closed { conn } => self.close(*conn),
            Input::Committed { ticket, result: Ok(_) } => _ = self.held.remove(ticket),
            // All that is in flight fails with it: its envelopes are dropped.
            Input::Committed { result: Err(_), .. } => {
                for (conn, bytes) in std::mem::take(&mut self.held).into_values().flatten() {
                    self.drain(conn, bytes);
                }
            }
            _ => {}
        }
        let output = step.output;
        for Envelope { conn, frame } in given(step) {
            self.give(*conn, frame);
        }
        if let Some(commit) = output.commit.as_ref().filter(|commit| !commit.envelopes.is_empty()) {
            let held = commit.envelopes.iter();
            let held = held.map(|envelope| (envelope.conn, envelope.frame.len() as u64));
            self.held.insert(commit.ticket, held.collect());
        }
        for conn in &output.close {
            self.close(*conn);
        }
    }

    fn give(&mut self, conn: ConnId, frame: &Bytes) {
        if let Some(open) = self.conns.get_mut(&conn) {
            open.unsent_bytes += frame.len() as u64;
            self.unsent_bytes += frame.len() as u64;
        }
    }

    fn drain(&mut self, conn: ConnId, bytes: u64) {
        if let Some(open) = self.conns.get_mut(&conn) {
            let bytes = bytes.min(open.unsent_bytes);
            open.unsent_bytes -= bytes;
            self.unsent_bytes -= bytes;
        }
    }

    fn close(&mut self, conn: ConnId) {
        let gone = self.conns.remove(&conn);
        self.unsent_bytes -= gone.map_or(0, |open| open.unsent_bytes);
    }
}
