//! How often what was asked, and what came of it.

use serde::{Deserialize, Serialize};

use crate::wire::Code;

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// To write a value.
    Put,
    /// To delete one.
    Delete,
    /// One of the two: it could not be read, or it failed with its commit, when nobody remembers which it was.
    Write,
    /// To read a value.
    Get,
    /// A query, once or live.
    Query,
    /// How the node is.
    Status,
    /// How the cluster is, or that it should be otherwise.
    Cluster,
    /// To hold a lock, or to define something.
    Agree,
    /// Whether it is there.
    Ping,
    /// To be let in.
    Auth,
    /// A frame that was refused before anybody looked what it asks.
    Frame,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 11] = [
        Kind::Put,
        Kind::Delete,
        Kind::Write,
        Kind::Get,
        Kind::Query,
        Kind::Status,
        Kind::Cluster,
        Kind::Agree,
        Kind::Ping,
        Kind::Auth,
        Kind::Frame,
    ];

    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Put => "put",
            Kind::Delete => "delete",
            Kind::Write => "write",
            Kind::Get => "get",
            Kind::Query => "query",
            Kind::Status => "status",
            Kind::Cluster => "cluster",
            Kind::Agree => "agree",
            Kind::Ping => "ping",
            Kind::Auth => "auth",
            Kind::Frame => "frame",
        }
    }
}

/// A column for `ok` and one for each [`Code`].
const RESULTS: usize = 1 + Code::ALL.len();

/// Operations by kind and result, since the node was made. A write counts as done when it is taken; one whose commit then
/// fails counts a second time, as [`Kind::Write`] with [`Code::OutcomeUnknown`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    table: [[u64; RESULTS]; Kind::ALL.len()],
}

impl Counts {
    /// Counts one; `refused` is the code of its refusal, if it was refused.
    pub fn add(&mut self, kind: Kind, refused: Option<Code>) {
        self.table[kind as usize][refused.map_or(0, |code| 1 + code as usize)] += 1;
    }

    /// How many there were.
    pub fn of(&self, kind: Kind, refused: Option<Code>) -> u64 {
        self.table[kind as usize][refused.map_or(0, |code| 1 + code as usize)]
    }

    /// Every kind with every result, those that never came to pass included.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, Option<Code>, u64)> {
        let results = || core::iter::once(None).chain(Code::ALL.into_iter().map(Some));
        let pairs = Kind::ALL
            .into_iter()
            .flat_map(move |kind| results().map(move |code| (kind, code)));
        pairs.map(|(kind, code)| (kind, code, self.of(kind, code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_code_has_a_place_of_its_own() {
        let mut counts = Counts::default();
        assert!(counts.iter().all(|(.., count)| count == 0));
        for (kind, code, _) in Counts::default().iter() {
            counts.add(kind, code);
        }
        assert!(counts.iter().all(|(.., count)| count == 1));
        assert_eq!(counts.iter().count(), Kind::ALL.len() * RESULTS);
    }
}
