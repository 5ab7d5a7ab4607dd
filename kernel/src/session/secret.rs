//! The secret that clients and peers know.

use serde::{Deserialize, Serialize};

/// What a key is derived from the secret for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The digests of records.
    Digests,
    /// What a node proves to its peers.
    PeerProof,
}

impl Purpose {
    const ALL: [Self; 2] = [Self::Digests, Self::PeerProof];

    /// Different for each, and never changed: it is a part of the key.
    fn context(self) -> &'static str {
        match self {
            Self::Digests => "orrery 2026 record digests",
            Self::PeerProof => "orrery 2026 peer proof",
        }
    }
}

/// A secret that clients and peers know. Its text is not kept, only what is derived from it: so no checkpoint holds the text.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret {
    /// BLAKE3 of the text.
    digest: [u8; 32],
    keys: [[u8; 32]; Purpose::ALL.len()],
}

impl Secret {
    /// The secret with this content.
    pub fn new(content: &[u8]) -> Self {
        Self {
            digest: *blake3::hash(content).as_bytes(),
            keys: Purpose::ALL.map(|purpose| blake3::derive_key(purpose.context(), content)),
        }
    }

    /// Whether `token` is the secret. Takes the same time wherever they differ: what is compared are digests, and BLAKE3's
    /// compare in constant time.
    pub fn is(&self, token: &[u8]) -> bool {
        blake3::Hash::from(self.digest) == blake3::hash(token)
    }

    /// A key for one purpose, different for each secret and purpose.
    pub fn key(secret: Option<&Secret>, purpose: Purpose) -> [u8; 32] {
        match secret {
            Some(secret) => secret.keys[purpose as usize],
            None => blake3::derive_key(purpose.context(), &[]),
        }
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new(b"hush");
        assert!(secret.is(b"hush") && !secret.is(b"hus"));
        assert_eq!(alloc::format!("{secret:?}"), "Secret(..)");
        let bytes = postcard::to_allocvec(&secret).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"hush"));
    }

    /// Nodes of different builds prove themselves to each other, and compare digests.
    #[test]
    fn keys_are_frozen_and_different_for_each_secret_and_purpose() {
        let secret = Secret::new(b"hush");
        let of_digests = blake3::derive_key("orrery 2026 record digests", b"hush");
        assert_eq!(Secret::key(Some(&secret), Purpose::Digests), of_digests);
        let of_proof = blake3::derive_key("orrery 2026 peer proof", b"hush");
        assert_eq!(Secret::key(Some(&secret), Purpose::PeerProof), of_proof);
        for purpose in Purpose::ALL {
            assert_ne!(Secret::key(None, purpose), Secret::key(Some(&secret), purpose));
        }
        assert_ne!(
            Secret::key(None, Purpose::Digests),
            Secret::key(None, Purpose::PeerProof)
        );
    }
}
