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
//! | client | `QUERY_SUB` | `payload`: `queryId`, `mapName`, `query`, `fields` |
//! | client | `QUERY_UNSUB` | `payload`: `queryId` |
//! | client | `STATUS` (ours) | |
//! | client | `PING` | `timestamp` |
//! | node | `AUTH_REQUIRED` | |
//! | node | `AUTH_ACK` | `protocolVersion`, `open`, `serverHlc` |
//! | node | `AUTH_FAIL` | `error`, `code` |
//! | node | `OP_ACK` | `payload`: `lastId`, `achievedLevel`, `results` |
//! | node | `OP_REJECTED` | `payload`: `opId`, `reason`, `code` |
//! | node | `ERROR` | `payload`: `code`, `message`, `details` |
//! | node | `VALUE` (ours) | `payload`: `id`, `mapName`, `key`, `found`, `record` |
//! | node | `QUERY_RESP` | `payload`: `queryId`, `results` |
//! | node | `QUERY_UPDATE` | `payload`: `queryId`, `key`, `value`, `changeType` |
//! | node | `STATUS_RESP` (ours) | `payload` |
//! | node | `PONG` | `timestamp`, `serverTime` |
//! | peer | `PEER_HELLO`, `PEER_PROOF`, `CHANGES`, `DIGESTS`, `PING`, `PONG` | see [`peer`] |
//! | peer | of a repair: `SYMBOLS_ASK`, `ITEMS_ASK`, `WANT`, `GIVE`, `REPAIR_END`, and their answers | see [`repair`] |
//!
//! An operation is `id`, `mapName`, `key`, `opType` (`PUT`, `REMOVE`), `record` (`value`, `timestamp`), and optionally
//! `writeConcern`, `consistency`, `durability`. A time stamp is `millis`, `counter`, `nodeId`. JavaScript sends whole numbers
//! as floats, absent fields as null, and fields that nobody asked for: all are accepted.

pub mod client;
mod code;
mod fields;
pub mod op;
pub mod peer;
pub mod query;
pub mod repair;
pub mod server;

pub use code::Code;

use crate::msgpack;

/// The protocol that this kernel speaks with clients.
pub const PROTOCOL_VERSION: u64 = 1;

/// The protocol that this kernel speaks with other nodes.
pub const PEER_PROTOCOL_VERSION: u64 = 3;

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
