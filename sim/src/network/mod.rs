//! The network of a run: connections with latency, loss, duplication, reordering and partitions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use fxhash::FxHashMap;
use kernel::env::{ConnId, PeerId, SeededRng};
use kernel::machine::{ConnKind, Input};

use crate::endpoint::Endpoint;
use crate::engine::Queue;
use wire::{End, State, Wire};

mod carrying;
mod ending;
mod opening;
mod wire;

/// How the network behaves when nobody disturbs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkProfile {
    /// Shortest and longest way of a frame.
    pub latency_us: (u64, u64),
    /// Whether connections are like TCP (a lost frame comes late, and all behind it) or like datagrams (a lost frame is
    /// lost, and others overtake it).
    pub ordered: bool,
    /// How many frames of a thousand are lost on the way.
    pub loss_permille: u64,
    /// How many of a thousand arrive twice, where connections are not ordered.
    pub duplicate_permille: u64,
    /// How many frames of a thousand that a client sends are damaged on their way, so that nobody can read them.
    pub corrupt_permille: u64,
    /// How fast a sender can push bytes out.
    pub bytes_per_ms: u64,
    /// Longest frame that is carried.
    pub frame_bytes: usize,
    /// When a dial that was not answered is given up.
    pub dial_timeout_us: u64,
    /// How long an ordered connection waits for a frame to get through before it breaks; and how long a silent end stays
    /// unaware that the other one is gone.
    pub break_us: (u64, u64),
}

impl Default for NetworkProfile {
    fn default() -> Self {
        Self {
            latency_us: (100, 1_000),
            ordered: true,
            loss_permille: 0,
            duplicate_permille: 0,
            corrupt_permille: 0,
            bytes_per_ms: 100_000,
            frame_bytes: 17 << 20,
            dial_timeout_us: 1_000_000,
            break_us: (500_000, 4_000_000),
        }
    }
}

/// What the network has to say to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetInput {
    /// See [`Input::Opened`].
    Opened(ConnId, ConnKind, Option<PeerId>),
    /// See [`Input::DialFailed`].
    DialFailed(PeerId, &'static str),
    /// See [`Input::Received`].
    Received(ConnId, Bytes),
    /// See [`Input::Drained`].
    Drained(ConnId, u64),
    /// See [`Input::Closed`].
    Closed(ConnId),
}

impl NetInput {
    /// As a machine is told it.
    pub fn as_input(&self) -> Input<'_> {
        match self {
            NetInput::Opened(conn, kind, peer) => Input::Opened {
                conn: *conn,
                kind: *kind,
                peer: *peer,
            },
            NetInput::DialFailed(peer, reason) => Input::DialFailed { peer: *peer, reason },
            NetInput::Received(conn, frame) => Input::Received { conn: *conn, frame },
            NetInput::Drained(conn, bytes) => Input::Drained {
                conn: *conn,
                bytes: *bytes,
            },
            NetInput::Closed(conn) => Input::Closed { conn: *conn },
        }
    }
}

/// One side of a wire: its number, and 0 for the end that dialled or 1 for the one that accepted.
type Side = (u64, usize);

#[derive(Debug)]
enum Event {
    Syn(u64),
    SynAck(u64),
    Refused(u64),
    DialTimeout(u64),
    Arrive {
        to: Side,
        number: u64,
        frame: Bytes,
    },
    Drained {
        side: Side,
        bytes: u64,
    },
    /// The direction out of this side has been stalled since then: long enough.
    StalledTooLong {
        side: Side,
        since_us: u64,
    },
    /// The side learns that the connection is gone.
    Gone(Side),
}

/// The network between all the endpoints of a run, in virtual time.
///
/// Every directed link draws from a stream of its own, so that a frame more on one leaves the others as they were.
#[derive(Debug)]
pub struct VirtualNetwork {
    profile: NetworkProfile,
    seed: SeededRng,
    links: FxHashMap<(Endpoint, Endpoint), SeededRng>,
    events: Queue<Event>,
    wires: BTreeMap<u64, Wire>,
    next_wire: u64,
    sides: FxHashMap<(Endpoint, ConnId), Side>,
    /// Who is up, and the number of its next connection: it begins again at each boot.
    up: BTreeMap<Endpoint, u64>,
    /// Whose dialled connections are exchanges.
    exchangers: BTreeSet<Endpoint>,
    /// Directed links that carry nothing, and by how many faults.
    blocked: BTreeMap<(Endpoint, Endpoint), u32>,
    ready: Option<(Endpoint, NetInput)>,
}

impl VirtualNetwork {
    /// A network without endpoints.
    pub fn new(profile: NetworkProfile, seed: SeededRng) -> Self {
        Self {
            profile,
            seed,
            links: FxHashMap::default(),
            events: Queue::default(),
            wires: BTreeMap::new(),
            next_wire: 0,
            sides: FxHashMap::default(),
            up: BTreeMap::new(),
            exchangers: BTreeSet::new(),
            blocked: BTreeMap::new(),
            ready: None,
        }
    }

    /// `who` can be dialled from now on. Its connections are numbered from 1, whatever an earlier boot had.
    pub fn boot(&mut self, who: Endpoint) {
        self.up.insert(who, 1);
    }

    /// The connections that `who` dials cannot be pushed to.
    pub fn only_exchanges(&mut self, who: Endpoint) {
        self.exchangers.insert(who);
    }

    /// From now on nothing gets from `from` to `to`. Faults may overlap: each is lifted by an [`VirtualNetwork::unblock`].
    pub fn block(&mut self, from: Endpoint, to: Endpoint) {
        *self.blocked.entry((from, to)).or_default() += 1;
    }

    /// Lifts one [`VirtualNetwork::block`].
    pub fn unblock(&mut self, at_us: u64, from: Endpoint, to: Endpoint) {
        if let Some(faults) = self.blocked.get_mut(&(from, to)) {
            *faults -= 1;
            if *faults == 0 {
                self.blocked.remove(&(from, to));
                self.flush_stalled(at_us);
            }
        }
    }

    /// Nothing is blocked or lost any more.
    pub fn heal(&mut self, at_us: u64) {
        self.blocked.clear();
        self.profile.loss_permille = 0;
        self.profile.duplicate_permille = 0;
        self.profile.corrupt_permille = 0;
        self.flush_stalled(at_us);
    }

    /// Whether this connection of `who` is open at both its ends.
    pub fn is_whole(&self, who: Endpoint, conn: ConnId) -> bool {
        let wire = self.sides.get(&(who, conn)).and_then(|(id, _)| self.wires.get(id));
        wire.is_some_and(|wire| !wire.broken && wire.ends.iter().all(|end| end.state == State::Open))
    }

    /// When there is something to [`VirtualNetwork::poll`], or to see to within.
    pub fn next_at_us(&self) -> Option<u64> {
        self.events.next_at_us()
    }

    /// The next thing that some endpoint is to be told by `at_us`.
    pub fn poll(&mut self, at_us: u64) -> Option<(Endpoint, NetInput)> {
        while self.events.next_at_us().is_some_and(|next_us| next_us <= at_us) {
            let event = self.events.pop()?;
            self.handle(self.events.now_us(), event);
            if self.ready.is_some() {
                break;
            }
        }
        self.ready.take()
    }

    fn handle(&mut self, at_us: u64, event: Event) {
        match event {
            Event::Syn(id) => self.accept(at_us, id),
            Event::SynAck(id) => self.answered(id),
            Event::Refused(id) => self.give_up_dial(at_us, id, "refused"),
            Event::DialTimeout(id) => self.give_up_dial(at_us, id, "timed out"),
            Event::Arrive { to, number, frame } => self.arrive(at_us, to, number, frame),
            Event::Drained { side, bytes } => {
                if let Some(end) = self.end(side).filter(|end| end.state == State::Open) {
                    self.ready = Some((end.who, NetInput::Drained(end.conn, bytes)));
                }
            }
            Event::StalledTooLong { side, since_us } => {
                let stalled_since_us = self.end(side).and_then(|end| end.stalled_since_us);
                if stalled_since_us == Some(since_us) {
                    self.snap(at_us, side.0);
                }
            }
            Event::Gone(side) => self.gone(side),
        }
    }

    fn forget_if_over(&mut self, id: u64) {
        let over = self
            .wires
            .get(&id)
            .is_some_and(|wire| wire.ends.iter().all(|end| end.state == State::Gone));
        if over {
            self.wires.remove(&id);
        }
    }

    fn end(&self, (id, side): Side) -> Option<&End> {
        self.wires.get(&id).map(|wire| &wire.ends[side])
    }

    fn is_blocked(&self, link: (Endpoint, Endpoint)) -> bool {
        self.blocked.contains_key(&link)
    }

    fn is_lost(&mut self, link: (Endpoint, Endpoint)) -> bool {
        let permille = self.profile.loss_permille;
        permille > 0 && self.rng(link).chance(permille)
    }

    fn latency(&mut self, link: (Endpoint, Endpoint)) -> u64 {
        let (low, high) = self.profile.latency_us;
        self.rng(link).between(low, high)
    }

    fn silence(&mut self, link: (Endpoint, Endpoint)) -> u64 {
        let (low, high) = self.profile.break_us;
        self.rng(link).between(low, high)
    }

    fn rng(&mut self, link: (Endpoint, Endpoint)) -> &mut SeededRng {
        let seed = &self.seed;
        let entity = link.0.entity() << 32 | link.1.entity();
        self.links.entry(link).or_insert_with(|| seed.fork("link", entity))
    }
}

#[cfg(test)]
mod tests;
