//! Keys that come and go: what is held for what was deleted.
//!
//! The floor follows the deletes at a distance of 100,000, as it follows the time at a distance of the offline horizon. What is
//! behind it is collected; what is held must not grow with the number of deletes.

use kernel::crdt::{LwwMap, Version};
use kernel::env::WriterId;
use kernel::hlc::Stamp;

use crate::lww_merge::new_map;
use crate::memory::resident;
use crate::row::Row;
use crate::timer::measure;
use crate::{Load, Rows};

const BENCH: &str = "churn";
const DELETES: u64 = 10_000_000;
const HORIZON: u64 = 100_000;
const ROWS: u64 = 5;

/// Sets and deletes keys `from..to`, each once.
fn churn(map: &mut LwwMap, from: u64, to: u64) {
    for number in from..to {
        let key = number.to_be_bytes();
        let stamp = |ms| Stamp::new(ms, 0, WriterId(7)).unwrap_or_default();
        map.merge(
            &key,
            &Version::new(stamp(2 * number + 1), "client-7", Some(&[0xc0; 64])),
        );
        map.merge(&key, &Version::new(stamp(2 * number + 2), "client-7", None));
        if number.is_multiple_of(HORIZON / 4) && number > HORIZON {
            map.collect((2 * (number - HORIZON)) << 16, |_| {});
        }
    }
}

pub(crate) fn run(load: &Load) -> Rows {
    let deletes = if load.quick { DELETES / 10 } else { DELETES };
    let part = deletes / ROWS;
    let before = resident()?;
    let mut map = new_map();
    let mut rows: Vec<Row> = Vec::new();
    for number in 0..ROWS {
        let (from, to) = (number * part, (number + 1) * part);
        let spent = measure(&mut map, |map| churn(map, from, to));
        let bytes = resident()?.saturating_sub(before);
        let note = format!(
            "{to} keys set and deleted; {} versions held, all but {HORIZON} collected",
            map.len()
        );
        rows.push(Row::of_thread((BENCH, "orrery"), 2 * part as usize, spent, bytes, note));
    }
    Ok(rows)
}
