//! What was deleted is forgotten after the offline horizon, by all members or by none, and does not come back.

use serde_json::json;

use crate::cluster::{settled, start};
use crate::process::{Process, eventually};

fn metric(node: &Process, name: &str) -> u64 {
    let (_, _, body) = node.http("GET", "/metrics", &[], b"");
    let text = String::from_utf8(body).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("orrery_{name} ")));
    let value = line.and_then(|line| line.split(' ').nth(1));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn await_tombstones(nodes: &[&Process], count: u64) {
    eventually("tombstones", || {
        nodes
            .iter()
            .all(|node| metric(node, "tombstones") == count)
            .then_some(())
    });
}

#[test]
fn deletes_are_collected_by_all_members_or_by_none() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = crate::process::free_addrs();
    let more = ["--offline-horizon", "4s", "--remove-after", "1h"];
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &more));
    settled(&[&a, &b, &c]);
    a.ok(&["set", "m", "k", "1", "--consistency", "strong"]);
    let (key, value) = ("k", json!(1));
    let old = json!({"millis": 1_700_000_000_000_u64, "counter": 0, "nodeId": "phone"});
    let op =
        json!({"id": "7", "mapName": "m", "key": key, "opType": "PUT", "record": {"value": value, "timestamp": old}});
    let body = json!({"clientId": "phone", "operations": [op]})
        .to_string()
        .into_bytes();

    b.ok(&["del", "m", "k", "--consistency", "strong"]);
    await_tombstones(&[&a, &b, &c], 1);
    await_tombstones(&[&a, &b, &c], 0);
    eventually("a floor", || (b.cluster()["floorMs"].as_u64() > Some(0)).then_some(()));
    assert!(a.ok(&["cluster", "status"]).contains("\nfloor     1"));

    // A phone that was off since long before brings back what was deleted: it is told to look, and to write anew.
    let (_, _, answer) = a.http("POST", "/sync", &[("content-type", "application/json")], &body);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("StampTooOld") || answer.contains("416"), "{answer}");
    assert_eq!(c.cli(&["get", "m", "k"]).code, Some(1));

    // One is away: what is deleted meanwhile is remembered for it.
    a.ok(&["set", "m", "k", "2", "--consistency", "strong"]);
    c.kill();
    settled_without_one(&a);
    a.ok(&["del", "m", "k", "--consistency", "quorum"]);
    let collected = [&a, &b].map(|node| metric(node, "collected_versions"));
    a.ok(&["set", "m", "other", "1", "--consistency", "quorum"]);
    await_tombstones(&[&a, &b], 1);
    let c = start(dir.path(), &addrs, 2, &more);
    settled(&[&a, &b, &c]);
    await_tombstones(&[&a, &b, &c], 0);
    assert!(metric(&a, "collected_versions") > collected[0] && metric(&b, "collected_versions") > collected[1]);
    assert_eq!(c.cli(&["get", "m", "k"]).code, Some(1));
}

/// Until the others know that one is away.
fn settled_without_one(node: &Process) {
    eventually("it is noticed", || {
        let alive = node.cluster()["members"].as_array().map(|members| {
            let alive = members.iter().filter(|member| member["alive"] == true);
            alive.count()
        });
        (alive == Some(2)).then_some(())
    });
}
