//! The command line.

mod args;
mod data;
mod export;
mod import;
mod logging;
mod output;
mod progress;
mod query;
mod rows;
mod serve;
mod status;
mod watch;

use std::fmt::Display;
use std::io::{self, Write};

use clap::Parser;

use args::{Cli, Task};

/// How a command ended: the process's exit code. They are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// There is nothing under that key.
    NotFound = 1,
    /// The command line, the configuration or what it names is wrong.
    Usage = 2,
    /// The node said no.
    Refused = 3,
    /// No node answers.
    Unreachable = 4,
    /// A write left, and nobody knows what became of it.
    Unknown = 5,
}

/// Does what the command line says.
pub fn run() -> Exit {
    let cli = Cli::parse();
    match cli.task {
        None => serve::run(&cli.serve),
        Some(Task::Serve(args)) => serve::run(&args),
        Some(Task::Set(args)) => data::set(&args),
        Some(Task::Get(args)) => data::get(&args),
        Some(Task::Del(args)) => data::del(&args),
        Some(Task::Import(args)) => import::run(&args),
        Some(Task::Export(args)) => export::run(&args),
        Some(Task::Query(args)) => query::run(&args),
        Some(Task::Watch(args)) => watch::run(&args),
        Some(Task::Status(args)) => status::run(&args),
    }
}

/// Says on standard error what went wrong.
fn complain(code: &str, error: &dyn Display, hint: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "error[{code}]: {error}");
    if !hint.is_empty() {
        let _ = writeln!(err, "hint: {hint}");
    }
}

/// Says on standard output what came of it. Who closed it does not want to know.
fn say(text: &dyn Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}
