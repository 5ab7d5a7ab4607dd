//! Three nodes that know each other from the start.

use std::path::Path;

use crate::process::{Process, eventually, free_addrs};

pub fn start(dir: &Path, addrs: &[String; 3], who: usize, more: &[&str]) -> Process {
    let data = dir.join(format!("node-{who}"));
    let mut args = vec!["--listen", &addrs[who], "--node", ["a", "b", "c"][who]];
    for peer in addrs.iter().filter(|addr| **addr != addrs[who]) {
        args.extend(["--peer", peer]);
    }
    args.extend(more);
    Process::start_with(&data, &args)
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
fn what_is_written_to_one_is_read_from_all_and_who_was_away_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &[]));

    a.ok(&["set", "m", "k", "1"]);
    b.ok(&["set", "m", "doomed", "true"]);
    for node in [&a, &b, &c] {
        await_value(node, "k", "1");
        await_value(node, "doomed", "true");
    }

    c.kill();
    a.ok(&["set", "m", "k", "2"]);
    b.ok(&["set", "m", "while you were out", "[1, 2.5]"]);
    a.ok(&["del", "m", "doomed"]);
    await_absence(&b, "doomed");

    let c = start(dir.path(), &addrs, 2, &[]);
    await_value(&c, "k", "2");
    await_value(&c, "while you were out", "[1,2.5]");
    await_absence(&c, "doomed");
    eventually("all hold the same", || {
        let digests = [&a, &b, &c].map(|node| node.status("digest"));
        (digests[0] == digests[1] && digests[1] == digests[2]).then_some(())
    });
    assert_eq!(c.status("records"), "3");
}

#[test]
fn nodes_with_a_secret_find_each_other_and_strangers_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "correct horse battery\n").unwrap();
    let token = ["--token", "correct horse battery"];
    let file = ["--cluster-secret-file", secret.to_str().unwrap()];
    let addrs = free_addrs();
    let [a, b] = [0, 1].map(|who| start(dir.path(), &addrs, who, &file));
    // The third does not know the secret.
    let stranger = start(dir.path(), &addrs, 2, &[]);

    let set = [&["set", "m", "k", "1"][..], &token].concat();
    a.ok(&set);
    let get = [&["get", "m", "k"][..], &token].concat();
    eventually("the secret's holder has it", || {
        (b.cli(&get).out == "1\n").then_some(())
    });
    stranger.ok(&["set", "m", "poison", "1"]);
    let poison = [&["get", "m", "poison"][..], &token].concat();
    assert_eq!(a.cli(&poison).code, Some(1));
    assert_eq!(stranger.cli(&["get", "m", "k"]).code, Some(1));
}
