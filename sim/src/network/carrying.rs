//! How frames get to the other end, or do not.

use bytes::Bytes;
use kernel::env::ConnId;

use super::wire::State;
use super::{Event, NetInput, Side, VirtualNetwork};
use crate::endpoint::Endpoint;

impl VirtualNetwork {
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
        let frame = self.damaged(link, frame);
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = &mut wire.ends[side];
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

    /// A frame that begins with the one byte that MessagePack never uses cannot be taken for another: what a client did not
    /// say must not be believed of it.
    fn damaged(&mut self, link: (Endpoint, Endpoint), frame: Bytes) -> Bytes {
        let permille = self.profile.corrupt_permille;
        let hit = permille > 0 && matches!(link.0, Endpoint::Client(_)) && self.rng(link).chance(permille);
        match frame.get(1..).filter(|_| hit) {
            Some(rest) => [&[0xc1], rest].concat().into(),
            None => frame,
        }
    }

    pub(super) fn arrive(&mut self, at_us: u64, (id, to): Side, number: u64, frame: Bytes) {
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

    /// A frame of an ordered connection cannot get out of `side` now.
    pub(super) fn stall(&mut self, at_us: u64, side: Side, number: u64, frame: Bytes, undrained: Option<u64>) {
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

    pub(super) fn flush_stalled(&mut self, at_us: u64) {
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
}
