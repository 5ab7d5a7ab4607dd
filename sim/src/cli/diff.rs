//! `sim diff`: the first step at which two runs differ.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use clap::Args;
use kernel::env::Mutant;
use sim::outcome::attempt;
use sim::plan::Plan;
use sim::run::Options;
use sim::trace::Step;
use sim::track::{MAGIC, Recorder, Track};

use super::parse;

/// Two runs, step by step. Exit code 0: the same. 1: they differ. 2: one cannot be read.
#[derive(Debug, Args)]
pub struct Diff {
    /// What `run --trace` wrote; or a plan, or a seed, which is run by this program.
    a: String,
    /// The same. Without it, the plan of A is run by this program.
    b: Option<String>,
    /// Break every node of B in this way. Without it, B is broken as A is, if B is not named.
    #[arg(long, value_parser = parse::mutant)]
    mutant: Option<Mutant>,
}

/// Which program this is, as a track tells it.
pub fn build() -> String {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{} {profile} {arch}-{os}", env!("CARGO_PKG_VERSION"))
}

impl Diff {
    /// Compares them, prints where they part, and returns the exit code.
    pub fn run(&self) -> u8 {
        match self.sides() {
            Ok((a, b)) => compare(&a, &b),
            Err(wrong) => {
                eprintln!("{wrong}");
                2
            }
        }
    }

    fn sides(&self) -> Result<(Track, Track), String> {
        let a = side(&self.a, None)?;
        let b = match &self.b {
            Some(b) => side(b, self.mutant)?,
            None => Track::of(&build(), &a.plan, self.mutant.or(a.mutant)),
        };
        Ok((a, b))
    }
}

/// A track from a file; or the one of a plan or a seed, run here.
fn side(name: &str, mutant: Option<Mutant>) -> Result<Track, String> {
    if let (Ok(seed), false) = (name.parse(), Path::new(name).exists()) {
        return Ok(Track::of(&build(), &Plan::draw(seed), mutant));
    }
    let bytes = std::fs::read(name).map_err(|error| format!("{name}: {error}"))?;
    if bytes.starts_with(MAGIC.as_bytes()) {
        return match mutant {
            None => Track::from_bytes(&bytes).map_err(|wrong| format!("{name}: {wrong}")),
            Some(_) => Err(format!("{name}: it was run already: a mutant comes too late")),
        };
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: neither a track nor a plan"))?;
    let plan: Plan = text.parse().map_err(|bad| format!("{name}: {bad}"))?;
    Ok(Track::of(&build(), &plan, mutant))
}

fn compare(a: &Track, b: &Track) -> u8 {
    if let Some(lines) = other_plan(&a.plan, &b.plan) {
        println!("the plans differ: {lines}");
    }
    let Some(step) = a.first_difference(b) else {
        println!("{} steps, all the same", a.hashes.len());
        return match a.end == b.end {
            true => 0,
            false => {
                println!("the ends differ:\nA: {}\nB: {}", a.end, b.end);
                1
            }
        };
    };
    println!("{step} steps are the same, then they differ:");
    if step > 0
        && let Some(before) = shown(a, step - 1).or_else(|| shown(b, step - 1))
    {
        println!("both: step {} {before}", step - 1);
    }
    let steps = [("A", a), ("B", b)].map(|(name, track)| {
        let text = shown(track, step);
        match (&text, track.hashes.len() <= step) {
            (_, true) => println!("{name}: no step {step}: {}", track.end),
            (Some(text), _) => println!("{name}: step {step} {text}"),
            (None, _) => println!(
                "{name}: step {step} cannot be shown: {} did something else than {}; let it compare",
                build(),
                track.build
            ),
        }
        text
    });
    if let [Some(a), Some(b)] = &steps
        && let Some((a, b)) = parting(a, b)
    {
        println!("they part at\nA: {a}\nB: {b}");
    }
    1
}

/// Where two texts part, with a little of what stands before and behind.
fn parting(a: &str, b: &str) -> Option<(String, String)> {
    const AROUND: usize = 60;
    let same = a.chars().zip(b.chars()).position(|(a, b)| a != b)?;
    let around = |text: &str| {
        let skipped = same.saturating_sub(AROUND);
        text.chars().skip(skipped).take(same - skipped + AROUND).collect()
    };
    Some((around(a), around(b)))
}

/// The first line in which two plans differ.
fn other_plan(a: &Plan, b: &Plan) -> Option<String> {
    let (a, b) = (a.to_string(), b.to_string());
    let (mut a, mut b) = (a.lines(), b.lines());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => return Some(format!("`{}` and `{}`", a.unwrap_or("nothing"), b.unwrap_or("nothing"))),
        }
    }
}

/// A step as text, by running it again here; if that leads to the same hash.
fn shown(track: &Track, wanted: usize) -> Option<String> {
    let recorder = Recorder::default();
    let text: Rc<RefCell<Option<String>>> = Rc::default();
    let (recording, keep) = (recorder.clone(), Rc::clone(&text));
    let mut taken = 0;
    let hook = move |step: &Step<'_>| {
        recording.step(step);
        if taken == wanted {
            let (ms, us) = (step.at_us / 1_000, step.at_us % 1_000);
            let line = format!(
                "at {ms}.{us:03} ms n{} {:?} -> {:?}",
                step.node, step.input, step.output
            );
            keep.replace(Some(line));
        }
        taken += 1;
    };
    let options = Options {
        mutant: track.mutant,
        hook: Some(Box::new(hook)),
        ..Options::default()
    };
    let outcome = attempt(&track.plan, options);
    let again = recorder.track("", &track.plan, track.mutant, &outcome);
    let same = again.hashes.get(wanted) == track.hashes.get(wanted);
    text.take().filter(|_| same)
}
