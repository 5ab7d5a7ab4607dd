//! Rounds told one by one.

mod boots;

use super::*;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

const F: u64 = 1_000 << 16;
const CEILING: u64 = 2_000 << 16;

/// Replicas that have met, and whose disks are instant.
struct Cluster {
    set: Replicas,
    keepers: BTreeMap<NodeId, FloorKeeper>,
    boots: BTreeMap<NodeId, Stamp>,
    commits: BTreeMap<NodeId, u64>,
}

impl Cluster {
    fn of(members: &[u64]) -> Self {
        let mut cluster = Self {
            set: replicas(1, members),
            keepers: BTreeMap::new(),
            boots: BTreeMap::new(),
            commits: BTreeMap::new(),
        };
        for &id in members {
            cluster.boot(id, 10, Marks::default(), 0);
        }
        cluster
    }

    fn boot(&mut self, id: u64, ms: u64, disk: Marks, ceiling: u64) {
        let (id, boot) = (NodeId(id), stamp(ms, id));
        self.keepers.insert(id, FloorKeeper::boot(id, boot, disk, ceiling));
        self.boots.insert(id, boot);
        self.commits.entry(id).or_insert(5);
        for other in self.keepers.keys().copied().collect::<Vec<_>>() {
            self.meet(id, other);
            self.meet(other, id);
        }
    }

    fn meet(&mut self, to: NodeId, from: NodeId) {
        let position = self.position(from);
        let at = self.keepers[&from].report().at;
        let keeper = self.keepers.get_mut(&to).unwrap();
        keeper.hear(&self.set, from, position.boot, at);
        keeper.greeted(from, position);
    }

    fn position(&self, id: NodeId) -> Position {
        Position {
            boot: self.boots[&id],
            count: self.commits[&id],
        }
    }

    fn keeper(&mut self, id: u64) -> &mut FloorKeeper {
        self.keepers.get_mut(&NodeId(id)).unwrap()
    }

    fn report(&self, id: u64) -> Report {
        self.keepers[&NodeId(id)].report()
    }

    fn propose(&mut self, id: u64, candidate: u64) {
        let set = self.set.clone();
        self.keeper(id).propose(&set, candidate);
    }

    fn receive(&mut self, to: u64, report: &Report) {
        let set = self.set.clone();
        self.keeper(to).receive(&set, report, CEILING);
    }

    fn persist(&mut self, id: u64) {
        let keeper = self.keeper(id);
        keeper.persisted(keeper.marks());
    }

    /// `id` looks whether it is time, having taken in all but `missing` commits of each other.
    fn advance(&mut self, id: u64, missing: u64) {
        let mut taken: BTreeMap<_, _> = self
            .commits
            .keys()
            .map(|other| (*other, self.position(*other)))
            .collect();
        taken.values_mut().for_each(|position| position.count -= missing);
        let (set, count) = (self.set.clone(), self.commits[&NodeId(id)]);
        let keeper = self.keeper(id);
        let before = keeper.at();
        let rose = keeper.advance(&set, &taken, count);
        assert_eq!(rose, keeper.at() > before);
    }

    /// Everybody among `ids` does everything that it can.
    fn run(&mut self, ids: &[u64]) {
        for _ in 0..4 {
            for &id in ids {
                self.advance(id, 0);
                self.persist(id);
                self.advance(id, 0);
                self.persist(id);
                for &to in ids {
                    let report = self.report(id);
                    self.receive(to, &report);
                }
            }
        }
    }

    fn floors(&self) -> Vec<u64> {
        self.keepers.values().map(FloorKeeper::at).collect()
    }
}

fn answer(report: &Report) -> (Option<u64>, bool) {
    report
        .answer
        .map_or((None, false), |answer| (answer.promised_at, answer.confirmed))
}

#[test]
fn the_floor_rises_when_all_have_promised_and_confirmed() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.propose(2, F);
    cluster.run(&[1, 2, 3]);
    assert_eq!(cluster.floors(), [F; 3]);
    assert_eq!(cluster.report(1).answer, None);
    // It does not fall, and what is there already is no candidate.
    cluster.propose(1, F);
    assert_eq!(cluster.report(1).answer, None);
    cluster.propose(1, F + 1);
    cluster.run(&[1, 2, 3]);
    assert_eq!(cluster.floors(), [F + 1; 3]);
}

#[test]
fn a_replica_that_is_alone_is_all() {
    let mut cluster = Cluster::of(&[1]);
    cluster.propose(1, F);
    cluster.advance(1, 0);
    assert_eq!(cluster.floors(), [0], "its confirmation is not on disk");
    cluster.run(&[1]);
    assert_eq!(cluster.floors(), [F]);
}

#[test]
fn a_silent_replica_holds_the_floor_and_nothing_else() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.propose(1, F);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [0; 3]);
    let below = stamp(1_000, 9);
    let above = stamp(1_001, 9);
    // The promise holds although the round may never end.
    let refused = Err(BelowFloor { promised: F });
    assert_eq!(cluster.keeper(2).admits(below, below), refused);
    assert_eq!(cluster.keeper(2).admits(above, below), refused, "born below");
    assert_eq!(cluster.keeper(2).admits(below, above), refused);
    assert_eq!(cluster.keeper(2).admits(above, above), Ok(()));
    assert_eq!(cluster.keeper(3).admits(below, below), Ok(()));
    cluster.run(&[1, 2, 3]);
    assert_eq!(cluster.floors(), [F; 3]);
}

#[test]
fn member_silent_beyond_the_horizon_leaves() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.propose(1, F);
    cluster.run(&[1, 2]);
    cluster.set = replicas(2, &[1, 2]);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [0; 3], "the round began anew with the set");
    cluster.propose(1, F);
    let gone = cluster.report(3);
    cluster.receive(1, &gone);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [F, F, 0]);
    assert!(cluster.keeper(3).must_replace_below(F));
}

#[test]
fn a_replica_added_in_the_middle_must_promise_and_confirm_too() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.commits.values_mut().for_each(|commits| *commits = 6);
    cluster.propose(1, F);
    // 1 and 2 have confirmed among three when a fourth comes.
    for id in [1, 2, 3, 1, 2, 3] {
        cluster.persist(id);
        cluster.advance(id, if id == 3 { 1 } else { 0 });
        cluster.persist(id);
        let report = cluster.report(id);
        for to in [1, 2, 3] {
            cluster.receive(to, &report);
        }
    }
    cluster.advance(3, 1);
    assert!(answer(&cluster.report(2)).1 && !answer(&cluster.report(3)).1);
    let old = cluster.report(2);
    cluster.set = replicas(2, &[1, 2, 3, 4]);
    cluster.boot(4, 1_500, Marks::default(), F);
    cluster.propose(1, F);
    cluster.receive(1, &old);
    cluster.run(&[1, 2, 3]);
    assert!(
        !answer(&cluster.report(2)).1,
        "what it confirmed among three does not count among four"
    );
    assert_eq!(cluster.floors(), [0; 4]);
    cluster.run(&[1, 2, 3, 4]);
    assert_eq!(cluster.floors(), [F; 4]);
}

#[test]
fn two_candidates_at_once_and_the_higher_goes_on() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.propose(1, F);
    cluster.propose(2, F + 7);
    cluster.run(&[1, 2, 3]);
    assert_eq!(cluster.floors(), [F + 7; 3]);
    // The other way round: the lower comes late.
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.propose(1, F + 7);
    cluster.propose(2, F);
    let lower = cluster.report(2);
    cluster.receive(1, &lower);
    assert_eq!(cluster.report(1).answer.unwrap().candidate, F + 7);
    cluster.propose(1, F + 9);
    assert_eq!(cluster.report(1).answer.unwrap().candidate, F + 7, "one at a time");
}

#[test]
fn a_promise_is_told_only_once_it_is_durable() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.propose(1, F);
    cluster.advance(1, 0);
    assert_eq!(answer(&cluster.report(1)), (None, false));
    cluster.persist(1);
    assert_eq!(answer(&cluster.report(1)), (Some(5), false));
    let report = cluster.report(1);
    cluster.receive(2, &report);
    cluster.advance(2, 0);
    assert_eq!(cluster.keeper(2).marks().confirmed, F);
    assert_eq!(answer(&cluster.report(2)), (None, false));
    cluster.persist(2);
    assert_eq!(answer(&cluster.report(2)), (Some(5), true));
    // Commits after the promise do not move it.
    cluster.commits.insert(NodeId(2), 9);
    cluster.advance(2, 0);
    assert_eq!(answer(&cluster.report(2)), (Some(5), true));
}

#[test]
fn restart_forgets_what_was_not_durable_and_keeps_what_was() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.propose(1, F);
    cluster.persist(1);
    let disk = cluster.keeper(1).marks().encode();
    cluster.propose(2, F);
    // 1 wrote its promise before it crashed, 2 did not.
    cluster.boot(1, 20, Marks::decode(&disk).unwrap(), 0);
    cluster.boot(2, 20, Marks::default(), 0);
    let below = stamp(1_000, 9);
    assert_eq!(cluster.keeper(1).admits(below, below), Err(BelowFloor { promised: F }));
    assert_eq!(cluster.keeper(2).admits(below, below), Ok(()));
    assert_eq!(cluster.report(1).answer, None);
    cluster.propose(2, F);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [F; 2]);
}

#[test]
fn late_repeated_and_reordered_reports_change_nothing() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    let mut past = vec![];
    for candidate in [F, F + 1, F + 2] {
        cluster.propose(1, candidate);
        for _ in 0..3 {
            past.extend([1, 2, 3].map(|id| cluster.report(id)));
            cluster.run(&[1, 2, 3]);
        }
        for report in past.iter().rev().chain(&past) {
            for to in [1, 2, 3] {
                cluster.receive(to, report);
                cluster.advance(to, 0);
            }
        }
        assert_eq!(cluster.floors(), [candidate; 3]);
        assert!([1, 2, 3].iter().all(|id| cluster.report(*id).answer.is_none()));
    }
    // Of an earlier boot.
    let before = cluster.report(2);
    let disk = cluster.keeper(2).marks();
    cluster.boot(2, 20, disk, 0);
    cluster.propose(1, F + 3);
    let late = Report {
        answer: Some(Answer {
            candidate: F + 3,
            promised_at: Some(0),
            confirmed: true,
        }),
        ..before
    };
    cluster.receive(1, &late);
    cluster.run(&[1, 3]);
    assert!(
        !answer(&cluster.report(1)).1,
        "nobody believes the boot before the last"
    );
}

#[test]
fn confirmed_by_position_and_never_by_less() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.run(&[1, 2]);
    cluster.propose(1, F);
    for id in [1, 2] {
        cluster.advance(id, 0);
        cluster.persist(id);
        let report = cluster.report(id);
        cluster.receive(3 - id, &report);
    }
    cluster.advance(2, 0);
    cluster.commits.insert(NodeId(2), 6);
    cluster.advance(2, 0);
    cluster.persist(2);
    let report = cluster.report(2);
    cluster.receive(1, &report);
    cluster.advance(1, 2);
    cluster.persist(1);
    assert_eq!(answer(&cluster.report(1)), (Some(5), false), "four of five");
    cluster.advance(1, 1);
    cluster.persist(1);
    assert_eq!(
        answer(&cluster.report(1)),
        (Some(5), true),
        "what came after the promise is not waited for"
    );
}

#[test]
fn a_lower_floor_hears_of_a_higher_one() {
    let mut cluster = Cluster::of(&[1, 2]);
    let (set, boot) = (cluster.set.clone(), cluster.boots[&NodeId(2)]);
    assert!(!cluster.keeper(1).hear(&set, NodeId(2), boot, F));
    assert!(cluster.keeper(1).must_replace_below(F) && !cluster.keeper(1).must_replace_below(0));
    // Behind, it confirms nothing, whatever it has taken in.
    cluster.propose(2, F + 1);
    cluster.run(&[1, 2]);
    assert_eq!(answer(&cluster.report(1)), (Some(5), false));
    cluster.keeper(1).replaced_below(F);
    assert_eq!(cluster.keeper(1).at(), F);
    assert!(cluster.keeper(1).hear(&set, NodeId(2), boot, F));
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [F + 1; 2]);
    // One that had confirmed has all that is there, and takes the floor as it is.
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.propose(1, F);
    cluster.run(&[1, 2]);
    let report = cluster.report(3);
    assert_eq!(report.answer, None);
    for id in [3, 1, 2] {
        let reports = [1, 2, 3].map(|from| cluster.report(from));
        reports.iter().for_each(|report| cluster.receive(id, report));
        cluster.advance(id, 0);
        cluster.persist(id);
    }
    assert_eq!((cluster.keeper(1).at(), cluster.keeper(1).marks().confirmed), (0, F));
    assert!(cluster.keeper(1).hear(&set, NodeId(2), boot, F));
    assert_eq!(cluster.keeper(1).at(), F);
    assert_eq!(cluster.report(1).at, 0, "told once it is durable");
}

#[test]
fn disk_restored_from_an_older_copy() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.propose(1, F);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [F; 2]);
    // The copy is from before the promise. The ceiling of the new boot renews it.
    cluster.boot(2, 1_600, Marks::default(), F + 100);
    let below = stamp(1_000, 9);
    assert_eq!(
        cluster.keeper(2).admits(below, below),
        Err(BelowFloor { promised: F + 100 })
    );
    assert!(cluster.keeper(2).must_replace_below(F));
    // It confirms nothing in the next round until it has replaced what lies below the floor that it has forgotten.
    cluster.propose(1, F + 1);
    cluster.run(&[1, 2]);
    assert!(!answer(&cluster.report(2)).1);
    assert_eq!(cluster.floors(), [F, 0]);
    cluster.keeper(2).replaced_below(F);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [F + 1; 2]);
}

#[test]
fn a_boot_states_no_position_before_it_has_what_others_took_from_the_last() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.boot(2, 20, Marks::default(), 0);
    cluster.propose(2, F);
    cluster.persist(2);
    cluster.advance(2, 1);
    assert_eq!(answer(&cluster.report(2)), (None, false));
    // A greeting of a boot that is over, or a second one, moves nothing.
    let boot = cluster.boots[&NodeId(1)];
    cluster.keeper(2).greeted(
        NodeId(1),
        Position {
            boot: stamp(9, 1),
            count: 0,
        },
    );
    cluster.keeper(2).greeted(NodeId(1), Position { boot, count: 0 });
    cluster.advance(2, 1);
    assert_eq!(answer(&cluster.report(2)), (None, false));
    cluster.advance(2, 0);
    assert_eq!(answer(&cluster.report(2)), (Some(5), false));
}

#[test]
fn a_candidate_above_the_ceiling_gets_no_promise() {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.propose(1, CEILING + 1);
    let report = cluster.report(1);
    cluster.receive(2, &report);
    assert_eq!(cluster.report(2).answer, None);
    assert_eq!(cluster.keeper(2).marks().promised, 0);
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.propose(1, CEILING);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [CEILING; 2]);
}

#[test]
fn strangers_and_floors_that_no_stamp_has_are_not_heard() {
    let mut cluster = Cluster::of(&[1, 2]);
    let (set, boot) = (cluster.set.clone(), cluster.boots[&NodeId(2)]);
    cluster.keeper(1).hear(&set, NodeId(9), boot, F);
    cluster.keeper(1).hear(&set, NodeId(2), boot, FLOOR_MAX + 1);
    cluster.propose(2, F);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [F; 2]);
}
