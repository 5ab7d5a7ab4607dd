mod encoding;
mod histories;
mod laws;
mod stories;

use super::*;
use crate::crdt::DigestKey;
use crate::env::{Limits, WriterId};

fn key() -> DigestKey {
    DigestKey::new([1; 16])
}

/// The birth of the only writer of a millisecond.
fn born(ms: u64) -> Stamp {
    Stamp::new(ms, 0, WriterId(ms)).unwrap()
}

/// A floor that holds everything up to the end of a millisecond.
fn up_to(ms: u64) -> u64 {
    ms << 16 | 0xffff
}

/// What a replica would make of the counter that it is sent.
fn sent(counter: &PnCounter) -> PnCounter {
    PnCounter::decode(&counter.encode(), &Limits::default()).unwrap()
}

fn sent_delta(delta: &Delta) -> Delta {
    Delta::decode(&delta.encode(), &Limits::default()).unwrap()
}

/// `a` and `b`, merged.
fn joined(a: &PnCounter, b: &PnCounter) -> PnCounter {
    let mut joined = a.clone();
    joined.merge_state(&sent(b));
    joined
}
