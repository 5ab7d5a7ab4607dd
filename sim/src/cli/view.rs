//! `sim view`: one plan, once, as a page to look at.

use std::path::PathBuf;

use clap::Args;
use sim::outcome::attempt;
use sim::run::Options;
use sim::view::{Heading, Recorder};

use super::source::Source;

/// One plan, once, as a page to look at.
#[derive(Debug, Args)]
pub struct View {
    #[command(flatten)]
    source: Source,
    /// The HTML file to write: without a word, `view-seed-7.html` or one named after the plan's file.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl View {
    /// Executes the plan, writes the page, prints how the run ended and where the page is, and returns the run's exit code.
    pub fn run(&self) -> u8 {
        let plan = match self.source.read() {
            Ok(plan) => plan,
            Err(wrong) => {
                eprintln!("{wrong}");
                return 2;
            }
        };
        let recorder = Recorder::new(&plan);
        let options = Options {
            mutant: self.source.mutant,
            observer: Some(recorder.observer()),
            ..Options::default()
        };
        let outcome = attempt(&plan, options);
        let heading = Heading {
            title: self.title(),
            replay: self.source.replay(),
        };
        let page = recorder.page(&heading, &outcome);
        let out = self.out.clone().unwrap_or_else(|| self.default_out());
        println!("{outcome}");
        if let Err(error) = std::fs::write(&out, page) {
            eprintln!("{}: {error}", out.display());
            return 2;
        }
        println!("written to {}", out.display());
        outcome.code()
    }

    fn title(&self) -> String {
        let which = match (self.source.seed, &self.source.plan) {
            (Some(seed), _) => format!("seed {seed}"),
            (None, file) => file.as_deref().unwrap_or("".as_ref()).display().to_string(),
        };
        let mutant = self.source.mutant.map(|mutant| format!(", mutant {}", mutant.name()));
        which + &mutant.unwrap_or_default()
    }

    fn default_out(&self) -> PathBuf {
        let which = match (self.source.seed, &self.source.plan) {
            (Some(seed), _) => format!("seed-{seed}"),
            (None, file) => {
                let name = file.as_deref().and_then(|file| file.file_stem());
                name.unwrap_or_default().to_string_lossy().into_owned()
            }
        };
        let mutant = self.source.mutant.map(|mutant| format!("-{}", mutant.name()));
        format!("view-{which}{}.html", mutant.unwrap_or_default()).into()
    }
}
