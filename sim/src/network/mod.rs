//! The network of a run: connections with latency, loss, duplication, reordering and partitions.

use std::collections::BTreeMap;

use bytes::Bytes;
use fxhash::FxHashMap;
use kernel::env::{ConnId, PeerId, SeededRng};
use kernel::machine::{ConnKind, Input, Role};

use crate::endpoint::Endpoint;
use crate::engine::Queue;
use wire::{End, State, Wire};

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
            blocked: BTreeMap::new(),
            ready: None,
        }
    }

    /// `who` can be dialled from now on. Its connections are numbered from 1, whatever an earlier boot had.
    pub fn boot(&mut self, who: Endpoint) {
        self.up.insert(who, 1);
    }

    /// `who` is gone without a word. The others learn it at once, or only after a long silence.
    pub fn crash(&mut self, at_us: u64, who: Endpoint) {
        self.up.remove(&who);
        let wires: Vec<u64> = self.wires.keys().copied().collect();
        for id in wires {
            for side in 0..2 {
                let Some(wire) = self.wires.get_mut(&id) else { continue };
                let (end, other) = (&wire.ends[side], &wire.ends[1 - side]);
                if end.who != who || end.state == State::Gone {
                    continue;
                }
                let (conn, link) = (end.conn, (end.who, other.who));
                let (last_us, silent) = (end.last_arrival_us, !end.stalled.is_empty());
                wire.ends[side].state = State::Gone;
                self.sides.remove(&(who, conn));
                let heard = !silent && !self.is_blocked(link) && self.rng(link).chance(500);
                let gone_us = match heard {
                    true => last_us.max(at_us + self.latency(link)),
                    false => last_us.max(at_us + self.silence(link)),
                };
                self.events.push(gone_us, Event::Gone((id, 1 - side)));
                self.forget_if_over(id);
            }
        }
    }

    /// Opens a connection from `from` to `to`, if that can be. `to` without an endpoint is an address that nobody has.
    pub fn dial(&mut self, at_us: u64, from: Endpoint, to: Option<Endpoint>, peer: PeerId) {
        let id = self.next_wire;
        self.next_wire += 1;
        let to_who = to.unwrap_or(from);
        let link = (from, to_who);
        self.wires.insert(
            id,
            Wire {
                ends: [End::new(from, Some(peer)), End::new(to_who, None)],
                broken: false,
            },
        );
        let arrives_us = at_us + self.latency(link);
        let lost = self.is_lost(link) || self.is_blocked(link);
        match to {
            None => self.events.push(arrives_us, Event::Refused(id)),
            Some(_) if lost => {}
            Some(_) => self.events.push(arrives_us, Event::Syn(id)),
        }
        self.events
            .push(at_us + self.profile.dial_timeout_us, Event::DialTimeout(id));
    }

    /// Sends a frame. One for a connection that is gone is dropped.
    pub fn send(&mut self, at_us: u64, who: Endpoint, conn: ConnId, frame: Bytes) {
        let Some(&(id, side)) = self.sides.get(&(who, conn)) else {
            return;
        };
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let link = (who, wire.ends[1 - side].who);
        let end = &mut wire.ends[side];
        if end.state != State::Open || wire.broken {
            return;
        }
        let bytes = frame.len() as u64;
        end.line_free_us = end.line_free_us.max(at_us) + 1 + bytes * 1_000 / self.profile.bytes_per_ms.max(1);
        let (leaves_us, number, stalled) = (end.line_free_us, end.next_number, !end.stalled.is_empty());
        end.next_number += 1;
        let blocked = self.is_blocked(link);
        if self.profile.ordered && (stalled || blocked) {
            self.stall(at_us, (id, side), number, frame, Some(bytes));
            return;
        }
        self.events.push(
            leaves_us,
            Event::Drained {
                side: (id, side),
                bytes,
            },
        );
        if self.profile.ordered {
            self.carry_in_order(leaves_us, (id, side), number, frame);
        } else if !blocked {
            let duplicate_permille = self.profile.duplicate_permille;
            let copies = match (self.is_lost(link), self.rng(link).chance(duplicate_permille)) {
                (true, _) => 0,
                (false, twice) => 1 + u64::from(twice),
            };
            for _ in 0..copies {
                let arrives_us = leaves_us + self.latency(link);
                self.events.push(
                    arrives_us,
                    Event::Arrive {
                        to: (id, 1 - side),
                        number,
                        frame: frame.clone(),
                    },
                );
            }
        }
    }

    /// Ends a connection, after what was sent on it before.
    pub fn close(&mut self, at_us: u64, who: Endpoint, conn: ConnId) {
        let Some(&(id, side)) = self.sides.get(&(who, conn)) else {
            return;
        };
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = &mut wire.ends[side];
        if end.state != State::Open {
            return;
        }
        end.state = State::Closing;
        let (free_us, last_us, stuck) = (
            end.line_free_us.max(at_us),
            end.last_arrival_us,
            !end.stalled.is_empty(),
        );
        let link = (who, wire.ends[1 - side].who);
        let there_us = match stuck || self.is_blocked(link) {
            true => at_us + self.silence(link),
            false => last_us.max(free_us + self.latency(link)),
        };
        self.events.push(free_us, Event::Gone((id, side)));
        self.events.push(there_us, Event::Gone((id, 1 - side)));
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
        self.flush_stalled(at_us);
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

    fn accept(&mut self, at_us: u64, id: u64) {
        let Some(wire) = self.wires.get(&id) else { return };
        let (from, to) = (wire.ends[0].who, wire.ends[1].who);
        if self.is_blocked((from, to)) || wire.ends[0].state != State::Opening {
            return;
        }
        let back_us = at_us + self.latency((to, from));
        if !self.up.contains_key(&to) {
            self.events.push(back_us, Event::Refused(id));
            return;
        }
        self.open((id, 1));
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.ends[1].last_arrival_us = back_us;
        }
        if !self.is_lost((to, from)) {
            self.events.push(back_us, Event::SynAck(id));
        }
    }

    fn answered(&mut self, id: u64) {
        let Some(wire) = self.wires.get(&id) else { return };
        let link = (wire.ends[1].who, wire.ends[0].who);
        if wire.ends[0].state == State::Opening && !self.is_blocked(link) {
            self.open((id, 0));
        }
    }

    fn open(&mut self, (id, side): Side) {
        let kind_of = |who: Endpoint| match who {
            Endpoint::Node(_) => Role::Peer,
            Endpoint::Client(_) => Role::Client,
        };
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let other = wire.ends[1 - side].who;
        let end = &mut wire.ends[side];
        let Some(next) = self.up.get_mut(&end.who) else { return };
        end.conn = ConnId(*next);
        *next += 1;
        end.state = State::Open;
        let kind = ConnKind {
            role: kind_of(other),
            push: true,
            ordered: self.profile.ordered,
            frame_bytes: self.profile.frame_bytes,
        };
        self.sides.insert((end.who, end.conn), (id, side));
        self.ready = Some((end.who, NetInput::Opened(end.conn, kind, end.peer)));
    }

    fn give_up_dial(&mut self, at_us: u64, id: u64, reason: &'static str) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if wire.ends[0].state != State::Opening {
            return;
        }
        wire.ends[0].state = State::Gone;
        let (who, peer) = (wire.ends[0].who, wire.ends[0].peer);
        let link = (who, wire.ends[1].who);
        if wire.ends[1].state == State::Opening {
            wire.ends[1].state = State::Gone;
        } else {
            let gone_us = at_us + self.silence(link);
            self.events.push(gone_us, Event::Gone((id, 1)));
        }
        self.forget_if_over(id);
        if let Some(peer) = peer {
            self.ready = Some((who, NetInput::DialFailed(peer, reason)));
        }
    }

    fn arrive(&mut self, at_us: u64, (id, to): Side, number: u64, frame: Bytes) {
        let Some(wire) = self.wires.get(&id) else { return };
        if wire.broken || !matches!(wire.ends[to].state, State::Open | State::Opening) {
            return;
        }
        let link = (wire.ends[1 - to].who, wire.ends[to].who);
        if self.is_blocked(link) {
            if self.profile.ordered {
                self.stall(at_us, (id, 1 - to), number, frame, None);
            }
            return;
        }
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = &mut wire.ends[to];
        if self.profile.ordered {
            end.early.insert(number, frame);
            // The next in turn, if it is there; what was waiting behind it follows at once.
            if let Some(frame) = end.early.remove(&end.next_due).filter(|_| end.state == State::Open) {
                end.next_due += 1;
                if let Some(next) = end.early.remove(&end.next_due) {
                    let number = end.next_due;
                    self.events.push(
                        at_us,
                        Event::Arrive {
                            to: (id, to),
                            number,
                            frame: next,
                        },
                    );
                }
                self.ready = Some((end.who, NetInput::Received(end.conn, frame)));
            }
        } else if end.state == State::Open {
            self.ready = Some((end.who, NetInput::Received(end.conn, frame)));
        }
    }

    fn gone(&mut self, side: Side) {
        let Some(wire) = self.wires.get_mut(&side.0) else {
            return;
        };
        let end = &mut wire.ends[side.1];
        let was = std::mem::replace(&mut end.state, State::Gone);
        let (who, conn, peer) = (end.who, end.conn, end.peer);
        self.sides.remove(&(who, conn));
        self.forget_if_over(side.0);
        match was {
            State::Open | State::Closing => self.ready = Some((who, NetInput::Closed(conn))),
            State::Opening => self.ready = peer.map(|peer| (who, NetInput::DialFailed(peer, "closed"))),
            State::Gone => {}
        }
    }

    /// Both ends of an ordered connection will learn that it is broken, each in its own time.
    fn snap(&mut self, at_us: u64, id: u64) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.broken = true;
        let link = (wire.ends[0].who, wire.ends[1].who);
        let spread_us = self.silence(link);
        let first = usize::from(self.rng(link).chance(500));
        self.events.push(at_us, Event::Gone((id, first)));
        self.events.push(at_us + spread_us, Event::Gone((id, 1 - first)));
    }

    /// A frame of an ordered connection cannot get out of `side` now.
    fn stall(&mut self, at_us: u64, side: Side, number: u64, frame: Bytes, undrained: Option<u64>) {
        let Some(wire) = self.wires.get_mut(&side.0) else {
            return;
        };
        let link = (wire.ends[side.1].who, wire.ends[1 - side.1].who);
        let end = &mut wire.ends[side.1];
        end.stalled.insert(number, (frame, undrained));
        if end.stalled_since_us.is_none() {
            end.stalled_since_us = Some(at_us);
            let patience_us = self.silence(link);
            self.events
                .push(at_us + patience_us, Event::StalledTooLong { side, since_us: at_us });
        }
    }

    fn flush_stalled(&mut self, at_us: u64) {
        let mut flowing = Vec::new();
        for (id, wire) in &mut self.wires {
            for side in 0..2 {
                let link = (wire.ends[side].who, wire.ends[1 - side].who);
                if !wire.broken && !self.blocked.contains_key(&link) {
                    wire.ends[side].stalled_since_us = None;
                    let stalled = std::mem::take(&mut wire.ends[side].stalled);
                    flowing.extend(stalled.into_iter().map(|(number, frame)| ((*id, side), number, frame)));
                }
            }
        }
        for (side, number, (frame, undrained)) in flowing {
            if let Some(bytes) = undrained {
                self.events.push(at_us, Event::Drained { side, bytes });
            }
            self.carry_in_order(at_us, side, number, frame);
        }
    }

    fn carry_in_order(&mut self, leaves_us: u64, (id, side): Side, number: u64, frame: Bytes) {
        const RETRANSMISSION_US: u64 = 200_000;
        let Some(wire) = self.wires.get(&id) else { return };
        let link = (wire.ends[side].who, wire.ends[1 - side].who);
        let mut way_us = self.latency(link);
        if self.is_lost(link) {
            way_us += RETRANSMISSION_US;
        }
        if let Some(wire) = self.wires.get_mut(&id) {
            let end = &mut wire.ends[side];
            end.last_arrival_us = end.last_arrival_us.max(leaves_us + way_us);
            let arrives_us = end.last_arrival_us;
            self.events.push(
                arrives_us,
                Event::Arrive {
                    to: (id, 1 - side),
                    number,
                    frame,
                },
            );
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
