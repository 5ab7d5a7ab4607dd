//! Digests that replicas compare: SipHash-1-3 with 128 bits (Aumasson, Bernstein, "SipHash: a fast short-input PRF",
//! 2012) under the cluster's key.

use core::hash::Hasher;
use serde::{Deserialize, Serialize};
use siphasher::sip;
use siphasher::sip128::{Hasher128, SipHasher13};

/// The key of all digests in a cluster.
///
/// Digests of many things are kept as their wrapping sum, so that they do not depend on the order in which things came.
/// That unequal sets have unequal sums is a matter of chance (2^-128) only for who does not know the key: it is secret
/// where the cluster has a secret.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DigestKey {
    key: [u8; 16],
}

impl core::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DigestKey")
    }
}

impl DigestKey {
    /// The digests under this key.
    pub fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// An independent key for digests of another kind, or of another map.
    pub fn derive(&self, purpose: &[u8]) -> Self {
        Self {
            key: self.digest(purpose).to_be_bytes(),
        }
    }

    /// The digest of some bytes.
    pub fn digest(&self, bytes: &[u8]) -> u128 {
        SipHasher13::new_with_key(&self.key).hash(bytes).as_u128()
    }

    /// The digest of bytes in pieces: that of their concatenation. Let the first say where the others end, if that matters.
    pub fn digest_of<const N: usize>(&self, pieces: [&[u8]; N]) -> u128 {
        // Most records are short, and hashing one piece is faster than four.
        const SHORT: usize = 160;
        let len = pieces.iter().map(|piece| piece.len()).sum();
        if len <= SHORT {
            let mut joined = [0; SHORT];
            let mut at = 0;
            for piece in pieces {
                joined[at..at + piece.len()].copy_from_slice(piece);
                at += piece.len();
            }
            return self.digest(&joined[..len]);
        }
        let mut hasher = SipHasher13::new_with_key(&self.key);
        pieces.iter().for_each(|piece| hasher.write(piece));
        hasher.finish128().as_u128()
    }

    /// Where a key has its place among others: SipHash-1-3 with 64 bits, which only who knows the cluster's key can foresee.
    pub fn place(&self, key: &[u8]) -> u64 {
        sip::SipHasher13::new_with_key(&self.key).hash(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", DigestKey::new([7; 16])), "DigestKey");
    }

    #[test]
    fn a_digest_depends_on_the_key_and_every_byte() {
        let key = DigestKey::new([1; 16]);
        assert_eq!(key.digest(b"abc"), key.digest_of([b"a", b"", b"bc", b""]));
        let long = [7; 300];
        for len in [253, 254, 255, 300] {
            let pieces = [b"a", b"b", &long[..len], &b"c"[..]];
            assert_eq!(key.digest(&pieces.concat()), key.digest_of(pieces));
        }
        assert_ne!(key.place(b"abc"), DigestKey::new([2; 16]).place(b"abc"));
        assert_eq!(key.place(b"orrery"), 13_830_467_450_886_100_056);
        assert_ne!(key.digest(b"abc"), key.digest(b"abd"));
        assert_ne!(key.digest(b"abc"), DigestKey::new([2; 16]).digest(b"abc"));
        assert_ne!(key.digest(b"abc"), key.derive(b"map").digest(b"abc"));
        assert_ne!(key.derive(b"a").digest(b"abc"), key.derive(b"b").digest(b"abc"));
        // Frozen: replicas of different builds compare these.
        assert_eq!(
            key.digest(b"orrery"),
            87_360_018_120_038_358_818_186_404_229_954_348_819
        );
    }
}
