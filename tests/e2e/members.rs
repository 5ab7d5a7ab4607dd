//! Members go: by themselves, or because somebody says so.

use std::fs;
use std::path::Path;

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
fn one_of_three_that_is_left_is_told_to_go_on_and_the_others_come_back_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);
    refused(
        &a,
        &["cluster", "recover", "--force"],
        "NotPossible",
        "nothing has to be forced",
    );
    a.ok(&["set", "m", "k", "1", "--consistency", "strong"]);
    b.kill();
    c.kill();
    eventually("it is seen that they are gone", || {
        let members = a.cluster()["members"].as_array().unwrap().clone();
        let alive = members.iter().filter(|member| member["alive"] == true).count();
        (alive == 1).then_some(())
    });
    refused(&a, &["cluster", "remove", "b"], "NoQuorum", "have 1 of 3, need 2");
    assert!(a.ok(&["cluster", "members"]).contains("not reached"));

    let told = a.cli(&["cluster", "recover"]);
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(
        told.out
            .contains("generation 2 would begin with a\nto be given up: b, c"),
        "{told:?}"
    );
    let done = a.ok(&["cluster", "recover", "--force"]);
    assert!(
        done.starts_with("generation 2 has begun with a\ngiven up: b, c"),
        "{done}"
    );
    a.ok(&["set", "m", "k", "2", "--consistency", "strong"]);
    let [b, c] = [1, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);
    for node in [&a, &b, &c] {
        assert_eq!(node.ok(&["get", "m", "k", "--consistency", "quorum"]), "2");
        assert_eq!(node.cluster()["generation"], 2);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => _ = fs::copy(entry.path(), to.join(entry.file_name())).unwrap(),
        }
    }
}

#[test]
fn one_that_comes_back_with_an_older_folder_joins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);
    let id = |node: &Process| node.cluster()["asked"].clone();
    let before = id(&c);
    c.kill();
    let (folder, kept) = (dir.path().join("node-2"), dir.path().join("kept"));
    copy(&folder, &kept);
    let c = start(dir.path(), &addrs, 2, &[]);
    settled(&[&a, &b, &c]);
    assert_eq!(id(&c), before);
    a.ok(&["set", "m", "k", "1", "--consistency", "strong"]);
    c.kill();
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&kept, &folder).unwrap();
    let c = start(dir.path(), &addrs, 2, &[]);
    c.await_log(&["later data of this node", "joins anew"]);
    settled(&[&a, &b, &c]);
    assert_ne!(id(&c), before);
    assert_eq!(c.ok(&["get", "m", "k", "--consistency", "quorum"]), "1");
}

#[test]
fn one_that_stays_away_is_removed_after_the_time_that_was_set() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let more = ["--replicas", "2", "--remove-after", "4s"];
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &more));
    settled(&[&a, &b, &c]);
    for key in 0..20 {
        a.ok(&["set", "m", &format!("k{key}"), "1", "--consistency", "strong"]);
    }
    c.kill();
    settled(&[&a, &b]);
    for key in 0..20 {
        assert_eq!(b.ok(&["get", "m", &format!("k{key}"), "--consistency", "quorum"]), "1");
    }
}
