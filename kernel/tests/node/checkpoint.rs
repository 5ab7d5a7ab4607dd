//! A checkpoint that was damaged on its way, or that somebody made up, is refused by what is wrong with it. That a good one is
//! the whole state is shown in `sim/tests/checkpoint.rs`.

use kernel::env::Limits;
use kernel::node::{BadCheckpoint, Node, NodeConfig};
use kernel::session::Secret;
use kernel::wire::client;
use kernel::wire::op::{Ask, Op};
use kernel::wire::query::query_sub;

use crate::host::{CLIENT, Disk, Host, PEER, delete, put};
use crate::queries::ask;

fn write(host: &mut Host, op: Op<'_>) {
    let conn = kernel::env::ConnId(100);
    host.receive(conn, &client::op(&op, Ask::default()));
}

/// A node in the middle of everything: it has records, live queries with and without a limit, a peer in its handshake, and
/// writes on their way to disk.
fn busy() -> Node {
    let mut host = Host::new("n");
    host.open(100, CLIENT);
    let watcher = host.open(1, CLIENT);
    host.open(2, PEER);
    let mut first = ask("n >= 2 and (name like \"a%\" or tags contains any (x, 3.5))");
    host.receive(watcher, &query_sub("filtered", &first));
    first.limit = Some(2);
    host.receive(watcher, &query_sub("first", &first));
    host.receive(watcher, &query_sub("all", &ask("")));
    for (ms, key) in [(10, "a"), (11, "b"), (12, "c")] {
        write(&mut host, put("w", key, ms, b"\x01"));
    }
    write(&mut host, delete("w", "b", 20));
    host.hold = true;
    write(&mut host, put("w", "d", 30, b"\x02"));
    write(&mut host, put("w", "e", 31, b"\x03"));
    host.node
}

/// The same bytes under a hash that fits them.
fn signed(checkpoint: &[u8]) -> Vec<u8> {
    let content = &checkpoint[..checkpoint.len() - 32];
    [content, blake3::hash(content).as_bytes()].concat()
}

#[test]
fn a_checkpoint_comes_back_and_a_copy_of_it_is_the_same() {
    let node = busy();
    let checkpoint = node.checkpoint();
    let copy = Node::restore(&checkpoint).unwrap();
    assert_eq!(copy.checkpoint(), checkpoint);
    assert_eq!(copy.state_hash(), node.state_hash());
    assert_eq!(copy.stats(), node.stats());
    assert_eq!(format!("{copy:?}").len(), format!("{node:?}").len());
}

#[test]
fn every_bit_that_flips_is_noticed() {
    let checkpoint = busy().checkpoint();
    for at in 0..checkpoint.len() {
        let mut flipped = checkpoint.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(
            Node::restore(&flipped).unwrap_err(),
            BadCheckpoint::Damaged,
            "byte {at}"
        );
    }
}

#[test]
fn a_checkpoint_cut_anywhere_is_refused() {
    let checkpoint = busy().checkpoint();
    for len in 0..checkpoint.len() {
        let refused = Node::restore(&checkpoint[..len]).unwrap_err();
        match len {
            0..33 => assert_eq!(refused, BadCheckpoint::Short { len }),
            _ => assert_eq!(refused, BadCheckpoint::Damaged, "{len} bytes"),
        }
    }
}

/// Whoever makes one up can sign it, too: what it says is not believed before it was looked at.
#[test]
fn bytes_that_nobody_wrote_are_an_error_or_the_state_that_they_say() {
    let checkpoint = busy().checkpoint();
    let end = checkpoint.len() - 32;
    let mut refused = 0;
    let mut judge = |other: &[u8], at: usize| match Node::restore(&signed(other)) {
        Ok(node) => assert_eq!(node.checkpoint(), signed(other), "byte {at}"),
        Err(_) => refused += 1,
    };
    for at in 1..end {
        for value in [
            0,
            1,
            0x7f,
            0x80,
            0xff,
            checkpoint[at] ^ 1,
            checkpoint[at].wrapping_add(1),
        ] {
            let mut other = checkpoint.clone();
            other[at] = value;
            judge(&other, at);
        }
        // A number as great as can be written; most are lengths.
        let mut other = checkpoint.clone();
        other.splice(at..=at, [0xff; 9].into_iter().chain([0x01]));
        judge(&other, at);
        let cut = signed(&[&checkpoint[..at], &[0; 32]].concat());
        assert!(Node::restore(&cut).is_err(), "cut at byte {at}");
    }
    assert!(refused > end, "{refused} of {} were refused", 8 * end);
}

#[test]
fn what_is_wrong_is_named() {
    let checkpoint = busy().checkpoint();
    let mut later = checkpoint.clone();
    later[0] = 9;
    let said = Node::restore(&signed(&later)).unwrap_err().to_string();
    assert!(said.contains("version 9"), "{said}");
    let longer = [&checkpoint[..checkpoint.len() - 32], b"more", &[0; 32]].concat();
    let said = Node::restore(&signed(&longer)).unwrap_err().to_string();
    assert!(said.contains("bytes behind it"), "{said}");
    let nameless = Node::new(NodeConfig::new("")).checkpoint();
    let said = Node::restore(&nameless).unwrap_err().to_string();
    assert!(said.contains("name is empty"), "{said}");
    let timeless = Node::new(NodeConfig {
        limits: Limits {
            heartbeat_ms: 0,
            ..Limits::default()
        },
        ..NodeConfig::new("n")
    });
    let said = Node::restore(&timeless.checkpoint()).unwrap_err().to_string();
    assert!(said.contains("heartbeat_ms"), "{said}");
}

#[test]
fn the_secret_is_not_in_it_and_still_known_by_who_goes_on() {
    let config = NodeConfig {
        secret: Some(Secret::new(b"open sesame")),
        ..NodeConfig::new("n")
    };
    let checkpoint = Host::boot(config, Disk::default(), 1).node.checkpoint();
    assert!(!checkpoint.windows(11).any(|part| part == b"open sesame"));
    let mut host = Host::new("other");
    host.node = Node::restore(&checkpoint).unwrap();
    for (number, token, acked) in [(1, "open sesame", true), (2, "open barley", false)] {
        let conn = host.open(number, CLIENT);
        host.take(conn);
        host.receive(conn, &client::auth(token));
        let said = format!("{:?}", host.take(conn));
        assert_eq!(said.contains("AUTH_ACK"), acked, "{said}");
    }
}
