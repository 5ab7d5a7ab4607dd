//! How connections come to be, or do not.

use kernel::env::{ConnId, PeerId};
use kernel::machine::{ConnKind, Role};

use super::wire::{End, State, Wire};
use super::{Event, NetInput, Side, VirtualNetwork};
use crate::endpoint::Endpoint;
use crate::reached::Spot;

/// Why a dial that nobody answered came to nothing.
pub(super) const TIMED_OUT: &str = "timed out";

impl VirtualNetwork {
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
        let mut draw = self.draw(at_us, link);
        let held_us = self.link(link).clogged_until_us.max(at_us);
        let arrives_us = held_us + self.way_us(link, &mut draw);
        let lost = self.is_lost(&mut draw) || self.is_blocked(link);
        match to {
            None => self.events.push(arrives_us, Event::Refused(id)),
            Some(_) if lost => {}
            Some(_) => self.events.push(arrives_us, Event::Syn(id)),
        }
        self.events
            .push(at_us + self.profile.dial_timeout_us, Event::DialTimeout(id));
    }

    pub(super) fn accept(&mut self, at_us: u64, id: u64) {
        let Some(wire) = self.wires.get(&id) else { return };
        let (from, to) = (wire.ends[0].who, wire.ends[1].who);
        if self.is_blocked((from, to)) || wire.ends[0].state != State::Opening {
            return;
        }
        let mut draw = self.draw(at_us, (to, from));
        let held_us = self.link((to, from)).clogged_until_us.max(at_us);
        let back_us = held_us + self.way_us((to, from), &mut draw);
        if !self.up.contains_key(&to) {
            self.events.push(back_us, Event::Refused(id));
            return;
        }
        self.open((id, 1));
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.ends[1].last_arrival_us = back_us;
        }
        if !self.is_lost(&mut draw) {
            self.events.push(back_us, Event::SynAck(id));
        }
    }

    pub(super) fn answered(&mut self, id: u64) {
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
        let push = !self.exchangers.contains(&wire.ends[0].who);
        let end = &mut wire.ends[side];
        let Some(next) = self.up.get_mut(&end.who) else { return };
        end.conn = ConnId(*next);
        *next += 1;
        end.state = State::Open;
        let kind = ConnKind {
            role: kind_of(other),
            push,
            ordered: self.profile.ordered,
            frame_bytes: self.profile.frame_bytes,
        };
        self.sides.insert((end.who, end.conn), (id, side));
        self.ready = Some((end.who, NetInput::Opened(end.conn, kind, end.peer)));
    }

    pub(super) fn give_up_dial(&mut self, at_us: u64, id: u64, reason: &'static str) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        if wire.ends[0].state != State::Opening {
            return;
        }
        wire.ends[0].state = State::Gone;
        if reason == TIMED_OUT {
            self.reached.hit(Spot::DialTimedOut);
        }
        let (who, peer) = (wire.ends[0].who, wire.ends[0].peer);
        let link = (who, wire.ends[1].who);
        if wire.ends[1].state == State::Opening {
            wire.ends[1].state = State::Gone;
        } else {
            let gone_us = at_us + self.silence_us(at_us, link);
            self.events.push(gone_us, Event::Gone((id, 1)));
        }
        self.forget_if_over(id);
        if let Some(peer) = peer {
            self.ready = Some((who, NetInput::DialFailed(peer, reason)));
        }
    }
}
