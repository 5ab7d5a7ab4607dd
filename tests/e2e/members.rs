//! Members go: by themselves, or because somebody says so.

use crate::cluster::{launch, settled, start};
use crate::process::{Process, eventually, free_addrs};

fn refused(node: &Process, args: &[&str], code: &str, reason: &str) {
    let done = node.cli(args);
    let said = done.err.contains(&format!("error[{code}]")) && done.err.contains(reason);
    assert!(done.code == Some(3) && said, "{args:?}: {done:?}");
}

/// It ends by itself, and says what happened.
fn ends_as_removed(node: Process) {
    node.await_log(&["error[removed]", "removed from its cluster"]);
    node.await_log(&["hint:", "--join"]);
    assert_eq!(node.wait().code(), Some(2));
}

#[test]
fn one_is_removed_and_one_leaves_and_the_last_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);
    for key in 0..20 {
        a.ok(&["set", "m", &format!("k{key}"), "1", "--consistency", "strong"]);
    }
    let table = b.ok(&["cluster", "members"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(
        table
            .lines()
            .all(|line| line.ends_with("state") || line.ends_with("alive")),
        "{table}"
    );
    assert_eq!(b.ok(&["cluster", "moves", "--format", "json"]), "[]");
    let place = c.ok(&["cluster", "partition", "m", "k1", "--format", "json"]);
    let place: serde_json::Value = serde_json::from_str(&place).unwrap();
    assert_eq!(
        (place["key"].as_str(), place["replicas"].as_array().map(Vec::len)),
        (Some("k1"), Some(3))
    );
    assert_eq!(place["owner"], place["replicas"][0]);
    refused(&a, &["cluster", "remove", "nobody"], "NotPossible", "the members are");

    c.kill();
    let said = a.ok(&["cluster", "remove", "c"]);
    assert!(said.starts_with("c (") && said.contains("is removed: epoch"), "{said}");
    settled(&[&a, &b]);
    // It comes back, believes that it belongs here, and is told.
    ends_as_removed(launch(dir.path(), &addrs, 2, &[]));
    // The next time it knows, whoever it meets.
    ends_as_removed(launch(dir.path(), &addrs, 2, &[]));

    let said = b.ok(&["cluster", "leave", "--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (said["change"].as_str(), said["node"].as_str()),
        (Some("leave"), Some("b"))
    );
    ends_as_removed(b);
    settled(&[&a]);
    for key in 0..20 {
        assert_eq!(a.ok(&["get", "m", &format!("k{key}")]), "1");
    }
    refused(&a, &["cluster", "remove", "a"], "NotPossible", "the last member");
    refused(&a, &["cluster", "leave"], "NotPossible", "the last member");
    a.ok(&["set", "m", "k", "1", "--consistency", "strong"]);
}

#[test]
fn a_minority_cannot_remove_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);
    b.kill();
    c.kill();
    eventually("it is seen that they are gone", || {
        let members = a.cluster()["members"].as_array().unwrap().clone();
        let alive = members.iter().filter(|member| member["alive"] == true).count();
        (alive == 1).then_some(())
    });
    refused(&a, &["cluster", "remove", "b"], "NoQuorum", "have 1 of 3, need 2");
    assert!(a.ok(&["cluster", "members"]).contains("not reached"));
}
