//! Locks and definitions over real nodes: whichever is asked, and whoever dies.

use crate::cluster::{settled, start};
use crate::process::{Process, free_addrs};

fn token(node: &Process, args: &[&str]) -> u64 {
    node.ok(&[&["lock", "nightly"], args].concat()).parse().unwrap()
}

fn refused(node: &Process, args: &[&str], code: Option<i32>, word: &str) {
    let done = node.cli(args);
    assert!(done.code == code && done.err.contains(word), "{args:?}: {done:?}");
}

#[test]
fn a_lock_is_held_by_one_and_its_tokens_rise_though_nodes_die() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let [a, b, c] = [0, 1, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);

    let first = token(&a, &["--ttl", "10m"]);
    refused(&b, &["lock", "nightly"], Some(3), "error[Locked]");
    refused(&b, &["unlock", "nightly", "7"], Some(1), "not_held");
    refused(&b, &["lock", "nightly", "--ttl", "0s"], Some(2), "at least 1ms");
    refused(&b, &["lock", ""], Some(3), "the name is empty");
    refused(&b, &["lock", &"n".repeat(129)], Some(3), "TooLarge");
    refused(&c, &["set", "$sys/accepted", "k", "1"], Some(3), "the node's own");
    assert_eq!(c.ok(&["unlock", "nightly", &first.to_string()]), "released");
    let mine = ["--owner", "job", "--request", "7"];
    let second = token(&c, &mine);
    assert!(second > first);
    assert_eq!(token(&b, &mine), second, "the same request");

    assert_eq!(
        a.ok(&["define", "schema", "{\"v\":1}", "--if-version", "0"]),
        "version 1"
    );
    refused(
        &b,
        &["define", "schema", "2", "--if-version", "0"],
        Some(3),
        "the definition has version 1",
    );
    assert_eq!(c.ok(&["definition", "schema"]), "{\"v\":1}");
    refused(&c, &["definition", "nothing"], Some(1), "not_found");

    a.kill();
    assert_eq!(b.ok(&["define", "schema", "2"]), "version 2");
    assert_eq!(c.ok(&["unlock", "nightly", &second.to_string()]), "released");
    let third = token(&b, &[]);
    assert!(third > second);
    c.kill();
    // Nobody knows what the other two say, and one alone says so.
    let done = b.cli(&["definition", "schema"]);
    let says = ["NoQuorum", "NotReady", "OutcomeUnknown", "unknown"]
        .iter()
        .any(|word| done.err.contains(word));
    assert!(done.code != Some(0) && says, "{done:?}");
    // They are back: nothing of it is forgotten.
    let [a, c] = [0, 2].map(|who| start(dir.path(), &addrs, who, &[]));
    settled(&[&a, &b, &c]);
    assert_eq!(a.ok(&["definition", "schema"]), "2");
    refused(&a, &["lock", "nightly"], Some(3), "error[Locked]");
}
