//! Floor 8: the messages. One MessagePack map a frame, with a field `type`; names and fields are those of TopGun's client
//! protocol (its public schemas), extended where it has no word.
//!
//! | from | message | fields |
//! |---|---|---|
//! | client | `AUTH` | `token` |
//! | client | `CLIENT_OP` | `payload`: an operation |
//! | client | `OP_BATCH` | `payload.ops`: operations |
//! | client | *(no type)* | the body of `POST /sync`: `clientId`, `clientHlc`, `operations` |
//! | client | `GET` (ours) | `payload`: `id`, `mapName`, `key`, `consistency` |
//! | client | `QUERY_SUB` | `payload`: `queryId`, `mapName`, `query`, `fields`, `once` (ours), `explain` (ours) |
//! | client | `QUERY_UNSUB` | `payload`: `queryId` |
//! | client | `STATUS`, `CLUSTER`, `CLUSTER_CHANGE`, `CLUSTER_LOCATE` (ours) | see [`admin`] |
//! | client | `PING` | `timestamp` |
//! | node | `AUTH_REQUIRED` | |
//! | node | `AUTH_ACK` | `protocolVersion`, `open`, `serverHlc` |
//! | node | `AUTH_FAIL` | `error`, `code` |
//! | node | `OP_ACK` | `payload`: `lastId`, `achievedLevel`, `results` |
//! | node | `OP_REJECTED` | `payload`: `opId`, `reason`, `code` |
//! | node | `ERROR` | `payload`: `code`, `message`, `details` |
//! | node | `VALUE` (ours) | `payload`: `id`, `mapName`, `key`, `found`, `record` |
//! | node | `QUERY_RESP` | `payload`: `queryId`, `results`, `explain` (ours) |
//! | node | `QUERY_UPDATE` | `payload`: `queryId`, `key`, `value`, `changeType` |
//! | node | `STATUS_RESP`, `CLUSTER_RESP` (ours) | see [`admin`] |
//! | node | `PONG` | `timestamp`, `serverTime` |
//! | peer | `PEER_HELLO`, `PEER_PROOF`, `PEER_AGAIN`, `PEER_REFUSED`, `CHANGES`, `DIGESTS`, `PING`, `PONG` | see [`peer`] |
//! | peer | of a repair: `SYMBOLS_ASK`, `ITEMS_ASK`, `WANT`, `GIVE`, `REPAIR_END`, and their answers | see [`repair`] |
//!
//! An operation is `id`, `mapName`, `key`, `opType` (`PUT`, `REMOVE`), `record` (`value`, `timestamp`), and optionally
//! `writeConcern`, `consistency`, `durability`. Two of these words say how many replicas must have a write before it counts as done,
//! and the stronger one holds; without a word it is `eventual`. A batch's `writeConcern` is one more word for each of its operations.
//!
//! | `consistency` of a write | `writeConcern` | `achievedLevel` | who has it |
//! |---|---|---|---|
//! | `eventual` | `FIRE_AND_FORGET`, `MEMORY`, `APPLIED`, `PERSISTED` | `PERSISTED` | the acting owner |
//! | `quorum` | `REPLICATED` | `REPLICATED` | a majority of the configured replicas |
//! | `strong` | | `REPLICATED` | all of them |
//!
//! | `consistency` of a read | who is asked |
//! |---|---|
//! | `owner` (the default) | the acting owner |
//! | `any` | the node that is asked, if it is a replica; otherwise the acting owner. `VALUE` says `staleMs`: all that was durable at the acting owner so long before the read is in it; 0 of the owner itself, nothing where the replica does not know |
//! | `quorum` | a majority of the configured replicas |
//!
//! What was not done is refused with a code ([`Code`]): `code` is its number, `details.name` its name.
//!
//! | code | name | done? | asking again |
//! |---|---|---|---|
//! | 400 | `BadRequest` | no | never helps |
//! | 401, 403 | `AuthRequired`, `AuthFailed` | no | with the right token |
//! | 406 | `NotPossible` | no | when things are otherwise |
//! | 404, 422 | `UnknownType`, `Unsupported` | no | at a node that can |
//! | 409 | `ClockDrift` | no | with a clock that is right |
//! | 410 | `RetryTooOld` | perhaps, long ago | as a new operation |
//! | 412 | `Behind` | no | in a moment, or elsewhere |
//! | 413 | `TooLarge` | no | never helps |
//! | 421 | `NotMember` | no | elsewhere |
//! | 424 | `NoQuorum` | no | when more replicas can be reached, or for less |
//! | 425 | `ClockUnsure` | no | in a moment, or elsewhere |
//! | 429 | `Overloaded` | no | in a moment |
//! | 500 | `OutcomeUnknown` | perhaps | with the same stamp |
//! | 503 | `NotReady` | no | in a moment, or elsewhere |
//! | 507 | `StorageFull` | no | when there is room, or elsewhere |
//!
//! A time stamp is `millis`, `counter`, `nodeId`. JavaScript sends whole numbers
//! as floats, absent fields as null, and fields that nobody asked for: all are accepted.

pub mod admin;
pub mod agreed;
pub mod client;
pub mod cluster;
mod code;
mod fields;
pub mod gather;
mod level;
pub mod op;
pub mod peer;
pub mod query;
pub mod repair;
pub mod repairs;
pub mod server;

pub use code::Code;
pub use level::{Consistency, ReadConsistency};

use crate::msgpack;

/// The protocol that this kernel speaks with clients.
pub const PROTOCOL_VERSION: u64 = 1;

/// The protocol that this kernel speaks with other nodes.
pub const PEER_PROTOCOL_VERSION: u64 = 8;

/// Most boots of its disk that a node tells of.
pub const BOOTS_MAX: usize = 16;

/// What a node draws at a boot and keeps on its disk, to tell that boot from all others of that disk and of its copies.
pub type BootMark = [u8; 8];

/// Why a frame, or a part of it, cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not MessagePack, or not a map.
    #[error("{0}")]
    Encoding(msgpack::Error),
    /// A field is not there.
    #[error("the field {field} is missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A field holds something else than it should.
    #[error("the field {field}: {error}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        error: msgpack::Error,
    },
    /// A field's number, or its length, is out of range.
    #[error("the field {field} is out of range")]
    Range {
        /// Which.
        field: &'static str,
    },
    /// A field's word is none of those that it may be.
    #[error("the field {field} holds an unknown word")]
    Choice {
        /// Which.
        field: &'static str,
    },
    /// The protocol has it; this node cannot do it.
    #[error("{what} is not supported by this node")]
    Unsupported {
        /// What.
        what: &'static str,
    },
    /// No message has that type.
    #[error("the message type is unknown")]
    UnknownType,
}

impl From<msgpack::Error> for Error {
    fn from(error: msgpack::Error) -> Self {
        Error::Encoding(error)
    }
}

impl Error {
    /// The code that the other side gets for it.
    pub fn code(&self) -> Code {
        match self {
            Error::Unsupported { .. } => Code::Unsupported,
            Error::UnknownType => Code::UnknownType,
            Error::Encoding(msgpack::Error::TooDeep { .. }) => Code::TooLarge,
            _ => Code::BadRequest,
        }
    }
}
