//! Reads: of what is here, of what the acting owner has, and of a majority.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::crdt::Record;
use crate::crdt::floor::is_collectable;
use crate::env::{ConnId, NodeId, Now};
use crate::hlc::Stamp;
use crate::machine::ConnKind;
use crate::node::Node;
use crate::node::waits::{Asker, Parts, Reading, Shown, Wait};
use crate::partition::PartitionId;
use crate::session::{self, Floor, Kind, Request, Shows};
use crate::store::RecordKey;
use crate::wire::client::{self, Get};
use crate::wire::cluster::{Reply, Word, refusal};
use crate::wire::server::{self, Refusal, ServerMessage};
use crate::wire::{Code, Consistency, ReadConsistency};

impl Node {
    /// A read of a client.
    pub(super) fn read(&mut self, conn: ConnId, kind: ConnKind, get: Get<'_>, now: Now) -> Option<Request> {
        let key = match self.desk(now).key_of(&get) {
            Ok(key) => key,
            Err(Refusal { code, reason }) => {
                let id = if code == Code::TooLarge && get.id.len() > self.config.limits.id_bytes {
                    ""
                } else {
                    get.id
                };
                self.desk(now).refuse_read(conn, code, reason, id);
                return None;
            }
        };
        let place = self.membership.place();
        let partition = self.store.partition_of(&key);
        // Who is being filled has yet to hear what there is.
        let holds = place.holds(partition) && self.has_whole(place.own, partition);
        let owner = place.routes.owner(partition);
        let here = match get.consistency {
            ReadConsistency::Any => holds,
            ReadConsistency::Owner | ReadConsistency::Quorum => owner == Some(place.own),
        };
        let floor = self.floors.of(conn, &key, now, &self.config.limits);
        // Who is alone is the majority.
        if here && (get.consistency != ReadConsistency::Quorum || place.is_alone()) {
            let stamp = self.store.get(&key).map(|version| version.stamp);
            let Ok(shown) = Floor::judge(floor, stamp, self.store.floor()) else {
                let Refusal { code, reason } = behind();
                self.desk(now).refuse_read(conn, code, reason, get.id);
                return None;
            };
            if let Some(stamp) = stamp.filter(|_| kind.push && !self.membership.place().is_alone()) {
                let gone = shown.of(self.store.live(&key)).is_none();
                self.told(conn, &key, Floor { stamp, gone }, now);
            }
            let stale_ms = self.stale_ms_of(get.consistency, partition, now);
            return self.desk(now).read(conn, kind, get, shown, stale_ms);
        }
        let refused = if self.waits.len() >= self.config.limits.requests {
            Some(refusal(Code::Overloaded, "too many requests wait for other nodes"))
        } else if owner.is_none() {
            Some(refusal(Code::NotReady, "no replica of the partition can be reached"))
        } else {
            None
        };
        if let Some(Refusal { code, reason }) = refused {
            self.desk(now).refuse_read(conn, code, reason, get.id);
            return None;
        }
        let asker = Asker::Client {
            conn,
            exchange: !kind.push,
        };
        if here {
            self.read_by_quorum(asker, get.id, key, floor, now);
            return None;
        }
        let deadline_us = now.mono_us + self.config.limits.request_ms * 1_000;
        let id = get.id.into();
        let number = self.waits.gather(asker, Parts::Read { id, key, floor }, 1, deadline_us);
        let frame = client::get_key(&get);
        if let Some(node) = owner {
            self.ask(node, (number, Vec::new()), &frame);
        }
        None
    }

    /// A read on behalf of another node's client.
    pub(super) fn read_for(&mut self, conn: ConnId, request: u64, get: Get<'_>, floor: Option<Floor>, now: Now) {
        let asker = Asker::Node { conn, request };
        let key = match self.desk(now).key_of(&get) {
            Ok(key) => key,
            Err(refused) => return self.reply(conn, request, Reply::Refused(refused), Shows::Nothing),
        };
        if !self.membership.place().holds(self.store.partition_of(&key)) {
            let refused = refusal(Code::NotReady, "the partition has moved: ask again");
            return self.reply(conn, request, Reply::Refused(refused), Shows::Nothing);
        }
        if get.consistency == ReadConsistency::Quorum {
            return self.read_by_quorum(asker, get.id, key, floor, now);
        }
        let stamp = self.store.get(&key).map(|version| version.stamp);
        let Ok(shown) = Floor::judge(floor, stamp, self.store.floor()) else {
            return self.reply(conn, request, Reply::Refused(behind()), Shows::Nothing);
        };
        let found = shown.of(self.store.live(&key));
        let stale_ms = self.stale_ms_of(get.consistency, self.store.partition_of(&key), now);
        let frame = &server::value(get.id, get.map, get.key, found, stale_ms);
        let stamp = stamp.map(Stamp::to_bytes);
        self.reply(conn, request, Reply::Value { frame, stamp }, Shows::Read);
    }

    /// What is told of how old an answer may be: of reads that any replica may answer.
    fn stale_ms_of(&self, level: ReadConsistency, partition: PartitionId, now: Now) -> Option<u64> {
        let any = level == ReadConsistency::Any;
        any.then(|| self.stale_ms(partition, now)).flatten()
    }

    /// Reads from a majority, and writes back what it found to one before it is shown.
    pub(super) fn read_by_quorum(&mut self, asker: Asker, id: &str, key: RecordKey, floor: Option<Floor>, now: Now) {
        let deadline_us = now.mono_us + self.config.limits.request_ms * 1_000;
        let parts = Parts::Read {
            id: id.into(),
            key: key.clone(),
            floor,
        };
        let number = self.waits.gather(asker, parts, 1, deadline_us);
        self.ask_majority(number, key, now);
    }

    fn ask_majority(&mut self, number: u64, key: RecordKey, now: Now) {
        let own = self.membership.id();
        let partition = self.store.partition_of(&key);
        let Some(placement) = self.voters(partition) else {
            return;
        };
        let tally = placement.majority(|node| node == own || self.peers.to(node).is_some());
        if !tally.is_enough() {
            let refused = Refusal::no_quorum(tally.have, tally.of, tally.need);
            return self.refuse_gathering(number, refused, now);
        }
        let mut held = BTreeMap::new();
        if placement.holds(own) {
            held.insert(own, self.store.get(&key).map(|version| Record::new(&version)));
        }
        let reading = Reading {
            of: number,
            key: key.clone(),
            partition,
            held,
        };
        let request = self.waits.read(reading);
        let epoch = self.membership.epoch();
        let key = key.as_bytes();
        for node in placement.holders().filter(|node| *node != own) {
            if let Some(conn) = self.peers.to(node) {
                let word = Word::Read { request, epoch, key };
                self.outbox.push(conn, word.to_frame(), Shows::State);
            }
        }
        self.read_on(request, now);
    }

    /// A node asks what is held under a key. Who acts by an older state of the cluster, in which the partition lay elsewhere, is not
    /// answered: what this node holds is no part of the majority that it counts.
    pub(super) fn tell_held(&mut self, conn: ConnId, request: u64, epoch: u64, key: &[u8]) {
        let key = RecordKey::decode(Bytes::copy_from_slice(key), &self.config.limits);
        let Ok(key) = key else {
            return;
        };
        if !self.counts(epoch, self.store.partition_of(&key)) {
            return self.teach(conn);
        }
        let record = self.store.get(&key).map(|version| Record::new(&version));
        let record = record.as_ref().map(|record| &record.as_bytes()[..]);
        let word = Word::Held { request, record };
        self.outbox.push(conn, word.to_frame(), Shows::State);
    }

    /// Whether this node is a replica of a partition in the eyes of who acts by the version `epoch`, as far as it can know: the
    /// partition has not moved since.
    pub(super) fn counts(&self, epoch: u64, partition: PartitionId) -> bool {
        let own = self.membership.id();
        let placement = self.membership.state().map(|state| state.placement(partition));
        placement.is_some_and(|placement| placement.holds(own) && placement.since <= epoch) && !self.is_below_floor()
    }

    /// A node says what it holds.
    pub(super) fn held(&mut self, node: NodeId, request: u64, record: Option<&[u8]>, now: Now) {
        let record = record.map(|record| Record::decode(Bytes::copy_from_slice(record), &self.config.limits));
        let Ok(record) = record.transpose() else {
            return;
        };
        if let Some(reading) = self.waits.reading(request) {
            reading.held.insert(node, record);
            self.read_on(request, now);
        }
    }

    /// Goes on with a read once a majority has answered.
    fn read_on(&mut self, request: u64, now: Now) {
        let own = self.membership.id();
        let Some(partition) = self.waits.reading(request).map(|reading| reading.partition) else {
            return;
        };
        let (Some(placement), Some(reading)) = (self.voters(partition), self.waits.reading(request)) else {
            return;
        };
        if !placement.majority(|node| reading.held.contains_key(&node)).is_enough() {
            return;
        }
        let Some(Reading {
            of,
            key,
            partition,
            held,
        }) = self.waits.take_reading(request)
        else {
            return;
        };
        let newer = |a: Record, b: &Record| {
            if b.version().wins_over(&a.version()) {
                b.clone()
            } else {
                a
            }
        };
        let mut found = held.values().flatten();
        let first = found.next().cloned();
        let newest = first.map(|first| found.fold(first, newer));
        // What is settled and not here was deleted, as far as this replica is one that has everything; and what can be collected is by
        // whoever has not done so yet.
        let is_here = self.store.get(&key).is_some();
        let is_gone = |record: &Record| {
            let version = record.version();
            let is_whole = placement.replicas.contains(&own);
            self.is_settled(version.stamp, is_here) && (is_whole || is_collectable(&version, self.store.floor()))
        };
        let newest = newest.filter(|record| !is_gone(record));
        let has = |(node, record): (&NodeId, &Option<Record>)| {
            ((newest.is_none() || *record == newest) && *node != own).then_some(*node)
        };
        let has = held.iter().filter_map(has).collect();
        if let Some(record) = &newest
            && placement.holds(own)
            && self.store.partition(partition).would_change(&key, &record.version())
        {
            let bytes = crate::store::change_bytes(key.as_bytes().len(), record.as_bytes().len());
            if self.store.room_for(bytes).is_err() {
                let refused = refusal(Code::Overloaded, "too much waits for this node's storage");
                return self.refuse_gathering(of, refused, now);
            }
            self.hlc.observe(record.version().stamp);
            self.store.merge(key.clone(), record.clone());
        }
        let fresh = newest.is_some();
        let wait = Wait {
            of: (of, Vec::new()),
            level: Consistency::Quorum,
            partition: Some(partition),
            placement,
            // Where nobody has anything there is nothing to write back.
            keys: newest.iter().map(|_| key.clone()).collect(),
            has,
            needs: BTreeMap::new(),
            shows: Some(Box::new(Shown { key, record: newest })),
        };
        self.waits.wait(wait, fresh);
    }

    /// Shows what a read by quorum found.
    pub(super) fn show(&mut self, number: u64, shown: &Shown, now: Now) {
        let Some((asker, mut floor)) = self.waits.reader(number) else {
            return;
        };
        if let Asker::Client { conn, .. } = asker {
            // Its client may have been told of more since it asked, or will have been when it hears this.
            floor = floor.max(self.expects(conn, &shown.key, now));
        }
        let now_ms = self.store.now_ms();
        let version = shown.record.as_ref().map(Record::version);
        let judged = Floor::judge(floor, version.map(|version| version.stamp), self.store.floor());
        let held = self.store.get(&shown.key).map(|version| version.stamp);
        if judged.is_err() && Floor::judge(floor, held, self.store.floor()).is_ok() {
            // It was written here in the meantime: a majority is to have that first.
            return self.ask_majority(number, shown.key.clone(), now);
        }
        let Some(gathering) = self.waits.end(number) else {
            return;
        };
        let (Parts::Read { id, .. }, Ok(judged)) = (&gathering.parts, judged) else {
            return self.refuse(gathering, behind(), now);
        };
        let version = judged.of(version.filter(|version| version.value_at(now_ms).is_some()));
        let frame = server::value(id, shown.key.map(), shown.key.key(), version, None);
        let stamp = shown.record.as_ref().map(|record| record.version().stamp);
        match gathering.asker {
            Asker::Client { conn, .. } => self.pass_on(conn, &gathering.parts, (&frame, stamp), now),
            Asker::Node { conn, request } => {
                let (frame, stamp) = (&frame[..], stamp.map(Stamp::to_bytes));
                self.reply(conn, request, Reply::Value { frame, stamp }, Shows::Nothing);
            }
        }
    }

    /// Whether a client was told of something newer than another node's answer after that node was asked: it knew only what was to be
    /// shown at least by then.
    pub(super) fn is_behind(
        &mut self,
        conn: ConnId,
        parts: &Parts,
        (frame, stamp): (&[u8], Option<Stamp>),
        now: Now,
    ) -> bool {
        let Parts::Read { key, floor, .. } = parts else {
            return false;
        };
        let told = self.expects(conn, key, now);
        let shown = match ServerMessage::decode(frame, self.config.limits.depth) {
            Ok(ServerMessage::Value {
                found: Some((_, at)), ..
            }) => Some(at.stamp),
            _ => None,
        };
        match shown {
            Some(_) => told > *floor && Floor::judge(told, shown, 0) != Ok(session::Shown::Held),
            // What is held there has gone; where nothing is held it was at least what was asked for.
            None => told.map(|told| told.stamp) > floor.map(|floor| floor.stamp).max(stamp),
        }
    }

    /// What a client has been told of a key at least, by the time at which what is answered now reaches it: with what it is told before,
    /// of writes that are not durable yet.
    fn expects(&self, conn: ConnId, key: &RecordKey, now: Now) -> Option<Floor> {
        let told = self.floors.of(conn, key, now, &self.config.limits);
        let coming = self.flights.requests().chain(&self.requests);
        let coming = coming.filter_map(|request| request.told(conn, key)).max();
        told.max(coming.map(|stamp| Floor { stamp, gone: false }))
    }

    /// Gives a client the answer that was found elsewhere, where what is held has that stamp.
    pub(super) fn pass_on(&mut self, conn: ConnId, parts: &Parts, (frame, stamp): (&[u8], Option<Stamp>), now: Now) {
        let Parts::Read { id, key, floor } = parts else {
            return;
        };
        let told = match ServerMessage::decode(frame, self.config.limits.depth) {
            Ok(ServerMessage::Value {
                found: Some((_, at)), ..
            }) => Some(Floor {
                stamp: at.stamp,
                gone: false,
            }),
            // What the client was told of, or what came after it, is not there any more: nothing that is older than that comes back.
            Ok(ServerMessage::Value { found: None, .. }) => {
                let told = floor.map(|floor| floor.stamp).max(stamp);
                told.map(|stamp| Floor { stamp, gone: true })
            }
            _ => None,
        };
        if let Some(told) = told {
            self.told(conn, key, told, now);
        }
        let longest = self.conns.longest(conn, &self.config.limits);
        if frame.len() > longest {
            let reason = format!("the answer has {} bytes, over this connection's {longest}", frame.len());
            return self.desk(now).refuse_read(conn, Code::TooLarge, reason, id);
        }
        self.tally.operations.add(Kind::Get, None);
        self.outbox.push(conn, Bytes::copy_from_slice(frame), Shows::Nothing);
    }
}

/// A replica lacks what the session has been told of.
pub(super) fn behind() -> Refusal {
    refusal(
        Code::Behind,
        "this replica lacks what was said on this connection before: ask again",
    )
}
