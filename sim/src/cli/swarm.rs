//! Many seeds, on as many threads as there are jobs. Each run is wholly on one thread, and no run knows of another.

use std::sync::Mutex;
use std::time::Duration;

use clap::Args;
use kernel::env::Mutant;
use sim::seeds::{Seeds, try_seed};

use super::parse;
use super::source::replay;

/// A swarm.
#[derive(Debug, Args)]
pub struct Swarm {
    /// From the first up to the last, which is not one of them: `0..1000`.
    #[arg(long, value_parser = Seeds::parse)]
    seeds: Seeds,
    /// How many at a time. The outcome is the same whatever it is.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Begin no more seeds after so long: `90s`, `10m`.
    #[arg(long, value_parser = parse::duration)]
    time: Option<Duration>,
    /// Break every node in this way.
    #[arg(long, value_parser = parse::mutant)]
    mutant: Option<Mutant>,
    /// Go on after a failure, and report all.
    #[arg(long)]
    keep_going: bool,
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
                let outcome = try_seed(seed, self.mutant);
                let mut shared = lock();
                shared.done += 1;
                if let Some(report) = outcome.report() {
                    shared.steps += report.steps;
                    shared.hash = shared.hash.wrapping_add(report.hash);
                }
                if outcome.failure().is_some() {
                    shared.failed.push((seed, outcome.code(), outcome.to_string()));
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
        for (seed, _, how) in &shared.failed {
            println!("seed {seed}: {how}");
            println!("replay: {}", replay(&format!("--seed {seed}"), self.mutant));
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
