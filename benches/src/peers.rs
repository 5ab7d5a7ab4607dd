//! The same sets by libraries for collaborative documents. They keep the history of every change and of every writer, can
//! say what a document was at any time, and merge texts and lists; the kernel's map keeps the winning version and no more. What
//! is compared is the price of a set, not the worth of a library.

use std::error::Error;

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjType, ROOT, ScalarValue};
use loro::LoroDoc;
use yrs::{Any, Doc, Map as _, Transact as _};

use crate::lww_merge::{BENCH, Write, measure, merge_all, new_map, writes};
use crate::row::Row;
use crate::{Load, Rows};

const SETS: usize = 100_000;

fn named(writes: &[Write]) -> Vec<(String, &Write)> {
    let name = |write: &Write| write.key.iter().map(|byte| format!("{byte:02x}")).collect();
    writes.iter().map(|write| (name(write), write)).collect()
}

fn by_yrs(sets: &[(String, &Write)]) -> Row {
    let mut doc = Doc::new();
    let map = doc.get_or_insert_map("m");
    measure((BENCH, "yrs"), sets.len(), &mut doc, |doc| {
        let mut transaction = doc.transact_mut();
        for (name, write) in sets {
            map.insert(&mut transaction, name.as_str(), Any::from(write.value.to_vec()));
        }
    })
}

fn by_loro(sets: &[(String, &Write)]) -> Result<Row, Box<dyn Error>> {
    let mut doc = LoroDoc::new();
    let mut failed = None;
    let row = measure((BENCH, "loro"), sets.len(), &mut doc, |doc| {
        let map = doc.get_map("m");
        for (name, write) in sets {
            failed = failed.take().or(map.insert(name, write.value.to_vec()).err());
        }
        doc.commit();
    });
    failed.map_or(Ok(row), |error| Err(error.into()))
}

fn by_automerge(sets: &[(String, &Write)]) -> Result<Row, Box<dyn Error>> {
    let mut doc = AutoCommit::new();
    let map = doc.put_object(ROOT, "m", ObjType::Map)?;
    let mut failed = None;
    let row = measure((BENCH, "automerge"), sets.len(), &mut doc, |doc| {
        for (name, write) in sets {
            let put = doc.put(&map, name.as_str(), ScalarValue::Bytes(write.value.to_vec()));
            failed = failed.take().or(put.err());
        }
        doc.commit();
    });
    failed.map_or(Ok(row), |error| Err(error.into()))
}

/// The rows of the others, and ours of as many sets.
pub(crate) fn run(load: &Load) -> Rows {
    let writes = writes(if load.quick { SETS / 10 } else { SETS }, 0);
    let sets = named(&writes);
    let mut ours = measure((BENCH, "orrery-100k"), sets.len(), &mut new_map(), |map| {
        merge_all(map, &writes)
    });
    ours.note = format!(
        "{} sets; keeps the winning version of each key, and a digest",
        sets.len()
    );
    let mut rows = vec![by_yrs(&sets), by_loro(&sets)?, by_automerge(&sets)?];
    for row in &mut rows {
        row.note = format!(
            "{} sets in one transaction; keeps the history of all changes",
            sets.len()
        );
    }
    rows.insert(0, ours);
    Ok(rows)
}
