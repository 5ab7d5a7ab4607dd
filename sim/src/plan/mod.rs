//! A run is a plan: a header that says what the world is like, and a list of what happens in it, each with its time.
//!
//! A seed is expanded into a plan ([`Plan::draw`]); running is executing it. So a failure can be cut down (delete an entry,
//! keep failing) and kept (a file that replays after the generator has changed).

use kernel::wire::{Consistency, ReadConsistency};

use crate::watch::Watch;

mod bounds;
mod draw;
pub(crate) mod edit;
mod fault;
mod header;
mod text;

pub use fault::{Fault, FaultKind, On, Row};
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
    /// `put c0 map key 7`, or `put c0 map key 7 ttl 500 quorum`: a client writes a number, perhaps for so many milliseconds, and
    /// perhaps wants more replicas to have it than one.
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
        /// How many replicas must have it.
        level: Consistency,
    },
    /// `delete c0 map key`, or `delete c0 map key quorum`: a client deletes.
    Delete {
        /// Who.
        client: usize,
        /// From which map.
        map: String,
        /// Which key.
        key: String,
        /// How many replicas must have it.
        level: Consistency,
    },
    /// `get c0 map key`, or `get c0 map key quorum`: a client reads.
    Get {
        /// Who.
        client: usize,
        /// From which map.
        map: String,
        /// Which key.
        key: String,
        /// Which replicas are asked.
        level: ReadConsistency,
    },
    /// `watch c0 map above:50 down 3`: a client keeps a query live from now on, on whatever line it has.
    Watch {
        /// Who.
        client: usize,
        /// What.
        watch: Watch,
    },
    /// `lock c0 name 800`, `define c0 name`, `swap c0 name`, `look c0 name`: a client asks something of a named register.
    Register {
        /// Who.
        client: usize,
        /// Which.
        name: String,
        /// What.
        ask: Ask,
    },
    /// Something goes wrong.
    Fault(Fault),
}

/// What a client asks of a named register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// A lock; what it holds for long it gives back at once.
    Lock {
        /// For how long, in milliseconds.
        ttl_ms: u64,
    },
    /// To set a definition to what nobody else sets it to.
    Define,
    /// The same, only if it is still as the client heard last.
    Swap,
    /// To know a definition.
    Look,
}

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
    fn levels_come_back_and_what_is_usual_is_not_written() {
        let text = "clients 1\n1us put c0 m k 7 ttl 5 quorum\n2us put c0 m k 8 strong\n3us put c0 m k 9 eventual\n\
                    4us delete c0 m k quorum\n5us get c0 m k quorum\n6us get c0 m k any\n7us get c0 m k owner\n";
        let plan: Plan = text.parse().expect("a plan");
        let printed = plan.to_string();
        let usual = text.replace(" eventual", "").replace(" owner", "");
        assert!(printed.ends_with(usual.trim_start_matches("clients 1\n")), "{printed}");
        assert_eq!(printed.parse(), Ok(plan));
        for wrong in [
            "put c0 m k 7 any",
            "put c0 m k 7 quorum ttl 5",
            "delete c0 m k owner",
            "get c0 m k strong",
        ] {
            let said = format!("5us {wrong}").parse::<Plan>().expect_err(wrong).to_string();
            assert!(said.contains("is written"), "{said}");
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
        let plans: Vec<Plan> = (0..200).map(Plan::draw).collect();
        for kind in FaultKind::ALL {
            let of_kind = |entry: &Entry| matches!(&entry.event, Event::Fault(fault) if fault.kind == kind);
            let with = plans.iter().filter(|plan| plan.entries.iter().any(of_kind)).count();
            assert!((8..180).contains(&with), "{kind:?}: {with} of 200");
        }
        assert!(plans.iter().any(|plan| plan.header.ordered) && plans.iter().any(|plan| !plan.header.ordered));
    }
}
