//! Seeing to it that what a client asks is done by whoever has to do it: here, by the acting owner of the partition, by a majority of
//! its replicas.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::cluster::Tally;
use crate::crdt::Record;
use crate::env::{ConnId, NodeId, Now, Ticket};
use crate::machine::ConnKind;
use crate::node::Node;
use crate::hlc::Stamp;
use crate::node::waits::{Ask, Asker, Gathering, Part, Parts, Reading, Shown, Wait};
use crate::session::{Kind, Request, Shows, Taken};
use crate::store::RecordKey;
use crate::wire::client::{self, ClientMessage, Get};
use crate::wire::cluster::{Reply, Word, refusal};
use crate::wire::op::{Op, Ops};
use crate::wire::server::{self, Outcome, Refusal, ServerMessage};
use crate::wire::{Code, Consistency, ReadConsistency};

/// A wait for the ticket of the step that it began in.
const THIS_STEP: Ticket = Ticket(u64::MAX);

/// A write's name, what became of it, and what it is about.
type Outlined<'a> = ((&'a str, Option<Result<Consistency, Refusal>>), Option<(RecordKey, Stamp)>);

impl Node {
    /// Takes the writes of a client, or of a node on behalf of one.
    pub(super) fn write(&mut self, asker: Asker, ops: Ops<'_>, now: Now) {
        let limits = &self.config.limits;
        let count = ops.len();
        let refused = if count > limits.batch_ops {
            Some(refusal(Code::TooLarge, format!("the batch has {count} operations, over {}", limits.batch_ops)))
        } else if self.waits.len() >= limits.requests {
            Some(refusal(Code::Overloaded, "too many requests wait for other nodes"))
        } else {
            None
        };
        if let Some(Refusal { code, reason }) = refused {
            match asker {
                Asker::Client { conn, .. } if code == Code::TooLarge => self.desk(now).refuse(conn, code, reason, ""),
                Asker::Client { conn, exchange } => self.desk(now).refuse_ops(conn, ops, exchange, code, &reason),
                Asker::Node { conn, request } => self.reply(conn, request, Reply::Refused(refusal(code, reason)), Shows::Nothing),
            }
            return;
        }
        let any_replica = matches!(asker, Asker::Node { .. });
        let mut desk = self.desk(now);
        let Taken {
            outcomes,
            elsewhere,
            replicate,
            about,
        } = desk.take(ops, any_replica);
        let queued = matches!(asker, Asker::Client { conn, exchange: false } if self.waits.is_queued(conn));
        if elsewhere.is_empty() && replicate.is_empty() && !queued {
            let done = outcomes.iter().zip(about);
            let done = done.filter_map(|((_, result), about)| about.filter(|_| matches!(result, Some(Ok(_)))));
            let done = done.collect();
            self.answer_at_once(asker, outcomes, done, now);
            return;
        }
        let outcomes = outcomes.into_iter().zip(about).collect();
        self.gather_writes(asker, outcomes, elsewhere, replicate, now);
    }

    /// All of it was done or refused here, and waits for nothing but this step's commit.
    fn answer_at_once(
        &mut self,
        asker: Asker,
        outcomes: Vec<(&str, Option<Result<Consistency, Refusal>>)>,
        done: Vec<(RecordKey, Stamp)>,
        now: Now,
    ) {
        let settled = outcomes.into_iter().filter_map(|(id, result)| Some(Outcome { id, result: result? }));
        let outcomes: Vec<Outcome<'_>> = settled.collect();
        match asker {
            Asker::Client { conn, exchange } => {
                let mut request = self.desk(now).answer_taken(conn, outcomes, exchange);
                if let Some(Request::Ops { about, .. }) = &mut request
                    && !exchange
                {
                    *about = done;
                }
                self.requests.extend(request);
            }
            Asker::Node { conn, request } => {
                let results = outcomes.into_iter().map(|outcome| outcome.result).collect();
                self.reply(conn, request, Reply::Ops(results), Shows::Ack);
            }
        }
    }

    fn gather_writes(
        &mut self,
        asker: Asker,
        outcomes: Vec<Outlined<'_>>,
        elsewhere: Vec<(usize, NodeId, Op<'_>)>,
        replicate: Vec<(usize, RecordKey, Consistency)>,
        now: Now,
    ) {
        // What was done here and needs no other replica is told with the rest, once it is durable.
        let here = |(at, ((_, result), _)): (usize, &Outlined<'_>)| matches!(result, Some(Ok(_))).then_some(at);
        let here: Vec<usize> = outcomes.iter().enumerate().filter_map(here).collect();
        let is_session = matches!(asker, Asker::Client { exchange: false, .. });
        let parts = outcomes.into_iter().map(|((id, result), about)| Part {
            id: id.into(),
            outcome: result.filter(Result::is_err),
            about: about.filter(|_| is_session),
        });
        let parts: Vec<_> = parts.collect();
        let open = parts.iter().filter(|part| part.outcome.is_none()).count();
        let deadline_us = now.mono_us + self.config.limits.request_ms * 1_000;
        let number = self.waits.gather(asker, Parts::Ops(parts), open, deadline_us);
        if open == 0 {
            if let Some(gathering) = self.waits.end(number) {
                self.answer(gathering, now);
            }
            return;
        }
        if !here.is_empty() {
            self.waits.wait(Wait {
                of: (number, here),
                level: Consistency::Eventual,
                partition: None,
                placement: Default::default(),
                keys: Vec::new(),
                ticket: Some(THIS_STEP),
                has: Default::default(),
                needs: BTreeMap::new(),
                fresh: false,
                shows: None,
            });
        }
        let mut groups: BTreeMap<_, (Vec<usize>, Vec<RecordKey>)> = BTreeMap::new();
        for (at, key, level) in replicate {
            let group = groups.entry((self.store.partition_of(&key), level)).or_default();
            group.0.push(at);
            group.1.push(key);
        }
        for ((partition, level), (at, keys)) in groups {
            let Some(state) = self.membership.state() else {
                continue;
            };
            self.waits.wait(Wait {
                of: (number, at),
                level,
                partition: Some(partition),
                placement: state.placement(partition).clone(),
                keys,
                ticket: Some(THIS_STEP),
                has: Default::default(),
                needs: BTreeMap::new(),
                fresh: true,
                shows: None,
            });
        }
        let mut asked: BTreeMap<NodeId, (Vec<usize>, Vec<Op<'_>>)> = BTreeMap::new();
        for (at, node, op) in elsewhere {
            let group = asked.entry(node).or_default();
            group.0.push(at);
            group.1.push(op);
        }
        for (node, (at, ops)) in asked {
            let frame = client::op_batch(&ops);
            self.ask(node, (number, at), &frame);
        }
    }

    /// Asks another node on behalf of a request. There was a link when this was decided.
    fn ask(&mut self, node: NodeId, of: (u64, Vec<usize>), frame: &[u8]) {
        let Some(conn) = self.peers.to(node) else {
            return;
        };
        let request = self.waits.ask(Ask { of, node });
        let epoch = self.membership.epoch();
        let floor = self.waits.floor_of(request).map(Stamp::to_bytes);
        let word = Word::Ask {
            request,
            epoch,
            floor,
            frame,
        };
        self.outbox.push(conn, word.to_frame(), Shows::State);
    }

    fn reply(&mut self, conn: ConnId, request: u64, reply: Reply<'_>, shows: Shows) {
        let word = Word::Answer { request, reply };
        self.outbox.push(conn, word.to_frame(), shows);
    }

    /// A node asks on behalf of a client.
    pub(super) fn asked(&mut self, conn: ConnId, request: u64, epoch: u64, floor: Option<Stamp>, frame: &[u8], now: Now) {
        if epoch < self.membership.epoch() {
            self.teach(conn);
        }
        if !self.serves() {
            let refused = refusal(Code::NotReady, "the node that acts as owner is stopping");
            return self.reply(conn, request, Reply::Refused(refused), Shows::Nothing);
        }
        match ClientMessage::decode(frame, self.config.limits.depth) {
            Ok(ClientMessage::Op(ops) | ClientMessage::Batch(ops)) => self.write(Asker::Node { conn, request }, ops, now),
            Ok(ClientMessage::Get(get)) => self.read_for(conn, request, get, floor, now),
            _ => {
                let refused = refusal(Code::BadRequest, "one node asks another for what it cannot");
                self.reply(conn, request, Reply::Refused(refused), Shows::Nothing);
            }
        }
    }

    /// A read of a client.
    pub(super) fn read(&mut self, conn: ConnId, kind: ConnKind, get: Get<'_>, now: Now) -> Option<Request> {
        let key = match self.desk(now).key_of(&get) {
            Ok(key) => key,
            Err(Refusal { code, reason }) => {
                let id = if code == Code::TooLarge && get.id.len() > self.config.limits.id_bytes { "" } else { get.id };
                self.desk(now).refuse_read(conn, code, reason, id);
                return None;
            }
        };
        let place = self.membership.place();
        let partition = self.store.partition_of(&key);
        let (holds, owner) = (place.holds(partition), place.routes.owner(partition));
        let here = match get.consistency {
            ReadConsistency::Any => holds,
            ReadConsistency::Owner | ReadConsistency::Quorum => owner == Some(place.own),
        };
        let floor = self.floors.of(conn, &key, now, &self.config.limits);
        if here && get.consistency != ReadConsistency::Quorum {
            let stamp = self.store.get(&key).map(|version| version.stamp);
            if stamp < floor {
                let Refusal { code, reason } = behind();
                self.desk(now).refuse_read(conn, code, reason, get.id);
                return None;
            }
            if let Some(stamp) = stamp.filter(|_| kind.push && !self.membership.place().is_alone()) {
                self.told(conn, &key, stamp, now);
            }
            return self.desk(now).read(conn, kind, get);
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
        let asker = Asker::Client { conn, exchange: !kind.push };
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
    fn read_for(&mut self, conn: ConnId, request: u64, get: Get<'_>, floor: Option<Stamp>, now: Now) {
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
        if self.store.get(&key).map(|version| version.stamp) < floor {
            return self.reply(conn, request, Reply::Refused(behind()), Shows::Nothing);
        }
        let frame = server::value(get.id, get.map, get.key, self.store.live(&key));
        self.reply(conn, request, Reply::Frame(&frame), Shows::Read);
    }

    /// Reads from a majority, and writes back what it found to one before it is shown.
    fn read_by_quorum(&mut self, asker: Asker, id: &str, key: RecordKey, floor: Option<Stamp>, now: Now) {
        let own = self.membership.id();
        let partition = self.store.partition_of(&key);
        let Some(state) = self.membership.state() else {
            return;
        };
        let placement = state.placement(partition).clone();
        let tally = placement.majority(|node| node == own || self.peers.to(node).is_some());
        let deadline_us = now.mono_us + self.config.limits.request_ms * 1_000;
        let parts = Parts::Read {
            id: id.into(),
            key: key.clone(),
            floor,
        };
        let number = self.waits.gather(asker, parts, 1, deadline_us);
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
    pub(super) fn counts(&self, epoch: u64, partition: crate::partition::PartitionId) -> bool {
        let own = self.membership.id();
        let placement = self.membership.state().map(|state| state.placement(partition));
        placement.is_some_and(|placement| placement.holds(own) && placement.since <= epoch)
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
        let Some(state) = self.membership.state() else {
            return;
        };
        let Some(reading) = self.waits.reading(request) else {
            return;
        };
        let placement = state.placement(reading.partition);
        if !placement.majority(|node| reading.held.contains_key(&node)).is_enough() {
            return;
        }
        let placement = placement.clone();
        let Some(Reading { of, key, partition, held }) = self.waits.take_reading(request) else {
            return;
        };
        let newer = |a: Record, b: &Record| if b.version().wins_over(&a.version()) { b.clone() } else { a };
        let mut found = held.values().flatten();
        let first = found.next().cloned();
        let newest = first.map(|first| found.fold(first, newer));
        let has = |(node, record): (&NodeId, &Option<Record>)| (*record == newest && *node != own).then_some(*node);
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
        self.waits.wait(Wait {
            of: (of, Vec::new()),
            level: Consistency::Quorum,
            partition: Some(partition),
            placement,
            // Where nobody has anything there is nothing to write back.
            keys: newest.iter().map(|_| key.clone()).collect(),
            ticket: Some(THIS_STEP),
            has,
            needs: BTreeMap::new(),
            fresh: newest.is_some(),
            shows: Some(Box::new(Shown { key, record: newest })),
        });
    }

    /// A client was told of a version: it is shown nothing older on its connection, as long as that is open.
    pub(super) fn told(&mut self, conn: ConnId, key: &RecordKey, stamp: Stamp, now: Now) {
        if self.conns.get(conn).is_some() {
            self.floors.raise(conn, key, stamp, now, &self.config.limits);
        }
    }

    /// Shows what a read by quorum found.
    pub(super) fn show(&mut self, number: u64, shown: &Shown, now: Now) {
        let Some(gathering) = self.waits.end(number) else {
            return;
        };
        let Parts::Read { id, floor, .. } = &gathering.parts else {
            return;
        };
        let now_ms = self.store.now_ms();
        let version = shown.record.as_ref().map(Record::version);
        let mut floor = *floor;
        if let Asker::Client { conn, .. } = gathering.asker {
            // Its client may have been told of more since it asked.
            floor = floor.max(self.floors.of(conn, &shown.key, now, &self.config.limits));
        }
        if version.map(|version| version.stamp) < floor {
            return self.refuse(gathering, behind(), now);
        }
        let version = version.filter(|version| version.value_at(now_ms).is_some());
        let frame = server::value(id, shown.key.map(), shown.key.key(), version);
        match gathering.asker {
            Asker::Client { conn, .. } => self.pass_on(conn, &gathering.parts, &frame, now),
            Asker::Node { conn, request } => self.reply(conn, request, Reply::Frame(&frame), Shows::Nothing),
        }
    }

    /// Whether a client was told of something newer than another node's answer after that node was asked: it knew only what was to be
    /// shown at least by then.
    fn is_behind(&mut self, conn: ConnId, parts: &Parts, frame: &[u8], now: Now) -> bool {
        let Parts::Read { key, floor, .. } = parts else {
            return false;
        };
        let told = self.floors.of(conn, key, now, &self.config.limits);
        let shown = match ServerMessage::decode(frame, self.config.limits.depth) {
            Ok(ServerMessage::Value { found: Some((_, at)), .. }) => Some(at.stamp),
            _ => None,
        };
        told > *floor && shown < told
    }

    /// Gives a client the answer that was found elsewhere.
    fn pass_on(&mut self, conn: ConnId, parts: &Parts, frame: &[u8], now: Now) {
        let Parts::Read { id, key, .. } = parts else {
            return;
        };
        if let Ok(ServerMessage::Value { found: Some((_, at)), .. }) = ServerMessage::decode(frame, self.config.limits.depth) {
            self.told(conn, key, at.stamp, now);
        }
        let longest = self.conns.longest(conn, &self.config.limits);
        if frame.len() > longest {
            let reason = format!("the answer has {} bytes, over this connection's {longest}", frame.len());
            return self.desk(now).refuse_read(conn, Code::TooLarge, reason, id);
        }
        self.tally.operations.add(Kind::Get, None);
        self.outbox.push(conn, Bytes::copy_from_slice(frame), Shows::Nothing);
    }

    /// The answer of a node to what it was asked.
    pub(super) fn node_answered(&mut self, node: NodeId, request: u64, reply: Reply<'_>, now: Now) {
        let Some(ask) = self.waits.answered(request, node) else {
            return;
        };
        match reply {
            Reply::Ops(results) => {
                let count = results.len();
                let missing = refusal(Code::OutcomeUnknown, "the node that acts as owner did not say what became of it");
                let missing = core::iter::repeat_n(missing, ask.of.1.len().saturating_sub(count)).map(Err);
                if let Some(gathering) = self.waits.settle(&ask.of, results.into_iter().chain(missing)) {
                    self.answer(gathering, now);
                }
            }
            Reply::Frame(frame) => {
                let Some(gathering) = self.waits.end(ask.of.0) else {
                    return;
                };
                if let Asker::Client { conn, .. } = gathering.asker {
                    if self.is_behind(conn, &gathering.parts, frame, now) {
                        return self.refuse(gathering, behind(), now);
                    }
                    self.pass_on(conn, &gathering.parts, frame, now);
                }
            }
            Reply::Refused(refused) => self.refuse_ask(&ask, &refused, now),
        }
    }

    /// What a node was asked it does not do, or it cannot be known whether it does.
    pub(super) fn refuse_ask(&mut self, ask: &Ask, refused: &Refusal, now: Now) {
        if ask.of.1.is_empty() {
            return self.refuse_gathering(ask.of.0, refused.clone(), now);
        }
        let results = ask.of.1.iter().map(|_| Err(refused.clone()));
        if let Some(gathering) = self.waits.settle(&ask.of, results) {
            self.answer(gathering, now);
        }
    }

    /// A node cannot be reached any more: whether it did what it was asked nobody knows.
    pub(super) fn node_lost(&mut self, node: NodeId, now: Now) {
        self.fills.lost(node);
        for ask in self.waits.lost(node) {
            let refused = match ask.of.1.is_empty() {
                true => refusal(Code::NotReady, "the node that acts as owner is not reached any more: ask again"),
                false => refusal(
                    Code::OutcomeUnknown,
                    "the node that acts as owner is not reached any more: the write may have been applied",
                ),
            };
            self.refuse_ask(&ask, &refused, now);
        }
    }

    /// Answers a request all of whose parts are settled, when it is its turn.
    pub(super) fn answer(&mut self, gathering: Gathering, now: Now) {
        for gathering in self.waits.in_turn(gathering) {
            self.answer_ops(gathering, now);
        }
    }

    fn answer_ops(&mut self, gathering: Gathering, now: Now) {
        let Parts::Ops(ops) = gathering.parts else {
            return;
        };
        let unknown = || Err(refusal(Code::OutcomeUnknown, "the write may have been applied"));
        match gathering.asker {
            Asker::Client { conn, exchange } => {
                for part in &ops {
                    if let (Some(Ok(_)), Some((key, stamp))) = (&part.outcome, &part.about) {
                        self.told(conn, key, *stamp, now);
                    }
                }
                let outcomes = ops.iter().map(|part| Outcome {
                    id: &part.id,
                    result: part.outcome.clone().unwrap_or_else(unknown),
                });
                let outcomes: Vec<Outcome<'_>> = outcomes.collect();
                // What it shows is durable, here and wherever else it was to be.
                self.desk(now).answer_ops(conn, &outcomes, exchange, Shows::Nothing);
            }
            Asker::Node { conn, request } => {
                let results = ops.into_iter().map(|part| part.outcome.unwrap_or_else(unknown));
                self.reply(conn, request, Reply::Ops(results.collect()), Shows::Nothing);
            }
        }
    }

    /// The time of a request is over: it is said what is known.
    pub(super) fn answer_late(&mut self, gathering: Gathering, progress: Option<Tally>, now: Now) {
        let known = match progress {
            Some(Tally { have, need, of }) => format!("{have} of {of} replicas are known to have it, and {need} are needed"),
            None => "the node that acts as owner has not answered".to_string(),
        };
        let refused = match &gathering.parts {
            Parts::Ops(_) => refusal(Code::OutcomeUnknown, format!("the write may have been applied: {known}")),
            Parts::Read { .. } => refusal(Code::NotReady, format!("the read took too long: {known}")),
        };
        self.refuse(gathering, refused, now);
    }

    fn refuse_gathering(&mut self, number: u64, refused: Refusal, now: Now) {
        if let Some(gathering) = self.waits.end(number) {
            self.refuse(gathering, refused, now);
        }
    }

    /// Answers what is open of a request with this.
    pub(super) fn refuse(&mut self, mut gathering: Gathering, refused: Refusal, now: Now) {
        match (&mut gathering.parts, gathering.asker) {
            (Parts::Ops(ops), _) => {
                for part in ops.iter_mut() {
                    part.outcome.get_or_insert_with(|| Err(refused.clone()));
                }
                self.answer(gathering, now);
            }
            (Parts::Read { id, .. }, Asker::Client { conn, .. }) => {
                self.desk(now).refuse_read(conn, refused.code, refused.reason, id);
            }
            (Parts::Read { .. }, Asker::Node { conn, request }) => {
                self.reply(conn, request, Reply::Refused(refused), Shows::Nothing);
            }
        }
    }

    /// The waits that began in this step wait for its ticket; if nothing is to be waited for, what they are about is durable.
    pub(super) fn set_tickets(&mut self, ticket: Option<Ticket>) {
        let own = self.membership.id();
        for wait in self.waits.waits_mut().filter(|wait| wait.ticket == Some(THIS_STEP)) {
            wait.ticket = ticket;
            if ticket.is_none() {
                wait.has.insert(own);
            }
        }
    }
}

/// A replica lacks what the session has been told of.
fn behind() -> Refusal {
    refusal(Code::Behind, "this replica lacks what was said on this connection before: ask again")
}
