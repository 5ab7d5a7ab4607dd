//! What members say to each other beyond records: agreement, liveness, moves, and what they ask each other on behalf of clients.
//!
//! Encoded with postcard: both ends are this kernel, of one protocol version, and have proven to each other who they are.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cluster::ClusterState;
use crate::cluster::liveness::Gossip;
use crate::partition::PartitionId;
use crate::register::Message;
use crate::wire::gather::{Rows, SentRow, Watch};
use crate::wire::server::Refusal;
use crate::wire::{Code, Consistency, peer};

/// A partition that is being pulled, and how far that is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted<'a> {
    /// The partition.
    pub partition: PartitionId,
    /// The version of the cluster's state that opened the move.
    pub since: u64,
    /// Where to go on; from the beginning, without one.
    pub from: Option<&'a [u8]>,
    /// The digest of what the sender holds of it: where that is the receiver's, there is nothing to send.
    pub digest: u128,
}

/// A chunk of a partition that is being pulled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part<'a> {
    /// The partition.
    pub partition: PartitionId,
    /// The version of the cluster's state that opened the move.
    pub since: u64,
    /// Where it begins, as it was asked for.
    pub from: Option<&'a [u8]>,
    /// Record keys and records.
    #[serde(borrow)]
    pub rows: Vec<(&'a [u8], &'a [u8])>,
    /// Where the next chunk begins; nowhere, if this is the last.
    pub next: Option<&'a [u8]>,
}

/// One word of a member to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Word<'a> {
    /// About the register that holds the cluster's state.
    Register(Message<ClusterState>),
    /// Who is alive.
    Gossip(Gossip),
    /// These moves, each with the version that opened it, are filled as far as the sender is concerned.
    Filled(Vec<(PartitionId, u64)>),
    /// What do you hold of these partitions? For who is being filled with them.
    Pull {
        /// Bytes of keys and records that the answer may have; the first row goes all the same.
        most: u64,
        /// What is wanted.
        #[serde(borrow)]
        wanted: Vec<Wanted<'a>>,
    },
    /// The answer to a `Pull`: a chunk of each, as many as there was room for.
    Parts(#[serde(borrow)] Vec<Part<'a>>),
    /// The sender has all that the receiver, which is no replica of them, showed of these partitions: what has that digest.
    Covered(Vec<(PartitionId, u128)>),
    /// All of the numbered `CHANGES` are durable with the sender.
    Taken(Vec<u64>),
    /// A client's frame, to be answered on behalf of the sender.
    Ask {
        /// The sender's number for it.
        request: u64,
        /// The version of the cluster's state that the sender acts by.
        epoch: u64,
        /// For a read: the stamp of what the client has been told of the key, and whether that was gone. The answer is no older.
        floor: Option<([u8; 16], bool)>,
        /// What it asks: a client's message.
        frame: &'a [u8],
    },
    /// The answer to an `Ask`.
    Answer {
        /// The number that was given.
        request: u64,
        /// The answer.
        reply: Reply<'a>,
    },
    /// What do you hold under this key? For a read by quorum.
    Read {
        /// The sender's number for it.
        request: u64,
        /// The version of the cluster's state that the sender acts by.
        epoch: u64,
        /// The record key.
        key: &'a [u8],
    },
    /// The answer to a `Read`.
    Held {
        /// The number that was given.
        request: u64,
        /// The record, a tombstone included.
        record: Option<&'a [u8]>,
    },
    /// A part of a query is asked for.
    #[serde(borrow)]
    Watch(Watch<'a>),
    /// A chunk of the answer to a `Watch`.
    #[serde(borrow)]
    Rows(Rows<'a>),
    /// What has become of the answer to a `Watch`.
    Told {
        /// The number that was given.
        request: u64,
        /// Its place among all that is told of it, from 1.
        number: u64,
        /// The rows that are new, that have changed and that have left.
        #[serde(borrow)]
        rows: Vec<SentRow<'a>>,
    },
    /// So much was told of these, each by its number. It is said again until it is answered by `Heard`.
    Upto(Vec<(u64, u64)>),
    /// So much was heard of these.
    Heard(Vec<(u64, u64)>),
    /// Nothing more is wanted of these.
    Unwatch(Vec<u64>),
    /// The receiver is not, or no longer, told of what it asked by this number.
    Ended {
        /// The number that was given.
        request: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Where the sender stands with the candidate for the floor that this version of the cluster's state has: it admits nothing at or
    /// below it, and holds nothing that lies elsewhere.
    Stands {
        /// The version, which the sender has on disk.
        version: u64,
        /// It also holds all that the other replicas of its partitions had then, on disk.
        confirms: bool,
    },
    /// These partitions were equal when the sender took the receiver's digests of them.
    Same {
        /// The version of the cluster's state in which all were clean then; 0 if the two did not know of one.
        clean: u64,
        /// The partitions.
        partitions: Vec<PartitionId>,
    },
    /// A ballot for the register of a name.
    Propose {
        /// The sender's number for it.
        request: u64,
        /// The version of the cluster's state that the sender acts by.
        epoch: u64,
        /// The register's key.
        key: &'a [u8],
        /// The ballot, a stamp.
        ballot: [u8; 16],
        /// What is to be accepted; without it a promise is asked for.
        value: Option<&'a [u8]>,
    },
    /// The answer to a `Propose`.
    Voted {
        /// The number that was given.
        request: u64,
        /// The ballot.
        ballot: [u8; 16],
        /// The answer.
        #[serde(borrow)]
        vote: Vote<'a>,
    },
    /// The sender has seen later data of the receiver than the receiver has, and does not link with it under its id.
    SetBack,
    /// The sender, which leaves the cluster, holds no partition and has nothing left of any. It is said again and again.
    Emptied,
    /// The answer to a heartbeat, which leaves after all that was changed before it.
    Level {
        /// What the receiver's monotonic clock showed when the heartbeat left, in microseconds.
        asked_us: u64,
        /// How often changes were not sent on this connection because too much was unsent.
        skipped: u64,
        /// The version of the cluster's state that the sender acts by.
        epoch: u64,
    },
}

/// A replica's answer to a ballot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Vote<'a> {
    /// It takes nothing below the ballot any more.
    Promised {
        /// The ballot by which it has accepted something; zero if it has not.
        by: [u8; 16],
        /// What that was.
        accepted: &'a [u8],
    },
    /// It has accepted what it was asked to.
    Accepted,
    /// It takes nothing below this one.
    No([u8; 16]),
}

/// What an [`Word::Ask`] is answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// What became of each write, in their order.
    Ops(Vec<Result<Consistency, Refusal>>),
    /// What a read found.
    Value {
        /// The message for the client, as it is.
        frame: &'a [u8],
        /// The stamp of what is held, whether that is shown or is a tombstone or has expired.
        stamp: Option<[u8; 16]>,
    },
    /// Nothing of it was done.
    Refused(Refusal),
}

impl<'a> Word<'a> {
    /// As a frame.
    ///
    /// # Panics
    /// Never: every word has an encoding.
    pub fn to_frame(&self) -> Bytes {
        let body = postcard::to_allocvec(self).expect("every word has an encoding");
        peer::cluster(&body)
    }

    /// Reads the body of a `CLUSTER` message.
    ///
    /// # Errors
    /// `None`, whatever the bytes are.
    pub fn decode(body: &'a [u8]) -> Option<Self> {
        let (word, rest) = postcard::take_from_bytes(body).ok()?;
        rest.is_empty().then_some(word)
    }
}

/// A refusal in words.
pub fn refusal(code: Code, reason: impl Into<String>) -> Refusal {
    let reason = reason.into();
    Refusal { code, reason }
}

#[cfg(test)]
mod tests;
