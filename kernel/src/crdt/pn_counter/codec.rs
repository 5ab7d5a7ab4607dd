//! Counters and their deltas as bytes, one encoding for each content:
//!
//! - state: `version (1) · 's' (1) · floor (8) · positive (16) · negative (16) · slots`
//! - delta: `version (1) · 'd' (1) · slots`
//! - slots: `count (4) · { birth (16) · positive (8) · negative (8) }`, births ascending
//!
//! Numbers are big-endian.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

use super::{Base, Delta, PnCounter, Slot, Sum};
use crate::crdt::DigestKey;
use crate::crdt::floor::{FLOOR_MAX, is_at_or_below};
use crate::env::Limits;
use crate::hlc::Stamp;

const VERSION: u8 = 1;
const STATE: u8 = b's';
const DELTA: u8 = b'd';
const HEAD_BYTES: usize = 2;
const BASE_BYTES: usize = 8 + 16 + 16;
const COUNT_BYTES: usize = 4;
const SLOT_BYTES: usize = 16 + 8 + 8;

/// Why bytes are not a counter, or not a delta of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCounter {
    /// Longer than the limit of a value.
    #[error("the counter is over {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Shorter or longer than its own header says.
    #[error("the counter is cut short or followed by something else")]
    Length,
    /// Of a version that this kernel does not know.
    #[error("version {found} of a counter is not known")]
    Version {
        /// The version.
        found: u8,
    },
    /// A delta where a state should be, or the other way round, or neither.
    #[error("a counter's state where its delta should be, or the other way round")]
    Kind,
    /// The floor is out of range, or has a base although it is 0.
    #[error("the counter's floor is out of range")]
    Floor,
    /// A birth is out of range, or at or below the floor.
    #[error("the birth of a slot is out of range")]
    Birth,
    /// Births do not ascend.
    #[error("the slots are out of order")]
    Order,
    /// A slot has counted nothing.
    #[error("a slot is empty")]
    EmptySlot,
}

impl PnCounter {
    /// The one encoding of this state.
    ///
    /// # Panics
    /// If it has 2^32 slots.
    pub fn encode(&self) -> Bytes {
        let mut out = begin(STATE, BASE_BYTES, self.slots.len());
        out.extend_from_slice(&self.base.floor.to_be_bytes());
        out.extend_from_slice(&self.base.sum.positive.to_be_bytes());
        out.extend_from_slice(&self.base.sum.negative.to_be_bytes());
        put_slots(&mut out, &self.slots);
        out.into()
    }

    /// Reads a state of at most `Limits::value_bytes`.
    ///
    /// # Errors
    /// [`BadCounter`], whatever the bytes are.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, BadCounter> {
        let mut rest = Rest::begin(bytes, STATE, limits)?;
        let base = Base {
            floor: u64::from_be_bytes(rest.array()?),
            sum: Sum {
                positive: u128::from_be_bytes(rest.array()?),
                negative: u128::from_be_bytes(rest.array()?),
            },
        };
        if base.floor > FLOOR_MAX || (base.floor == 0 && base.sum != Sum::default()) {
            return Err(BadCounter::Floor);
        }
        let slots = rest.slots(base.floor)?;
        let sum = slots.values().fold(Sum::default(), |sum, slot| sum.plus_slot(*slot));
        Ok(Self { base, slots, sum })
    }

    /// The digest of the canonical content: base, floor and slots. Replicas that have folded to different floors differ
    /// until the lower one folds or takes the other's state.
    pub fn digest(&self, key: &DigestKey) -> u128 {
        key.digest(&self.encode())
    }
}

impl Delta {
    /// The one encoding of this delta.
    ///
    /// # Panics
    /// If it has 2^32 slots.
    pub fn encode(&self) -> Bytes {
        let mut out = begin(DELTA, 0, self.slots().len());
        put_slots(&mut out, self.slots());
        out.into()
    }

    /// Reads a delta of at most `Limits::value_bytes`.
    ///
    /// # Errors
    /// [`BadCounter`], whatever the bytes are.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, BadCounter> {
        let mut rest = Rest::begin(bytes, DELTA, limits)?;
        Ok(Self::from_slots(rest.slots(0)?))
    }
}

fn begin(kind: u8, base_bytes: usize, slots: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + base_bytes + COUNT_BYTES + SLOT_BYTES * slots);
    out.extend_from_slice(&[VERSION, kind]);
    out
}

fn put_slots(out: &mut Vec<u8>, slots: &BTreeMap<Stamp, Slot>) {
    let count = u32::try_from(slots.len()).expect("slots are bounded by the writers of a horizon");
    out.extend_from_slice(&count.to_be_bytes());
    for (birth, slot) in slots {
        out.extend_from_slice(&birth.to_bytes());
        out.extend_from_slice(&slot.positive.to_be_bytes());
        out.extend_from_slice(&slot.negative.to_be_bytes());
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn begin(bytes: &'a [u8], kind: u8, limits: &Limits) -> Result<Self, BadCounter> {
        if bytes.len() > limits.value_bytes {
            return Err(BadCounter::TooLong {
                limit: limits.value_bytes,
            });
        }
        let mut rest = Self(bytes);
        match rest.array()? {
            [VERSION, found] if found == kind => Ok(rest),
            [VERSION, _] => Err(BadCounter::Kind),
            [found, _] => Err(BadCounter::Version { found }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadCounter> {
        let (head, rest) = self.0.split_first_chunk().ok_or(BadCounter::Length)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The slots, which end the bytes.
    fn slots(&mut self, floor: u64) -> Result<BTreeMap<Stamp, Slot>, BadCounter> {
        let count = u32::from_be_bytes(self.array()?) as usize;
        if Some(self.0.len()) != count.checked_mul(SLOT_BYTES) {
            return Err(BadCounter::Length);
        }
        let mut slots = BTreeMap::new();
        for _ in 0..count {
            let birth = Stamp::from_bytes(self.array()?);
            let slot = Slot {
                positive: u64::from_be_bytes(self.array()?),
                negative: u64::from_be_bytes(self.array()?),
            };
            if !birth.is_writable() || is_at_or_below(birth, floor) {
                return Err(BadCounter::Birth);
            }
            if slot.is_empty() {
                return Err(BadCounter::EmptySlot);
            }
            if slots.last_key_value().is_some_and(|(last, _)| *last >= birth) {
                return Err(BadCounter::Order);
            }
            slots.insert(birth, slot);
        }
        Ok(slots)
    }
}
