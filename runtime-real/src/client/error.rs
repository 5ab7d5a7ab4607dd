//! What can go wrong for a client, and what it means for whoever called it.

use std::fmt::Display;

use kernel::wire::server::ServerMessage;
use kernel::wire::{Code, Error};

use crate::net::socket::DialError;

/// What can go wrong for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No node answers.
    #[error("cannot reach {addr}: {reason}")]
    Unreachable {
        /// Where it was looked for.
        addr: String,
        /// What happened.
        reason: String,
    },
    /// The node said no.
    #[error("refused by the node: {reason}")]
    Refused {
        /// The stable code.
        code: String,
        /// What was wrong.
        reason: String,
        /// What may help.
        hint: &'static str,
    },
    /// A write left, and nobody knows what became of it.
    #[error("nobody knows whether it was done: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
}

/// What is refused so may be taken in a moment, by the same node.
const FOR_NOW: [Code; 5] = [
    Code::Overloaded,
    Code::NotReady,
    Code::NoQuorum,
    Code::Behind,
    Code::ClockUnsure,
];

impl ClientError {
    /// A stable word for the kind of error; of a refusal, the node's own.
    pub fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { code, .. } => code,
            Self::Unknown { .. } => "unknown_outcome",
        }
    }

    /// What may help.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "is a node running there? Start one, or say where it is with --addr",
            Self::Refused { hint, .. } => hint,
            Self::Unknown { .. } => "look at what is there, or ask for the same again",
        }
    }

    /// Whether it may go better in a moment, with nothing changed.
    pub fn is_for_now(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unknown { .. } => true,
            Self::Refused { code, .. } => FOR_NOW.iter().any(|known| known.name() == code),
        }
    }

    pub(super) fn dialling(addr: &str, error: DialError) -> Self {
        match error {
            DialError::Unreachable(error) => Self::unreachable(addr, &error),
            DialError::Protocol(error) => Self::unreachable(addr, &format!("no node answers there: {error}")),
            DialError::Refused { status, body } => {
                let said: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
                let word = |name: &str| said[name].as_str().map(str::to_owned);
                Self::Refused {
                    code: word("code").unwrap_or_else(|| format!("HTTP {status}")),
                    reason: word("message").unwrap_or(body),
                    hint: "",
                }
            }
        }
    }

    fn unreachable(addr: &str, reason: &dyn Display) -> Self {
        Self::Unreachable {
            addr: addr.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn silent(addr: &str) -> Self {
        Self::unreachable(addr, &"no answer in time")
    }

    pub(crate) fn lost(addr: &str, reason: &dyn Display) -> Self {
        Self::unreachable(addr, reason)
    }

    pub(crate) fn gibberish(addr: &str, error: &Error) -> Self {
        Self::unreachable(
            addr,
            &format!("what answers is no node that this client knows: {error}"),
        )
    }

    /// What it means when a write, or a change of the cluster, has left: without a word from the node, nobody knows.
    pub(super) fn after_a_write(self) -> Self {
        match self {
            Self::Unreachable { .. } => Self::Unknown {
                reason: self.to_string(),
            },
            said => said,
        }
    }

    pub(super) fn no_token() -> Self {
        Self::Refused {
            code: Code::AuthRequired.name().to_owned(),
            reason: "the node asks for a token".to_owned(),
            hint: "give the cluster's secret with --token or ORRERY_TOKEN",
        }
    }

    pub(crate) fn refused(number: u64, reason: &str) -> Self {
        let code = Code::from_number(number);
        if code == Some(Code::OutcomeUnknown) {
            return Self::Unknown {
                reason: reason.to_owned(),
            };
        }
        Self::Refused {
            code: code.map_or_else(|| number.to_string(), |code| code.name().to_owned()),
            reason: reason.to_owned(),
            hint: code.map_or("", Code::hint),
        }
    }

    /// A message that is not the awaited answer.
    pub(super) fn unexpected(addr: &str, message: &ServerMessage<'_>) -> Self {
        match message {
            ServerMessage::AuthFail { reason } => Self::refused(Code::AuthFailed.number().into(), reason),
            ServerMessage::AuthRequired => Self::refused(Code::AuthFailed.number().into(), "the token was not taken"),
            ServerMessage::OpRejected { code, reason, .. } | ServerMessage::Error { code, reason, .. } => {
                Self::refused(*code, reason)
            }
            _ => Self::other(addr),
        }
    }

    /// An answer to another request than the one that was asked.
    pub(super) fn other(addr: &str) -> Self {
        Self::unreachable(addr, &"the node answered something that was not asked")
    }
}
