//! One query that other nodes have a part in: who was asked for what, and what is there of the answers.
//!
//! It is asked of the acting owners of the partitions in which there can be records that match. Askings that belong together
//! are a *round*; its answers are taken at once, when all of it is there. So who watches sees no moment between two owners of a
//! partition that moves, and none at which a record of it is there twice or not at all. Until then the sources of the round before
//! are heard.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::Routes;
use crate::env::{ConnId, Limits, Mutants, NodeId};
use crate::partition::{PartitionSet, Routing};
use crate::query::{Answer, Change, Error, Explain, Gather, GatheredLive, Query, Ranked, Row, Said};
use crate::store::RecordKey;

/// Over which link something was asked (none: of this node itself), and by which number.
pub type AskedOver = (Option<ConnId>, u64);

/// How long after a node did not answer for a partition it is asked again: at first, and at most.
const RETRY_MS: (u64, u64) = (100, 1_600);

/// One query.
#[derive(Debug, Serialize, Deserialize)]
pub struct Gathering {
    /// The partitions in which there can be records that match.
    pub wanted: PartitionSet,
    /// What is wanted beside the answer.
    pub explain: Option<Explain>,
    answers: Answers,
    /// Who is heard.
    sources: BTreeMap<NodeId, Source>,
    /// Who was asked since.
    round: BTreeMap<NodeId, Asking>,
    /// What a node that was asked for did not answer for, until it is asked again.
    declined: PartitionSet,
    retry_ms: u64,
    retry_us: Option<u64>,
    /// When the first answer must be there; nothing, once it is.
    pub deadline_us: Option<u64>,
    /// Who was asked, ever.
    pub nodes: BTreeSet<NodeId>,
    /// When it is to be looked at, as the table of all has it.
    pub due_us: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answers {
    Once(Box<Gather>),
    Live(Box<GatheredLive>),
}

/// Who answers, by which number, over which link (none: this node itself), and how often something was told.
#[derive(Debug, Serialize, Deserialize)]
struct Source {
    request: u64,
    conn: Option<ConnId>,
    told: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Asking {
    source: Source,
    /// What was asked for; once it is answered, what it answers for.
    partitions: PartitionSet,
    /// The chunks that came, in whatever order, and which is the last one.
    parts: BTreeSet<u32>,
    last: Option<u32>,
    rows: BTreeMap<RecordKey, Ranked>,
    bytes: usize,
    complete: bool,
    /// When it is asked again, unless it is complete.
    late_us: u64,
}

/// What came of something that a source said.
#[derive(Debug)]
pub enum News {
    /// Nothing for the client.
    None,
    /// Frames are missing: the source must be asked again.
    Gap,
    /// Changes of the answer.
    Changes(Vec<Change>),
}

impl Gathering {
    /// Nobody was asked yet. `deadline_us`: for the first answer; `None` for a query that was answered before, by this node alone.
    pub fn new(
        query: Query,
        wanted: PartitionSet,
        once: bool,
        deadline_us: Option<u64>,
        routing: &Routing,
        limits: &Limits,
        mutants: Mutants,
    ) -> Self {
        Self {
            wanted,
            explain: None,
            answers: match once {
                true => Answers::Once(Box::new(Gather::new(query, routing, limits, mutants))),
                false => Answers::Live(Box::new(GatheredLive::new(query, routing, limits, mutants))),
            },
            sources: BTreeMap::new(),
            round: BTreeMap::new(),
            declined: PartitionSet::none(),
            retry_ms: RETRY_MS.0,
            retry_us: None,
            deadline_us,
            nodes: BTreeSet::new(),
            due_us: None,
        }
    }

    /// What is asked.
    pub fn query(&self) -> &Query {
        match &self.answers {
            Answers::Once(gather) => gather.query(),
            Answers::Live(gathered) => gathered.query(),
        }
    }

    /// Whether only the answer is wanted.
    pub fn is_once(&self) -> bool {
        matches!(self.answers, Answers::Once(_))
    }

    /// The partitions that are answered for.
    pub fn answered(&self) -> PartitionSet {
        match &self.answers {
            Answers::Once(gather) => gather.answered(),
            Answers::Live(gathered) => gathered.answered(),
        }
    }

    fn askings(&self) -> impl Iterator<Item = &Source> {
        self.round
            .values()
            .map(|asking| &asking.source)
            .chain(self.sources.values())
    }

    /// All askings that count, for who ends it: by link.
    pub fn requests(&self) -> Vec<AskedOver> {
        self.askings().map(|source| (source.conn, source.request)).collect()
    }

    /// Who was asked by this number, over this link.
    pub fn node_of(&self, request: u64, conn: Option<ConnId>) -> Option<NodeId> {
        let round = self.round.iter().map(|(node, asking)| (node, &asking.source));
        let mut all = round.chain(&self.sources);
        let found = all.find(|(_, source)| source.request == request && source.conn == conn);
        found.map(|(node, _)| *node)
    }

    /// When something is due.
    pub fn next_us(&self) -> Option<u64> {
        let late = self
            .round
            .values()
            .filter(|asking| !asking.complete)
            .map(|asking| asking.late_us);
        late.chain(self.retry_us).chain(self.deadline_us).min()
    }

    /// Time has passed: what was declined may be asked again, and what nobody answered. Returned are askings that count no more.
    pub fn pass(&mut self, now_us: u64) -> Vec<AskedOver> {
        if self.retry_us.take_if(|retry_us| *retry_us <= now_us).is_some() {
            self.declined = PartitionSet::none();
        }
        let late = |asking: &Asking| !asking.complete && asking.late_us <= now_us;
        let late: Vec<NodeId> = self
            .round
            .iter()
            .filter(|(_, asking)| late(asking))
            .map(|(node, _)| *node)
            .collect();
        late.iter().filter_map(|node| self.drop_asking(*node)).collect()
    }

    fn drop_asking(&mut self, node: NodeId) -> Option<AskedOver> {
        let Asking { source, .. } = self.round.remove(&node)?;
        Some((source.conn, source.request))
    }

    /// Whom to ask for what; and askings that count no more, because they are made anew or are not needed.
    pub fn plan(&mut self, routes: &Routes) -> (Vec<(NodeId, PartitionSet)>, Vec<AskedOver>) {
        let mut wants: BTreeMap<NodeId, PartitionSet> = BTreeMap::new();
        let missing = match &self.answers {
            Answers::Once(gather) => self.wanted.difference(gather.answered()),
            Answers::Live(_) => self.wanted,
        };
        for id in missing.iter() {
            match routes.owner(id) {
                Some(owner) if !self.declined.contains(id) => wants.entry(owner).or_default().insert(id),
                Some(_) => {}
                // Nobody acts for it. Who answered for it is heard as long as it is there.
                None => {
                    if let Some(node) = self.sources.keys().find(|node| self.in_force(**node).contains(id)) {
                        wants.entry(*node).or_default().insert(id);
                    }
                }
            }
        }
        let unneeded: Vec<NodeId> = self
            .round
            .keys()
            .filter(|node| !wants.contains_key(node))
            .copied()
            .collect();
        let has_limit = self.query().limit.is_some();
        let has = |node: NodeId, set: PartitionSet| match self.round.get(&node) {
            Some(asking) => asking.partitions == set,
            None => {
                let held = self.in_force(node);
                // With an end to the answer, what others took over still fills places in what it shows.
                held == set || (!has_limit && set.difference(held).is_empty())
            }
        };
        let asks: Vec<(NodeId, PartitionSet)> = wants.into_iter().filter(|(node, set)| !has(*node, *set)).collect();
        let gone = unneeded.into_iter().chain(asks.iter().map(|(node, _)| *node));
        let gone: Vec<NodeId> = gone.collect();
        let dropped = gone.into_iter().filter_map(|node| self.drop_asking(node)).collect();
        (asks, dropped)
    }

    /// What is read from a node.
    fn in_force(&self, node: NodeId) -> PartitionSet {
        match &self.answers {
            Answers::Live(gathered) if self.sources.contains_key(&node) => gathered.of_source(node),
            _ => PartitionSet::none(),
        }
    }

    /// A node is asked.
    pub fn ask(&mut self, node: NodeId, conn: Option<ConnId>, request: u64, partitions: PartitionSet, late_us: u64) {
        self.nodes.insert(node);
        let told = 0;
        let asking = Asking {
            source: Source { request, conn, told },
            partitions,
            parts: BTreeSet::new(),
            last: None,
            rows: BTreeMap::new(),
            bytes: 0,
            complete: false,
            late_us,
        };
        self.round.insert(node, asking);
    }

    /// These partitions are asked for again after a while.
    pub fn decline(&mut self, partitions: PartitionSet, now_us: u64) {
        if partitions.is_empty() {
            return;
        }
        self.declined = self.declined.union(partitions);
        if self.retry_us.is_none() {
            self.retry_us = Some(now_us + self.retry_ms * 1_000);
            self.retry_ms = (self.retry_ms * 2).min(RETRY_MS.1);
        }
    }

    /// A node does not answer, or not any more: what it was asked for, by `request`, is asked for again after a while.
    pub fn failed(&mut self, node: NodeId, request: u64, now_us: u64) {
        match self.round.get(&node) {
            Some(asking) if asking.source.request == request => {
                let partitions = asking.partitions;
                self.round.remove(&node);
                self.decline(partitions, now_us);
            }
            _ => {
                let partitions = self.in_force(node);
                self.sources.remove(&node);
                self.decline(partitions, now_us);
            }
        }
    }

    /// What a node was asked last, and by which number, if that was not taken yet.
    pub fn asked_of(&self, node: NodeId) -> Option<(u64, PartitionSet)> {
        let asking = self.round.get(&node)?;
        Some((asking.source.request, asking.partitions))
    }

    /// A link is gone, and with it what was asked over it. Returned are the askings that count no more.
    pub fn link_gone(&mut self, conn: ConnId) -> Vec<u64> {
        let over = |source: &Source| source.conn == Some(conn);
        let gone = self
            .askings()
            .filter(|source| over(source))
            .map(|source| source.request)
            .collect();
        self.round.retain(|_, asking| !over(&asking.source));
        self.sources.retain(|_, source| !over(source));
        gone
    }

    /// A chunk of an answer. `Err` if more is answered than may be held.
    pub fn take_rows(
        &mut self,
        node: NodeId,
        part: u32,
        rows: Vec<Ranked>,
        covers: Option<PartitionSet>,
        late_us: u64,
        limits: &Limits,
    ) -> Result<News, Error> {
        let Some(asking) = self.round.get_mut(&node) else {
            return Ok(News::None);
        };
        if asking.complete || !asking.parts.insert(part) {
            // It came twice.
            return Ok(News::None);
        }
        asking.late_us = late_us;
        for row in rows {
            asking.bytes += row.rank.len() + row.row.key.key().len() + row.row.value.len();
            asking.rows.insert(row.row.key.clone(), row);
        }
        // The source counts otherwise, and a little less: this only bounds what somebody can make this node hold.
        let limit = limits.query_bytes;
        if asking.bytes > limit.saturating_mul(2) {
            return Err(Error::TooManyBytes { limit });
        }
        let limit = limits.query_rows;
        if asking.rows.len() > limit {
            return Err(Error::TooManyRows { limit });
        }
        // The last chunk says what is answered for.
        if let Some(covers) = covers {
            asking.last = Some(part);
            asking.partitions = covers.intersection(asking.partitions);
        }
        self.complete(node)?;
        Ok(News::None)
    }

    /// Takes an answer of which all chunks are there.
    fn complete(&mut self, node: NodeId) -> Result<(), Error> {
        let Some(asking) = self.round.get_mut(&node) else {
            return Ok(());
        };
        asking.complete = asking
            .last
            .is_some_and(|last| asking.parts.len() == last as usize + 1 && asking.parts.last() == Some(&last));
        if !asking.complete {
            return Ok(());
        }
        if let Answers::Once(gather) = &mut self.answers {
            let (partitions, rows) = (asking.partitions, core::mem::take(&mut asking.rows));
            self.round.remove(&node);
            gather.add(partitions, rows.into_values().collect())?;
        }
        Ok(())
    }

    /// What a source says of its answer, the `number`th time.
    pub fn told(&mut self, node: NodeId, request: u64, number: Option<u64>, said: Vec<Said>) -> Result<News, Error> {
        let asking = self
            .round
            .get_mut(&node)
            .filter(|asking| asking.source.request == request);
        let is_early = asking.as_ref().is_some_and(|asking| !asking.complete);
        let (source, rows) = match asking {
            Some(asking) => (&mut asking.source, Some(&mut asking.rows)),
            None => match self.sources.get_mut(&node) {
                Some(source) => (source, None),
                None => return Ok(News::None),
            },
        };
        if number.is_some_and(|number| number <= source.told) {
            return Ok(News::None);
        }
        if is_early || number.is_some_and(|number| number > source.told + 1) {
            return Ok(News::Gap);
        }
        source.told = number.unwrap_or(0);
        let Some(rows) = rows else {
            let Answers::Live(gathered) = &mut self.answers else {
                return Ok(News::None);
            };
            return Ok(News::Changes(gathered.change(node, said)?));
        };
        for said in said {
            match said {
                Said::Has(ranked) => _ = rows.insert(ranked.row.key.clone(), ranked),
                Said::Left(key) => _ = rows.remove(&key),
            }
        }
        Ok(News::None)
    }

    /// How often a source was heard.
    pub fn heard(&self, request: u64) -> Option<u64> {
        self.askings()
            .find(|source| source.request == request)
            .map(|source| source.told)
    }

    /// Takes the answers of the round, if all of them are there and together leave no partition out. Returned are the changes, and
    /// askings that count no more.
    pub fn settle(&mut self) -> Result<Option<Settled>, Error> {
        let Answers::Live(gathered) = &mut self.answers else {
            return Ok(None);
        };
        if self.round.is_empty() || self.round.values().any(|asking| !asking.complete) {
            return Ok(None);
        }
        let (mut lost, mut won) = (PartitionSet::none(), PartitionSet::none());
        for (node, asking) in &self.round {
            lost = lost.union(gathered.of_source(*node));
            won = won.union(asking.partitions);
        }
        let after = gathered.answered().difference(lost).union(won);
        if !self.wanted.difference(after).is_empty() {
            return Ok(None);
        }
        let mut answers = Vec::new();
        let mut dropped = Vec::new();
        for (source, asking) in core::mem::take(&mut self.round) {
            let (partitions, rows) = (asking.partitions, asking.rows.into_values().collect());
            answers.push(Answer {
                source,
                partitions,
                rows,
            });
            if let Some(old) = self.sources.insert(source, asking.source) {
                dropped.push((old.conn, old.request));
            }
        }
        let changes = gathered.replace(answers)?;
        let empty = |node: &NodeId| gathered.of_source(*node).is_empty();
        let empty: Vec<NodeId> = self.sources.keys().filter(|node| empty(node)).copied().collect();
        for old in empty.iter().filter_map(|node| self.sources.remove(node)) {
            dropped.push((old.conn, old.request));
        }
        if self.declined.is_empty() {
            self.retry_ms = RETRY_MS.0;
        }
        Ok(Some(Settled { changes, dropped }))
    }

    /// The answer as it is, with what is wanted of each value.
    pub fn rows(&self) -> Vec<Row> {
        match &self.answers {
            Answers::Once(gather) => Gather::clone(gather).into_rows(),
            Answers::Live(gathered) => gathered.rows(),
        }
    }

    /// What this node had in memory is gone: all is to be asked anew.
    pub fn restart(&mut self, routing: &Routing, limits: &Limits, mutants: Mutants) {
        let query = self.query().clone();
        *self = Self {
            explain: self.explain.take(),
            nodes: core::mem::take(&mut self.nodes),
            due_us: self.due_us,
            ..Self::new(
                query,
                self.wanted,
                self.is_once(),
                self.deadline_us,
                routing,
                limits,
                mutants,
            )
        };
    }
}

/// A round that was taken.
#[derive(Debug)]
pub struct Settled {
    /// What it does to the answer.
    pub changes: Vec<Change>,
    /// Askings that count no more, by link.
    pub dropped: Vec<AskedOver>,
}

#[cfg(test)]
mod tests;
