//! One node under a fuzzer, in the hands of a host that keeps every rule and sees that the node does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use kernel::env::{ConnId, Limits, Now, PeerId, Ticket};
use kernel::machine::{ConnKind, Envelope, Input, Machine, Output, Phase, Role, StorageError};
use kernel::node::{Node, NodeConfig};
use kernel::wire::peer::PeerMessage;
use kernel::wire::server::ServerMessage;

use super::frames::Asked;
use super::stores::Stores;
use crate::model::{State, Version, merge, show, state_in};

/// Bytes of last words to a connection that is closed, beyond what may be unsent.
const LAST_WORDS_BYTES: u64 = 1 << 10;

/// An open connection, as the host knows it.
pub(super) struct Conn {
    pub kind: ConnKind,
    /// The node has asked for its end.
    pub closing: bool,
    /// Another node is at the other end.
    pub linked: bool,
    /// Bytes that the node has given for it and that were not drained or dropped; and of those, the bytes that have left.
    pub unsent: u64,
    pub left: u64,
    /// Frames that have left for the other node.
    pub outgoing: VecDeque<Bytes>,
    /// It has shown the right token, or needs none.
    pub granted: bool,
    /// A damaged frame was received: what it asked for nobody knows.
    pub damaged: bool,
    asked: BTreeMap<u64, Asked>,
    frames: Vec<Vec<u64>>,
}

/// A node and its host.
pub(super) struct Guest {
    config: NodeConfig,
    node: Option<Node>,
    pub stores: Stores,
    pub now: Now,
    pub conns: BTreeMap<ConnId, Conn>,
    pub dials: VecDeque<PeerId>,
    wake_us: Option<u64>,
    phase: Option<Phase>,
    /// Of the last commit, the last apply and the last read.
    last_tickets: [Ticket; 3],
    next_conn: u64,
    boots: u8,
    /// Every write that was acknowledged.
    promised: State,
}

impl Guest {
    pub fn new(config: NodeConfig) -> Self {
        assert_eq!(config.check(), Ok(()));
        Self {
            config,
            node: None,
            stores: Stores::new(1 << 20),
            now: Now {
                wall_ms: 1_000_000,
                mono_us: 0,
            },
            conns: BTreeMap::new(),
            dials: VecDeque::new(),
            wake_us: None,
            phase: None,
            last_tickets: [Ticket(0); 3],
            next_conn: 1,
            boots: 0,
            promised: State::new(),
        }
    }

    fn limits(&self) -> &Limits {
        &self.config.limits
    }

    pub fn is_up(&self) -> bool {
        self.node.is_some()
    }

    pub fn boot(&mut self, salt: u8) {
        if self.is_up() {
            return;
        }
        self.boots = self.boots.wrapping_add(1);
        self.now.mono_us = 0;
        self.next_conn = 1;
        self.last_tickets = [Ticket(0); 3];
        self.node = Some(Node::new(self.config.clone()));
        let mut entropy = [self.boots; 32];
        entropy[0] = salt;
        self.step(Input::Boot { entropy });
    }

    /// Only the disk is left.
    pub fn crash(&mut self, survivors: usize, apply: bool) {
        self.node = None;
        self.stores.crash(survivors, apply);
        self.conns.clear();
        self.dials.clear();
        self.wake_us = None;
        self.phase = None;
    }

    pub fn open(&mut self, kind: ConnKind, peer: Option<PeerId>, linked: bool) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let entry = Conn {
            kind,
            closing: false,
            linked,
            unsent: 0,
            left: 0,
            outgoing: VecDeque::new(),
            granted: self.config.secret.is_none(),
            damaged: false,
            asked: BTreeMap::new(),
            frames: Vec::new(),
        };
        self.conns.insert(conn, entry);
        self.step(Input::Opened { conn, kind, peer });
        conn
    }

    pub fn close(&mut self, conn: ConnId) {
        if self.conns.remove(&conn).is_some() {
            self.step(Input::Closed { conn });
        }
    }

    pub fn drain_bytes(&mut self, conn: ConnId, most: u64) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        let bytes = entry.left.min(most);
        entry.left -= bytes;
        entry.unsent -= bytes;
        self.step(Input::Drained { conn, bytes });
    }

    /// A client's frame, of which is known what it asks for.
    pub fn hear(&mut self, conn: ConnId, frame: &[u8], asked: Vec<Asked>, opens: bool) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        entry.granted |= opens;
        entry.frames.push(asked.iter().map(|(id, ..)| *id).collect());
        entry.asked.extend(asked.into_iter().map(|asked| (asked.0, asked)));
        self.step(Input::Received { conn, frame });
    }

    /// A frame of which nothing is known.
    pub fn hear_damaged(&mut self, conn: ConnId, frame: &[u8]) {
        let Some(entry) = self.conns.get_mut(&conn) else { return };
        entry.damaged = true;
        self.step(Input::Received { conn, frame });
    }

    pub fn settle(&mut self, fail: Option<StorageError>, survivors: usize) {
        let Some((ticket, result, envelopes)) = self.stores.settle(fail, survivors) else {
            return;
        };
        for envelope in envelopes {
            match result {
                Ok(_) => self.leave(envelope),
                Err(_) => self.dropped(&envelope),
            }
        }
        self.step(Input::Committed { ticket, result });
    }

    pub fn applied(&mut self, fail: Option<StorageError>) {
        if let Some((ticket, result)) = self.stores.applied(fail) {
            self.step(Input::Applied { ticket, result });
        }
    }

    pub fn fetched(&mut self, fail: Option<StorageError>) {
        if let Some((ticket, result)) = self.stores.fetched(fail) {
            self.step(Input::Fetched { ticket, result });
        }
    }

    /// Time goes on; what the node asked to be woken for is done on the way.
    pub fn advance(&mut self, us: u64) {
        const WAKES: usize = 64;
        let end_us = self.now.mono_us.saturating_add(us);
        for _ in 0..WAKES {
            let Some(at_us) = self.wake_us.filter(|at_us| *at_us <= end_us && self.is_up()) else {
                break;
            };
            self.pass(at_us.max(self.now.mono_us));
            self.step(Input::Wake);
        }
        self.pass(end_us);
        self.step(Input::Wake);
    }

    fn pass(&mut self, mono_us: u64) {
        let ms = (mono_us - self.now.mono_us) / 1_000;
        self.now.wall_ms = self.now.wall_ms.saturating_add(ms);
        self.now.mono_us = mono_us;
    }

    /// One step, and whatever the node asks to be woken for at once.
    pub fn step(&mut self, input: Input<'_>) {
        const AT_ONCE: usize = 16;
        self.one_step(input);
        for _ in 0..AT_ONCE {
            let at_once = self.wake_us.is_some_and(|at_us| at_us <= self.now.mono_us);
            if !at_once || !self.is_up() {
                return;
            }
            self.one_step(Input::Wake);
        }
        panic!(
            "the node asks to be woken at {:?} for ever; it is {:?}",
            self.wake_us, self.now
        );
    }

    fn one_step(&mut self, input: Input<'_>) {
        let Some(node) = &mut self.node else { return };
        let mut out = Output::default();
        node.step(self.now, input, &mut out);
        let ending: BTreeSet<ConnId> = out.close.iter().copied().collect();
        for envelope in out.send {
            self.given(&envelope);
            self.leave(envelope);
        }
        if let Some(commit) = out.commit {
            self.ticket(0, commit.ticket);
            for envelope in &commit.envelopes {
                assert!(
                    !ending.contains(&envelope.conn),
                    "what waits cannot leave before its connection closes"
                );
                self.given(envelope);
            }
            self.stores.commit(commit);
        }
        if let Some(apply) = out.apply {
            self.ticket(1, apply.ticket);
            self.stores.apply(apply);
        }
        if let Some(upto) = out.cut {
            self.stores.cut(upto);
        }
        for (ticket, fetch) in out.fetch {
            self.ticket(2, ticket);
            self.stores.fetch(ticket, fetch);
        }
        self.dials.extend(out.dial.iter().map(|dial| dial.peer));
        for conn in out.close {
            let entry = self.conns.get_mut(&conn).expect("only open connections are closed");
            assert!(!entry.closing, "a connection is closed once");
            entry.closing = true;
        }
        self.wake_us = out.wake;
        self.phase = out.phase.or(self.phase);
        match out.phase {
            Some(Phase::Ready { .. }) => self.ready(),
            Some(Phase::Failed { error }) => panic!("the node cannot read what it wrote: {error}"),
            Some(Phase::Stopped) => {
                assert!(self.stores.is_idle(), "a node that stopped waits for nothing");
                self.crash(0, false);
            }
            _ => {}
        }
    }

    fn ticket(&mut self, of: usize, ticket: Ticket) {
        let last = std::mem::replace(&mut self.last_tickets[of], ticket);
        assert!(ticket > last, "{ticket:?} was given after {last:?}");
    }

    fn given(&mut self, envelope: &Envelope) {
        let most = 2 * self.limits().unsent_bytes + self.limits().frame_bytes as u64 + LAST_WORDS_BYTES;
        let entry = self
            .conns
            .get_mut(&envelope.conn)
            .expect("envelopes go to open connections");
        assert!(!entry.closing, "nothing is said to a connection that was closed");
        entry.unsent += envelope.frame.len() as u64;
        assert!(entry.unsent <= most, "{} bytes are unsent, over {most}", entry.unsent);
    }

    fn dropped(&mut self, envelope: &Envelope) {
        if let Some(entry) = self.conns.get_mut(&envelope.conn) {
            entry.unsent -= envelope.frame.len() as u64;
        }
    }

    fn leave(&mut self, envelope: Envelope) {
        let Some(entry) = self.conns.get_mut(&envelope.conn).filter(|entry| !entry.closing) else {
            return self.dropped(&envelope);
        };
        entry.left += envelope.frame.len() as u64;
        if entry.kind.role == Role::Peer {
            let read = PeerMessage::decode(&envelope.frame);
            assert!(read.is_ok(), "a node understands what a node says: {read:?}");
            if entry.linked {
                entry.outgoing.push_back(envelope.frame);
            }
            return;
        }
        let message = ServerMessage::decode(&envelope.frame, 64);
        if let Ok(ServerMessage::Value { .. } | ServerMessage::QueryResp { .. } | ServerMessage::QueryUpdate(_)) =
            message
        {
            assert!(
                envelope.frame.len() <= entry.kind.frame_bytes,
                "{} bytes are too many",
                envelope.frame.len()
            );
        }
        let shows = matches!(
            message,
            Ok(ServerMessage::OpAck { .. } | ServerMessage::Value { .. } | ServerMessage::QueryResp { .. })
                | Ok(ServerMessage::QueryUpdate(_) | ServerMessage::Status { .. })
        );
        assert!(
            !shows || entry.granted || entry.damaged,
            "{message:?} for somebody without a token"
        );
        match message {
            // What was refused for good is covered by an acknowledgement that comes after it.
            Ok(ServerMessage::OpRejected { id, .. }) => {
                id.parse().ok().and_then(|id: u64| entry.asked.remove(&id));
            }
            Ok(ServerMessage::OpAck { last_id, beyond, .. }) if !entry.damaged => {
                let last = last_id.parse().ok();
                let has = |frame: &&Vec<u64>| last.is_some_and(|last| frame.contains(&last));
                let frame = entry.frames.iter().find(has).into_iter().flatten();
                let upto = frame.take_while(|id| Some(**id) <= last).copied();
                let beyond = beyond.into_iter().filter_map(|done| done.id.parse().ok());
                let ids: Vec<u64> = upto.chain(beyond).collect();
                let done: Vec<Asked> = ids.iter().filter_map(|id| entry.asked.get(id).cloned()).collect();
                self.acknowledged(&done);
            }
            _ => {}
        }
    }

    /// What is acknowledged is on disk, or something that wins over it.
    fn acknowledged(&mut self, done: &[Asked]) {
        let disk = self.stores.state();
        for (_, key, version) in done {
            holds(&disk, key, version, "acknowledged");
            merge(&mut self.promised, key, version);
        }
    }

    /// Recovered: what was acknowledged is there, and memory is what the disk holds.
    fn ready(&mut self) {
        let disk = self.stores.state();
        let memory = self
            .node
            .as_ref()
            .map(|node| state_in(node.store().rows()))
            .unwrap_or_default();
        assert_eq!(memory, disk, "a recovered node holds what its disk holds");
        for (key, version) in &self.promised {
            holds(&disk, key, version, "recovered");
        }
    }

    /// Everything is answered, as often as it takes.
    pub fn rest(&mut self) {
        for _ in 0..200 {
            self.settle(None, 0);
            self.applied(None);
            self.fetched(None);
            let conns: Vec<ConnId> = self.conns.keys().copied().collect();
            for conn in conns {
                self.drain_bytes(conn, u64::MAX);
                if self.conns.get(&conn).is_some_and(|entry| entry.closing) {
                    self.close(conn);
                }
            }
            if self.stores.is_idle() {
                return;
            }
        }
    }

    /// Whether it has read its storage. Who has not been let into a cluster yet serves nothing.
    pub fn has_recovered(&self) -> bool {
        matches!(self.phase, Some(Phase::Ready { .. } | Phase::Joining))
    }
}

fn holds(state: &State, key: &Bytes, version: &Version, what: &str) {
    let held = state.get(key);
    let (promised, there) = (show(key, Some(version)), show(key, held));
    assert!(
        held.is_some_and(|held| held >= version),
        "{promised} was {what}; there is {there}"
    );
}
