//! Deltas and states as bytes. Each has one encoding only, so equal deltas are equal bytes.
//!
//! ```text
//! delta   = version (1) · floor (8) · writers · keys
//! writers = number · { birth (16) · number of ranges · { numbers left out before it · its numbers - 1 } }   ascending by birth
//! keys    = number · { length · key · number of elements · elements }                                     ascending by key
//! element = length · element · number of dots · { place of its writer among the writers · number }        ascending
//! ```
//!
//! Numbers and lengths are LEB128 in as few bytes as they need; floor and births are big-endian. Of numbers left out the first
//! range of a writer counts those from 1, and each later one those beyond the one that always lies between two ranges. A writer
//! at or below the floor has no ranges, and stands among the writers only for dots that are live.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Added, Delta};
use crate::crdt::dot::is_at_or_below;
use crate::crdt::{Context, Dot};
use crate::env::Limits;
use crate::hlc::Stamp;
use crate::msgpack;

const VERSION: u8 = 1;

/// Why bytes are not a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDelta {
    /// Written by another version.
    #[error("version {found} of the delta's encoding is not known")]
    Version {
        /// What it says.
        found: u8,
    },
    /// The bytes end within it.
    #[error("the delta is cut short")]
    Short,
    /// A number is over 64 bits, or written in more bytes than it needs; or a count is 0 where there must be one.
    #[error("a number of the delta is not written as it must be")]
    Number,
    /// Writers, keys, elements or dots are not in order, or there twice.
    #[error("the delta is out of order")]
    Order,
    /// A birth is beyond what a stamp may carry.
    #[error("a birth of the delta is out of range")]
    Birth,
    /// A writer is there for nothing, or has ranges at or below the floor.
    #[error("a writer of the delta is not needed")]
    Writer,
    /// It adds under a dot that it does not cover.
    #[error("the delta adds what it does not cover")]
    Uncovered,
    /// It adds two elements under one dot.
    #[error("the delta adds twice under one dot")]
    DotTwice,
    /// A key is longer than the limit.
    #[error("a key of the delta is over {limit} bytes")]
    KeyTooLong {
        /// The limit.
        limit: usize,
    },
    /// An element is longer than the limit.
    #[error("an element of the delta is over {limit} bytes")]
    ElementTooLong {
        /// The limit.
        limit: usize,
    },
    /// An element is not one MessagePack value.
    #[error("an element of the delta is not valid MessagePack: {0}")]
    Element(msgpack::Error),
    /// More follows.
    #[error("bytes follow after the delta")]
    Trailing,
}

impl Delta {
    /// The delta as bytes. Its size and the time it takes are linear in what it holds.
    pub fn encode(&self) -> Vec<u8> {
        let births = self.births();
        let mut out = Vec::new();
        out.push(VERSION);
        put_writers(&mut out, &self.covered, &births);
        put(&mut out, self.added.chunk_by(|a, b| a.key == b.key).count() as u64);
        for key in self.added.chunk_by(|a, b| a.key == b.key) {
            put_bytes(&mut out, &key[0].key);
            put(&mut out, key.chunk_by(|a, b| a.element == b.element).count() as u64);
            for element in key.chunk_by(|a, b| a.element == b.element) {
                put_bytes(&mut out, &element[0].element);
                put(&mut out, element.len() as u64);
                for Added { dot, .. } in element {
                    let writer = births.binary_search(&dot.birth);
                    put(&mut out, writer.expect("every birth is listed") as u64);
                    put(&mut out, dot.number);
                }
            }
        }
        out
    }

    /// All births that it names, ascending.
    fn births(&self) -> Vec<Stamp> {
        let mut births: Vec<_> = self.covered.ranges().map(|(birth, ..)| birth).collect();
        births.dedup();
        let floor = self.floor();
        let below = self.added.iter().map(|added| added.dot.birth);
        let below: BTreeSet<_> = below.filter(|birth| is_at_or_below(*birth, floor)).collect();
        births.splice(..0, below);
        births
    }

    /// Reads a delta that somebody else wrote. What it keeps is copied: the bytes are not held on to. It takes no memory for a
    /// length that is only claimed, and in all no more than a small multiple of the bytes.
    ///
    /// # Errors
    /// [`BadDelta`], whatever the bytes are.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, BadDelta> {
        let mut input = Input(bytes);
        match input.take(1)? {
            [VERSION] => {}
            other => return Err(BadDelta::Version { found: other[0] }),
        }
        let (covered, births) = input.writers()?;
        let mut added: Vec<Added> = Vec::new();
        for _ in 0..input.number()? {
            let key: Arc<[u8]> = match input.bytes()? {
                key if key.len() > limits.key_bytes => {
                    return Err(BadDelta::KeyTooLong {
                        limit: limits.key_bytes,
                    });
                }
                key => key.into(),
            };
            if added.last().is_some_and(|before| before.key >= key) {
                return Err(BadDelta::Order);
            }
            let begin = added.len();
            for _ in 0..input.count()? {
                let element = input.element(limits)?;
                if added[begin..].last().is_some_and(|before| before.element >= element) {
                    return Err(BadDelta::Order);
                }
                let begin = added.len();
                for _ in 0..input.count()? {
                    let dot = input.dot(&births)?;
                    if !covered.contains(dot) {
                        return Err(BadDelta::Uncovered);
                    }
                    if added[begin..].last().is_some_and(|before| before.dot >= dot) {
                        return Err(BadDelta::Order);
                    }
                    let (key, element) = (key.clone(), element.clone());
                    added.push(Added { key, element, dot });
                }
            }
        }
        if !input.0.is_empty() {
            return Err(BadDelta::Trailing);
        }
        let mut dots: Vec<_> = added.iter().map(|added| added.dot).collect();
        dots.sort_unstable();
        if dots.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(BadDelta::DotTwice);
        }
        let below = births
            .iter()
            .take_while(|birth| is_at_or_below(**birth, covered.floor()));
        let live = dots.chunk_by(|a, b| a.birth == b.birth).map(|dots| &dots[0].birth);
        if !below.eq(live.take_while(|birth| is_at_or_below(**birth, covered.floor()))) {
            return Err(BadDelta::Writer);
        }
        Ok(Self { added, covered })
    }
}

/// A context as bytes: the part of a delta that says what is covered.
pub(super) fn encode_context(context: &Context) -> Vec<u8> {
    let mut births: Vec<_> = context.ranges().map(|(birth, ..)| birth).collect();
    births.dedup();
    let mut out = Vec::new();
    put_writers(&mut out, context, &births);
    out
}

/// Writes a number in groups of seven bits, the lowest first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_writers(out: &mut Vec<u8>, covered: &Context, births: &[Stamp]) {
    out.extend_from_slice(&covered.floor().to_be_bytes());
    put(out, births.len() as u64);
    let mut ranges = covered.ranges().peekable();
    let mut own = Vec::new();
    for birth in births {
        own.clear();
        while let Some((_, first, last)) = ranges.next_if(|(other, ..)| other == birth) {
            own.push((first, last));
        }
        out.extend_from_slice(&birth.to_bytes());
        put(out, own.len() as u64);
        let mut least = 1;
        for (first, last) in &own {
            put(out, first - least);
            put(out, last - first);
            // Beyond the last number there is no further range to say it for.
            least = last.saturating_add(2);
        }
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], BadDelta> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BadDelta::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadDelta> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BadDelta::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u64, BadDelta> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(BadDelta::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BadDelta::Number)
    }

    /// How many follow, where there must be one.
    fn count(&mut self) -> Result<u64, BadDelta> {
        match self.number()? {
            0 => Err(BadDelta::Number),
            count => Ok(count),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], BadDelta> {
        let len = usize::try_from(self.number()?).map_err(|_| BadDelta::Short)?;
        self.take(len)
    }

    fn element(&mut self, limits: &Limits) -> Result<Arc<[u8]>, BadDelta> {
        let element = self.bytes()?;
        if element.len() > limits.value_bytes {
            return Err(BadDelta::ElementTooLong {
                limit: limits.value_bytes,
            });
        }
        msgpack::validate(element, limits.depth).map_err(BadDelta::Element)?;
        Ok(element.into())
    }

    fn dot(&mut self, births: &[Stamp]) -> Result<Dot, BadDelta> {
        let writer = usize::try_from(self.number()?).map_err(|_| BadDelta::Uncovered)?;
        let birth = *births.get(writer).ok_or(BadDelta::Uncovered)?;
        let number = self.count()?;
        Ok(Dot { birth, number })
    }

    /// The dots covered, and all births.
    fn writers(&mut self) -> Result<(Context, Vec<Stamp>), BadDelta> {
        let mut covered = Context::new();
        covered.fold(u64::from_be_bytes(self.array()?));
        let mut births: Vec<Stamp> = Vec::new();
        for _ in 0..self.number()? {
            let birth = Stamp::from_bytes(self.array()?);
            if !birth.is_writable() {
                return Err(BadDelta::Birth);
            }
            if births.last().is_some_and(|before| *before >= birth) {
                return Err(BadDelta::Order);
            }
            births.push(birth);
            let ranges = self.number()?;
            // Either its numbers are below the floor, or it has some.
            if (ranges == 0) != is_at_or_below(birth, covered.floor()) {
                return Err(BadDelta::Writer);
            }
            let mut least = Some(1u64);
            for _ in 0..ranges {
                let (skipped, more) = (self.number()?, self.number()?);
                let first = least.and_then(|least| least.checked_add(skipped));
                let first = first.ok_or(BadDelta::Number)?;
                let last = first.checked_add(more).ok_or(BadDelta::Number)?;
                covered.insert_range(birth, first..=last);
                least = last.checked_add(2);
            }
        }
        Ok((covered, births))
    }
}
