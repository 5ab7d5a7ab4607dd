use super::*;

fn ballot(round: u64, writer: u64) -> Ballot {
    Ballot {
        round,
        writer: WriterId(writer),
    }
}

fn prepare(version: u64, ballot: Ballot) -> Message<Value> {
    Message::Prepare { version, ballot }
}

fn accept(version: u64, ballot: Ballot, value: &Value) -> Message<Value> {
    let value = value.clone();
    Message::Accept { version, ballot, value }
}

#[test]
fn one_node_decides_alone_and_only_by_what_is_durable() {
    let mut net = Net::new(1, &value("a", &[1]));
    assert!(net.propose(1, &value("b", &[1])));
    // Its own promise and its own vote go the way of everybody's.
    let mut steps = 0;
    while let Some((from, to, message)) = net.queue.pop() {
        assert_eq!((from, to, net.at(1).version()), (NodeId(1), NodeId(1), 1));
        net.receive(1, 1, message);
        steps += 1;
    }
    assert_eq!((steps, net.at(1).version()), (4, 2));
    assert_eq!(net.at(1).value(), Some(&value("b", &[1])));
    assert!(!net.at(1).is_proposing());
    assert_eq!(net.at(1).wake_us(), None);
}

#[test]
fn three_nodes_agree_and_all_learn() {
    let mut net = Net::new(3, &value("a", &[1, 2, 3]));
    for (version, proposer) in [(2, 1), (3, 2), (4, 3)] {
        let next = value(&format!("{proposer}"), &[1, 2, 3]);
        assert!(net.propose(proposer, &next));
        net.settle();
        for id in 1..=3 {
            assert_eq!((net.at(id).version(), net.at(id).value()), (version, Some(&next)));
        }
    }
}

#[test]
fn a_minority_decides_nothing_and_gives_up() {
    let mut net = Net::new(3, &value("a", &[1, 2, 3]));
    net.dead = vec![2, 3];
    assert!(net.propose(1, &value("b", &[1, 2, 3])));
    assert!(!net.propose(1, &value("c", &[1, 2, 3])), "one at a time");
    net.settle();
    while net.at(1).is_proposing() {
        net.wake(1);
    }
    assert_eq!((net.at(1).version(), net.now_us), (1, GIVE_UP_US));
}

#[test]
fn what_is_lost_is_asked_again() {
    let mut net = Net::new(3, &value("a", &[1, 2, 3]));
    net.propose(1, &value("b", &[1, 2, 3]));
    net.queue.clear();
    net.wake(1);
    assert_eq!(net.at(3).version(), 2);
}

#[test]
fn a_voter_keeps_its_promise() {
    let mut net = Net::new(3, &value("a", &[1, 2, 3]));
    net.receive(2, 1, prepare(2, ballot(5, 2)));
    assert_eq!(net.at(1).stored().promised, ballot(5, 2));
    let promise = Message::Promise {
        version: 2,
        ballot: ballot(5, 2),
        accepted: None,
    };
    assert_eq!(net.said_to(2), vec![promise]);
    for lower in [prepare(2, ballot(4, 3)), accept(2, ballot(5, 1), &value("x", &[1]))] {
        net.receive(3, 1, lower);
        let said = net.said_to(3);
        assert!(
            matches!(said[..], [Message::Refused { promised, .. }] if promised == ballot(5, 2)),
            "{said:?}"
        );
    }
    assert_eq!(net.at(1).stored().accepted, None);
    // The same again, or higher, is taken.
    net.receive(2, 1, accept(2, ballot(5, 2), &value("x", &[1])));
    assert_eq!(net.at(1).stored().accepted, Some((ballot(5, 2), value("x", &[1]))));
    net.receive(3, 1, accept(2, ballot(6, 1), &value("y", &[1])));
    assert_eq!(net.at(1).stored().accepted, Some((ballot(6, 1), value("y", &[1]))));
    assert_eq!(net.at(1).stored().promised, ballot(6, 1));
}

#[test]
fn what_a_voter_changes_is_to_be_durable_and_nothing_else_is() {
    let mut node = register(1, Stored::founded(value("a", &[1, 2])));
    let (mut rng, mut out) = (SeededRng::from_u64(1), Vec::new());
    let mut dirty = |message: Message<Value>| {
        node.receive(NodeId(2), message, 0, &mut rng, &mut out);
        node.take_dirty()
    };
    assert!(dirty(prepare(2, ballot(3, 2))));
    assert!(!dirty(prepare(2, ballot(3, 2))), "the same promise");
    assert!(!dirty(prepare(2, ballot(2, 2))), "refused");
    assert!(dirty(accept(2, ballot(3, 2), &value("b", &[1, 2]))));
    assert!(!dirty(accept(2, ballot(3, 2), &value("b", &[1, 2]))), "the same vote");
    let learn = |version| Message::Learn {
        version,
        value: value("b", &[1, 2]),
    };
    assert!(dirty(learn(2)));
    assert!(!dirty(learn(2)), "known");
    assert!(!dirty(learn(1)), "older");
    assert!(!dirty(Message::Have { version: 9 }));
}

#[test]
fn an_accepted_value_is_finished_first() {
    let members = [1, 2, 3];
    let mut net = Net::new(3, &value("a", &members));
    // Two ballots were left half done: the higher one counts.
    net.receive(1, 1, accept(2, ballot(1, 7), &value("older", &members)));
    net.receive(1, 2, accept(2, ballot(2, 7), &value("newer", &members)));
    net.queue.clear();
    net.dead = vec![3];
    assert!(net.propose(1, &value("mine", &members)));
    net.settle();
    // Its first ballot was below the second's.
    while net.at(1).is_proposing() {
        net.wake(1);
    }
    assert_eq!(net.at(1).value(), Some(&value("newer", &members)));
    assert_eq!(net.at(1).version(), 2);
}

#[test]
fn two_proposers_end_with_one_value() {
    let members = [1, 2, 3];
    let mut net = Net::new(3, &value("a", &members));
    net.propose(1, &value("of 1", &members));
    net.propose(3, &value("of 3", &members));
    net.settle();
    for _ in 0..100 {
        for id in [1, 3] {
            if net.at(id).is_proposing() {
                net.wake(id);
            }
        }
    }
    assert_eq!(net.at(1).version(), 2);
    assert_eq!(net.at(1).value(), net.at(3).value());
    assert_eq!(net.at(1).value(), net.at(2).value());
}

#[test]
fn the_newer_one_tells_the_older_one() {
    let members = [1, 2, 3];
    let mut net = Net::new(3, &value("a", &members));
    net.dead = vec![3];
    net.propose(1, &value("b", &members));
    net.settle();
    assert_eq!((net.at(1).version(), net.at(3).version()), (2, 1));
    net.dead = vec![];
    // A proposer that is behind learns, and its attempt is over.
    assert!(net.propose(3, &value("c", &members)));
    net.settle();
    assert_eq!((net.at(3).version(), net.at(3).is_proposing()), (2, false));
    // A voter that is behind is brought up, and then votes.
    net.dead = vec![3];
    net.propose(1, &value("d", &members));
    net.settle();
    net.dead = vec![2];
    net.propose(1, &value("e", &members));
    net.settle();
    assert_eq!((net.at(1).version(), net.at(3).version()), (4, 4));
}

#[test]
fn a_newcomer_learns_and_joins() {
    let mut net = Net::new(2, &value("a", &[1]));
    assert!(!net.propose(2, &value("b", &[2])), "it votes on nothing");
    net.step(2, |node, _, _, out| node.greet(NodeId(1), out));
    net.settle();
    assert_eq!(net.at(2).version(), 1);
    assert!(!net.propose(2, &value("b", &[2])), "it is no voter");
    net.propose(1, &value("b", &[1, 2]));
    net.settle();
    assert_eq!((net.at(1).version(), net.at(2).version()), (2, 2));
    // Now both are needed, and one that joins without having greeted is told on the way.
    net.propose(2, &value("c", &[1, 2]));
    net.settle();
    let mut net = Net::new(2, &value("a", &[1]));
    net.propose(1, &value("b", &[1, 2]));
    net.settle();
    assert_eq!((net.at(1).version(), net.at(2).version()), (2, 2));
}

#[test]
fn a_member_that_is_not_there_is_not_added_and_holds_up_nothing() {
    let mut net = Net::new(2, &value("a", &[1]));
    net.dead = vec![2];
    net.propose(1, &value("b", &[1, 2]));
    net.settle();
    while net.at(1).is_proposing() {
        net.wake(1);
    }
    assert_eq!((net.at(1).version(), &net.at(1).stored().accepted), (1, &None));
    net.propose(1, &value("c", &[1]));
    net.settle();
    assert_eq!(net.at(1).value(), Some(&value("c", &[1])));
}

#[test]
fn a_sole_voter_takes_back_what_another_never_accepted() {
    let mut net = Net::new(3, &value("a", &[1]));
    net.propose(1, &value("b", &[1, 2]));
    while !net.queue.is_empty() {
        let (from, to, message) = net.queue.remove(0);
        // Number 2 promises, and is never heard of again.
        if (from, &message) == (NodeId(1), &accept(2, net.at(1).stored().promised, &value("b", &[1, 2]))) {
            net.dead = vec![2];
        }
        if !net.dead.contains(&to.0) {
            net.receive(from.0, to.0, message);
        }
    }
    while net.at(1).is_proposing() {
        net.wake(1);
    }
    assert!(net.at(1).stored().accepted.is_some() && net.at(1).version() == 1);
    net.propose(1, &value("c", &[1, 3]));
    net.settle();
    assert_eq!(net.at(1).value(), Some(&value("c", &[1, 3])));
    assert_eq!(net.at(3).version(), 2);
}

#[test]
fn a_change_needs_majorities_of_both_lists() {
    // Of the old list one is there, of the new one all: nothing can be chosen. The other way round neither.
    for (dead, old, new) in [
        (vec![2, 3], vec![1, 2, 3], vec![1, 4, 5]),
        (vec![4, 5], vec![1, 2, 3], vec![1, 4, 5]),
    ] {
        let mut net = Net::new(5, &value("a", &old));
        net.dead = dead;
        net.propose(1, &value("b", &new));
        net.settle();
        while net.at(1).is_proposing() {
            net.wake(1);
        }
        assert_eq!(net.at(1).version(), 1);
        net.dead = vec![3, 5];
        net.propose(1, &value("b", &new));
        net.settle();
        assert_eq!(
            (net.at(1).version(), net.at(2).version(), net.at(4).version()),
            (2, 2, 2)
        );
    }
}

#[test]
fn a_majority_of_the_new_list_has_it_when_it_is_chosen() {
    // The two that accepted of the old list are not enough when one of them leaves.
    let mut net = Net::new(3, &value("a", &[1, 2, 3]));
    net.propose(1, &value("b", &[1, 2]));
    while let Some((from, to, message)) = net.queue.pop() {
        // Number 2 promises, and its vote never comes.
        let lost = from == NodeId(2) && matches!(message, Message::Accepted { .. });
        if !lost {
            net.receive(from.0, to.0, message);
        }
    }
    assert_eq!(net.at(1).version(), 1);
    net.wake(1);
    assert_eq!(net.at(1).version(), 2);
}

#[test]
fn one_that_was_removed_is_told_and_then_not_heard() {
    let mut net = Net::new(3, &value("a", &[1, 2, 3]));
    net.dead = vec![3];
    net.propose(1, &value("b", &[1, 2]));
    net.settle();
    net.dead = vec![];
    net.propose(3, &value("c", &[3]));
    net.settle();
    assert_eq!(net.at(3).version(), 2);
    assert!(!net.propose(3, &value("c", &[3])));
    // Not even if it insists.
    let before = net.at(1).stored().clone();
    for message in [prepare(3, ballot(9, 9)), accept(3, ballot(9, 9), &value("c", &[3]))] {
        net.receive(3, 1, message);
    }
    assert_eq!(net.said_to(3), vec![]);
    assert_eq!(net.at(1).stored(), &before);
}

#[test]
fn votes_of_strangers_of_other_ballots_and_twice_count_for_nothing() {
    let members = [1, 2, 3, 4, 5];
    let mut net = Net::new(6, &value("a", &members));
    net.propose(1, &value("b", &members));
    net.queue.clear();
    let mine = ballot(1, 100);
    let promise = |ballot| Message::Promise {
        version: 2,
        ballot,
        accepted: None,
    };
    for (from, ballot) in [
        (2, mine),
        (2, mine),
        (6, mine),
        (3, ballot(1, 101)),
        (3, ballot(0, 100)),
    ] {
        net.receive(from, 1, promise(ballot));
    }
    assert_eq!(net.said_to(2), vec![]);
    net.receive(1, 1, promise(mine));
    net.receive(3, 1, promise(mine));
    assert_eq!(net.said_to(2).len(), 1, "now it asks to accept");
    let accepted = |version| Message::Accepted { version, ballot: mine };
    for (from, version) in [(2, 2), (2, 2), (6, 2), (3, 3), (3, 1)] {
        net.receive(from, 1, accepted(version));
    }
    assert_eq!(net.at(1).version(), 1);
    net.receive(3, 1, accepted(2));
    net.receive(4, 1, accepted(2));
    assert_eq!(net.at(1).version(), 2);
}

#[test]
fn an_earlier_boots_messages_are_not_taken_for_this_ones() {
    let members = [1, 2, 3];
    let stored = Stored::founded(value("a", &members));
    let mut node = Register::new(NodeId(1), WriterId(1), stored.clone(), Mutants::default());
    let (mut rng, mut out) = (SeededRng::from_u64(1), Vec::new());
    node.propose(value("b", &members), 0, &mut rng, &mut out);
    let mut again = Register::new(NodeId(1), WriterId(2), stored, Mutants::default());
    again.propose(value("c", &members), 0, &mut rng, &mut out);
    out.clear();
    for from in [2, 3] {
        let promise = Message::Promise {
            version: 2,
            ballot: ballot(1, 1),
            accepted: None,
        };
        again.receive(NodeId(from), promise, 0, &mut rng, &mut out);
    }
    assert_eq!(out, vec![]);
}

#[test]
fn no_words_make_it_panic() {
    let bare = value("nobody", &[]);
    let highest = ballot(u64::MAX, u64::MAX);
    let mut net = Net::new(2, &value("a", &[1, 2]));
    assert!(!net.propose(1, &bare), "nobody could follow");
    net.propose(1, &value("b", &[1, 2]));
    net.queue.clear();
    let mine = ballot(1, 100);
    let (version, promised) = (2, highest);
    let odd = [
        Message::Learn {
            version: 9,
            value: bare.clone(),
        },
        Message::Learn {
            version: u64::MAX,
            value: value("x", &[1]),
        },
        Message::Have { version: u64::MAX },
        prepare(0, highest),
        prepare(u64::MAX, highest),
        accept(2, mine, &bare),
        accept(u64::MAX, highest, &value("x", &[9])),
        Message::Accepted { version, ballot: mine },
        Message::Refused {
            version,
            ballot: mine,
            promised,
        },
        prepare(2, highest),
    ];
    for message in odd {
        net.receive(2, 1, message);
    }
    assert_eq!((net.at(1).version(), &net.at(1).stored().accepted), (1, &None));
    // There is no round above the highest: the attempt ends.
    net.wake(1);
    assert!(!net.at(1).is_proposing());
}

#[test]
fn state_and_messages_survive_their_encoding() {
    let mut net = Net::new(3, &value("a", &[1, 2, 3]));
    net.propose(1, &value("b", &[1, 2, 3]));
    net.propose(2, &value("c", &[2, 3]));
    while let Some((from, to, message)) = net.queue.pop() {
        let bytes = postcard::to_allocvec(&message).unwrap();
        assert_eq!(postcard::from_bytes::<Message<Value>>(&bytes).unwrap(), message);
        net.receive(from.0, to.0, message);
        let bytes = postcard::to_allocvec(net.at(to.0)).unwrap();
        let again: Register<Value> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{again:?}"), format!("{:?}", net.at(to.0)));
        assert_eq!(postcard::to_allocvec(&again).unwrap(), bytes);
    }
}
