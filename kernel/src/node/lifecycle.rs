//! Boot, recovery, failure of storage, and the end.

use alloc::boxed::Box;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::env::{Mutant, Now, Rare, SeededRng, Ticket, WriterId};
use crate::hlc::Hlc;
use crate::machine::{Envelope, Fetch, Fetched, Output, Phase, Role, Room, StorageError};
use crate::node::waits::Parts;
use crate::node::{Node, announce};
use crate::session::{Desk, Floor, Kind, Request, Shows};
use crate::store::{Next, Recovery, Store};
use crate::wire::Code;
use crate::wire::cluster::refusal;

/// How long after a failed recovery the next one begins.
const RETRY_MS: u64 = 1_000;

/// What a node is doing.
#[derive(Debug, Serialize, Deserialize)]
pub enum State {
    /// Not booted.
    Off,
    /// Reading its storage: the answer to this ticket is awaited.
    Recovering(Ticket, Box<Recovery>),
    /// Reading failed; it is tried again then.
    RetryAt(u64),
    /// Serving.
    Serving,
    /// A commit failed: waiting until the host has answered for everything in flight, to recover then.
    Failing,
    /// What is stored makes no sense. A person must look.
    Failed,
    /// Drained.
    Stopped,
}

impl State {
    /// Whether requests are served.
    pub fn is_serving(&self) -> bool {
        matches!(self, State::Serving)
    }

    /// When this state wants to be stepped.
    pub fn wake_us(&self) -> Option<u64> {
        match self {
            State::RetryAt(at_us) => Some(*at_us),
            _ => None,
        }
    }
}

impl Node {
    pub(super) fn boot(&mut self, entropy: [u8; 32], out: &mut Output) {
        assert!(matches!(self.state, State::Off), "a machine boots once");
        // Identities are born here and never read from disk: a restored or cloned disk must not repeat them.
        self.rng = SeededRng::from_seed(entropy);
        self.hlc = Hlc::new(WriterId(self.rng.next_u64()));
        self.recover(out);
    }

    fn recover(&mut self, out: &mut Output) {
        self.store = Store::new(&self.config.store());
        self.fills.forget();
        self.membership.forget_filled();
        self.announced = None;
        let recovery = Recovery::new(Store::new(&self.config.store()));
        let ticket = self.next_ticket();
        out.fetch.push((ticket, Fetch::Recover));
        self.state = State::Recovering(ticket, Box::new(recovery));
        announce(out, Phase::Recovering);
    }

    pub(super) fn fetched(
        &mut self,
        ticket: Ticket,
        result: Result<Fetched, StorageError>,
        now: Now,
        out: &mut Output,
    ) {
        let State::Recovering(awaited, mut recovery) = core::mem::replace(&mut self.state, State::Off) else {
            panic!("the host answered a fetch that it was not given");
        };
        assert_eq!(ticket, awaited, "the host answered fetches out of order");
        match result.and_then(|fetched| recovery.fetched(now, fetched)) {
            Ok(Next::Fetch(fetch)) => {
                let ticket = self.next_ticket();
                out.fetch.push((ticket, fetch));
                self.state = State::Recovering(ticket, recovery);
            }
            Ok(Next::Done) => {
                let (store, records, log_entries) = recovery.finish();
                self.store = store;
                // Nothing beyond the bound that was durable was ever spoken: the clock goes on from there.
                if !self.config.mutants.is(Mutant::ClockNotRecovered) {
                    self.hlc.recover(self.store.durable_clock());
                }
                out.cut = self.store.applied_number().checked_sub(1).filter(|cut| *cut > 0);
                self.state = State::Serving;
                match self.find_itself(now) {
                    Ok(()) => {}
                    Err(StorageError::Full) => {
                        self.state = State::RetryAt(now.mono_us + RETRY_MS * 1_000);
                        return;
                    }
                    Err(error) => {
                        self.state = State::Failed;
                        return announce(out, Phase::Failed { error });
                    }
                }
                self.found = (records, log_entries);
                self.advance(now);
                self.announce_membership(out);
            }
            Err(StorageError::Corrupt) => {
                self.state = State::Failed;
                let error = StorageError::Corrupt;
                announce(out, Phase::Failed { error });
            }
            Err(StorageError::Io | StorageError::Full) => {
                self.state = State::RetryAt(now.mono_us + RETRY_MS * 1_000);
            }
        }
    }

    /// Says what the node does now that it knows whether it belongs to a cluster, if that has changed.
    pub(super) fn announce_membership(&mut self, out: &mut Output) {
        let (records, log_entries) = self.found;
        let phase = match (self.membership.is_member(), self.membership.is_removed()) {
            // It serves once it is on disk that it does.
            (true, _) if self.membership.durable() > 0 => Phase::Ready { records, log_entries },
            (_, true) => Phase::Removed,
            _ => Phase::Joining,
        };
        if self.announced != Some(phase) {
            self.announced = Some(phase);
            announce(out, phase);
        }
    }

    /// Whether requests are served.
    pub(super) fn serves(&self) -> bool {
        let is_there = self.state.is_serving() && !self.draining;
        is_there && self.membership.is_member() && self.membership.durable() > 0 && !self.is_below_floor()
    }

    /// What these clients asked for is durable, and they are told so.
    pub(super) fn done(&mut self, requests: Vec<Request>, now: Now) {
        for request in requests {
            if let Request::Ops { conn, about, .. } = request {
                for (key, stamp) in about {
                    self.told(conn, &key, Floor { stamp, gone: false }, now);
                }
            }
        }
    }

    pub(super) fn committed(&mut self, ticket: Ticket, result: Result<Room, StorageError>, now: Now, out: &mut Output) {
        let flight = self.flights.settle(ticket);
        match (result, &self.state) {
            (Ok(room), State::Serving) => {
                self.store.grant(room);
                if flight.has_entry {
                    self.store.committed(now.mono_us);
                    self.hlc.grant(self.store.durable_clock());
                    self.membership.committed(self.store.committed_number());
                }
                self.own_copy_durable(ticket);
                self.agreement.durable(ticket);
                self.done(flight.requests, now);
                if self.flights.is_empty() {
                    self.hear_itself(now);
                    self.announce_membership(out);
                }
            }
            (Ok(_), _) => panic!("a commit succeeded after one before it had failed"),
            (Err(_), State::Serving) => {
                for flight in core::iter::once(flight).chain(self.flights.abandon()) {
                    for (conn, bytes) in flight.held {
                        if !self.config.mutants.is(Mutant::HeldBytesKept) {
                            self.conns.drained(conn, bytes);
                        }
                    }
                    for Envelope { conn, frame } in flight.harmless {
                        self.outbox.push(conn, frame, Shows::Nothing);
                    }
                    for request in flight.requests {
                        self.desk(now).fail(&request);
                    }
                }
                for gathering in self.waits.abandon() {
                    let refused = match gathering.parts {
                        Parts::Ops(_) => refusal(Code::OutcomeUnknown, "storage failed while the write was in flight"),
                        Parts::Read { .. } => refusal(Code::NotReady, "storage failed; the node is recovering"),
                    };
                    self.refuse(gathering, refused, now);
                }
                self.abandon_agreement(now);
                // What was forwarded may never have left; peers compare everything when they are linked again.
                for conn in self.conns.of_role(Role::Peer).collect::<Vec<_>>() {
                    self.peers.because("this node's storage failed");
                    self.close(conn, now);
                }
                if !self.config.mutants.is(Mutant::SkipStale) {
                    self.subscriptions.all_stale();
                    self.restart_queries(now);
                }
                self.state = State::Failing;
            }
            (Err(_), _) => {}
        }
        self.recover_once_settled(out);
    }

    pub(super) fn applied(&mut self, ticket: Ticket, ok: bool, now: Now, out: &mut Output) {
        assert_eq!(
            self.apply.take(),
            Some(ticket),
            "the host answered an apply that it was not given"
        );
        if self.state.is_serving() {
            let cut = self.store.applied(ok, now.mono_us);
            let kept = cut.is_some() && self.rarely(Rare::KeepLog, ticket.0);
            out.cut = cut.filter(|_| !kept);
            // The log holds everything; the records can follow at the next start.
            self.gave_up |= !ok && self.draining;
        }
        self.recover_once_settled(out);
    }

    fn recover_once_settled(&mut self, out: &mut Output) {
        if matches!(self.state, State::Failing) && self.flights.is_empty() && self.apply.is_none() {
            self.recover(out);
        }
    }

    pub(super) fn state_timers(&mut self, now: Now, out: &mut Output) {
        if let State::RetryAt(at_us) = self.state
            && at_us <= now.mono_us
        {
            self.recover(out);
        }
    }

    pub(super) fn drain(&mut self, now: Now) {
        self.draining = true;
        for conn in self.conns.of_role(Role::Peer).collect::<Vec<_>>() {
            self.peers.because("this node is stopping");
            self.close(conn, now);
        }
    }

    /// Stops once nothing is in flight and the records hold everything, or if storage is of no use anyway.
    pub(super) fn drain_step(&mut self, out: &mut Output) {
        let done = match &self.state {
            State::Serving => self.gave_up || self.store.is_clean(),
            State::Off | State::RetryAt(_) | State::Failed => true,
            State::Recovering(..) | State::Failing | State::Stopped => false,
        };
        // Nothing that the host was given is left to it.
        if self.draining && done && self.flights.is_empty() && self.apply.is_none() {
            self.stop(out);
        }
    }

    fn stop(&mut self, out: &mut Output) {
        self.state = State::Stopped;
        announce(out, Phase::Stopped);
    }

    pub(super) fn desk(&mut self, now: Now) -> Desk<'_> {
        let clock = self.hlc.spoken(now.wall_ms);
        Desk {
            now,
            node: &self.config.name,
            limits: &self.config.limits,
            clock,
            trust: self.trust,
            store: &mut self.store,
            hlc: &mut self.hlc,
            conns: &mut self.conns,
            outbox: &mut self.outbox,
            place: self.membership.place(),
            counts: &mut self.tally.operations,
            doing: Kind::Frame,
            mutants: self.config.mutants,
        }
    }
}
