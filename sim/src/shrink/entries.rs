//! Fewer entries.

use std::collections::BTreeSet;

use super::Search;

/// Without all entries of a kind, kind by kind: most have nothing to do with it.
pub(super) fn drop_kinds(search: &mut Search<'_>) {
    let kinds: BTreeSet<String> = search.plan.entries.iter().map(|entry| entry.event.kind()).collect();
    for kind in kinds {
        search.change(|plan| plan.entries.retain(|entry| entry.event.kind() != kind));
    }
}

/// Without half of the entries, a quarter, an eighth, down to each single one, until none can go. From the end: what
/// comes after the failure goes first.
pub(super) fn drop_entries(search: &mut Search<'_>) {
    let mut size = search.plan.entries.len().max(1);
    loop {
        let mut any = false;
        let mut end = search.plan.entries.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            any |= search.change(|plan| _ = plan.entries.drain(start..end));
            end = start;
        }
        match size {
            1 if !any => return,
            1 => {}
            _ => size = size.div_ceil(2),
        }
    }
}
