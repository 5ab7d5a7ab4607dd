//! The envelopes of one step, with what each of them shows.

use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::env::ConnId;
use crate::machine::Envelope;

/// What an envelope tells its reader about the state of the node: that decides what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shows {
    /// Nothing, or only what is durable already.
    Nothing,
    /// Nothing, and its place among others means nothing either: it never waits.
    Heartbeat,
    /// That a write was taken.
    Ack,
    /// A value that was read.
    Read,
    /// That a row of a live query changed.
    Update,
    /// Changes, digests, counts.
    State,
}

/// Envelopes in the order in which they were written.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outbox {
    items: Vec<(Envelope, Shows)>,
    last_words: Vec<Envelope>,
}

impl Outbox {
    /// Adds one.
    pub fn push(&mut self, conn: ConnId, frame: Bytes, shows: Shows) {
        self.items.push((Envelope { conn, frame }, shows));
    }

    /// Adds one to a connection that is closed in this step. It shows nothing, and leaves before the close.
    pub fn push_last(&mut self, conn: ConnId, frame: Bytes) {
        self.last_words.push(Envelope { conn, frame });
    }

    /// Takes all of them but the last words.
    pub fn take(&mut self) -> Vec<(Envelope, Shows)> {
        core::mem::take(&mut self.items)
    }

    /// Takes the last words.
    pub fn take_last(&mut self) -> Vec<Envelope> {
        core::mem::take(&mut self.last_words)
    }
}
