//! Commits that the host has not answered for, with the requests that they carry.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::env::{ConnId, Ticket};
use crate::machine::Envelope;
use crate::session::Request;

/// The queue of commits in flight. They are answered in its order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Flights {
    queue: VecDeque<Flight>,
    settled: Ticket,
}

/// One commit in flight.
#[derive(Debug, Serialize, Deserialize)]
pub struct Flight {
    /// Its number.
    pub ticket: Ticket,
    /// Whether it wrote a log entry, or was a barrier.
    pub has_entry: bool,
    /// Whose bytes it holds back.
    pub held: Vec<(ConnId, u64)>,
    /// What is to be answered if it fails.
    pub requests: Vec<Request>,
    /// What only waited for its turn, and is sent all the same.
    pub harmless: Vec<Envelope>,
}

impl Flight {
    /// A commit that carries nothing yet.
    pub fn new(ticket: Ticket, has_entry: bool) -> Self {
        Self {
            ticket,
            has_entry,
            held: Vec::new(),
            requests: Vec::new(),
            harmless: Vec::new(),
        }
    }

    /// An envelope waits in it; a harmless one shows nothing of what it waits for.
    pub fn holds(&mut self, envelope: &Envelope, harmless: bool) {
        self.held.push((envelope.conn, envelope.frame.len() as u64));
        if harmless {
            self.harmless.push(envelope.clone());
        }
    }
}

impl Flights {
    /// A commit was given to the host.
    pub fn push(&mut self, flight: Flight) {
        self.queue.push_back(flight);
    }

    /// The host answered for the oldest one.
    ///
    /// # Panics
    /// If it answered for another: it broke the rule that everything rests on.
    pub fn settle(&mut self, ticket: Ticket) -> Flight {
        let flight = self
            .queue
            .pop_front()
            .expect("the host answered a commit that it was not given");
        assert_eq!(flight.ticket, ticket, "the host answered commits out of order");
        self.settled = self.settled.max(ticket);
        flight
    }

    /// The requests that wait for their commits.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.queue.iter().flat_map(|flight| &flight.requests)
    }

    /// Everything up to this ticket has been answered for; envelopes of later ones are still held.
    pub fn settled(&self) -> Ticket {
        self.settled
    }

    /// Takes the requests and the held bytes of all of them: they are going to fail. They stay in the queue until the host
    /// says so, but nothing has to wait for them any more.
    pub fn abandon(&mut self) -> Vec<Flight> {
        if let Some(last) = self.queue.back() {
            self.settled = last.ticket;
        }
        let take = |flight: &mut Flight| Flight {
            held: core::mem::take(&mut flight.held),
            requests: core::mem::take(&mut flight.requests),
            harmless: core::mem::take(&mut flight.harmless),
            ..*flight
        };
        self.queue.iter_mut().map(take).collect()
    }

    /// Whether the host has answered for all.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
