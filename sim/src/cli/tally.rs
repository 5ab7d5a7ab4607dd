//! What a swarm counts.

use std::collections::BTreeMap;
use std::time::Duration;

use sim::outcome::Outcome;
use sim::run::Report;

/// After so many seeds, what was never reached is not reached by chance.
const MANY_SEEDS: u64 = 1_000;

/// How often a run has reached what not every run reaches: all that there is, with 0 where it was not reached.
fn reached(report: &Report) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    let clients = [
        ("write-acknowledged", report.acknowledged),
        ("write-refused", report.refused),
        ("read-answered", report.read),
        ("row-watched", report.watched),
    ];
    let spots = report.reached.iter().map(|(what, times)| (*what, *times));
    spots.chain(clients)
}

/// The sums over the runs of a swarm: the same whoever ran which.
#[derive(Debug, Default)]
pub struct Tally {
    seeds: u64,
    steps: u64,
    virtual_us: u64,
    hash: u128,
    /// In how many seeds each fault and each rare path was reached; those that were in none, too.
    reached: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        let Some(report) = outcome.report() else {
            return;
        };
        self.steps += report.steps;
        self.virtual_us += report.at_us;
        self.hash = self.hash.wrapping_add(report.hash);
        for (what, times) in reached(report) {
            *self.reached.entry(what.to_string()).or_default() += u64::from(times > 0);
        }
    }

    /// How fast it goes: runs and simulated time in a second.
    pub fn pace(&self, passed: Duration) -> String {
        let tenths = |of: u128, per: u128| {
            let tenths = 10 * of / per.max(1);
            format!("{}.{}", tenths / 10, tenths % 10)
        };
        let (passed_us, virtual_us) = (passed.as_micros(), u128::from(self.virtual_us));
        format!(
            "{} runs/s, {} simulated hours/s, virtual to wall {}",
            tenths(u128::from(self.seeds) * 1_000_000, passed_us),
            tenths(virtual_us, 3_600 * passed_us),
            virtual_us / passed_us.max(1),
        )
    }

    /// Prints the sums. The last line is the hash of all runs. Returns 1 if there were many seeds and something that a run
    /// can reach was reached in none of them.
    pub fn print(&self, failed: usize, passed: Duration) -> u8 {
        for (what, seeds) in &self.reached {
            println!("reached: {what:<24} {seeds} seeds");
        }
        let never: Vec<&str> = self.never().collect();
        if !never.is_empty() {
            println!("never reached in {} seeds: {}", self.seeds, never.join(", "));
        }
        println!(
            "{} seeds, {} steps, {failed} failed, {} ms, {}",
            self.seeds,
            self.steps,
            passed.as_millis(),
            self.pace(passed)
        );
        println!("hash {:032x}", self.hash);
        u8::from(!never.is_empty())
    }

    fn never(&self) -> impl Iterator<Item = &str> {
        let enough = self.seeds >= MANY_SEEDS;
        let never = self.reached.iter().filter(move |(_, seeds)| enough && **seeds == 0);
        never.map(|(what, _)| what.as_str())
    }
}

#[cfg(test)]
mod tests {
    use kernel::wire::Consistency;
    use sim::outcome::attempt;
    use sim::plan::{Event, Plan};
    use sim::run::Options;
    use sim::seeds::try_seed;

    use super::*;

    /// The tally of so many seeds in which something was never reached.
    fn tally(seeds: u64) -> Tally {
        let mut tally = Tally::default();
        tally.add(&try_seed(0, None));
        tally.reached = [("often".into(), 7), ("seldom".into(), 1), ("never".into(), 0)].into();
        tally.seeds = seeds;
        tally
    }

    #[test]
    fn after_many_seeds_what_was_never_reached_fails() {
        let passed = Duration::from_secs(1);
        assert_eq!(tally(MANY_SEEDS - 1).print(0, passed), 0);
        assert_eq!(tally(MANY_SEEDS).never().collect::<Vec<_>>(), ["never"]);
        assert_eq!(tally(MANY_SEEDS).print(0, passed), 1);
    }

    #[test]
    fn a_run_counts_once_for_all_that_it_reached() {
        let put = |value| Event::Put {
            client: 0,
            map: "m".into(),
            key: "k".into(),
            value,
            ttl_ms: None,
            level: Consistency::default(),
        };
        let plan = Plan::quiet(0, 1, 1).at(0, put(1)).at(0, put(2));
        let mut tally = Tally::default();
        (0..3).for_each(|_| tally.add(&attempt(&plan, Options::default())));
        assert_eq!(tally.seeds, 3);
        assert_eq!(
            (tally.reached["write-acknowledged"], tally.reached["frame-lost"]),
            (3, 0)
        );
    }

    #[test]
    fn the_pace_is_that_of_all_runs_together() {
        let tally = Tally {
            seeds: 30,
            virtual_us: 72 * 3_600_000_000,
            ..Tally::default()
        };
        let pace = tally.pace(Duration::from_secs(20));
        assert_eq!(pace, "1.5 runs/s, 3.6 simulated hours/s, virtual to wall 12960");
    }
}
