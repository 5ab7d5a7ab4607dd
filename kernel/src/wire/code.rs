//! The stable codes of what can go wrong for the other side.

use serde::{Deserialize, Serialize};

/// Why a request was not done. The number is what goes over the wire (TopGun's codes are numbers), the name what people
/// and HTTP bodies see. Neither ever changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Code {
    /// The frame or one of its fields is not what the protocol says. Sending it again will not help.
    BadRequest,
    /// Authenticate first.
    AuthRequired,
    /// The token or proof is wrong.
    AuthFailed,
    /// There is no message of this type.
    UnknownType,
    /// What is asked of the cluster cannot be done as it is. Nothing was done.
    NotPossible,
    /// The stamp is further ahead of this node's clock than allowed: a clock is wrong.
    ClockDrift,
    /// The write is stamped before what is remembered of deletes: it needs a new stamp. Nothing was done.
    StampTooOld,
    /// The operation's id is older than the window in which a retry is recognized: it may have been done long ago.
    RetryTooOld,
    /// This replica lacks what the session has seen. Nothing was done; ask again, or elsewhere.
    Behind,
    /// Something is over its limit.
    TooLarge,
    /// Somebody else holds the lock. Nothing was done; ask again later.
    Locked,
    /// This node is not a member of a cluster, or not yet. Nothing was done; ask another.
    NotMember,
    /// The protocol has it; this node cannot do it.
    Unsupported,
    /// Too few replicas can be reached for what was asked. Nothing was done.
    NoQuorum,
    /// This node does not know whether its clock is right. Nothing was done; ask again, or elsewhere.
    ClockUnsure,
    /// Too much is in flight. Nothing was done; try again.
    Overloaded,
    /// Storage failed with the request in flight: it may or may not have been done. Sending the same stamp again is safe.
    OutcomeUnknown,
    /// The node is starting, recovering or stopping. Nothing was done; try again, or elsewhere.
    NotReady,
    /// The node's storage is full. Nothing was done.
    StorageFull,
}

impl Code {
    /// All of them.
    pub const ALL: [Code; 19] = [
        Code::BadRequest,
        Code::AuthRequired,
        Code::AuthFailed,
        Code::UnknownType,
        Code::NotPossible,
        Code::ClockDrift,
        Code::StampTooOld,
        Code::RetryTooOld,
        Code::Behind,
        Code::TooLarge,
        Code::Locked,
        Code::NotMember,
        Code::Unsupported,
        Code::NoQuorum,
        Code::ClockUnsure,
        Code::Overloaded,
        Code::OutcomeUnknown,
        Code::NotReady,
        Code::StorageFull,
    ];

    /// The number on the wire; also the HTTP status of an answer that is nothing but this error.
    pub fn number(self) -> u16 {
        match self {
            Code::BadRequest => 400,
            Code::AuthRequired => 401,
            Code::AuthFailed => 403,
            Code::UnknownType => 404,
            Code::NotPossible => 406,
            Code::ClockDrift => 409,
            Code::StampTooOld => 416,
            Code::RetryTooOld => 410,
            Code::Behind => 412,
            Code::TooLarge => 413,
            Code::Locked => 423,
            Code::NotMember => 421,
            Code::Unsupported => 422,
            Code::NoQuorum => 424,
            Code::ClockUnsure => 425,
            Code::Overloaded => 429,
            Code::OutcomeUnknown => 500,
            Code::NotReady => 503,
            Code::StorageFull => 507,
        }
    }

    /// The code with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| u64::from(code.number()) == number)
    }

    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Code::BadRequest => "BadRequest",
            Code::AuthRequired => "AuthRequired",
            Code::AuthFailed => "AuthFailed",
            Code::UnknownType => "UnknownType",
            Code::NotPossible => "NotPossible",
            Code::ClockDrift => "ClockDrift",
            Code::StampTooOld => "StampTooOld",
            Code::RetryTooOld => "RetryTooOld",
            Code::Behind => "Behind",
            Code::TooLarge => "TooLarge",
            Code::Locked => "Locked",
            Code::NotMember => "NotMember",
            Code::Unsupported => "Unsupported",
            Code::NoQuorum => "NoQuorum",
            Code::ClockUnsure => "ClockUnsure",
            Code::Overloaded => "Overloaded",
            Code::OutcomeUnknown => "OutcomeUnknown",
            Code::NotReady => "NotReady",
            Code::StorageFull => "StorageFull",
        }
    }

    /// Whether sending the same again can never help: what is refused so is done with.
    pub fn is_final(self) -> bool {
        matches!(self, Code::BadRequest | Code::TooLarge | Code::StampTooOld)
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Code::BadRequest => "correct the request; the message names the field",
            Code::AuthRequired => "present the cluster's secret as the token",
            Code::AuthFailed => "check the token against the node's --cluster-secret-file",
            Code::UnknownType => "check the message's type against the protocol",
            Code::NotPossible => {
                "look at what there is, with `cluster status` or `definition`, then ask for what can be done"
            }
            Code::ClockDrift => "set the clock of the device that wrote, then write again",
            Code::StampTooOld => "read what is there, then write again with a stamp of now",
            Code::RetryTooOld => "read what is there; if it was not done, ask for it as a new operation",
            Code::Behind => "wait a moment and ask again, or ask another node",
            Code::TooLarge => "split it, or make it smaller",
            Code::Locked => "wait until it is given back, or its time is over, and ask again",
            Code::NotMember => "ask a member of the cluster, or wait until this node has joined",
            Code::Unsupported => "ask for what this node can do",
            Code::NoQuorum => "wait until more replicas can be reached, ask a node on their side, or ask for less",
            Code::ClockUnsure => "check this node's clock, or ask another node",
            Code::Overloaded => "wait a moment and send it again",
            Code::OutcomeUnknown => "send the same write again with the same stamp, or read what is there",
            Code::NotReady => "wait until GET /health/ready answers 200, or ask another node",
            Code::StorageFull => "free disk space, or write to another node",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_and_come_back() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number().into()), Some(code), "{}", code.name());
        }
        assert_eq!(Code::from_number(0), None);
    }
}
