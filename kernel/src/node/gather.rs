//! Answering queries: from what this node holds where it acts as owner of all that can match, and else by asking those who do.

use alloc::format;
use alloc::vec::Vec;

use crate::env::{ConnId, NodeId, Now};
use crate::machine::ConnKind;
use crate::node::Node;
use crate::node::gathering::{AskedOver, Gathering, News};
use crate::partition::PartitionSet;
use crate::query::{Gone, Ranked, Said};
use crate::session::{Asked, Kind, Name, Request, Shows, read_query, refusal_of_query};
use crate::wire::Code;
use crate::wire::cluster::{Word, refusal};
use crate::wire::gather::{Rows, SentRow, Watch, query_bytes};
use crate::wire::query::{Explained, QuerySub};
use crate::wire::server::Refusal;

impl Node {
    /// Answers a query; on a connection that can be pushed to it is live from then on, unless only the answer is wanted.
    pub(super) fn query(&mut self, conn: ConnId, kind: ConnKind, sub: QuerySub<'_>, now: Now) -> Option<Request> {
        match self.open_query(conn, kind, sub, now) {
            Ok(request) => request,
            Err(Refusal { code, reason }) => {
                let mut desk = self.desk(now);
                desk.doing = Kind::Query;
                desk.refuse(conn, code, reason, sub.id);
                None
            }
        }
    }

    fn open_query(
        &mut self,
        conn: ConnId,
        kind: ConnKind,
        sub: QuerySub<'_>,
        now: Now,
    ) -> Result<Option<Request>, Refusal> {
        let query = read_query(sub, &self.config.limits)?;
        self.close_query(conn, sub.id);
        let (limits, mutants) = (&self.config.limits, self.config.mutants);
        let once = sub.once || !kind.push;
        if !once && self.subscriptions.held(conn) + self.scatter.held(conn) >= limits.subscriptions {
            let reason = "the connection has as many live queries as it may";
            return Err(refusal(Code::TooLarge, reason));
        }
        let within = query.partitions(&self.config.routing, mutants);
        let plan = sub.explain.then(|| query.explain(&self.config.routing, mutants));
        if self.acts_for(within) && !self.lacks_told(conn, &query.map, within, now) {
            let told = self.floors.of_map(conn, &query.map, now, limits);
            let gone = told
                .filter(|(_, floor)| floor.gone)
                .map(|(key, floor)| (key, floor.stamp));
            let asked = Asked {
                id: sub.id,
                gone: Gone::of(gone, &self.store),
                query,
                within,
                once,
                explained: plan.map(|plan| Explained { plan, nodes: 1 }),
                longest: limits.frame_bytes.min(kind.frame_bytes),
            };
            self.subscriptions
                .open(conn, asked, &self.store, limits, &mut self.outbox)?;
            self.tally.operations.add(Kind::Query, None);
            self.tally.queries.add(within.len(), 1);
            // If the commit fails that a live one's answer waits for, it is answered anew after the recovery: an error on top
            // of that would be a second answer.
            let id = sub.id.into();
            return Ok(once.then_some(Request::Read { conn, id }));
        }
        if self.scatter.len() + self.waits.len() >= limits.requests {
            return Err(refusal(Code::Overloaded, "too many requests wait for other nodes"));
        }
        let deadline_us = now.mono_us + limits.request_ms * 1_000;
        let mut gathering = Gathering::new(
            query,
            within,
            once,
            Some(deadline_us),
            &self.config.routing,
            limits,
            mutants,
        );
        gathering.explain = plan;
        let name: Name = (conn, sub.id.into());
        self.scatter.put(name.clone(), gathering);
        self.gather(&name, now);
        Ok(None)
    }

    /// Whether this node acts as owner of all of these.
    fn acts_for(&self, partitions: PartitionSet) -> bool {
        let place = self.membership.place();
        partitions.iter().all(|id| place.routes.owner(id) == Some(place.own))
    }

    /// Whether this node lacks something in these partitions that the client was told of: it acts as owner since a moment ago.
    fn lacks_told(&self, conn: ConnId, map: &str, within: PartitionSet, now: Now) -> bool {
        if self.membership.place().is_alone() {
            return false;
        }
        let mut told = self.floors.of_map(conn, map, now, &self.config.limits);
        told.any(|(key, floor)| self.store.lacks(key, floor.stamp) && within.contains(self.store.partition_of(key)))
    }

    /// Ends a query of a client, if there is one of that name.
    pub(super) fn close_query(&mut self, conn: ConnId, id: &str) {
        self.subscriptions.close(conn, id);
        self.end_gathering(&(conn, id.into()));
    }

    /// Ends all queries of a client.
    pub(super) fn close_queries(&mut self, conn: ConnId) {
        self.subscriptions.close_all(conn);
        for name in self.scatter.of_conn(conn) {
            self.end_gathering(&name);
        }
    }

    pub(super) fn end_gathering(&mut self, name: &Name) -> Option<Gathering> {
        let gone = self.scatter.remove(name)?;
        self.drop_askings(gone.requests());
        Some(gone)
    }

    /// Askings count no more: who was asked is told.
    pub(super) fn drop_askings(&mut self, askings: Vec<AskedOver>) {
        for (conn, request) in askings {
            self.scatter.forget(request);
            match conn {
                None => self.sources.close((None, request)),
                Some(conn) => {
                    let word = Word::Unwatch(alloc::vec![request]);
                    self.outbox.push(conn, word.to_frame(), Shows::Nothing);
                }
            }
        }
    }

    /// Looks at those queries at which something is due.
    pub(super) fn gather_timers(&mut self, now: Now) {
        if core::mem::take(&mut self.scatter.rerouted) {
            self.regather();
        }
        for name in self.scatter.due(now.mono_us) {
            self.gather(&name, now);
        }
        self.answer_stale(now);
        self.tell_ended();
    }

    /// Who acts for what has changed: all are looked at, and those that this node answered alone and cannot any more are gathered.
    fn regather(&mut self) {
        let (limits, mutants) = (&self.config.limits, self.config.mutants);
        let place = self.membership.place();
        let acts_for = |within: PartitionSet| within.iter().all(|id| place.routes.owner(id) == Some(place.own));
        for (name, query, within) in self.subscriptions.take_foreign(acts_for) {
            let gathering = Gathering::new(query, within, false, None, &self.config.routing, limits, mutants);
            self.scatter.put(name.clone(), gathering);
            self.scatter.stale.insert(name);
        }
        for name in self.scatter.all() {
            self.scatter.look_at(&name);
        }
    }

    /// Goes on with a query: asks whom there is to ask, and takes what is there.
    fn gather(&mut self, name: &Name, now: Now) {
        let Some(gathering) = self.scatter.get_mut(name) else {
            return;
        };
        if gathering
            .deadline_us
            .is_some_and(|deadline_us| deadline_us <= now.mono_us)
        {
            let missing = gathering.wanted.difference(gathering.answered()).len();
            let reason = format!(
                "{missing} of {} partitions did not answer in time: ask again",
                gathering.wanted.len()
            );
            return self.refuse_query(name, refusal(Code::NotReady, reason), now);
        }
        let late = gathering.pass(now.mono_us);
        let (asks, unneeded) = gathering.plan(self.membership.routes());
        self.drop_askings(late);
        self.drop_askings(unneeded);
        for (node, partitions) in asks {
            if let Err(refused) = self.ask_source(name, node, partitions, now) {
                return self.refuse_query(name, refused, now);
            }
        }
        self.settle_query(name, now);
        self.scatter.schedule(name);
    }

    fn ask_source(&mut self, name: &Name, node: NodeId, partitions: PartitionSet, now: Now) -> Result<(), Refusal> {
        let request = self.scatter.number(name);
        let Some(gathering) = self.scatter.get_mut(name) else {
            return Ok(());
        };
        let (query, once) = (gathering.query().of_source(), gathering.is_once());
        // Later on it follows those who act as owners, whatever they lack of what was told. What is gone stays so.
        let strict = gathering.deadline_us.is_some();
        let limits = &self.config.limits;
        let late_us = now.mono_us + (limits.request_ms * 250).max(1_000);
        let floors = self
            .floors
            .of_map(name.0, &query.map, now, limits)
            .filter(|(_, floor)| strict || floor.gone);
        let floors = floors.filter(|(key, _)| partitions.contains(self.store.partition_of(key)));
        if node == self.membership.id() {
            let floors: Vec<_> = floors.map(|(key, floor)| (key.clone(), floor)).collect();
            gathering.ask(node, None, request, partitions, late_us);
            let (covers, rows) = self.open_source((None, request), query, partitions, once, (strict, &floors))?;
            return self.take_rows(name, node, 0, rows, Some(covers), now);
        }
        let Some(conn) = self.peers.to(node) else {
            gathering.decline(partitions, now.mono_us);
            self.scatter.forget(request);
            return Ok(());
        };
        let word = Word::Watch(Watch {
            request,
            epoch: self.membership.epoch(),
            map: &query.map,
            query: &query_bytes(&query),
            partitions,
            once,
            strict,
            floors: floors
                .map(|(key, floor)| (key.key(), floor.stamp.to_bytes(), floor.gone))
                .collect(),
        });
        self.outbox.push(conn, word.to_frame(), Shows::Nothing);
        gathering.ask(node, Some(conn), request, partitions, late_us);
        Ok(())
    }

    /// Rows of a source's answer.
    fn take_rows(
        &mut self,
        name: &Name,
        node: NodeId,
        part: u32,
        rows: Vec<Ranked>,
        covers: Option<PartitionSet>,
        now: Now,
    ) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let late_us = now.mono_us + (limits.request_ms * 250).max(1_000);
        let Some(gathering) = self.scatter.get_mut(name) else {
            return Ok(());
        };
        let asked = gathering.asked_of(node);
        let news = gathering.take_rows(node, part, rows, covers, late_us, limits);
        match (news.map_err(|error| refusal_of_query(&error))?, asked) {
            (News::Gap, Some((request, _))) => self.source_failed(name, node, request, now),
            (_, Some((_, partitions))) => {
                if let Some(covers) = covers {
                    gathering.decline(partitions.difference(covers), now.mono_us);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A node answers, by chunks.
    pub(super) fn rows_came(&mut self, conn: ConnId, rows: Rows<'_>, now: Now) {
        let Some((name, node)) = self.scatter.of_request(rows.request, Some(conn)) else {
            return;
        };
        let map = self
            .scatter
            .get_mut(&name)
            .map(|gathering| gathering.query().map.clone())
            .unwrap_or_default();
        let ranked = rows
            .rows
            .iter()
            .filter_map(|row| match row.said(&map, &self.config.limits)? {
                Said::Has(ranked) => Some(ranked),
                Said::Left(_) => None,
            });
        let ranked = ranked.collect();
        match self.take_rows(&name, node, rows.part, ranked, rows.covers, now) {
            Ok(()) => self.scatter.look_at(&name),
            Err(refused) => self.refuse_query(&name, refused, now),
        }
    }

    /// A node tells what became of its answer.
    pub(super) fn source_told(&mut self, conn: ConnId, request: u64, number: u64, rows: &[SentRow<'_>], now: Now) {
        let Some((name, node)) = self.scatter.of_request(request, Some(conn)) else {
            return self.drop_askings(alloc::vec![(Some(conn), request)]);
        };
        let map = self
            .scatter
            .get_mut(&name)
            .map(|gathering| gathering.query().map.clone())
            .unwrap_or_default();
        let said = rows
            .iter()
            .filter_map(|row| row.said(&map, &self.config.limits))
            .collect();
        self.take_said(&name, node, request, Some(number), said, now);
    }

    /// This node tells itself what became of its own part.
    pub(super) fn told_itself(&mut self, request: u64, said: Result<Vec<Said>, Refusal>, now: Now) {
        let Some((name, node)) = self.scatter.of_request(request, None) else {
            return;
        };
        match said {
            Ok(said) => self.take_said(&name, node, request, None, said, now),
            Err(refused) => self.refuse_query(&name, refused, now),
        }
    }

    fn take_said(&mut self, name: &Name, node: NodeId, request: u64, number: Option<u64>, said: Vec<Said>, now: Now) {
        let Some(gathering) = self.scatter.get_mut(name) else {
            return;
        };
        match gathering.told(node, request, number, said) {
            Ok(News::None) => {}
            Ok(News::Gap) => self.source_failed(name, node, request, now),
            Ok(News::Changes(changes)) => self.tell_changes(name, changes, now),
            Err(error) => self.refuse_query(name, refusal_of_query(&error), now),
        }
    }

    /// So much was told, says a node: what is missing is asked for anew.
    pub(super) fn told_upto(&mut self, conn: ConnId, list: &[(u64, u64)], now: Now) {
        let (mut heard, mut unknown) = (Vec::new(), Vec::new());
        for (request, number) in list {
            let Some((name, node)) = self.scatter.of_request(*request, Some(conn)) else {
                unknown.push(*request);
                continue;
            };
            match self
                .scatter
                .get_mut(&name)
                .and_then(|gathering| gathering.heard(*request))
            {
                Some(known) if known < *number => self.source_failed(&name, node, *request, now),
                _ => heard.push((*request, *number)),
            }
        }
        for (word, is_empty) in [
            (Word::Heard(heard.clone()), heard.is_empty()),
            (Word::Unwatch(unknown.clone()), unknown.is_empty()),
        ] {
            if !is_empty {
                self.outbox.push(conn, word.to_frame(), Shows::Nothing);
            }
        }
    }

    fn source_failed(&mut self, name: &Name, node: NodeId, request: u64, now: Now) {
        if let Some(gathering) = self.scatter.get_mut(name) {
            let conn = gathering
                .requests()
                .into_iter()
                .find(|(_, of)| *of == request)
                .and_then(|(conn, _)| conn);
            gathering.failed(node, request, now.mono_us);
            self.drop_askings(alloc::vec![(conn, request)]);
            self.scatter.look_at(name);
        }
    }

    /// A node says that it tells nothing, or nothing more.
    pub(super) fn source_ended(&mut self, conn: ConnId, request: u64, refused: Refusal, now: Now) {
        let Some((name, node)) = self.scatter.of_request(request, Some(conn)) else {
            return;
        };
        match refused.code {
            Code::NotReady => self.source_failed(&name, node, request, now),
            _ => self.refuse_query(&name, refused, now),
        }
    }

    /// A link with a node is gone.
    pub(super) fn sources_lost(&mut self, conn: ConnId) {
        self.sources.close_all(conn);
        for name in self.scatter.over(conn) {
            if let Some(gathering) = self.scatter.get_mut(&name) {
                let gone = gathering.link_gone(conn);
                gone.into_iter().for_each(|request| self.scatter.forget(request));
                self.scatter.look_at(&name);
            }
        }
    }

    /// What this node had in memory is gone: what was asked once is refused, and what is live is gathered anew.
    pub(super) fn restart_queries(&mut self, now: Now) {
        self.sources.clear();
        for name in self.scatter.all() {
            let Some(gathering) = self.scatter.get_mut(&name) else {
                continue;
            };
            if gathering.is_once() {
                let refused = refusal(Code::NotReady, "storage failed; the node is recovering");
                self.refuse_query(&name, refused, now);
                continue;
            }
            let gone = gathering.requests();
            gathering.restart(&self.config.routing, &self.config.limits, self.config.mutants);
            if gathering.deadline_us.is_none() {
                self.scatter.stale.insert(name.clone());
            }
            gone.into_iter().for_each(|(_, request)| self.scatter.forget(request));
            self.scatter.look_at(&name);
        }
    }
}
