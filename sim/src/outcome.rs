//! What became of a run, whatever became of it; and when two runs failed in the same way.

use std::fmt;
use std::str::FromStr;

use crate::panics::{Panic, catch};
use crate::plan::Plan;
use crate::run::{End, Options, Report, run};
use crate::seeds::{code_of, describe};

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It came to an end.
    Ended(Report),
    /// The code under test panicked.
    Panicked(Panic),
}

/// Executes a plan, whatever becomes of it.
pub fn attempt(plan: &Plan, options: Options) -> Outcome {
    match catch(|| run(plan, options)) {
        Ok(report) => Outcome::Ended(report),
        Err(panic) => Outcome::Panicked(panic),
    }
}

impl Outcome {
    /// The exit code of a run that went so.
    pub fn code(&self) -> u8 {
        match self {
            Outcome::Ended(report) => code_of(&report.end),
            Outcome::Panicked(_) => 3,
        }
    }

    /// How it failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Outcome::Panicked(panic) => Some(Failure::Panicked(panic.place.clone())),
            Outcome::Ended(report) => match &report.end {
                End::Held | End::WithoutMajority(_) => None,
                End::Broken(violation) => Some(Failure::Broken(violation.invariant.into())),
                End::Stuck(_) => Some(Failure::Stuck),
            },
        }
    }

    /// The report, if it came to an end.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Outcome::Ended(report) => Some(report),
            Outcome::Panicked(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ended(report) => write!(f, "{}", describe(report)),
            Outcome::Panicked(panic) => write!(f, "crash: the code under test {panic}"),
        }
    }
}

/// A way to fail. Two runs that fail in the same way are taken to show the same bug.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// `breaks NAME`: an invariant was broken.
    Broken(String),
    /// `stuck`: it did not come to rest.
    Stuck,
    /// `panics at PLACE`: the code under test panicked.
    Panicked(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Broken(invariant) => write!(f, "breaks {invariant}"),
            Failure::Stuck => write!(f, "stuck"),
            Failure::Panicked(place) => write!(f, "panics at {place}"),
        }
    }
}

impl FromStr for Failure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["breaks", invariant] => Ok(Failure::Broken(invariant.into())),
            ["stuck"] => Ok(Failure::Stuck),
            ["panics", "at", place] => Ok(Failure::Panicked(place.into())),
            _ => Err(format!(
                "`{text}` is no way to fail: write `breaks NAME`, `stuck` or `panics at FILE`"
            )),
        }
    }
}

impl Failure {
    /// Whether both are the same bug in two builds: there a panic has moved within its file.
    pub fn is_like(&self, other: &Failure) -> bool {
        let file = |place: &str| place.split(':').next().unwrap_or_default().to_string();
        match (self, other) {
            (Failure::Panicked(here), Failure::Panicked(there)) => file(here) == file(there),
            _ => self == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_comes_back_from_its_text() {
        let place = "kernel/src/node/mod.rs:1:2".to_string();
        for failure in [
            Failure::Broken("convergence".into()),
            Failure::Stuck,
            Failure::Panicked(place),
        ] {
            assert_eq!(failure.to_string().parse(), Ok(failure));
        }
        let wrong = "explodes".parse::<Failure>().unwrap_err();
        assert!(wrong.contains("`explodes` is no way to fail"), "{wrong}");
    }

    #[test]
    fn a_panic_in_a_run_is_an_outcome_with_its_message_and_its_place() {
        let options = Options {
            hook: Some(Box::new(|step| assert!(step.at_us < 1_000, "at {} us", step.at_us))),
            ..Options::default()
        };
        let outcome = attempt(&Plan::draw(0), options);
        let said = outcome.to_string();
        assert!(said.starts_with("crash: the code under test panicked at "), "{said}");
        assert!(said.contains("outcome.rs:") && said.contains(" us"), "{said}");
        assert_eq!(outcome.code(), 3);
        assert!(matches!(outcome.failure(), Some(Failure::Panicked(place)) if place.contains("outcome.rs:")));
    }

    #[test]
    fn a_panic_that_moved_within_its_file_is_the_same_bug() {
        let at = |place: &str| Failure::Panicked(place.into());
        assert!(at("a.rs:1:2").is_like(&at("a.rs:30:4")));
        assert!(!at("a.rs:1:2").is_like(&at("b.rs:1:2")));
        assert!(!Failure::Stuck.is_like(&at("b.rs:1:2")));
    }
}
