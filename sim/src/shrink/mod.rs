//! A plan that fails, cut down until nothing of it can go.
//!
//! Delta debugging (Zeller, Hildebrandt: Simplifying and Isolating Failure-Inducing Input, IEEE TSE 2002) over the entries; then
//! nodes, clients, names, options, times and numbers, each made simpler where the plan still fails. A run is a function of its
//! plan, so there is no doubt about any candidate, and the same plan is always cut down to the same.
//!
//! Whoever asks says what counts as failing: in the same way as before ([`Failure`](crate::outcome::Failure)), or one would end
//! with another bug than one began with.

use std::collections::BTreeSet;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::plan::Plan;

mod entries;
mod numbers;
mod options;
mod people;
mod text;
mod times;

pub use text::text;

/// What is left of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The smallest plan found that fails.
    pub plan: Plan,
    /// How many candidates were run.
    pub runs: u64,
    /// Whether the search came to its end: without any one of its entries the plan does not fail. Otherwise the runs were
    /// used up before.
    pub complete: bool,
}

/// Cuts down a plan for which `fails` is true, with at most so many further calls of it.
///
/// `fails` must be a function of the plan alone.
pub fn shrink(plan: &Plan, most_runs: u64, fails: &mut dyn FnMut(&Plan) -> bool) -> Shrunk {
    let mut search = Search {
        plan: plan.clone(),
        fails,
        held: BTreeSet::new(),
        runs: 0,
        most_runs,
        out_of_runs: false,
        found: 0,
    };
    let passes: [fn(&mut Search<'_>); 11] = [
        entries::drop_kinds,
        entries::drop_entries,
        entries::drop_by_chance,
        people::drop_people,
        numbers::merge_names,
        entries::drop_entries,
        options::reset_options,
        options::shorten_lists,
        times::pull_forward,
        times::round,
        numbers::simplify,
    ];
    loop {
        let before = search.found;
        passes.iter().for_each(|pass| pass(&mut search));
        // Nothing was found in a whole round, by the pass over single entries neither.
        if search.found == before {
            break;
        }
    }
    Shrunk {
        plan: search.plan,
        runs: search.runs,
        complete: !search.out_of_runs,
    }
}

/// The smallest plan so far, and what is known about others.
struct Search<'f> {
    plan: Plan,
    fails: &'f mut dyn FnMut(&Plan) -> bool,
    /// Candidates that did not fail: they are not going to.
    held: BTreeSet<u128>,
    runs: u64,
    most_runs: u64,
    out_of_runs: bool,
    /// How many candidates failed, and took the place of the one before.
    found: u64,
}

impl Search<'_> {
    /// Takes `candidate` for the smallest plan if it fails.
    fn take(&mut self, candidate: Plan) -> bool {
        if candidate == self.plan {
            return false;
        }
        let key = key(&candidate);
        if self.held.contains(&key) {
            return false;
        }
        if self.runs == self.most_runs {
            self.out_of_runs = true;
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&candidate);
        if fails {
            self.plan = candidate;
            self.found += 1;
        } else {
            self.held.insert(key);
        }
        fails
    }

    /// Takes a changed copy of the plan, if it fails.
    fn change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut candidate = self.plan.clone();
        change(&mut candidate);
        self.take(candidate)
    }
}

fn key(plan: &Plan) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(0x7368, 0x7269_6e6b);
    hasher.write(plan.to_string().as_bytes());
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests;
