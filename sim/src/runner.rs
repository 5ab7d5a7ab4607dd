//! Playing a scenario: one plan, with one seed or with many.

use std::ops::Range;

use kernel::env::Mutant;

use crate::plan::Plan;
use crate::run::{End, Options, Report, run};

/// Plays a plan: the same events each time, and for each seed other latencies, another order of what happens at once, and
/// something else that survives a crash. The same seed gives the same run, byte for byte.
#[derive(Debug, Clone)]
pub struct ScenarioRunner {
    plan: Plan,
    mutant: Option<Mutant>,
}

impl ScenarioRunner {
    /// Of healthy nodes.
    pub fn of(plan: Plan) -> Self {
        Self { plan, mutant: None }
    }

    /// Of nodes that are all broken in this way, on purpose.
    pub fn broken_by(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    /// Plays it once.
    pub fn play(&self, seed: u64) -> Report {
        let mut plan = self.plan.clone();
        plan.header.seed = seed;
        let options = Options {
            mutant: self.mutant,
            ..Options::default()
        };
        run(&plan, options)
    }

    /// Plays it with each seed: every promise must be kept. Returns what was counted, seed by seed.
    ///
    /// # Panics
    /// If one is not, with the seed and the plan.
    pub fn holds(&self, seeds: Range<u64>) -> Vec<Report> {
        let play = |seed| {
            let report = self.play(seed);
            assert_eq!(report.end, End::Held, "seed {seed} of this plan:\n{}", self.plan);
            report
        };
        seeds.map(play).collect()
    }

    /// Plays it with each seed: in how many a promise is broken.
    pub fn breaks(&self, seeds: Range<u64>) -> usize {
        seeds.filter(|seed| self.play(*seed).end != End::Held).count()
    }
}
