//! Three nodes of one cluster: the first begins it, the others join.

use std::path::Path;

use crate::process::{Process, eventually, free_addrs};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Starts one of them, and waits until it serves.
pub fn start(dir: &Path, addrs: &[String; 3], who: usize, more: &[&str]) -> Process {
    let node = launch(dir, addrs, who, more);
    node.await_ready();
    node
}

/// Starts one of them, and waits until it listens.
pub fn launch(dir: &Path, addrs: &[String; 3], who: usize, more: &[&str]) -> Process {
    let data = dir.join(format!("node-{who}"));
    let mut args = vec!["--listen", &addrs[who], "--node", NAMES[who], "--heartbeat", "100ms"];
    if who > 0 {
        args.extend(["--join", &addrs[0]]);
    }
    args.extend(more);
    Process::launch(&data, &args)
}

/// Waits until these are all members in the eyes of each, reach each other, and nothing moves.
pub fn settled(nodes: &[&Process]) {
    for node in nodes {
        eventually("the cluster is settled", || {
            let found = node.cluster();
            let members = found["members"].as_array().unwrap();
            let alive = members.iter().all(|member| member["alive"] == true);
            let still = found["moves"].as_array().unwrap().is_empty() && found["orphans"] == 0;
            (members.len() == nodes.len() && alive && still).then_some(())
        });
    }
}

/// Asks for the same until it is taken: for a moment after a node died the others still count on it.
pub fn until_taken(node: &Process, args: &[&str]) {
    eventually(&format!("{args:?} is taken\n{}", node.log()), || {
        (node.cli(args).code == Some(0)).then_some(())
    });
}

fn await_value(node: &Process, key: &str, value: &str) {
    eventually(&format!("{key} is {value}\n{}", node.log()), || {
        let done = node.cli(&["get", "m", key]);
        (done.out.trim_end() == value).then_some(())
    });
}

fn await_absence(node: &Process, key: &str) {
    eventually(&format!("{key} is gone"), || {
        (node.cli(&["get", "m", key]).code == Some(1)).then_some(())
    });
}

#[test]
fn what_is_written_to_one_is_read_from_all_and_who_was_away_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);

    a.ok(&["set", "m", "k", "1"]);
    b.ok(&["set", "m", "doomed", "true"]);
    c.ok(&["set", "m", "firm", "1", "--consistency", "strong"]);
    for node in [&a, &b, &c] {
        await_value(node, "k", "1");
        await_value(node, "doomed", "true");
        assert_eq!(node.ok(&["get", "m", "firm", "--consistency", "quorum"]), "1");
    }

    for node in [&a, &b, &c] {
        let any = node.cli(&["get", "m", "k", "--consistency", "any"]);
        assert!(any.code == Some(0) && any.out.trim() == "1", "{any:?}");
        assert!(any.err.contains(" answered"), "how old it may be: {any:?}");
    }

    c.kill();
    until_taken(&a, &["set", "m", "k", "2"]);
    until_taken(
        &b,
        &["set", "m", "while you were out", "[1, 2.5]", "--consistency", "quorum"],
    );
    until_taken(&a, &["del", "m", "doomed"]);
    await_absence(&b, "doomed");
    assert_eq!(b.ok(&["get", "m", "k", "--consistency", "quorum"]), "2");
    let refused = a.cli(&["set", "m", "firm", "2", "--consistency", "strong"]);
    assert!(
        refused.code == Some(3) && refused.err.contains("have 2 of 3, need 3"),
        "{refused:?}"
    );

    let c = start(dir.path(), &addrs, 2, &[]);
    settled(&[&a, &b, &c]);
    await_value(&c, "k", "2");
    await_value(&c, "while you were out", "[1,2.5]");
    await_absence(&c, "doomed");
    eventually("all hold the same", || {
        let digests = [&a, &b, &c].map(|node| node.status("digest"));
        (digests[0] == digests[1] && digests[1] == digests[2]).then_some(())
    });
    assert_eq!(c.status("records"), "4");
}

#[test]
fn nodes_that_are_started_before_the_first_one_wait_for_it_and_make_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let [first, b, c, d]: [String; 4] = free_addrs();
    let joiners = [b, c, d].map(|addr| {
        let args = ["--listen", &addr, "--join", &first, "--heartbeat", "100ms"];
        Process::launch(&dir.path().join(addr.replace(':', "-")), &args)
    });
    for node in &joiners {
        assert_eq!(node.await_line("joining the cluster at "), first);
        let (status, _, body) = node.http("GET", "/health/ready", &[], &[]);
        assert_eq!(status, 503, "{}", String::from_utf8_lossy(&body));
        assert_eq!(node.cluster()["cluster"], serde_json::Value::Null);
        let refused = node.cli(&["set", "m", "k", "1"]);
        assert!(
            refused.code == Some(3) && refused.err.contains("error[NotMember]"),
            "{refused:?}"
        );
    }
    let founder = Process::start_with(&dir.path().join("first"), &["--listen", &first, "--heartbeat", "100ms"]);
    joiners.iter().for_each(Process::await_ready);
    let [b, c, d] = &joiners;
    settled(&[&founder, b, c, d]);
    let clusters = [&founder, b, c, d].map(|node| node.status("cluster"));
    assert!(clusters.iter().all(|id| *id == clusters[0]), "{clusters:?}");
    let (status, ..) = d.http("GET", "/health/ready", &[], &[]);
    assert_eq!(status, 200);
    // Of four each holds three quarters.
    let held = founder.cluster()["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["held"].as_u64().unwrap())
        .sum::<u64>();
    assert_eq!(held, 3 * 271);
}
