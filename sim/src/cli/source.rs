//! Where a plan comes from: a seed, or a file.

use std::path::{Path, PathBuf};

use clap::Args;
use kernel::env::Mutant;
use sim::plan::Plan;

use super::parse;

/// One plan, and the way in which every node is broken while it is executed.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// The seed to draw the plan from.
    #[arg(long, required_unless_present = "plan", conflicts_with = "plan")]
    pub seed: Option<u64>,
    /// A file that holds the plan.
    #[arg(long)]
    pub plan: Option<PathBuf>,
    /// Break every node in this way: see `list`.
    #[arg(long, value_parser = parse::mutant)]
    pub mutant: Option<Mutant>,
}

impl Source {
    /// The plan.
    ///
    /// # Errors
    /// If its file cannot be read, or is no plan: which file, which line, and why.
    pub fn read(&self) -> Result<Plan, String> {
        match (self.seed, &self.plan) {
            (Some(seed), _) => Ok(Plan::draw(seed)),
            (None, Some(file)) => read_plan(file),
            (None, None) => Err("neither a seed nor a plan".to_string()),
        }
    }

    /// The line that runs the same again.
    pub fn replay(&self) -> String {
        let which = match (self.seed, &self.plan) {
            (Some(seed), _) => format!("--seed {seed}"),
            (None, file) => format!("--plan {}", file.as_deref().unwrap_or("".as_ref()).display()),
        };
        replay(&which, self.mutant)
    }
}

/// The line that runs a plan again; `which` is `--seed 7` or `--plan file`.
pub fn replay(which: &str, mutant: Option<Mutant>) -> String {
    let mutant = mutant.map_or(String::new(), |mutant| format!(" --mutant {}", mutant.name()));
    format!("cargo run --release -p sim -- run {which}{mutant}")
}

/// Reads the plan in a file.
///
/// # Errors
/// If there is none: the file, the line, and what is wrong there.
pub fn read_plan(file: &Path) -> Result<Plan, String> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    text.parse().map_err(|bad| format!("{name}: {bad}"))
}
