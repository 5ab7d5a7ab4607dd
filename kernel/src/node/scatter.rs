//! The queries of this node's clients that other nodes have a part in: which there are, and when each is to be looked at.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, NodeId};
use crate::node::gathering::Gathering;
use crate::session::Name;

/// The queries that are gathered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Scatter {
    requests: u64,
    table: BTreeMap<Name, Gathering>,
    /// Whose each asking is.
    asked: BTreeMap<u64, Name>,
    /// When each is to be looked at.
    due: BTreeSet<(u64, Name)>,
    /// Those whose clients are to be given a whole answer again.
    pub stale: BTreeSet<Name>,
    /// Who acts for what has changed since they were looked at.
    pub rerouted: bool,
}

impl Scatter {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// How many of a connection there are.
    pub fn held(&self, conn: ConnId) -> usize {
        self.names(conn).count()
    }

    fn names(&self, conn: ConnId) -> impl Iterator<Item = &Name> {
        let first: Name = (conn, "".into());
        self.table
            .range(first..)
            .map(|(name, _)| name)
            .take_while(move |(of, _)| *of == conn)
    }

    /// All of a connection.
    pub fn of_conn(&self, conn: ConnId) -> Vec<Name> {
        self.names(conn).cloned().collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Name> {
        self.table.keys().cloned().collect()
    }

    /// Takes a query up.
    pub fn put(&mut self, name: Name, gathering: Gathering) {
        self.table.insert(name.clone(), gathering);
        self.look_at(&name);
    }

    /// One of them.
    pub fn get_mut(&mut self, name: &Name) -> Option<&mut Gathering> {
        self.table.get_mut(name)
    }

    /// The query that an asking over this link is part of.
    pub fn of_request(&mut self, request: u64, conn: Option<ConnId>) -> Option<(Name, NodeId)> {
        let name = self.asked.get(&request)?;
        let node = self.table.get(name)?.node_of(request, conn)?;
        Some((name.clone(), node))
    }

    /// A number for an asking.
    pub fn number(&mut self, name: &Name) -> u64 {
        self.requests += 1;
        self.asked.insert(self.requests, name.clone());
        self.requests
    }

    /// An asking counts no more.
    pub fn forget(&mut self, request: u64) {
        self.asked.remove(&request);
    }

    /// Ends one.
    pub fn remove(&mut self, name: &Name) -> Option<Gathering> {
        let gone = self.table.remove(name)?;
        self.stale.remove(name);
        if let Some(due_us) = gone.due_us {
            self.due.remove(&(due_us, name.clone()));
        }
        Some(gone)
    }

    /// It is looked at in this step, or the next.
    pub fn look_at(&mut self, name: &Name) {
        self.set_due(name, Some(0));
    }

    /// It is looked at when something is due.
    pub fn schedule(&mut self, name: &Name) {
        let due_us = self.table.get(name).and_then(Gathering::next_us);
        self.set_due(name, due_us);
    }

    fn set_due(&mut self, name: &Name, due_us: Option<u64>) {
        let Some(gathering) = self.table.get_mut(name) else {
            return;
        };
        if let Some(old_us) = core::mem::replace(&mut gathering.due_us, due_us) {
            self.due.remove(&(old_us, name.clone()));
        }
        self.due.extend(due_us.map(|due_us| (due_us, name.clone())));
    }

    /// Those that are to be looked at.
    pub fn due(&self, now_us: u64) -> Vec<Name> {
        let due = self.due.iter().take_while(|(due_us, _)| *due_us <= now_us);
        due.map(|(_, name)| name.clone()).collect()
    }

    /// How many of them wait for something: for answers, to ask again, or for their client to read.
    pub fn unsettled(&self) -> usize {
        self.due.len() + self.stale.len()
    }

    /// When the next one is.
    pub fn wake_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }

    /// Those that something is awaited for over this link.
    pub fn over(&self, conn: ConnId) -> Vec<Name> {
        let over = |gathering: &Gathering| gathering.requests().iter().any(|(over, _)| *over == Some(conn));
        self.table
            .iter()
            .filter(|(_, gathering)| over(gathering))
            .map(|(name, _)| name.clone())
            .collect()
    }
}
