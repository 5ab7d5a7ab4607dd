//! Who does not belong here is refused, and told why.

use std::path::Path;

use crate::cluster::{launch, settled, start};
use crate::process::{Process, free_addrs};

const SECRET: &str = "correct horse battery";

fn secret(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn nodes_with_a_secret_find_each_other_and_strangers_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let (right, wrong) = (
        secret(dir.path(), "right", SECRET),
        secret(dir.path(), "wrong", "another horse battery"),
    );
    let token = ["--token", SECRET];
    let addrs = free_addrs();
    let [a, b] = [0, 1].map(|who| start(dir.path(), &addrs, who, &["--cluster-secret-file", &right]));
    let stranger = launch(dir.path(), &addrs, 2, &["--cluster-secret-file", &wrong]);
    for node in [&stranger, &a] {
        node.await_log(&["the link to a peer is gone", "it does not know the secret"]);
    }

    a.ok(&[&["set", "m", "k", "1"][..], &token].concat());
    let get = [&["get", "m", "k"][..], &token].concat();
    assert_eq!(b.ok(&get), "1");
    let refused = stranger.cli(&["set", "m", "poison", "1", "--token", "another horse battery"]);
    assert!(
        refused.code == Some(3) && refused.err.contains("error[NotMember]"),
        "{refused:?}"
    );
    let members = a.ok(&[&["cluster", "members", "--format", "json"][..], &token].concat());
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&members)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_node_that_is_meant_for_another_cluster_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let a = start(dir.path(), &addrs, 0, &["--cluster-name", "production"]);
    let stray = launch(dir.path(), &addrs, 1, &["--cluster-name", "staging"]);
    for node in [&stray, &a] {
        node.await_log(&["the link to a peer is gone", "a cluster of another name"]);
    }
    let shown = stray.ok(&["cluster", "status"]);
    assert_eq!(shown, "cluster   staging: the node does not belong to it yet");
    assert!(a.ok(&["cluster", "status"]).starts_with("cluster   production "));
}

#[test]
fn a_node_of_another_cluster_at_a_members_address_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);
    c.kill();
    // It begins a cluster of its own.
    let other = Process::start_with(&dir.path().join("other"), &["--listen", &addrs[2], "--node", "other"]);
    for (node, about) in [(&a, "other"), (&other, "a")] {
        node.await_log(&[
            "the link to a peer is gone",
            &format!("peer=\"{about}\""),
            "it belongs to another cluster",
        ]);
    }
    assert_ne!(other.status("cluster"), a.status("cluster"));
    assert_eq!(a.cluster()["members"].as_array().unwrap().len(), 3);
    a.ok(&["set", "m", "k", "1", "--consistency", "quorum"]);
    assert_eq!(other.cli(&["get", "m", "k"]).code, Some(1));
}
