//! What any replica may show, and what it says of how old that may be.

use std::collections::BTreeMap;

use kernel::env::{Mutant, Mutants};
use kernel::machine::Input;
use kernel::wire::client::{self, Get};
use kernel::wire::cluster::Word;
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::ServerMessage;
use kernel::wire::{Consistency, ReadConsistency};

use crate::host::put;
use crate::net::{CLIENT_CONN, Net, config, partition};

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

/// The owner begins a repair, and its question waits because the link is full; what is written then, and skipped, is in no part of that
/// repair. The backup hears of the skipping before it hears the question.
#[test]
fn a_repair_that_was_begun_before_something_was_skipped_makes_nobody_level() {
    let mut net = Net::of(0);
    for node in 0..2 {
        let mut config = config(node);
        config.limits.unsent_bytes = 20_000;
        config.limits.silence_ms = 3_000;
        config.limits.anti_entropy_ms = 300;
        net.add(config);
    }
    net.settle();
    net.run(5_000);
    let mut owned: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for key in (0..20_000).map(|n| format!("k{n}")) {
        if net.placement(0, &key).0[0] == 0 {
            owned.entry(partition(&key)).or_default().push(key);
        }
    }
    let low: Vec<String> = owned.values().take(40).map(|keys| keys[0].clone()).collect();
    let high = owned.into_values().next_back().expect("it owns some");
    let value: Vec<u8> = [0xc5, 3, 132].into_iter().chain([7; 900]).collect();
    let write = |net: &mut Net, key: &str| {
        let frame = client::op(&put("1", key, 5, &value), Ask::default());
        net.host(0).receive(CLIENT_CONN, &frame);
    };
    net.slow.insert(1);
    high[..40].iter().for_each(|key| write(&mut net, key));
    net.run(350);
    let skipped = high[50].clone();
    write(&mut net, &skipped);
    low.iter().for_each(|key| write(&mut net, key));
    net.run(300);
    let link = net.link(0, 1);
    let waited = net.host(0).take(link);
    // Not so much room that the owner begins another round.
    let (conn, bytes) = (link, 8_000);
    net.host(0).step(Input::Drained { conn, bytes });
    waited.iter().for_each(|frame| net.host(1).receive(link, frame));
    (0..2).for_each(|node| net.host(node).advance(110));
    let waited = net.host(0).take(link);
    waited.iter().for_each(|frame| net.host(1).receive(link, frame));
    let mut missing = 0;
    for step in 0..40 {
        for (from, to) in [(1, 0), (0, 1)] {
            for frame in net.host(from).take(link) {
                let bytes = frame.len() as u64;
                net.host(from).step(Input::Drained { conn, bytes });
                net.host(to).receive(link, &frame);
            }
        }
        if step % 4 == 3 {
            (0..2).for_each(|node| net.host(node).advance(10));
        }
        let (found, stale_ms) = read(&mut net, 1, &skipped, ReadConsistency::Any);
        missing += usize::from(!found);
        let may_miss = stale_ms.is_none_or(|ms| ms >= 300);
        assert!(found || may_miss, "it is not there, and would be after {stale_ms:?} ms");
    }
    assert!(missing > 0, "nothing was skipped");
}

#[test]
fn who_could_not_take_something_is_level_with_nobody_until_it_can() {
    let mut net = Net::of(0);
    for node in 0..2 {
        let mut config = config(node);
        config.limits.value_bytes = if node == 1 { 100 } else { 1_000 };
        net.add(config);
    }
    net.settle();
    net.run(5_000);
    let key = net.key_owned_by(0);
    let value: Vec<u8> = [0xc5, 1, 44].into_iter().chain([7; 300]).collect();
    assert_eq!(net.write_value(0, &key, 5, &value), ["ack PERSISTED"]);
    net.run(1_000);
    let (found, stale_ms) = read(&mut net, 1, &key, ReadConsistency::Any);
    assert!(!found && stale_ms.is_none_or(|ms| ms >= 900), "{found} {stale_ms:?}");
}

#[test]
fn who_acts_by_another_version_of_the_cluster_says_nothing_of_this_one() {
    let mut net = quiet(2, 1 << 20, Mutants::default());
    let key = net.key_owned_by(0);
    net.write(0, &key, 5, 1, Consistency::Eventual);
    let epoch = net.host(1).node.stats().epoch;
    let link = net.link(1, 0);
    // From here on only words of another version come.
    net.slow.insert(1);
    net.run(300);
    net.host(0).take(link);
    for epoch in [epoch - 1, epoch + 1] {
        let (asked_us, skipped) = (u64::MAX, 0);
        let word = Word::Level {
            asked_us,
            skipped,
            epoch,
        };
        net.host(1).receive(link, &word.to_frame());
        let (_, stale_ms) = read(&mut net, 1, &key, ReadConsistency::Any);
        assert!(stale_ms.is_none_or(|ms| ms >= 300), "{stale_ms:?}");
    }
}
