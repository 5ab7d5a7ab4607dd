//! The two messages of a walk as bytes.
//!
//! ```text
//! question   version (1) · prefix …                     prefix  nibbles (1) · the nibbles, two a byte
//! answer     version (1) · part …                       part    0 · which children are not empty (2) · sum of each
//!                                                               1 · count · key hash (8) · digest (16) …
//! sum        digest (16) · count                        count   LEB128, no longer than need be
//! ```
//!
//! Numbers are big-endian. The parts of an answer are in the order of the question's prefixes, perhaps fewer than they were.

use alloc::vec::Vec;

use crate::merkle::{Item, NIBBLES, Prefix, Sum};

/// The version of both messages.
const VERSION: u8 = 1;
const CHILDREN: u8 = 0;
const ITEMS: u8 = 1;
/// The most bytes that a prefix takes in a question.
pub(super) const PREFIX_BYTES: usize = 9;
const ITEM_BYTES: usize = 24;

/// Why bytes are not a message of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Cut short.
    #[error("the message is cut short")]
    Short,
    /// Written by a build that this one does not know.
    #[error("the message has version {0}")]
    Version(u8),
    /// A prefix of more nibbles than a hash has, or with bits behind its end.
    #[error("a prefix that is none")]
    Prefix,
    /// A part that is neither sums nor items.
    #[error("an answer of kind {0}")]
    Kind(u8),
    /// A number that is longer than need be, or than a number is.
    #[error("a count that is none")]
    Count,
    /// A child that is said not to be empty and is.
    #[error("a child of no items")]
    Empty,
    /// Items that do not ascend.
    #[error("items out of order")]
    Order,
}

/// One part of an answer: what is below one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The sums of its sixteen children.
    Children(Vec<Sum>),
    /// Its items, ascending.
    Items(Vec<Item>),
}

pub(super) fn encode_question(prefixes: &[Prefix]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + prefixes.len() * PREFIX_BYTES);
    out.push(VERSION);
    for prefix in prefixes {
        out.push(prefix.len());
        let nibbles = prefix.range().start().to_be_bytes();
        out.extend_from_slice(&nibbles[..usize::from(prefix.len()).div_ceil(2)]);
    }
    out
}

/// Reads the prefixes of a question, one after the other.
pub(super) fn decode_question(bytes: &[u8]) -> Result<impl Iterator<Item = Result<Prefix, BadMessage>>, BadMessage> {
    let mut rest = versioned(bytes)?;
    Ok(core::iter::from_fn(move || {
        let next = (!rest.is_empty()).then(|| prefix(&mut rest))?;
        if next.is_err() {
            rest = &[];
        }
        Some(next)
    }))
}

fn prefix(rest: &mut &[u8]) -> Result<Prefix, BadMessage> {
    let [len] = array(rest)?;
    if len > NIBBLES {
        return Err(BadMessage::Prefix);
    }
    let (given, after) = rest
        .split_at_checked(usize::from(len).div_ceil(2))
        .ok_or(BadMessage::Short)?;
    *rest = after;
    let mut nibbles = [0; 8];
    nibbles[..given.len()].copy_from_slice(given);
    let hash = u64::from_be_bytes(nibbles);
    let prefix = Prefix::of(hash, len);
    if *prefix.range().start() != hash {
        return Err(BadMessage::Prefix);
    }
    Ok(prefix)
}

pub(super) fn begin_answer() -> Vec<u8> {
    Vec::from([VERSION])
}

pub(super) fn push_children(out: &mut Vec<u8>, sums: &[Sum]) {
    assert_eq!(sums.len(), 16, "a prefix has sixteen children");
    out.push(CHILDREN);
    let present = sums.iter().map(|sum| u16::from(sum.count > 0));
    let present = present.fold(0u16, |bits, bit| bits << 1 | bit);
    out.extend_from_slice(&present.to_be_bytes());
    for sum in sums.iter().filter(|sum| sum.count > 0) {
        out.extend_from_slice(&sum.digest.to_be_bytes());
        push_count(out, sum.count);
    }
}

pub(super) fn push_items(out: &mut Vec<u8>, items: &[Item]) {
    out.push(ITEMS);
    push_count(out, items.len() as u64);
    for item in items {
        out.extend_from_slice(&item.key_hash.to_be_bytes());
        out.extend_from_slice(&item.digest.to_be_bytes());
    }
}

/// Reads an answer. It takes memory for what is there, never for what is claimed.
pub(super) fn decode_answer(bytes: &[u8]) -> Result<Vec<Part>, BadMessage> {
    let mut rest = versioned(bytes)?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        parts.push(part(&mut rest)?);
    }
    Ok(parts)
}

fn part(rest: &mut &[u8]) -> Result<Part, BadMessage> {
    match array(rest)? {
        [CHILDREN] => {
            let present = u16::from_be_bytes(array(rest)?);
            let sums = (0..16).map(|child| match present >> (15 - child) & 1 {
                0 => Ok(Sum::default()),
                _ => sum(rest),
            });
            Ok(Part::Children(sums.collect::<Result<_, _>>()?))
        }
        [ITEMS] => {
            let count = count(rest)?;
            if count > (rest.len() / ITEM_BYTES) as u64 {
                return Err(BadMessage::Short);
            }
            let items: Vec<_> = (0..count).map(|_| item(rest)).collect::<Result<_, _>>()?;
            if items.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(BadMessage::Order);
            }
            Ok(Part::Items(items))
        }
        [kind] => Err(BadMessage::Kind(kind)),
    }
}

fn sum(rest: &mut &[u8]) -> Result<Sum, BadMessage> {
    let digest = u128::from_be_bytes(array(rest)?);
    match count(rest)? {
        0 => Err(BadMessage::Empty),
        count => Ok(Sum { digest, count }),
    }
}

fn item(rest: &mut &[u8]) -> Result<Item, BadMessage> {
    Ok(Item {
        key_hash: u64::from_be_bytes(array(rest)?),
        digest: u128::from_be_bytes(array(rest)?),
    })
}

fn push_count(out: &mut Vec<u8>, mut count: u64) {
    while count >= 0x80 {
        out.push(count as u8 | 0x80);
        count >>= 7;
    }
    out.push(count as u8);
}

fn count(rest: &mut &[u8]) -> Result<u64, BadMessage> {
    let mut count = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = array(rest)?;
        let bits = u64::from(byte & 0x7f);
        let overlong = byte == 0 && shift > 0;
        if overlong || bits << shift >> shift != bits {
            return Err(BadMessage::Count);
        }
        count |= bits << shift;
        if byte < 0x80 {
            return Ok(count);
        }
    }
    Err(BadMessage::Count)
}

fn versioned(bytes: &[u8]) -> Result<&[u8], BadMessage> {
    match bytes {
        [VERSION, rest @ ..] => Ok(rest),
        [version, ..] => Err(BadMessage::Version(*version)),
        [] => Err(BadMessage::Short),
    }
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadMessage> {
    let (head, after) = rest.split_first_chunk().ok_or(BadMessage::Short)?;
    *rest = after;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::{format, vec};
    use proptest::prelude::*;

    fn question(bytes: &[u8]) -> Result<Vec<Prefix>, BadMessage> {
        decode_question(bytes)?.collect()
    }

    fn answer(parts: &[Part]) -> Vec<u8> {
        let mut out = begin_answer();
        for part in parts {
            match part {
                Part::Children(sums) => push_children(&mut out, sums),
                Part::Items(items) => push_items(&mut out, items),
            }
        }
        out
    }

    fn example() -> Vec<Part> {
        let item = |key_hash, digest| Item { key_hash, digest };
        let mut sums = vec![Sum::default(); 16];
        sums[0] = Sum { digest: 1, count: 127 };
        sums[15] = Sum {
            digest: u128::MAX,
            count: u64::MAX,
        };
        vec![
            Part::Items(vec![item(1, 9), item(1, 10), item(2, 0)]),
            Part::Children(sums),
            Part::Items(vec![]),
        ]
    }

    #[test]
    fn what_is_no_message_is_refused_by_name() {
        assert_eq!(question(&[]), Err(BadMessage::Short));
        assert_eq!(question(&[2]), Err(BadMessage::Version(2)));
        assert_eq!(question(&[1, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(BadMessage::Prefix));
        assert_eq!(question(&[1, 1, 0xab]), Err(BadMessage::Prefix));
        assert_eq!(question(&[1, 3, 0xab]), Err(BadMessage::Short));
        assert_eq!(decode_answer(&[3]), Err(BadMessage::Version(3)));
        assert_eq!(decode_answer(&[1, 2]), Err(BadMessage::Kind(2)));
        assert_eq!(decode_answer(&[1, 1, 1, 0]), Err(BadMessage::Short));
        assert_eq!(
            decode_answer(&[1, 1, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Err(BadMessage::Short)
        );
        assert_eq!(decode_answer(&[1, 1, 0x80, 0]), Err(BadMessage::Count));
        assert_eq!(
            decode_answer(&[&[1, 1][..], &[0xff; 9], &[2]].concat()),
            Err(BadMessage::Count)
        );
        assert_eq!(
            decode_answer(&[&[1, 1][..], &[0xff; 10]].concat()),
            Err(BadMessage::Count)
        );
        assert_eq!(
            decode_answer(&[&[1, 0, 0, 1][..], &[7; 16], &[0]].concat()),
            Err(BadMessage::Empty)
        );
        let twice = [&[1, 1, 2][..], &[5; 24], &[5; 24]].concat();
        assert_eq!(decode_answer(&twice), Err(BadMessage::Order));
    }

    #[test]
    fn every_cut_is_seen_unless_it_is_between_two_parts() {
        let bytes = answer(&example());
        let ends: Vec<_> = (0..=bytes.len())
            .filter(|end| decode_answer(&bytes[..*end]).is_ok())
            .collect();
        assert_eq!(ends, [1, 75, 121, 123]);
    }

    #[test]
    fn the_layout_is_frozen() {
        // Nodes of different builds walk with each other: a change here needs a new version and a reader for the old.
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let prefixes = [
            Prefix::ROOT,
            Prefix::of(0xabcd << 48, 3),
            Prefix::of(0x0123_4567_89ab_cdef, 16),
        ];
        assert_eq!(hex(&encode_question(&prefixes)), "010003abc0100123456789abcdef");
        assert_eq!(hex(&answer(&example())), FROZEN);
    }

    const FROZEN: &str = "0101030000000000000001000000000000000000000000000000090000000000000001000000000000000000000000000000\
        0a000000000000000200000000000000000000000000000000008001000000000000000000000000000000017fffffffffff\
        ffffffffffffffffffffffffffffffffffffffff010100";

    proptest! {
        #[test]
        fn questions_come_back(prefixes in proptest::collection::vec((any::<u64>(), 0..=NIBBLES), 0..20)) {
            let prefixes: Vec<_> = prefixes.into_iter().map(|(hash, len)| Prefix::of(hash, len)).collect();
            let bytes = encode_question(&prefixes);
            prop_assert!(bytes.len() <= 1 + prefixes.len() * PREFIX_BYTES);
            prop_assert_eq!(question(&bytes), Ok(prefixes));
        }

        #[test]
        fn answers_come_back(counts in proptest::collection::vec(any::<u64>().prop_map(|n| n >> (n % 64)), 16), items in proptest::collection::btree_set((any::<u64>(), any::<u128>()), 0..9)) {
            let sum = |count| match count {
                0 => Sum::default(),
                _ => Sum { digest: u128::from(count) << 64 | 5, count },
            };
            let items = items.into_iter().map(|(key_hash, digest)| Item { key_hash, digest }).collect();
            let parts = vec![Part::Children(counts.into_iter().map(sum).collect()), Part::Items(items)];
            prop_assert_eq!(decode_answer(&answer(&parts)), Ok(parts));
        }

        #[test]
        fn whatever_bytes_are_read_are_the_bytes_that_would_be_written(bytes in proptest::collection::vec(0u8..4, 0..80)) {
            let bytes = [&[1][..], &bytes].concat();
            if let Ok(prefixes) = question(&bytes) {
                prop_assert_eq!(encode_question(&prefixes), bytes.clone());
            }
            if let Ok(parts) = decode_answer(&bytes) {
                prop_assert_eq!(answer(&parts), bytes);
            }
        }
    }
}
