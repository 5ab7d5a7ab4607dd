//! How connections end, and when their ends learn of it.

use kernel::env::ConnId;

use super::wire::State;
use super::{Event, NetInput, Side, VirtualNetwork};
use crate::endpoint::Endpoint;

impl VirtualNetwork {
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

    pub(super) fn gone(&mut self, side: Side) {
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
    pub(super) fn snap(&mut self, at_us: u64, id: u64) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.broken = true;
        let link = (wire.ends[0].who, wire.ends[1].who);
        let spread_us = self.silence(link);
        let first = usize::from(self.rng(link).chance(500));
        self.events.push(at_us, Event::Gone((id, first)));
        self.events.push(at_us + spread_us, Event::Gone((id, 1 - first)));
    }
}
