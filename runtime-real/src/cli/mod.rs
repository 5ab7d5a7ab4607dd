//! The command line.

mod agreed;
mod args;
mod cluster;
mod config;
mod data;
mod export;
mod import;
mod logging;
mod output;
mod progress;
mod query;
mod rows;
mod serve;
mod settings;
mod status;
mod times;
mod watch;

use std::fmt::Display;
use std::io::{self, Write};

use clap::{CommandFactory, Parser};

use args::{Cli, ConfigTask, Task};
use settings::{SettingArgs, Settings};

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
    // Whoever misspelt a variable believes that it has an effect, whatever the command.
    if !matches!(cli.task, Some(Task::Completions(_)))
        && let Err(exit) = resolve_variables()
    {
        return exit;
    }
    match cli.task {
        None => serve::run(&cli.serve),
        Some(Task::Serve(args)) => serve::run(&args),
        Some(Task::Set(args)) => data::set(&args),
        Some(Task::Get(args)) => data::get(&args),
        Some(Task::Del(args)) => data::del(&args),
        Some(Task::Lock(args)) => agreed::lock(&args),
        Some(Task::Unlock(args)) => agreed::unlock(&args),
        Some(Task::Define(args)) => agreed::define(&args),
        Some(Task::Definition(args)) => agreed::definition(&args),
        Some(Task::Import(args)) => import::run(&args),
        Some(Task::Export(args)) => export::run(&args),
        Some(Task::Query(args)) => query::run(&args),
        Some(Task::Watch(args)) if args.explain => query::run(&args),
        Some(Task::Watch(args)) => watch::run(&args),
        Some(Task::Status(args)) => status::run(&args),
        Some(Task::Cluster { task }) => cluster::run(&task),
        Some(Task::Config {
            task: ConfigTask::Print(args),
        }) => config::print(&args),
        Some(Task::Completions(args)) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "runtime-real", &mut script);
            say(&String::from_utf8_lossy(&script).trim_end());
            Exit::Done
        }
    }
}

fn resolve_variables() -> Result<(), Exit> {
    let names = std::env::vars_os().map(|(name, _)| (name.to_string_lossy().into_owned(), String::new()));
    let known = settings::known_variables(names, &args::variables(&Cli::command()));
    known.map(drop).map_err(|error| {
        complain(error.code(), &error, &error.hint());
        Exit::Usage
    })
}

/// The settings that were asked for, or how the process ends without them.
fn resolve(args: &SettingArgs) -> Result<Settings, Exit> {
    let variables = std::env::vars_os().map(|(name, value)| {
        let text = |part: std::ffi::OsString| part.to_string_lossy().into_owned();
        (text(name), text(value))
    });
    Settings::resolve(args, variables, &args::variables(&Cli::command())).map_err(|error| {
        complain(error.code(), &error, &error.hint());
        Exit::Usage
    })
}

/// Says on standard error what went wrong.
fn complain(code: &str, error: &dyn Display, hint: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "error[{code}]: {error}");
    if !hint.is_empty() {
        let _ = writeln!(err, "hint: {hint}");
    }
}

/// Says what is no part of the answer.
fn remark(text: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says on standard output what came of it. Who closed it does not want to know.
fn say(text: &dyn Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}
