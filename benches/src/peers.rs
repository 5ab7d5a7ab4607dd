//! The same sets by libraries for collaborative documents. They keep the history of every change and of every writer, can
//! say what a document was at any time, and merge texts and lists; the kernel's map keeps the winning version and no more. What
//! is compared is the price of a set, not the worth of a library.

use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjType, ROOT, ScalarValue};
use loro::LoroDoc;
use yrs::{Any, Doc, Map as _, Transact as _};

use crate::lww_merge::{BENCH, Write, merge_all, new_map, writes};
use crate::row::Row;
use crate::timer::{Spent, measure};
use crate::{Failure, Load, Rows};

const SETS: usize = 100_000;

fn named(writes: &[Write]) -> Vec<(String, &Write)> {
    let name = |write: &Write| write.key.iter().map(|byte| format!("{byte:02x}")).collect();
    writes.iter().map(|write| (name(write), write)).collect()
}

fn by_yrs(sets: &[(String, &Write)]) -> Spent {
    let mut doc = Doc::new();
    let map = doc.get_or_insert_map("m");
    measure(&mut doc, |doc| {
        let mut transaction = doc.transact_mut();
        for (name, write) in sets {
            map.insert(&mut transaction, name.as_str(), Any::from(write.value.to_vec()));
        }
    })
}

fn by_loro(sets: &[(String, &Write)]) -> Result<Spent, Failure> {
    let mut doc = LoroDoc::new();
    let mut failed = None;
    let spent = measure(&mut doc, |doc| {
        let map = doc.get_map("m");
        for (name, write) in sets {
            failed = failed.take().or(map.insert(name, write.value.to_vec()).err());
        }
        doc.commit();
    });
    failed.map_or(Ok(spent), |error| Err(error.into()))
}

fn by_automerge(sets: &[(String, &Write)]) -> Result<Spent, Failure> {
    let mut doc = AutoCommit::new();
    let map = doc.put_object(ROOT, "m", ObjType::Map)?;
    let mut failed = None;
    let spent = measure(&mut doc, |doc| {
        for (name, write) in sets {
            let put = doc.put(&map, name.as_str(), ScalarValue::Bytes(write.value.to_vec()));
            failed = failed.take().or(put.err());
        }
        doc.commit();
    });
    failed.map_or(Ok(spent), |error| Err(error.into()))
}

/// The rows of the others, and ours of as many sets.
pub(crate) fn run(load: &Load) -> Rows {
    let writes = writes(if load.quick { SETS / 10 } else { SETS }, 0);
    let sets = named(&writes);
    let count = sets.len();
    let row = |subject, spent, keeps| Row::of_thread((BENCH, subject), count, spent, 0, format!("{count} sets{keeps}"));
    let history = " in one transaction; keeps the history of all changes";
    let ours = measure(&mut new_map(), |map| merge_all(map, &writes));
    Ok(vec![
        row(
            "orrery-100k",
            ours,
            "; keeps the winning version of each key, and a digest",
        ),
        row("yrs", by_yrs(&sets), history),
        row("loro", by_loro(&sets)?, history),
        row("automerge", by_automerge(&sets)?, history),
    ])
}
