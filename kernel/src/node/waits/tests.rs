use super::*;
use crate::cluster::Placement;
use crate::env::Limits;
use crate::env::Ticket;
use crate::wire::Code;
use crate::wire::cluster::refusal;
use alloc::collections::BTreeSet;
use alloc::vec;
use proptest::prelude::*;

const CONN: ConnId = ConnId(1);
const OWN: NodeId = NodeId(1);
const FLOOR: Floor = Floor {
    stamp: Stamp::ZERO,
    gone: false,
};

fn client(conn: u64) -> Asker {
    Asker::Client {
        conn: ConnId(conn),
        exchange: false,
    }
}

fn writes(count: usize) -> Parts {
    let part = |at: usize| Part {
        id: alloc::format!("{at}").into(),
        outcome: None,
        about: None,
    };
    Parts::Ops((0..count).map(part).collect())
}

fn key() -> RecordKey {
    RecordKey::new("m", b"k", &Limits::default()).unwrap()
}

fn read() -> Parts {
    Parts::Read {
        id: "r".into(),
        key: key(),
        floor: Some(FLOOR),
    }
}

/// It begins in a step whose ticket is 7. Its number.
fn begin(waits: &mut Waits, wait: Wait) -> u64 {
    waits.wait(wait, true);
    waits.writes.set_tickets(Some(Ticket(7)), OWN);
    waits.numbers
}

/// All that is to be sent is, to each of these nodes in frames of these numbers.
fn send(waits: &mut Waits, frames: &[(u64, &[u64])]) {
    let frames = frames.iter().map(|(node, frames)| (NodeId(*node), frames.to_vec()));
    let all = waits.writes.to_be_sent(&BTreeSet::new(), OWN);
    waits.writes.were_sent(&all, &frames.collect());
}

/// A wait for a partition with these replicas, moving to those.
fn wait(of: (u64, Vec<usize>), level: Consistency, replicas: &[u64], target: &[u64]) -> Wait {
    let nodes = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
    Wait {
        of,
        level,
        partition: None,
        placement: Placement {
            replicas: nodes(replicas),
            target: nodes(target),
            since: 1,
        },
        keys: vec![key()],
        has: BTreeSet::new(),
        needs: BTreeMap::new(),
        shows: None,
    }
}

fn ok() -> Result<Consistency, Refusal> {
    Ok(Consistency::Quorum)
}

fn outcomes(gathering: &Gathering) -> Vec<Option<Result<Consistency, Refusal>>> {
    match &gathering.parts {
        Parts::Ops(ops) => ops.iter().map(|part| part.outcome.clone()).collect(),
        Parts::Read { .. } => panic!("a read has no outcomes"),
    }
}

fn numbers(gatherings: &[Gathering]) -> Vec<u64> {
    gatherings.iter().map(|gathering| gathering.number).collect()
}

#[test]
fn a_request_is_settled_once_when_all_of_its_parts_are() {
    let mut waits = Waits::default();
    let number = waits.gather(client(1), writes(3), 3, 100);
    assert!(waits.settle(&(number, vec![0]), [ok()].into_iter()).is_none());
    let lost = || Err(refusal(Code::OutcomeUnknown, "lost"));
    assert!(
        waits
            .settle(&(number, vec![0, 0]), [lost(), lost()].into_iter())
            .is_none(),
        "settled already"
    );
    assert!(
        waits.settle(&(number, vec![9]), [ok()].into_iter()).is_none(),
        "there is no such part"
    );
    let gathering = waits
        .settle(&(number, vec![2, 1]), [lost(), ok()].into_iter())
        .expect("that was the last");
    assert_eq!(outcomes(&gathering), [Some(ok()), Some(ok()), Some(lost())]);
    assert_eq!(waits.len(), 0);
    assert!(waits.settle(&(number, vec![1]), [ok()].into_iter()).is_none());
    assert!(waits.end(number).is_none() && waits.overdue(u64::MAX).is_none() && waits.wake_us().is_none());
}

#[test]
fn writes_of_a_client_are_answered_in_the_order_in_which_they_came() {
    let mut waits = Waits::default();
    let first = waits.gather(client(1), writes(1), 1, 100);
    let second = waits.gather(client(1), writes(1), 1, 100);
    let third = waits.gather(client(1), writes(1), 1, 100);
    let other = waits.gather(client(2), writes(1), 1, 100);
    let get = waits.gather(client(1), read(), 1, 100);
    let mut end = |number| {
        let gathering = waits.end(number).expect("it is there");
        waits.in_turn(gathering)
    };
    assert_eq!(numbers(&end(other)), [other], "others do not wait");
    assert_eq!(numbers(&end(get)), [get], "nor do reads");
    assert!(end(third).is_empty() && end(second).is_empty());
    assert_eq!(numbers(&end(first)), [first, second, third]);
    assert!(!waits.is_queued(CONN));
}

#[test]
fn nobody_is_answered_for_a_client_that_is_gone() {
    let mut waits = Waits::default();
    let first = waits.gather(client(1), writes(1), 1, 100);
    let second = waits.gather(client(1), writes(1), 1, 100);
    let gathering = waits.end(second).unwrap();
    assert!(waits.in_turn(gathering).is_empty() && waits.is_queued(CONN));
    waits.forget(CONN);
    assert!(!waits.is_queued(CONN));
    // The write itself goes on; what comes of it is for nobody.
    let gathering = waits.settle(&(first, vec![0]), [ok()].into_iter()).unwrap();
    assert_eq!(numbers(&waits.in_turn(gathering)), [first]);
    assert!(waits.abandon().is_empty());
}

#[test]
fn the_first_whose_time_is_over_is_named_and_what_is_known_of_it() {
    let mut waits = Waits::default();
    let late = waits.gather(client(1), writes(1), 1, 300);
    let soon = waits.gather(client(1), writes(2), 2, 200);
    assert_eq!(
        (waits.wake_us(), waits.overdue(199), waits.overdue(200)),
        (Some(200), None, Some(soon))
    );
    begin(&mut waits, wait((soon, vec![0]), Consistency::Quorum, &[1, 2, 3], &[]));
    begin(&mut waits, wait((soon, vec![1]), Consistency::Strong, &[1, 2, 3], &[]));
    waits.writes.durable(Ticket(6), OWN);
    assert_eq!(waits.progress(soon, OWN).unwrap().have, 0, "a later commit carries it");
    waits.writes.durable(Ticket(7), OWN);
    let tally = waits.progress(soon, OWN).unwrap();
    assert_eq!((tally.have, tally.of), (1, 3));
    assert_eq!(waits.progress(late, OWN), None);
    waits.end(soon).unwrap();
    assert!(
        waits.writes.to_be_sent(&BTreeSet::new(), OWN).is_empty(),
        "nothing is waited for on its behalf"
    );
    assert_eq!(waits.wake_us(), Some(300));
}

#[test]
fn who_has_confirmed_every_frame_has_it() {
    let mut waits = Waits::default();
    let number = waits.gather(client(1), writes(1), 1, 100);
    let quorum = wait((number, vec![0]), Consistency::Quorum, &[1, 2, 3], &[]);
    let at = begin(&mut waits, quorum);
    assert!(waits.writes.is_fresh());
    send(&mut waits, &[(2, &[10, 11]), (3, &[12]), (4, &[13])]);
    assert!(!waits.writes.is_fresh());
    waits.writes.confirmed(NodeId(2), &[11, 12, 99]);
    waits.writes.confirmed(NodeId(4), &[10, 11]);
    waits.writes.confirmed(NodeId(3), &[10]);
    let has = |waits: &mut Waits| waits.writes.get(at).unwrap().has.clone();
    assert!(has(&mut waits).is_empty());
    waits.writes.confirmed(NodeId(2), &[10]);
    assert_eq!(has(&mut waits), [NodeId(2)].into());
    assert!(waits.writes.take_done(OWN).is_empty(), "one of three");
    waits.writes.durable(Ticket(8), OWN);
    let done = waits.writes.take_done(OWN);
    assert_eq!(done.len(), 1);
    assert!(waits.writes.take_done(OWN).is_empty());
}

#[test]
fn during_a_move_both_majorities_are_needed() {
    let mut waits = Waits::default();
    let number = waits.gather(client(1), writes(1), 1, 100);
    let moving = wait((number, vec![0]), Consistency::Quorum, &[1, 2, 3], &[3, 4, 5]);
    begin(&mut waits, moving);
    send(&mut waits, &[(2, &[2]), (3, &[3]), (4, &[4]), (5, &[5])]);
    waits.writes.durable(Ticket(7), OWN);
    waits.writes.confirmed(NodeId(2), &[2]);
    assert!(waits.writes.take_done(OWN).is_empty(), "nobody of the new ones");
    waits.writes.confirmed(NodeId(4), &[4]);
    assert!(waits.writes.take_done(OWN).is_empty(), "one of the new ones");
    waits.writes.confirmed(NodeId(5), &[5]);
    assert_eq!(waits.writes.take_done(OWN).len(), 1);
}

#[test]
fn a_node_that_is_lost_answers_nothing_and_confirms_nothing() {
    let mut waits = Waits::default();
    let number = waits.gather(client(1), writes(2), 2, 100);
    let at_two = waits.ask(Ask {
        of: (number, vec![0]),
        node: NodeId(2),
    });
    let at_three = waits.ask(Ask {
        of: (number, vec![1]),
        node: NodeId(3),
    });
    let at = begin(
        &mut waits,
        wait((number, vec![0]), Consistency::Quorum, &[1, 2, 3], &[]),
    );
    send(&mut waits, &[(2, &[10]), (3, &[11])]);
    assert!(waits.answered(at_two, NodeId(3)).is_none(), "another was asked");
    let lost = waits.lost(NodeId(2));
    assert_eq!(lost.iter().map(|ask| ask.of.1.clone()).collect::<Vec<_>>(), [vec![0]]);
    assert!(waits.answered(at_two, NodeId(2)).is_none());
    waits.writes.confirmed(NodeId(2), &[10]);
    assert!(waits.writes.get(at).unwrap().has.is_empty(), "of its old link");
    let owed = [NodeId(2), NodeId(3)].into();
    let again = waits.writes.to_be_sent(&owed, OWN);
    assert_eq!(
        again,
        [(at, NodeId(2))],
        "the other has yet to confirm what it was sent"
    );
    assert_eq!(waits.answered(at_three, NodeId(3)).unwrap().of.1, [1]);
    assert!(waits.answered(at_three, NodeId(3)).is_none(), "once");
}

#[test]
fn the_floor_of_a_read_goes_with_who_is_asked() {
    let mut waits = Waits::default();
    let number = waits.gather(client(1), read(), 1, 100);
    let ask = |of| Ask {
        of: (of, vec![]),
        node: NodeId(2),
    };
    let request = waits.ask(ask(number));
    assert_eq!(waits.floor_of(request), Some(FLOOR));
    let write = waits.gather(client(1), writes(1), 1, 100);
    let write = waits.ask(ask(write));
    assert_eq!((waits.floor_of(write), waits.floor_of(999)), (None, None));
    waits.end(number);
    assert_eq!(waits.floor_of(request), None);
}

#[test]
fn when_storage_fails_all_that_was_not_answered_is_given_back_in_order() {
    let mut waits = Waits::default();
    let first = waits.gather(client(1), writes(1), 1, 100);
    let second = waits.gather(client(1), writes(1), 1, 100);
    let third = waits.gather(client(2), read(), 1, 100);
    let settled = waits.settle(&(second, vec![0]), [ok()].into_iter()).unwrap();
    assert!(waits.in_turn(settled).is_empty());
    let all = waits.abandon();
    assert_eq!(numbers(&all), [first, second, third]);
    assert_eq!(outcomes(&all[1]), [Some(ok())], "as good as it was");
    assert!(waits.abandon().is_empty() && waits.wake_us().is_none() && !waits.is_queued(CONN));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever ends first: a client is answered for each of its writes once, in their order.
    #[test]
    fn each_write_is_answered_once_and_in_turn(order in proptest::collection::vec(any::<u32>(), 1..20)) {
        let mut waits = Waits::default();
        let all: Vec<u64> = order.iter().map(|_| waits.gather(client(1), writes(1), 1, 100)).collect();
        let mut ends: Vec<(u32, u64)> = order.iter().copied().zip(all.iter().copied()).collect();
        ends.sort_unstable();
        let mut answered = Vec::new();
        for (_, number) in ends {
            let gathering = waits.settle(&(number, vec![0]), [ok()].into_iter()).expect("it has one part");
            answered.extend(numbers(&waits.in_turn(gathering)));
        }
        prop_assert_eq!(answered, all);
        prop_assert!(!waits.is_queued(CONN));
    }
}

#[test]
fn where_the_placement_is_another_who_had_it_is_asked_again() {
    let mut waits = Waits::default();
    let number = waits.gather(client(1), writes(1), 1, 100);
    let partition = PartitionId::new(3);
    let quorum = Wait {
        partition,
        ..wait((number, vec![0]), Consistency::Strong, &[1, 2, 3], &[])
    };
    let at = begin(&mut waits, quorum);
    send(&mut waits, &[(2, &[10]), (3, &[11])]);
    waits.writes.durable(Ticket(7), OWN);
    waits.writes.confirmed(NodeId(2), &[10]);
    let same = waits.writes.get(at).unwrap().placement.clone();
    waits.writes.send_again(OWN, |_| Some(same.clone()));
    let to_be_sent = |waits: &Waits| waits.writes.to_be_sent(&BTreeSet::new(), OWN);
    assert_eq!(to_be_sent(&waits), [(at, NodeId(3))]);
    let other = Placement { since: 2, ..same };
    waits.writes.send_again(OWN, |_| Some(other.clone()));
    assert_eq!(to_be_sent(&waits), [(at, NodeId(2)), (at, NodeId(3))]);
    waits.writes.confirmed(NodeId(3), &[11]);
    assert_eq!(waits.writes.get(at).unwrap().has, [OWN].into(), "to an earlier version");
    send(&mut waits, &[(2, &[20]), (3, &[21])]);
    waits.writes.confirmed(NodeId(2), &[20]);
    assert!(waits.writes.take_done(OWN).is_empty());
    waits.writes.confirmed(NodeId(3), &[21]);
    assert_eq!(waits.writes.take_done(OWN).len(), 1);
}

/// The request, who has it, which frames others owe a confirmation of, and whether it is fresh.
type Model = (u64, BTreeSet<NodeId>, BTreeMap<NodeId, u64>, bool);

/// What happens to a wait.
#[derive(Debug, Clone)]
enum Act {
    Begin(bool),
    Send,
    Confirm(u64, u64),
    Durable,
    Lose(u64),
    Again(bool),
    End(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => any::<bool>().prop_map(Act::Begin),
        3 => Just(Act::Send),
        6 => (2..=3_u64, 1..40_u64).prop_map(|(node, frame)| Act::Confirm(node, frame)),
        2 => Just(Act::Durable),
        1 => (2..=3_u64).prop_map(Act::Lose),
        1 => any::<bool>().prop_map(Act::Again),
        1 => (0..8_usize).prop_map(Act::End),
    ]
}

proptest! {
    /// Each act asks an index; this model asks every wait. In the end no index holds anything that is over.
    #[test]
    fn the_indexes_say_what_all_waits_say(acts in prop::collection::vec(act(), 1..80)) {
        let mut waits = Waits::default();
        let mut model: BTreeMap<u64, Model> = BTreeMap::new();
        let (mut frames, mut since, mut durable) = (0, 1, BTreeSet::new());
        for act in acts {
            match act {
                Act::Begin(fresh) => {
                    let of = waits.gather(client(1), writes(1), 1, 100);
                    let begun = Wait {
                        partition: PartitionId::new(3),
                        placement: Placement { since, ..wait((0, vec![]), Consistency::Strong, &[1, 2, 3], &[]).placement },
                        ..wait((of, vec![0]), Consistency::Strong, &[1, 2, 3], &[])
                    };
                    waits.wait(begun, fresh);
                    waits.writes.set_tickets(Some(Ticket(7)), OWN);
                    model.insert(waits.numbers, (of, BTreeSet::new(), BTreeMap::new(), fresh));
                    durable.insert(waits.numbers);
                }
                Act::Send => {
                    let mut sent = BTreeMap::new();
                    for node in [2, 3].map(NodeId) {
                        frames += 1;
                        sent.insert(node, vec![frames]);
                    }
                    let all = waits.writes.to_be_sent(&BTreeSet::new(), OWN);
                    let mut expected = Vec::new();
                    for (number, (_, has, needs, fresh)) in &mut model {
                        for node in [2, 3].map(NodeId) {
                            if *fresh && !has.contains(&node) {
                                needs.insert(node, sent[&node][0]);
                                expected.push((*number, node));
                            }
                        }
                        *fresh = false;
                    }
                    prop_assert_eq!(&all, &expected);
                    waits.writes.were_sent(&all, &sent);
                }
                Act::Confirm(node, frame) => {
                    waits.writes.confirmed(NodeId(node), &[frame]);
                    for (_, has, needs, _) in model.values_mut() {
                        if needs.get(&NodeId(node)) == Some(&frame) {
                            needs.remove(&NodeId(node));
                            has.insert(NodeId(node));
                        }
                    }
                }
                Act::Durable => {
                    waits.writes.durable(Ticket(7), OWN);
                    for number in core::mem::take(&mut durable) {
                        model.entry(number).and_modify(|(_, has, ..)| _ = has.insert(OWN));
                    }
                }
                Act::Lose(node) => {
                    waits.lost(NodeId(node));
                    model.values_mut().for_each(|(_, _, needs, _)| _ = needs.remove(&NodeId(node)));
                }
                Act::Again(other) => {
                    since += u64::from(other);
                    let placement = Placement { since, ..wait((0, vec![]), Consistency::Strong, &[1, 2, 3], &[]).placement };
                    waits.writes.send_again(OWN, |_| Some(placement.clone()));
                    for (_, has, needs, fresh) in model.values_mut() {
                        *fresh = true;
                        if other {
                            has.retain(|node| *node == OWN);
                            needs.clear();
                        }
                    }
                }
                Act::End(at) => {
                    if let Some((of, ..)) = model.values().nth(at) {
                        let of = *of;
                        waits.end(of);
                        model.retain(|_, (request, ..)| *request != of);
                    }
                }
            }
            let done: Vec<u64> = waits.writes.take_done(OWN).into_iter().map(|wait| wait.of.0).collect();
            let is_done = |has: &BTreeSet<NodeId>| has.len() == 3;
            let expected: Vec<u64> = model.values().filter(|(_, has, ..)| is_done(has)).map(|(of, ..)| *of).collect();
            prop_assert_eq!(done, expected);
            model.retain(|_, (_, has, ..)| !is_done(has));
            for (number, (_, has, ..)) in &model {
                prop_assert_eq!(&waits.writes.get(*number).unwrap().has, has);
            }
        }
        let open: Vec<u64> = model.values().map(|(of, ..)| *of).collect();
        open.into_iter().for_each(|of| _ = waits.end(of));
        waits.writes.durable(Ticket(7), OWN);
        waits.writes.take_done(OWN);
        prop_assert!(waits.writes.is_empty(), "{:?}", waits.writes);
    }
}
