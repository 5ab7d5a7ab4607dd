//! `sim mutants`: which seed finds which bug.

use std::collections::BTreeMap;
use std::sync::Mutex;

use clap::Args;
use kernel::env::Mutant;
use sim::seeds::{Seeds, TESTED_APART, first_to_find, tested_apart};

use super::parse;

/// Every mutant, until it is found.
#[derive(Debug, Args)]
pub struct Mutants {
    /// Among which seeds.
    #[arg(long, value_parser = Seeds::parse, default_value = "0..1000")]
    seeds: Seeds,
    /// How many mutants at a time. What finds them is the same whatever it is.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Only these: see `sim list`.
    #[arg(long, value_parser = parse::mutant)]
    mutant: Vec<Mutant>,
}

/// What became of one.
struct Row {
    /// How many seeds it took, and what found it in the last one; nothing if it is still hidden.
    found: Option<(u64, String)>,
    took_ms: u128,
}

impl Mutants {
    /// Prints a table in Markdown: for each how many seeds and how long it took, and what found it; of those that have a test of their own
    /// only which. Returns 1 if one is not found.
    pub fn run(&self) -> u8 {
        let all = self.mutant.is_empty();
        let mutants = match self.mutant.as_slice() {
            [] => Vec::from_iter(Mutant::ALL.into_iter().filter(|mutant| tested_apart(*mutant).is_none())),
            some => some.to_vec(),
        };
        println!("| mutant | found by | seeds | seconds |");
        println!("|---|---|---:|---:|");
        let rows = self.hunt(&mutants);
        for (mutant, test) in TESTED_APART.iter().filter(|_| all) {
            println!("| `{}` | `{test}` | | |", mutant.name());
        }
        let needed = |row: &Row| row.found.as_ref().map(|(seeds, _)| *seeds);
        let hidden = rows.iter().filter(|row| needed(row).is_none()).count();
        let mut seeds: Vec<u64> = rows.iter().map(|row| needed(row).unwrap_or(u64::MAX)).collect();
        seeds.sort_unstable();
        println!("\n{} mutants, {hidden} not found in {} seeds", rows.len(), self.seeds);
        match seeds.get(seeds.len() / 2) {
            Some(&u64::MAX) | None => println!("the median is not found"),
            Some(median) => println!("median: {median} seeds"),
        }
        u8::from(hidden > 0)
    }

    /// Tries all of them, and prints each row once those before it are there.
    // Only the seconds that are printed depend on the clock.
    #[allow(clippy::disallowed_methods)]
    fn hunt(&self, mutants: &[Mutant]) -> Vec<Row> {
        let next = Mutex::new(0..mutants.len());
        let done = Mutex::new((Vec::new(), BTreeMap::new()));
        let work = || {
            while let Some(at) = { lock(&next).next() } {
                let begun = std::time::Instant::now();
                let seen = first_to_find(mutants[at], self.seeds.clone());
                let row = Row {
                    found: seen.map(|(seed, by)| (seed - self.seeds.0.start + 1, by)),
                    took_ms: begun.elapsed().as_millis(),
                };
                let mut done = lock(&done);
                let (rows, early) = &mut *done;
                early.insert(at, row);
                while let Some(row) = early.remove(&rows.len()) {
                    self.print(mutants[rows.len()], &row);
                    rows.push(row);
                }
            }
        };
        std::thread::scope(|scope| (0..self.jobs.max(1)).for_each(|_| _ = scope.spawn(work)));
        done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn print(&self, mutant: Mutant, row: &Row) {
        let (by, seeds) = match &row.found {
            Some((seeds, by)) => (by.as_str(), seeds.to_string()),
            None => ("nothing", format!("over {}", self.seeds.0.clone().count())),
        };
        let (seconds, hundredths) = (row.took_ms / 1_000, row.took_ms % 1_000 / 10);
        println!("| `{}` | {by} | {seeds} | {seconds}.{hundredths:02} |", mutant.name());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
