//! How connections end, and when their ends learn of it.

use kernel::env::ConnId;

use super::wire::State;
use super::{Event, NetInput, Side, VirtualNetwork};
use crate::endpoint::Endpoint;
use crate::reached::Spot;

/// When TCP gives up what it sends again and again, as Linux has it: after a quarter of an hour.
const GIVES_UP_US: u64 = 900_000_000;

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
        let (free_us, last_us) = (end.line_free_us.max(at_us), end.last_arrival_us);
        let (stuck, broken) = (!end.stalled.is_empty(), wire.broken);
        let link = (who, wire.ends[1 - side].who);
        let mut draw = self.draw(at_us, link);
        self.events.push(free_us, Event::Gone((id, side)));
        // Of a broken one the other end learns in its own time.
        if !broken {
            let there_us = match stuck || self.is_blocked(link) {
                true => at_us + draw.between(self.profile.break_us),
                false => last_us.max(free_us + self.way_us(link, &mut draw)),
            };
            self.events.push(there_us, Event::Gone((id, 1 - side)));
        }
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
                let mut draw = self.draw(at_us, link);
                let heard = !silent && !self.is_blocked(link) && draw.chance(500);
                let gone_us = match heard {
                    true => last_us.max(at_us + self.way_us(link, &mut draw)),
                    false => last_us.max(at_us + draw.between(self.profile.break_us)),
                };
                self.events.push(gone_us, Event::Gone((id, 1 - side)));
                self.forget_if_over(id);
            }
        }
    }

    /// Cuts every connection between the two, in the middle of whatever frame is on its way: both learn soon.
    pub fn cut(&mut self, at_us: u64, a: Endpoint, b: Endpoint) {
        let soon_us = self.profile.latency_us.1;
        for (side, waits) in self.whole_between(a, b) {
            if waits {
                self.reached.hit(Spot::ConnectionCut);
            }
            self.sever(at_us, side, soon_us);
        }
    }

    /// Every connection between the two is gone for `knows`, and the other end does not hear of it for a long while.
    pub fn half_open(&mut self, at_us: u64, knows: Endpoint, other: Endpoint) {
        let mut silence_us = self.silence_us(at_us, (knows, other));
        // Nodes have heartbeats of their own, and must not rely on a transport that gives up in time.
        if matches!((knows, other), (Endpoint::Node(_), Endpoint::Node(_))) && silence_us.is_multiple_of(2) {
            silence_us = GIVES_UP_US;
        }
        for (side, _) in self.whole_between(knows, other) {
            self.reached.hit(Spot::HalfOpen);
            self.sever(at_us, side, silence_us);
        }
    }

    /// The open connections between two endpoints, by the side of `a`; and whether something is on its way.
    fn whole_between(&self, a: Endpoint, b: Endpoint) -> Vec<(Side, bool)> {
        let now_us = self.events.now_us();
        let mut found = Vec::new();
        for (id, wire) in &self.wires {
            let place = wire.ends.iter().position(|end| end.who == a);
            let open = !wire.broken && wire.ends.iter().all(|end| end.state == State::Open);
            if let Some(side) = place.filter(|side| open && wire.ends[1 - side].who == b) {
                let waits = |end: &super::wire::End| end.last_arrival_us > now_us || !end.stalled.is_empty();
                found.push(((*id, side), wire.ends.iter().any(waits)));
            }
        }
        found
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

    /// Nothing gets through an ordered connection any more: both its ends will learn it, each in its own time.
    pub(super) fn snap(&mut self, at_us: u64, id: u64) {
        let Some(wire) = self.wires.get(&id) else { return };
        let link = (wire.ends[0].who, wire.ends[1].who);
        let mut draw = self.draw(at_us, link);
        let first = usize::from(draw.chance(500));
        let later_us = draw.between(self.profile.break_us);
        self.sever(at_us, (id, first), later_us);
    }

    /// Nothing gets through a connection any more. One side learns it at once, the other so much later.
    pub(super) fn sever(&mut self, at_us: u64, (id, first): Side, later_us: u64) {
        let Some(wire) = self.wires.get_mut(&id).filter(|wire| !wire.broken) else {
            return;
        };
        wire.broken = true;
        self.events.push(at_us, Event::Gone((id, first)));
        self.events.push(at_us + later_us, Event::Gone((id, 1 - first)));
    }

    /// How long somebody notices nothing.
    pub(super) fn silence_us(&mut self, at_us: u64, link: (Endpoint, Endpoint)) -> u64 {
        let mut draw = self.draw(at_us, link);
        draw.between(self.profile.break_us)
    }
}
