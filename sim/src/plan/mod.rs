//! A run is a plan: a header that says what the world is like, and a list of what happens in it, each with its time.
//!
//! A seed is expanded into a plan ([`Plan::draw`]); running is executing it. So a failure can be cut down (delete an entry,
//! keep failing) and kept (a file that replays after the generator has changed).

use crate::endpoint::Endpoint;
use crate::watch::Watch;

mod draw;
pub(crate) mod edit;
mod header;
mod text;

pub use header::Header;
pub use text::BadPlan;

/// What a run is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What the world is like.
    pub header: Header,
    /// What happens in it, by time.
    pub entries: Vec<Entry>,
}

/// One thing that happens. It stands for itself: deleting it leaves no other without its counterpart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in virtual time.
    pub at_us: u64,
    /// What.
    pub event: Event,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `put c0 map key 7`, or `put c0 map key 7 ttl 500`: a client writes a number, perhaps for so many milliseconds.
    Put {
        /// Who.
        client: usize,
        /// Into which map.
        map: String,
        /// Under which key.
        key: String,
        /// What. No other entry writes the same number.
        value: u64,
        /// How long it is read.
        ttl_ms: Option<u64>,
    },
    /// `delete c0 map key`: a client deletes.
    Delete {
        /// Who.
        client: usize,
        /// From which map.
        map: String,
        /// Which key.
        key: String,
    },
    /// `get c0 map key`: a client reads.
    Get {
        /// Who.
        client: usize,
        /// From which map.
        map: String,
        /// Which key.
        key: String,
    },
    /// `watch c0 map above:50 down 3`: a client keeps a query live from now on, on whatever line it has.
    Watch {
        /// Who.
        client: usize,
        /// What.
        watch: Watch,
    },
    /// `offline c0 for 5000`: a client has no network; it goes on writing into its queue.
    Offline {
        /// Who.
        client: usize,
        /// For how long.
        for_us: u64,
    },
    /// `block n0 n1 for 5000`: nothing gets from one end to the other. The other way is another entry's business.
    Block {
        /// From where.
        from: Endpoint,
        /// To where.
        to: Endpoint,
        /// For how long.
        for_us: u64,
    },
    /// `crash n0 for 5000`: a node crashes, and is booted again after a while.
    Crash {
        /// Which.
        node: usize,
        /// For how long it is down.
        for_us: u64,
    },
    /// `stop n0 for 5000`: a node is told to stop cleanly, and is booted again after a while, stopped or not.
    Stop {
        /// Which.
        node: usize,
        /// After how long it is booted again.
        for_us: u64,
    },
    /// `jump n0 -5000`: a node's wall clock jumps.
    Jump {
        /// Which node's.
        node: usize,
        /// By how much.
        by_ms: i64,
    },
    /// `fail-commit n0`: the next group of log entries of a node fails.
    FailCommit {
        /// Which node's.
        node: usize,
    },
    /// `fail-apply n0`: the next apply of a node fails.
    FailApply {
        /// Which node's.
        node: usize,
    },
    /// `full n0 for 5000`: a node's disk has no room.
    Full {
        /// Which node's.
        node: usize,
        /// For how long.
        for_us: u64,
    },
    /// `slow n0 20 for 5000`: a node's disk takes so many times as long.
    Slow {
        /// Which node's.
        node: usize,
        /// How many times.
        factor: u64,
        /// For how long.
        for_us: u64,
    },
}

/// The faults that a plan can hold, as they are written in it.
pub const FAULTS: [&str; 9] = [
    "block n0 n1 for 5000",
    "crash n0 for 5000",
    "stop n0 for 5000",
    "jump n0 -5000",
    "fail-commit n0",
    "fail-apply n0",
    "full n0 for 5000",
    "slow n0 20 for 5000",
    "offline c0 for 5000",
];

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        draw::draw(seed)
    }

    /// A plan in which nothing happens yet, in a world without faults.
    pub fn quiet(seed: u64, nodes: usize, clients: usize) -> Self {
        let header = Header {
            seed,
            nodes: nodes as u64,
            clients: clients as u64,
            ..Header::default()
        };
        Self {
            header,
            entries: Vec::new(),
        }
    }

    /// Adds an entry. Entries of one instant happen in the order in which they were added.
    pub fn at(mut self, at_us: u64, event: Event) -> Self {
        self.entries.push(Entry { at_us, event });
        self.entries.sort_by_key(|entry| entry.at_us);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_comes_back_from_its_text() {
        for seed in 0..50 {
            let plan = Plan::draw(seed);
            let text = plan.to_string();
            assert_eq!(text.parse(), Ok(plan), "{text}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_plan_and_another_seed_another() {
        assert_eq!(Plan::draw(7), Plan::draw(7));
        assert_ne!(Plan::draw(7).entries, Plan::draw(8).entries);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let read = |text: &str| text.parse::<Plan>().unwrap_err().to_string();
        assert_eq!(read("weather 3"), "line 1: there is no `weather`");
        assert_eq!(read("nodes"), "line 1: `nodes` takes a number");
        assert_eq!(read("\n5us crash n1"), "line 2: `crash` is written `crash n0 for 5000`");
        assert_eq!(read("5us explode n1"), "line 1: nothing is called `explode`");
        assert_eq!(read("nodes 2\n5us crash n2 for 3"), "line 2: there is no n2");
    }

    #[test]
    fn swarms_differ_in_which_faults_are_on() {
        let has = |plan: &Plan, wanted: fn(&Event) -> bool| plan.entries.iter().any(|entry| wanted(&entry.event));
        let plans: Vec<Plan> = (0..200).map(Plan::draw).collect();
        let kinds: [fn(&Event) -> bool; 6] = [
            |event| matches!(event, Event::Block { .. }),
            |event| matches!(event, Event::Crash { .. }),
            |event| matches!(event, Event::Jump { .. }),
            |event| matches!(event, Event::FailCommit { .. }),
            |event| matches!(event, Event::Full { .. }),
            |event| matches!(event, Event::Offline { .. }),
        ];
        for kind in kinds {
            let with = plans.iter().filter(|plan| has(plan, kind)).count();
            assert!((20..180).contains(&with), "{with} of 200");
        }
        assert!(plans.iter().any(|plan| plan.header.ordered) && plans.iter().any(|plan| !plan.header.ordered));
    }
}
