//! A query that is kept, of the answers of many that are kept.
//!
//! Each source answers for some of the partitions, and says what enters, changes and leaves of its own answer; what that does
//! to the answer of all is said here. A source is asked for its first records and so many that they decide the whole answer
//! ([`Query::of_source`]): when one leaves, the next one comes from the source, and nobody need be asked.
//!
//! A partition is read from one source: the one that was asked last for it. When it moves, the new owner is asked and takes it
//! over; what the old one still says of it is not heard. A record of it that both of them show is never there twice.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::gather::ends_with;
use super::live::net;
use super::window::Window;
use super::{ChangeType, Error, Event, Query, Ranked, Row};
use crate::env::{Limits, Mutant, Mutants, NodeId};
use crate::partition::{PartitionBy, PartitionId, PartitionSet, Routing, partition_of_key};
use crate::store::RecordKey;

/// What a source says of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// The row is in it now, or has changed: ENTER and UPDATE.
    Has(Ranked),
    /// The row of this record is in it no more: LEAVE.
    Left(RecordKey),
}

/// The first answer of a source that was asked, or asked anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Who.
    pub source: NodeId,
    /// The partitions that it was asked for.
    pub partitions: PartitionSet,
    /// All that it shows.
    pub rows: Vec<Ranked>,
}

/// A change of the answer of all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What happened.
    pub change: ChangeType,
    /// To which record.
    pub key: RecordKey,
    /// What is wanted of its value, as MessagePack; `None` if it left.
    pub value: Option<Bytes>,
}

/// The rows of each source's answer, and what of them is in the answer of all.
///
/// Bounded by `query_rows` and `query_bytes`, values included. What the sources say is taken at its word, but for what would
/// harm: rows of other maps, and of partitions that are another source's, are passed over.
///
/// ```text
/// let mut gathered = GatheredLive::new(query, routing, limits, mutants);
/// gathered.replace(answers)?;                               // of all sources; the changes are the rows
/// let rows = gathered.rows();                               // answer with these, in order
/// for change in gathered.change(source, said)? { … }        // after each step of a source: tell of `change`, in order
/// for change in gathered.replace(answers)? { … }            // after a source was asked anew, or a partition has moved
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatheredLive {
    query: Query,
    by: Option<PartitionBy>,
    sources: BTreeMap<NodeId, Source>,
    /// The rows of all sources, by their key in the map.
    members: BTreeMap<Bytes, Member>,
    window: Window,
    bytes: usize,
    rows_max: usize,
    bytes_max: usize,
    mutants: Mutants,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Source {
    /// What is read from it: each partition from one.
    partitions: PartitionSet,
    /// Another source took some of it over, and the answer has an end: what was taken still fills places of what is shown.
    short: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Member {
    at: PartitionId,
    name: RecordKey,
    rank: Bytes,
    value: Bytes,
}

impl GatheredLive {
    /// No source yet.
    pub fn new(query: Query, routing: &Routing, limits: &Limits, mutants: Mutants) -> Self {
        let shown = Query {
            offset: match mutants.is(Mutant::GatherForgetsOffset) {
                true => 0,
                false => query.offset,
            },
            ..query.clone()
        };
        Self {
            window: Window::of(&shown),
            by: routing.of_map(&query.map).cloned(),
            query,
            sources: BTreeMap::new(),
            members: BTreeMap::new(),
            bytes: 0,
            rows_max: limits.query_rows,
            bytes_max: limits.query_bytes,
            mutants,
        }
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The partitions that some source answers for.
    pub fn answered(&self) -> PartitionSet {
        let sources = self.sources.values();
        sources.fold(PartitionSet::none(), |set, source| set.union(source.partitions))
    }

    /// The partitions that are read from `source`.
    pub fn of_source(&self, source: NodeId) -> PartitionSet {
        self.sources
            .get(&source)
            .map_or_else(PartitionSet::none, |source| source.partitions)
    }

    /// The sources of an answer with a limit from which others took partitions over. What such a one shows can end with records
    /// that count no more, and hide those behind them: until it is asked anew for what it still has, the answer can lack rows.
    /// Asked before, both answers given to one [`GatheredLive::replace`], it never does.
    pub fn short(&self) -> impl Iterator<Item = NodeId> {
        self.sources
            .iter()
            .filter(|(_, source)| source.short)
            .map(|(id, _)| *id)
    }

    /// The answer of all, in order.
    pub fn rows(&self) -> Vec<Row> {
        let shown = self.window.shown().filter_map(|name| self.members.get(name.key()));
        shown
            .map(|member| Row {
                key: member.name.clone(),
                value: member.value.clone(),
            })
            .collect()
    }

    /// Takes what `source` says of its answer after one step, and says what it does to the answer of all. Those that leave are
    /// told of first. What it said before it was asked last must not come here any more.
    ///
    /// # Errors
    /// [`Error::TooManyRows`] and [`Error::TooManyBytes`]: nothing that it says from then on can be relied on; the query must be
    /// opened again.
    pub fn change(&mut self, source: NodeId, said: Vec<Said>) -> Result<Vec<Change>, Error> {
        let own = self.of_source(source);
        let mut step = Step::default();
        for said in said {
            let key = match &said {
                Said::Has(ranked) => &ranked.row.key,
                Said::Left(key) => key,
            };
            let at = self.partition(key);
            if key.map() == self.query.map && own.contains(at) {
                match said {
                    Said::Has(ranked) => self.put(at, ranked, &mut step)?,
                    Said::Left(key) => self.take(&key, &mut step),
                }
            }
        }
        Ok(self.changes(step))
    }

    /// Takes whole answers in place of what their sources said before, and says what the difference is. Each takes over the
    /// partitions that it answers for, from whoever had them; where two answer for one, the later in the list does.
    ///
    /// A source whose partitions were all taken over is forgotten. Of partitions that a source had, and answers for no more,
    /// nothing is shown until somebody takes them: give the answers of both sides of a move at once, and nobody sees it.
    ///
    /// # Errors
    /// As for [`GatheredLive::change`].
    pub fn replace(&mut self, answers: Vec<Answer>) -> Result<Vec<Change>, Error> {
        let mut touched = PartitionSet::none();
        // Which of the answers counts for a partition.
        let mut counts = BTreeMap::new();
        for (index, answer) in answers.iter().enumerate() {
            touched = touched.union(self.of_source(answer.source)).union(answer.partitions);
            self.take_over(answer);
            counts.extend(answer.partitions.iter().map(|at| (at, index)));
        }
        let mut wanted = BTreeMap::new();
        for (index, answer) in answers.into_iter().enumerate() {
            for ranked in answer.rows {
                let at = self.partition(&ranked.row.key);
                if ranked.row.key.map() == self.query.map && counts.get(&at) == Some(&index) {
                    wanted.insert(ranked.row.key.clone(), (at, ranked));
                }
            }
        }
        let mut gone = Vec::new();
        for member in self.members.values().filter(|member| touched.contains(member.at)) {
            match wanted.get(&member.name) {
                None => gone.push(member.name.clone()),
                Some((_, new)) if new.rank == member.rank && new.row.value == member.value => {
                    wanted.remove(&member.name);
                }
                Some(_) => {}
            }
        }
        let mut step = Step::default();
        for key in gone {
            self.take(&key, &mut step);
        }
        for (at, ranked) in wanted.into_values() {
            self.put(at, ranked, &mut step)?;
        }
        Ok(self.changes(step))
    }

    fn take_over(&mut self, answer: &Answer) {
        self.sources.remove(&answer.source);
        for source in self.sources.values_mut() {
            let left = source.partitions.difference(answer.partitions);
            source.short |= self.query.limit.is_some() && left != source.partitions;
            source.partitions = left;
        }
        let (partitions, short) = (answer.partitions, false);
        self.sources.insert(answer.source, Source { partitions, short });
        self.sources.retain(|_, source| !source.partitions.is_empty());
    }

    fn partition(&self, key: &RecordKey) -> PartitionId {
        partition_of_key(key.key(), self.by.as_ref())
    }

    fn put(&mut self, at: PartitionId, ranked: Ranked, step: &mut Step) -> Result<(), Error> {
        let Ranked { rank, row } = ranked;
        // A window of nothing shows nothing.
        if self.query.is_empty() || !ends_with(&rank, row.key.key()) {
            return Ok(());
        }
        let key = row.key.as_bytes().slice_ref(row.key.key());
        let member = Member {
            at,
            name: row.key,
            rank,
            value: row.value,
        };
        let old = self.members.get(&key);
        let limit = self.rows_max;
        if old.is_none() && self.members.len() >= limit {
            return Err(Error::TooManyRows { limit });
        }
        let bytes = self.bytes - old.map_or(0, |old| old.bytes(&self.query)) + member.bytes(&self.query);
        let limit = self.bytes_max;
        if bytes > limit {
            return Err(Error::TooManyBytes { limit });
        }
        self.bytes = bytes;
        let new = Some(member.rank.clone());
        step.events
            .extend(self.window.change(&member.name, old.map(|old| &old.rank), new));
        step.touched.insert(member.name.clone());
        self.members.insert(key, member);
        Ok(())
    }

    fn take(&mut self, key: &RecordKey, step: &mut Step) {
        let Some(old) = self.members.remove(key.key()) else {
            return;
        };
        self.bytes -= old.bytes(&self.query);
        step.events.extend(self.window.change(key, Some(&old.rank), None));
        step.touched.insert(old.name);
    }

    /// What is left to be told at the end of a step.
    fn changes(&self, step: Step) -> Vec<Change> {
        let Step { events, touched } = step;
        // What only went out and in again as others came and went is where it was.
        let moves_up = |event: &Event| event.change == ChangeType::Enter && !touched.contains(&event.key);
        let lost = |event: &Event| self.mutants.is(Mutant::WindowNotRefilled) && moves_up(event);
        let told = |event: &Event| (event.change != ChangeType::Update || touched.contains(&event.key)) && !lost(event);
        let events = net(events).into_iter().filter(told);
        let change = |Event { change, key }: Event| {
            let member = self.members.get(key.key()).filter(|_| change != ChangeType::Leave);
            let value = member.map(|member| member.value.clone());
            Change { change, key, value }
        };
        events.map(change).collect()
    }
}

/// What one step has done so far.
#[derive(Default)]
struct Step {
    events: Vec<Event>,
    /// The records that were changed themselves.
    touched: BTreeSet<RecordKey>,
}

impl Member {
    fn bytes(&self, query: &Query) -> usize {
        self.rank.len() + query.answer_bytes(self.name.key(), &self.value)
    }
}

#[cfg(test)]
mod tests;
