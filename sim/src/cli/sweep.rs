//! `sim sweep`: the failure detector's settings, each with how soon it sees a kill and how often it is wrong.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use sim::sweep::cluster::Scene;
use sim::sweep::grid;
use sim::sweep::measure::{Calm, Kills, kill};

/// A day, in microseconds.
const DAY_US: u64 = 86_400_000_000;

/// A year, in days.
const YEAR_DAYS: u64 = 365;

/// What is swept.
#[derive(Debug, Args)]
pub struct Sweep {
    /// Nodes in the cluster.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=256))]
    nodes: u64,
    /// Of a thousand messages, how many are lost.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    loss_permille: u64,
    /// The longest that a message is under way, in milliseconds.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    jitter_ms: u64,
    /// For how many days nothing happens, for each setting. Each day is a cluster of its own.
    #[arg(long, default_value_t = 1)]
    days: u64,
    /// How many kills, for each setting.
    #[arg(long, default_value_t = 1_000)]
    kills: u64,
    /// What all of it is drawn from.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..1 << 30))]
    seed: u64,
    /// How many clusters at a time. The numbers are the same whatever it is.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: u64,
    /// Only the default settings.
    #[arg(long)]
    default_only: bool,
    /// A whole year of the default settings, and nothing else.
    #[arg(long, conflicts_with_all = ["days", "default_only"])]
    year: bool,
}

impl Sweep {
    /// Prints the table. Returns 0.
    // What is printed of real time depends on the clock, and nothing else.
    #[allow(clippy::disallowed_methods)]
    pub fn run(&self) -> u8 {
        let begun = Instant::now();
        let (rows, days) = match (self.year, self.default_only) {
            (true, _) => (vec![grid::default()], YEAR_DAYS),
            (false, true) => (vec![grid::default()], self.days),
            (false, false) => (grid::around_the_default(), self.days),
        };
        println!(
            "{} nodes, {} ‰ of the messages lost, up to {} ms under way; for each row {} kills and {days} simulated days",
            self.nodes, self.loss_permille, self.jitter_ms, self.kills
        );
        println!();
        println!(
            "| settings | seen by all, p50 ms | p99 ms | max ms | false suspicions | false failures | failures a year | messages, node and second | bytes, node and second |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        let mut all = Calm::default();
        for (name, settings) in rows {
            let scene = Scene {
                nodes: self.nodes as usize,
                loss_permille: self.loss_permille,
                jitter_ms: self.jitter_ms,
                settings,
                mutant: None,
            };
            let kills = self.share(0..self.kills, |at| kill(&scene, self.seed_of(1, at)));
            let calm = self.share(0..days, |at| Calm::measure(&scene, self.seed_of(2, at), DAY_US));
            let calm = calm.into_iter().fold(Calm::default(), Calm::and);
            self.print(&name, &Kills::new(kills), &calm);
            all = all.and(calm);
        }
        print_pace(&all, begun.elapsed());
        0
    }

    /// Kills and days are drawn apart, and the same for each row.
    fn seed_of(&self, what: u64, at: u64) -> u64 {
        (self.seed << 2 | what) << 32 | at
    }

    /// Does `work` for each number, so many at a time; what came of it, in order.
    fn share<T: Send>(&self, range: Range<u64>, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
        let next = Mutex::new(range);
        let done = Mutex::new(Vec::new());
        let run = || {
            while let Some(at) = { next.lock().unwrap_or_else(PoisonError::into_inner).next() } {
                let result = work(at);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
            }
        };
        std::thread::scope(|scope| (0..self.jobs).for_each(|_| _ = scope.spawn(run)));
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, result)| result).collect()
    }

    fn print(&self, name: &str, kills: &Kills, calm: &Calm) {
        let ms = |permille| match kills.permille_ms(permille) {
            Some(ms) => ms.to_string(),
            None => "never".into(),
        };
        let node_us = (calm.span_us * self.nodes).max(1);
        // Of what was not looked at nothing is said.
        let simulated = |text: String| if calm.span_us > 0 { text } else { "not simulated".into() };
        let count = |count: u64| simulated(count.to_string());
        let each = |total: u64| count((u128::from(total) * 1_000_000).div_ceil(u128::from(node_us)) as u64);
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            ms(500),
            ms(990),
            ms(1_000),
            count(calm.suspicions),
            count(calm.failures),
            a_year(calm.failures, calm.span_us),
            each(calm.messages),
            each(calm.bytes),
        );
    }
}

/// What a count in a part of a year says of a whole one: none seen bounds it, with the rule of three.
fn a_year(count: u64, span_us: u64) -> String {
    let year_us = YEAR_DAYS * DAY_US;
    match (count, span_us) {
        (_, 0) => "not simulated".into(),
        (count, span_us) if span_us >= year_us => format!("{} (simulated)", count * year_us / span_us),
        (0, span_us) => format!("below {} (95 %)", (3 * year_us).div_ceil(span_us)),
        (count, span_us) => format!("about {}", count * year_us / span_us),
    }
}

fn print_pace(all: &Calm, took: Duration) {
    let took_ms = (took.as_millis() as u64).max(1);
    println!();
    println!(
        "{} simulated days in {}.{:03} s, kills included: {} steps a second; the longest message {} bytes",
        all.span_us / DAY_US,
        took_ms / 1_000,
        took_ms % 1_000,
        all.events * 1_000 / took_ms,
        all.longest_bytes
    );
}
