//! How frames get to the other end, or do not.

use bytes::Bytes;
use kernel::env::ConnId;

use super::damage::{Outcome, damage};
use super::wire::{Packet, State};
use super::{Event, LostFrame, NetInput, Side, VirtualNetwork};
use crate::endpoint::Endpoint;
use crate::reached::Spot;
use crate::streams::Draw;

/// After so long a stream sends again what was lost.
const RETRANSMISSION_US: u64 = 200_000;

impl VirtualNetwork {
    /// Sends a frame. One for a connection that is gone is dropped.
    pub fn send(&mut self, at_us: u64, who: Endpoint, conn: ConnId, frame: Bytes) {
        let Some(&(id, side)) = self.sides.get(&(who, conn)) else {
            return;
        };
        let Some(wire) = self.wires.get(&id) else { return };
        let link = (who, wire.ends[1 - side].who);
        if wire.ends[side].state != State::Open || wire.broken {
            return;
        }
        let mut draw = self.draw(at_us, link);
        let bytes = frame.len() as u64;
        let sent = frame.clone();
        let frame = self.damaged(link, frame, &mut draw);
        let way = self.link(link);
        let (clogged_until_us, slowness) = (way.clogged_until_us, way.slowness());
        let blocked = self.is_blocked(link);
        if clogged_until_us > at_us {
            self.reached.hit(Spot::LinkClogged);
        }
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = &mut wire.ends[side];
        let pushing_us = 1 + bytes * 1_000 * slowness / self.profile.bytes_per_ms.max(1);
        end.line_free_us = end.line_free_us.max(at_us).max(clogged_until_us) + pushing_us;
        let (leaves_us, stalled) = (end.line_free_us, !end.stalled.is_empty());
        let packet = frame.map(|frame| Packet {
            number: end.next_number,
            sent_us: at_us,
            frame,
        });
        end.next_number += 1;
        let Some(packet) = packet else {
            return self.reject(at_us, (id, side), sent, &mut draw);
        };
        if self.profile.ordered && (stalled || blocked) {
            self.reached.hit(Spot::LinkBlocked);
            return self.stall(at_us, (id, side), packet, Some(bytes));
        }
        let side = (id, side);
        self.events.push(leaves_us, Event::Drained { side, bytes });
        if self.profile.ordered {
            self.carry_in_order(leaves_us, side, packet, &mut draw);
        } else if blocked {
            self.reached.hit(Spot::LinkBlocked);
            self.lose(link, packet.sent_us, packet.frame);
        } else {
            self.carry_loosely(leaves_us, side, packet, &mut draw);
        }
    }

    /// What is left of a frame once it is on its way; nothing, if the transport notices that it is damaged.
    fn damaged(&mut self, link: (Endpoint, Endpoint), frame: Bytes, draw: &mut Draw) -> Option<Bytes> {
        if !draw.chance(self.profile.corrupt_permille) {
            return Some(frame);
        }
        let (spot, frame) = match damage(link.0, &frame, draw) {
            Outcome::Noticed => (Spot::FrameRejected, None),
            Outcome::Unreadable(frame) => (Spot::FrameUnreadable, Some(frame)),
            Outcome::Flipped(frame) => (Spot::FrameFlipped, Some(frame)),
        };
        self.reached.hit(spot);
        frame
    }

    /// The transport at the other end throws a damaged frame away: a stream breaks by it.
    fn reject(&mut self, at_us: u64, side: Side, frame: Bytes, draw: &mut Draw) {
        let bytes = frame.len() as u64;
        if let Some(wire) = self.wires.get(&side.0) {
            self.lose((wire.ends[side.1].who, wire.ends[1 - side.1].who), at_us, frame);
        }
        if self.profile.ordered {
            let soon_us = draw.between(self.profile.latency_us);
            self.sever(at_us, side, soon_us);
        } else {
            self.events.push(at_us, Event::Drained { side, bytes });
        }
    }

    fn lose(&mut self, (from, to): (Endpoint, Endpoint), sent_us: u64, frame: Bytes) {
        self.lost.push(LostFrame {
            from,
            to,
            sent_us,
            frame,
        });
    }

    /// A datagram: perhaps lost, perhaps twice.
    fn carry_loosely(&mut self, leaves_us: u64, (id, side): Side, packet: Packet, draw: &mut Draw) {
        let Some(wire) = self.wires.get(&id) else { return };
        let link = (wire.ends[side].who, wire.ends[1 - side].who);
        let lost = self.is_lost(draw);
        let twice = draw.chance(self.profile.duplicate_permille);
        if lost {
            return self.lose(link, packet.sent_us, packet.frame);
        }
        if twice {
            self.reached.hit(Spot::FrameDoubled);
        }
        for _ in 0..1 + u64::from(twice) {
            let arrives_us = leaves_us + self.way_us(link, draw);
            let (to, packet) = ((id, 1 - side), packet.clone());
            self.events.push(arrives_us, Event::Arrive { to, packet });
        }
    }

    fn carry_in_order(&mut self, leaves_us: u64, (id, side): Side, packet: Packet, draw: &mut Draw) {
        let Some(wire) = self.wires.get(&id) else { return };
        let link = (wire.ends[side].who, wire.ends[1 - side].who);
        let mut way_us = self.way_us(link, draw);
        if self.is_lost(draw) {
            way_us += RETRANSMISSION_US;
        }
        if let Some(wire) = self.wires.get_mut(&id) {
            let end = &mut wire.ends[side];
            end.last_arrival_us = end.last_arrival_us.max(leaves_us + way_us);
            let (arrives_us, to) = (end.last_arrival_us, (id, 1 - side));
            self.events.push(arrives_us, Event::Arrive { to, packet });
        }
    }

    pub(super) fn arrive(&mut self, at_us: u64, (id, to): Side, packet: Packet) {
        let Some(wire) = self.wires.get(&id) else { return };
        let link = (wire.ends[1 - to].who, wire.ends[to].who);
        if wire.broken || !matches!(wire.ends[to].state, State::Open | State::Opening) {
            return self.lose(link, packet.sent_us, packet.frame);
        }
        if self.is_blocked(link) {
            self.reached.hit(Spot::LinkBlocked);
            match self.profile.ordered {
                true => self.stall(at_us, (id, 1 - to), packet, None),
                false => self.lose(link, packet.sent_us, packet.frame),
            }
            return;
        }
        let ordered = self.profile.ordered;
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = &mut wire.ends[to];
        if ordered {
            end.early.insert(packet.number, packet);
            // The next in turn, if it is there; what was waiting behind it follows at once.
            if let Some(packet) = end.early.remove(&end.next_due).filter(|_| end.state == State::Open) {
                end.next_due += 1;
                if let Some(next) = end.early.remove(&end.next_due) {
                    let to = (id, to);
                    self.events.push(at_us, Event::Arrive { to, packet: next });
                }
                self.receive((id, to), packet);
            }
        } else if end.state == State::Open {
            if packet.number < end.last_number {
                self.reached.hit(Spot::FrameOvertaken);
            }
            end.last_number = end.last_number.max(packet.number);
            self.receive((id, to), packet);
        }
    }

    fn receive(&mut self, (id, to): Side, packet: Packet) {
        let Some(wire) = self.wires.get(&id) else { return };
        let end = &wire.ends[to];
        self.origin = Some((wire.ends[1 - to].who, packet.sent_us));
        self.ready = Some((end.who, NetInput::Received(end.conn, packet.frame)));
    }

    /// A frame of an ordered connection cannot get out of `side` now.
    fn stall(&mut self, at_us: u64, side: Side, packet: Packet, undrained: Option<u64>) {
        let Some(wire) = self.wires.get_mut(&side.0) else {
            return;
        };
        let link = (wire.ends[side.1].who, wire.ends[1 - side.1].who);
        let end = &mut wire.ends[side.1];
        end.stalled.insert(packet.number, (packet, undrained));
        if end.stalled_since_us.is_none() {
            end.stalled_since_us = Some(at_us);
            let patience_us = self.silence_us(at_us, link);
            let event = Event::StalledTooLong { side, since_us: at_us };
            self.events.push(at_us + patience_us, event);
        }
    }

    pub(super) fn flush_stalled(&mut self, at_us: u64) {
        let mut flowing = Vec::new();
        for (id, wire) in &mut self.wires {
            for side in 0..2 {
                let link = (wire.ends[side].who, wire.ends[1 - side].who);
                let blocked = self.links.get(&link).is_some_and(|link| link.blocked > 0);
                if !wire.broken && !blocked {
                    wire.ends[side].stalled_since_us = None;
                    let stalled = std::mem::take(&mut wire.ends[side].stalled);
                    flowing.extend(stalled.into_values().map(|frame| ((*id, side), link, frame)));
                }
            }
        }
        for (side, link, (packet, undrained)) in flowing {
            if let Some(bytes) = undrained {
                self.events.push(at_us, Event::Drained { side, bytes });
            }
            let mut draw = self.draw(at_us, link);
            self.carry_in_order(at_us, side, packet, &mut draw);
        }
    }
}
