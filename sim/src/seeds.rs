//! Many seeds: ranges of them, what becomes of one, and which one finds a bug.

use std::fmt;

use kernel::env::Mutant;

use crate::outcome::{Failure, Outcome, attempt};
use crate::plan::Plan;
use crate::run::{End, Options, Report};

/// Mutants that tests of their own find, of code that is simulated by itself or of stories that are told. No seed of a plan does.
pub const TESTED_APART: &[(Mutant, &str)] = &[
    (Mutant::BallotNotPersisted, "sim/tests/register"),
    (Mutant::AcceptWithoutPromise, "sim/tests/register"),
    (Mutant::MembersByMinority, "sim/tests/register"),
    (Mutant::TwoMembersAtOnce, "sim/tests/register"),
    (Mutant::ForgetsAcceptedValue, "sim/tests/register"),
    (Mutant::SuspicionNeverRefuted, "sim/tests/liveness.rs"),
    (Mutant::NoIndirectProbe, "sim/tests/liveness.rs"),
    (Mutant::IncarnationIgnored, "sim/tests/liveness.rs"),
    (Mutant::TableByIterationOrder, "kernel/src/partition/table/tests.rs"),
    (Mutant::PruneOrIntersects, "kernel/src/query/prune/tests.rs"),
    (Mutant::GatherForgetsOffset, "kernel/src/query/gather/tests.rs"),
    (Mutant::DropResurrected, "kernel/src/store/tests.rs"),
    (Mutant::WholeTooEarly, "kernel/tests/cluster/moves.rs"),
    (Mutant::SlowWatcherSkipped, "kernel/tests/node/queries.rs"),
    (Mutant::HandshakeWithoutEnd, "kernel/tests/node/handshake.rs"),
    (Mutant::ClockAlwaysTrusted, "kernel/tests/cluster/clocks.rs"),
    (Mutant::SetBackDiskVotes, "kernel/tests/cluster/lineage.rs"),
    (Mutant::ConfirmsUncompared, "kernel/tests/cluster/floor.rs"),
    (Mutant::FloorOfTheLiving, "kernel/tests/cluster/floor.rs"),
    (Mutant::HintOlderThanTombstone, "kernel/tests/cluster/floor.rs"),
    (Mutant::KeepsBelowFloor, "kernel/tests/cluster/floor.rs"),
    (Mutant::PromiseForgotten, "kernel/tests/cluster/locks.rs"),
    (Mutant::LookUnaccepted, "kernel/tests/cluster/locks.rs"),
    (Mutant::OldMajorityForgotten, "kernel/tests/cluster/moves.rs"),
    (Mutant::SkippedUnsaid, "kernel/tests/cluster/staleness.rs"),
    (Mutant::LeavesWithLeftovers, "scenarios/tests/comings.rs"),
    (Mutant::StaleTableAccepted, "kernel/tests/cluster/stale.rs"),
    (Mutant::FillBeforePromise, "kernel/tests/cluster/stale.rs"),
    (Mutant::AnswersForOthers, "kernel/tests/cluster/stale.rs"),
    (Mutant::NewerErased, "kernel/src/store/behind.rs"),
    (Mutant::ExpireEarly, "scenarios/tests/expiry.rs"),
];

/// The test that finds `mutant`, if it is one of those.
pub fn tested_apart(mutant: Mutant) -> Option<&'static str> {
    let row = TESTED_APART.iter().find(|(apart, _)| *apart == mutant);
    row.map(|(_, test)| *test)
}

/// A range of seeds, the last excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub std::ops::Range<u64>);

impl Seeds {
    /// Reads `A..B`.
    ///
    /// # Errors
    /// If it is something else, or empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no range of seeds: write `0..1000`");
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let number = |word: &str| word.parse::<u64>().map_err(|_| wrong());
        let range = number(from)?..number(to)?;
        if range.is_empty() {
            return Err(format!("there is no seed in {text}"));
        }
        Ok(Self(range))
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.0.start, self.0.end)
    }
}

/// The exit code of a run that ended so.
pub fn code_of(end: &End) -> u8 {
    match end {
        End::Held | End::WithoutMajority(_) => 0,
        End::Broken(_) => 1,
        End::Stuck(_) => 4,
    }
}

/// How a run ended, for people.
pub fn describe(report: &Report) -> String {
    match &report.end {
        End::Held => "all held".into(),
        End::Broken(violation) => format!("broken: {violation}"),
        End::WithoutMajority(why) => {
            let (left, of) = (report.left.nodes, report.left.of);
            let lacks = match report.left.are_majority() {
                true => "too few replicas are left of something".into(),
                false => format!("{left} of {of} nodes are no majority"),
            };
            format!("all held; {lacks}, and it did not come to rest: {why}")
        }
        End::Stuck(why) => format!("no progress by {} ms: {why}", report.at_us / 1_000),
    }
}

/// One seed, whatever becomes of it.
pub fn try_seed(seed: u64, mutant: Option<Mutant>) -> Outcome {
    let options = Options {
        mutant,
        ..Options::default()
    };
    attempt(&Plan::draw(seed), options)
}

/// The first seed in which a mutant is seen, and by what: the name of a promise, `progress` where the run got stuck, `panic`, or
/// `determinism` where nothing was wrong with either of two runs but that they differ.
pub fn first_to_find(mutant: Mutant, seeds: Seeds) -> Option<(u64, String)> {
    seeds.0.into_iter().find_map(|seed| {
        let outcome = try_seed(seed, Some(mutant));
        let by = match outcome.failure() {
            Some(Failure::Broken(invariant)) => invariant,
            Some(Failure::Stuck) => "progress".into(),
            Some(Failure::Panicked(_)) => "panic".into(),
            None if try_seed(seed, Some(mutant)) != outcome => "determinism".into(),
            None => return None,
        };
        Some((seed, by))
    })
}
