//! What an earlier boot said does not count for a later one, nor does what was taken in from it.

use super::*;

/// 1 and 2 have promised and 1 has heard so.
fn promised() -> Cluster {
    let mut cluster = Cluster::of(&[1, 2]);
    cluster.propose(1, F);
    cluster.advance(1, 0);
    cluster.persist(1);
    let report = cluster.report(1);
    cluster.receive(2, &report);
    cluster.advance(2, 0);
    cluster.persist(2);
    let report = cluster.report(2);
    cluster.receive(1, &report);
    cluster
}

fn advance_with(cluster: &mut Cluster, id: u64, taken: Position) -> (Option<u64>, bool) {
    let (set, taken) = (cluster.set.clone(), BTreeMap::from([(NodeId(3 - id), taken)]));
    cluster.keeper(id).advance(&set, &taken, 5);
    cluster.persist(id);
    answer(&cluster.report(id))
}

#[test]
fn its_confirmation_is_forgotten() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    cluster.propose(1, F);
    // All confirm, but the confirmation of 3 is on its way.
    for id in [1, 2, 3, 1, 2] {
        cluster.advance(id, 0);
        cluster.persist(id);
        let mut report = cluster.report(id);
        report.answer.as_mut().unwrap().confirmed &= id != 3;
        for to in [1, 2, 3] {
            cluster.receive(to, &report);
        }
    }
    cluster.advance(1, 0);
    let late = cluster.report(3);
    assert!([1, 2, 3].iter().all(|id| answer(&cluster.report(*id)).1));
    cluster.boot(2, 20, Marks::default(), F);
    cluster.receive(1, &late);
    cluster.advance(1, 0);
    assert_eq!(cluster.keeper(1).at(), 0);
    cluster.run(&[1, 2, 3]);
    assert_eq!(cluster.floors(), [F; 3]);
}

#[test]
fn its_promise_is_forgotten() {
    let mut cluster = promised();
    let before = cluster.position(NodeId(2));
    cluster.boot(2, 20, Marks::default(), F);
    assert_eq!(advance_with(&mut cluster, 1, before), (Some(5), false));
}

#[test]
fn what_was_taken_in_from_it_is_not_what_the_later_one_has() {
    let mut cluster = promised();
    let before = cluster.position(NodeId(2));
    cluster.boot(2, 20, Marks::default(), F);
    cluster.advance(2, 0);
    cluster.persist(2);
    let report = cluster.report(2);
    cluster.receive(1, &report);
    let answer_of_1 = cluster.report(1);
    cluster.receive(2, &answer_of_1);
    cluster.advance(2, 0);
    cluster.persist(2);
    let report = cluster.report(2);
    cluster.receive(1, &report);
    let more = Position { count: 9, ..before };
    assert_eq!(advance_with(&mut cluster, 1, more), (Some(5), false));
    let after = cluster.position(NodeId(2));
    assert_eq!(advance_with(&mut cluster, 1, after), (Some(5), true));
}

#[test]
fn a_boot_confirms_nothing_before_it_has_promised() {
    let mut cluster = promised();
    let due = cluster.position(NodeId(1));
    cluster.commits.insert(NodeId(1), 7);
    cluster.boot(2, 20, Marks::default(), F);
    let answer_of_1 = cluster.report(1);
    cluster.receive(2, &answer_of_1);
    assert_eq!(
        advance_with(&mut cluster, 2, due),
        (None, false),
        "7 were there when it came back"
    );
    let greeted = cluster.position(NodeId(1));
    assert_eq!(advance_with(&mut cluster, 2, greeted), (Some(5), true));
}

#[test]
fn a_floor_that_only_a_removed_replica_had_holds_nobody_up() {
    let mut cluster = Cluster::of(&[1, 2, 3]);
    let (set, boot) = (cluster.set.clone(), cluster.boots[&NodeId(3)]);
    cluster.keeper(1).hear(&set, NodeId(3), boot, F + 5);
    cluster.set = replicas(2, &[1, 2]);
    cluster.propose(1, F);
    cluster.run(&[1, 2]);
    assert_eq!(cluster.floors(), [F, F, 0]);
}
