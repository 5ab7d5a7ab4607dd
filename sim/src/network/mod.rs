//! The network of a run: connections with latency, loss, duplication, reordering, damage, and links that carry nothing, or slowly,
//! or only later.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use fxhash::FxHashMap;
use kernel::env::{ConnId, PeerId, SeededRng};
use kernel::machine::{ConnKind, Input};

use crate::endpoint::Endpoint;
use crate::engine::Queue;
use crate::reached::{Reached, Spot};
use crate::streams::{Draw, Streams};
use link::Link;
use wire::{End, Packet, State, Wire};

mod carrying;
pub(crate) mod damage;
mod ending;
mod link;
mod opening;
mod wire;

/// How the times that frames take are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each between shortest and longest as often as another.
    Uniform,
    /// Most short, and few beyond the longest usual one.
    Exponential,
    /// A heavy tail: one in ten takes ten times as long as most, one in a hundred a hundred times.
    Pareto,
}

impl Shape {
    /// All of them; a plan names them by their place.
    pub const ALL: [Shape; 3] = [Shape::Uniform, Shape::Exponential, Shape::Pareto];
}

/// How the network behaves when nobody disturbs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkProfile {
    /// Shortest and longest usual way of a frame.
    pub latency_us: (u64, u64),
    /// How the ways are spread between them, and beyond.
    pub latency_shape: Shape,
    /// How many times as long the ways of a link may be as those of another.
    pub latency_spread: u64,
    /// Whether connections are like TCP (a lost frame comes late, and all behind it) or like datagrams (a lost frame is
    /// lost, and others overtake it).
    pub ordered: bool,
    /// How many frames of a thousand are lost on the way.
    pub loss_permille: u64,
    /// How many of a thousand arrive twice, where connections are not ordered.
    pub duplicate_permille: u64,
    /// How many frames of a thousand are damaged on their way.
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
            latency_shape: Shape::Uniform,
            latency_spread: 1,
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
        packet: Packet,
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

/// A frame that never got to the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFrame {
    /// Who sent it.
    pub from: Endpoint,
    /// Who was not told.
    pub to: Endpoint,
    /// When it was sent.
    pub sent_us: u64,
    /// The bytes.
    pub frame: Bytes,
}

/// The network between all the endpoints of a run, in virtual time.
///
/// Every draw is keyed by the link and the time, so that a frame more or less leaves the others as they were.
#[derive(Debug)]
pub struct VirtualNetwork {
    profile: NetworkProfile,
    streams: Streams,
    links: FxHashMap<(Endpoint, Endpoint), Link>,
    events: Queue<Event>,
    wires: BTreeMap<u64, Wire>,
    next_wire: u64,
    sides: FxHashMap<(Endpoint, ConnId), Side>,
    /// Who is up, and the number of its next connection: it begins again at each boot.
    up: BTreeMap<Endpoint, u64>,
    /// Whose dialled connections are exchanges.
    exchangers: BTreeSet<Endpoint>,
    ready: Option<(Endpoint, NetInput)>,
    /// Of the frame that is ready: who sent it, and when.
    origin: Option<(Endpoint, u64)>,
    /// What was lost since this was asked last.
    lost: Vec<LostFrame>,
    reached: Reached,
}

impl VirtualNetwork {
    /// A network without endpoints.
    pub fn new(profile: NetworkProfile, seed: &SeededRng) -> Self {
        Self {
            profile,
            streams: Streams::new(seed, "network"),
            links: FxHashMap::default(),
            events: Queue::default(),
            wires: BTreeMap::new(),
            next_wire: 0,
            sides: FxHashMap::default(),
            up: BTreeMap::new(),
            exchangers: BTreeSet::new(),
            ready: None,
            origin: None,
            lost: Vec::new(),
            reached: Reached::default(),
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
        self.link((from, to)).blocked += 1;
    }

    /// Lifts one [`VirtualNetwork::block`].
    pub fn unblock(&mut self, at_us: u64, from: Endpoint, to: Endpoint) {
        let link = self.link((from, to));
        link.blocked = link.blocked.saturating_sub(1);
        if link.blocked == 0 {
            self.flush_stalled(at_us);
        }
    }

    /// Until then what is sent from `from` to `to` waits where it is, and no connection breaks for it.
    pub fn clog(&mut self, from: Endpoint, to: Endpoint, until_us: u64) {
        let link = self.link((from, to));
        link.clogged_until_us = link.clogged_until_us.max(until_us);
    }

    /// From now on everything from `from` to `to` takes `factor` times as long, until [`VirtualNetwork::quicken`] is told so.
    pub fn slow(&mut self, from: Endpoint, to: Endpoint, factor: u64) {
        self.link((from, to)).slowed.push(factor);
    }

    /// Lifts one [`VirtualNetwork::slow`].
    pub fn quicken(&mut self, from: Endpoint, to: Endpoint, factor: u64) {
        let slowed = &mut self.link((from, to)).slowed;
        if let Some(place) = slowed.iter().position(|slow| *slow == factor) {
            slowed.remove(place);
        }
    }

    /// Nothing is blocked, slow, lost or damaged any more.
    pub fn heal(&mut self, at_us: u64) {
        for link in self.links.values_mut() {
            link.blocked = 0;
            link.clogged_until_us = 0;
            link.slowed.clear();
            link.stretch_percent = 100;
        }
        self.profile.latency_shape = Shape::Uniform;
        self.profile.latency_spread = 1;
        self.profile.loss_permille = 0;
        self.profile.duplicate_permille = 0;
        self.profile.corrupt_permille = 0;
        self.flush_stalled(at_us);
    }

    /// Of the frame that was polled last: who sent it, and when.
    pub fn origin(&self) -> Option<(Endpoint, u64)> {
        self.origin
    }

    /// The frames that were lost since this was asked last.
    pub fn take_lost(&mut self) -> Vec<LostFrame> {
        std::mem::take(&mut self.lost)
    }

    /// What was in fact hit.
    pub fn reached(&self) -> &Reached {
        &self.reached
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
        self.origin = None;
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
            Event::DialTimeout(id) => self.give_up_dial(at_us, id, opening::TIMED_OUT),
            Event::Arrive { to, packet } => self.arrive(at_us, to, packet),
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

    fn link(&mut self, link: (Endpoint, Endpoint)) -> &mut Link {
        let (streams, most_percent) = (&self.streams, 100 * self.profile.latency_spread.max(1));
        self.links.entry(link).or_insert_with(|| Link {
            stretch_percent: streams.at(entity(link), u64::MAX).between((100, most_percent)),
            ..Link::default()
        })
    }

    fn is_blocked(&self, link: (Endpoint, Endpoint)) -> bool {
        self.links.get(&link).is_some_and(|link| link.blocked > 0)
    }

    /// What becomes of something that happens on a link at this time is drawn from here.
    fn draw(&mut self, at_us: u64, link: (Endpoint, Endpoint)) -> Draw {
        let index = self.link(link).index(at_us);
        self.streams.at(entity(link), index)
    }

    fn is_lost(&mut self, draw: &mut Draw) -> bool {
        let lost = draw.chance(self.profile.loss_permille);
        if lost {
            self.reached.hit(Spot::FrameLost);
        }
        lost
    }

    fn way_us(&mut self, link: (Endpoint, Endpoint), draw: &mut Draw) -> u64 {
        let Self {
            profile,
            links,
            reached,
            ..
        } = self;
        links.entry(link).or_default().way_us(profile, draw, reached)
    }
}

/// One number for a directed link.
fn entity((from, to): (Endpoint, Endpoint)) -> u64 {
    from.entity() << 32 | to.entity()
}

#[cfg(test)]
mod tests;
