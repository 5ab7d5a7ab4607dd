//! Many seeds, on as many threads as there are jobs. Each run is wholly on one thread, and no run knows of another.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use kernel::env::Mutant;

use crate::plan::Plan;
use crate::run::{End, Options, Report, run};

/// A range of seeds, the last excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub std::ops::Range<u64>);

impl Seeds {
    /// Reads `A..B`.
    ///
    /// # Errors
    /// If it is something else, or empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no range of seeds: write `0..1000`");
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let number = |word: &str| word.parse::<u64>().map_err(|_| wrong());
        let range = number(from)?..number(to)?;
        if range.is_empty() {
            return Err(format!("there is no seed in {text}"));
        }
        Ok(Self(range))
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.0.start, self.0.end)
    }
}

/// The exit code of a run that ended so.
pub fn code_of(end: &End) -> u8 {
    match end {
        End::Held => 0,
        End::Broken(_) => 1,
        End::Stuck(_) => 4,
    }
}

/// How a run ended, for people.
pub fn describe(report: &Report) -> String {
    match &report.end {
        End::Held => "all held".into(),
        End::Broken(violation) => format!("broken: {violation}"),
        End::Stuck(why) => format!("no progress by {} ms: {why}", report.at_us / 1_000),
    }
}

/// One seed, whatever becomes of it. `None`: the code under test panicked.
pub fn try_seed(seed: u64, mutant: Option<Mutant>) -> Option<Report> {
    let options = Options { mutant, hook: None };
    catch_unwind(AssertUnwindSafe(|| run(&Plan::draw(seed), options))).ok()
}

/// The first seed in which a mutant is seen, and by which promise.
pub fn first_to_find(mutant: Mutant, seeds: Seeds) -> Option<(u64, String)> {
    seeds.0.into_iter().find_map(|seed| match try_seed(seed, Some(mutant)) {
        None => Some((seed, "the code under test panicked".into())),
        Some(report) => match report.end {
            End::Held => None,
            End::Broken(violation) => Some((seed, violation.invariant.into())),
            End::Stuck(why) => Some((seed, format!("no progress: {why}"))),
        },
    })
}

/// A swarm.
#[derive(Debug)]
pub struct Swarm {
    /// Which seeds.
    pub seeds: Seeds,
    /// How many at a time.
    pub jobs: usize,
    /// Begin no more after so long.
    pub time: Option<Duration>,
    /// Break every node in this way.
    pub mutant: Option<Mutant>,
    /// Go on after a failure.
    pub keep_going: bool,
}

/// What the threads of a swarm share.
struct Shared {
    next: u64,
    done: u64,
    steps: u64,
    /// The hashes of all runs, summed: the same whoever ran which.
    hash: u128,
    failed: Vec<(u64, u8, String)>,
}

impl Swarm {
    /// Runs it, and prints what failed. Returns the exit code: that of the failed run with the smallest seed.
    // The runs are deterministic each for itself. Only how many of them there are depends on the clock, and only if
    // a time was asked for.
    #[allow(clippy::disallowed_methods)]
    pub fn run(&self) -> u8 {
        let begun = std::time::Instant::now();
        let in_time = || self.time.is_none_or(|time| begun.elapsed() < time);
        let shared = Mutex::new(Shared {
            next: self.seeds.0.start,
            done: 0,
            steps: 0,
            hash: 0,
            failed: Vec::new(),
        });
        let lock = || shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = || {
            let mut shared = lock();
            let stop = !shared.failed.is_empty() && !self.keep_going;
            let seed = shared.next;
            if seed >= self.seeds.0.end || stop || !in_time() {
                return None;
            }
            shared.next += 1;
            Some(seed)
        };
        let work = || {
            while let Some(seed) = next() {
                let report = try_seed(seed, self.mutant);
                let mut shared = lock();
                shared.done += 1;
                match report {
                    None => shared
                        .failed
                        .push((seed, 3, "crash: the code under test panicked".into())),
                    Some(report) => {
                        shared.steps += report.steps;
                        shared.hash = shared.hash.wrapping_add(report.hash);
                        if report.end != End::Held {
                            shared.failed.push((seed, code_of(&report.end), describe(&report)));
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let mut shared = lock();
        shared.failed.sort();
        let mutant = self
            .mutant
            .map_or(String::new(), |mutant| format!(" --mutant {}", mutant.name()));
        for (seed, _, how) in &shared.failed {
            println!("seed {seed}: {how}");
            println!("replay: cargo run --release -p sim -- run --seed {seed}{mutant}");
        }
        let (done, steps, failed) = (shared.done, shared.steps, shared.failed.len());
        println!(
            "{done} seeds, {steps} steps, {failed} failed, {} ms",
            begun.elapsed().as_millis()
        );
        println!("hash {:032x}", shared.hash);
        shared.failed.first().map_or(0, |(_, code, _)| *code)
    }
}
