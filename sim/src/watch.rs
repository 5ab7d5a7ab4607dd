//! Live queries of the workload: what a client watches, what the answer should be, and what it makes of what it is told.
//!
//! The answer is computed here from the words of the plan; the kernel's predicates, ranks and windows have no part in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use kernel::env::Limits;
use kernel::msgpack::Writer;
use kernel::query::{ChangeType, Direction, Path, Predicate, Query};
use kernel::wire::query::{Results, Update};

use crate::model::State;

/// The document that the workload writes: a map with one number, `n`.
pub fn document(number: u64) -> Bytes {
    let mut out = Writer::new();
    out.map(1).text("n").u64(number);
    out.into_bytes()
}

/// The number in such a document.
pub(crate) fn number_in(document: &[u8]) -> Option<u64> {
    match document.strip_prefix(b"\x81\xa1n")? {
        [small] => Some(u64::from(*small)),
        [0xcc..=0xcf, digits @ ..] => Some(digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit))),
        _ => None,
    }
}

/// Which records are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `all`.
    All,
    /// `above:50`: those with a greater number.
    Above(u64),
    /// `between:10:60`: those with such a number, both included.
    Between(u64, u64),
    /// `outside:10:60`: the others.
    Outside(u64, u64),
    /// `not-key:k2`: all but one.
    NotKey(String),
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `by-key`.
    Key,
    /// `up`: by number.
    Up,
    /// `down`: the greatest number first.
    Down,
}

/// What a client watches. In a plan: the map, which of its records, in which order, how many (`map above:50 down 3`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The map.
    pub map: String,
    /// Which of its records.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// How many; 0 for all.
    pub limit: u64,
}

/// The rows of an answer: keys and documents.
pub type Rows = BTreeMap<Bytes, Bytes>;

impl Filter {
    fn wants(&self, key: &[u8], number: u64) -> bool {
        match self {
            Filter::All => true,
            Filter::Above(floor) => number > *floor,
            Filter::Between(low, high) => (*low..=*high).contains(&number),
            Filter::Outside(low, high) => !(*low..=*high).contains(&number),
            Filter::NotKey(name) => key != name.as_bytes(),
        }
    }

    /// As people would type it.
    fn text(&self) -> String {
        match self {
            Filter::All => String::new(),
            Filter::Above(floor) => format!("n > {floor}"),
            Filter::Between(low, high) => format!("n between {low} and {high}"),
            Filter::Outside(low, high) => format!("n < {low} or n > {high}"),
            Filter::NotKey(name) => format!("_key != {name}"),
        }
    }
}

impl Watch {
    /// As the kernel is asked.
    ///
    /// # Panics
    /// If the kernel cannot read what is typed here: a bug of one of the two.
    pub fn query(&self) -> Query {
        let limits = Limits::default();
        let by = |direction| vec![(Path::parse("n").expect("a name"), direction)];
        Query {
            predicate: Predicate::parse(&self.filter.text(), &limits)
                .expect("a filter of the plan is one of the kernel"),
            order: match self.order {
                Order::Key => Vec::new(),
                Order::Up => by(Direction::Ascending),
                Order::Down => by(Direction::Descending),
            },
            limit: (self.limit > 0).then_some(self.limit as usize),
            ..Query::of(&self.map)
        }
    }

    /// Whether it asks for so many rows and no more.
    pub fn has_limit(&self) -> bool {
        self.limit > 0
    }

    /// The keys of its map whose values have a time to live.
    pub fn brief_keys(&self, state: &State) -> BTreeSet<Bytes> {
        let prefix = [self.map.as_bytes(), &[0]].concat();
        let brief = state.iter().filter(|(_, version)| version.ttl_ms.is_some());
        let keys = brief.filter_map(|(name, _)| name.strip_prefix(prefix.as_slice()));
        keys.map(Bytes::copy_from_slice).collect()
    }

    /// The answer over a state.
    pub fn answer(&self, state: &State) -> Rows {
        let prefix = [self.map.as_bytes(), &[0]].concat();
        let mut rows = Vec::new();
        for (name, version) in state {
            let key = name.strip_prefix(prefix.as_slice());
            if let (Some(key), Some(value)) = (key, &version.value)
                && let Some(number) = number_in(value).filter(|number| self.filter.wants(key, *number))
            {
                let rank = match self.order {
                    Order::Key => 0,
                    Order::Up => number,
                    Order::Down => u64::MAX - number,
                };
                rows.push((rank, Bytes::copy_from_slice(key), value.clone()));
            }
        }
        rows.sort();
        let most = if self.limit > 0 {
            self.limit as usize
        } else {
            rows.len()
        };
        rows.into_iter()
            .take(most)
            .map(|(_, key, value)| (key, value))
            .collect()
    }
}

/// What a client knows of the answer on the line that is open now.
#[derive(Debug)]
pub(crate) struct View {
    pub watch: Watch,
    /// Asked on this line.
    pub asked: bool,
    pub not_before_us: u64,
    /// Once answered.
    pub rows: Option<Rows>,
}

impl View {
    pub fn new(watch: Watch) -> Self {
        Self {
            watch,
            asked: false,
            not_before_us: 0,
            rows: None,
        }
    }

    /// The line is gone, and with it what was watched over it.
    pub fn forget(&mut self) {
        self.asked = false;
        self.rows = None;
    }

    /// A whole answer.
    pub fn replace(&mut self, results: &Results<'_>) {
        let rows = results.rows().flatten();
        let rows = rows.map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        self.rows = Some(rows.collect());
    }

    /// A change of it. One that overtook the answer tells nothing that the answer does not.
    pub fn change(&mut self, update: &Update<'_>) {
        let Some(rows) = &mut self.rows else { return };
        match (update.change, update.value) {
            (ChangeType::Leave, _) | (_, None) => _ = rows.remove(update.key),
            (_, Some(value)) => {
                rows.insert(Bytes::copy_from_slice(update.key), Bytes::copy_from_slice(value));
            }
        }
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.map)?;
        match &self.filter {
            Filter::All => write!(f, "all")?,
            Filter::Above(floor) => write!(f, "above:{floor}")?,
            Filter::Between(low, high) => write!(f, "between:{low}:{high}")?,
            Filter::Outside(low, high) => write!(f, "outside:{low}:{high}")?,
            Filter::NotKey(name) => write!(f, "not-key:{name}")?,
        }
        let order = match self.order {
            Order::Key => "by-key",
            Order::Up => "up",
            Order::Down => "down",
        };
        write!(f, " {order} {}", self.limit)
    }
}

impl FromStr for Watch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [map, filter, order, limit] = words[..] else {
            return Err(());
        };
        let number = |word: &str| word.parse::<u64>().map_err(|_| ());
        let parts: Vec<&str> = filter.split(':').collect();
        Ok(Self {
            map: map.into(),
            filter: match parts[..] {
                ["all"] => Filter::All,
                ["above", floor] => Filter::Above(number(floor)?),
                ["between", low, high] => Filter::Between(number(low)?, number(high)?),
                ["outside", low, high] => Filter::Outside(number(low)?, number(high)?),
                ["not-key", name] => Filter::NotKey(name.into()),
                _ => return Err(()),
            },
            order: match order {
                "by-key" => Order::Key,
                "up" => Order::Up,
                "down" => Order::Down,
                _ => return Err(()),
            },
            limit: number(limit)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_gives_its_number_back() {
        for number in [0, 7, 127, 128, 255, 256, 70_000, u64::MAX] {
            assert_eq!(number_in(&document(number)), Some(number));
        }
        assert_eq!(number_in(b"\xc0"), None);
    }
}
