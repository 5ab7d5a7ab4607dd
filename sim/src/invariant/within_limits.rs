//! **Promises** that what a node holds for others stays within its limits, whoever is slow, silent or greedy: unsent bytes of each
//! connection and of all together, commit bytes in flight, connections, live queries of a connection, the length of a frame;
//! and that the log does not outgrow the records: once `apply_bytes` wait, an apply begins.
//! **From** the fourth law of the kernel (everything has a limit; memory never grows with someone else's greed), and
//! TigerBeetle's static limits. The counterexample is the queue without a bound, behind a reader that does not read. All is
//! counted from what goes in and what comes out; the node is not asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use kernel::env::{ConnId, Limits, Ticket};
use kernel::machine::{Fetch, Input, Phase, Role};
use kernel::store::{ENTRY_BYTES, decode_entry, system_bytes};
use kernel::wire::client::ClientMessage;
use kernel::wire::server::ServerMessage;

use super::{Invariant, Seen};
use crate::trace::Step;
use crate::traffic::{Traffic, given};

/// See the module.
#[derive(Debug)]
pub struct WithinLimits {
    limits: Limits,
    nodes: BTreeMap<usize, Node>,
}

#[derive(Debug, Default)]
struct Node {
    traffic: Traffic,
    /// The client whose frame this step took, if it had more unsent than it may.
    was_full: Option<ConnId>,
    entries: VecDeque<Entry>,
    /// Live queries of each connection.
    live: BTreeMap<ConnId, BTreeSet<String>>,
    serves: bool,
    /// Bytes of changes that the log holds and no apply took yet. A failed apply gives back what it took.
    behind_bytes: u64,
    applying_bytes: Option<u64>,
    hold_until_us: u64,
}

/// A log entry in flight.
#[derive(Debug)]
struct Entry {
    ticket: Ticket,
    bytes: u64,
    changes: usize,
    /// Bytes of its keys and records.
    content_bytes: u64,
}

impl WithinLimits {
    /// Of nodes with these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            nodes: BTreeMap::new(),
        }
    }
}

/// The names of what a client's frame asks for.
fn asked_for(frame: &[u8], depth: usize) -> BTreeSet<String> {
    match ClientMessage::decode(frame, depth) {
        Ok(ClientMessage::Op(ops) | ClientMessage::Batch(ops)) => {
            let ids = ops.map(|op| op.map_or_else(|bad| bad.id, |op| op.id));
            ids.map(str::to_string).collect()
        }
        Ok(ClientMessage::Get(get)) => [get.id.to_string()].into(),
        Ok(ClientMessage::Agreed(ask)) => [ask.id.to_string()].into(),
        Ok(ClientMessage::QuerySub(sub)) => [sub.id.to_string()].into(),
        _ => BTreeSet::new(),
    }
}

impl Node {
    fn follow(&mut self, step: &Step<'_>, limits: &Limits) {
        self.was_full = self.full_client(step, limits);
        self.traffic.step(step);
        self.follow_log(step, limits);
        match step.input {
            Input::Closed { conn } => _ = self.live.remove(conn),
            Input::Received { conn, frame } if self.live.contains_key(conn) => {
                if let Ok(ClientMessage::QueryUnsub { id }) = ClientMessage::decode(frame, limits.depth) {
                    self.live.entry(*conn).or_default().remove(id);
                }
            }
            _ => {}
        }
        for envelope in given(step) {
            let is_push = |open: &crate::traffic::Conn| open.kind.role == Role::Client && open.kind.push;
            let pushed = self.traffic.conns.get(&envelope.conn).is_some_and(is_push);
            if !pushed || !speaks_of_queries(&envelope.frame) {
                continue;
            }
            match ServerMessage::decode(&envelope.frame, limits.depth) {
                Ok(ServerMessage::QueryResp { id, .. }) => {
                    self.live.entry(envelope.conn).or_default().insert(id.into());
                }
                Ok(ServerMessage::Error { request, .. }) => {
                    self.live.entry(envelope.conn).or_default().remove(request);
                }
                _ => {}
            }
        }
        for conn in &step.output.close {
            self.live.remove(conn);
        }
    }

    fn follow_log(&mut self, step: &Step<'_>, limits: &Limits) {
        match step.input {
            Input::Committed { ticket, result } => {
                if let Some(entry) = self.entries.pop_front_if(|entry| entry.ticket == *ticket) {
                    self.behind_bytes += if result.is_ok() { entry.content_bytes } else { 0 };
                }
                self.serves &= result.is_ok();
            }
            Input::Applied { result, .. } => {
                let bytes = self.applying_bytes.take().unwrap_or(0);
                if result.is_err() {
                    self.behind_bytes += bytes;
                    self.hold_until_us = step.now.mono_us + limits.apply_delay_ms * 1_000;
                }
            }
            _ => {}
        }
        let output = step.output;
        if let Some((commit, (_, bytes))) = output
            .commit
            .as_ref()
            .and_then(|commit| Some((commit, commit.entry.as_ref()?)))
        {
            let said = decode_entry(bytes).unwrap_or_default();
            let changes = said.changes.iter();
            let changes = changes.map(|change| change.key.as_bytes().len() + change.record.as_bytes().len());
            let content = changes.chain(said.system.values().map(Bytes::len));
            // What the node keeps of itself is small, and waits for nobody.
            let system: u64 = said
                .system
                .iter()
                .map(|(name, row)| system_bytes(name.len(), row.len()))
                .sum();
            self.entries.push_back(Entry {
                ticket: commit.ticket,
                bytes: (bytes.len() as u64).saturating_sub(system),
                changes: said.changes.len(),
                content_bytes: content.sum::<usize>() as u64,
            });
        }
        if let Some(apply) = &output.apply {
            // One that puts nothing only deletes what was dropped: what waits still waits.
            let waits = apply.puts.is_empty();
            let bytes = if waits {
                0
            } else {
                std::mem::take(&mut self.behind_bytes)
            };
            self.applying_bytes = Some(bytes);
        }
        match output.phase {
            // What it found in its storage it has counted for itself: from here on there is at least what comes now.
            Some(Phase::Ready { .. }) => {
                self.serves = true;
                self.behind_bytes = 0;
            }
            Some(_) => self.serves = false,
            None => {}
        }
        if output.fetch.iter().any(|(_, fetch)| *fetch == Fetch::Recover) {
            self.hold_until_us = 0;
        }
    }

    /// Which limit is exceeded after a step, if one is.
    fn excess(&self, step: &Step<'_>, limits: &Limits) -> Option<String> {
        self.excess_of_bytes(step, limits)
            .or_else(|| self.excess_of_answers(step, limits))
            .or_else(|| self.excess_of_entries(step, limits))
            .or_else(|| self.excess_of_connections(step, limits))
    }

    fn excess_of_bytes(&self, step: &Step<'_>, limits: &Limits) -> Option<String> {
        // What little every connection may have unsent, however much all of them have together.
        const LITTLE_BYTES: u64 = 64 << 10;
        let most = 2 * limits.unsent_bytes + limits.frame_bytes as u64;
        for envelope in given(step) {
            let Some(open) = self.traffic.conns.get(&envelope.conn) else {
                continue;
            };
            let (conn, bytes) = (envelope.conn.0, envelope.frame.len());
            if open.unsent_bytes > most {
                let unsent = open.unsent_bytes;
                return Some(format!("{unsent} bytes are unsent on connection {conn}, over {most}"));
            }
            let longest = open.kind.frame_bytes.min(limits.frame_bytes);
            if bytes > longest {
                return Some(format!(
                    "a frame for connection {conn} has {bytes} bytes, over {longest}"
                ));
            }
        }
        let little = LITTLE_BYTES.min(limits.unsent_bytes) + limits.chunk_bytes as u64;
        let most = limits.unsent_total_bytes + little * self.traffic.conns.len() as u64;
        let total = self.traffic.unsent_bytes;
        (total > most).then(|| format!("{total} bytes are unsent on all connections, over {most}"))
    }

    fn full_client(&self, step: &Step<'_>, limits: &Limits) -> Option<ConnId> {
        let Input::Received { conn, .. } = step.input else {
            return None;
        };
        let open = self.traffic.conns.get(conn)?;
        let is_full = open.kind.role == Role::Client && open.kind.push && open.unsent_bytes > limits.unsent_bytes;
        is_full.then_some(*conn)
    }

    /// Who does not read what it was answered is answered nothing but refusals.
    fn excess_of_answers(&self, step: &Step<'_>, limits: &Limits) -> Option<String> {
        let full = self.was_full?;
        let answers = given(step).filter(|envelope| envelope.conn == full);
        let messages = answers.map(|envelope| ServerMessage::decode(&envelope.frame, limits.depth));
        let Input::Received { frame, .. } = step.input else {
            return None;
        };
        let asked = asked_for(frame, limits.depth);
        // Answers to earlier requests, whose time has come, may come in the same step.
        let is_answer = |message: &Result<ServerMessage<'_>, _>| match message {
            Ok(ServerMessage::OpAck { last_id, beyond, .. }) => {
                asked.contains(*last_id) || beyond.iter().any(|done| asked.contains(done.id))
            }
            Ok(ServerMessage::OpRejected { id, .. } | ServerMessage::Value { id, .. }) => asked.contains(*id),
            Ok(ServerMessage::QueryResp { id, .. }) => asked.contains(*id),
            Ok(ServerMessage::Error { .. } | ServerMessage::AuthFail { .. } | ServerMessage::QueryUpdate(_)) => false,
            // What has no name answers what has none.
            _ => asked.is_empty(),
        };
        let taken = messages.into_iter().any(|message| is_answer(&message));
        let most = limits.unsent_bytes;
        taken.then(|| {
            format!(
                "a request was taken on connection {}, with more than {most} bytes unsent",
                full.0
            )
        })
    }

    fn excess_of_entries(&self, step: &Step<'_>, limits: &Limits) -> Option<String> {
        if step.output.commit.is_some() {
            let flying: u64 = self.entries.iter().map(|entry| entry.bytes).sum();
            let changes: usize = self.entries.iter().map(|entry| entry.changes).sum();
            let most = limits.commit_bytes_in_flight + ENTRY_BYTES;
            // One change always fits, however large it is.
            if flying > most && changes > 1 {
                return Some(format!(
                    "{changes} changes are in flight in {flying} bytes, over {most}"
                ));
            }
        }
        let due = self.serves && self.applying_bytes.is_none() && step.now.mono_us >= self.hold_until_us;
        let (behind, most) = (self.behind_bytes, limits.apply_bytes);
        (due && behind >= most).then(|| format!("{behind} bytes wait for an apply, {most} are enough, and none begins"))
    }

    fn excess_of_connections(&self, step: &Step<'_>, limits: &Limits) -> Option<String> {
        if let Input::Opened { .. } = step.input {
            let conns = self.traffic.conns.values();
            let accepted = conns.clone().filter(|open| !open.dialled).count();
            let clients = conns.filter(|open| open.kind.role == Role::Client).count();
            // An eighth is kept for nodes.
            let most = limits.connections - limits.connections / 8;
            if accepted > limits.connections || clients > most {
                return Some(format!("{accepted} connections were accepted, {clients} of clients"));
            }
        }
        let most = limits.subscriptions;
        let (conn, live) = self.live.iter().find(|(_, live)| live.len() > most)?;
        Some(format!(
            "connection {} has {} live queries, over {most}",
            conn.0,
            live.len()
        ))
    }
}

impl Invariant for WithinLimits {
    fn name(&self) -> &'static str {
        "within-limits"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.nodes.insert(*node, Node::default());
                Ok(())
            }
            Seen::Stepped { step, .. } => {
                let node = self.nodes.entry(step.node).or_default();
                node.follow(step, &self.limits);
                match node.excess(step, &self.limits) {
                    None => Ok(()),
                    Some(excess) => Err(format!("n{} stays within its limits; {excess}", step.node)),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Whether a frame may open or end a live query: the others are not read.
fn speaks_of_queries(frame: &[u8]) -> bool {
    let kind = frame.get(7..).unwrap_or_default();
    kind.starts_with(b"QUERY_RESP") || kind.starts_with(b"ERROR")
}
