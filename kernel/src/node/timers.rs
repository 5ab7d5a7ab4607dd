//! What time does: every part has its turn, and says when it wants the next one.

use crate::env::{Now, Rare};
use crate::machine::Output;
use crate::node::Node;

impl Node {
    pub(super) fn timers(&mut self, now: Now, out: &mut Output) {
        while let Some(conn) = self.conns.expired(now.mono_us) {
            self.peers.because("the handshake took too long");
            self.close(conn, now);
        }
        self.state_timers(now, out);
        if self.state.is_serving() {
            self.rare_timers(now);
            self.peer_timers(now, out);
            self.liveness_timers(now);
            self.membership_timers(now);
            self.fill_timers(now);
            self.drop_leftovers(now);
            self.settle_timers(now);
            self.settle_waits(now);
            self.agreement_timers(now);
            self.begin_apply(now, out);
            let limits = &self.config.limits;
            // Not while something may be shown that others have deleted.
            if !self.is_below_floor() {
                self.subscriptions
                    .refresh(&self.store, &self.conns, limits, &mut self.outbox);
            }
            self.gather_timers(now);
        }
    }

    /// What happens by itself now and then, where a test wants it.
    fn rare_timers(&mut self, now: Now) {
        if self.seldom(Rare::DropPeer, now)
            && let Some(conn) = self.peers.up().first().copied()
        {
            self.peers.because("a rare path");
            self.close(conn, now);
        }
        if self.seldom(Rare::CompareEarly, now)
            && let Some(conn) = self.peers.up().last().copied()
            && let Some(link) = self.peers.link(conn)
        {
            link.behind = true;
        }
    }

    pub(super) fn wake_us(&self, now: Now) -> Option<u64> {
        let serving = self.state.is_serving();
        let expiry = self.expiry_us(now);
        let apply = self.store.apply_due_us().filter(|_| serving);
        let peers = self
            .peers
            .wake_us(&self.config.limits)
            .filter(|_| serving && !self.draining);
        let timers = [
            apply,
            peers,
            expiry,
            self.membership_wake_us().filter(|_| serving && !self.draining),
            self.liveness.wake_us().filter(|_| serving && !self.draining),
            self.fills.wake_us().filter(|_| serving && !self.draining),
            self.settle_wake_us().filter(|_| serving && !self.draining),
            self.waits.wake_us(),
            self.agreement.wake_us().filter(|_| serving),
            self.orders.wake_us(),
            self.scatter.wake_us().filter(|_| serving && !self.draining),
            self.state.wake_us(),
            self.conns.next_deadline_us(),
        ];
        timers.into_iter().flatten().min()
    }
}
