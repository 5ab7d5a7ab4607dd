//! The track of a run: its rolling hash after every step, so that two runs can be compared step by step, wherever and
//! whenever they were made.
//!
//! A hash covers its step and all before it. Once two tracks differ they differ to the end, and the first difference is
//! found by bisection.

use std::cell::RefCell;
use std::rc::Rc;

use kernel::env::Mutant;

use crate::found::mutant_called;
use crate::outcome::{Outcome, attempt};
use crate::plan::Plan;
use crate::run::Options;
use crate::trace::{Step, Trace};
use crate::world::Hook;

/// What a file with a track begins with.
pub const MAGIC: &str = "orrery-track 1\n";

/// A run, step by step, in eight bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// By which program: version, profile, platform.
    pub build: String,
    /// How every node was broken.
    pub mutant: Option<Mutant>,
    /// What was executed.
    pub plan: Plan,
    /// How it ended, in one line.
    pub end: String,
    /// The lower half of the rolling hash after each step.
    pub hashes: Vec<u64>,
}

/// Takes down the hash of every step. Its clones write into one list.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    taken: Rc<RefCell<(Trace, Vec<u64>)>>,
}

impl Recorder {
    /// Takes down a step.
    pub fn step(&self, step: &Step<'_>) {
        let (trace, hashes) = &mut *self.taken.borrow_mut();
        trace.step(step);
        // Half of it: whoever compares has no enemy, and files are half as long.
        hashes.push(trace.hash() as u64);
    }

    /// As a hook of a run.
    pub fn hook(&self) -> Hook {
        let recorder = self.clone();
        Box::new(move |step| recorder.step(step))
    }

    /// What was taken down, as the track of this run.
    pub fn track(&self, build: &str, plan: &Plan, mutant: Option<Mutant>, outcome: &Outcome) -> Track {
        Track {
            build: build.into(),
            mutant,
            plan: plan.clone(),
            end: outcome.to_string().replace('\n', " "),
            hashes: self.taken.borrow().1.clone(),
        }
    }
}

impl Track {
    /// Executes a plan and takes down its track.
    pub fn of(build: &str, plan: &Plan, mutant: Option<Mutant>) -> Self {
        let recorder = Recorder::default();
        let options = Options {
            mutant,
            hook: Some(recorder.hook()),
            ..Options::default()
        };
        let outcome = attempt(plan, options);
        recorder.track(build, plan, mutant, &outcome)
    }

    /// The first step, from 0, at which two runs differ; or the number of steps of the one that ends before the other.
    /// `None`: they took the same steps.
    pub fn first_difference(&self, other: &Self) -> Option<usize> {
        let both = self.hashes.len().min(other.hashes.len());
        let (mut same, mut differ) = (0, both);
        // All before `same` are the same, and from `differ` on they differ, or one of them has ended.
        while same < differ {
            let middle = same + (differ - same) / 2;
            match self.hashes[middle] == other.hashes[middle] {
                true => same = middle + 1,
                false => differ = middle,
            }
        }
        (same < both || self.hashes.len() != other.hashes.len()).then_some(same)
    }

    /// As a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plan = self.plan.to_string();
        let head = format!(
            "{MAGIC}build {}\nmutant {}\nend {}\nplan {}\nsteps {}\n",
            self.build,
            self.mutant.map_or("none", Mutant::name),
            self.end,
            plan.len(),
            self.hashes.len()
        );
        let hashes = self.hashes.iter().flat_map(|hash| hash.to_le_bytes());
        head.into_bytes()
            .into_iter()
            .chain(plan.into_bytes())
            .chain(hashes)
            .collect()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If it is no track, or not a whole one: what is missing.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or("it is no track of a run")?;
        let mut line = |name: &str| {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let end = end.ok_or_else(|| format!("it is cut off before the end of its line `{name}`"))?;
            let (text, behind) = rest.split_at(end);
            rest = &behind[1..];
            let text = std::str::from_utf8(text).map_err(|_| format!("its line `{name}` is no text"))?;
            let value = text.strip_prefix(name).and_then(|value| value.strip_prefix(' '));
            value
                .map(str::to_string)
                .ok_or_else(|| format!("`{text}` stands where its line `{name}` belongs"))
        };
        let (build, mutant, end) = (line("build")?, line("mutant")?, line("end")?);
        let mutant = mutant_called(&mutant)?;
        let mut number = |name: &str| {
            let text = line(name)?;
            text.parse::<usize>()
                .map_err(|_| format!("`{text}` is no number, in its line `{name}`"))
        };
        let (plan_bytes, steps) = (number("plan")?, number("steps")?);
        let cut = |what: String| format!("it is cut off: {what}");
        if rest.len() < plan_bytes {
            return Err(cut(format!(
                "of {plan_bytes} bytes of its plan {} are there",
                rest.len()
            )));
        }
        let (plan, hashes) = rest.split_at(plan_bytes);
        let plan = std::str::from_utf8(plan).map_err(|_| "its plan is no text")?;
        let plan = plan.parse().map_err(|bad| format!("its plan, {bad}"))?;
        if hashes.len() != steps.saturating_mul(8) {
            return Err(match hashes.len() / 8 < steps {
                true => cut(format!("of {steps} steps {} are there", hashes.len() / 8)),
                false => format!("{} bytes follow its {steps} steps", hashes.len() - steps * 8),
            });
        }
        let hashes = hashes
            .as_chunks()
            .0
            .iter()
            .map(|chunk| u64::from_le_bytes(*chunk))
            .collect();
        Ok(Self {
            build,
            mutant,
            plan,
            end,
            hashes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(hashes: &[u64]) -> Track {
        Track {
            build: "a build".into(),
            mutant: None,
            plan: Plan::draw(3),
            end: "all held".into(),
            hashes: hashes.to_vec(),
        }
    }

    #[test]
    fn a_track_comes_back_from_its_bytes() {
        for hashes in [&[][..], &[1, u64::MAX, 3]] {
            let track = track(hashes);
            assert_eq!(Track::from_bytes(&track.to_bytes()), Ok(track));
        }
    }

    #[test]
    fn one_that_is_cut_off_says_where() {
        let bytes = track(&[1, 2, 3]).to_bytes();
        let wrong = |bytes: &[u8]| Track::from_bytes(bytes).unwrap_err();
        for length in 0..bytes.len() {
            wrong(&bytes[..length]);
        }
        assert_eq!(
            wrong(&bytes[..bytes.len() - 1]),
            "it is cut off: of 3 steps 2 are there"
        );
        assert_eq!(wrong(&[&bytes[..], b"x"].concat()), "1 bytes follow its 3 steps");
        assert_eq!(wrong(b"PK"), "it is no track of a run");
        let cut = wrong(&bytes[..MAGIC.len() + 3]);
        assert_eq!(cut, "it is cut off before the end of its line `build`");
    }

    #[test]
    fn the_first_difference_is_found_wherever_it_is() {
        let whole: Vec<u64> = (0..20).collect();
        for place in 0..20 {
            let mut other = whole.clone();
            other[place..].iter_mut().for_each(|hash| *hash += 100);
            assert_eq!(track(&whole).first_difference(&track(&other)), Some(place));
            assert_eq!(track(&whole).first_difference(&track(&whole[..place])), Some(place));
        }
        assert_eq!(track(&whole).first_difference(&track(&whole)), None);
    }

    #[test]
    fn runs_of_one_plan_have_one_track_and_a_mutant_leaves_it() {
        let plan = Plan::draw(3);
        let (one, other) = (Track::of("", &plan, None), Track::of("", &plan, None));
        assert_eq!(one, other);
        assert!(one.hashes.len() > 100);
        let broken = Track::of("", &plan, Some(Mutant::ApplyTwice));
        let place = one.first_difference(&broken).expect("it does something else");
        assert_eq!(one.hashes[..place], broken.hashes[..place]);
        assert_ne!(one.hashes.get(place), broken.hashes.get(place));
    }
}
