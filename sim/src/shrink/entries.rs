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

/// Without one entry, and with another seed for all that is left to chance: what needed much to be provoked here may need
/// little elsewhere. Only once there is little left, for it takes many runs.
pub(super) fn drop_by_chance(search: &mut Search<'_>) {
    const FEW: usize = 40;
    const OTHER_SEEDS: u64 = 12;
    let mut index = search.plan.entries.len();
    while index > 0 && search.plan.entries.len() <= FEW {
        index = index.min(search.plan.entries.len()) - 1;
        let _ = (0..OTHER_SEEDS).any(|seed| {
            search.change(|plan| {
                plan.entries.remove(index);
                plan.header.seed = seed;
            })
        });
    }
}
