//! Named registers, each agreed by the replicas of the partition that its name lies in: locks and definitions ([`crate::cluster::agreed`]).
//!
//! CASPaxos (Rystsov, 2018), and any node proposes: it *prepares* a ballot with all replicas, learns from a majority what was accepted by
//! the highest ballot, and asks all to *accept* what follows from that. What is read is accepted again, so that whoever asks later
//! learns no less.
//!
//! **What a replica keeps** is a pair of maxima: the highest ballot that it promised, and what it accepted by the highest one. Ballots are
//! stamps of the hybrid logical clock, so both are records like any other, in two maps that no client can name. The last writer wins;
//! they move with their partition, are repaired, recovered and settled as records are. To copy one from one replica to another is
//! to deliver a message late: a ballot that somebody else promised is one that this replica takes nothing below, and what
//! somebody else accepted is one more thing to learn. Votes are never copied: counted is only who answers this ballot.
//!
//! **Majorities** are those of the placement: during a move of the old replicas and of the new ones. A replica that has adopted a move
//! does not answer who has not, and who is new is filled from a majority of the old ones that have: as for writes by quorum.

mod acceptor;
mod answers;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cluster::agreed::{
    At, Became, DEFINITION_BYTES, LOCK_MS_MAX, NAME_BYTES, Name, REMEMBERED_BYTES, REMEMBERED_MS, Register, Wish,
    decide,
};
use crate::env::{ConnId, Mutant, NodeId, Now, Ticket};
use crate::hlc::{Stamp, Trust};
use crate::msgpack::{Reader, Writer};
use crate::node::Node;
use crate::session::{Kind, Shows};
use crate::store::{ACCEPTED_MAP, RecordKey};
use crate::wire::Code;
use crate::wire::agreed::AgreedAsk;
use crate::wire::cluster::{Vote, Word};
use crate::wire::server::Refusal;

/// The name under which its records are written.
const WRITER: &str = "register";

/// When what was asked is asked again.
const AGAIN_US: u64 = 500_000;

/// How long a proposer waits at most that another one was faster than: twice as long each time, for so many times. Who takes longer to agree
/// than others wait would be overtaken for ever.
const YIELD_US: u64 = 100_000;
const YIELD_DOUBLED: u32 = 4;

/// Most requests of one connection that are open at a time.
const OPEN_MAX: usize = 256;

/// What this node proposes for its clients.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Agreement {
    numbers: u64,
    open: BTreeMap<u64, Attempt>,
    /// Votes of this node itself: they count once what they rest on is durable.
    own: Vec<OwnVote>,
    /// All tickets up to this are settled.
    settled: Ticket,
}

#[derive(Debug, Serialize, Deserialize)]
struct OwnVote {
    request: u64,
    ballot: Stamp,
    voted: Voted,
    /// Nothing before it was put into a flight.
    ticket: Option<Ticket>,
}

/// What a replica answers to a ballot.
#[derive(Debug, Serialize, Deserialize)]
pub enum Voted {
    /// It promised, and had accepted this.
    Promised(Option<(Stamp, Bytes)>),
    /// It accepted.
    Accepted,
    /// It takes nothing below this.
    No(Stamp),
}

/// One thing that a client asked.
#[derive(Debug, Serialize, Deserialize)]
struct Attempt {
    conn: ConnId,
    by: Name,
    wish: Wish,
    name: Box<str>,
    key: RecordKey,
    ballot: Stamp,
    phase: Phase,
    votes: BTreeSet<NodeId>,
    refused: BTreeSet<NodeId>,
    found: Option<(Stamp, Bytes)>,
    /// Somebody was asked to accept something: it may have been done.
    may_be_done: bool,
    /// How often another one was faster.
    overtaken: u32,
    /// A change that can be asked again on another connection: who asks has a name.
    named: bool,
    /// The connection is gone.
    alone: bool,
    deadline_us: u64,
    again_us: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// It begins at `again_us`, or when what was asked before it of the same register is done.
    Waiting,
    Preparing,
    /// What is to be accepted, and what becomes of each request that it is for: all that waited for the register go with the first.
    Accepting {
        value: Bytes,
        outcomes: Vec<(u64, Became)>,
    },
}

impl Agreement {
    /// When something here is due.
    pub fn wake_us(&self) -> Option<u64> {
        let due = |attempt: &Attempt| attempt.again_us.min(attempt.deadline_us);
        let own = self
            .own
            .iter()
            .any(|vote| vote.ticket.is_some_and(|ticket| ticket <= self.settled));
        let first = self.open.values().map(due).min();
        if own { Some(0) } else { first }
    }

    /// What this step's own votes rest on is durable with this ticket; without one it is already.
    pub fn set_tickets(&mut self, ticket: Option<Ticket>) {
        let ticket = ticket.unwrap_or(self.settled);
        self.own
            .iter_mut()
            .for_each(|vote| _ = vote.ticket.get_or_insert(ticket));
    }

    /// All commits up to this ticket are durable.
    pub fn durable(&mut self, upto: Ticket) {
        self.settled = self.settled.max(upto);
    }

    /// The cluster's state is another one: all begins anew with those who are replicas now.
    pub fn begin_again(&mut self) {
        for attempt in self.open.values_mut() {
            attempt.phase = Phase::Waiting;
            attempt.again_us = 0;
        }
    }

    /// Nobody waits for the answers any more that were to go there. A change that was begun by a name is gone on with: whoever asks again by that
    /// name is told of it, and would be overtaken by it. What only that connection could have asked again is not, nor what waits for its
    /// turn, nor more than one connection may have open.
    pub fn gone(&mut self, conn: ConnId) {
        let before = self.open.len();
        let mut left = OPEN_MAX.saturating_sub(self.open.values().filter(|attempt| attempt.alone).count());
        self.open.retain(|_, attempt| {
            let is_begun = attempt.phase != Phase::Waiting || attempt.overtaken > 0;
            let goes_on = attempt.named && is_begun && left > 0;
            if attempt.conn == conn && goes_on {
                attempt.alone = true;
                left -= 1;
            }
            attempt.conn != conn || goes_on
        });
        if self.open.len() < before {
            // Whoever waited for one of them begins.
            let waits = |attempt: &&mut Attempt| attempt.phase == Phase::Waiting;
            self.open
                .values_mut()
                .filter(waits)
                .for_each(|attempt| attempt.again_us = 0);
        }
    }

    fn is_first(&self, number: u64, key: &RecordKey) -> bool {
        !self.open.range(..number).any(|(_, attempt)| attempt.key == *key)
    }
}

/// What is written in a record of a register; `None` if that is nothing this kernel knows.
fn read(value: &[u8]) -> Option<Register> {
    Register::decode(Reader::new(value).bin().ok()?)
}

fn written(register: &Register) -> Bytes {
    let mut out = Writer::new();
    out.bin(&register.encode());
    out.into_bytes()
}

impl Node {
    /// A client asks something of a lock or a definition.
    pub(super) fn ask_register(&mut self, conn: ConnId, ask: AgreedAsk<'_>, now: Now) {
        match self.open_attempt(conn, &ask, now) {
            Ok(()) => self.agreement_timers(now),
            Err(Refusal { code, reason }) => self.refuse_register(conn, ask.id, code, reason, now),
        }
    }

    fn refuse_register(&mut self, conn: ConnId, id: &str, code: Code, reason: String, now: Now) {
        let mut desk = self.desk(now);
        desk.doing = Kind::Agree;
        desk.refuse(conn, code, reason, id);
    }

    fn open_attempt(&mut self, conn: ConnId, ask: &AgreedAsk<'_>, now: Now) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let refuse = |code, reason: String| Err(Refusal { code, reason });
        if ask.name.is_empty() {
            return refuse(Code::BadRequest, "the name is empty".into());
        }
        if ask.name.len() > NAME_BYTES {
            return refuse(Code::TooLarge, format!("the name is over {NAME_BYTES} bytes"));
        }
        if ask.id.len() > limits.id_bytes || ask.owner.is_some_and(|owner| owner.len() > limits.id_bytes) {
            return refuse(
                Code::TooLarge,
                format!("requestId or owner is over {} bytes", limits.id_bytes),
            );
        }
        // One frame carries all of it.
        let most = DEFINITION_BYTES.min((limits.frame_bytes / 2).saturating_sub(REMEMBERED_BYTES));
        match &ask.wish {
            Wish::Lock { ttl_ms } if !(1..=LOCK_MS_MAX).contains(ttl_ms) => {
                return refuse(Code::BadRequest, format!("ttl is between 1 and {LOCK_MS_MAX} ms"));
            }
            Wish::Define { value, .. } if value.len() > most => {
                return refuse(Code::TooLarge, format!("the definition is over {most} bytes"));
            }
            _ => {}
        }
        if self.trust != Trust::Sure {
            return refuse(
                Code::ClockUnsure,
                "this node does not know whether its clock is right".into(),
            );
        }
        let own = self.agreement.open.values().filter(|attempt| attempt.conn == conn);
        let all = self.agreement.open.len() + self.waits.len();
        if own.count() >= OPEN_MAX || all >= limits.requests {
            return refuse(Code::Overloaded, "too many requests wait for other nodes".into());
        }
        let kind = if ask.wish.is_about_lock() { "lock" } else { "definition" };
        let key = RecordKey::of_row(ACCEPTED_MAP, format!("{kind}/{}", ask.name).as_bytes());
        let own = self.membership.id();
        let tally = self.membership.state().map(|state| {
            let placement = state.placement(self.store.partition_of(&key));
            placement.majority(|node| node == own || self.peers.to(node).is_some())
        });
        if let Some(tally) = tally.filter(|tally| !tally.is_enough()) {
            return Err(Refusal::no_quorum(tally.have, tally.of, tally.need));
        }
        let owner = match ask.owner {
            Some(owner) => owner.into(),
            None => format!("{:016x}/{}", self.boot_id().0, conn.0).into(),
        };
        // No longer than a register remembers what became of it.
        let deadline_us = now.mono_us + limits.request_ms.min(REMEMBERED_MS / 2) * 1_000;
        self.agreement.numbers += 1;
        let attempt = Attempt {
            conn,
            by: Name {
                owner,
                request: ask.id.into(),
            },
            wish: ask.wish.clone(),
            name: ask.name.into(),
            key,
            ballot: Stamp::ZERO,
            phase: Phase::Waiting,
            votes: BTreeSet::new(),
            refused: BTreeSet::new(),
            found: None,
            may_be_done: false,
            overtaken: 0,
            named: ask.owner.is_some() && ask.wish != Wish::Look,
            alone: false,
            deadline_us,
            again_us: 0,
        };
        self.agreement.open.insert(self.agreement.numbers, attempt);
        Ok(())
    }

    /// Does what is due: counts this node's own votes, begins, asks again, gives up.
    pub(super) fn agreement_timers(&mut self, now: Now) {
        let settled = self.agreement.settled;
        let is_durable = |vote: &OwnVote| vote.ticket.is_some_and(|ticket| ticket <= settled);
        let (durable, rest) = core::mem::take(&mut self.agreement.own)
            .into_iter()
            .partition(is_durable);
        self.agreement.own = rest;
        let own = self.membership.id();
        for vote in Vec::<OwnVote>::into_iter(durable) {
            self.count_vote(own, vote.request, vote.ballot, vote.voted, now);
        }
        let due = |(number, attempt): (&u64, &Attempt)| {
            (attempt.again_us <= now.mono_us || attempt.deadline_us <= now.mono_us).then_some(*number)
        };
        let due: Vec<u64> = self.agreement.open.iter().filter_map(due).collect();
        for number in due {
            self.go_on_agreeing(number, now);
        }
    }

    fn go_on_agreeing(&mut self, number: u64, now: Now) {
        let Some(attempt) = self.agreement.open.get(&number) else {
            return;
        };
        if attempt.deadline_us <= now.mono_us {
            let (code, reason) = match attempt.may_be_done {
                true => (
                    Code::OutcomeUnknown,
                    "too few replicas have answered: it may have been done",
                ),
                false => (
                    Code::NotReady,
                    "too few replicas have answered in time: nothing was done",
                ),
            };
            let reason = reason.into();
            return self.end_attempt(number, Err(Refusal { code, reason }), now);
        }
        if attempt.phase == Phase::Waiting {
            if !self.agreement.is_first(number, &attempt.key) {
                // Whoever is before it wakes it.
                if let Some(attempt) = self.agreement.open.get_mut(&number) {
                    attempt.again_us = attempt.deadline_us;
                }
                return;
            }
            let ballot = self.hlc.now(now.wall_ms);
            if let Some(attempt) = self.agreement.open.get_mut(&number) {
                attempt.ballot = ballot;
                attempt.phase = Phase::Preparing;
                attempt.votes.clear();
                attempt.refused.clear();
                attempt.found = None;
            }
        }
        self.ask_voters(number, now);
    }

    /// Asks all replicas that have not answered.
    fn ask_voters(&mut self, number: u64, now: Now) {
        let Some(attempt) = self.agreement.open.get_mut(&number) else {
            return;
        };
        attempt.again_us = now.mono_us + AGAIN_US;
        let value = match &attempt.phase {
            Phase::Accepting { value, .. } => Some(value.clone()),
            _ => None,
        };
        let (key, ballot, votes) = (attempt.key.clone(), attempt.ballot, attempt.votes.clone());
        let (epoch, own) = (self.membership.epoch(), self.membership.id());
        let partition = self.store.partition_of(&key);
        let Some(state) = self.membership.state() else {
            return;
        };
        let silent: Vec<NodeId> = state
            .placement(partition)
            .holders()
            .filter(|node| !votes.contains(node))
            .collect();
        for node in silent {
            if node == own {
                if let Some(voted) = self.vote(&key, epoch, ballot, value.as_deref()) {
                    self.agreement.own.push(OwnVote {
                        request: number,
                        ballot,
                        voted,
                        ticket: None,
                    });
                }
            } else if let Some(conn) = self.peers.to(node)
                && !self.conns.is_full(conn, &self.config.limits)
            {
                let word = Word::Propose {
                    request: number,
                    epoch,
                    key: key.key(),
                    ballot: ballot.to_bytes(),
                    value: value.as_deref(),
                };
                self.outbox.push(conn, word.to_frame(), Shows::State);
            }
        }
    }

    /// A replica answers a ballot of this node.
    pub(super) fn voted(&mut self, node: NodeId, request: u64, ballot: [u8; 16], vote: Vote<'_>, now: Now) {
        let voted = match vote {
            Vote::Promised { by, accepted } => {
                let by = Stamp::from_bytes(by);
                let accepted = Some((by, Bytes::copy_from_slice(accepted)));
                Voted::Promised(accepted.filter(|(by, value)| *by > Stamp::ZERO && !value.is_empty()))
            }
            Vote::Accepted => Voted::Accepted,
            Vote::No(least) => Voted::No(Stamp::from_bytes(least)),
        };
        self.count_vote(node, request, Stamp::from_bytes(ballot), voted, now);
    }

    fn count_vote(&mut self, node: NodeId, number: u64, ballot: Stamp, voted: Voted, now: Now) {
        let Some(attempt) = self.agreement.open.get_mut(&number) else {
            return;
        };
        if attempt.ballot != ballot {
            return;
        }
        match (voted, &attempt.phase) {
            (_, Phase::Waiting) => return,
            (Voted::No(least), phase) => {
                self.hlc.observe(least);
                attempt.refused.insert(node);
                // As long as a majority may accept it yet, it may be done: to begin anew would be to ask for the same twice.
                let placement = self
                    .membership
                    .state()
                    .map(|state| state.placement(self.store.partition_of(&attempt.key)));
                let can_be = placement
                    .is_some_and(|placement| placement.majority(|node| !attempt.refused.contains(&node)).is_enough());
                if *phase == Phase::Preparing || !can_be {
                    // Somebody else is at it: it is tried again above that, after a while.
                    attempt.phase = Phase::Waiting;
                    let most_us = YIELD_US << attempt.overtaken.min(YIELD_DOUBLED);
                    attempt.overtaken = attempt.overtaken.saturating_add(1);
                    attempt.again_us = now.mono_us + 1 + self.rng.below(most_us);
                }
                return;
            }
            (Voted::Promised(accepted), Phase::Preparing) => attempt.found = attempt.found.take().max(accepted),
            (Voted::Accepted, Phase::Accepting { .. }) => {}
            // An answer to the question before.
            _ => return,
        }
        attempt.votes.insert(node);
        let Some(state) = self.membership.state() else {
            return;
        };
        let placement = state.placement(self.store.partition_of(&attempt.key));
        if !placement.majority(|node| attempt.votes.contains(&node)).is_enough() {
            return;
        }
        if let Phase::Accepting { outcomes, .. } = &mut attempt.phase {
            for (number, became) in core::mem::take(outcomes) {
                self.end_attempt(number, Ok(became), now);
            }
            return;
        }
        let (key, found) = (attempt.key.clone(), attempt.found.take().map(|(_, value)| value));
        // The wall clock is trusted, or nothing would be proposed; the clock that orders ballots may be ahead of it.
        let at = At {
            now_ms: now.wall_ms,
            apart_ms: self.config.limits.max_drift_ms,
            least: state.least_number(),
        };
        let Some(known) = found.as_deref().map_or(Some(Register::default()), read) else {
            let (code, reason) = (
                Code::Unsupported,
                "this node cannot read what the register holds".into(),
            );
            return self.end_attempt(number, Err(Refusal { code, reason }), now);
        };
        let (mut next, mut outcomes) = (None, Vec::new());
        for (number, attempt) in self.agreement.open.iter_mut().filter(|(_, attempt)| attempt.key == key) {
            let register = next.as_ref().unwrap_or(&known);
            if self.config.mutants.is(Mutant::RequestForgotten) {
                attempt.by.owner = format!("{}", self.rng.below(u64::MAX)).into();
            }
            let (changed, became) = decide(&attempt.wish, &attempt.by, register, at);
            next = changed.or(next);
            attempt.may_be_done = true;
            outcomes.push((*number, became));
        }
        let found = found.filter(|_| !self.config.mutants.is(Mutant::LookUnaccepted));
        let Some(value) = next.as_ref().map(written).or(found) else {
            for (number, became) in outcomes {
                self.end_attempt(number, Ok(became), now);
            }
            return;
        };
        let Some(attempt) = self.agreement.open.get_mut(&number) else {
            return;
        };
        attempt.votes.clear();
        attempt.refused.clear();
        attempt.phase = Phase::Accepting { value, outcomes };
        self.ask_voters(number, now);
    }
}
