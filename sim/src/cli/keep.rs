//! `sim keep`: a bug that was found is filed, and is a test for ever.

use std::path::{Path, PathBuf};

use clap::Args;
use sim::found::{About, FILES};
use sim::outcome::Failure;
use sim::plan::Plan;
use sim::shrink::text;

use super::revision;
use super::shrink::{Found, MOST_RUNS, NOTHING};
use super::source::Source;

/// Files a plan that fails, and the least of it, under the scenarios.
#[derive(Debug, Args)]
pub struct Keep {
    #[command(flatten)]
    source: Source,
    /// The name of its folder: what the bug is. Without one it is how it fails, and the seed.
    #[arg(long, value_parser = folder_name)]
    name: Option<String>,
    /// Where kept bugs lie.
    #[arg(long, default_value = "scenarios/found")]
    under: PathBuf,
    /// Execute at most so many candidates to find the least.
    #[arg(long, default_value_t = MOST_RUNS)]
    runs: u64,
}

fn folder_name(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !name.is_empty() && name.chars().all(plain) {
        true => Ok(name.into()),
        false => Err(format!("`{name}` names no folder: small letters, digits and `-`")),
    }
}

impl Keep {
    /// Files it, says where, and returns the exit code.
    pub fn run(&self) -> u8 {
        match self.source.read().and_then(|plan| self.file(&plan)) {
            Ok(folder) => {
                println!(
                    "kept as {}: `cargo test -p scenarios --test found` runs it",
                    folder.display()
                );
                0
            }
            Err(wrong) => {
                eprintln!("{wrong}");
                2
            }
        }
    }

    fn file(&self, plan: &Plan) -> Result<PathBuf, String> {
        if !self.under.is_dir() {
            return Err(format!(
                "{} is no folder: keep from the top of the repository",
                self.under.display()
            ));
        }
        if let Some(folder) = self.name.as_ref().map(|name| self.under.join(name)) {
            free(&folder)?;
        }
        let found = Found::shrink(plan, self.source.mutant, self.runs).ok_or(NOTHING)?;
        let about = About {
            seed: found.seed,
            revision: revision::here(),
            mutant: found.mutant,
            failure: found.failure.clone(),
        };
        let name = self.name.clone().unwrap_or_else(|| {
            let mutant = about
                .mutant
                .map_or(String::new(), |mutant| format!("{}-", mutant.name()));
            let how = match &about.failure {
                Failure::Broken(invariant) => invariant,
                Failure::Stuck => "stuck",
                Failure::Panicked(_) => "panic",
            };
            format!("{mutant}{how}-{}", about.seed)
        });
        let folder = self.under.join(name);
        free(&folder)?;
        let texts = [
            about.to_string(),
            plan.to_string(),
            text(&found.shrunk.plan, &found.remarks()),
        ];
        let at = |file: &Path| {
            let name = file.display().to_string();
            move |error: std::io::Error| format!("{name}: {error}")
        };
        std::fs::create_dir(&folder).map_err(at(&folder))?;
        for (file, text) in FILES.into_iter().zip(texts) {
            let file = folder.join(file);
            std::fs::write(&file, text).map_err(at(&file))?;
        }
        println!("{}", found.summary());
        Ok(folder)
    }
}

/// What was kept is not written over.
fn free(folder: &Path) -> Result<(), String> {
    match folder.exists() {
        true => Err(format!("{} is there already: give it another --name", folder.display())),
        false => Ok(()),
    }
}
