//! The map as a whole, by what it promises.

mod encoding;
mod laws;
mod model;
mod stories;

use alloc::vec::Vec;

use super::*;
use crate::crdt::DotSource;
use crate::env::{Limits, WriterId};
use crate::hlc::Stamp;

fn key() -> DigestKey {
    DigestKey::new([7; 16])
}

fn empty() -> OrMap {
    OrMap::new(&key())
}

fn stamp(ms: u64, writer: u64) -> Stamp {
    Stamp::new(ms, 0, WriterId(writer)).unwrap()
}

/// The floor at which all that was born up to this millisecond is below it.
fn floor(ms: u64) -> u64 {
    stamp(ms, 0).time()
}

/// The element that is this small number, in MessagePack.
fn element(number: u8) -> [u8; 1] {
    assert!(number < 0x80, "one byte");
    [number]
}

/// As another replica gets it: through its bytes.
fn sent(delta: &Delta) -> Delta {
    let again = Delta::decode(&delta.encode(), &Limits::default()).unwrap();
    assert_eq!(again, *delta);
    again
}

fn elements(map: &OrMap, key: &[u8]) -> Vec<u8> {
    map.get(key).map(|element| element[0]).collect()
}

/// The same by content and by digest; the digests of equal states are equal, and of unequal ones are not.
fn same(a: &OrMap, b: &OrMap) -> bool {
    assert_consistent(a);
    assert_consistent(b);
    let same = a.as_delta() == b.as_delta();
    assert_eq!(a.digest() == b.digest(), same);
    same
}

/// What is kept beside the rows agrees with them.
fn assert_consistent(map: &OrMap) {
    let state = map.as_delta();
    assert!(state.added().is_sorted_by(|a, b| a < b));
    let mut anew = empty();
    anew.merge(&state);
    assert_eq!((anew.digest(), anew.held()), (map.digest(), map.held()));
    let keys: Vec<_> = map.iter_after(None).map(|(key, _)| key).collect();
    let elements: Vec<_> = keys.iter().flat_map(|key| map.get(key).map(|e| (*key, e))).collect();
    let counted: Vec<_> = state
        .added()
        .chunk_by(|a, b| (&a.key, &a.element) == (&b.key, &b.element))
        .collect();
    assert!(
        elements
            .iter()
            .copied()
            .eq(counted.iter().map(|rows| (&*rows[0].key, &*rows[0].element)))
    );
    let bytes: usize = keys.iter().map(|key| key.len()).sum();
    let rows: usize = state.added().iter().map(|row| row.element.len() + 24).sum();
    let held = Held {
        keys: keys.len() as u64,
        elements: elements.len() as u64,
        dots: state.added().len() as u64,
        ranges: map.context().len() as u64,
        bytes: (bytes + rows + 32 * map.context().len()) as u64,
    };
    assert_eq!(map.held(), held);
    assert_eq!((map.len(), map.is_empty()), (keys.len(), keys.is_empty()));
    for row in state.added() {
        assert!(map.contains(&row.key, &row.element) && map.context().contains(row.dot));
    }
}
