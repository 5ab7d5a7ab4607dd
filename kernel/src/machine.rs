//! The contract between a machine and its host: what goes in, what comes out, and in which order the host
//! performs it.
//!
//! A host (the simulator, the production node, a test) feeds one [`Input`] at a time and then performs the whole
//! [`Output`], in the order of its fields. Whoever does that cannot lose an acknowledged write: an envelope that
//! depends on something durable is *inside* the [`Commit`] that it waits for, so there is no way to
//! send it early by mistake. Etcd's and raft-rs's `Ready` is the model; quinn-proto and str0m are the models of
//! the host that drains everything after one mutation.
//!
//! # The rules of order
//!
//! 1. **Persist before you speak.** `commit.envelopes` leave when the commit, and every commit before it, is durable.
//! 2. **Tickets in order.** Commits are answered in the order they were given; so are applies; so are fetches.
//! 3. **A failed commit fails the later ones.** After it every commit and apply that was not yet performed fails, until
//!    [`Fetch::Recover`] is performed. The envelopes of failed commits are dropped. A failed apply fails the applies behind
//!    it, and no commit: the log does not depend on the records.
//! 4. **Replies in order.** On an ordered connection envelopes leave in the order in which the machine gave them,
//!    across `send` and `commit`. A machine that still has envelopes waiting for a commit puts what follows them
//!    into a commit as well: one with nothing to write is a *barrier* and costs no sync. Only heartbeats overtake: they answer
//!    nothing, and a slow disk is not a dead node.
//! 5. **Nothing shown before it is durable.** What shows state leaves with the newest ticket that it reflects.
//!
//! # A host of ten lines
//!
//! ```
//! use kernel::env::{ConnId, Now, Ticket, VirtualClock};
//! use kernel::machine::{Commit, Envelope, Input, Machine, Output, Room};
//!
//! /// Answers each frame with itself, once it is on disk.
//! #[derive(Default)]
//! struct Echo(u64);
//!
//! impl Machine for Echo {
//!     fn step(&mut self, _now: Now, input: Input<'_>, out: &mut Output) {
//!         if let Input::Received { conn, frame } = input {
//!             self.0 += 1;
//!             let frame = bytes::Bytes::copy_from_slice(frame);
//!             let envelopes = vec![Envelope { conn, frame: frame.clone() }];
//!             out.commit = Some(Commit { ticket: Ticket(self.0), entry: Some((self.0, frame)), envelopes });
//!         }
//!     }
//! }
//!
//! let (mut machine, mut out, mut log, mut sent) = (Echo::default(), Output::default(), vec![], vec![]);
//! let clock = VirtualClock::default();
//! let mut inputs = vec![Input::Boot { entropy: [7; 32] }, Input::Received { conn: ConnId(1), frame: b"hello" }];
//! inputs.reverse();
//! while let Some(input) = inputs.pop() {
//!     machine.step(clock.now(), input, &mut out);
//!     sent.extend(out.send.drain(..));
//!     if let Some(commit) = out.commit.take() {
//!         log.extend(commit.entry); // append and sync; only then:
//!         sent.extend(commit.envelopes);
//!         inputs.push(Input::Committed { ticket: commit.ticket, result: Ok(Room { bytes: 1 << 30 }) });
//!     }
//! }
//! assert_eq!((log.len(), &sent[0].frame[..]), (1, &b"hello"[..]));
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, Now, PeerId, Ticket, raw};

/// A state machine that a host drives. `Node` is one.
pub trait Machine {
    /// Takes one input and appends to `out` all that is to be done about it. `out` arrives empty, and the host
    /// performs all of it before the next step.
    ///
    /// Never blocks, never fails: bytes from outside are answered, not trusted. A panic is a bug in the machine.
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Output);
}

/// What a host tells a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Input<'a> {
    /// The first input of all, once. `entropy` is fresh at every boot and never read from disk: identities that
    /// must not repeat (writer ids) are drawn from it. The machine then fetches what storage holds.
    Boot {
        /// 256 bits from the operating system, or from the seed of a simulation.
        entropy: [u8; 32],
    },
    /// The time asked for in [`Output::wake`] has come. An early or superfluous one does no harm.
    Wake,
    /// A connection is open: accepted (`peer` is `None`), or the answer to a [`Dial`].
    Opened {
        /// Its number, never used before in this boot.
        conn: ConnId,
        /// What it can do.
        kind: ConnKind,
        /// For a connection that this machine dialled: to whom.
        peer: Option<PeerId>,
    },
    /// A [`Dial`] came to nothing.
    DialFailed {
        /// The peer that was dialled.
        peer: PeerId,
        /// Why, for people.
        reason: &'a str,
    },
    /// A whole frame arrived. Nothing is known about its content.
    Received {
        /// Where.
        conn: ConnId,
        /// The bytes, borrowed for the step: decoding copies only what is kept.
        #[serde(serialize_with = "raw::serialize")]
        frame: &'a [u8],
    },
    /// So many bytes of earlier envelopes were handed to the transport, or dropped with the connection's loss.
    /// The machine counts what is unsent, and so back-pressure is its own.
    Drained {
        /// Where.
        conn: ConnId,
        /// How many, counted in bytes of [`Envelope::frame`].
        bytes: u64,
    },
    /// The connection is gone, whoever ended it. The last input about it.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// The answer to a [`Commit`].
    Committed {
        /// Which. In order among commits.
        ticket: Ticket,
        /// `Ok`: this commit and all before it are durable, and its envelopes are on their way. `Err`: nobody knows
        /// whether it will be found after a recovery; its envelopes were dropped, and all later ones in flight fail.
        result: Result<Room, StorageError>,
    },
    /// The answer to an [`Apply`].
    Applied {
        /// Which. In order among applies.
        ticket: Ticket,
        /// `Ok`: the records hold every log entry up to [`Apply::upto`]. `Err`: they hold what they held before.
        result: Result<(), StorageError>,
    },
    /// The answer to a [`Fetch`].
    Fetched {
        /// Which. In order among fetches.
        ticket: Ticket,
        /// What was read.
        result: Result<Fetched, StorageError>,
    },
    /// An order from whoever runs the node.
    Command(Command),
}

/// An order from whoever runs the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Stop cleanly: take no new work, finish what is in flight, bring the records up to the log, then report
    /// [`Phase::Stopped`].
    Drain,
}

/// What a connection can do, whatever carries it. No machine asks which transport it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConnKind {
    /// Who is at the other end.
    pub role: Role,
    /// Frames that the other side did not ask for may be sent at any time. Otherwise the connection is an exchange: what
    /// the other side has to say comes up (an `AUTH`, if it has a token, then one request), one frame goes down as
    /// the answer, and the host closes it.
    pub push: bool,
    /// Frames arrive in the order they were sent, none missing and none twice, for as long as it is open.
    pub ordered: bool,
    /// Longest frame that it carries, in bytes.
    pub frame_bytes: usize,
}

/// Who is at the other end of a connection. What they may do is decided by the handshake, not by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A client.
    Client,
    /// Another node.
    Peer,
}

/// What a machine asks of its host, performed in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Output {
    /// Envelopes that may leave now.
    pub send: Vec<Envelope>,
    /// One atomic addition to the log, and the envelopes that wait for it.
    pub commit: Option<Commit>,
    /// Changes that the log holds, to be brought into the records.
    pub apply: Option<Apply>,
    /// Log entries up to and including this number are in the records and may be dropped. Needs no answer.
    pub cut: Option<u64>,
    /// Reads.
    pub fetch: Vec<(Ticket, Fetch)>,
    /// Connections to open. Each is answered by [`Input::Opened`] or [`Input::DialFailed`].
    pub dial: Vec<Dial>,
    /// Connections to close, once the envelopes that may leave by now have left; envelopes that still wait for a commit
    /// are dropped. Answered by [`Input::Closed`].
    pub close: Vec<ConnId>,
    /// When to step again with [`Input::Wake`], in the microseconds of [`Now::mono_us`]. Each step says it anew: what
    /// an earlier step asked for is forgotten, and `None` asks for nothing.
    pub wake: Option<u64>,
    /// What the node as a whole does from now on, when that changed.
    pub phase: Option<Phase>,
}

impl Output {
    /// Whether there is nothing left to perform.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A frame and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Envelope {
    /// The connection.
    pub conn: ConnId,
    /// The bytes. Shared, so that the same change to many peers is held once.
    pub frame: Bytes,
}

/// One atomic addition to the log. Answered by [`Input::Committed`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Its number.
    pub ticket: Ticket,
    /// The entry and its place: exactly one after the entry before it. Without one the commit is a barrier: there is
    /// nothing to write, it is answered in its order, and its envelopes leave when all before it is durable.
    pub entry: Option<(u64, Bytes)>,
    /// What may leave only then, in this order.
    pub envelopes: Vec<Envelope>,
}

/// Changes for the records, in one synced transaction. Answered by [`Input::Applied`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Apply {
    /// Its number.
    pub ticket: Ticket,
    /// The log entry that the records then hold everything up to; never one before that of the last apply, and perhaps the same.
    /// Written in the same transaction.
    pub upto: u64,
    /// Keys and values, ascending by key, each key once.
    pub puts: Vec<(Bytes, Bytes)>,
    /// Keys that are to be there no more, ascending, each once, none of them in `puts`. One that is not there is no error.
    pub deletes: Vec<Bytes>,
}

/// A read of storage. Answered by [`Input::Fetched`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fetch {
    /// Forget any failure, and say what there is. The first fetch after a boot and after a failed commit.
    Recover,
    /// Records in key order.
    Records {
        /// Those after this key; from the first, without one.
        after: Option<Bytes>,
        /// At least one record, and no more once they have come to so many bytes.
        limit_bytes: usize,
    },
    /// Log entries in order.
    Log {
        /// Those from this number on.
        from: u64,
        /// At least one entry, and no more once they have come to so many bytes.
        limit_bytes: usize,
    },
}

/// What a [`Fetch`] found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fetched {
    /// The answer to [`Fetch::Recover`].
    Recovered {
        /// The last log entry that the records hold; 0 if none.
        applied: u64,
        /// First and last entry of the log, if it has any.
        log: Option<(u64, u64)>,
        /// How much may be committed.
        room: Room,
    },
    /// The answer to [`Fetch::Records`].
    Records {
        /// Keys and values, ascending.
        rows: Vec<(Bytes, Bytes)>,
        /// There are no more after these.
        done: bool,
    },
    /// The answer to [`Fetch::Log`].
    Log {
        /// Numbers and entries, ascending.
        entries: Vec<(u64, Bytes)>,
        /// There are no more after these.
        done: bool,
    },
}

/// Bytes that may be committed after the commit that this answers; those of later commits in flight count against it.
/// Granted ahead, so that a full disk is refused before anything was merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Room {
    /// How many.
    pub bytes: u64,
}

/// Why storage did not do what it was asked. The host logs the detail; the machine needs the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
pub enum StorageError {
    /// The device failed or an earlier failure has not been recovered from.
    #[error("the storage device failed")]
    Io,
    /// No room is left.
    #[error("the storage is full")]
    Full,
    /// What is there is not what was written.
    #[error("the stored data is corrupt")]
    Corrupt,
}

/// A connection to open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dial {
    /// To whom.
    pub peer: PeerId,
    /// Where, as the node was configured.
    pub addr: String,
}

/// What the node as a whole does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Reading what storage holds. Requests are refused.
    Recovering,
    /// Storage is read, and the node does not belong to a cluster yet: it asks those that it was told to join.
    Joining,
    /// It was a member of a cluster and is one no longer. It serves nothing, and a person must look.
    Removed,
    /// Serving.
    Ready {
        /// Records found in storage.
        records: u64,
        /// Log entries that were not yet in the records.
        log_entries: u64,
    },
    /// Storage holds something that this node cannot have written, or cannot be read: it serves nothing, and a person
    /// must look.
    Failed {
        /// What was wrong.
        error: StorageError,
    },
    /// A [`Command::Drain`] is done: the host may exit.
    Stopped,
}
