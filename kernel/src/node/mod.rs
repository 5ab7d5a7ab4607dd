//! Floor 9: the node, one machine composed of the rest.
//!
//! Each step takes one input ([`Node::step`] says where it goes), lets the timers have their turn, and then flushes: what was
//! staged becomes one log entry, and every envelope is put where it may leave from.

mod admin;
mod agreement;
mod alive;
mod checkpoint;
mod config;
mod coordinate;
mod expiry;
mod flight;
mod forced;
mod gather;
mod gathering;
mod give;
mod handshake;
mod leftovers;
mod level;
mod lifecycle;
mod link;
mod membership;
mod moves;
mod pace;
mod peers;
mod read;
mod reconcile;
mod replicate;
mod requests;
mod scatter;
mod settle;
mod source;
mod stats;
mod tell;
mod timers;
mod waits;
mod words;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterState;
use crate::cluster::liveness::{Boot, Liveness, LivenessSettings};
use crate::env::{ConnId, Limits, Mutant, NodeId, Now, Rare, SeededRng, Taken, Ticket, WriterId};
use crate::hlc::{ClockTrust, Hlc, Trust};
use crate::machine::{Apply, Command, Commit, Input, Machine, Output, Phase, Role};
use crate::partition::PartitionId;
use crate::session::{Access, Conns, Floors, Outbox, Request, Shows, Subscriptions};
use crate::store::{Batch, RecordKey, Store};

pub use checkpoint::BadCheckpoint;
pub use config::{BadConfig, NodeConfig};
pub use stats::{LinkNews, LinkStats, QueryCounts, RepairCounts, Stats};

use admin::Orders;
use agreement::Agreement;
use flight::{Flight, Flights};
use leftovers::Leftovers;
use lifecycle::State;
use membership::Membership;
use moves::Fills;
use peers::Peers;
use scatter::Scatter;
use settle::Settling;
use source::Sources;
use stats::Tally;
use waits::Waits;

/// A database node.
///
/// Drive it as [`crate::machine`] says: [`Input::Boot`] first, then whatever happens, each time performing the whole
/// [`Output`]. It reads its storage, reports [`Phase::Ready`], and then serves clients and replicates with its peers until
/// [`Command::Drain`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    config: NodeConfig,
    rng: SeededRng,
    hlc: Hlc,
    clock_trust: ClockTrust,
    /// What is to be thought of the wall clock.
    trust: Trust,
    store: Store,
    state: State,
    /// What was found in storage: records, and log entries that were not yet in the records.
    found: (u64, u64),
    /// The phase that was announced last, of those of a node that has read its storage.
    announced: Option<Phase>,
    draining: bool,
    /// While draining, an apply failed: the records are left as they are.
    gave_up: bool,
    conns: Conns,
    subscriptions: Subscriptions,
    scatter: Scatter,
    sources: Sources,
    peers: Peers,
    membership: Membership,
    liveness: Liveness,
    waits: Waits,
    floors: Floors,
    orders: Orders,
    fills: Fills,
    leftovers: Leftovers,
    settling: Settling,
    agreement: Agreement,
    /// Numbers of frames of changes that others confirm.
    numbers: u64,
    /// Which of those that others sent this step has taken.
    to_confirm: BTreeMap<ConnId, Vec<u64>>,
    outbox: Outbox,
    /// Requests of this step whose answers may have to wait.
    requests: Vec<Request>,
    flights: Flights,
    tickets: Ticket,
    apply: Option<Ticket>,
    /// Where the changes staged in this step came from: they are not forwarded there.
    source: Option<ConnId>,
    closing: Vec<ConnId>,
    /// Keys that have expired, of which those who watch them have not been told.
    expired: Vec<RecordKey>,
    tally: Tally,
    taken: Taken,
}

impl Node {
    /// A node that waits for [`Input::Boot`].
    pub fn new(config: NodeConfig) -> Self {
        let rng = SeededRng::from_seed([0; 32]);
        Self {
            store: Store::new(&config.store()),
            peers: Peers::default(),
            membership: Membership::new(config.mutants),
            liveness: Liveness::new(NodeId(0), Boot::default(), LivenessSettings::default(), config.mutants),
            waits: Waits::default(),
            floors: Floors::default(),
            orders: Orders::default(),
            fills: Fills::default(),
            leftovers: Leftovers::default(),
            settling: Settling::default(),
            agreement: Agreement::default(),
            numbers: 0,
            to_confirm: BTreeMap::new(),
            hlc: Hlc::new(WriterId(0)),
            clock_trust: ClockTrust::default(),
            trust: Trust::Sure,
            conns: Conns::new(config.mutants),
            subscriptions: Subscriptions::new(config.mutants),
            scatter: Scatter::default(),
            sources: Sources::default(),
            config,
            rng,
            state: State::Off,
            found: (0, 0),
            announced: None,
            draining: false,
            gave_up: false,
            outbox: Outbox::default(),
            requests: Vec::new(),
            flights: Flights::default(),
            tickets: Ticket(0),
            apply: None,
            source: None,
            closing: Vec::new(),
            expired: Vec::new(),
            tally: Tally::default(),
            taken: Taken::default(),
        }
    }

    /// The records in memory, for hosts that look inside: what is there may not be durable yet.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its id, kept with its data; 0 before it has read that.
    pub fn id(&self) -> NodeId {
        self.membership.id()
    }

    /// What the cluster agreed on, as far as this node has it on disk or in memory.
    pub fn cluster(&self) -> Option<&ClusterState> {
        self.membership.state()
    }

    /// Who acts as owner of a partition in its eyes; `None` if nobody that it reaches could.
    pub fn acting_owner(&self, partition: PartitionId) -> Option<NodeId> {
        self.membership.place().routes.owner(partition)
    }

    /// Whether it belongs to a cluster, and has that on disk.
    pub fn is_member(&self) -> bool {
        self.membership.is_member() && self.membership.durable() > 0
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Which rare paths it has taken on purpose.
    pub fn taken(&self) -> Taken {
        self.taken
    }

    /// Whether a rare path is taken here. `place` tells one place from the next.
    fn rarely(&mut self, rare: Rare, place: u64) -> bool {
        let happens = self.config.rare.happens(rare, place);
        if happens {
            self.taken.note(rare);
        }
        happens
    }

    /// The same for what would disturb everything if it happened in one step of sixteen.
    fn seldom(&mut self, rare: Rare, now: Now) -> bool {
        // Some quarters of a second, and in them some steps.
        let quarter = u64::MAX - now.mono_us / 250_000;
        self.config.rare.happens(rare, quarter) && self.rarely(rare, now.mono_us)
    }

    fn next_ticket(&mut self) -> Ticket {
        self.tickets = self.tickets.next();
        self.tickets
    }

    /// Closes a connection, and forgets it: what the host still says of it is not heard.
    fn close(&mut self, conn: ConnId, now: Now) {
        if self.conns.remove(conn).is_some() {
            self.closing.push(conn);
            self.gone(conn, now);
        }
    }

    /// A connection is no more, whoever ended it.
    fn gone(&mut self, conn: ConnId, now: Now) {
        self.close_queries(conn);
        self.sources_lost(conn);
        self.orders.gone(conn);
        self.agreement.gone(conn);
        self.to_confirm.remove(&conn);
        self.waits.forget(conn);
        self.floors.close(conn);
        let node = self.peers.node_at(conn);
        self.peers.lost(conn, now, &mut self.rng, &self.config.limits);
        if let Some(node) = node.filter(|node| self.peers.to(*node).is_none()) {
            self.liveness.connection_lost(node, now.mono_us);
            self.reroute();
            self.clock_trust.lost(node);
            self.judge_clock(now);
            self.node_lost(node, now);
        }
    }

    /// Performs what the step decided: one commit, and every envelope in `send` or in the commit.
    fn flush(&mut self, now: Now, out: &mut Output) {
        self.tell_watchers(now);
        self.stage_membership();
        let changed = self.store.has_staged();
        let waits_for = (changed || !self.flights.is_empty()).then(|| self.tickets.next());
        self.set_tickets(waits_for);
        self.agreement.set_tickets(waits_for);
        self.settle_waits(now);
        self.settle_orders(now);
        if !self.store.staged().is_empty() || self.waits.writes.is_fresh() || !self.owed().is_empty() {
            self.forward();
        }
        self.confirm();
        let entry = (changed || self.must_reserve(now)).then(|| {
            let clock = self.hlc.reserve(now.wall_ms, self.config.limits.clock_window_ms);
            let without = self.config.mutants.is(Mutant::EntryWithoutClock);
            let clock = if without { self.store.durable_clock() } else { clock };
            self.store.seal(clock)
        });
        if let Some((number, _)) = &entry {
            self.membership.sealed(*number);
        }
        let ticket = self.tickets.next();
        let settled = self.flights.settled();
        let barrier = !self.flights.is_empty() && !self.config.mutants.is(Mutant::BarrierDoesNotWait);
        let state_waits = entry.is_some() || barrier;
        let mut flight = Flight::new(ticket, entry.is_some());
        let mut envelopes = Vec::new();
        for (envelope, shows) in self.outbox.take() {
            let Some(conn) = self.conns.get(envelope.conn) else {
                continue;
            };
            let bytes = envelope.frame.len() as u64;
            if self.conns.is_hopeless(conn, bytes, &self.config.limits) {
                self.close(envelope.conn, now);
                continue;
            }
            self.conns.sent(envelope.conn, bytes);
            let overtakes = shows == Shows::Heartbeat || self.config.mutants.is(Mutant::ReplyOvertakes);
            let must_wait = !overtakes
                && (self.conns.must_wait(envelope.conn, settled)
                    || (self.state.is_serving() && self.rarely(Rare::WaitForCommit, ticket.0 << 32 ^ envelope.conn.0)));
            let shows_state = self.shows_state(shows);
            if must_wait || (shows_state && state_waits) {
                self.conns.waits_for(envelope.conn, ticket);
                let speaks = self.config.mutants.is(Mutant::FailedCommitSpeaks);
                flight.holds(&envelope, shows == Shows::Nothing || speaks);
                envelopes.push(envelope);
            } else {
                out.send.push(envelope);
            }
        }
        out.send.append(&mut self.outbox.take_last());
        flight.requests = core::mem::take(&mut self.requests);
        // Only the answer to a commit grants room. Without one in flight nobody would ever say that there is some again:
        // a barrier asks, and costs no sync.
        let short = self.store.take_short() || self.has_loopback();
        let asks = short && self.flights.is_empty() && self.state.is_serving();
        if entry.is_some() || !envelopes.is_empty() || asks {
            self.next_ticket();
            self.flights.push(flight);
            out.commit = Some(Commit {
                ticket,
                entry,
                envelopes,
            });
        } else {
            // What was asked for was there before, and is durable: it has been said already.
            self.done(flight.requests, now);
        }
        // What this step began is waited for as well.
        self.drain_step(out);
        self.source = None;
        out.close.append(&mut self.closing);
        out.wake = self.wake_us(now);
    }

    /// Whether an envelope may only leave with what it reflects. Four classic bugs, on purpose, say no.
    fn shows_state(&self, shows: Shows) -> bool {
        match shows {
            Shows::Nothing | Shows::Heartbeat => false,
            Shows::Ack => !self.config.mutants.is(Mutant::AckBeforeCommit),
            Shows::Read => !self.config.mutants.is(Mutant::ReadUncommitted),
            Shows::Update => !self.config.mutants.is(Mutant::TellBeforeCommit),
            Shows::State => !self.config.mutants.is(Mutant::ForwardBeforeCommit),
        }
    }

    fn begin_apply(&mut self, now: Now, out: &mut Output) {
        let at_once = self.draining || self.rarely(Rare::ApplyEarly, now.mono_us);
        if self.apply.is_none()
            && let Some(batch) = self.store.begin_apply(now.mono_us, at_once)
        {
            let ticket = self.next_ticket();
            self.apply = Some(ticket);
            let Batch { upto, puts, deletes } = batch;
            out.apply = Some(Apply {
                ticket,
                upto,
                puts,
                deletes,
            });
        }
    }
}

impl Machine for Node {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Output) {
        let mono_us = now.mono_us;
        let now = self.timed(now);
        if self.clock_trust.tick(now, self.config.limits.max_drift_ms) {
            self.judge_clock(now);
        }
        self.advance(now);
        match input {
            Input::Boot { entropy } => self.boot(entropy, out),
            Input::Wake => {}
            Input::Opened { conn, kind, peer } => self.opened(conn, kind, peer, now),
            Input::DialFailed { peer, .. } => {
                self.peers.dial_failed(peer, now, &mut self.rng, &self.config.limits);
            }
            Input::Received { conn, frame } => self.received(conn, frame, now),
            Input::Drained { conn, bytes } => {
                self.conns.drained(conn, bytes);
            }
            Input::Closed { conn } => {
                self.conns.remove(conn);
                self.peers.because("the connection was closed or broke");
                self.gone(conn, now);
            }
            Input::Committed { ticket, result } => self.committed(ticket, result, now, out),
            Input::Applied { ticket, result } => self.applied(ticket, result.is_ok(), now, out),
            Input::Fetched { ticket, result } => self.fetched(ticket, result, now, out),
            Input::Command(Command::Drain) => self.drain(now),
        }
        self.timers(now, out);
        self.flush(now, out);
        if self.config.mutants.is(Mutant::TimersByWallClock) {
            out.wake = out.wake.map(|due_us| due_us.saturating_sub(now.mono_us) + mono_us);
        }
    }
}

impl Node {
    /// The time as the timers see it: as it is, but for a classic bug.
    fn timed(&self, now: Now) -> Now {
        match self.config.mutants.is(Mutant::TimersByWallClock) {
            true => Now {
                mono_us: now.wall_ms * 1_000,
                ..now
            },
            false => now,
        }
    }

    fn opened(&mut self, conn: ConnId, kind: crate::machine::ConnKind, peer: Option<crate::env::PeerId>, now: Now) {
        let limits = &self.config.limits;
        let room = peer.is_some() || self.conns.has_place(kind.role, limits);
        let known = self.tally.operations.of(crate::session::Kind::Auth, None) > 0;
        let remembered = known && self.config.mutants.is(Mutant::RememberedLogin);
        let open = kind.role == Role::Client && (self.config.secret.is_none() || remembered);
        let access = if open { Access::Granted } else { Access::Awaited };
        self.conns.open(conn, kind, access, now.mono_us, limits);
        if let Some(peer) = peer {
            self.peers.connected(peer, conn);
        }
        if !room || !self.state.is_serving() || self.draining {
            let reason = if room {
                "the node is not serving now"
            } else {
                "the node has no room for another connection"
            };
            self.turn_away(conn, kind, reason);
            self.close(conn, now);
            return;
        }
        match kind.role {
            Role::Client => self.greet_client(conn, kind, now),
            Role::Peer => self.greet_peer(conn, peer, now),
        }
    }

    fn received(&mut self, conn: ConnId, frame: &[u8], now: Now) {
        let Some(entry) = self.conns.get(conn) else {
            return;
        };
        let (kind, access) = (entry.kind, entry.access);
        match kind.role {
            _ if access == Access::Refused => {}
            Role::Client => self.client_frame(conn, kind, access, frame, now),
            Role::Peer => self.peer_frame(conn, frame, now),
        }
    }
}

/// What a phase change looks like to the host.
fn announce(out: &mut Output, phase: Phase) {
    out.phase = Some(phase);
}
