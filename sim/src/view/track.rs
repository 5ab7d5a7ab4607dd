//! What one node is and has, as it changes: what the page needs to show its state at any time.

use std::collections::BTreeMap;

use kernel::env::ConnId;
use kernel::machine::{Input, Role};

use super::json::Object;
use super::steps;
use super::table::Tables;
use crate::disk::VirtualDisk;
use crate::endpoint::Endpoint;
use crate::model::{LogReader, State, merge, state_of};
use crate::trace::Step;

/// A reading of a clock that differs by less is the same: two times are rounded down for it.
const SAME_CLOCK_MS: u64 = 2;

/// A connection of one node.
#[derive(Debug)]
struct Conn {
    id: ConnId,
    at_us: u64,
    until_us: Option<u64>,
    role: Role,
    dialled: bool,
    /// Who is at the other end, once it has said something.
    remote: Option<Endpoint>,
}

/// What one node is and has.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// From when to when it was up.
    up: Vec<(u64, Option<u64>)>,
    phases: Vec<(u64, String)>,
    /// How far its wall clock is ahead.
    clock: Vec<(u64, i64)>,
    /// The last entry of its log that is durable, and the last that its records hold.
    log: Vec<(u64, u64, u64)>,
    /// Versions that became the winning one on its disk; `None` where the disk was emptied.
    durable: Vec<(u64, Option<i64>)>,
    conns: Vec<Conn>,
    open: BTreeMap<ConnId, usize>,
    reader: LogReader,
    state: State,
}

impl Track {
    pub fn booted(&mut self, at_us: u64) {
        self.up.push((at_us, None));
    }

    pub fn crashed(&mut self, at_us: u64) {
        if let Some((_, until_us @ None)) = self.up.last_mut() {
            *until_us = Some(at_us);
        }
        self.phases.push((at_us, "down".into()));
        for conn in std::mem::take(&mut self.open).into_values() {
            self.conns[conn].until_us = Some(at_us);
        }
    }

    /// Who is at the other end of an open connection, as far as that is known.
    pub fn remote(&self, conn: ConnId) -> Option<Endpoint> {
        self.open.get(&conn).and_then(|open| self.conns[*open].remote)
    }

    /// Takes note of a step. `from` is who sent the frame that the node was told.
    pub fn step(&mut self, at_us: u64, step: &Step<'_>, from: Option<Endpoint>, ahead_ms: i64) {
        let before = self.clock.last();
        if before.is_none_or(|(_, before)| before.abs_diff(ahead_ms) >= SAME_CLOCK_MS) {
            self.clock.push((at_us, ahead_ms));
        }
        if let Some(phase) = &step.output.phase {
            self.phases.push((at_us, steps::phase(phase)));
        }
        match step.input {
            Input::Opened { conn, kind, peer } => {
                self.open.insert(*conn, self.conns.len());
                self.conns.push(Conn {
                    id: *conn,
                    at_us,
                    until_us: None,
                    role: kind.role,
                    dialled: peer.is_some(),
                    remote: None,
                });
            }
            Input::Received { conn, .. } => {
                if let Some(open) = self.open.get(conn) {
                    let remote = &mut self.conns[*open].remote;
                    *remote = remote.or(from);
                }
            }
            Input::Closed { conn } => {
                if let Some(open) = self.open.remove(conn) {
                    self.conns[open].until_us = Some(at_us);
                }
            }
            _ => {}
        }
    }

    /// Takes note of what has become durable.
    pub fn follow(&mut self, at_us: u64, disk: &VirtualDisk, tables: &mut Tables) -> Result<(), String> {
        for (_, entry) in self.reader.new_entries(disk)? {
            entry.take_away(&mut self.state);
            for (key, version) in &entry.changes {
                merge(&mut self.state, key, version);
                if self.state.get(key) == Some(version) {
                    self.durable.push((at_us, Some(tables.version(key, version))));
                }
            }
        }
        self.follow_log(at_us, disk);
        Ok(())
    }

    /// The disk is another one, or `None`: nothing that can be read is left of it.
    pub fn disk_changed(&mut self, at_us: u64, disk: Option<&VirtualDisk>, tables: &mut Tables) {
        self.durable.push((at_us, None));
        self.reader = LogReader::default();
        self.state = State::new();
        let Some(disk) = disk else { return };
        // What is on it is looked at as a whole; only what comes after it is read entry by entry.
        let _ = self.reader.new_entries(disk);
        self.state = state_of(disk).unwrap_or_default();
        for (key, version) in &self.state {
            self.durable.push((at_us, Some(tables.version(key, version))));
        }
        self.follow_log(at_us, disk);
    }

    fn follow_log(&mut self, at_us: u64, disk: &VirtualDisk) {
        let (last, applied) = (disk.last_durable(), disk.applied());
        let before = self.log.last().map(|(_, last, applied)| (*last, *applied));
        if before != Some((last, applied)) {
            self.log.push((at_us, last, applied));
        }
    }

    /// As the page reads it. Something that has not ended is written as ending at -1.
    pub fn write(&self, tables: &mut Tables, lane: impl Fn(Endpoint) -> usize) -> Object {
        let ends = |until_us: Option<u64>| until_us.map_or(-1, u64::cast_signed);
        let mut out = Object::new();
        out.lists(
            "up",
            self.up.iter().map(|(at, until)| vec![at.cast_signed(), ends(*until)]),
        );
        let phases: Vec<_> = self
            .phases
            .iter()
            .map(|(at, text)| (at, tables.text(text.as_str())))
            .collect();
        out.lists(
            "phases",
            phases.into_iter().map(|(at, text)| vec![at.cast_signed(), text]),
        );
        out.lists(
            "clock",
            self.clock.iter().map(|(at, ahead)| vec![at.cast_signed(), *ahead]),
        );
        let log = self.log.iter();
        out.lists(
            "log",
            log.map(|(at, last, applied)| [*at, *last, *applied].map(u64::cast_signed).to_vec()),
        );
        out.steps("durable_at", self.durable.iter().map(|(at, _)| *at));
        out.numbers("durable", self.durable.iter().map(|(_, version)| version.unwrap_or(-1)));
        out.lists(
            "conns",
            self.conns.iter().map(|conn| {
                let remote = conn.remote.map_or(-1, |who| lane(who) as i64);
                let peer = i64::from(conn.role == Role::Peer);
                let dialled = i64::from(conn.dialled);
                let id = conn.id.0.cast_signed();
                vec![id, conn.at_us.cast_signed(), ends(conn.until_us), peer, dialled, remote]
            }),
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::DiskProfile;
    use kernel::env::SeededRng;

    #[test]
    fn another_disk_empties_what_was_held() {
        let mut track = Track::default();
        let mut tables = Tables::default();
        track.disk_changed(5, None, &mut tables);
        let disk = VirtualDisk::new(DiskProfile::default(), SeededRng::from_u64(1));
        track.disk_changed(7, Some(&disk), &mut tables);
        assert_eq!(track.durable, [(5, None), (7, None)]);
        assert_eq!(track.log, [(7, 0, 0)]);
        let written = track.write(&mut tables, |_| 0).finish();
        assert!(written.contains("\"durable\":[-1,-1]"), "{written}");
    }

    #[test]
    fn a_node_is_up_until_it_crashes() {
        let mut track = Track::default();
        track.booted(1);
        track.crashed(4);
        track.booted(9);
        assert_eq!(track.up, [(1, Some(4)), (9, None)]);
        assert_eq!(track.phases, [(4, "down".to_string())]);
    }
}
