//! `sim run`: one plan, once.

use std::path::PathBuf;

use clap::Args;
use sim::outcome::{Outcome, attempt};
use sim::run::{End, Options, Report};
use sim::trace::Step;
use sim::track::Recorder;
use sim::world::Hook;

use super::diff::build;
use super::source::Source;

/// One plan, once.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    source: Source,
    /// Print every step.
    #[arg(long)]
    steps: bool,
    /// Write the hash of every step there, for `diff`.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Check no promise: the steps are the same, and it shows what checking costs.
    #[arg(long)]
    unchecked: bool,
}

impl Run {
    /// Executes the plan, prints how it ended, and returns the exit code.
    pub fn run(&self) -> u8 {
        let plan = match self.source.read() {
            Ok(plan) => plan,
            Err(wrong) => {
                eprintln!("{wrong}");
                return 2;
            }
        };
        let mutant = self.source.mutant;
        let recorder = Recorder::default();
        let options = Options {
            mutant,
            hook: self.hook(&recorder),
            unchecked: self.unchecked,
            ..Options::default()
        };
        let outcome = attempt(&plan, options);
        if let Some(file) = &self.trace {
            let track = recorder.track(&build(), &plan, mutant, &outcome);
            if let Err(error) = std::fs::write(file, track.to_bytes()) {
                eprintln!("{}: {error}", file.display());
                return 2;
            }
        }
        if let Outcome::Panicked(panic) = &outcome {
            println!("{outcome}");
            println!("replay: {}", self.source.replay());
            panic.backtrace.iter().for_each(|backtrace| eprintln!("{backtrace}"));
        }
        let Some(report) = outcome.report() else {
            return outcome.code();
        };
        let Report {
            acknowledged,
            refused,
            read,
            steps,
            at_us,
            ..
        } = report;
        println!(
            "{steps} steps in {} ms: {acknowledged} writes acknowledged, {refused} refused, {read} reads",
            at_us / 1_000
        );
        let code = outcome.code();
        if let End::WithoutMajority(_) = report.end {
            println!("{outcome}");
        }
        if code != 0 {
            println!("{outcome}");
            println!("replay: {}", self.source.replay());
        }
        println!("hash {:032x}", report.hash);
        code
    }

    /// What is done at each step.
    fn hook(&self, recorder: &Recorder) -> Option<Hook> {
        let (print, recorder) = (self.steps, self.trace.as_ref().map(|_| recorder.clone()));
        if !print && recorder.is_none() {
            return None;
        }
        Some(Box::new(move |step: &Step<'_>| {
            if print {
                println!("{} n{} {:?} -> {:?}", step.at_us, step.node, step.input, step.output);
            }
            recorder.iter().for_each(|recorder| recorder.step(step));
        }))
    }
}
