//! All repairs with one other node.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::cluster::repair::{Repaired, Session, View};
use crate::env::Limits;
use crate::partition::PartitionId;
use crate::store::Maps;

/// The sessions with one other node, on either side of them. It is forgotten with the link.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Repairs {
    /// Numbers of this side's sessions; 0 before the first.
    number: u64,
    /// Partitions that differ and are to be repaired, in order.
    waiting: VecDeque<PartitionId>,
    /// What this side repairs, by number.
    sessions: BTreeMap<u64, Session>,
    /// What the other side repairs, by its numbers.
    views: BTreeMap<u64, View>,
    last: Option<Repaired>,
}

/// What time has done to sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overdue {
    /// Those whose question, or its answer, seems to be lost: it is asked again.
    pub ask_again: Vec<u64>,
    /// Those whose other side says nothing.
    pub give_up: Vec<u64>,
}

impl Repairs {
    /// These differ: they are repaired one after another. What waited before is forgotten; what is being repaired goes on.
    pub fn differ(&mut self, partitions: impl Iterator<Item = PartitionId>) {
        let sessions = &self.sessions;
        let under_way = |id: &PartitionId| sessions.values().any(|session| session.partition() == *id);
        self.waiting = partitions.filter(|id| !under_way(id)).collect();
    }

    /// The next partition to begin with, if another session may be opened.
    pub fn next(&mut self, limits: &Limits) -> Option<PartitionId> {
        match self.sessions.len() < limits.repair_sessions {
            true => self.waiting.pop_front(),
            false => None,
        }
    }

    /// Opens a session, and gives it its number.
    pub fn open(&mut self, session: Session) -> u64 {
        self.number += 1;
        self.sessions.insert(self.number, session);
        self.number
    }

    /// A session of this side.
    pub fn session(&mut self, number: u64) -> Option<&mut Session> {
        self.sessions.get_mut(&number)
    }

    /// A session of this side is over.
    pub fn close(&mut self, number: u64) -> Option<Repaired> {
        let repaired = self.sessions.remove(&number)?.repaired();
        self.last = Some(repaired);
        Some(repaired)
    }

    /// How many sessions of this side are open, and how many partitions wait for one.
    pub fn open_and_waiting(&self) -> (usize, usize) {
        (self.sessions.len(), self.waiting.len())
    }

    /// How the session ended that ended last.
    pub fn last(&self) -> Option<Repaired> {
        self.last
    }

    /// The view that the other side's session `number` is answered from.
    pub fn view(&mut self, number: u64, partition: PartitionId, now_us: u64) -> Option<&mut View> {
        let view = self.views.get_mut(&number)?;
        view.touch(now_us);
        (view.partition() == partition).then_some(view)
    }

    /// Freezes a view for the other side's session `number`, unless it has one. Where there are too many, the one that was not
    /// asked for longest is forgotten: that its session is over was lost on the way.
    pub fn freeze(
        &mut self,
        number: u64,
        partition: PartitionId,
        maps: &Maps,
        as_of: u64,
        limits: &Limits,
        now_us: u64,
    ) {
        if self.views.contains_key(&number) {
            return;
        }
        while self.views.len() >= limits.repair_sessions {
            let oldest = self
                .views
                .iter()
                .min_by_key(|(number, view)| (view.used_us(), **number));
            let Some(oldest) = oldest.map(|(number, _)| *number) else {
                return;
            };
            self.views.remove(&oldest);
        }
        self.views.insert(number, View::freeze(partition, maps, as_of, now_us));
    }

    /// The other side's session is over.
    pub fn release(&mut self, number: u64) {
        self.views.remove(&number);
    }

    /// Which sessions are to ask again and which are over by now. Forgets views that nobody asks for any more.
    pub fn overdue(&mut self, limits: &Limits, now_us: u64) -> Overdue {
        let silence_us = limits.silence_ms * 1_000;
        self.views.retain(|_, view| view.used_us() + silence_us > now_us);
        let mut overdue = Overdue::default();
        for (number, session) in &self.sessions {
            if session.moved_us() + silence_us <= now_us {
                overdue.give_up.push(*number);
            } else if session.asked_us() + limits.heartbeat_ms * 1_000 <= now_us {
                overdue.ask_again.push(*number);
            }
        }
        overdue
    }

    /// When [`Repairs::overdue`] will have something to say.
    pub fn due_us(&self, limits: &Limits) -> Option<u64> {
        let silence_us = limits.silence_ms * 1_000;
        let views = self.views.values().map(|view| view.used_us() + silence_us);
        let sessions = self.sessions.values().map(|session| {
            let silent_us = session.moved_us() + silence_us;
            silent_us.min(session.asked_us() + limits.heartbeat_ms * 1_000)
        });
        views.chain(sessions).min()
    }
}
