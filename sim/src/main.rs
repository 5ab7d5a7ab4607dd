//! The simulator on a command line: one run, a swarm of them, the plan of a seed.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};

mod cli;

/// Runs whole clusters from a seed, faults included. The same seed gives the same run.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Execute one plan, and say how it ended. The last line is the hash of every step.
    Run(cli::run::Run),
    /// Print the plan of a seed.
    Plan(cli::plan::Print),
    /// Execute the plans of many seeds, until one fails.
    Swarm(cli::swarm::Swarm),
    /// Cut a plan that fails down to what it fails by.
    Shrink(cli::shrink::Shrink),
    /// Keep a plan that fails, cut down, as a test for ever.
    Keep(cli::keep::Keep),
    /// Find the first step at which two runs differ: two builds, two platforms, debug and release.
    Diff(cli::diff::Diff),
    /// For each mutant, the first seed that finds it, and by which promise.
    Mutants(cli::mutants::Mutants),
    /// Execute one plan, and write a page that shows everything that happened.
    View(cli::view::View),
    /// Run a recording of a production node through this kernel: same outputs, same state?
    Replay(cli::replay::Replay),
    /// Compare settings of the failure detector: how soon a killed node is seen, and how often one is wrongly given up.
    Sweep(cli::sweep::Sweep),
    /// What there is: promises, faults, mutants.
    List,
}

fn main() -> ExitCode {
    // Whoever reads what is printed may have read enough: `sim plan --seed 1 | head`.
    let end = Arc::new(AtomicBool::new(true));
    if let Err(error) = signal_hook::flag::register_conditional_default(signal_hook::consts::SIGPIPE, end) {
        eprintln!("cannot watch for who stops to read: {error}");
    }
    let code = match Arguments::parse().command {
        Command::Run(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Swarm(command) => command.run(),
        Command::Shrink(command) => command.run(),
        Command::Keep(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Mutants(command) => command.run(),
        Command::View(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::List => cli::list::run(),
    };
    ExitCode::from(code)
}
