//! One replica's part in raising the floor.

use alloc::collections::{BTreeMap, BTreeSet};

use super::mark::{BelowFloor, FLOOR_MAX, is_at_or_below};
use super::marks::Marks;
use super::report::{Answer, Position, Replicas, Report};
use crate::env::NodeId;
use crate::hlc::Stamp;

/// The state machine by which the floor of a partition rises, at one replica.
///
/// # A round
/// 1. Any replica [proposes](FloorKeeper::propose) a candidate older than the offline horizon. Of several the highest goes
///    on: a promise of it is one of the lower ones too.
/// 2. Each replica *promises*, durably, to admit nothing stamped or born at or below it, and says where its commit order
///    stands. It keeps that promise whether or not the round ever ends ([`FloorKeeper::admits`]).
/// 3. Each replica *confirms*, durably, once it has taken in what every other had committed at its promise. Positions say so
///    and never time: a message is late by as much as it likes.
/// 4. When all have confirmed, the candidate is the floor.
///
/// One that is silent holds the round up, and nothing else. A new replica set begins the round anew and keeps the promises.
///
/// # Order of calls
/// After [`FloorKeeper::boot`]: write [`FloorKeeper::marks`] to disk whenever they have changed, behind all that was admitted
/// or taken in before, and say so ([`FloorKeeper::persisted`]); send [`FloorKeeper::report`] to the others now and
/// then; hand theirs to [`FloorKeeper::receive`]; call [`FloorKeeper::advance`] when something was received, taken in or
/// persisted. Whatever else a replica sends (deltas, states, its commit order) carries its durable floor, which goes to
/// [`FloorKeeper::hear`] *before* anything of it is taken in; if the answer is that it is behind, only a whole state
/// helps ([`FloorKeeper::replaced_below`]).
///
/// # Disks that were restored, cloned or lost
/// An older disk has forgotten promises, confirmations and commits that others count on. A fresh boot
/// covers that:
/// - It renews every promise that an earlier boot can have made, by the ceiling that it is given.
/// - Its positions carry its own birth, so that what was taken in from the commit order of an earlier boot does not
///   count for this one; and others forget what the earlier boot said as soon as they hear of this one.
/// - It promises no position and confirms nothing until it has taken in all that each other replica had committed when
///   that one accepted this boot ([`FloorKeeper::greeted`]). What only the earlier boot's position covered, and others took
///   in after they had promised, comes back that way. (A replica that lost something
///   does not vote; for a quorum it has to come back through a majority, for the floor through all, since that counts on all.)
/// - If the floor rose on the strength of what it has forgotten, it finds others' floors above its own without having
///   confirmed them; then it is *behind*, and confirms nothing until it has replaced its state below.
///
/// # What it relies on
/// - A replica that joins the set is booted for it, with a ceiling of that moment, and admits nothing before a majority of
///   the old set acts in the new epoch: then no round of the old set can end behind its back.
/// - Clocks stay within the bound on drift from boot to boot, or the ceiling may miss a promise of an earlier one.
/// - One boot is one run. A virtual machine resumed from a snapshot is two under one name, and outside of all this.
/// - What a replica has admitted and passed on to nobody when it is removed from the set is a client's unsent write: it
///   has to be stamped anew.
#[derive(Debug, Clone)]
pub struct FloorKeeper {
    me: NodeId,
    boot: Stamp,
    marks: Marks,
    durable: Marks,
    epoch: u64,
    /// The latest boot of each other replica that was heard of, and its floor.
    peers: BTreeMap<NodeId, Peer>,
    round: Option<Round>,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    boot: Stamp,
    at: u64,
    /// How many commits it had when it accepted this boot.
    greeting: Option<u64>,
}

#[derive(Debug, Clone)]
struct Round {
    candidate: u64,
    /// The promises of all, with this replica's own once it is due.
    promised: BTreeMap<NodeId, Position>,
    /// Those that have confirmed, this replica included (which says so once that is durable).
    confirmed: BTreeSet<NodeId>,
}

impl FloorKeeper {
    /// The keeper of replica `me` in its boot of birth `boot`, with the marks from its disk ([`Marks::default`] without one).
    ///
    /// `ceiling` is at or above every candidate that an earlier boot can have promised: [`candidate`](super::candidate) of
    /// now, plus the bound on drift. Nothing at or below it is admitted.
    ///
    /// # Panics
    /// If `ceiling` is beyond [`FLOOR_MAX`].
    pub fn boot(me: NodeId, boot: Stamp, disk: Marks, ceiling: u64) -> Self {
        assert!(ceiling <= FLOOR_MAX, "a ceiling of {ceiling}");
        Self {
            me,
            boot,
            marks: Marks {
                promised: disk.promised.max(ceiling),
                ..disk
            },
            durable: disk,
            epoch: 0,
            peers: BTreeMap::new(),
            round: None,
        }
    }

    /// The floor.
    pub fn at(&self) -> u64 {
        self.marks.at
    }

    /// What should be on disk.
    pub fn marks(&self) -> Marks {
        self.marks
    }

    /// `marks`, as [`FloorKeeper::marks`] gave them, are on disk, with all that was committed before.
    pub fn persisted(&mut self, marks: Marks) {
        self.durable = Marks {
            at: self.durable.at.max(marks.at),
            confirmed: self.durable.confirmed.max(marks.confirmed),
            promised: self.durable.promised.max(marks.promised),
        };
    }

    /// Whether a write that is new to the cluster may be admitted here. What another replica has admitted is not asked about:
    /// it is taken in.
    ///
    /// # Errors
    /// [`BelowFloor`] if it is stamped, or its writer was born, at or below the highest promise.
    pub fn admits(&self, stamp: Stamp, birth: Stamp) -> Result<(), BelowFloor> {
        let promised = self.marks.promised;
        if is_at_or_below(stamp, promised) || is_at_or_below(birth, promised) {
            return Err(BelowFloor { promised });
        }
        Ok(())
    }

    /// Begins a round, unless one is under way or the floor is there.
    ///
    /// # Panics
    /// If `candidate` is beyond [`FLOOR_MAX`].
    pub fn propose(&mut self, replicas: &Replicas, candidate: u64) {
        assert!(candidate <= FLOOR_MAX, "a candidate of {candidate}");
        self.follow(replicas);
        if self.round.is_none() && candidate > self.marks.at {
            self.join(candidate);
        }
    }

    /// Takes note of another's report. `ceiling` is the newest candidate that this replica would propose, plus the bound on
    /// drift: no promise is made above it, or one fast clock would shut everybody's writes out.
    pub fn receive(&mut self, replicas: &Replicas, report: &Report, ceiling: u64) {
        self.follow(replicas);
        if !self.is_news(replicas, report.from, report.boot) {
            return;
        }
        self.hear(replicas, report.from, report.boot, report.at);
        let Some(answer) = report.answer else { return };
        if report.epoch != self.epoch || answer.candidate > ceiling || answer.candidate <= self.marks.at {
            return;
        }
        if self
            .round
            .as_ref()
            .is_none_or(|round| round.candidate < answer.candidate)
        {
            self.join(answer.candidate);
        }
        let Some(round) = self.round.as_mut().filter(|round| round.candidate == answer.candidate) else {
            return;
        };
        if let Some(count) = answer.promised_at {
            let boot = report.boot;
            round.promised.insert(report.from, Position { boot, count });
        }
        if answer.confirmed {
            round.confirmed.insert(report.from);
        }
    }

    /// Takes note of another's durable floor, which everything that it sends carries. Gives whether this replica may take in
    /// from it; if not ([`FloorKeeper::must_replace_below`]), what it sends no longer has what it collected.
    pub fn hear(&mut self, replicas: &Replicas, from: NodeId, boot: Stamp, at: u64) -> bool {
        self.follow(replicas);
        if self.is_news(replicas, from, boot) && at <= FLOOR_MAX {
            let unmet = Peer {
                boot,
                at,
                greeting: None,
            };
            let peer = self.peers.entry(from).or_insert(unmet);
            if boot > peer.boot {
                *peer = unmet;
                if let Some(round) = &mut self.round {
                    round.promised.remove(&from);
                    round.confirmed.remove(&from);
                }
            }
            peer.at = peer.at.max(at);
            if at > self.marks.at && !self.must_replace_below(at) {
                self.rise(at);
            }
        }
        !self.must_replace_below(at)
    }

    /// Another replica has accepted this boot when its own commit order stood at `position`: it takes in nothing more of an
    /// earlier one. To be called after [`FloorKeeper::hear`] of the same; the first for each of its boots counts.
    pub fn greeted(&mut self, from: NodeId, position: Position) {
        if let Some(peer) = self.peers.get_mut(&from).filter(|peer| peer.boot == position.boot) {
            peer.greeting.get_or_insert(position.count);
        }
    }

    /// Whether a replica at floor `theirs` has settled what this one has not seen settle. Then all that this one has at or
    /// below `theirs` must give way to the other's.
    pub fn must_replace_below(&self, theirs: u64) -> bool {
        theirs > self.marks.confirmed
    }

    /// Everything at or below `theirs` was replaced by the state of a replica with that floor (and is on its way to disk
    /// ahead of the marks).
    ///
    /// # Panics
    /// If `theirs` is beyond [`FLOOR_MAX`].
    pub fn replaced_below(&mut self, theirs: u64) {
        assert!(theirs <= FLOOR_MAX, "a floor of {theirs}");
        self.marks.confirmed = self.marks.confirmed.max(theirs);
        self.rise(theirs);
    }

    /// Promises, confirms and raises the floor, as far as it is time for each. `taken` is how far into each other's commit
    /// order everything was taken in, and `count` where this replica's own stands; both may be on their way to disk ahead of
    /// the marks. Gives whether the floor rose.
    pub fn advance(&mut self, replicas: &Replicas, taken: &BTreeMap<NodeId, Position>, count: u64) -> bool {
        self.follow(replicas);
        let is_behind = self.peers.values().any(|peer| self.must_replace_below(peer.at));
        let Some(round) = &mut self.round else { return false };
        let others = || replicas.members.iter().filter(|member| **member != self.me);
        let has_taken = |other, due: Position| {
            taken
                .get(other)
                .is_some_and(|taken| taken.boot == due.boot && taken.count >= due.count)
        };
        let has_come_back = others().all(|other| {
            let peer = self.peers.get(other);
            let greeting = peer.and_then(|peer| {
                Some(Position {
                    boot: peer.boot,
                    count: peer.greeting?,
                })
            });
            greeting.is_some_and(|due| has_taken(other, due))
        });
        if has_come_back {
            let own = Position { boot: self.boot, count };
            round.promised.entry(self.me).or_insert(own);
        }
        let has_all = || others().all(|other| round.promised.get(other).is_some_and(|due| has_taken(other, *due)));
        if !is_behind && round.promised.contains_key(&self.me) && has_all() {
            self.marks.confirmed = self.marks.confirmed.max(round.candidate);
            round.confirmed.insert(self.me);
        }
        let candidate = round.candidate;
        let all_confirmed = replicas.members.is_subset(&round.confirmed);
        let rises = all_confirmed && self.durable.confirmed >= candidate;
        if rises {
            self.rise(candidate);
        }
        rises
    }

    /// What to tell the others: nothing that a crash could take back.
    pub fn report(&self) -> Report {
        let answer = self.round.as_ref().map(|round| Answer {
            candidate: round.candidate,
            promised_at: (round.promised.get(&self.me).map(|position| position.count))
                .filter(|_| self.durable.promised >= round.candidate),
            // In this round, not only in one of the same candidate among others.
            confirmed: round.confirmed.contains(&self.me) && self.durable.confirmed >= round.candidate,
        });
        Report {
            from: self.me,
            boot: self.boot,
            epoch: self.epoch,
            at: self.durable.at,
            answer,
        }
    }

    /// From here on nothing at or below `candidate` is admitted, so a position of any later moment will do for the promise.
    fn join(&mut self, candidate: u64) {
        self.marks.promised = self.marks.promised.max(candidate);
        self.round = Some(Round {
            candidate,
            promised: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        });
    }

    fn rise(&mut self, at: u64) {
        self.marks.at = self.marks.at.max(at);
        self.marks.promised = self.marks.promised.max(self.marks.at);
        if self
            .round
            .as_ref()
            .is_some_and(|round| round.candidate <= self.marks.at)
        {
            self.round = None;
        }
    }

    /// Forgets what was said in earlier configurations.
    fn follow(&mut self, replicas: &Replicas) {
        if replicas.epoch > self.epoch {
            self.epoch = replicas.epoch;
            self.round = None;
            self.peers.retain(|peer, _| replicas.members.contains(peer));
        }
    }

    /// Whether it comes from another replica of the set, and not from a boot before its latest.
    fn is_news(&self, replicas: &Replicas, from: NodeId, boot: Stamp) -> bool {
        let is_other = from != self.me && replicas.members.contains(&from);
        is_other && self.peers.get(&from).is_none_or(|peer| peer.boot <= boot)
    }
}
