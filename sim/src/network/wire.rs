//! One connection, as the network keeps it: two ends, each with what is on its way out of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::env::{ConnId, PeerId};

use crate::endpoint::Endpoint;

/// A connection. End 0 dialled, end 1 accepted.
#[derive(Debug)]
pub(super) struct Wire {
    pub ends: [End; 2],
    /// Nothing gets through any more; the ends have yet to learn it.
    pub broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Opening,
    Open,
    Closing,
    Gone,
}

/// A frame on its way.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    /// Its place among those of its direction.
    pub number: u64,
    pub sent_us: u64,
    pub frame: Bytes,
}

/// One end, and the direction out of it.
#[derive(Debug)]
pub(super) struct End {
    pub who: Endpoint,
    pub conn: ConnId,
    pub state: State,
    pub peer: Option<PeerId>,
    /// Until when this end is busy pushing out what was sent before.
    pub line_free_us: u64,
    /// When the last frame that is on its way arrives at the other end.
    pub last_arrival_us: u64,
    /// Number of the next frame out of this end.
    pub next_number: u64,
    /// Frames that cannot get out, and the bytes whose draining has not been reported.
    pub stalled: BTreeMap<u64, (Packet, Option<u64>)>,
    pub stalled_since_us: Option<u64>,
    /// Number of the frame that this end is to be given next, and those that came before their turn.
    pub next_due: u64,
    pub early: BTreeMap<u64, Packet>,
    /// The greatest number of a frame that arrived here.
    pub last_number: u64,
}

impl End {
    pub fn new(who: Endpoint, peer: Option<PeerId>) -> Self {
        Self {
            who,
            conn: ConnId(0),
            state: State::Opening,
            peer,
            line_free_us: 0,
            last_arrival_us: 0,
            next_number: 0,
            stalled: BTreeMap::new(),
            stalled_since_us: None,
            next_due: 0,
            early: BTreeMap::new(),
            last_number: 0,
        }
    }
}
