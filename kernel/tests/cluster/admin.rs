//! What whoever runs the cluster asks, and what comes of it.

use kernel::env::RarePaths;
use kernel::node::NodeConfig;
use kernel::wire::Code;
use kernel::wire::admin::{self, ChangeAsked, Locate, Order};
use kernel::wire::server::ServerMessage;
use rmpv::Value;

use crate::net::{CLIENT_CONN, Net, config, partition};

/// What a node answers: a map, or the code and the reason of a refusal.
type Answer = Result<Value, (u64, String)>;

impl Net {
    fn tell(&mut self, node: usize, frame: &[u8]) {
        self.host(node).take(CLIENT_CONN);
        self.host(node).receive(CLIENT_CONN, frame);
    }

    fn told(&mut self, node: usize) -> Option<Answer> {
        let frames = self.host(node).take(CLIENT_CONN);
        assert!(frames.len() <= 1, "one answer a question: {}", frames.len());
        Some(match ServerMessage::decode(frames.first()?, 64) {
            Ok(ServerMessage::Cluster { payload }) => Ok(rmpv::decode::read_value(&mut &payload[..]).expect("a map")),
            Ok(ServerMessage::Error { code, reason, .. }) => Err((code, reason.into())),
            other => panic!("{other:?}"),
        })
    }

    pub fn change(&mut self, node: usize, order: Order, member: &str) -> Answer {
        self.tell(node, &admin::change_asked(&ChangeAsked { order, node: member }));
        self.run(1_000);
        self.told(node).expect("it is answered within a second")
    }

    fn status(&mut self, node: usize) -> Value {
        self.tell(node, &admin::cluster_asked());
        self.run(50);
        self.told(node)
            .expect("it is answered at once")
            .expect("it is never refused")
    }

    fn id(&mut self, node: usize) -> String {
        format!("{:016x}", self.host(node).node.id().0)
    }
}

pub fn refused(answer: Answer, code: Code, reason: &str) {
    let (number, said) = answer.expect_err(reason);
    assert_eq!(number, u64::from(code.number()), "{said}");
    assert!(said.contains(reason), "{said}");
}

#[test]
fn a_status_tells_members_who_is_there_and_what_each_holds() {
    let mut net = Net::of(3);
    let status = net.status(1);
    assert_eq!(
        (&status["epoch"], &status["orphans"], &status["name"]),
        (&net.host(1).node.stats().epoch.into(), &0.into(), &"orrery".into())
    );
    assert_eq!(status["asked"], net.id(1).into());
    let members = status["members"].as_array().expect("a list");
    let sum = |name: &str| {
        members
            .iter()
            .map(|member| member[name].as_u64().expect("a number"))
            .sum::<u64>()
    };
    assert_eq!((members.len(), sum("owned"), sum("held")), (3, 271, 3 * 271));
    assert!(
        members
            .iter()
            .all(|member| member["alive"] == true.into() && member["leaving"] == false.into())
    );

    net.crash(2);
    net.run(1_000);
    let status = net.status(0);
    let away: Vec<&Value> = status["members"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|member| member["alive"] == false.into())
        .collect();
    assert_eq!(
        (away.len(), &away[0]["node"], &away[0]["owned"]),
        (1, &"n2".into(), &0.into())
    );
}

#[test]
fn a_node_that_belongs_to_no_cluster_says_so() {
    let mut net = Net::of(1);
    net.split(&[0], &[1]);
    net.add(config(1));
    net.run(500);
    let status = net.status(1);
    assert_eq!(
        (&status["cluster"], &status["members"], &status["epoch"]),
        (&Value::Nil, &Value::Array(vec![]), &0.into())
    );
    net.tell(
        1,
        &admin::change_asked(&ChangeAsked {
            order: Order::Leave,
            node: "",
        }),
    );
    refused(
        net.told(1).expect("at once"),
        Code::NotMember,
        "does not belong to a cluster yet",
    );
}

#[test]
fn a_key_is_located() {
    let mut net = Net::of(3);
    let key = net.key_owned_by(2);
    net.tell(
        0,
        &admin::locate(&Locate {
            map: "m",
            key: key.as_bytes(),
        }),
    );
    net.run(50);
    let found = net.told(0).expect("at once").expect("there is such a place");
    assert_eq!((&found["owner"], &found["replicas"][0]), (&"n2".into(), &"n2".into()));
    assert_eq!(found["partition"], (partition(&key).index() as u64).into());
    assert_eq!(
        (
            found["replicas"].as_array().map(Vec::len),
            found["target"].as_array().map(Vec::len)
        ),
        (Some(3), Some(0))
    );
    net.tell(0, &admin::locate(&Locate { map: "", key: b"" }));
    refused(net.told(0).expect("at once"), Code::BadRequest, "");
}

#[test]
fn one_that_is_dead_is_removed_by_name_and_what_it_held_is_made_whole() {
    let mut net = Net::of(4);
    net.crash(3);
    net.run(1_000);
    let done = net.change(1, Order::Remove, "n3").expect("three of four agree");
    assert_eq!((&done["change"], &done["node"]), (&"remove".into(), &"n3".into()));
    assert!(done["epoch"].as_u64() <= Some(net.host(1).node.stats().epoch));
    net.settle();
    let status = net.status(0);
    assert!(
        status["members"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|member| member["held"] == 271.into())
    );
}

#[test]
fn one_leaves_serving_until_it_holds_nothing_and_then_is_told() {
    let mut net = Net::of(4);
    let key = net.key_owned_by(2);
    net.write(0, &key, 5, 1, kernel::wire::Consistency::Strong);
    let id = net.id(2);
    let done = net.change(2, Order::Leave, "").expect("all are there");
    assert_eq!((&done["change"], &done["id"]), (&"leave".into(), &id.into()));
    for _ in 0..100 {
        net.run(100);
        if net.host(2).phases.last() == Some(&kernel::machine::Phase::Removed) {
            break;
        }
    }
    assert_eq!(
        net.host(2).phases.last(),
        Some(&kernel::machine::Phase::Removed),
        "on the links that it joined by"
    );
    assert_eq!(net.host(0).node.stats().members, 3);
    assert_eq!(net.read(1, &key, kernel::wire::ReadConsistency::Quorum), ["value 1"]);
    refused(
        net.change(0, Order::Leave, "n2"),
        Code::NotPossible,
        "no member is called \"n2\": the members are n",
    );
}

#[test]
fn one_that_cannot_be_reached_is_removed_and_does_not_leave() {
    let mut net = Net::of(4);
    net.crash(3);
    net.run(1_000);
    refused(
        net.change(0, Order::Leave, "n3"),
        Code::NotPossible,
        "n3 cannot be reached, and nobody else knows what it has",
    );
    assert!(net.change(0, Order::Remove, "n3").is_ok());
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let mut net = Net::of(1);
    refused(
        net.change(0, Order::Remove, "n0"),
        Code::NotPossible,
        "n0 is the last member that stays",
    );
    refused(
        net.change(0, Order::Leave, ""),
        Code::NotPossible,
        "n0 is the last member that stays",
    );
    for addr in ["x", "y"] {
        net.add(NodeConfig {
            addr: addr.into(),
            name: "twin".into(),
            ..config(1)
        });
    }
    net.run(3_000);
    assert_eq!(net.host(0).node.stats().members, 3);
    refused(
        net.change(0, Order::Leave, "twin"),
        Code::NotPossible,
        "2 members are called \"twin\": give the id",
    );
    let id = net.id(1);
    // What the one gives away the other is to confirm: while it cannot, the first is leaving.
    net.crash(2);
    net.run(1_000);
    net.change(0, Order::Leave, &id).expect("an id is not ambiguous");
    refused(
        net.change(0, Order::Leave, &id),
        Code::NotPossible,
        "twin is leaving already",
    );
}

#[test]
fn a_minority_is_told_that_it_is_one_and_nothing_is_done() {
    let mut net = Net::of(3);
    net.split(&[0], &[1, 2]);
    net.run(1_000);
    refused(
        net.change(0, Order::Remove, "n1"),
        Code::NoQuorum,
        "have 1 of 3, need 2",
    );
    net.heal();
    net.settle();
    net.run(3_000);
    assert_eq!(net.host(0).node.stats().members, 3);
}

#[test]
fn who_asks_when_the_others_fall_silent_is_told_that_nobody_knows() {
    let mut net = Net::of(3);
    net.tell(
        0,
        &admin::change_asked(&ChangeAsked {
            order: Order::Remove,
            node: "n2",
        }),
    );
    net.split(&[0], &[1, 2]);
    net.run(4_000);
    assert_eq!(net.told(0), None, "it may yet be agreed");
    net.run(2_000);
    refused(
        net.told(0).expect("after five seconds"),
        Code::OutcomeUnknown,
        "1 of 3 members can be reached, 2 must agree",
    );
}

#[test]
fn a_refusal_in_the_handshake_is_told_to_the_other_side_with_its_reason() {
    let named = NodeConfig {
        cluster_name: "another".into(),
        ..config(1)
    };
    let older = NodeConfig {
        rare: RarePaths::new(&[], 0).and_older(),
        ..config(1)
    };
    for (other, why) in [
        (named, "a cluster of another name"),
        (older, "another version of the protocol"),
    ] {
        let mut net = Net::of(1);
        net.add(other);
        net.run(1_000);
        for node in 0..2 {
            let news = net.host(node).node.take_news();
            let told = |lost: &Option<String>| lost.as_ref().is_some_and(|reason| reason.contains(why));
            assert!(news.iter().any(|news| told(&news.lost)), "n{node}: {news:?}");
        }
        assert_eq!(net.host(0).node.stats().members, 1);
    }
}

#[test]
fn everything_is_compared_when_somebody_wants_it_and_the_cost_is_told() {
    let mut net = Net::of(0);
    for node in 0..2 {
        let mut config = config(node);
        // By itself it would compare in an hour.
        config.limits.anti_entropy_ms = 3_600_000;
        net.add(config);
    }
    net.settle();
    // What was written apart, and is given away to nobody yet.
    net.mute(0, 1);
    let key = net.key_owned_by(0);
    net.write(0, &key, 5, 1, kernel::wire::Consistency::Eventual);
    net.heal();
    net.run(100);
    let ask = |net: &mut Net| {
        net.tell(0, &kernel::wire::repairs::asked());
        net.run(50);
        net.told(0).expect("at once").expect("never refused")
    };
    let before = ask(&mut net);
    assert_eq!(before["peers"][0]["node"], "n1".into());
    net.run(1_000);
    assert_eq!(net.holders(&key), [0, 1]);
    let after = ask(&mut net);
    let rounds = |told: &Value| told["rounds"].as_u64().expect("a number");
    assert!(rounds(&after) > rounds(&before));
    net.tell(1, &kernel::wire::repairs::asked());
    net.run(50);
    let other = net.told(1).expect("at once").expect("never refused");
    let last = &other["peers"][0]["last"];
    assert_eq!(
        (&last["whole"], &last["partition"]),
        (&true.into(), &(partition(&key).index() as u64).into())
    );
    assert_eq!(
        (&last["cost"]["recordsIn"], &other["cost"]["recordsIn"]),
        (&1.into(), &1.into())
    );
    assert!(other["cost"]["roundTrips"].as_u64() > Some(0) && other["cost"]["receivedBytes"].as_u64() > Some(0));
}
