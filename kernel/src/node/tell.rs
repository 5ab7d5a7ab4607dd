//! Giving clients what was gathered for them: answers, changes of them, and why there is none.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::env::{Mutant, Now};
use crate::node::Node;
use crate::node::gathering::Settled;
use crate::query::Change;
use crate::session::{Kind, Name, Request, Shows, answer, refusal_of_query};
use crate::wire::Code;
use crate::wire::cluster::refusal;
use crate::wire::query::{Explained, query_update};
use crate::wire::server::{self, Refusal};

impl Node {
    /// Takes the round, if it is complete, and gives the client what comes of it.
    pub(super) fn settle_query(&mut self, name: &Name, now: Now) {
        let Some(gathering) = self.scatter.get_mut(name) else {
            return;
        };
        if gathering.is_once() {
            if gathering.wanted.difference(gathering.answered()).is_empty() {
                self.answer_query(name, now);
                self.end_gathering(name);
            }
            return;
        }
        match gathering.settle() {
            Ok(None) => {}
            Ok(Some(Settled { changes, dropped })) => {
                let is_first = gathering.deadline_us.take().is_some();
                self.drop_askings(dropped);
                match is_first {
                    true => self.answer_query(name, now),
                    false => self.tell_changes(name, changes, now),
                }
            }
            Err(error) => self.refuse_query(name, refusal_of_query(&error), now),
        }
    }

    /// The whole answer.
    pub(super) fn answer_query(&mut self, name: &Name, now: Now) {
        let Some(gathering) = self.scatter.get_mut(name) else {
            return;
        };
        let nodes = gathering.nodes.len();
        let explained = gathering.explain.take().map(|plan| Explained { plan, nodes });
        let (rows, once, partitions) = (gathering.rows(), gathering.is_once(), gathering.wanted.len());
        let (conn, id) = name;
        let longest = self.conns.longest(*conn, &self.config.limits);
        if let Err(refused) = answer(*conn, id, &rows, explained.as_ref(), longest, &mut self.outbox) {
            return self.refuse_query(name, refused, now);
        }
        self.tally.operations.add(Kind::Query, None);
        self.tally.queries.add(partitions, nodes);
        let (conn, id) = name.clone();
        self.requests.extend(once.then_some(Request::Read { conn, id }));
    }

    /// Tells a client of changes. One that reads too slowly is given a whole answer once it has caught up.
    pub(super) fn tell_changes(&mut self, name: &Name, changes: Vec<Change>, now: Now) {
        if changes.is_empty() || self.scatter.stale.contains(name) {
            return;
        }
        let (conn, id) = name;
        let limits = &self.config.limits;
        if self.conns.is_full(*conn, limits) {
            if !self.config.mutants.is(Mutant::SlowWatcherSkipped) {
                self.scatter.stale.insert(name.clone());
            }
            return;
        }
        let longest = self.conns.longest(*conn, limits);
        for Change { change, key, value } in changes {
            let frame = query_update(id, key.key(), value.as_deref(), change);
            if frame.len() > longest {
                let reason = "a change of the answer does not fit one frame".to_string();
                return self.refuse_query(name, refusal(Code::TooLarge, reason), now);
            }
            // A row that moves up may be one that this node holds and has not on disk yet.
            self.outbox.push(*conn, frame, Shows::Update);
        }
    }

    /// Gives whole answers to those who lost count, once they can take them and there is one.
    pub(super) fn answer_stale(&mut self, now: Now) {
        if self.scatter.stale.is_empty() || self.config.mutants.is(Mutant::StaleForEver) {
            return;
        }
        let most = self.config.limits.unsent_bytes / 2;
        for name in self.scatter.stale.clone() {
            let drained = self.conns.get(name.0).is_some_and(|conn| conn.unsent_bytes <= most);
            let whole = self
                .scatter
                .get_mut(&name)
                .is_some_and(|gathering| gathering.wanted == gathering.answered());
            if drained && whole {
                self.scatter.stale.remove(&name);
                self.answer_query(&name, now);
            }
        }
    }

    /// A query is over, and its client is told why.
    pub(super) fn refuse_query(&mut self, name: &Name, refused: Refusal, now: Now) {
        let Some(gone) = self.end_gathering(name) else {
            return;
        };
        let (conn, id) = name;
        if gone.deadline_us.is_some() {
            let mut desk = self.desk(now);
            desk.doing = Kind::Query;
            return desk.refuse(*conn, refused.code, refused.reason, id);
        }
        self.outbox.push(*conn, server::error(&refused, id), Shows::Nothing);
    }
}
