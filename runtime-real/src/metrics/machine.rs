//! A machine that is watched: how long its requests take, what it counts, and the news of its links.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use fxhash::FxHashSet;
use kernel::env::{ConnId, Now, Ticket};
use kernel::machine::{Input, Machine, Output, Role};
use kernel::node::{LinkNews, Node, Stats};
use prometheus_client::metrics::histogram::Histogram;

use super::Metrics;
use crate::record::Recording;

/// A machine that says how it is.
pub trait Watched: Machine {
    /// What it has counted, and how it is now.
    fn stats(&self) -> Stats;

    /// What happened to its links since it was last asked.
    fn take_news(&mut self) -> Vec<LinkNews> {
        Vec::new()
    }

    /// What is counted of its recording, if there is one.
    fn recording(&self) -> Option<Recording> {
        None
    }
}

impl Watched for Node {
    fn stats(&self) -> Stats {
        Self::stats(self)
    }

    fn take_news(&mut self) -> Vec<LinkNews> {
        Self::take_news(self)
    }
}

/// A machine, watched at each step.
///
/// A request is measured from the step that takes its frame to the answer of the commit that its last envelope waited
/// for; without one it was answered at once.
#[derive(Debug)]
pub struct Watch<M> {
    machine: Rc<RefCell<M>>,
    clients: FxHashSet<ConnId>,
    /// Requests whose answers wait for a commit, and when they came. Tickets ascend.
    waiting: VecDeque<(Ticket, u64)>,
    request_s: Histogram,
}

impl<M: Watched> Watch<M> {
    /// Watches `machine`, which others may look at between steps.
    pub fn new(machine: Rc<RefCell<M>>, metrics: &Metrics) -> Self {
        Self {
            machine,
            clients: FxHashSet::default(),
            waiting: VecDeque::new(),
            request_s: metrics.request_s.clone(),
        }
    }

    fn note(&mut self, conn: ConnId, now: Now, out: &Output) {
        if !self.clients.contains(&conn) {
            return;
        }
        match &out.commit {
            Some(commit) if commit.envelopes.iter().any(|envelope| envelope.conn == conn) => {
                self.waiting.push_back((commit.ticket, now.mono_us));
            }
            _ if out.send.iter().any(|envelope| envelope.conn == conn) => self.request_s.observe(0.0),
            _ => {}
        }
    }

    fn settle(&mut self, ticket: Ticket, now: Now) {
        while let Some((_, since_us)) = self.waiting.pop_front_if(|(waits, _)| *waits <= ticket) {
            self.request_s.observe((now.mono_us - since_us) as f64 / 1e6);
        }
    }
}

impl<M: Watched> Machine for Watch<M> {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Output) {
        let mut received = None;
        match input {
            Input::Received { conn, .. } => received = Some(conn),
            Input::Committed { ticket, .. } => self.settle(ticket, now),
            Input::Opened { conn, kind, .. } if kind.role == Role::Client => drop(self.clients.insert(conn)),
            Input::Closed { conn } => drop(self.clients.remove(&conn)),
            Input::DialFailed { peer, reason } => tracing::debug!(peer = peer.0, reason, "a peer cannot be reached"),
            _ => {}
        }
        let news = {
            let mut machine = self.machine.borrow_mut();
            machine.step(now, input, out);
            machine.take_news()
        };
        received.into_iter().for_each(|conn| self.note(conn, now, out));
        for LinkNews { node, lost } in news {
            match lost {
                None => tracing::info!(peer = node, "linked with a peer"),
                Some(reason) => tracing::warn!(peer = node, reason, "the link to a peer is gone"),
            }
        }
    }
}
