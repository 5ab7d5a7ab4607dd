//! The agreed register in a network that loses, repeats, delays and splits, on disks that forget what was not synced, with
//! members that come and go. For each version one value is ever learned, histories are linearizable, and once a majority is healed
//! it goes on. Each bug that is put back is found.

mod client;
mod cluster;
mod run;
mod value;

use kernel::env::Mutant::{self, *};
use kernel::env::Mutants;

use run::{Done, run};

#[test]
fn the_chain_never_forks_is_linearizable_and_goes_on() {
    const SEEDS: u64 = 400;
    let mut all = Done::default();
    let mut healed = 0;
    for seed in 0..SEEDS {
        let done = run(seed, Mutants::default()).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        all.answered += done.answered;
        all.unknown += done.unknown;
        all.members_changed += done.members_changed;
        all.versions += done.versions;
        healed += u64::from(done.healed);
    }
    println!("{all:?}, {healed} of {SEEDS} healed");
    // That nothing broke says something only if something was done.
    assert!(all.answered > 20 * SEEDS, "{all:?}");
    assert!(all.unknown > SEEDS, "{all:?}");
    assert!(all.members_changed > SEEDS, "{all:?}");
    assert!(healed * 10 > SEEDS * 9, "{healed} of {SEEDS} could be healed");
}

#[test]
fn a_run_is_the_same_again() {
    for seed in 0..5 {
        let runs = [(); 2].map(|()| format!("{:?}", run(seed, Mutants::default())));
        assert_eq!(runs[0], runs[1]);
    }
}

/// Each bug, within how many seeds it is found, and what it breaks.
const BUGS: &[(Mutant, u64, &[&str])] = &[
    (BallotNotPersisted, 1_000, &["one-chain", "linearizable"]),
    (AcceptWithoutPromise, 1_000, &["one-chain", "linearizable"]),
    (MembersByMinority, 1_000, &["one-chain", "linearizable"]),
    (TwoMembersAtOnce, 1_000, &["one-chain", "linearizable"]),
    (ForgetsAcceptedValue, 1_000, &["one-chain", "linearizable"]),
];

#[test]
fn every_bug_that_is_put_back_is_found() {
    let mut wrong = Vec::new();
    for (mutant, within, breaks) in BUGS {
        let runs = (0..*within).map(|seed| (seed, run(seed, Mutants::only(*mutant))));
        let found = runs.filter_map(|(seed, done)| Some((seed, done.err()?))).next();
        println!("{}: {found:?}", mutant.name());
        match found {
            Some((_, broken)) if breaks.iter().any(|kind| broken.starts_with(kind)) => (),
            found => wrong.push((mutant.name(), found)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
