//! The two messages of a reconciliation as bytes. Numbers are big-endian.
//!
//! ```text
//! question   version (1) · number of the first symbol (4) · how many (4)
//! batch      version (1) · number of the first symbol (4) · symbol (13) …
//! ```

use alloc::vec::Vec;

use crate::reconcile::{SYMBOL_BYTES, SYMBOLS_MAX, Symbol};

const VERSION: u8 = 1;
/// The bytes of a batch before its symbols.
pub(super) const HEAD_BYTES: usize = 5;

/// Why bytes are not a batch of symbols, or a question for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// Not a whole number of symbols, or none; or a question of another length.
    #[error("the message is cut short")]
    Short,
    /// Written by a build that this one does not know.
    #[error("the message has version {0}")]
    Version(u8),
    /// Symbols beyond [`SYMBOLS_MAX`], or beyond the bound of who was asked.
    #[error("symbols beyond number {0}")]
    Beyond(usize),
}

pub(super) fn encode(from: usize, symbols: &[Symbol]) -> Vec<u8> {
    let number = u32::try_from(from).expect("there are at most SYMBOLS_MAX");
    let mut out = Vec::with_capacity(HEAD_BYTES + SYMBOL_BYTES * symbols.len());
    out.push(VERSION);
    out.extend_from_slice(&number.to_be_bytes());
    for symbol in symbols {
        out.extend_from_slice(&symbol.to_bytes());
    }
    out
}

pub(super) fn encode_question(from: usize, count: usize) -> Vec<u8> {
    let number = |number: usize| {
        u32::try_from(number)
            .expect("there are at most SYMBOLS_MAX")
            .to_be_bytes()
    };
    [&[VERSION][..], &number(from), &number(count)].concat()
}

/// The number of the first symbol that a question asks for: one for the first begins a reconciliation.
///
/// # Errors
/// [`BadBatch`], whatever the bytes are.
pub fn first_of_question(question: &[u8]) -> Result<usize, BadBatch> {
    decode_question(question).map(|(from, _)| from)
}

/// Reads a question: the number of the first symbol, and how many.
pub(super) fn decode_question(bytes: &[u8]) -> Result<(usize, usize), BadBatch> {
    let (&version, rest) = bytes.split_first().ok_or(BadBatch::Short)?;
    if version != VERSION {
        return Err(BadBatch::Version(version));
    }
    let ([from, count], []) = rest.as_chunks() else {
        return Err(BadBatch::Short);
    };
    let number = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes) as usize;
    match number(count) {
        0 => Err(BadBatch::Short),
        count => Ok((number(from), count)),
    }
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
        return Err(BadBatch::Beyond(SYMBOLS_MAX));
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
            Err(BadBatch::Beyond(SYMBOLS_MAX))
        );
        assert_eq!(
            decode(&[&[1, 0, 0xff, 0xff, 0xff][..], &[7; 26]].concat()),
            Err(BadBatch::Beyond(SYMBOLS_MAX))
        );
        assert!(decode(&[&[1, 0, 0xff, 0xff, 0xff][..], &[7; 13]].concat()).is_ok());
        assert_eq!(
            decode(&[&[1, 0xff, 0xff, 0xff, 0xff][..], &[7; 13]].concat()),
            Err(BadBatch::Beyond(SYMBOLS_MAX))
        );
    }

    #[test]
    fn what_is_no_question_is_refused_by_name() {
        let question = encode_question(258, 1 << 20);
        assert_eq!(question, [1, 0, 0, 1, 2, 0, 16, 0, 0]);
        assert_eq!(decode_question(&question), Ok((258, 1 << 20)));
        assert_eq!(decode_question(&[0xff; 9]), Err(BadBatch::Version(0xff)));
        assert_eq!(decode_question(&[1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(BadBatch::Short));
        for len in [0, 1, 5, 8] {
            assert_eq!(decode_question(&question[..len]), Err(BadBatch::Short));
        }
        assert_eq!(
            decode_question(&[&question[..], &[0; 4]].concat()),
            Err(BadBatch::Short)
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
