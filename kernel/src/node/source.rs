//! Answering for a part of a query, on behalf of the node that gathers it: this one, or another.
//!
//! A *source* is such a part that is kept: a [`Live`] query over the partitions that were asked for and that this node holds. What
//! becomes of it leaves with the commit of what it tells of. A source whose link is full is ended, and who asked is told so later:
//! nothing queues up for it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, Limits, Mutant, Mutants, Now};
use crate::node::Node;
use crate::partition::PartitionSet;
use crate::query::{ChangeType, Gone, Live, Query, Ranked, Row, Said, net};
use crate::session::{Conns, Floor, Outbox, Shows, refusal_of_query};
use crate::store::{RecordKey, Store};
use crate::wire::Code;
use crate::wire::cluster::{Word, refusal};
use crate::wire::gather::{Rows, Watch, chunks};
use crate::wire::server::Refusal;

/// Who asked: over which link, or this node itself; and its number for the asking.
pub type Asking = (Option<ConnId>, u64);

/// What became of sources of this node's own queries.
pub type Told = Vec<(u64, Result<Vec<Said>, Refusal>)>;

/// Most askings in one word about what was told.
const LISTED: usize = 1_000;

/// The parts of queries that this node keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sources {
    table: BTreeMap<Asking, Source>,
    /// Which of them watch a map: a change asks only those.
    by_map: BTreeMap<String, BTreeSet<Asking>>,
    /// Of which more was told than the other side is known to have heard.
    unheard: BTreeSet<Asking>,
    /// Those that were ended because their link was full, and of which the other side knows nothing yet.
    ended: BTreeSet<(ConnId, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Source {
    live: Live,
    /// How often something was told of it.
    told: u64,
}

impl Source {
    /// What a change of these keys does to it.
    fn change(&mut self, keys: &[&RecordKey], store: &Store, mutants: Mutants) -> Result<Vec<Said>, Refusal> {
        let mut events = Vec::new();
        for key in keys {
            let value = self.live.value(store, key);
            events.extend(self.live.change(key, value).map_err(|error| refusal_of_query(&error))?);
        }
        let said = net(events).into_iter().filter_map(|event| {
            let value = self.live.value(store, &event.key);
            let left = event.change == ChangeType::Leave;
            if mutants.is(Mutant::LeaveLost) && left && value.is_some() {
                return None;
            }
            let said = match value.filter(|_| !left) {
                None => Said::Left(event.key),
                Some(value) => {
                    let (key, value) = (event.key, Bytes::copy_from_slice(value));
                    Said::Has(self.live.query().ranked(&Row { key, value }))
                }
            };
            Some(said)
        });
        Ok(said.collect())
    }
}

impl Sources {
    /// How many are kept.
    pub fn len(&self) -> usize {
        self.table.len() + self.ended.len()
    }

    fn keep(&mut self, asking: Asking, live: Live) {
        self.close(asking);
        self.by_map.entry(live.query().map.clone()).or_default().insert(asking);
        self.table.insert(asking, Source { live, told: 0 });
    }

    /// Ends one, if it is there.
    pub fn close(&mut self, asking: Asking) {
        let Some(gone) = self.table.remove(&asking) else {
            return;
        };
        self.unheard.remove(&asking);
        let map = &gone.live.query().map;
        if let Some(of_map) = self.by_map.get_mut(map) {
            of_map.remove(&asking);
            if of_map.is_empty() {
                self.by_map.remove(map);
            }
        }
    }

    /// Ends all of a link.
    pub fn close_all(&mut self, conn: ConnId) {
        let of_link = self.table.range((Some(conn), 0)..=(Some(conn), u64::MAX));
        let of_link: Vec<Asking> = of_link.map(|(asking, _)| *asking).collect();
        of_link.into_iter().for_each(|asking| self.close(asking));
        self.ended.retain(|(of, _)| *of != conn);
    }

    /// The state that all of them followed was thrown away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Tells of what was changed or has expired: all of a step as one change. Returned is what this node tells itself.
    pub fn tell(
        &mut self,
        keys: &[&RecordKey],
        store: &Store,
        conns: &Conns,
        limits: &Limits,
        outbox: &mut Outbox,
        mutants: Mutants,
    ) -> Told {
        let mut own = Vec::new();
        if self.table.is_empty() {
            return own;
        }
        let mut of_maps: BTreeMap<&str, BTreeSet<&RecordKey>> = BTreeMap::new();
        for key in keys.iter().filter(|key| self.by_map.contains_key(key.map())) {
            of_maps.entry(key.map()).or_default().insert(key);
        }
        for (map, keys) in of_maps {
            let keys: Vec<&RecordKey> = keys.into_iter().collect();
            let askings: Vec<Asking> = self.by_map.get(map).into_iter().flatten().copied().collect();
            for asking in askings {
                let Some(source) = self.table.get_mut(&asking) else {
                    continue;
                };
                let (conn, request) = asking;
                if let Some(conn) = conn.filter(|conn| conns.is_full(*conn, limits)) {
                    self.close(asking);
                    self.ended.insert((conn, request));
                    continue;
                }
                let said = source.change(&keys, store, mutants);
                let Some(conn) = conn else {
                    match said {
                        Ok(said) if said.is_empty() => {}
                        said => own.push((request, said)),
                    }
                    continue;
                };
                let longest = conns.longest(conn, limits);
                let sent = said.and_then(|said| source.send(conn, request, &said, limits.chunk_bytes, longest, outbox));
                match sent {
                    Ok(false) => {}
                    Ok(true) => _ = self.unheard.insert(asking),
                    Err(refusal) => {
                        self.close(asking);
                        outbox.push(conn, Word::Ended { request, refusal }.to_frame(), Shows::Nothing);
                    }
                }
            }
        }
        own
    }
}

impl Source {
    /// Says it over a link. `false`: there was nothing to say.
    fn send(
        &mut self,
        conn: ConnId,
        request: u64,
        said: &[Said],
        chunk_bytes: usize,
        longest: usize,
        outbox: &mut Outbox,
    ) -> Result<bool, Refusal> {
        for rows in chunks(said, chunk_bytes, longest).map_err(|reason| refusal(Code::TooLarge, reason))? {
            self.told += 1;
            let number = self.told;
            let word = Word::Told { request, number, rows };
            outbox.push(conn, word.to_frame(), Shows::Update);
        }
        Ok(!said.is_empty())
    }
}

impl Node {
    /// Opens a part of a query: the partitions that it answers for, of those that are asked, and the rows of the answer. Unless only
    /// the answer is wanted it is kept.
    pub(super) fn open_source(
        &mut self,
        asking: Asking,
        query: Query,
        partitions: PartitionSet,
        once: bool,
        (strict, floors): (bool, &[(RecordKey, Floor)]),
    ) -> Result<(PartitionSet, Vec<Ranked>), Refusal> {
        let gone = floors.iter().filter(|(_, floor)| floor.gone);
        let gone = Gone::of(gone.map(|(key, floor)| (key, floor.stamp)), &self.store);
        let (place, limits) = (self.membership.place(), &self.config.limits);
        let lacks = |(key, floor): &&(RecordKey, Floor)| strict && self.store.lacks(key, floor.stamp);
        let behind = floors
            .iter()
            .filter(lacks)
            .map(|(key, _)| self.store.partition_of(key))
            .collect();
        let holds =
            |id: &crate::partition::PartitionId| place.holds(*id) || self.config.mutants.is(Mutant::AnswersForOthers);
        let held: PartitionSet = partitions.iter().filter(holds).collect();
        let covers = held.difference(behind);
        let error = |error| refusal_of_query(&error);
        if once {
            let rows = query.run_but(&gone, &self.store, &covers, limits).map_err(error)?;
            return Ok((covers, rows.iter().map(|row| query.ranked(row)).collect()));
        }
        if self.sources.len() >= limits.sources {
            return Err(refusal(
                Code::Overloaded,
                "a node keeps as many parts of live queries as it may",
            ));
        }
        let (live, rows) = Live::open_but(gone, query, &self.store, &covers, limits).map_err(error)?;
        let rows = rows.iter().map(|row| live.query().ranked(row)).collect();
        self.sources.keep(asking, live);
        Ok((covers, rows))
    }

    /// A node asks for a part of a query.
    pub(super) fn watched(&mut self, conn: ConnId, watch: &Watch<'_>) {
        if watch.epoch < self.membership.epoch() {
            self.teach(conn);
        }
        let limits = self.config.limits.clone();
        let request = watch.request;
        let answered = if !self.serves() {
            Err(refusal(Code::NotReady, "the node that acts as owner is stopping"))
        } else if self.conns.is_full(conn, &limits) {
            // Nothing can be said now. It is said later, or asked again.
            if self.sources.len() < limits.sources {
                self.sources.ended.insert((conn, request));
            }
            return;
        } else {
            watch
                .query(&limits)
                .map_err(|error| refusal_of_query(&error))
                .and_then(|query| {
                    let floors = watch.floors(&limits);
                    let floors = (watch.strict, &floors[..]);
                    let (covers, rows) =
                        self.open_source((Some(conn), request), query, watch.partitions, watch.once, floors)?;
                    self.give_rows(conn, request, covers, rows)
                })
        };
        if let Err(refusal) = answered {
            self.sources.close((Some(conn), request));
            self.outbox
                .push(conn, Word::Ended { request, refusal }.to_frame(), Shows::Nothing);
        }
    }

    fn give_rows(
        &mut self,
        conn: ConnId,
        request: u64,
        covers: PartitionSet,
        rows: Vec<Ranked>,
    ) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let said: Vec<Said> = rows.into_iter().map(Said::Has).collect();
        let longest = self.conns.longest(conn, limits);
        let mut chunks =
            chunks(&said, limits.chunk_bytes, longest).map_err(|reason| refusal(Code::TooLarge, reason))?;
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let last = chunks.len() - 1;
        for (at, rows) in chunks.into_iter().enumerate() {
            let word = Word::Rows(Rows {
                request,
                part: at as u32,
                rows,
                covers: (at == last).then_some(covers),
            });
            self.outbox.push(conn, word.to_frame(), Shows::Read);
        }
        Ok(())
    }

    /// Tells those who asked what was ended because nothing could be said.
    pub(super) fn tell_ended(&mut self) {
        if self.sources.ended.is_empty() {
            return;
        }
        let limits = &self.config.limits;
        let drained = |conn| {
            self.conns
                .get(conn)
                .is_none_or(|conn| conn.unsent_bytes <= limits.unsent_bytes / 2)
        };
        let told: Vec<_> = self
            .sources
            .ended
            .iter()
            .filter(|(conn, _)| drained(*conn))
            .copied()
            .collect();
        for (conn, request) in told {
            self.sources.ended.remove(&(conn, request));
            let refusal = refusal(Code::NotReady, "the link could not keep up");
            self.outbox
                .push(conn, Word::Ended { request, refusal }.to_frame(), Shows::Nothing);
        }
    }

    /// With a heartbeat: how much was told of what, as long as it is not known to be heard.
    pub(super) fn tell_upto(&mut self, conn: ConnId) {
        let of_link = self
            .sources
            .unheard
            .range((Some(conn), 0)..=(Some(conn), u64::MAX))
            .take(LISTED);
        let told = |asking: &Asking| Some((asking.1, self.sources.table.get(asking)?.told));
        let list: Vec<(u64, u64)> = of_link.filter_map(told).collect();
        if !list.is_empty() {
            self.outbox.push(conn, Word::Upto(list).to_frame(), Shows::Update);
        }
    }

    /// Who asked says how much it heard.
    pub(super) fn heard_upto(&mut self, conn: ConnId, list: &[(u64, u64)]) {
        for (request, number) in list {
            let asking = (Some(conn), *request);
            if self
                .sources
                .table
                .get(&asking)
                .is_none_or(|source| source.told == *number)
            {
                self.sources.unheard.remove(&asking);
            }
        }
    }

    /// Nothing more is wanted of these.
    pub(super) fn unwatched(&mut self, conn: ConnId, requests: &[u64]) {
        for request in requests {
            self.sources.close((Some(conn), *request));
            self.sources.ended.remove(&(conn, *request));
        }
    }

    /// Tells those who watch what this step has changed.
    pub(super) fn tell_watchers(&mut self, now: Now) {
        let expired = core::mem::take(&mut self.expired);
        let mutants = self.config.mutants;
        let silent = |change: &&crate::store::Change| {
            mutants.is(Mutant::DeletesNotTold) && change.record.version().is_tombstone()
        };
        let changed = self.store.staged().iter().filter(|change| !silent(change));
        let news: Vec<&RecordKey> = changed.map(|change| &change.key).chain(&expired).collect();
        if news.is_empty() {
            return;
        }
        let (conns, limits, outbox) = (&self.conns, &self.config.limits, &mut self.outbox);
        self.subscriptions
            .tell(news.iter().copied(), &self.store, conns, limits, outbox);
        let mutants = self.config.mutants;
        for (request, said) in self.sources.tell(&news, &self.store, conns, limits, outbox, mutants) {
            self.told_itself(request, said, now);
        }
    }
}
