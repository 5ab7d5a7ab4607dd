//! **Promises** that a read shows only what a crash at that moment would leave: a value that it shows is, or was, on the
//! node's disk when the answer leaves, be it a single value or a row of a query, asked for or pushed; and it does not hide a value behind a delete that is still in flight. The clock that
//! a node tells its clients is durable too, and so is every change that it forwards to a peer.
//! **From** the fifth rule of order in `kernel::machine` and rule 4 of the promises; the counterexample is the dirty read
//! that a crash makes a lie (Jepsen's analyses of stale and dirty reads).

use std::collections::BTreeMap;

use bytes::Bytes;
use fxhash::{FxHashMap, FxHashSet};
use kernel::crdt::Record;
use kernel::env::Limits;
use kernel::hlc::Stamp;
use kernel::machine::Role;
use kernel::wire::peer::PeerMessage;
use kernel::wire::query::Update;
use kernel::wire::server::ServerMessage;

use super::clock_forward::time;
use super::{Invariant, Seen};
use crate::denials::Denials;
use crate::disk::VirtualDisk;
use crate::model::{LogReader, Version, show, state_of};
use crate::traffic::is_one_of;

/// See the module.
#[derive(Debug, Default)]
pub struct ReadsDurable {
    nodes: BTreeMap<usize, Node>,
    /// What was on a disk that is another one by now: who was told of it before may show it after.
    lost: Known,
}

/// Values that were ever on a disk.
#[derive(Debug, Default)]
struct Known {
    /// By their stamp: an answer may be overtaken by a newer value while it waits.
    ever: FxHashMap<Stamp, Vec<Option<Bytes>>>,
    /// With their keys: rows of queries carry no stamp.
    rows: FxHashSet<(Bytes, Bytes)>,
}

impl Known {
    fn add(&mut self, key: &Bytes, version: &Version) {
        if let (Some(value), Some(end)) = (&version.value, key.iter().position(|byte| *byte == 0)) {
            self.rows.insert((key.slice(end + 1..), value.clone()));
        }
        self.ever.entry(version.stamp).or_default().push(version.value.clone());
    }

    fn absorb(&mut self, other: Self) {
        self.rows.extend(other.rows);
        for (stamp, values) in other.ever {
            self.ever.entry(stamp).or_default().extend(values);
        }
    }

    fn has(&self, stamp: Stamp, value: Option<&[u8]>) -> bool {
        let values = self.ever.get(&stamp).into_iter().flatten();
        values.map(|known| known.as_deref()).any(|known| known == value)
    }
}

#[derive(Debug, Default)]
struct Node {
    reader: LogReader,
    denials: Denials,
    /// The latest clock on disk, without its writer: a node tells it under its own name.
    clock: (u64, u16),
    known: Known,
}

impl Node {
    fn follow(&mut self, disk: &VirtualDisk) -> Result<(), String> {
        for (_, entry) in self.reader.new_entries(disk)? {
            self.clock = self.clock.max(time(entry.clock));
            for (key, version) in &entry.changes {
                self.known.add(key, version);
            }
            self.denials.logged(&entry);
        }
        Ok(())
    }

    /// The disk is another one: what was ever on the one before may not be on this.
    fn changed(&mut self, disk: Option<&VirtualDisk>) -> Result<(), String> {
        *self = Self::default();
        let Some(disk) = disk else { return Ok(()) };
        let state = state_of(disk)?;
        for (key, version) in &state {
            self.known.add(key, version);
        }
        self.denials = Denials::of(state);
        self.follow(disk)
    }

    /// The first change that a peer is told of and that is not on disk.
    fn forwarded_early(&self, frame: &[u8]) -> Option<(Bytes, Version)> {
        if !is_one_of(frame, &["CHANGES", "RECORDS", "GIVE"]) {
            return None;
        }
        let mut rows = PeerMessage::decode(frame).ok()?.rows()?;
        rows.find_map(|row| {
            let (key, record) = row.ok()?;
            let record = Record::decode(Bytes::copy_from_slice(record), &Limits::default()).ok()?;
            let version = record.version();
            let early = !self.known.has(version.stamp, version.value);
            early.then(|| (Bytes::copy_from_slice(key), Version::of(&version)))
        })
    }
}

impl ReadsDurable {
    fn known(&self) -> impl Iterator<Item = &Known> {
        let disks = self.nodes.values().map(|node| &node.known);
        disks.chain([&self.lost])
    }

    /// The first row of a query that a client is shown and that was never on a disk.
    fn shown_early<'f>(&self, mut rows: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Option<(&'f [u8], &'f [u8])> {
        let known = |key, value| {
            let row = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            self.known().any(|known| known.rows.contains(&row))
        };
        rows.find(|(key, value)| !known(key, value))
    }
}

impl Invariant for ReadsDurable {
    fn name(&self) -> &'static str {
        "reads-durable"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.nodes.entry(*node).or_default().denials.booted();
            }
            Seen::DiskChanged { node, disks } => {
                let disk = disks.get(*node).copied().flatten();
                let node = self.nodes.entry(*node).or_default();
                self.lost.absorb(std::mem::take(&mut node.known));
                node.changed(disk)?;
            }
            Seen::Stepped { step, disk } => {
                let node = self.nodes.entry(step.node).or_default();
                node.follow(disk)?;
                node.denials.stepped(step);
            }
            Seen::Left(left) if left.role == Role::Peer => {
                let node = self.nodes.entry(left.node).or_default();
                node.follow(left.disk)?;
                if let Some((key, version)) = node.forwarded_early(left.frame) {
                    let (number, early) = (left.node, show(&key, Some(&version)));
                    return Err(format!(
                        "n{number} forwards only what is on its disk; it forwarded {early}"
                    ));
                }
            }
            Seen::Left(left) => {
                let node = self.nodes.entry(left.node).or_default();
                node.follow(left.disk)?;
                let number = left.node;
                if let Some((key, version)) = node
                    .denials
                    .left(left.given)
                    .filter(|(_, version)| version.ttl_ms.is_none())
                {
                    let there = show(&key, Some(&version));
                    return Err(format!("n{number} read nothing where its disk has {there}"));
                }
                if !is_one_of(left.frame, &["AUTH_ACK", "QUERY_RESP", "QUERY_UPDATE", "VALUE"]) {
                    return Ok(());
                }
                let message = ServerMessage::decode(left.frame, Limits::default().depth);
                let durable_clock = node.clock;
                // What it shows may be another node's, which had it on disk when it told of it.
                let early = match &message {
                    Ok(ServerMessage::QueryResp { results, .. }) => self.shown_early(results.rows().flatten()),
                    Ok(ServerMessage::QueryUpdate(Update { key, value, .. })) => {
                        self.shown_early(value.iter().map(|value| (*key, *value)))
                    }
                    _ => None,
                };
                if let Some((key, value)) = early {
                    let key = String::from_utf8_lossy(key);
                    return Err(format!(
                        "n{number} shows only rows that are on its disk; it showed {value:02x?} under {key}"
                    ));
                }
                match message {
                    Ok(ServerMessage::Value {
                        found: Some((value, at)),
                        ..
                    }) => {
                        let known = self.known().any(|known| known.has(at.stamp, Some(value)));
                        if !known {
                            let (writer, ms) = (at.writer, at.stamp.millis());
                            return Err(format!(
                                "n{number} shows only what is on its disk; it showed {value:02x?} of {writer} at {ms}"
                            ));
                        }
                    }
                    Ok(ServerMessage::AuthAck { clock: Some(clock) }) if time(clock) > durable_clock => {
                        let (told, durable) = (time(clock), durable_clock);
                        return Err(format!(
                            "n{number} tells only a durable clock; it told {told:?}, and {durable:?} is"
                        ));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }
}
