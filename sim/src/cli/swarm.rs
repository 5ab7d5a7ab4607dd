//! `sim swarm`: many seeds, as many at a time as there are jobs. Each run has a thread of its own, made for it and gone with
//! it, and no run knows of another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kernel::env::Mutant;
use sim::outcome::Outcome;
use sim::seeds::{Seeds, try_seed};

use super::parse;
use super::source::replay;
use super::tally::Tally;

/// Most runs at a time, whatever is asked for: each has a thread.
const MOST_JOBS: usize = 256;

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
    tally: Tally,
    /// The exit codes of the seeds that failed.
    failed: BTreeMap<u64, u8>,
}

impl Swarm {
    /// Runs it, and prints what failed as it fails. Returns the exit code: that of the failed run with the smallest seed.
    pub fn run(&self) -> u8 {
        match stop_on_signals() {
            Ok(stop) => self.run_until(&stop),
            Err(error) => {
                eprintln!("signals cannot be waited for: {error}");
                2
            }
        }
    }

    // The runs are deterministic each for itself. Only how many of them there are depends on the clock, and only if
    // a time was asked for.
    #[allow(clippy::disallowed_methods)]
    fn run_until(&self, stop: &AtomicBool) -> u8 {
        let begun = Instant::now();
        let bar = bar(&self.seeds);
        let shared = Mutex::new(Shared {
            next: self.seeds.0.start,
            tally: Tally::default(),
            failed: BTreeMap::new(),
        });
        let next = || {
            let mut shared = lock(&shared);
            let failed = !shared.failed.is_empty() && !self.keep_going;
            let late = self.time.is_some_and(|time| begun.elapsed() >= time);
            let seed = shared.next;
            if seed >= self.seeds.0.end || failed || late || stop.load(Ordering::Relaxed) {
                return None;
            }
            shared.next += 1;
            Some(seed)
        };
        let work = || {
            while let Some(seed) = next() {
                // Whatever a run leaves in its thread is gone with the thread.
                let outcome = std::thread::scope(|scope| scope.spawn(|| try_seed(seed, self.mutant)).join());
                let mut shared = lock(&shared);
                match outcome {
                    Ok(outcome) => self.take(&mut shared, &bar, seed, &outcome),
                    // A panic that is not the run's own: what catches them is broken.
                    Err(panic) => std::panic::resume_unwind(panic),
                }
                bar.set_message(shared.tally.pace(begun.elapsed()));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, MOST_JOBS) {
                scope.spawn(work);
            }
        });
        bar.finish_and_clear();
        let shared = lock(&shared);
        if stop.load(Ordering::Relaxed) {
            println!("stopped by a signal; the seeds that had begun were run to their end");
        }
        let code = shared.failed.values().next().copied().unwrap_or(0);
        let reached = shared.tally.print(shared.failed.len(), begun.elapsed());
        match code {
            0 => reached,
            code => code,
        }
    }

    fn take(&self, shared: &mut Shared, bar: &ProgressBar, seed: u64, outcome: &Outcome) {
        shared.tally.add(outcome);
        bar.inc(1);
        if outcome.failure().is_none() {
            return;
        }
        shared.failed.insert(seed, outcome.code());
        bar.suspend(|| {
            println!("seed {seed}: {outcome}");
            println!("replay: {}", replay(&format!("--seed {seed}"), self.mutant));
        });
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Set by the first signal that asks to stop. The second ends the process at once.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first of the two sees what the one before it has left.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// On standard error, and only if that is a terminal.
fn bar(seeds: &Seeds) -> ProgressBar {
    let style = ProgressStyle::with_template("[{elapsed}] {bar:30} {pos} of {len} seeds, {msg}");
    let bar = ProgressBar::new(seeds.0.end - seeds.0.start);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
