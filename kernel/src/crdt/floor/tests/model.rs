//! Replicas of one partition, in memory: they admit, take in from each other, crash, come back from older disks, join and
//! leave, and drive a [`FloorKeeper`] each. Beside them the history: every write that was ever admitted, and nothing else.

mod script;

use super::*;
use crate::env::SeededRng;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

/// Milliseconds for which a writer may be offline.
const HORIZON_MS: u64 = 30;
const SNAPSHOTS_MAX: usize = 8;
const REPORTS_MAX: usize = 12;

/// Which rule is broken, to see that the model notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    /// What was promised a while ago is believed to have arrived.
    ConfirmedByTime,
    /// One replica of the set is not asked.
    OneIsNotAsked,
    /// Writes are held against the floor, not against the promise.
    AdmittedAboveTheFloor,
    /// A boot neither reads its promise nor renews it.
    BootForgetsPromises,
    /// Boots number their commits under one name.
    PositionsWithoutBoots,
    /// A boot promises and confirms before it has taken in what others hold of earlier ones.
    BootsAreNotGreeted,
    /// Commits are taken in, and promises believed, without a word of the sender's floor.
    FloorsAreNotHeard,
    /// A replica that is behind takes the floor without the state.
    NothingIsReplaced,
}

#[derive(Debug, Clone)]
struct Write {
    stamp: Stamp,
    birth: Stamp,
    deletes: Option<usize>,
}

/// What survives a crash.
#[derive(Debug, Clone, Default)]
struct Disk {
    marks: Marks,
    /// The commit order. Entries that are no longer held were collected or replaced.
    log: Vec<usize>,
    held: BTreeSet<usize>,
    taken: BTreeMap<NodeId, Position>,
}

#[derive(Debug, Clone)]
struct Replica {
    keeper: FloorKeeper,
    boot: Stamp,
    set: Replicas,
    now: Disk,
    disk: Disk,
    /// Older copies of the disk, the latest last.
    snapshots: Vec<Disk>,
}

pub(super) struct World {
    broken: Broken,
    rng: SeededRng,
    /// Drawn for each run: in some of them much goes wrong, in some nothing.
    faults_permille: u64,
    now_ms: u64,
    set: Replicas,
    replicas: BTreeMap<NodeId, Replica>,
    reports: Vec<Report>,
    writes: Vec<Write>,
    /// Writes that went with the last disk that had them.
    lost: BTreeSet<usize>,
    pub(super) rises: u64,
    pub(super) refused: u64,
    pub(super) replaced: u64,
}

impl World {
    pub(super) fn new(seed: u64, broken: Broken) -> Self {
        let set = replicas(1, &[1, 2, 3]);
        let mut rng = SeededRng::from_u64(seed);
        let mut world = Self {
            broken,
            faults_permille: [0, 10, 40, 120][rng.below(4) as usize],
            rng,
            now_ms: 100,
            set: set.clone(),
            replicas: BTreeMap::new(),
            reports: vec![],
            writes: vec![],
            lost: BTreeSet::new(),
            rises: 0,
            refused: 0,
            replaced: 0,
        };
        for id in set.members {
            world.boot(id, Disk::default(), vec![]);
        }
        world
    }

    fn pick(&mut self) -> NodeId {
        let at = self.rng.below(self.replicas.len() as u64) as usize;
        *self.replicas.keys().nth(at).expect("one of them")
    }

    fn replica(&mut self, id: NodeId) -> &mut Replica {
        self.replicas.get_mut(&id).expect("it is there")
    }

    fn boot(&mut self, id: NodeId, disk: Disk, snapshots: Vec<Disk>) {
        self.now_ms += 1;
        let mut boot = stamp(self.now_ms, id.0);
        let (mut marks, mut ceiling) = (disk.marks, candidate(self.now_ms, HORIZON_MS));
        if self.broken == Broken::BootForgetsPromises {
            (marks.promised, ceiling) = (marks.at, 0);
        }
        if self.broken == Broken::PositionsWithoutBoots {
            boot = stamp(1, id.0);
        }
        let replica = Replica {
            keeper: FloorKeeper::boot(id, boot, marks, ceiling),
            boot,
            set: self.set.clone(),
            now: disk.clone(),
            disk,
            snapshots,
        };
        self.replicas.insert(id, replica);
    }

    pub(super) fn step(&mut self) {
        self.now_ms += self.rng.below(3);
        let id = self.pick();
        if self.rng.chance(self.faults_permille) {
            match self.rng.below(4) {
                0 => self.crash(id),
                1 | 2 => self.restore(id),
                _ => self.change_the_set(id),
            }
            return;
        }
        match self.rng.below(100) {
            0..20 => self.admit(id),
            20..65 => self.gossip(id),
            65..75 => self.propose(id),
            75..82 => self.receive_late(id),
            82..88 => self.sync(id),
            88..96 => self.collect(id),
            _ => self.replica(id).set = self.set.clone(),
        }
    }

    fn admit(&mut self, id: NodeId) {
        // As late as two horizons, and born a while before.
        let ms = self.now_ms - self.rng.below(2 * HORIZON_MS);
        let birth = stamp(ms - self.rng.below(10), 100 + self.rng.below(3));
        let write = stamp(ms, birth.writer().0);
        let victim = self.rng.below(4) == 0;
        let replica = &self.replicas[&id];
        let plain = |n: &&usize| self.writes[**n].deletes.is_none();
        let victims: Vec<usize> = replica.now.held.iter().filter(plain).copied().collect();
        let deletes = if victim && !victims.is_empty() {
            Some(victims[self.rng.below(victims.len() as u64) as usize])
        } else {
            None
        };
        self.offer(
            id,
            Write {
                stamp: write,
                birth,
                deletes,
            },
        );
    }

    /// Admits `write` if it may.
    fn offer(&mut self, id: NodeId, write: Write) {
        let keeper = &self.replicas[&id].keeper;
        let admitted = match self.broken {
            Broken::AdmittedAboveTheFloor => !is_at_or_below(write.birth, keeper.at()),
            _ => keeper.admits(write.stamp, write.birth).is_ok(),
        };
        if admitted {
            let number = self.writes.len();
            self.writes.push(write);
            let now = &mut self.replica(id).now;
            now.log.push(number);
            now.held.insert(number);
        } else {
            self.refused += 1;
        }
    }

    fn lies_below(&self, write: usize, floor: u64) -> bool {
        let write = &self.writes[write];
        is_at_or_below(write.stamp, floor) || is_at_or_below(write.birth, floor)
    }

    /// `to` reads what `from` has made durable, in its order.
    fn take_in(&mut self, to: NodeId, from: NodeId, most: usize) {
        if to == from {
            return;
        }
        let mut replica = self.replicas.remove(&to).expect("it is there");
        let Replica { boot, disk, .. } = &self.replicas[&from];
        let hears = self.broken != Broken::FloorsAreNotHeard;
        let floor = if hears { disk.marks.at } else { 0 };
        if replica.keeper.hear(&replica.set, from, *boot, floor) {
            let greeting = match self.broken {
                Broken::BootsAreNotGreeted => 0,
                _ => disk.log.len() as u64,
            };
            let place = |count: u64| Position { boot: *boot, count };
            replica.keeper.greeted(from, place(greeting));
            let taken = replica.now.taken.get(&from).filter(|taken| taken.boot == *boot);
            let start = taken.map_or(0, |taken| taken.count as usize).min(disk.log.len());
            let end = disk.log.len().min(start + most);
            for &write in disk.log[start..end].iter().filter(|write| disk.held.contains(write)) {
                if !self.lies_below(write, replica.keeper.at()) && replica.now.held.insert(write) {
                    replica.now.log.push(write);
                }
            }
            replica.now.taken.insert(from, place(end as u64));
        } else {
            self.replaced += 1;
            self.replace(&mut replica, from);
        }
        self.replicas.insert(to, replica);
    }

    /// Everything below the floor of `from` gives way to what is there.
    fn replace(&self, replica: &mut Replica, from: NodeId) {
        let source = &self.replicas[&from].disk;
        let at = source.marks.at;
        if self.broken != Broken::NothingIsReplaced {
            replica.now.held.retain(|write| !self.lies_below(*write, at));
            for &write in source.held.iter().filter(|write| self.lies_below(**write, at)) {
                replica.now.held.insert(write);
                replica.now.log.push(write);
            }
        }
        replica.keeper.replaced_below(at);
    }

    /// The set as `id` knows it.
    fn set_of(&self, id: NodeId) -> Replicas {
        let mut set = self.replicas[&id].set.clone();
        if self.broken == Broken::OneIsNotAsked {
            let skipped = set.members.iter().find(|member| **member != id).copied();
            set.members.retain(|member| Some(*member) != skipped);
        }
        set
    }

    fn propose(&mut self, id: NodeId) {
        let now_ms = self.now_ms - self.rng.below(10);
        self.propose_at(id, now_ms);
    }

    fn propose_at(&mut self, id: NodeId, now_ms: u64) {
        let set = self.set_of(id);
        let replica = self.replica(id);
        replica.keeper.propose(&set, candidate(now_ms, HORIZON_MS));
    }

    /// One replica tells others how it is, and some of its commits.
    fn gossip(&mut self, from: NodeId) {
        if self.rng.below(2) == 0 {
            self.sync(from);
        }
        let report = self.report(from);
        let ids: Vec<NodeId> = self.replicas.keys().copied().collect();
        for to in ids {
            let most = [0, 3, 9, 1_000][self.rng.below(4) as usize];
            self.take_in(to, from, most);
            if self.rng.below(2) == 0 {
                self.receive(to, &report);
            }
            if self.rng.below(2) == 0 {
                self.advance(to);
            }
        }
    }

    fn report(&mut self, id: NodeId) -> Report {
        let mut report = self.replica(id).keeper.report();
        if self.broken == Broken::FloorsAreNotHeard {
            report.at = 0;
        }
        if self.reports.len() >= REPORTS_MAX {
            let at = self.rng.below(REPORTS_MAX as u64) as usize;
            self.reports.swap_remove(at);
        }
        self.reports.push(report);
        report
    }

    /// A report of the past, perhaps once more.
    fn receive_late(&mut self, id: NodeId) {
        if !self.reports.is_empty() {
            let at = self.rng.below(self.reports.len() as u64) as usize;
            let report = self.reports[at];
            self.receive(id, &report);
        }
    }

    fn receive(&mut self, id: NodeId, report: &Report) {
        let (set, ceiling) = (self.set_of(id), candidate(self.now_ms, HORIZON_MS));
        self.replica(id).keeper.receive(&set, report, ceiling);
    }

    fn advance(&mut self, id: NodeId) {
        let set = self.set_of(id);
        let mut taken = self.replicas[&id].now.taken.clone();
        if self.broken == Broken::ConfirmedByTime {
            for (&other, replica) in &self.replicas {
                let (boot, count) = (replica.boot, u64::MAX);
                taken.insert(other, Position { boot, count });
            }
        }
        let replica = self.replica(id);
        let count = replica.now.log.len() as u64;
        let rose = replica.keeper.advance(&set, &taken, count);
        self.rises += u64::from(rose);
    }

    fn sync(&mut self, id: NodeId) {
        let is_copied = self.rng.below(12) == 0;
        let replica = self.replica(id);
        replica.now.marks = replica.keeper.marks();
        replica.disk = replica.now.clone();
        replica.keeper.persisted(replica.disk.marks);
        if is_copied {
            replica.snapshots.push(replica.disk.clone());
        }
        if replica.snapshots.len() > SNAPSHOTS_MAX {
            replica.snapshots.remove(0);
        }
    }

    /// Removes what was deleted, and what deleted it, where both lie at or below the floor.
    fn collect(&mut self, id: NodeId) {
        let replica = &self.replicas[&id];
        let kept = self.kept(&replica.now.held, replica.keeper.at());
        let at = replica.keeper.at();
        let above = replica.now.held.iter().filter(|write| !self.lies_below(**write, at));
        let held = above.copied().chain(kept).collect();
        self.replica(id).now.held = held;
    }

    /// What `held` has at or below `floor` once it is collected there.
    fn kept(&self, held: &BTreeSet<usize>, floor: u64) -> BTreeSet<usize> {
        let below: BTreeSet<usize> = held.iter().copied().filter(|n| self.lies_below(*n, floor)).collect();
        let victim_of = |n: &usize| self.writes[*n].deletes.filter(|victim| self.lies_below(*victim, floor));
        let victims: BTreeSet<usize> = below.iter().filter_map(victim_of).collect();
        let stays = |n: &usize| victim_of(n).is_none() && !victims.contains(n);
        below.into_iter().filter(stays).collect()
    }

    fn crash(&mut self, id: NodeId) {
        let replica = self.replica(id);
        let (disk, snapshots) = (replica.disk.clone(), replica.snapshots.clone());
        self.boot(id, disk, snapshots);
        self.bury();
    }

    /// A crash that comes back with an older copy of the disk, or with none.
    fn restore(&mut self, id: NodeId) {
        let mut snapshots = self.replica(id).snapshots.clone();
        let left = self.rng.below(snapshots.len() as u64 + 1) as usize;
        snapshots.truncate(left);
        let disk = snapshots.last().cloned().unwrap_or_default();
        self.boot(id, disk, snapshots);
        self.bury();
    }

    /// What no disk has any longer, and no floor has settled, is gone: no rule about floors brings it back.
    fn bury(&mut self) {
        let highest = self
            .replicas
            .values()
            .map(|replica| replica.keeper.at())
            .max()
            .unwrap_or(0);
        let mut gone: BTreeSet<usize> = (0..self.writes.len())
            .filter(|n| !self.lies_below(*n, highest))
            .collect();
        for replica in self.replicas.values() {
            gone.retain(|write| !replica.now.held.contains(write) && !replica.disk.held.contains(write));
        }
        for replica in self.replicas.values_mut() {
            replica.snapshots.retain(|snapshot| snapshot.held.is_disjoint(&gone));
        }
        self.lost.extend(gone);
    }

    /// One joins or leaves. A majority of the old set knows at once, the rest in their own time.
    fn change_the_set(&mut self, id: NodeId) {
        if self.replicas.values().any(|replica| replica.set != self.set) {
            return;
        }
        let majority = self.set.members.len() / 2 + 1;
        self.set.epoch += 1;
        let joins = (1..=5).map(NodeId).find(|new| !self.replicas.contains_key(new));
        match joins.filter(|_| self.replicas.len() == 3 || self.rng.below(2) == 0) {
            Some(new) => {
                self.set.members.insert(new);
                self.boot(new, Disk::default(), vec![]);
            }
            None => {
                self.set.members.remove(&id);
                self.replicas.remove(&id);
                self.bury();
            }
        }
        for replica in self.replicas.values_mut().take(majority) {
            replica.set = self.set.clone();
        }
    }

    /// Everything heals: all messages arrive, all disks work.
    pub(super) fn heal(&mut self) {
        let goal = candidate(self.now_ms, HORIZON_MS);
        self.now_ms += HORIZON_MS;
        let ids: Vec<NodeId> = self.replicas.keys().copied().collect();
        for id in &ids {
            self.replica(*id).set = self.set.clone();
        }
        for _ in 0..12 {
            self.propose(ids[0]);
            for &to in &ids {
                for &from in &ids {
                    self.take_in(to, from, 100_000);
                    let report = self.replica(from).keeper.report();
                    self.receive(to, &report);
                }
                self.sync(to);
                self.advance(to);
                self.sync(to);
            }
        }
        for replica in self.replicas.values() {
            assert!(replica.keeper.at() >= goal, "{replica:?} is not at {goal}");
        }
    }

    /// At the moment when a replica's floor is F it holds every write at or below F that was ever admitted anywhere, but for
    /// what was deleted down there; and nothing that was deleted comes back.
    pub(super) fn holds(&self) -> bool {
        let admitted: BTreeSet<usize> = (0..self.writes.len()).filter(|n| !self.lost.contains(n)).collect();
        self.replicas.values().all(|replica| {
            let at = replica.keeper.at();
            self.kept(&replica.now.held, at) == self.kept(&admitted, at)
        })
    }
}
