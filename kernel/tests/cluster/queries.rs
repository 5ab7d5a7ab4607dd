//! Queries cover the whole map, from any node.

use std::collections::BTreeMap;

use kernel::env::{ConnId, Mutants};
use kernel::node::{BadCheckpoint, Node, NodeConfig};
use kernel::partition::{PartitionBy, Routing};
use kernel::query::{Direction, Path, Predicate, Query};
use kernel::wire::Consistency;
use kernel::wire::query::{Explained, query_explained, query_once, query_sub, query_unsub};
use kernel::wire::server::ServerMessage;

use crate::host::{CLIENT, EXCHANGE};
use crate::net::{Net, config};

/// What a client makes of what it is told: the rows, in no order.
#[derive(Default)]
pub struct Told {
    pub rows: BTreeMap<String, u8>,
    answers: usize,
    updates: usize,
    refused: Vec<String>,
    explained: Option<Explained>,
    /// The keys of the last whole answer, in order.
    order: Vec<String>,
}

impl Told {
    pub fn hear(&mut self, net: &mut Net, node: usize, conn: ConnId) {
        for frame in net.host(node).take(conn) {
            match ServerMessage::decode(&frame, 64).expect("a message") {
                ServerMessage::QueryResp { results, .. } => {
                    let rows = results.rows().map(|row| row.expect("a row"));
                    let rows: Vec<_> = rows.map(|(key, value)| (text(key), number(value))).collect();
                    self.order = rows.iter().map(|(key, _)| key.clone()).collect();
                    self.rows = rows.into_iter().collect();
                    self.explained = results.explained();
                    self.answers += 1;
                }
                ServerMessage::QueryUpdate(update) => {
                    self.updates += 1;
                    match update.value {
                        Some(value) => _ = self.rows.insert(text(update.key), number(value)),
                        None => assert!(
                            self.rows.remove(&text(update.key)).is_some(),
                            "it leaves and was not there"
                        ),
                    }
                }
                ServerMessage::Error { code, reason, .. } => self.refused.push(format!("{code} {reason}")),
                _ => {}
            }
        }
    }
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// Values are a small number, or a map with one.
fn number(value: &[u8]) -> u8 {
    *value.last().expect("a value")
}

fn filter(text: &str) -> Query {
    Query {
        predicate: Predicate::parse(text, &Default::default()).expect("a filter"),
        ..Query::of("m")
    }
}

fn first(limit: usize, offset: usize) -> Query {
    Query {
        order: vec![(Path::parse("_key").expect("a path"), Direction::Descending)],
        limit: Some(limit),
        offset,
        ..Query::of("m")
    }
}

fn spread(nodes: usize, keys: u8) -> Net {
    let mut net = Net::of(nodes);
    for n in 0..keys {
        let node = usize::from(n) % nodes;
        assert_eq!(
            net.write(node, &format!("k{n:02}"), 5, n, Consistency::Eventual),
            ["ack PERSISTED"]
        );
    }
    net.run(200);
    net
}

fn ask(net: &mut Net, node: usize, query: &Query) -> Told {
    let conn = net.open(node, EXCHANGE);
    ask_on(net, node, conn, query)
}

pub fn ask_on(net: &mut Net, node: usize, conn: ConnId, query: &Query) -> Told {
    net.host(node).take(conn);
    net.host(node).receive(conn, &query_once("q", query));
    net.run(50);
    let mut told = Told::default();
    told.hear(net, node, conn);
    told
}

fn watch(net: &mut Net, node: usize, query: &Query) -> (ConnId, Told) {
    let conn = net.open(node, CLIENT);
    let told = watch_on(net, node, conn, query);
    (conn, told)
}

pub fn watch_on(net: &mut Net, node: usize, conn: ConnId, query: &Query) -> Told {
    net.host(node).take(conn);
    net.host(node).receive(conn, &query_sub("q", query));
    net.run(50);
    let mut told = Told::default();
    told.hear(net, node, conn);
    assert_eq!((told.answers, told.updates), (1, 0), "{:?}", told.refused);
    told
}

fn expected(keys: impl Iterator<Item = u8>) -> BTreeMap<String, u8> {
    keys.map(|n| (format!("k{n:02}"), n)).collect()
}

/// A checkpoint in the middle of it is whole, and canonical.
fn checkpointed(net: &mut Net, node: usize) -> Result<(), BadCheckpoint> {
    let checkpoint = net.host(node).node.checkpoint();
    let again = Node::restore(&checkpoint)?;
    assert_eq!(again.checkpoint(), checkpoint);
    Ok(())
}

#[test]
fn each_node_gives_the_same_answer() {
    let mut net = spread(5, 60);
    for node in 0..5 {
        assert!(net.host(node).node.store().len() < 60, "n{node} holds only a part");
        assert_eq!(ask(&mut net, node, &Query::of("m")).rows, expected(0..60));
        let windowed = ask(&mut net, node, &first(5, 3));
        assert_eq!(windowed.order, ["k56", "k55", "k54", "k53", "k52"]);
        let filtered = ask(&mut net, node, &filter("_key in (k07, k31, none)"));
        assert_eq!(filtered.order, ["k07", "k31"]);
    }
    assert_eq!(net.host(0).node.stats().waiting, 0);
}

#[test]
fn who_watches_at_one_node_sees_what_is_changed_at_others() {
    let mut net = spread(5, 40);
    for node in 0..5 {
        let (conn, mut told) = watch(&mut net, node, &Query::of("m"));
        let (window, mut shown) = watch(&mut net, node, &first(4, 2));
        for (round, writer) in [0_usize, 2, 4].into_iter().enumerate() {
            let ms = 10 + 10 * node as u64 + round as u64;
            net.write(writer, "k39", ms, 100 + round as u8, Consistency::Eventual);
            net.write(writer, &format!("new{node}{round}"), ms, 7, Consistency::Eventual);
        }
        checkpointed(&mut net, node).expect("a whole checkpoint");
        net.run(50);
        told.hear(&mut net, node, conn);
        assert_eq!(told.answers, 1, "it was told of each change");
        let all = ask(&mut net, (node + 1) % 5, &Query::of("m")).rows;
        assert_eq!(told.rows, all);
        shown.hear(&mut net, node, window);
        assert_eq!(shown.rows, ask(&mut net, node, &first(4, 2)).rows);
        assert!(shown.updates > 0);
    }
}

#[test]
fn what_is_ended_costs_nothing_more() {
    let mut net = spread(3, 10);
    let (conn, mut told) = watch(&mut net, 1, &Query::of("m"));
    net.host(1).receive(conn, &query_unsub("q"));
    net.run(50);
    net.write(2, "k01", 50, 9, Consistency::Eventual);
    net.run(50);
    told.hear(&mut net, 1, conn);
    assert_eq!(told.updates, 0);
    for node in 0..3 {
        assert_eq!(net.host(node).node.stats().sources, 0, "n{node}");
    }
    let (conn, _) = watch(&mut net, 1, &Query::of("m"));
    assert!((0..3).all(|node| net.host(node).node.stats().sources == 1));
    net.host(1).step(kernel::machine::Input::Closed { conn });
    net.run(50);
    assert!((0..3).all(|node| net.host(node).node.stats().sources == 0));
}

#[test]
fn an_owner_that_crashes_in_the_middle_is_followed_by_the_next() {
    for query in [Query::of("m"), first(6, 3)] {
        let mut net = spread(5, 40);
        let (conn, mut told) = watch(&mut net, 0, &query);
        let key = net.key_owned_by(1);
        net.host(1).hold = true;
        net.write(0, &key, 50, 1, Consistency::Eventual);
        let late = net.open(0, CLIENT);
        net.host(0).receive(late, &query_sub("q", &query));
        let mut late = (late, Told::default());
        net.run(20);
        late.1.hear(&mut net, 0, late.0);
        assert_eq!(late.1.answers, 0, "one of those who are asked does not get to answer");
        net.crash(1);
        net.run(1_000);
        for n in [3_u8, 17, 39, 38, 37] {
            net.write(2, &format!("k{n:02}"), 50, n, Consistency::Eventual);
            net.write(3, &format!("l{n:02}"), 50, n, Consistency::Eventual);
        }
        net.run(200);
        told.hear(&mut net, 0, conn);
        assert!(told.refused.is_empty(), "{:?}", told.refused);
        late.1.hear(&mut net, 0, late.0);
        assert_eq!((late.1.answers, &late.1.rows), (1, &told.rows), "{:?}", late.1.refused);
        let now = ask(&mut net, 2, &query);
        assert!(now.rows.len() == 45 || now.rows.len() == 6, "{:?}", now.refused);
        assert_eq!(told.rows, now.rows);
        checkpointed(&mut net, 0).expect("a whole checkpoint");
    }
}

#[test]
fn a_partition_that_moves_in_the_middle_is_read_once() {
    for query in [Query::of("m"), first(10, 4)] {
        let mut net = spread(3, 60);
        let (conn, mut told) = watch(&mut net, 1, &query);
        let before = told.rows.clone();
        for node in [3, 4] {
            net.add(config(node));
        }
        for step in 0..120 {
            net.run(50);
            told.hear(&mut net, 1, conn);
            assert_eq!(told.rows, before, "in step {step} a move can be seen");
            assert_eq!(ask(&mut net, 2, &query).rows, before);
        }
        net.settle();
        net.write(4, "k59", 70, 1, Consistency::Eventual);
        net.write(3, "zzz", 70, 2, Consistency::Eventual);
        net.run(100);
        told.hear(&mut net, 1, conn);
        assert_eq!((told.answers, told.updates > 0), (1, true));
        assert_eq!(told.rows, ask(&mut net, 4, &query).rows);
    }
}

#[test]
fn a_node_alone_that_others_join_goes_on_telling() {
    let mut net = spread(1, 30);
    let (conn, mut told) = watch(&mut net, 0, &Query::of("m"));
    for node in 1..4 {
        net.add(config(node));
    }
    net.settle();
    for n in 0..30 {
        net.write(3, &format!("k{n:02}"), 90, n + 50, Consistency::Eventual);
    }
    net.run(100);
    told.hear(&mut net, 0, conn);
    let raised = (0..30)
        .map(|n| (format!("k{n:02}"), n + 50))
        .collect::<BTreeMap<_, _>>();
    assert_eq!(told.rows, raised);
}

#[test]
fn partitions_that_nobody_answers_for_are_counted() {
    let mut net = spread(5, 10);
    net.split(&[0], &[1, 2, 3, 4]);
    net.run(1_000);
    let orphans = net.host(0).node.stats().orphans;
    assert!(orphans > 0);
    let conn = net.open(0, EXCHANGE);
    net.host(0).receive(conn, &query_once("q", &Query::of("m")));
    net.run(4_900);
    let mut told = Told::default();
    told.hear(&mut net, 0, conn);
    assert!(told.refused.is_empty());
    net.run(200);
    told.hear(&mut net, 0, conn);
    assert_eq!(
        told.refused,
        ["503 271 of 271 partitions did not answer in time: ask again".replace("271 of", &format!("{orphans} of"))]
    );
    let (conn, mut told) = {
        let conn = net.open(0, CLIENT);
        net.host(0).receive(conn, &query_sub("q", &Query::of("m")));
        net.run(1_000);
        (conn, Told::default())
    };
    net.heal();
    net.run(3_000);
    told.hear(&mut net, 0, conn);
    assert_eq!(told.rows, expected(0..10), "who waits long enough is answered");
}

#[test]
fn the_side_of_a_split_that_watches_goes_on_with_what_it_has() {
    let mut net = spread(3, 20);
    let (conn, mut told) = watch(&mut net, 0, &Query::of("m"));
    net.split(&[0], &[1, 2]);
    net.run(1_000);
    net.write(0, "k05", 50, 99, Consistency::Eventual);
    net.write(1, "k06", 50, 98, Consistency::Eventual);
    net.run(100);
    told.hear(&mut net, 0, conn);
    assert_eq!((told.rows["k05"], told.rows["k06"]), (99, 6));
    net.heal();
    net.settle();
    net.run(3_000);
    told.hear(&mut net, 0, conn);
    assert_eq!((told.rows["k05"], told.rows["k06"], told.rows.len()), (99, 98, 20));
}

#[test]
fn a_failed_commit_is_no_news_and_the_answer_is_given_anew() {
    let mut net = spread(3, 20);
    let (conn, mut told) = watch(&mut net, 0, &Query::of("m"));
    let key = net.key_owned_by(0);
    net.host(0).hold = true;
    net.write(0, &key, 60, 66, Consistency::Eventual);
    told.hear(&mut net, 0, conn);
    assert_eq!((told.answers, told.updates), (1, 0), "nothing before it is durable");
    net.host(0).fail_held(kernel::machine::StorageError::Io);
    net.host(0).hold = false;
    net.run(3_000);
    told.hear(&mut net, 0, conn);
    assert_eq!(told.answers, 2);
    assert_eq!(told.rows, ask(&mut net, 2, &Query::of("m")).rows);
}

#[test]
fn a_condition_on_what_a_map_routes_by_asks_one_partition_and_one_node() {
    let routed = |node: usize, mutants: Mutants| {
        let mut routing = Routing::new();
        let (field, separator) = ("tenantId".into(), b'/');
        routing.declare("m", PartitionBy::Field { field, separator });
        NodeConfig {
            routing,
            mutants,
            ..config(node)
        }
    };
    let mut net = Net::of(0);
    (0..5).for_each(|node| _ = net.add(routed(node, Mutants::default())));
    net.settle();
    for n in 0..20_u8 {
        let tenant = ["abc", "xyz"][usize::from(n) % 2];
        let value = [&b"\x82\xa8tenantId\xa3"[..], tenant.as_bytes(), b"\xa1n", &[n]].concat();
        let answers = net.write_value(usize::from(n) % 5, &format!("{tenant}/{n}"), 5, &value);
        assert_eq!(answers, ["ack PERSISTED"]);
    }
    let mut elsewhere = 0;
    for node in 0..5 {
        let query = filter("tenantId = abc");
        let before = net.host(node).node.stats().queries;
        let conn = net.open(node, EXCHANGE);
        net.host(node).receive(conn, &query_explained("q", &query));
        net.run(50);
        let mut told = Told::default();
        told.hear(&mut net, node, conn);
        assert_eq!(told.rows.len(), 10, "{:?}", told.refused);
        let Explained { plan, nodes } = told.explained.expect("it was asked for");
        assert_eq!((plan.partitions, plan.of, nodes), (1, 271, 1));
        assert_eq!(plan.pruned_by, ["tenantId = \"abc\""]);
        let after = net.host(node).node.stats().queries;
        let asked = (
            after.answers - before.answers,
            after.partitions - before.partitions,
            after.nodes - before.nodes,
        );
        assert_eq!(asked, (1, 1, 1));
        elsewhere += usize::from(net.host(node).node.store().len() < 20);
        let all = ask(&mut net, node, &Query::of("m"));
        assert_eq!(all.rows.len(), 20);
        for (text, rows, partitions) in [
            ("tenantId = abc or tenantId = xyz", 20, 2),
            ("tenantId in (abc, xyz)", 20, 2),
            ("tenantId in (abc, xyz) and tenantId = abc", 10, 1),
            ("tenantId = abc and n > 9", 5, 1),
            ("tenantId = abc or n > 9", 15, 271),
        ] {
            let conn = net.open(node, EXCHANGE);
            net.host(node).receive(conn, &query_explained("q", &filter(text)));
            net.run(50);
            let mut told = Told::default();
            told.hear(&mut net, node, conn);
            let Explained { plan, .. } = told.explained.expect("it was asked for");
            assert_eq!((told.rows.len(), plan.partitions), (rows, partitions), "{text}");
        }
    }
    assert!(elsewhere > 0);
}

/// Who comes back and does not know yet that partitions have moved is asked for them, and says what it holds of them.
fn fewest_rows_seen_after_a_return(mutants: Mutants) -> usize {
    let mut net = spread(4, 40);
    let disk = net.crash(0);
    net.run(1_000);
    let join = vec!["n1".into()];
    net.add(NodeConfig { join, ..config(4) });
    net.settle();
    net.set_config(0, NodeConfig { mutants, ..config(0) });
    net.boot(0, disk);
    let mut fewest = usize::MAX;
    for _ in 0..60 {
        net.run(10);
        for node in 0..5 {
            let told = ask(&mut net, node, &Query::of("m"));
            fewest = fewest.min(if told.answers > 0 { told.rows.len() } else { usize::MAX });
        }
    }
    fewest
}

#[test]
fn who_does_not_hold_a_partition_does_not_answer_for_it() {
    assert_eq!(fewest_rows_seen_after_a_return(Mutants::default()), 40);
}

#[test]
fn sources() {
    let mut net = Net::of(0);
    for node in 0..3 {
        let mut config = config(node);
        config.limits.sources = 1;
        net.add(config);
    }
    net.settle();
    let (_, _) = watch(&mut net, 0, &Query::of("m"));
    let conn = net.open(1, CLIENT);
    net.host(1).receive(conn, &query_sub("q", &Query::of("m")));
    net.run(50);
    let mut told = Told::default();
    told.hear(&mut net, 1, conn);
    assert_eq!(
        told.refused,
        ["429 a node keeps as many parts of live queries as it may"]
    );
    assert_eq!(
        ask(&mut net, 1, &Query::of("m")).answers,
        1,
        "what is asked once is not kept"
    );
}
