//! Who is alive: what the failure detector says is carried, and what it finds decides who acts as owner.

use alloc::vec::Vec;

use crate::cluster::liveness::{Gossip, Health, News};
use crate::env::{ConnId, Mutant, NodeId, Now};
use crate::hlc::Trust;
use crate::node::Node;
use crate::register::Agreed;
use crate::session::Shows;
use crate::wire::cluster::Word;

impl Node {
    /// A member gossips.
    pub(super) fn gossip(&mut self, from: NodeId, gossip: &Gossip, now: Now) {
        let mut out = Vec::new();
        self.liveness.receive(from, gossip, now.mono_us, &mut out);
        self.send_gossip(out);
    }

    /// Asks others whether they are alive, and acts on what was found.
    pub(super) fn liveness_timers(&mut self, now: Now) {
        let mut out = Vec::new();
        self.liveness.tick(now.mono_us, &mut self.rng, &mut out);
        self.send_gossip(out);
        let turned = |news: News| match news {
            News::Turned { node, to, .. } => Some((node, to)),
            _ => None,
        };
        let turned: Vec<_> = self.liveness.take_news().into_iter().filter_map(turned).collect();
        if turned.is_empty() {
            return;
        }
        for (node, to) in &turned {
            self.note_health(*node, *to, now);
        }
        self.reroute();
        // Its link may stay open for long: who stands still closes nothing. Clients are not to wait for that.
        for (node, _) in turned.iter().filter(|(_, to)| *to == Health::Failed) {
            self.node_lost(*node, now);
        }
        self.send_again();
    }

    /// Another member says what its wall clock shows.
    pub(super) fn note_clock(&mut self, conn: ConnId, wall_ms: u64, now: Now) {
        if let Some(node) = self.peers.node_at(conn) {
            self.clock_trust.heard(node, wall_ms, now);
            self.judge_clock(now);
        }
    }

    /// Whether the wall clock is to be trusted, as far as the other members say (rule 2 of the promises).
    pub(super) fn judge_clock(&mut self, now: Now) {
        let own = self.membership.id();
        let voters = self.membership.state().map(Agreed::voters).unwrap_or_default();
        let others: Vec<NodeId> = voters.into_iter().filter(|node| *node != own).collect();
        let limits = &self.config.limits;
        self.trust = self
            .clock_trust
            .verdict(now, &others, limits.max_drift_ms, limits.silence_ms);
        if self.config.mutants.is(Mutant::ClockAlwaysTrusted) {
            self.trust = Trust::Sure;
        }
    }

    /// Whoever cannot be reached does not hear of it: that is for others to tell.
    fn send_gossip(&mut self, out: Vec<(NodeId, Gossip)>) {
        for (node, gossip) in out {
            if let Some(conn) = self.peers.to(node) {
                self.outbox
                    .push(conn, Word::Gossip(gossip).to_frame(), Shows::Heartbeat);
            }
        }
    }
}
