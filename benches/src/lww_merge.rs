//! Merging versions into the kernel's last-writer-wins map.
//!
//! The bounds are maps of the standard library that take the same keys and bytes and decide nothing. What lies between is
//! the price of deciding: reading the held version, comparing, and keeping the digest.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use kernel::crdt::{DigestKey, Foreseen, LwwMap, Version};
use kernel::env::{Mutants, SeededRng, WriterId};
use kernel::hlc::Stamp;
use rustix::time::{ClockId, clock_gettime};

use crate::memory::{of_subject, resident};
use crate::row::Row;
use crate::{Load, Rows};

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

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Times `work` on what `subject_of` is.
pub(crate) fn measure<T>(
    (bench, subject): (&'static str, &'static str),
    ops: usize,
    subject_of: &mut T,
    work: impl FnOnce(&mut T),
) -> Row {
    let (start, start_cpu) = (Instant::now(), cpu_time());
    work(subject_of);
    let (wall, cpu) = (start.elapsed(), cpu_time() - start_cpu);
    black_box(subject_of);
    Row {
        bench,
        subject,
        ops: ops as u64,
        cpu,
        wall,
        bytes: 0,
        note: String::new(),
    }
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
pub(crate) fn resident_growth(subject: &str, load: &Load) -> Result<u64, Box<dyn Error>> {
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
    let mut fresh = measure((BENCH, "orrery"), count, &mut map, |map| merge_all(map, &all));
    map = new_map();
    let mut single = measure((BENCH, "orrery-single"), count, &mut map, |map| merge_each(map, &all));
    single.note = "new keys, one after the other".into();
    let mut updated = measure((BENCH, "orrery-newer"), count, &mut map, |map| merge_all(map, &newer));
    updated.note = "a newer version of each key, 16 foreseen at a time".into();
    let mut again = measure((BENCH, "orrery-again"), count, &mut map, |map| merge_all(map, &newer));
    again.note = "the same versions once more, 16 foreseen at a time".into();
    drop(map);
    let mut map = HashMap::new();
    let mut hashed = measure((BENCH, "HashMap"), count, &mut map, |map| insert_hashed(map, &all));
    drop(map);
    let mut map = BTreeMap::new();
    let mut ordered = measure((BENCH, "BTreeMap"), count, &mut map, |map| insert_ordered(map, &all));
    drop(map);

    for (row, what) in [
        (&mut fresh, "merge of new keys, 16 foreseen at a time, digest kept"),
        (&mut hashed, "insert; no time, no digest"),
        (&mut ordered, "insert; no time, no digest"),
    ] {
        row.bytes = of_subject(row.subject, load.quick)?;
        let data = count * (KEY_BYTES + VALUE_BYTES);
        let above = row.bytes.saturating_sub(data as u64) as f64 / count as f64;
        row.note = format!("{what}; {above:.1} bytes a key above key and value");
    }
    let mut rows = vec![fresh, single, updated, again, hashed, ordered];
    #[cfg(feature = "peers")]
    rows.extend(crate::peers::run(load)?);
    #[cfg(not(feature = "peers"))]
    rows.shrink_to_fit();
    Ok(rows)
}
