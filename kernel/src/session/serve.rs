//! Doing what clients ask, and answering.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::crdt::{Record, Version};
use crate::env::{ConnId, Limits, Mutant, Mutants, NodeId, Now};
use crate::hlc::{Hlc, Stamp, Trust};
use crate::machine::ConnKind;
use crate::session::admit::{admit, code_of, named};
use crate::session::{Conns, Coordinator, Counts, Kind, Outbox, Place, Shown, Shows};
use crate::store::{RecordKey, Store};
use crate::wire::client::Get;
use crate::wire::op::{Op, Ops};
use crate::wire::server::{self, Outcome, Refusal};
use crate::wire::{Code, Consistency, Error};

/// Where requests are served: what they work on, and where the answers go.
pub struct Desk<'n> {
    /// The time of this step.
    pub now: Now,
    /// This node's name.
    pub node: &'n str,
    /// The limits.
    pub limits: &'n Limits,
    /// The time that may be spoken without waiting.
    pub clock: Stamp,
    /// What is to be thought of the wall clock.
    pub trust: Trust,
    /// The records.
    pub store: &'n mut Store,
    /// The clock: it observes what is written.
    pub hlc: &'n mut Hlc,
    /// The connections.
    pub conns: &'n mut Conns,
    /// The answers.
    pub outbox: &'n mut Outbox,
    /// Where things are.
    pub place: Place<'n>,
    /// What was asked, and what came of it.
    pub counts: &'n mut Counts,
    /// What [`Desk::refuse`] counts as refused.
    pub doing: Kind,
    /// Deliberately broken behaviour.
    pub mutants: Mutants,
}

/// What became of writes as far as it is known at once.
#[derive(Debug)]
pub struct Taken<'a> {
    /// The client's name for each, and what became of it: it was merged here and is as good as its commit, or refused; or nothing
    /// yet.
    pub outcomes: Vec<(&'a str, Option<Result<Consistency, Refusal>>)>,
    /// Those that other nodes see to, by their places.
    pub elsewhere: Vec<(usize, NodeId, Op<'a>)>,
    /// Those that were merged here and must be on other replicas too.
    pub replicate: Vec<(usize, RecordKey, Consistency)>,
    /// What each of them is about, as far as it can be read, and its stamp.
    pub about: Vec<Option<(RecordKey, Stamp)>>,
}

/// A request whose answer waits for a commit, kept so that it can be answered if the commit fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Writes, some of which at least were taken.
    Ops {
        /// Who asked.
        conn: ConnId,
        /// The client's names for them, and why not if they were refused.
        ops: Vec<(Box<str>, Option<Refusal>)>,
        /// Whether the answer is the body of an exchange.
        exchange: bool,
        /// Of what was taken: what its client is shown nothing older than, once it is durable.
        about: Vec<(RecordKey, Stamp)>,
    },
    /// A read.
    Read {
        /// Who asked.
        conn: ConnId,
        /// The client's name for it.
        id: Box<str>,
    },
}

impl Request {
    /// What `conn` is told of a key once the commit is there.
    pub fn told(&self, conn: ConnId, key: &RecordKey) -> Option<Stamp> {
        match self {
            Request::Ops { conn: of, about, .. } if *of == conn => {
                let stamps = about.iter().filter(|(about, _)| about == key);
                stamps.map(|(_, stamp)| *stamp).max()
            }
            _ => None,
        }
    }
}

impl Desk<'_> {
    /// Takes what of these writes is for this node to see to, and says who sees to the others. `any_replica`: another node asks, and
    /// whatever this one holds is for it to see to.
    pub fn take<'a>(&mut self, ops: Ops<'a>, any_replica: bool) -> Taken<'a> {
        let mut taken = Taken {
            outcomes: Vec::with_capacity(ops.len()),
            elsewhere: Vec::new(),
            replicate: Vec::new(),
            about: Vec::with_capacity(ops.len()),
        };
        for op in ops {
            let at = taken.outcomes.len();
            taken.about.push(None);
            let (id, result) = match op {
                Ok(op) => {
                    let result = self.take_one(&op, at, any_replica, &mut taken);
                    (op.id, result)
                }
                Err(bad) => {
                    self.counts.add(Kind::Write, Some(bad.error.code()));
                    (bad.id, Some(Err(refusal_of(&bad.error))))
                }
            };
            taken.outcomes.push((id, result));
        }
        taken
    }

    /// Nothing is admitted by a clock that is not to be trusted.
    fn is_sure(&self) -> Result<(), Refusal> {
        let reason = match self.trust {
            Trust::Sure => return Ok(()),
            Trust::Off { by_ms } => {
                let way = if by_ms > 0 { "behind" } else { "ahead of" };
                let ms = by_ms.unsigned_abs();
                format!("the clock of this node is {ms} ms {way} the median of the members': set it")
            }
            Trust::Jumped => "the clock of this node has jumped, and too few members have confirmed it yet".into(),
        };
        let code = Code::ClockUnsure;
        Err(Refusal { code, reason })
    }

    /// What became of one write, if that is known already.
    fn take_one<'a>(
        &mut self,
        op: &Op<'a>,
        at: usize,
        any_replica: bool,
        taken: &mut Taken<'a>,
    ) -> Option<Result<Consistency, Refusal>> {
        let level = op.consistency;
        let checked = named(op, self.limits).and_then(|key| {
            let partition = self.store.partition_of(&key);
            let coordinator = self.place.coordinator(partition, any_replica)?;
            if coordinator == Coordinator::Here && !self.mutants.is(Mutant::QuorumOfTheLiving) {
                self.place.reaches(partition, level)?;
            }
            // Alone, nobody else can be asked for it.
            if !self.place.is_alone() {
                taken.about[at] = Some((key.clone(), op.version.stamp));
            }
            Ok((key, coordinator))
        });
        let admitted = checked.and_then(|(key, coordinator)| match coordinator {
            Coordinator::Here => {
                self.is_sure()?;
                let clock = self.hlc.latest();
                admit(op, key, self.store, self.limits, self.now, clock, self.mutants).map(Some)
            }
            Coordinator::At(node) => {
                taken.elsewhere.push((at, node, *op));
                Ok(None)
            }
        });
        let result = match admitted {
            Ok(None) => return None,
            Ok(Some((key, mut record))) => {
                self.hlc.observe(op.version.stamp);
                if self.mutants.is(Mutant::StampOnArrival) {
                    let stamp = self.hlc.now(self.now.wall_ms);
                    record = Record::new(&Version { stamp, ..op.version });
                }
                if level != Consistency::Eventual {
                    taken.replicate.push((at, key.clone(), level));
                }
                self.store.merge(key, record);
                Ok(level)
            }
            Err(refusal) => {
                if refusal.code == Code::StorageFull {
                    self.store.fell_short();
                }
                match self.mutants.is(Mutant::AckRejected) {
                    true => Ok(level),
                    false => Err(refusal),
                }
            }
        };
        self.counts
            .add(kind_of(op), result.as_ref().err().map(|refusal| refusal.code));
        // What other replicas must have is not done yet.
        let waits = taken.replicate.last().is_some_and(|(last, ..)| *last == at);
        (!waits).then_some(result)
    }

    /// Answers writes that wait for nothing but this step's commit, and gives the request to be remembered. An exchange gets one answer
    /// for all.
    pub fn answer_taken(&mut self, conn: ConnId, outcomes: Vec<Outcome<'_>>, exchange: bool) -> Option<Request> {
        if outcomes.iter().all(|outcome| outcome.result.is_err()) {
            self.answer_ops(conn, &outcomes, exchange, Shows::Nothing);
            return None;
        }
        self.answer_ops(conn, &outcomes, exchange, Shows::Ack);
        let ops = outcomes
            .into_iter()
            .map(|outcome| (outcome.id.into(), outcome.result.err()));
        Some(Request::Ops {
            conn,
            ops: ops.collect(),
            exchange,
            about: Vec::new(),
        })
    }

    /// Refuses writes, each by its name.
    pub fn refuse_ops(&mut self, conn: ConnId, ops: Ops<'_>, exchange: bool, code: Code, reason: &str) {
        let refusal = || Refusal {
            code,
            reason: reason.into(),
        };
        let mut outcomes = Vec::with_capacity(ops.len());
        for op in ops {
            let (kind, id) = op.map_or_else(|bad| (Kind::Write, bad.id), |op| (kind_of(&op), op.id));
            self.counts.add(kind, Some(code));
            let result = Err(refusal());
            outcomes.push(Outcome { id, result });
        }
        self.answer_ops(conn, &outcomes, exchange, Shows::Nothing);
    }

    /// Answers writes.
    pub fn answer_ops(&mut self, conn: ConnId, outcomes: &[Outcome<'_>], exchange: bool, shows: Shows) {
        if exchange {
            let body = server::sync_answer(self.node, self.clock, outcomes);
            if self.mutants.is(Mutant::AnswerTwice) {
                self.outbox.push(conn, body.clone(), shows);
            }
            self.outbox.push(conn, body, shows);
            return;
        }
        for outcome in outcomes {
            if let Some(refusal) = outcome.refusal() {
                let id = if outcome.id.len() <= self.limits.id_bytes {
                    outcome.id
                } else {
                    ""
                };
                self.outbox.push(conn, server::op_rejected(id, refusal), Shows::Nothing);
            }
        }
        // Where frames are lost or overtake each other, "everything up to here" would cover what never came, or was refused.
        let gapless = self.conns.get(conn).is_some_and(|c| c.gapless && c.kind.ordered);
        let mut refusals = outcomes.iter().filter_map(Outcome::refusal);
        if refusals.any(|refusal| !refusal.code.is_final()) {
            self.conns.left_gap(conn);
        }
        let done = |outcome: &Outcome<'_>| outcome.result.is_ok();
        let too_much = self.mutants.is(Mutant::AckTooMuch) && outcomes.iter().any(done);
        let all = outcomes.iter().map(|outcome| Outcome {
            id: outcome.id,
            result: Ok(outcome.reached().unwrap_or_default()),
        });
        let ack = match too_much {
            true => server::op_ack(&all.collect::<Vec<_>>(), gapless),
            false => server::op_ack(outcomes, gapless),
        };
        if let Some(ack) = ack {
            if self.mutants.is(Mutant::AnswerTwice) {
                self.outbox.push(conn, ack.clone(), shows);
            }
            self.outbox.push(conn, ack, shows);
        }
    }

    /// The record key that a read is about.
    ///
    /// # Errors
    /// Why there is none.
    pub fn key_of(&self, get: &Get<'_>) -> Result<RecordKey, Refusal> {
        if get.id.len() > self.limits.id_bytes {
            let reason = format!("the request's id is over {} bytes", self.limits.id_bytes);
            let code = Code::TooLarge;
            return Err(Refusal { code, reason });
        }
        RecordKey::new(get.map, get.key, self.limits).map_err(|bad| Refusal {
            code: code_of(&bad),
            reason: bad.to_string(),
        })
    }

    /// Refuses a read.
    pub fn refuse_read(&mut self, conn: ConnId, code: Code, reason: String, id: &str) {
        self.doing = Kind::Get;
        self.refuse(conn, code, reason, id);
    }

    /// Answers a read of what is here, or says that there is nothing. `stale_ms`: see [`server::value`].
    pub fn read(
        &mut self,
        conn: ConnId,
        kind: ConnKind,
        get: Get<'_>,
        shown: Shown,
        stale_ms: Option<u64>,
    ) -> Option<Request> {
        self.doing = Kind::Get;
        let key = match self.key_of(&get) {
            Ok(key) => key,
            Err(Refusal { code, reason }) => {
                self.refuse(conn, code, reason, "");
                return None;
            }
        };
        let found = shown.of(self.store.live(&key));
        let frame = server::value(get.id, get.map, get.key, found, stale_ms);
        if frame.len() > kind.frame_bytes {
            let reason = format!(
                "the answer has {} bytes, over this connection's {}",
                frame.len(),
                kind.frame_bytes
            );
            self.refuse(conn, Code::TooLarge, reason, get.id);
            return None;
        }
        self.counts.add(Kind::Get, None);
        if self.mutants.is(Mutant::AnswerTwice) {
            self.outbox.push(conn, frame.clone(), Shows::Read);
        }
        self.outbox.push(conn, frame, Shows::Read);
        Some(Request::Read {
            conn,
            id: get.id.into(),
        })
    }

    /// Answers a frame that cannot be read.
    pub fn refuse_frame(&mut self, conn: ConnId, error: &Error) {
        let refusal = refusal_of(error);
        self.counts.add(self.doing, Some(refusal.code));
        self.outbox.push(conn, server::error(&refusal, ""), Shows::Nothing);
    }

    /// Answers with an error. `request` is the client's name for what it asked.
    pub fn refuse(&mut self, conn: ConnId, code: Code, reason: String, request: &str) {
        if !code.is_final() {
            self.conns.left_gap(conn);
        }
        let refusal = Refusal { code, reason };
        self.counts.add(self.doing, Some(code));
        self.outbox.push(conn, server::error(&refusal, request), Shows::Nothing);
    }

    /// Answers a request whose commit failed: of a write nobody knows, a read has to be asked again.
    pub fn fail(&mut self, request: &Request) {
        match request {
            Request::Ops {
                conn, ops, exchange, ..
            } => {
                ops.iter()
                    .for_each(|_| self.counts.add(Kind::Write, Some(Code::OutcomeUnknown)));
                let unknown = || Refusal {
                    code: Code::OutcomeUnknown,
                    reason: "storage failed while the write was in flight".into(),
                };
                // Of an exchange everything was in the one answer; elsewhere a refusal has gone its own way.
                let refused = |refusal: &Option<Refusal>| match refusal {
                    Some(refusal) if *exchange => Some(refusal.clone()),
                    Some(_) => None,
                    None => Some(unknown()),
                };
                let outcomes = ops.iter().filter_map(|(id, refusal)| {
                    refused(refusal).map(|refusal| Outcome {
                        id,
                        result: Err(refusal),
                    })
                });
                let outcomes: Vec<_> = outcomes.collect();
                self.answer_ops(*conn, &outcomes, *exchange, Shows::Nothing);
            }
            Request::Read { conn, id } => {
                self.doing = Kind::Get;
                let reason = "storage failed; the node is recovering".to_string();
                self.refuse(*conn, Code::NotReady, reason, id);
            }
        }
    }
}

fn kind_of(op: &Op<'_>) -> Kind {
    if op.version.is_tombstone() {
        Kind::Delete
    } else {
        Kind::Put
    }
}

pub(super) fn refusal_of(error: &Error) -> Refusal {
    Refusal {
        code: error.code(),
        reason: error.to_string(),
    }
}
