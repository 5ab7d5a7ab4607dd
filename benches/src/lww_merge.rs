//! Merging versions into the kernel's last-writer-wins map.
//!
//! The bounds are maps of the standard library that take the same keys and bytes and decide nothing. What lies between is
//! the price of deciding: reading the held version, comparing, and keeping the digest.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use kernel::crdt::{LwwMap, Record};
use kernel::env::{Mutants, SeededRng, WriterId};
use kernel::hlc::Stamp;

use crate::row::Row;
use crate::{Load, Rows};

/// Keys, and how often each is written.
const KEYS: u64 = 100_000;
const VERSIONS: u64 = 5;
const VALUE_BYTES: usize = 100;

/// The same versions of the same keys for everybody, in the order in which they come.
fn versions(quick: bool) -> Result<Vec<(Bytes, Record)>, &'static str> {
    let keys = if quick { KEYS / 10 } else { KEYS };
    let mut rng = SeededRng::from_u64(1);
    let writer = WriterId::of("bench");
    let mut value = vec![0xd9, VALUE_BYTES as u8 - 2];
    value.resize(VALUE_BYTES, b'v');
    let version = |number: u64| {
        let key = Bytes::from(format!(
            "bench\0{:016x}",
            rng.below(keys).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ));
        let stamp = Stamp::new(1_700_000_000_000 + number, 0, writer).ok_or("a stamp in range")?;
        Ok((key, Record::new(stamp, "bench", Some(&value))))
    };
    (0..keys * VERSIONS).map(version).collect()
}

/// Gives each version to `put`, and says how long that took. What is put is shared and not copied, by all alike.
fn measure(
    subject: &'static str,
    versions: &[(Bytes, Record)],
    mut put: impl FnMut(&Bytes, &Record),
    len: impl FnOnce() -> usize,
) -> Row {
    let start = Instant::now();
    for (key, record) in versions {
        put(key, record);
    }
    // One thread that waits for nothing: what passes is what it takes.
    let wall = start.elapsed();
    let rows = len() as u64;
    let row_bytes = versions
        .first()
        .map_or(0, |(key, record)| key.len() + record.as_bytes().len()) as u64;
    Row {
        bench: "lww-merge",
        subject,
        ops: versions.len() as u64,
        cpu: wall,
        wall,
        bytes: rows * row_bytes,
        note: format!("{rows} keys"),
    }
}

pub(crate) fn run(load: &Load) -> Rows {
    let versions = versions(load.quick)?;
    let lww = std::cell::RefCell::new(LwwMap::new([7; 16], Mutants::default()));
    let orrery = measure(
        "orrery",
        &versions,
        |key, record| {
            black_box(lww.borrow_mut().merge(key, record.clone()));
        },
        || lww.borrow().len(),
    );
    let ordered = std::cell::RefCell::new(BTreeMap::new());
    let btree = measure(
        "BTreeMap",
        &versions,
        |key, record| {
            black_box(ordered.borrow_mut().insert(key.clone(), record.as_bytes().clone()));
        },
        || ordered.borrow().len(),
    );
    let hashed = std::cell::RefCell::new(HashMap::new());
    let hash = measure(
        "HashMap",
        &versions,
        |key, record| {
            black_box(hashed.borrow_mut().insert(key.clone(), record.as_bytes().clone()));
        },
        || hashed.borrow().len(),
    );
    Ok(vec![orrery, btree, hash])
}
