//! What is known of a bug that was found, and kept: one folder each under `scenarios/found`.
//!
//! | file | holds |
//! |---|---|
//! | `about.txt` | what this file reads: seed, revision, mutant, how it fails |
//! | `plan.txt` | the plan that found it |
//! | `shrunk.txt` | the least of it that still fails |
//!
//! A kept plan is run for ever: it must hold with the code as it is, and where a mutant puts the bug back, it must fail as
//! it did.

use std::fmt;
use std::str::FromStr;

use kernel::env::Mutant;

use crate::outcome::{Failure, attempt};
use crate::plan::{BadPlan, Plan};
use crate::run::Options;

/// The names of the files of a kept bug.
pub const FILES: [&str; 3] = ["about.txt", "plan.txt", "shrunk.txt"];

/// `about.txt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The seed that found it.
    pub seed: u64,
    /// The revision in which.
    pub revision: String,
    /// The mutant that is the bug, or that puts it back.
    pub mutant: Option<Mutant>,
    /// How it failed.
    pub failure: Failure,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "revision {}", self.revision)?;
        writeln!(f, "mutant {}", self.mutant.map_or("none", Mutant::name))?;
        writeln!(f, "{}", self.failure)
    }
}

impl FromStr for About {
    type Err = BadPlan;

    fn from_str(text: &str) -> Result<Self, BadPlan> {
        let (mut seed, mut revision, mut mutant, mut failure) = (None, None, None, None);
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let bad = |wrong: String| BadPlan { line: index + 1, wrong };
            match line.split_once(' ') {
                None if line.is_empty() => {}
                Some(("seed", number)) => {
                    let number = number.parse().map_err(|_| bad(format!("`{number}` is no seed")))?;
                    seed = Some(number);
                }
                Some(("revision", name)) => revision = Some(name.to_string()),
                Some(("mutant", name)) => mutant = Some(mutant_called(name).map_err(bad)?),
                _ => failure = Some(line.parse().map_err(bad)?),
            }
        }
        let missing = |what: &str| BadPlan {
            line: text.lines().count() + 1,
            wrong: format!("it ends without a line that says `{what}`"),
        };
        Ok(Self {
            seed: seed.ok_or_else(|| missing("seed 7"))?,
            revision: revision.ok_or_else(|| missing("revision 0123abc"))?,
            mutant: mutant.ok_or_else(|| missing("mutant none"))?,
            failure: failure.ok_or_else(|| missing("breaks NAME"))?,
        })
    }
}

/// A mutant by its name, or `none`.
pub(crate) fn mutant_called(name: &str) -> Result<Option<Mutant>, String> {
    if name == "none" {
        return Ok(None);
    }
    let known = Mutant::ALL.into_iter().find(|mutant| mutant.name() == name);
    known.map(Some).ok_or_else(|| format!("no mutant is called `{name}`"))
}

/// A kept bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is known of it.
    pub about: About,
    /// The plan that found it.
    pub plan: Plan,
    /// The least of it.
    pub shrunk: Plan,
}

impl Found {
    /// Reads the texts of [`FILES`], in their order.
    ///
    /// # Errors
    /// The first that cannot be read: which file, which line, and what is wrong there.
    pub fn read(texts: [&str; 3]) -> Result<Self, String> {
        let [about, plan, shrunk] = texts;
        let named = |file: usize| move |bad: BadPlan| format!("{}: {bad}", FILES[file]);
        Ok(Self {
            about: about.parse().map_err(named(0))?,
            plan: plan.parse().map_err(named(1))?,
            shrunk: shrunk.parse().map_err(named(2))?,
        })
    }

    /// Runs both plans with the code as it is, and with the mutant if there is one.
    ///
    /// What is left to chance in a run follows from its seed, and changes with the code. So both hold with some seeds beside
    /// their own, and the bug may show with any of some more.
    ///
    /// # Errors
    /// Whatever was not as it must be.
    pub fn check(&self) -> Result<(), String> {
        for (file, plan) in [(FILES[1], &self.plan), (FILES[2], &self.shrunk)] {
            for plan in with_seeds(plan, HOLDS_WITH) {
                let outcome = attempt(&plan, Options::default());
                if outcome.failure().is_some() {
                    return Err(format!("{file} with seed {}: {outcome}", plan.header.seed));
                }
            }
            let Some(mutant) = self.about.mutant else {
                continue;
            };
            let fails = |plan: Plan| {
                let options = Options {
                    mutant: Some(mutant),
                    ..Options::default()
                };
                let failure = attempt(&plan, options).failure();
                failure.is_some_and(|failure| failure.is_like(&self.about.failure))
            };
            if !with_seeds(plan, SHOWS_WITHIN).any(fails) {
                let (mutant, failure) = (mutant.name(), &self.about.failure);
                return Err(format!(
                    "{file}: with the mutant {mutant} it {failure} no more, with {SHOWS_WITHIN} seeds from its own on"
                ));
            }
        }
        Ok(())
    }
}

const HOLDS_WITH: u64 = 5;
const SHOWS_WITHIN: u64 = 50;

fn with_seeds(plan: &Plan, seeds: u64) -> impl Iterator<Item = Plan> {
    (0..seeds).map(move |further| {
        let mut plan = plan.clone();
        plan.header.seed = plan.header.seed.wrapping_add(further);
        plan
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = "seed 8\nrevision unknown\nmutant drop-tie-break\nbreaks convergence\n";
    /// Each side of a split takes a write, and both are stamped alike.
    const TWINS: &str = "nodes 2\nclients 2\ntwins 2\nheal_us 6000000\n2000000us block n0 n1 for 3000000\n\
        2000000us block n1 n0 for 3000000\n4000000us put c0 m0 k0 1\n4000000us put c1 m0 k0 2\n";

    #[test]
    fn what_is_known_comes_back_from_its_text() {
        let about: About = ABOUT.parse().unwrap();
        assert_eq!((about.to_string().as_str(), about.seed), (ABOUT, 8));
        let none: About = ABOUT.replace("drop-tie-break", "none").parse().unwrap();
        assert_eq!(none.mutant, None);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_file_and_line() {
        let read = |about: &str, plan: &str, shrunk: &str| Found::read([about, plan, shrunk]).unwrap_err();
        assert_eq!(read("seed x", "", ""), "about.txt: line 1: `x` is no seed");
        let wrong = read("seed 1\nmutant cat", "", "");
        assert_eq!(wrong, "about.txt: line 2: no mutant is called `cat`");
        let wrong = read("seed 1\nrevision r\nmutant none\n", "", "");
        assert_eq!(
            wrong,
            "about.txt: line 4: it ends without a line that says `breaks NAME`"
        );
        let wrong = read(ABOUT, "nodes 2\n1us explode", "");
        assert_eq!(wrong, "plan.txt: line 2: nothing is called `explode`");
        assert_eq!(
            read(ABOUT, "", "weather 3"),
            "shrunk.txt: line 1: there is no `weather`"
        );
    }

    #[test]
    fn a_bug_is_checked_in_both_directions() {
        Found::read([ABOUT, TWINS, TWINS]).unwrap().check().unwrap();
        // A mutant that this plan cannot show.
        let about = ABOUT.replace("drop-tie-break", "forget-tombstone");
        let wrong = Found::read([&about, TWINS, TWINS]).unwrap().check().unwrap_err();
        assert!(
            wrong.contains("plan.txt: with the mutant forget-tombstone it breaks convergence no more"),
            "{wrong}"
        );
        // A bug that is there still: a node that never answers, for there is no time to.
        let stuck = "nodes 1\nconverge_us 1\nheal_us 0\n0us put c0 m0 k0 1\n";
        let about = "seed 0\nrevision unknown\nmutant none\nstuck\n";
        let wrong = Found::read([about, TWINS, stuck]).unwrap().check().unwrap_err();
        assert!(wrong.starts_with("shrunk.txt with seed 0: no progress"), "{wrong}");
    }
}
