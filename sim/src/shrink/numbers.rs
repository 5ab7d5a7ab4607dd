//! Fewer names, and smaller numbers.

use std::collections::BTreeSet;

use kernel::wire::{Consistency, ReadConsistency};

use super::Search;
use crate::plan::Plan;
use crate::plan::edit::Part;

/// One map for two, one key for two; and then the names that every plan uses.
pub(super) fn merge_names(search: &mut Search<'_>) {
    for (prefix, of) in [("m", map as Named), ("k", key as Named)] {
        let all = names(&search.plan, of);
        for (place, from) in all.iter().enumerate().rev() {
            let _ = all[..place].iter().any(|to| rename(search, of, from, to));
        }
        for (place, from) in names(&search.plan, of).iter().enumerate() {
            let to = format!("{prefix}{place}");
            if !names(&search.plan, of).contains(&to) {
                rename(search, of, from, &to);
            }
        }
    }
}

type Named = fn(Part<'_>) -> Option<&mut String>;

fn map(part: Part<'_>) -> Option<&mut String> {
    match part {
        Part::Map(map) => Some(map),
        _ => None,
    }
}

fn key(part: Part<'_>) -> Option<&mut String> {
    match part {
        Part::Key(key) => Some(key),
        _ => None,
    }
}

fn names(plan: &Plan, of: Named) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut plan = plan.clone();
    let parts = plan.entries.iter_mut().flat_map(|entry| entry.event.parts());
    let all = parts.filter_map(of).map(|name| name.clone());
    all.filter(|name| seen.insert(name.clone())).collect()
}

fn rename(search: &mut Search<'_>, of: Named, from: &str, to: &str) -> bool {
    search.change(|plan| {
        let parts = plan.entries.iter_mut().flat_map(|entry| entry.event.parts());
        let those = parts.filter_map(of).filter(|name| *name == from);
        those.for_each(|name| *name = to.to_string());
    })
}

/// Values counted from 1, no times to live, as few replicas as can be, short and round durations, small steps, plain queries.
pub(super) fn simplify(search: &mut Search<'_>) {
    count_values(search);
    for index in 0..search.plan.entries.len() {
        if let Some(plainer) = search.plan.entries[index].event.plainer() {
            search.change(|plan| plan.entries[index].event = plainer);
        }
        let parts = search.plan.clone().entries[index].event.parts().len();
        for part in 0..parts {
            simplify_part(search, index, part);
        }
    }
}

/// The values that are written, counted from 1: in the order of the entries; or, where it matters which is the greater, in
/// their own.
fn count_values(search: &mut Search<'_>) {
    let mut values: Vec<u64> = written(&mut search.plan.clone()).map(|value| *value).collect();
    let counted = search.change(|plan| written(plan).zip(1..).for_each(|(value, number)| *value = number));
    if !counted {
        values.sort_unstable();
        let rank = |value: u64| values.partition_point(|other| *other < value) as u64 + 1;
        search.change(|plan| written(plan).for_each(|value| *value = rank(*value)));
    }
}

fn written(plan: &mut Plan) -> impl Iterator<Item = &mut u64> {
    let parts = plan.entries.iter_mut().flat_map(|entry| entry.event.parts());
    parts.filter_map(|part| match part {
        Part::Written(value) => Some(value),
        _ => None,
    })
}

/// Tries simpler values for one part of one entry: the simplest first.
fn simplify_part(search: &mut Search<'_>, index: usize, part: usize) {
    let choices = match search.plan.clone().entries[index].event.parts().swap_remove(part) {
        Part::ForUs(us) => simpler(*us, 1_000),
        Part::TtlMs(Some(ms)) => std::iter::once(0).chain(simpler(*ms, 1)).collect(),
        Part::Signed(by) => simpler(by.unsigned_abs(), 1),
        // By their places, the weakest first.
        Part::Writes(level) => (0..*level as u64).collect(),
        Part::Reads(level) => (0..*level as u64).collect(),
        _ => Vec::new(),
    };
    for choice in choices {
        let taken = search.change(|plan| match plan.entries[index].event.parts().swap_remove(part) {
            Part::ForUs(number) => *number = choice,
            Part::TtlMs(ttl_ms) => *ttl_ms = Some(choice).filter(|ms| *ms > 0),
            Part::Signed(by) => *by = by.signum() * choice.cast_signed(),
            Part::Writes(level) => *level = Consistency::ALL[choice as usize],
            Part::Reads(level) => *level = ReadConsistency::ALL[choice as usize],
            _ => {}
        });
        if taken {
            return;
        }
    }
}

/// Numbers below `number` that are simpler: 1, 10, 100 times the least; half; and what is left of it after its first digit.
fn simpler(number: u64, least: u64) -> Vec<u64> {
    let powers = std::iter::successors(Some(least), |power| power.checked_mul(10));
    let mut all: Vec<u64> = powers.take_while(|power| *power < number).collect();
    let digit = 10_u64.pow(number.checked_ilog10().unwrap_or(0));
    let rest = [number / 2, number - number % digit];
    all.extend(rest.into_iter().filter(|other| (least..number).contains(other)));
    all
}
