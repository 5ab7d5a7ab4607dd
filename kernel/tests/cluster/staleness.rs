//! What any replica may show, and what it says of how old that may be.

use kernel::env::{Mutant, Mutants};
use kernel::machine::Input;
use kernel::wire::client::{self, Get};
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::ServerMessage;
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::put;
use crate::net::{CLIENT_CONN, Net, config};

/// Whether there is a value, and for how long it may have missed what the owner has.
type Shown = (bool, Option<u64>);

fn read(net: &mut Net, node: usize, key: &str, consistency: ReadConsistency) -> Shown {
    let get = Get {
        id: "r",
        map: "m",
        key: key.as_bytes(),
        consistency,
    };
    let host = net.host(node);
    host.take(CLIENT_CONN);
    host.receive(CLIENT_CONN, &client::get_key(&get));
    for _ in 0..10 {
        let frames = net.host(node).take(CLIENT_CONN);
        if let Some(frame) = frames.first() {
            let (conn, bytes) = (CLIENT_CONN, frame.len() as u64);
            net.host(node).step(Input::Drained { conn, bytes });
            match ServerMessage::decode(frame, 64) {
                Ok(ServerMessage::Value { found, stale_ms, .. }) => return (found.is_some(), stale_ms),
                other => panic!("{other:?}"),
            }
        }
        net.run(10);
    }
    panic!("there is no answer");
}

/// Nodes that are linked for longer than a comparison takes.
fn quiet(nodes: usize, unsent_bytes: u64, mutants: Mutants) -> Net {
    let mut net = Net::of(0);
    for node in 0..nodes {
        let mut config = config(node);
        config.limits.unsent_bytes = unsent_bytes;
        config.mutants = mutants;
        net.add(config);
    }
    net.settle();
    net.run(5_000);
    net
}

#[test]
fn a_backup_says_for_how_long_it_may_have_missed_what_the_owner_has() {
    let mut net = quiet(3, 1 << 20, Mutants::default());
    let key = net.key_owned_by(0);
    net.write(0, &key, 5, 1, Consistency::Eventual);
    assert_eq!(read(&mut net, 0, &key, ReadConsistency::Any), (true, Some(0)));
    for level in [ReadConsistency::Owner, ReadConsistency::Quorum] {
        assert_eq!(read(&mut net, 1, &key, level), (true, None));
    }
    // Heartbeats leave every 100 ms.
    let (found, stale_ms) = read(&mut net, 1, &key, ReadConsistency::Any);
    assert!(
        found && stale_ms.is_some_and(|ms| (1..=120).contains(&ms)),
        "{stale_ms:?}"
    );
    // What is on its way to the backup stays there.
    net.slow.insert(1);
    net.host(0)
        .receive(CLIENT_CONN, &client::op(&put("2", "later", 6, &[2]), Ask::default()));
    let later = net.key_owned_by(0);
    net.run(300);
    let (_, stale_ms) = read(&mut net, 1, &later, ReadConsistency::Any);
    assert!(stale_ms.is_some_and(|ms| (300..=430).contains(&ms)), "{stale_ms:?}");
    net.slow.clear();
    net.run(150);
    let (_, stale_ms) = read(&mut net, 1, &later, ReadConsistency::Any);
    assert!(stale_ms.is_some_and(|ms| ms <= 120), "{stale_ms:?}");
}

/// A backup takes nothing for a moment, in which the owner writes more than may wait for it. Says of each key that lies at both whether the
/// backup shows it as soon as it takes things again, and how old it says that this may be; and how long ago it was written.
fn skipped(mutants: Mutants) -> (Net, Vec<String>, Vec<Shown>) {
    let mut net = quiet(2, 20_000, mutants);
    let keys: Vec<String> = (0..1_000).map(|n| format!("k{n}")).collect();
    let owned = keys.into_iter().filter(|key| net.placement(0, key).0[0] == 0);
    let owned: Vec<String> = owned.take(100).collect();
    let value: Vec<u8> = [0xc5, 3, 132].into_iter().chain([7; 900]).collect();
    net.slow.insert(1);
    for key in &owned {
        let op = Op {
            consistency: Consistency::Eventual,
            ..put("1", key, 5, &value)
        };
        net.host(0).receive(CLIENT_CONN, &client::op(&op, Ask::default()));
    }
    net.run(200);
    net.slow.clear();
    // What waited arrives, and heartbeats are answered; the comparison that mends the rest has not ended.
    let link = net.link(0, 1);
    for frame in net.host(0).take(link) {
        let bytes = frame.len() as u64;
        net.host(0).step(Input::Drained { conn: link, bytes });
        net.host(1).receive(link, &frame);
    }
    let mut shown = Vec::new();
    for key in &owned {
        shown.push(read(&mut net, 1, key, ReadConsistency::Any));
    }
    (net, owned, shown)
}

#[test]
fn what_was_skipped_on_the_way_to_a_backup_counts_as_missed_until_it_is_mended() {
    let (mut net, owned, shown) = skipped(Mutants::default());
    assert!(shown.iter().any(|(found, _)| !found), "nothing was skipped");
    for (found, stale_ms) in shown {
        let may_miss = stale_ms.is_none_or(|ms| ms >= 200);
        assert!(found || may_miss, "it is not there, and would be after {stale_ms:?} ms");
    }
    net.run(5_000);
    for key in &owned {
        let (found, stale_ms) = read(&mut net, 1, key, ReadConsistency::Any);
        assert!(found && stale_ms.is_some_and(|ms| ms <= 120), "{stale_ms:?}");
    }
}

#[test]
fn who_is_being_filled_passes_reads_on() {
    let mut net = quiet(2, 1 << 20, Mutants::default());
    let keys: Vec<String> = (0..400).map(|n| format!("k{n}")).collect();
    for key in &keys {
        net.write(0, key, 5, 1, Consistency::Quorum);
    }
    let newcomer = net.add(config(2));
    net.until(|net| net.host(2).node.cluster().is_some_and(|state| state.moves() > 0));
    let mut asked = 0;
    for key in &keys {
        let (_, target) = net.placement(2, key);
        if target.contains(&newcomer) {
            asked += 1;
            assert!(read(&mut net, newcomer, key, ReadConsistency::Any).0, "{key}");
        }
    }
    assert!(asked > 0, "everything had moved before it was asked for");
}

#[test]
fn a_bug_that_forgets_what_was_skipped_is_seen() {
    let (_, _, shown) = skipped(Mutants::only(Mutant::SkippedUnsaid));
    let lies = |(found, stale_ms): &Shown| !found && stale_ms.is_some_and(|ms| ms < 200);
    assert!(shown.iter().any(lies), "{shown:?}");
}
