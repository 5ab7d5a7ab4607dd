//! What passes between a client and a node, as the client knows it. Invariants are shown it: they judge what a node says by
//! what was asked and by what was said before, not by what the node holds.

use bytes::Bytes;
use kernel::cluster::agreed::{Became, Wish};
use kernel::env::ConnId;
use kernel::hlc::Stamp;
use kernel::wire::op::Timestamp;
use kernel::wire::{Consistency, ReadConsistency};

use super::{Action, Client};
use crate::invariant::Write;

/// Something that was said over one connection: a session of one client with one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// The node.
    pub node: usize,
    /// The connection. A client never uses a number twice.
    pub conn: ConnId,
    /// Whether it keeps its order.
    pub ordered: bool,
    /// What was said.
    pub said: Said,
}

/// What was said, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The client sends a write, perhaps not for the first time.
    AsksToWrite {
        /// The client's number for it.
        request: u64,
        /// The write.
        write: Write,
        /// How many replicas must have it.
        level: Consistency,
    },
    /// The client asks what is under a key, perhaps not for the first time.
    AsksToRead {
        /// The client's number for it.
        request: u64,
        /// The name of the record.
        key: Bytes,
        /// Which replicas are asked.
        level: ReadConsistency,
    },
    /// The node says that a write is done.
    Done {
        /// The client's number for it.
        request: u64,
        /// The write.
        write: Write,
        /// How many replicas have it, as the node says.
        level: Consistency,
    },
    /// The node refuses a write or a read.
    Refused {
        /// The client's number for it.
        request: u64,
        /// Whether the client is not going to ask again.
        for_good: bool,
    },
    /// The node answers a read.
    Found {
        /// The client's number for it.
        request: u64,
        /// The name of the record that was asked for.
        key: Bytes,
        /// What is there.
        found: Option<Found>,
    },
    /// The client asks something of a register, perhaps not for the first time.
    AsksRegister {
        /// The client's number for it.
        request: u64,
        /// The lock or definition.
        name: String,
        /// What.
        wish: Wish,
    },
    /// The node says what became of it.
    RegisterSays {
        /// The client's number for it.
        request: u64,
        /// The lock or definition.
        name: String,
        /// What.
        became: Became,
    },
    /// The node refuses it.
    RegisterRefuses {
        /// The client's number for it.
        request: u64,
        /// The number of the reason.
        code: u64,
    },
    /// The client asks what is in a map, and to be told what changes.
    AsksToWatch {
        /// The client's name for it.
        query: String,
    },
    /// The node shows a row of a query, in an answer or because it changed.
    Row {
        /// In which answer: the first one to the query of this name. No name: it changed, or the answer was given anew.
        first: Option<String>,
        /// The name of the record.
        key: Bytes,
        /// Its value, as MessagePack.
        value: Bytes,
    },
    /// The client forgets its requests: it was told that it may not ask.
    GivesUp,
}

/// A value that a client was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When it was written.
    pub stamp: Stamp,
    /// By whom.
    pub writer: String,
    /// What, as MessagePack.
    pub value: Bytes,
}

impl Found {
    /// What an answer says.
    pub(crate) fn of(value: &[u8], at: &Timestamp<'_>) -> Self {
        Self {
            stamp: at.stamp,
            writer: at.writer.into(),
            value: Bytes::copy_from_slice(value),
        }
    }
}

impl Client {
    /// Takes note of what is said on the line that is open now.
    pub(super) fn says(&self, conn: ConnId, said: Said) -> Action {
        Action::Talked(Talk {
            node: self.node,
            conn,
            ordered: self.ordered,
            said,
        })
    }
}
