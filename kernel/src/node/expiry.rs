//! Time as far as versions expire by it: what is read at a time that may be spoken, and when the next one is due.

use crate::env::{Mutant, Now, Rare};
use crate::node::Node;

impl Node {
    /// What is read at this time: what has expired by now is not. A time that is acted on is one that may be spoken: after a
    /// crash the clock begins behind it, and what had expired stays so.
    pub(super) fn advance(&mut self, now: Now) {
        if self.state.is_serving() {
            let now_ms = match self.config.mutants.is(Mutant::ExpireEarly) {
                true => self.hlc.millis(now.wall_ms),
                false => self.hlc.spoken(now.wall_ms).millis(),
            };
            let news = self.store.advance(now_ms);
            if !self.config.mutants.is(Mutant::ExpiredNotTold) {
                self.expired.extend(news);
            }
        }
    }

    /// Whether time must be made durable though there is nothing else to write: something waits to expire.
    pub(super) fn must_reserve(&mut self, now: Now) -> bool {
        let due = self.store.expires_at_ms();
        let lacks = due.is_some_and(|due_ms| self.hlc.lacks(due_ms, now.wall_ms));
        (lacks || self.seldom(Rare::ReserveTime, now))
            && self.state.is_serving()
            && !self.draining
            && self.store.room_for(0).is_ok()
    }

    /// When the next version expires, if no answer of the host comes first.
    pub(super) fn expiry_us(&self, now: Now) -> Option<u64> {
        const NO_ROOM_MS: u64 = 1_000;
        let due_ms = self.store.expires_at_ms().filter(|_| self.state.is_serving())?;
        let left_ms = match due_ms.checked_sub(self.hlc.millis(now.wall_ms)) {
            Some(left_ms) if left_ms > 0 => left_ms,
            _ if self.hlc.lacks(due_ms, now.wall_ms) => NO_ROOM_MS,
            // What is left of many that expire at once; or else the answer to a commit is awaited.
            _ if self.store.is_due() => 0,
            _ => return None,
        };
        Some(now.mono_us.saturating_add(left_ms.saturating_mul(1_000)))
    }
}
