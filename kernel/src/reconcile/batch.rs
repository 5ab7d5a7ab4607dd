//! Symbols as bytes: `version (1) · number of the first (4, big-endian) · symbol (13) …`

use alloc::vec::Vec;

use crate::reconcile::{SYMBOL_BYTES, SYMBOLS_MAX, Symbol};

const VERSION: u8 = 1;

/// Why bytes are not a batch of symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// Not a whole number of symbols, or none.
    #[error("the batch is cut short")]
    Short,
    /// Written by a build that this one does not know.
    #[error("the batch has version {0}")]
    Version(u8),
    /// Symbols beyond [`SYMBOLS_MAX`].
    #[error("symbols beyond number {SYMBOLS_MAX}")]
    Beyond,
}

pub(super) fn encode(from: usize, symbols: &[Symbol]) -> Vec<u8> {
    let number = u32::try_from(from).expect("there are at most SYMBOLS_MAX");
    let mut out = Vec::with_capacity(5 + SYMBOL_BYTES * symbols.len());
    out.push(VERSION);
    out.extend_from_slice(&number.to_be_bytes());
    for symbol in symbols {
        out.extend_from_slice(&symbol.to_bytes());
    }
    out
}

/// Reads a batch: the number of its first symbol, and the symbols in place.
pub(super) fn decode(bytes: &[u8]) -> Result<(usize, &[[u8; SYMBOL_BYTES]]), BadBatch> {
    let (&version, rest) = bytes.split_first().ok_or(BadBatch::Short)?;
    if version != VERSION {
        return Err(BadBatch::Version(version));
    }
    let (from, rest) = rest.split_first_chunk().ok_or(BadBatch::Short)?;
    let from = u32::from_be_bytes(*from) as usize;
    let (symbols, left) = rest.as_chunks();
    if symbols.is_empty() || !left.is_empty() {
        return Err(BadBatch::Short);
    }
    if from > SYMBOLS_MAX || symbols.len() > SYMBOLS_MAX - from {
        return Err(BadBatch::Beyond);
    }
    Ok((from, symbols))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::DigestKey;
    use crate::merkle::Item;
    use crate::reconcile::Encoder;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn what_is_no_batch_is_refused_by_name() {
        assert_eq!(decode(&[]), Err(BadBatch::Short));
        assert_eq!(decode(&[2]), Err(BadBatch::Version(2)));
        assert_eq!(decode(&[1, 0, 0, 0]), Err(BadBatch::Short));
        assert_eq!(decode(&[1, 0, 0, 0, 0]), Err(BadBatch::Short));
        assert_eq!(decode(&[&[1, 0, 0, 0, 0][..], &[7; 14]].concat()), Err(BadBatch::Short));
        assert_eq!(
            decode(&[&[1, 0, 0, 1, 2][..], &[7; 26]].concat()),
            Ok((258, &[[7; 13]; 2][..]))
        );
        assert_eq!(
            decode(&[&[1, 1, 0, 0, 0][..], &[7; 13]].concat()),
            Err(BadBatch::Beyond)
        );
        assert_eq!(
            decode(&[&[1, 0, 0xff, 0xff, 0xff][..], &[7; 26]].concat()),
            Err(BadBatch::Beyond)
        );
        assert!(decode(&[&[1, 0, 0xff, 0xff, 0xff][..], &[7; 13]].concat()).is_ok());
        assert_eq!(
            decode(&[&[1, 0xff, 0xff, 0xff, 0xff][..], &[7; 13]].concat()),
            Err(BadBatch::Beyond)
        );
    }

    #[test]
    fn the_symbols_of_a_set_are_frozen() {
        // Nodes of different builds compare these: a change here needs a new version.
        let items = (0..5u64).map(|n| Item {
            key_hash: n << 60 | n,
            digest: u128::from(n) << 100 | 0x0102_0304,
        });
        let mut encoder = Encoder::new(&DigestKey::new([7; 16]), items.collect());
        let hex: String = encoder.batch(1, 5).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, FROZEN);
    }

    const FROZEN: &str = "010000000160000000000306090d1450d57050000000000306090d0d59f4000000000000010203048c9eb15c00\
        00000000010203048c9eb15c40000000000306090d687564c6";
}
