use kernel::env::Mutant;
use kernel::wire::Consistency;

use super::*;
use crate::outcome::{Failure, attempt};
use crate::plan::{Entry, Event};
use crate::run::Options;
use crate::seeds::{Seeds, first_to_find};

const MOST_RUNS: u64 = 20_000;

fn failure(plan: &Plan, mutant: Mutant) -> Option<Failure> {
    let options = Options {
        mutant: Some(mutant),
        ..Options::default()
    };
    attempt(plan, options).failure()
}

/// The first seed that finds a mutant, cut down: it fails as it did, and without any one entry it does not.
fn smallest(mutant: Mutant) -> Plan {
    let (seed, _) = first_to_find(mutant, Seeds(0..1_000)).expect("it is found");
    let plan = Plan::draw(seed);
    let how = failure(&plan, mutant);
    let shrunk = shrink(&plan, MOST_RUNS, &mut |plan| failure(plan, mutant) == how);
    assert!(shrunk.complete, "{} runs did not do", shrunk.runs);
    assert_eq!(failure(&shrunk.plan, mutant), how, "{}", shrunk.plan);
    for index in 0..shrunk.plan.entries.len() {
        let mut without = shrunk.plan.clone();
        let gone = without.entries.remove(index);
        assert_ne!(failure(&without, mutant), how, "{} can go", gone.event);
    }
    shrunk.plan
}

fn values(plan: &Plan) -> Vec<u64> {
    let put = |entry: &Entry| match &entry.event {
        Event::Put { value, .. } => Some(*value),
        _ => None,
    };
    plan.entries.iter().filter_map(put).collect()
}

#[test]
fn equal_stamps_without_a_tie_break_need_two_writes() {
    let plan = smallest(Mutant::DropTieBreak);
    assert!(plan.entries.len() <= 6, "{}", text(&plan, &[]));
    assert_eq!(plan.header.clients, 2, "{}", text(&plan, &[]));
    let written = values(&plan);
    assert!(
        written.iter().all(|value| *value <= written.len() as u64),
        "{written:?}"
    );
}

#[test]
fn an_acknowledgement_before_its_commit_needs_one_write() {
    let plan = smallest(Mutant::AckBeforeCommit);
    assert!(plan.entries.len() <= 2, "{}", text(&plan, &[]));
    assert_eq!((plan.header.nodes, plan.header.clients), (1, 1), "{}", text(&plan, &[]));
}

#[test]
fn a_delete_without_a_tombstone() {
    let plan = smallest(Mutant::ForgetTombstone);
    assert!(plan.entries.len() <= 6, "{}", text(&plan, &[]));
}

#[test]
fn a_read_before_its_commit_needs_a_write_and_a_read() {
    let plan = smallest(Mutant::ReadUncommitted);
    assert!(plan.entries.len() <= 4, "{}", text(&plan, &[]));
}

#[test]
fn the_same_plan_is_cut_down_to_the_same() {
    assert_eq!(smallest(Mutant::ApplyTwice), smallest(Mutant::ApplyTwice));
}

#[test]
fn what_is_left_comes_back_from_its_text() {
    for seed in 0..20 {
        let plan = Plan::draw(seed);
        let written = text(&plan, &["a remark".into(), "of two\nlines".into()]);
        assert!(written.starts_with("# a remark\n# of two\n# lines\nseed "), "{written}");
        assert_eq!(written.parse(), Ok(plan));
    }
}

#[test]
fn once_the_runs_are_used_up_what_was_found_is_returned() {
    let plan = Plan::draw(1);
    let writes = |plan: &Plan| values(plan).len();
    let mut calls = 0;
    let shrunk = shrink(&plan, 7, &mut |plan| {
        calls += 1;
        writes(plan) >= 3
    });
    assert_eq!((calls, shrunk.runs, shrunk.complete), (7, 7, false));
    assert!(writes(&shrunk.plan) >= 3);
    let shrunk = shrink(&plan, MOST_RUNS, &mut |plan| writes(plan) >= 3);
    assert!(shrunk.complete);
    assert_eq!(shrunk.plan.entries.len(), 3, "nothing else is needed");
    let lines = shrunk.plan.to_string();
    for simple in [
        "0us put c0 m0 k0 1",
        "0us put c0 m0 k0 2",
        "0us put c0 m0 k0 3",
        "nodes 1\n",
    ] {
        assert!(lines.contains(simple), "{simple} in {lines}");
    }
}

#[test]
fn of_the_options_only_those_that_matter_are_left() {
    let mut plan = Plan::draw(1);
    plan.header.nodes = 3;
    plan.header.skew_ms = vec![-5, 70, 9];
    plan.header.loss_permille = 50;
    plan.header.client_batch = 3;
    let matters = |plan: &Plan| plan.header.skew_ms.get(1) == Some(&70) && plan.header.client_batch == 3;
    let shrunk = shrink(&plan, MOST_RUNS, &mut |plan| matters(plan));
    let special = text(&shrunk.plan, &[]);
    let special = special.split("# As ever").next().unwrap();
    let expected = "seed 1\nnodes 2\nclients 1\nheal_us 0\nskew_ms 0 70\nclient_batch 3\n";
    assert_eq!(special, expected);
}

#[test]
fn a_plan_of_which_nothing_can_go_stays() {
    let plan = Plan::draw(5);
    let shrunk = shrink(&plan, MOST_RUNS, &mut |_| false);
    assert!(shrunk.complete && shrunk.plan == plan && shrunk.runs > 0);
}

/// It fails as long as something that more than one replica must have is written: the weakest level that does is left, and the read's
/// is as usual.
#[test]
fn a_level_is_as_weak_as_it_can_be() {
    let plan: Plan = "nodes 3\n1us put c0 m k 7 strong\n2us get c0 m k quorum"
        .parse()
        .expect("a plan");
    let beyond = |entry: &Entry| match &entry.event {
        Event::Put { level, .. } => *level > Consistency::Eventual,
        _ => false,
    };
    let mut fails = |plan: &Plan| plan.entries.iter().any(beyond) && plan.entries.len() == 2;
    let shrunk = shrink(&plan, 1_000, &mut fails).plan.to_string();
    assert!(shrunk.contains(" 1 quorum\n"), "{shrunk}");
    assert!(shrunk.lines().any(|line| line.ends_with("get c0 m0 k0")), "{shrunk}");
}
