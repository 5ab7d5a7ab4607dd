//! Merging one replica's whole state into another's: two runs of rows in the same order, side by side.
//!
//! The bound is the merge of two sorted vectors of keys and times, which decides by time and moves nothing but what is newer.

use std::hint::black_box;

use kernel::crdt::LwwMap;

use crate::lww_merge::{Write, keys, new_map, writes};
use crate::row::Row;
use crate::timer::measure;
use crate::{Load, Rows};

const BENCH: &str = "lww-sorted";

fn filled(writes: &[Write]) -> LwwMap {
    let mut map = new_map();
    for write in writes {
        map.merge(&write.key, &write.version());
    }
    map
}

/// Merges `theirs` into `ours`.
fn merge(subject: &'static str, mut ours: LwwMap, theirs: &LwwMap, what: &str) -> Result<Row, &'static str> {
    let spent = measure(&mut ours, |ours| ours.merge_map(theirs));
    let differ = theirs.iter().filter(|row| ours.get(row.key) != Some(row.version));
    if differ.count() > 0 {
        return Err("the merged map lacks a row");
    }
    let note = format!("{} rows, {what}; digest kept", theirs.len());
    Ok(Row::of_thread((BENCH, subject), theirs.len(), spent, 0, note))
}

type Sorted<'w> = Vec<(&'w [u8], u64, &'w [u8])>;

fn sorted(writes: &[Write]) -> Sorted<'_> {
    let mut rows: Sorted<'_> = writes
        .iter()
        .map(|write| (&write.key[..], write.ms, &write.value[..]))
        .collect();
    rows.sort_unstable();
    rows
}

fn merge_vectors<'w>(ours: &mut Sorted<'w>, theirs: &Sorted<'w>) {
    let mut at = 0;
    for row in theirs {
        while ours.get(at).is_some_and(|held| held.0 < row.0) {
            at += 1;
        }
        if let Some(held) = ours.get_mut(at).filter(|held| held.0 == row.0 && held.1 < row.1) {
            *held = *row;
        }
    }
    black_box(ours);
}

pub(crate) fn run(load: &Load) -> Rows {
    let count = keys(load);
    let base = writes(count, 0);
    // The same keys; some are newer.
    let differing = |one_in: usize| {
        let mut writes = writes(count, 0);
        writes
            .iter_mut()
            .step_by(one_in)
            .for_each(|write| write.ms += 2_000_000);
        writes
    };
    let (few, some) = (differing(1_000), differing(100));
    let newer = writes(count, 2_000_000);
    let ours = filled(&base);
    let rows = [
        merge("orrery", ours.clone(), &filled(&few), "one in a thousand newer")?,
        merge("orrery-1%", ours.clone(), &filled(&some), "one in a hundred newer")?,
        merge("orrery-newer", ours.clone(), &filled(&newer), "all newer")?,
        merge("orrery-fresh", new_map(), &ours, "into an empty map")?,
    ];
    drop(ours);
    let (mut ours, theirs) = (sorted(&base), sorted(&few));
    let spent = measure(&mut ours, |ours| merge_vectors(ours, &theirs));
    let note = format!("{count} rows, one in a thousand newer; no digest, and no look-up afterwards but a search");
    let bound = Row::of_thread((BENCH, "sorted-vectors"), count, spent, 0, note);
    Ok(rows.into_iter().chain([bound]).collect())
}
