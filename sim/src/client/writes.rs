//! The writes of a client: stamped once, and asked with that stamp until they are done, or refused for good.

use kernel::env::ConnId;
use kernel::wire::client::{op, op_batch, sync_body};
use kernel::wire::op::{Ask, Op};
use kernel::wire::{Code, Consistency};

use super::reads::can_retry;
use super::{Action, Client, Said};
use crate::invariant::Write;
use crate::model::Version;

/// How many requests are asked at once of who was asked too many: half as many each time, and one more where all of them were answered (Chiu
/// and Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance", 1989).
#[derive(Debug)]
pub(super) struct Few {
    pub open: usize,
    /// Answers since that was changed.
    answers: usize,
    /// Whoever is asked too many at once says so of each.
    not_before_us: u64,
}

impl Few {
    const MOST: usize = 8;

    fn after(not_before_us: u64) -> Self {
        Self {
            open: Self::MOST,
            answers: 0,
            not_before_us,
        }
    }

    pub fn answered(&mut self) {
        self.answers += 1;
        if self.answers > 2 * self.open && self.open < Self::MOST {
            (self.open, self.answers) = (self.open + 1, 0);
        }
    }

    fn refused(&mut self, at_us: u64, not_before_us: u64) {
        self.answers = 0;
        if self.not_before_us <= at_us {
            (self.open, self.not_before_us) = ((self.open / 2).max(1), not_before_us);
        }
    }
}

/// A write that is neither done nor refused yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub map: String,
    pub key: String,
    pub write: Write,
    /// How many replicas must have it.
    pub level: Consistency,
    /// Asked, on the line that is open now.
    pub asked: bool,
    pub not_before_us: u64,
    /// It was stamped anew once: its first stamp was too old.
    pub anew: bool,
}

impl Client {
    /// The frame with the next writes that can be asked now, and what it says.
    pub(super) fn ask_writes(&mut self, at_us: u64, conn: ConnId, out: &mut Vec<Action>) -> bool {
        // One way there and back for each exchange: what waits goes in one.
        let most = if self.config.exchange {
            50
        } else {
            self.config.batch.max(1)
        };
        let due = self
            .pending
            .iter_mut()
            .filter(|(_, op)| !op.asked && op.not_before_us <= at_us);
        let batch: Vec<(u64, &mut Pending)> = due.take(most).map(|(id, pending)| (*id, pending)).collect();
        let ids: Vec<(u64, String)> = batch.iter().map(|(id, _)| (*id, id.to_string())).collect();
        let ops: Vec<Op<'_>> = batch
            .iter()
            .zip(&ids)
            .map(|((_, pending), (_, id))| Op {
                id,
                map: &pending.map,
                key: pending.key.as_bytes(),
                consistency: pending.level,
                version: pending.write.version.view(),
            })
            .collect();
        let frame = match ops.as_slice() {
            [] => return false,
            all if self.config.exchange => sync_body(&self.config.name, all),
            [single] => op(single, Ask::default()),
            many => op_batch(many),
        };
        let mut asked = Vec::with_capacity(batch.len());
        for (request, pending) in batch {
            pending.asked = true;
            let (write, level) = (pending.write.clone(), pending.level);
            asked.push(Said::AsksToWrite { request, write, level });
        }
        out.extend(asked.into_iter().map(|said| self.says(conn, said)));
        out.push(Action::Send(conn, frame));
        self.frames.push_back(ids.into_iter().map(|(id, _)| id).collect());
        true
    }

    /// A write is done; `achieved` is the node's word for how.
    pub(super) fn done(&mut self, conn: ConnId, request: u64, achieved: &str, out: &mut Vec<Action>) {
        self.unframe(request);
        if let Some(Pending { write, level, .. }) = self.pending.remove(&request) {
            let level = level.reached(achieved);
            let said = Said::Done {
                request,
                write: write.clone(),
                level,
            };
            out.push(self.says(conn, said));
            out.push(Action::Acknowledged(self.node, write, level));
        }
    }

    /// The ids that an acknowledgement up to `last` covers: those before it in its own frame. Where it was asked in several, because
    /// a refusal did not say what it was about, nobody knows which of them is meant: those that came before it in each.
    pub(super) fn upto(&self, last: u64) -> Vec<u64> {
        let of_last: Vec<_> = self.frames.iter().filter(|frame| frame.contains(&last)).collect();
        let Some((frame, others)) = of_last.split_first() else {
            return Vec::new();
        };
        let before = frame.iter().copied().take_while(|id| *id != last);
        let covered = before.filter(|id| others.iter().all(|other| other.contains(id)));
        covered.chain([last]).collect()
    }

    fn unframe(&mut self, id: u64) {
        self.frames
            .iter_mut()
            .for_each(|frame| frame.retain(|framed| *framed != id));
        self.drop_answered_frames();
    }

    fn drop_answered_frames(&mut self) {
        let pending = &self.pending;
        self.frames
            .retain(|frame| frame.iter().any(|id| pending.contains_key(id)));
    }

    /// A write was refused.
    pub(super) fn rejected(&mut self, at_us: u64, conn: ConnId, id: u64, code: u64, out: &mut Vec<Action>) {
        let for_good = !can_retry(code);
        // Of what is going to be asked again only a last word counts.
        let Some(pending) = self.pending.get_mut(&id).filter(|op| op.asked || for_good) else {
            return;
        };
        pending.asked = false;
        pending.not_before_us = at_us + self.config.patience_us / 3;
        if for_good {
            // Its number stays where it was sent: an acknowledgement of those before it may name it as the last.
            self.refused += 1;
            let refused = self.pending.remove(&id);
            self.drop_answered_frames();
            let request = id;
            out.push(self.says(conn, Said::Refused { request, for_good }));
            if let Some(refused) = refused.filter(|_| code == u64::from(Code::StampTooOld.number())) {
                self.write_anew(at_us, refused, out);
            }
        } else {
            self.unframe(id);
            let request = id;
            out.push(self.says(conn, Said::Refused { request, for_good }));
        }
    }

    /// What was stamped so long ago that it may be older than a delete that nobody remembers is another write now. Who does not follow the
    /// nodes' clocks may have nothing newer to say.
    fn write_anew(&mut self, at_us: u64, refused: Pending, out: &mut Vec<Action>) {
        if refused.anew || self.config.twin {
            return;
        }
        let stamp = self.hlc.now(self.wall_ms(at_us));
        let version = Version {
            stamp,
            ..refused.write.version
        };
        let write = Write {
            version,
            ..refused.write
        };
        out.push(Action::Wrote(write.clone()));
        let pending = Pending {
            write,
            asked: false,
            anew: true,
            ..refused
        };
        self.pending.insert(self.next_id, pending);
        self.next_id += 1;
    }

    /// Something was refused, and nobody knows what: all of it is asked again, and less at once.
    pub(super) fn ask_again_later(&mut self, at_us: u64, conn: ConnId, out: &mut Vec<Action>) {
        let not_before_us = at_us + self.config.patience_us / 3;
        match &mut self.few {
            None => self.few = Some(Few::after(not_before_us)),
            Some(few) => few.refused(at_us, not_before_us),
        }
        let mut refused = Vec::new();
        // What was not asked yet waits as well: it would be one more request that is too much.
        for (id, pending) in &mut self.pending {
            pending.not_before_us = not_before_us;
            refused.extend(std::mem::take(&mut pending.asked).then_some(*id));
        }
        for (id, read) in &mut self.reads {
            read.not_before_us = not_before_us;
            refused.extend(std::mem::take(&mut read.asked).then_some(*id));
        }
        self.registers.put_off(not_before_us);
        for view in self.views.iter_mut().filter(|view| view.asked && view.rows.is_none()) {
            view.asked = false;
            view.not_before_us = not_before_us;
        }
        for request in refused {
            let for_good = false;
            out.push(self.says(conn, Said::Refused { request, for_good }));
        }
        // What was sent stays in its frames: what is acknowledged next may be one of them.
        self.answered(at_us);
    }
}
