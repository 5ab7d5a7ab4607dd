//! Locks and definitions, agreed by the replicas of their names.

use std::collections::BTreeSet;

use kernel::cluster::agreed::Wish;
use kernel::env::{Mutant, Mutants, WriterId};
use kernel::hlc::Stamp;
use kernel::machine::Input;
use kernel::node::NodeConfig;
use kernel::query::Query;
use kernel::wire::agreed::AgreedAsk;
use kernel::wire::cluster::{Vote, Word};
use kernel::wire::peer::PeerMessage;
use kernel::wire::query::query_sub;
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::CLIENT;
use crate::net::{CLIENT_CONN, Net, config};

fn ask(net: &mut Net, node: usize, id: &str, owner: &str, wish: Wish) -> Vec<String> {
    let ask = AgreedAsk {
        id,
        name: "n",
        owner: Some(owner),
        wish,
    };
    net.host(node).take(CLIENT_CONN);
    net.host(node).receive(CLIENT_CONN, &ask.to_frame());
    net.run(600);
    net.answers(node)
}

fn lock(net: &mut Net, node: usize, owner: &str) -> Vec<String> {
    ask(net, node, "1", owner, Wish::Lock { ttl_ms: 20_000 })
}

fn token(answers: &[String]) -> u64 {
    let granted = answers.iter().find_map(|answer| answer.strip_prefix("granted "));
    granted
        .unwrap_or_else(|| panic!("{answers:?}"))
        .parse()
        .expect("a token")
}

fn define(net: &mut Net, node: usize, id: &str, value: u8, if_version: u64) -> Vec<String> {
    let wish = Wish::Define {
        value: vec![value],
        if_version: Some(if_version),
    };
    ask(net, node, id, "o", wish)
}

#[test]
fn a_lock_is_granted_to_one_whichever_node_is_asked() {
    for nodes in [1, 3, 5] {
        let mut net = Net::broken(nodes, Mutants::default());
        let last = nodes - 1;
        let first = token(&lock(&mut net, 0, "a"));
        let refused = lock(&mut net, last, "b");
        assert!(
            refused[0].starts_with("423 somebody else holds the lock"),
            "{refused:?}"
        );
        assert_eq!(token(&lock(&mut net, last, "a")), first, "it is his already");
        assert_eq!(
            ask(&mut net, last, "2", "x", Wish::Unlock { token: first }),
            ["released true"]
        );
        let second = token(&lock(&mut net, last, "b"));
        assert!(second > first);
        assert_eq!(
            ask(&mut net, 0, "2", "x", Wish::Unlock { token: first }),
            ["released false"]
        );
        // Its time is over.
        net.run(20_000);
        assert!(token(&lock(&mut net, 0, "c")) > second);
    }
}

#[test]
fn who_asks_at_once_at_every_node_gets_one_answer_each_and_one_of_them_the_lock() {
    let mut net = Net::broken(5, Mutants::default());
    for node in 0..5 {
        let owner = node.to_string();
        let ask = AgreedAsk {
            id: "1",
            name: "n",
            owner: Some(&owner),
            wish: Wish::Lock { ttl_ms: 20_000 },
        };
        net.host(node).take(CLIENT_CONN);
        net.host(node).receive(CLIENT_CONN, &ask.to_frame());
    }
    net.run(4_000);
    let answers: Vec<String> = (0..5).flat_map(|node| net.answers(node)).collect();
    assert_eq!(answers.len(), 5, "{answers:?}");
    assert_eq!(
        answers.iter().filter(|answer| answer.starts_with("granted")).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers.iter().filter(|answer| answer.starts_with("423")).count(),
        4,
        "{answers:?}"
    );
}

#[test]
fn a_definition_is_what_a_majority_says_and_changes_one_version_at_a_time() {
    let mut net = Net::broken(3, Mutants::default());
    assert_eq!(ask(&mut net, 1, "0", "o", Wish::Look), ["defined 0 None"]);
    assert_eq!(define(&mut net, 0, "1", 7, 0), ["defined 1 None"]);
    assert!(define(&mut net, 1, "2", 8, 0)[0].starts_with("406 the definition has version 1"));
    net.split(&[0], &[1, 2]);
    net.run(2_000);
    // The smaller side knows nothing, and says so; the other goes on.
    assert!(ask(&mut net, 0, "3", "o", Wish::Look)[0].starts_with("424"));
    assert_eq!(define(&mut net, 2, "4", 9, 1), ["defined 2 None"]);
    net.heal();
    net.run(2_000);
    net.split(&[2], &[0, 1]);
    net.run(2_000);
    assert_eq!(ask(&mut net, 0, "5", "o", Wish::Look), ["defined 2 Some([9])"]);
}

/// Nodes come and go while a lock is taken and given back: the tokens, in the order in which they were granted.
fn tokens_while_members_change(mutants: Mutants) -> Vec<u64> {
    let mut net = Net::broken(3, mutants);
    let mut tokens = vec![];
    let mut take = |net: &mut Net, node: usize| {
        let id = tokens.len().to_string();
        let granted = ask(net, node, &id, "o", Wish::Lock { ttl_ms: 20_000 });
        tokens.push(token(&granted));
        let token = *tokens.last().expect("just pushed");
        let id = format!("u{token}");
        assert_eq!(ask(net, node, &id, "o", Wish::Unlock { token }), ["released true"]);
    };
    take(&mut net, 0);
    // The one that is down misses a grant, and is asked with one that does not know more.
    net.split(&[2], &[0, 1]);
    net.run(2_000);
    take(&mut net, 1);
    net.heal();
    net.split(&[0], &[1, 2]);
    net.run(2_000);
    take(&mut net, 2);
    net.heal();
    net.run(3_000);
    // The register moves, as often as it takes to get to others.
    for node in 3..8 {
        net.add(NodeConfig {
            mutants,
            ..config(node)
        });
        net.settle();
        take(&mut net, node);
    }
    tokens
}

#[test]
fn tokens_rise_whoever_is_there() {
    let tokens = tokens_while_members_change(Mutants::default());
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
    assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), tokens.len());
    let twice = std::panic::catch_unwind(|| tokens_while_members_change(Mutants::only(Mutant::PromiseTellsNothing)));
    let rise = twice.map(|tokens| tokens.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(!matches!(rise, Ok(true)), "what was accepted is forgotten");
}

#[test]
fn no_client_reads_or_writes_what_replicas_keep_of_it() {
    let mut net = Net::broken(1, Mutants::default());
    token(&lock(&mut net, 0, "a"));
    let stats = net.host(0).node.stats();
    assert_eq!(stats.records, 2, "what was promised, and what was accepted");
    let refused = net.write(0, "k", 5, 1, Consistency::Eventual);
    assert_eq!(refused, ["ack PERSISTED"]);
    for map in ["$sys/accepted", "$sys/promised", "$sys/x"] {
        let answers = net.read_of(0, map, "lock/n", ReadConsistency::Owner);
        assert!(
            answers[0].starts_with("400") && answers[0].contains("$sys/"),
            "{answers:?}"
        );
        net.host(0).receive(CLIENT_CONN, &query_sub("q", &Query::of(map)));
        let answers = net.answers(0);
        assert!(
            answers[0].starts_with("400") && answers[0].contains("$sys/"),
            "{answers:?}"
        );
    }
}

/// A replica promises a ballot, and is asked to accept by a lower one: its answer.
fn accepts_below_its_promise(mutants: Mutants) -> bool {
    let mut net = Net::broken(2, mutants);
    let link = net.link(0, 1);
    let epoch = net.host(0).node.stats().epoch;
    let wall_ms = net.host(0).now.wall_ms;
    let ballot = |ms| Stamp::new(wall_ms + ms, 0, WriterId(7)).expect("a time").to_bytes();
    for (request, ms, value) in [(1, 2, None), (2, 1, Some(&b"\xa1v"[..]))] {
        let word = Word::Propose {
            request,
            epoch,
            key: b"lock/n",
            ballot: ballot(ms),
            value,
        };
        net.host(0).receive(link, &word.to_frame());
    }
    let accepted = |frame: &bytes::Bytes| match PeerMessage::decode(frame) {
        Ok(PeerMessage::Cluster(body)) => matches!(
            Word::decode(body),
            Some(Word::Voted {
                request: 2,
                vote: Vote::Accepted,
                ..
            })
        ),
        _ => false,
    };
    net.host(0).advance(10);
    net.host(0).take(link).iter().any(accepted)
}

#[test]
fn what_was_promised_is_kept() {
    assert!(!accepts_below_its_promise(Mutants::default()));
    assert!(accepts_below_its_promise(Mutants::only(Mutant::PromiseForgotten)));
}

/// Who asks for a lock and is gone before he hears of it; and what another is told who asks for it later.
fn asked_and_gone(owner: Option<&str>) -> (Net, Vec<String>) {
    let mut net = Net::broken(3, Mutants::default());
    let conn = net.open(0, CLIENT);
    let ask = AgreedAsk {
        id: "1",
        name: "n",
        owner,
        wish: Wish::Lock { ttl_ms: 20_000 },
    };
    net.host(0).receive(conn, &ask.to_frame());
    net.host(0).take(conn);
    net.host(0).step(Input::Closed { conn });
    net.run(600);
    assert!(net.host(0).take(conn).is_empty(), "nobody is there to be told");
    let others = lock(&mut net, 1, "b");
    (net, others)
}

#[test]
fn what_was_begun_by_a_name_is_done_though_its_client_is_gone() {
    let (mut net, others) = asked_and_gone(Some("a"));
    assert!(others[0].starts_with("423 "), "{others:?}");
    token(&lock(&mut net, 2, "a"));
}

#[test]
fn a_lock_that_nobody_can_ask_for_again_is_given_to_nobody() {
    let (_, others) = asked_and_gone(None);
    token(&others);
}

/// A node is asked what a definition is, and a majority tells it: whether it says so before a majority has accepted that once more. The one
/// who told may have been the only one who had.
fn answers_what_it_was_told(mutants: Mutants) -> bool {
    let mut net = Net::broken(3, mutants);
    assert_eq!(define(&mut net, 0, "1", 7, 0), ["defined 1 None"]);
    let look = AgreedAsk {
        id: "2",
        name: "n",
        owner: None,
        wish: Wish::Look,
    };
    net.host(0).take(CLIENT_CONN);
    net.host(0).receive(CLIENT_CONN, &look.to_frame());
    let (to, from) = (net.link(0, 1), net.link(1, 0));
    // There and back once, and what this node says to itself.
    for (at, out, other, back) in [(0, to, 1, from), (1, from, 0, to)] {
        net.host(at).advance(10);
        for frame in net.host(at).take(out) {
            net.host(other).receive(back, &frame);
        }
        net.host(other).advance(10);
    }
    let answers = net.answers(0);
    let asks = |frame: &bytes::Bytes| match PeerMessage::decode(frame) {
        Ok(PeerMessage::Cluster(body)) => matches!(Word::decode(body), Some(Word::Propose { value: Some(_), .. })),
        _ => false,
    };
    assert_eq!(net.host(0).take(to).iter().any(asks), answers.is_empty());
    net.run(600);
    let later = net.answers(0);
    assert_eq!([answers.clone(), later].concat(), ["defined 1 Some([7])"]);
    !answers.is_empty()
}

#[test]
fn what_is_told_of_a_register_was_accepted_by_a_majority() {
    assert!(!answers_what_it_was_told(Mutants::default()));
    assert!(answers_what_it_was_told(Mutants::only(Mutant::LookUnaccepted)));
}

#[test]
fn what_could_not_be_read_again_is_not_kept() {
    let mut net = Net::broken(2, Mutants::default());
    let link = net.link(0, 1);
    let epoch = net.host(0).node.stats().epoch;
    let wall_ms = net.host(0).now.wall_ms;
    let good = Stamp::new(wall_ms, 0, WriterId(7)).expect("a time").to_bytes();
    for (ballot, value) in [
        ([0xff; 16], None),
        ([0xff; 16], Some(&[0xc0][..])),
        (good, Some(&[0xc1][..])),
    ] {
        let word = Word::Propose {
            request: 1,
            epoch,
            key: b"lock/n",
            ballot,
            value,
        };
        net.host(0).receive(link, &word.to_frame());
    }
    net.run(50);
    assert_eq!(net.host(0).node.stats().records, 0);
}
