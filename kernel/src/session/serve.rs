//! Doing what clients ask, and answering.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::crdt::{Record, Version};
use crate::env::{ConnId, Limits, Mutant, Mutants, Now};
use crate::hlc::{Hlc, Stamp};
use crate::machine::ConnKind;
use crate::session::admit::{admit, code_of};
use crate::session::{Conns, Counts, Kind, Outbox, Shows, level};
use crate::store::{RecordKey, Store};
use crate::wire::client::Get;
use crate::wire::op::{Op, Ops};
use crate::wire::server::{self, Outcome, Refusal};
use crate::wire::{Code, Error};

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
    /// The records.
    pub store: &'n mut Store,
    /// The clock: it observes what is written.
    pub hlc: &'n mut Hlc,
    /// The connections.
    pub conns: &'n mut Conns,
    /// The answers.
    pub outbox: &'n mut Outbox,
    /// What was asked, and what came of it.
    pub counts: &'n mut Counts,
    /// What [`Desk::refuse`] counts as refused.
    pub doing: Kind,
    /// Deliberately broken behaviour.
    pub mutants: Mutants,
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
    },
    /// A read.
    Read {
        /// Who asked.
        conn: ConnId,
        /// The client's name for it.
        id: Box<str>,
    },
}

impl Desk<'_> {
    /// Takes writes, answers them on `conn`, and gives the request to be remembered. An exchange gets one answer for all.
    pub fn write(&mut self, conn: ConnId, ops: Ops<'_>, exchange: bool) -> Option<Request> {
        if ops.len() > self.limits.batch_ops {
            let reason = format!("the batch has {} operations, over {}", ops.len(), self.limits.batch_ops);
            self.refuse(conn, Code::TooLarge, reason, "");
            return None;
        }
        let mut outcomes = Vec::with_capacity(ops.len());
        for op in ops {
            outcomes.push(match op {
                Ok(op) => {
                    let kind = kind_of(&op);
                    let admitted = level::of_write(op.consistency).and_then(|level| {
                        let (key, record) = admit(&op, self.store, self.limits, self.now, self.hlc.latest())?;
                        Ok((level, key, record))
                    });
                    let result = match admitted {
                        Ok((level, key, mut record)) => {
                            self.hlc.observe(op.version.stamp);
                            if self.mutants.is(Mutant::StampOnArrival) {
                                let stamp = self.hlc.now(self.now.wall_ms);
                                record = Record::new(&Version { stamp, ..op.version });
                            }
                            self.store.merge(key, record);
                            Ok(level)
                        }
                        Err(refusal) => {
                            if refusal.code == Code::StorageFull {
                                self.store.fell_short();
                            }
                            match self.mutants.is(Mutant::AckRejected) {
                                true => Ok(op.consistency),
                                false => Err(refusal),
                            }
                        }
                    };
                    let outcome = Outcome { id: op.id, result };
                    self.counts.add(kind, outcome.refusal().map(|refusal| refusal.code));
                    outcome
                }
                Err(bad) => {
                    self.counts.add(Kind::Write, Some(bad.error.code()));
                    Outcome {
                        id: bad.id,
                        result: Err(refusal_of(&bad.error)),
                    }
                }
            });
        }
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

    fn answer_ops(&mut self, conn: ConnId, outcomes: &[Outcome<'_>], exchange: bool, shows: Shows) {
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

    /// Answers a read.
    pub fn read(&mut self, conn: ConnId, kind: ConnKind, get: Get<'_>) -> Option<Request> {
        self.doing = Kind::Get;
        if get.id.len() > self.limits.id_bytes {
            let reason = format!("the request's id is over {} bytes", self.limits.id_bytes);
            self.refuse(conn, Code::TooLarge, reason, "");
            return None;
        }
        if let Err(refusal) = level::of_read(get.consistency) {
            self.refuse(conn, refusal.code, refusal.reason, get.id);
            return None;
        }
        let key = match RecordKey::new(get.map, get.key, self.limits) {
            Ok(key) => key,
            Err(bad) => {
                self.refuse(conn, code_of(&bad), bad.to_string(), get.id);
                return None;
            }
        };
        let frame = server::value(get.id, get.map, get.key, self.store.live(&key));
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
            Request::Ops { conn, ops, exchange } => {
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
