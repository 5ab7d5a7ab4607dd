//! The names of things, as small numbers.

use serde::{Deserialize, Serialize};

/// The first 64 bits of the BLAKE3 digest of a name. Node and client names (TopGun's are strings) are known
/// by it where a fixed width matters; the string itself is kept beside it.
pub fn name_hash(name: &[u8]) -> u64 {
    let digest = blake3::hash(name);
    let mut first = [0u8; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub u64);
    };
}

id! {
    /// A node of the cluster: [`name_hash`] of its name.
    NodeId
}
id! {
    /// A connection. The host numbers them upwards and never uses a number twice within one boot.
    ConnId
}
id! {
    /// The place of a peer in the list of addresses that the node was configured with.
    PeerId
}
id! {
    /// The number of a request to storage. A machine numbers upwards from 1 within one boot; commits, applies
    /// and fetches share the numbers, and each of the three kinds is answered in order.
    Ticket
}
id! {
    /// Who stamped a write: the last word of a time stamp, and its tie-break.
    WriterId
}

impl NodeId {
    /// The id of the node called `name`.
    pub fn of(name: &str) -> Self {
        Self(name_hash(name.as_bytes()))
    }
}

impl WriterId {
    /// The id of the writer called `name`.
    pub fn of(name: &str) -> Self {
        Self(name_hash(name.as_bytes()))
    }
}

impl Ticket {
    /// The ticket after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_first_bits_of_its_published_blake3_digest() {
        // The empty input's digest, from the BLAKE3 test vectors: af1349b9f5f9a1a6...
        assert_eq!(name_hash(b""), 0xaf13_49b9_f5f9_a1a6);
    }
}
