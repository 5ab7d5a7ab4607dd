//! Merging versions into the kernel's last-writer-wins map.
//!
//! The bounds are maps of the standard library that take the same keys and bytes and decide nothing. What lies between is
//! the price of deciding: reading the held version, comparing, and keeping the digest.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;

use kernel::crdt::{DigestKey, Foreseen, LwwMap, Version};
use kernel::env::{Mutants, SeededRng, WriterId};
use kernel::hlc::Stamp;

use crate::memory::{of_subject, resident};
use crate::row::Row;
use crate::timer::measure;
use crate::{Failure, Load, Rows};

pub(crate) const BENCH: &str = "lww-merge";
const KEYS: usize = 1_000_000;
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 64;
const WRITER: &str = "client-7";

/// One write: a key of 16 bytes, a time, and a value of 64 bytes of MessagePack.
pub(crate) struct Write {
    pub key: [u8; KEY_BYTES],
    pub ms: u64,
    pub value: [u8; VALUE_BYTES],
}

impl Write {
    pub fn version(&self) -> Version<'_> {
        let stamp = Stamp::new(1_700_000_000_000 + self.ms, 0, WriterId(7));
        Version::new(stamp.unwrap_or_default(), WRITER, Some(&self.value))
    }
}

/// How many keys a bench has.
pub(crate) fn keys(load: &Load) -> usize {
    if load.quick { KEYS / 10 } else { KEYS }
}

/// So many writes of different keys, in random order.
pub(crate) fn writes(count: usize, ms: u64) -> Vec<Write> {
    let mut rng = SeededRng::from_u64(1);
    let write = |number: usize| {
        let mut key = [0; KEY_BYTES];
        rng.fill(&mut key);
        let mut value = [0; VALUE_BYTES];
        rng.fill(&mut value);
        value[..2].copy_from_slice(&[0xc4, VALUE_BYTES as u8 - 2]);
        Write {
            key,
            ms: ms + number as u64,
            value,
        }
    };
    (0..count).map(write).collect()
}

pub(crate) fn new_map() -> LwwMap {
    LwwMap::new(DigestKey::new([7; 16]), Mutants::default())
}

/// A row of what `work` on `subject` takes.
fn row<T>(name: &'static str, note: &str, ops: usize, subject: &mut T, work: impl FnOnce(&mut T)) -> Row {
    Row::of_thread((BENCH, name), ops, measure(subject, work), 0, note.into())
}

pub(crate) fn merge_all(map: &mut LwwMap, writes: &[Write]) {
    for group in writes.chunks(Foreseen::GROUP) {
        let mut foreseen = [None; Foreseen::GROUP];
        for (foreseen, write) in foreseen.iter_mut().zip(group) {
            *foreseen = Some(map.foresee(&write.key));
        }
        foreseen.into_iter().flatten().for_each(Foreseen::touch);
        for write in group {
            black_box(map.merge(&write.key, &write.version()));
        }
    }
}

fn merge_each(map: &mut LwwMap, writes: &[Write]) {
    for write in writes {
        black_box(map.merge(&write.key, &write.version()));
    }
}

fn insert_hashed(map: &mut HashMap<Vec<u8>, Vec<u8>>, writes: &[Write]) {
    for write in writes {
        black_box(map.insert(write.key.to_vec(), write.value.to_vec()));
    }
}

fn insert_ordered(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, writes: &[Write]) {
    for write in writes {
        black_box(map.insert(write.key.to_vec(), write.value.to_vec()));
    }
}

/// Makes one subject, and says by how much the process has grown.
pub(crate) fn resident_growth(subject: &str, load: &Load) -> Result<u64, Failure> {
    let all = writes(keys(load), 0);
    let before = resident()?;
    let (mut map, mut hashed, mut ordered) = (new_map(), HashMap::new(), BTreeMap::new());
    match subject {
        "orrery" => merge_all(&mut map, &all),
        "HashMap" => insert_hashed(&mut hashed, &all),
        "BTreeMap" => insert_ordered(&mut ordered, &all),
        _ => return Err(format!("there is no subject {subject:?}").into()),
    }
    let after = resident()?;
    black_box((map, hashed, ordered));
    Ok(after.saturating_sub(before))
}

pub(crate) fn run(load: &Load) -> Rows {
    let count = keys(load);
    let (all, newer) = (writes(count, 0), writes(count, KEYS as u64));

    let mut map = new_map();
    let what = "merge of new keys, 16 foreseen at a time, digest kept";
    let mut fresh = row("orrery", what, count, &mut map, |map| merge_all(map, &all));
    map = new_map();
    let what = "new keys, one after the other";
    let single = row("orrery-single", what, count, &mut map, |map| merge_each(map, &all));
    let what = "a newer version of each key, 16 foreseen at a time";
    let updated = row("orrery-newer", what, count, &mut map, |map| merge_all(map, &newer));
    let what = "the same versions once more, 16 foreseen at a time";
    let again = row("orrery-again", what, count, &mut map, |map| merge_all(map, &newer));
    drop(map);
    let what = "insert; no time, no digest";
    let mut hashed = row("HashMap", what, count, &mut HashMap::new(), |map| {
        insert_hashed(map, &all)
    });
    let mut ordered = row("BTreeMap", what, count, &mut BTreeMap::new(), |map| {
        insert_ordered(map, &all)
    });
    for row in [&mut fresh, &mut hashed, &mut ordered] {
        row.bytes = of_subject(row.subject, load.quick)?;
        let data = count * (KEY_BYTES + VALUE_BYTES);
        let above = row.bytes.saturating_sub(data as u64) as f64 / count as f64;
        row.note = format!("{}; {above:.1} bytes a key above key and value", row.note);
    }
    let mut rows = vec![fresh, single, updated, again, hashed, ordered];
    #[cfg(feature = "peers")]
    rows.extend(crate::peers::run(load)?);
    #[cfg(not(feature = "peers"))]
    rows.shrink_to_fit();
    Ok(rows)
}
