//! A course of events that chance would hardly find.

use super::*;

impl World {
    /// What one admits after the others have promised, and loses with its disk once they have confirmed.
    pub(in super::super) fn lose_the_only_position_that_covers_a_write(&mut self) {
        let [one, two, three] = [1, 2, 3].map(NodeId);
        for (to, from) in [
            (one, two),
            (one, three),
            (two, one),
            (two, three),
            (three, one),
            (three, two),
        ] {
            self.take_in(to, from, 0);
        }
        let old = self.replicas[&three].now.clone();
        self.now_ms += 2 * HORIZON_MS;
        let late = stamp(self.now_ms - HORIZON_MS - 11, 9);
        for id in [one, two] {
            self.propose_at(id, self.now_ms);
            self.advance(id);
            self.sync(id);
        }
        let (stamp, birth, deletes) = (late, late, None);
        self.offer(three, Write { stamp, birth, deletes });
        self.propose_at(three, self.now_ms);
        self.advance(three);
        self.sync(three);
        for _ in 0..2 {
            for to in [one, two] {
                for from in [one, two, three] {
                    let report = self.report(from);
                    self.take_in(to, from, 1_000);
                    self.receive(to, &report);
                }
                self.advance(to);
                self.sync(to);
            }
        }
        self.boot(three, old, vec![]);
        for from in [one, two] {
            let report = self.report(from);
            self.take_in(three, from, 0);
            self.receive(three, &report);
        }
        for _ in 0..2 {
            self.advance(three);
            self.sync(three);
        }
    }
}
