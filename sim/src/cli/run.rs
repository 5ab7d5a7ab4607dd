//! `sim run`: one plan, once.

use clap::Args;
use sim::outcome::{Outcome, attempt};
use sim::run::{Options, Report};
use sim::trace::Step;
use sim::world::Hook;

use super::source::Source;

/// One plan, once.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    source: Source,
    /// Print every step.
    #[arg(long)]
    steps: bool,
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
        let hook = self.steps.then(print_steps);
        let options = Options {
            mutant,
            hook,
            ..Options::default()
        };
        let outcome = attempt(&plan, options);
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
        if code != 0 {
            println!("{}", outcome);
            println!("replay: {}", self.source.replay());
        }
        println!("hash {:032x}", report.hash);
        code
    }
}

fn print_steps() -> Hook {
    Box::new(|step: &Step<'_>| {
        println!("{} n{} {:?} -> {:?}", step.at_us, step.node, step.input, step.output);
    })
}
