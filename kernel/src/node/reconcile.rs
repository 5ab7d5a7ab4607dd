//! Anti-entropy between two nodes: comparing everything, and exchanging what differs.
//!
//! One side begins a *round* with a digest for each partition. The other walks through the partitions that differ and
//! summarizes its versions in them, a chunk at a time; the first answers each summary with what the other lacks (`CHANGES`)
//! and what itself lacks (`WANT`), which also asks for the next. Nothing depends on a round being finished: a lost frame, a
//! full connection or a change in between leaves a difference that the next round finds.

use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;

use crate::crdt::{Record, Row, Version};
use crate::env::{ConnId, Limits, Mutant, Now};
use crate::hlc;
use crate::node::Node;
use crate::node::link::Walk;
use crate::node::moves::Part;
use crate::partition::PartitionId;
use crate::session::Shows;
use crate::store::{Maps, NoRoom, Position, RecordKey, change_bytes};
use crate::wire::cluster::Word;
use crate::wire::peer::{self, Changes, Keys, PeerMessage, Summary, VERSION_BYTES};

impl Node {
    /// Begins to compare everything with the other side.
    pub(super) fn begin_round(&mut self, conn: ConnId, now: Now) {
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        link.round += 1;
        self.tally.rounds += 1;
        link.behind = false;
        let round = link.round;
        if link.dialled.is_some() && !self.config.mutants.is(Mutant::CompareOnce) {
            link.round_due_us = Some(now.mono_us + self.config.limits.anti_entropy_ms * 1_000);
        }
        let digests = PartitionId::all().map(|id| self.store.partition(id).digest());
        let frame = peer::digests(round, digests);
        self.outbox.push(conn, frame, Shows::State);
    }

    /// Takes a message of a linked peer. `false`: it makes no sense, and the link is given up.
    pub(super) fn peer_data(&mut self, conn: ConnId, message: PeerMessage<'_>, now: Now) -> bool {
        match message {
            PeerMessage::Changes(changes) => self.take_changes(conn, changes, now),
            PeerMessage::Cluster(body) => match Word::decode(body) {
                Some(word) => {
                    self.heard_word(conn, word, now);
                    true
                }
                None => false,
            },
            PeerMessage::Digests { round, digests } => {
                self.begin_walk(conn, round, digests);
                true
            }
            PeerMessage::Summary(summary) => self.answer_summary(conn, summary, now),
            PeerMessage::Want { round, keys } => self.answer_want(conn, round, keys),
            PeerMessage::Hello(_) | PeerMessage::Proof(_) | PeerMessage::Ping(_) | PeerMessage::Pong { .. } => true,
        }
    }

    /// Merges what the peer sent. Its stamps were admitted once, elsewhere: here nobody asks about drift.
    fn take_changes(&mut self, conn: ConnId, changes: Changes<'_>, now: Now) -> bool {
        let mutants = self.config.mutants;
        self.source = Some(conn);
        let Changes { number, epoch, rows } = changes;
        // What is confirmed counts towards a majority: all of it, and with a replica that the sender counts rightly.
        let mut counts = true;
        for row in rows {
            if let Some(link) = self.peers.link(conn) {
                link.taken += 1;
            }
            let Ok((key, record)) = row else {
                return false;
            };
            let limits = &self.config.limits;
            let key = RecordKey::decode(Bytes::copy_from_slice(key), limits);
            let record = Record::decode(Bytes::copy_from_slice(record), limits);
            let (Ok(key), Ok(mut record)) = (key, record) else {
                // Beyond this node's limits, or no record at all: the others are none the worse for it.
                counts = false;
                continue;
            };
            counts &= self.counts(epoch, self.store.partition_of(&key)) || mutants.is(Mutant::StaleTableAccepted);
            if mutants.is(Mutant::TtlLostOnTheWay) {
                let ttl_ms = None;
                record = Record::new(&Version {
                    ttl_ms,
                    ..record.version()
                });
            }
            let held = self.store.partition(self.store.partition_of(&key));
            let version = record.version();
            if !held.would_change(&key, &version) {
                continue;
            }
            let stamp = version.stamp;
            if mutants.is(Mutant::DriftCheckedTwice) && hlc::is_ahead(stamp, now.wall_ms, limits.max_drift_ms) {
                continue;
            }
            let bytes = change_bytes(key.as_bytes().len(), record.as_bytes().len());
            if let Err(no_room) = self.store.room_for(bytes) {
                if no_room == NoRoom::Full {
                    self.store.fell_short();
                }
                // Not taken and not forgotten: the digests still differ, and a later round brings it again.
                counts = false;
                continue;
            }
            if !mutants.is(Mutant::ClockIgnoresPeers) {
                self.hlc.observe(stamp);
            }
            self.store.merge(key, record);
            self.tally.taken += 1;
        }
        match number {
            Some(number) if counts => self.to_confirm.entry(conn).or_default().push(number),
            Some(_) => self.teach(conn),
            None => {}
        }
        true
    }

    /// A word of a node about the cluster, or on behalf of a client.
    fn heard_word(&mut self, conn: ConnId, word: Word<'_>, now: Now) {
        let Some(node) = self.peers.node_at(conn) else {
            return;
        };
        match word {
            Word::Register(message) => self.register_message(node, message, now),
            Word::Filled(moves) => self.filled(node, &moves, now),
            Word::Pull {
                partition,
                since,
                from,
                digest,
            } => self.give_part(conn, partition, since, from, digest),
            Word::Part {
                partition,
                since,
                from,
                rows,
                next,
            } => {
                let part = Part {
                    partition,
                    since,
                    from,
                    rows,
                    next,
                };
                self.take_part(node, part, now);
            }
            Word::Taken(numbers) => self.waits.confirmed(node, &numbers),
            Word::Ask { request, epoch, frame } => self.asked(conn, request, epoch, frame, now),
            Word::Answer { request, reply } => self.node_answered(node, request, reply, now),
            Word::Read { request, epoch, key } => self.tell_held(conn, request, epoch, key),
            Word::Held { request, record } => self.held(node, request, record, now),
        }
    }

    fn begin_walk(&mut self, conn: ConnId, round: u64, digests: &[u8]) {
        let (theirs, _) = digests.as_chunks::<16>();
        let differing = PartitionId::all().zip(theirs).filter(|(id, theirs)| {
            let own = self.store.partition(*id).digest();
            own.to_be_bytes() != **theirs
        });
        let mut partitions: Vec<_> = differing.map(|(id, _)| id).collect();
        partitions.reverse();
        if let Some(link) = self.peers.link(conn) {
            link.walk = Some(Walk {
                round,
                partitions,
                from: None,
            });
            self.next_summary(conn);
        }
    }

    /// Sends the walk's next summary, or ends the walk.
    fn next_summary(&mut self, conn: ConnId) {
        let limits = &self.config.limits;
        let Some(link) = self.peers.link(conn) else {
            return;
        };
        let Some(walk) = &mut link.walk else {
            return;
        };
        let Some(id) = walk.partitions.last().copied() else {
            link.walk = None;
            return;
        };
        let partition = self.store.partition(id);
        let from = walk.from.take();
        let from = from.as_deref().and_then(Position::from_bytes);
        let mut until = None;
        let mut last = None;
        let mut rows = Vec::new();
        let mut bytes = 0;
        for (map, row) in partition.rows_from(from) {
            let position = Position { map, place: row.place };
            // A range holds all keys of a place or none.
            if bytes >= limits.chunk_bytes && last != Some(position) {
                until = Some(position);
                break;
            }
            last = Some(position);
            if self.config.mutants.is(Mutant::RangeStartLeftOut) && from == Some(position) {
                continue;
            }
            let key = RecordKey::of_row(map, row.key);
            bytes += key.as_bytes().len() + VERSION_BYTES;
            rows.push((key, version(partition, map, &row)));
        }
        walk.from = until.map(|position| position.to_bytes());
        if until.is_none() {
            walk.partitions.pop();
        }
        let frame = peer::summary(walk.round, id, from, until, &rows);
        self.outbox.push(conn, frame, Shows::State);
    }

    /// Compares a summary with what is here: sends what the other side lacks, asks for what this side lacks.
    fn answer_summary(&mut self, conn: ConnId, summary: Summary<'_>, now: Now) -> bool {
        let Some(link) = self.peers.link(conn) else {
            return true;
        };
        if link.round != summary.round {
            return true;
        }
        if link.dialled.is_some() && !self.config.mutants.is(Mutant::CompareOnce) {
            link.round_due_us = Some(now.mono_us + self.config.limits.anti_entropy_ms * 1_000);
        }
        let partition = self.store.partition(summary.partition);
        let Some(mut difference) = compare(partition, &summary) else {
            return false;
        };
        if self.config.mutants.is(Mutant::RepairOneWay) {
            difference.we_lack.clear();
        }
        let want = peer::want(summary.round, &difference.we_lack);
        self.send_changes(conn, difference.they_lack);
        self.outbox.push(conn, want, Shows::State);
        true
    }

    fn answer_want(&mut self, conn: ConnId, round: u64, keys: Keys<'_>) -> bool {
        let Some(link) = self.peers.link(conn) else {
            return true;
        };
        if link.walk.as_ref().is_none_or(|walk| walk.round != round) {
            return true;
        }
        let mut rows = Vec::new();
        let mut last: Option<RecordKey> = None;
        for key in keys {
            let key = key
                .ok()
                .map(|key| RecordKey::decode(Bytes::copy_from_slice(key), &Limits::of_layout()));
            let Some(Ok(key)) = key else {
                return false;
            };
            let partition = self.store.partition(self.store.partition_of(&key));
            // Ascending, as they were summarized: one key asked for a thousand times would cost a thousand copies.
            if last.is_some_and(|last| order(partition, &last) >= order(partition, &key)) {
                return false;
            }
            if let Some(version) = partition.get(&key) {
                rows.push((key.clone(), Record::new(&version)));
            }
            last = Some(key);
        }
        if self.config.mutants.is(Mutant::WantForgetsLast) {
            rows.pop();
        }
        if self.send_changes(conn, rows) {
            self.next_summary(conn);
        }
        true
    }

    /// Sends versions, as many as the connection takes. If that is not all the comparison ends here, and is made again once
    /// it has drained.
    fn send_changes(&mut self, conn: ConnId, mut rows: Vec<(RecordKey, Record)>) -> bool {
        let limits = &self.config.limits;
        let mut unsent = self.conns.get(conn).map_or(0, |c| c.unsent_bytes);
        let fit = rows.iter().take_while(|(key, record)| {
            let takes = unsent <= limits.unsent_bytes;
            unsent += (key.as_bytes().len() + record.as_bytes().len()) as u64;
            takes
        });
        let fit = fit.count();
        let all = fit == rows.len();
        rows.truncate(fit);
        if let Some(link) = self.peers.link(conn) {
            link.given += fit as u64;
        }
        let epoch = self.membership.epoch();
        let rows = rows.iter().map(|(key, record)| (key, record));
        for frame in peer::changes(rows, epoch, limits.chunk_bytes, || None) {
            self.outbox.push(conn, frame, Shows::State);
        }
        if let Some(link) = self.peers.link(conn).filter(|_| !all) {
            link.behind = true;
            link.walk = None;
        }
        all
    }
}

struct Difference<'s> {
    they_lack: Vec<(RecordKey, Record)>,
    we_lack: Vec<&'s [u8]>,
}

/// How the rows of a partition are ordered.
fn order<'k>(partition: &Maps, key: &'k RecordKey) -> (Position<'k>, &'k [u8]) {
    (partition.position(key), key.key())
}

fn order_of<'m>((map, row): &(&'m str, Row<'m>)) -> (Position<'m>, &'m [u8]) {
    (Position { map, place: row.place }, row.key)
}

/// Merges the two ascending lists of versions in the summary's range. `None`: the summary is malformed.
fn compare<'s>(partition: &Maps, summary: &Summary<'s>) -> Option<Difference<'s>> {
    let mut difference = Difference {
        they_lack: Vec::new(),
        we_lack: Vec::new(),
    };
    let mutants = partition.mutants();
    let in_range = |position: Position<'_>| {
        if mutants.is(Mutant::RangeStartLeftOut) && summary.from == Some(position) {
            return false;
        }
        summary.from.is_none_or(|from| from <= position) && summary.until.is_none_or(|until| position < until)
    };
    let mut ours = partition
        .rows_from(summary.from)
        .skip_while(|ours| mutants.is(Mutant::RangeStartLeftOut) && summary.from == Some(order_of(ours).0))
        .take_while(|ours| in_range(order_of(ours).0))
        .peekable();
    let mut last: Option<RecordKey> = None;
    let they_lack = |(map, row): (&str, Row<'_>)| (RecordKey::of_row(map, row.key), Record::new(&row.version));
    for row in summary.rows.clone() {
        let (key, theirs) = row.ok()?;
        let theirs: &[u8; VERSION_BYTES] = theirs.try_into().ok()?;
        let name = RecordKey::decode(Bytes::copy_from_slice(key), &Limits::of_layout()).ok()?;
        let place = order(partition, &name);
        if !in_range(place.0) || last.is_some_and(|last| order(partition, &last) >= place) {
            return None;
        }
        while let Some(row) = ours.next_if(|ours| order_of(ours) < place) {
            difference.they_lack.push(they_lack(row));
        }
        if let Some((map, row)) = ours.next_if(|ours| order_of(ours) == place) {
            let own = version(partition, map, &row);
            match own[..16].cmp(&theirs[..16]) {
                Ordering::Greater => difference.they_lack.push(they_lack((map, row))),
                Ordering::Less => difference.we_lack.push(key),
                // One stamp and different contents: each side shows the other, and the tie-break decides.
                Ordering::Equal if own != *theirs && !mutants.is(Mutant::CompareStampsOnly) => {
                    difference.they_lack.push(they_lack((map, row)));
                    difference.we_lack.push(key);
                }
                Ordering::Equal => {}
            }
        } else {
            difference.we_lack.push(key);
        }
        last = Some(name);
    }
    if !mutants.is(Mutant::SummaryTailLost) {
        difference.they_lack.extend(ours.map(they_lack));
    }
    Some(difference)
}

fn version(partition: &Maps, map: &str, row: &Row<'_>) -> [u8; VERSION_BYTES] {
    let mut version = [0; VERSION_BYTES];
    version[..16].copy_from_slice(&row.version.stamp.to_bytes());
    version[16..].copy_from_slice(&partition.digest_of(map, row.key, &row.version).to_be_bytes());
    version
}
