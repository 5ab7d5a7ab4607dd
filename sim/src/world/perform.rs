//! Doing what a machine asked for, in the order of the fields of its output.

use kernel::env::Ticket;
use kernel::machine::{Machine, Output, Phase};

use super::World;
use crate::endpoint::Endpoint;
use crate::host::{Given, Held, Host};
use crate::invariant::{Departure, Seen};
use crate::reached::Spot;

impl<M: Machine> World<M> {
    /// Does what a machine asked for, in the order of the fields.
    pub(super) fn perform(&mut self, node: usize, output: Output) {
        let at_us = self.now_us;
        let give = |host: &mut Host<M>, envelope| {
            host.given += 1;
            (host.given - 1, envelope)
        };
        for envelope in output.send {
            let given = give(&mut self.hosts[node], envelope);
            self.leave(node, given);
        }
        if let Some(commit) = output.commit {
            let host = &mut self.hosts[node];
            let envelopes: Vec<Given> = commit
                .envelopes
                .into_iter()
                .map(|envelope| give(host, envelope))
                .collect();
            host.disk.commit(at_us, commit.ticket, commit.entry);
            if self.rules.persist_before_speak {
                host.held.push_back(Held {
                    ticket: commit.ticket,
                    envelopes,
                });
            } else {
                envelopes.into_iter().for_each(|given| self.leave(node, given));
            }
        }
        let host = &mut self.hosts[node];
        if let Some(apply) = output.apply {
            host.disk.apply(at_us, apply);
        }
        if let Some(number) = output.cut {
            host.disk.cut(number);
        }
        for (ticket, fetch) in output.fetch {
            host.disk.fetch(at_us, ticket, fetch);
        }
        host.wake_at_us = output.wake.map(|mono_us| host.clock.due(mono_us));
        if let Some(Phase::Failed { .. }) = output.phase {
            self.reached.hit(Spot::DamageRefused);
        }
        let host = &mut self.hosts[node];
        host.phase = output.phase.or(host.phase);
        if let Some(misuse) = host.disk.take_misuse() {
            let seen = Seen::Misused { node, misuse: &misuse };
            self.checker.see(at_us, &seen);
        }
        for dial in output.dial {
            let to = dial.addr.parse().ok().filter(|to| self.is_node(*to));
            self.network.dial(at_us, Endpoint::Node(node), to, dial.peer);
        }
        for conn in output.close {
            // What still waits for a commit is dropped when it comes to leave.
            self.hosts[node].conns.remove(&conn);
            self.network.close(at_us, Endpoint::Node(node), conn);
        }
        if self.hosts[node].phase == Some(Phase::Stopped) {
            // The process exits. Nothing is in flight, so that nothing can be lost.
            self.crash(node);
        }
    }

    /// A commit was answered: what waited for it leaves, or is dropped.
    pub(super) fn settle(&mut self, node: usize, ticket: Ticket, ok: bool) {
        let waiting = &mut self.hosts[node].held;
        let place = waiting.iter().position(|held| held.ticket == ticket);
        let Some(held) = place.and_then(|place| waiting.remove(place)) else {
            return;
        };
        if ok {
            held.envelopes.into_iter().for_each(|given| self.leave(node, given));
        }
    }

    fn leave(&mut self, node: usize, (given, envelope): Given) {
        let host = &self.hosts[node];
        // The connection may have gone while the envelope waited.
        let Some(kind) = host.conns.get(&envelope.conn) else {
            return;
        };
        let departure = Departure {
            node,
            conn: envelope.conn,
            role: kind.role,
            ordered: kind.ordered,
            given,
            frame: &envelope.frame,
            disk: &host.disk,
        };
        self.checker.see(self.now_us, &Seen::Left(&departure));
        self.network
            .send(self.now_us, Endpoint::Node(node), envelope.conn, envelope.frame);
    }

    fn is_node(&self, who: Endpoint) -> bool {
        matches!(who, Endpoint::Node(node) if node < self.hosts.len())
    }
}
