//! Seeing to it that what a client asks is done by whoever has to do it: here, by the acting owner of the partition, by a majority of
//! its replicas.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::cluster::Tally;
use crate::env::{ConnId, NodeId, Now, Ticket};
use crate::hlc::Stamp;
use crate::node::Node;
use crate::node::read::behind;
use crate::node::waits::{Ask, Asker, Gathering, Part, Parts, Wait};
use crate::session::{Floor, Request, Shows, Taken};
use crate::store::RecordKey;
use crate::wire::client::{self, ClientMessage};
use crate::wire::cluster::{Reply, Word, refusal};
use crate::wire::op::{Op, Ops};
use crate::wire::server::{Outcome, Refusal};
use crate::wire::{Code, Consistency};

/// A write's name, what became of it, and what it is about.
type Outlined<'a> = (
    (&'a str, Option<Result<Consistency, Refusal>>),
    Option<(RecordKey, Stamp)>,
);

impl Node {
    /// Takes the writes of a client, or of a node on behalf of one.
    pub(super) fn write(&mut self, asker: Asker, ops: Ops<'_>, now: Now) {
        let limits = &self.config.limits;
        let count = ops.len();
        let refused = if count > limits.batch_ops {
            Some(refusal(
                Code::TooLarge,
                format!("the batch has {count} operations, over {}", limits.batch_ops),
            ))
        } else if self.waits.len() >= limits.requests {
            Some(refusal(Code::Overloaded, "too many requests wait for other nodes"))
        } else {
            None
        };
        if let Some(Refusal { code, reason }) = refused {
            match asker {
                Asker::Client { conn, .. } if code == Code::TooLarge => self.desk(now).refuse(conn, code, reason, ""),
                Asker::Client { conn, exchange } => self.desk(now).refuse_ops(conn, ops, exchange, code, &reason),
                Asker::Node { conn, request } => {
                    self.reply(conn, request, Reply::Refused(refusal(code, reason)), Shows::Nothing)
                }
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
        let settled = outcomes
            .into_iter()
            .filter_map(|(id, result)| Some(Outcome { id, result: result? }));
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
            let wait = Wait {
                of: (number, here),
                level: Consistency::Eventual,
                partition: None,
                placement: Default::default(),
                keys: Vec::new(),
                has: Default::default(),
                needs: BTreeMap::new(),
                shows: None,
            };
            self.waits.wait(wait, false);
        }
        let mut groups: BTreeMap<_, (Vec<usize>, Vec<RecordKey>)> = BTreeMap::new();
        for (at, key, level) in replicate {
            let group = groups.entry((self.store.partition_of(&key), level)).or_default();
            group.0.push(at);
            group.1.push(key);
        }
        for ((partition, level), (at, keys)) in groups {
            let Some(placement) = self.voters(partition) else {
                continue;
            };
            let wait = Wait {
                of: (number, at),
                level,
                partition: Some(partition),
                placement,
                keys,
                has: Default::default(),
                needs: BTreeMap::new(),
                shows: None,
            };
            self.waits.wait(wait, true);
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
    pub(super) fn ask(&mut self, node: NodeId, of: (u64, Vec<usize>), frame: &[u8]) {
        let Some(conn) = self.peers.to(node) else {
            return;
        };
        let request = self.waits.ask(Ask { of, node });
        let epoch = self.membership.epoch();
        let floor = self.waits.floor_of(request);
        let floor = floor.map(|floor| (floor.stamp.to_bytes(), floor.gone));
        let word = Word::Ask {
            request,
            epoch,
            floor,
            frame,
        };
        self.outbox.push(conn, word.to_frame(), Shows::State);
    }

    pub(super) fn reply(&mut self, conn: ConnId, request: u64, reply: Reply<'_>, shows: Shows) {
        let word = Word::Answer { request, reply };
        self.outbox.push(conn, word.to_frame(), shows);
    }

    /// A node asks on behalf of a client.
    pub(super) fn asked(
        &mut self,
        conn: ConnId,
        request: u64,
        epoch: u64,
        floor: Option<Floor>,
        frame: &[u8],
        now: Now,
    ) {
        if epoch < self.membership.epoch() {
            self.teach(conn);
        }
        if !self.serves() {
            let refused = refusal(Code::NotReady, "the node that acts as owner is stopping");
            return self.reply(conn, request, Reply::Refused(refused), Shows::Nothing);
        }
        match ClientMessage::decode(frame, self.config.limits.depth) {
            Ok(ClientMessage::Op(ops) | ClientMessage::Batch(ops)) => {
                self.write(Asker::Node { conn, request }, ops, now)
            }
            Ok(ClientMessage::Get(get)) => self.read_for(conn, request, get, floor, now),
            _ => {
                let refused = refusal(Code::BadRequest, "one node asks another for what it cannot");
                self.reply(conn, request, Reply::Refused(refused), Shows::Nothing);
            }
        }
    }

    /// A client was told of a version: it is shown nothing older on its connection, as long as that is open.
    pub(super) fn told(&mut self, conn: ConnId, key: &RecordKey, floor: Floor, now: Now) {
        if self.conns.get(conn).is_some() {
            self.floors.raise(conn, key, floor, now, &self.config.limits);
        }
    }

    /// The answer of a node to what it was asked.
    pub(super) fn node_answered(&mut self, node: NodeId, request: u64, reply: Reply<'_>, now: Now) {
        let Some(ask) = self.waits.answered(request, node) else {
            return;
        };
        match reply {
            Reply::Ops(results) => {
                let count = results.len();
                let missing = refusal(
                    Code::OutcomeUnknown,
                    "the node that acts as owner did not say what became of it",
                );
                let missing = core::iter::repeat_n(missing, ask.of.1.len().saturating_sub(count)).map(Err);
                if let Some(gathering) = self.waits.settle(&ask.of, results.into_iter().chain(missing)) {
                    self.answer(gathering, now);
                }
            }
            Reply::Value { frame, stamp } => {
                let Some(gathering) = self.waits.end(ask.of.0) else {
                    return;
                };
                if let Asker::Client { conn, .. } = gathering.asker {
                    let answer = (frame, stamp.map(Stamp::from_bytes));
                    if self.is_behind(conn, &gathering.parts, answer, now) {
                        return self.refuse(gathering, behind(), now);
                    }
                    self.pass_on(conn, &gathering.parts, answer, now);
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
        self.membership.lost(node);
        for ask in self.waits.lost(node) {
            let refused = match ask.of.1.is_empty() {
                true => refusal(
                    Code::NotReady,
                    "the node that acts as owner is not reached any more: ask again",
                ),
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
                        let floor = Floor {
                            stamp: *stamp,
                            gone: false,
                        };
                        self.told(conn, key, floor, now);
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
            Some(Tally { have, need, of }) => {
                format!("{have} of {of} replicas are known to have it, and {need} are needed")
            }
            None => "the node that acts as owner has not answered".to_string(),
        };
        let refused = match &gathering.parts {
            Parts::Ops(_) => refusal(
                Code::OutcomeUnknown,
                format!("the write may have been applied: {known}"),
            ),
            Parts::Read { .. } => refusal(Code::NotReady, format!("the read took too long: {known}")),
        };
        self.refuse(gathering, refused, now);
    }

    pub(super) fn refuse_gathering(&mut self, number: u64, refused: Refusal, now: Now) {
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
        self.waits.writes.set_tickets(ticket, own);
    }
}
