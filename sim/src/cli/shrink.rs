//! `sim shrink`: a plan that fails, cut down.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kernel::env::Mutant;
use sim::outcome::{Failure, attempt};
use sim::plan::Plan;
use sim::run::Options;
use sim::shrink::{Shrunk, shrink, text};

use super::revision;
use super::source::{Source, replay};

/// A plan that fails, cut down until nothing of it can go.
#[derive(Debug, Args)]
pub struct Shrink {
    #[command(flatten)]
    source: Source,
    /// Execute at most so many candidates.
    #[arg(long, default_value_t = MOST_RUNS)]
    runs: u64,
    /// Write the result there in place of printing it.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How many candidates are enough for every plan that was ever drawn, so far.
pub const MOST_RUNS: u64 = 20_000;

/// What is said of a plan that does not fail.
pub const NOTHING: &str = "every promise is kept: there is nothing to shrink";

impl Shrink {
    /// Cuts the plan down, prints what is left, and returns the exit code.
    pub fn run(&self) -> u8 {
        let plan = match self.source.read() {
            Ok(plan) => plan,
            Err(wrong) => {
                eprintln!("{wrong}");
                return 2;
            }
        };
        let mutant = self.source.mutant;
        let Some(found) = Found::shrink(&plan, mutant, self.runs) else {
            eprintln!("{NOTHING}");
            return 2;
        };
        let written = text(&found.shrunk.plan, &found.remarks());
        let Some(file) = &self.out else {
            print!("{written}");
            return 0;
        };
        if let Err(error) = std::fs::write(file, written) {
            eprintln!("{}: {error}", file.display());
            return 2;
        }
        println!("{}", found.summary());
        println!("replay: {}", replay(&format!("--plan {}", file.display()), mutant));
        0
    }
}

/// A bug, and the least that shows it.
#[derive(Debug)]
pub struct Found {
    /// The seed of the plan.
    pub seed: u64,
    /// How nodes were broken on purpose.
    pub mutant: Option<Mutant>,
    /// How it fails.
    pub failure: Failure,
    /// What the first run said.
    pub said: String,
    /// How many entries there were.
    pub entries: usize,
    /// What is left.
    pub shrunk: Shrunk,
}

impl Found {
    /// Cuts a plan down with a bar on standard error if that is a terminal. `None`: it does not fail.
    pub fn shrink(plan: &Plan, mutant: Option<Mutant>, most_runs: u64) -> Option<Self> {
        let run = |plan: &Plan| {
            let options = Options {
                mutant,
                ..Options::default()
            };
            attempt(plan, options)
        };
        let outcome = run(plan);
        let failure = outcome.failure()?;
        let bar = bar(most_runs);
        let mut least = plan.entries.len();
        let shrunk = shrink(plan, most_runs, &mut |candidate| {
            let fails = run(candidate).failure().as_ref() == Some(&failure);
            if fails {
                least = candidate.entries.len();
            }
            bar.inc(1);
            bar.set_message(format!("{least} of {} entries", plan.entries.len()));
            fails
        });
        bar.finish_and_clear();
        Some(Self {
            seed: plan.header.seed,
            mutant,
            failure,
            said: outcome.to_string(),
            entries: plan.entries.len(),
            shrunk,
        })
    }

    /// What was achieved, in a line.
    pub fn summary(&self) -> String {
        let Shrunk { plan, runs, complete } = &self.shrunk;
        let complete = if *complete {
            "none can go"
        } else {
            "the runs were used up before the search was done"
        };
        let (before, left) = (self.entries, plan.entries.len());
        format!("entries: {left} of {before}, after {runs} runs; {complete}")
    }

    /// What whoever reads the plan should know.
    pub fn remarks(&self) -> Vec<String> {
        let mutant = self
            .mutant
            .map_or(String::new(), |mutant| format!(" with --mutant {}", mutant.name()));
        vec![
            format!("{}: {}", self.failure, self.said),
            format!("seed {}{mutant}, revision {}", self.seed, revision::here()),
            self.summary(),
            format!("replay: {}", replay("--plan THIS-FILE", self.mutant)),
        ]
    }
}

fn bar(most_runs: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} runs, {per_sec}: {msg}");
    let bar = ProgressBar::new(most_runs);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
