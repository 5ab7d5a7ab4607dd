//! Less time, and rounder times.

use super::Search;
use crate::plan::Plan;

/// The shortest time between two instants that are tried: what one message takes is a part of it.
const MOMENT_US: u64 = 1_000;

/// Everything sooner: the whole plan faster, then the gaps between entries closed, then the healing sooner.
pub(super) fn pull_forward(search: &mut Search<'_>) {
    for divisor in [10, 2] {
        while search.plan.header.heal_us > MOMENT_US
            && search.change(|plan| {
                plan.header.heal_us /= divisor;
                plan.entries.iter_mut().for_each(|entry| entry.at_us /= divisor);
            })
        {}
    }
    for index in 0..search.plan.entries.len() {
        let before_us = match index {
            0 => 0,
            _ => search.plan.entries[index - 1].at_us,
        };
        let gap_us = search.plan.entries[index].at_us - before_us;
        for left_us in [0, MOMENT_US, gap_us / 10, gap_us / 2] {
            if left_us < gap_us && search.take(sooner(&search.plan, index, gap_us - left_us)) {
                break;
            }
        }
    }
    let last_us = search.plan.entries.last().map_or(0, |entry| entry.at_us);
    for heal_us in [0, last_us, last_us + MOMENT_US] {
        if heal_us < search.plan.header.heal_us && search.change(|plan| plan.header.heal_us = heal_us) {
            return;
        }
    }
    let half = |search: &mut Search<'_>| search.change(|plan| plan.header.heal_us /= 2);
    while search.plan.header.heal_us > MOMENT_US && half(search) {}
}

/// All entries from `index` on, and the healing, sooner by so much.
fn sooner(plan: &Plan, index: usize, by_us: u64) -> Plan {
    let mut plan = plan.clone();
    plan.entries[index..].iter_mut().for_each(|entry| entry.at_us -= by_us);
    plan.header.heal_us = plan.header.heal_us.saturating_sub(by_us).max(MOMENT_US);
    plan
}

/// Times that people can read: whole seconds, tenths, hundredths, milliseconds.
pub(super) fn round(search: &mut Search<'_>) {
    for unit_us in [1_000_000, 100_000, 10_000, 1_000] {
        let down = |us: &mut u64| *us -= *us % unit_us;
        search.change(|plan| {
            down(&mut plan.header.heal_us);
            plan.entries.iter_mut().for_each(|entry| down(&mut entry.at_us));
        });
        search.change(|plan| down(&mut plan.header.heal_us));
        for index in 0..search.plan.entries.len() {
            // Entries stay in the order of their times, so that the plan's text says what is run.
            let before_us = index.checked_sub(1).map_or(0, |index| search.plan.entries[index].at_us);
            search.change(|plan| {
                let at_us = &mut plan.entries[index].at_us;
                *at_us = before_us.max(*at_us - *at_us % unit_us);
            });
        }
    }
}
