//! What comes from who acts by another state of the cluster than the node that hears it. On the net such words are rare: both sides
//! tell each other at once. Here they are said in the name of another node, as they come when they were on the way for long.

use bytes::Bytes;
use kernel::crdt::{Record, Version};
use kernel::env::{Limits, Mutants, WriterId};
use kernel::hlc::Stamp;
use kernel::machine::Phase;
use kernel::partition::{PartitionId, PartitionSet};
use kernel::query::Query;
use kernel::store::RecordKey;
use kernel::wire::admin::Order;
use kernel::wire::cluster::{Wanted, Word};
use kernel::wire::gather::{Watch, query_bytes};
use kernel::wire::peer::{self, PeerMessage};

use crate::net::{Net, config, partition};

/// A number that no node has come to.
const NUMBER: u64 = 1 << 40;

/// Three nodes and some keys, and then a fourth that takes some of them. With it the version before the fourth came.
fn grown(mutants: Mutants) -> (Net, Vec<String>, u64) {
    let mut net = Net::broken(3, mutants);
    let keys = net.fill(100);
    let before = net.host(0).node.stats().epoch;
    net.add(config(3));
    net.settle();
    net.run(6_000);
    net.check_holders(&keys);
    (net, keys, before)
}

/// What `node` says to `other` at once when `other` says this.
fn said(net: &mut Net, (node, other): (usize, usize), frame: &Bytes) -> Vec<Bytes> {
    let conn = net.link(node, other);
    net.host(node).take(conn);
    net.host(node).receive(conn, frame);
    net.host(node).advance(10);
    net.host(node).take(conn)
}

/// Whether one of the frames has a word that is so.
fn any(frames: &[Bytes], is: impl Fn(Word<'_>) -> bool) -> bool {
    frames.iter().any(|frame| match PeerMessage::decode(frame) {
        Ok(PeerMessage::Cluster(body)) => Word::decode(body).is_some_and(&is),
        _ => false,
    })
}

/// Two nodes that still hold a key that has moved in part, and the key.
fn moved_in_part(net: &mut Net, keys: &[String]) -> (usize, usize, String) {
    let moved = keys.iter().find_map(|key| {
        let (replicas, _) = net.placement(0, key);
        let old: Vec<usize> = replicas.iter().copied().filter(|node| *node < 3).collect();
        (old.len() == 2).then(|| (old[0], old[1], key.clone()))
    });
    moved.expect("some of a hundred moved")
}

/// Whether a replica confirms a write that is sent by who acts by this version.
fn confirms(net: &mut Net, keys: &[String], epoch: u64) -> bool {
    let (node, other, key) = moved_in_part(net, keys);
    confirms_at(net, (node, other, &key), epoch)
}

fn confirms_at(net: &mut Net, (node, other, key): (usize, usize, &str), epoch: u64) -> bool {
    let key = RecordKey::new("m", key.as_bytes(), &Limits::default()).expect("a short key");
    let stamp = Stamp::new(6, 0, WriterId(9)).expect("in range");
    let record = Record::new(&Version::new(stamp, "w", Some(&[2])));
    let frame = peer::changes(std::iter::once((&key, &record)), epoch, 1_000, || Some(NUMBER)).remove(0);
    let frames = said(net, (node, other), &frame);
    assert!(
        net.host(node)
            .node
            .store()
            .get(&key)
            .is_some_and(|version| version.stamp == stamp),
        "it is taken all the same"
    );
    any(
        &frames,
        |word| matches!(word, Word::Taken(numbers) if numbers.contains(&NUMBER)),
    )
}

#[test]
fn a_write_that_is_sent_by_an_old_table_is_taken_and_not_confirmed() {
    let (mut net, keys, before) = grown(Mutants::default());
    assert!(
        !confirms(&mut net, &keys, before),
        "its majority may be that of other replicas"
    );
    let now = net.host(0).node.stats().epoch;
    assert!(confirms(&mut net, &keys, now));
    #[cfg(feature = "testing")]
    {
        let (mut net, keys, before) = grown(Mutants::only(kernel::env::Mutant::StaleTableAccepted));
        assert!(confirms(&mut net, &keys, before));
    }
}

/// It lies where it lay, and in between others have taken writes for it (scylladb issue 14823).
#[test]
fn a_write_that_is_sent_by_an_old_table_counts_for_nothing_when_its_owner_has_come_back() {
    let (mut net, keys, before) = grown(Mutants::default());
    let moved = moved_in_part(&mut net, &keys).2;
    net.change(3, Order::Leave, "").expect("all are there");
    net.until(|net| net.host(3).phases.last() == Some(&Phase::Removed));
    net.crash(3);
    net.settle();
    let (mut replicas, target) = net.placement(0, &moved);
    replicas.sort_unstable();
    assert_eq!((replicas, target), (vec![0, 1, 2], vec![]), "as it was before");
    assert!(!confirms_at(&mut net, (0, 1, &moved), before));
    let now = net.host(0).node.stats().epoch;
    assert!(confirms_at(&mut net, (0, 1, &moved), now));
}

/// Whether a node gives a part of a partition to who is filled by a move that the version `since` opened.
fn gives(net: &mut Net, keys: &[String], since: u64) -> bool {
    let (node, other, key) = moved_in_part(net, keys);
    let wanted = vec![Wanted {
        partition: partition(&key),
        since,
        from: None,
        digest: 0,
    }];
    let most = 1_000_000;
    let frames = said(net, (node, other), &Word::Pull { most, wanted }.to_frame());
    any(
        &frames,
        |word| matches!(word, Word::Parts(parts) if !parts[0].rows.is_empty()),
    )
}

#[test]
fn who_has_not_adopted_a_move_gives_nothing_for_it() {
    let (mut net, keys, _) = grown(Mutants::default());
    let now = net.host(0).node.stats().epoch;
    assert!(
        !gives(&mut net, &keys, now + 1),
        "it may still confirm by the old table afterwards"
    );
    assert!(gives(&mut net, &keys, now));
    #[cfg(feature = "testing")]
    {
        let (mut net, keys, _) = grown(Mutants::only(kernel::env::Mutant::FillBeforePromise));
        let now = net.host(0).node.stats().epoch;
        assert!(gives(&mut net, &keys, now + 1));
    }
}

/// The partitions that a node answers for, of all.
fn answers_for(net: &mut Net, node: usize, epoch: u64) -> PartitionSet {
    let watch = Watch {
        request: NUMBER,
        epoch,
        map: "m",
        query: &query_bytes(&Query::of("m")),
        partitions: PartitionSet::all(),
        once: true,
        strict: false,
        floors: vec![],
    };
    let frames = said(net, (node, (node + 1) % 3), &Word::Watch(watch).to_frame());
    let covers = frames.iter().find_map(|frame| match PeerMessage::decode(frame) {
        Ok(PeerMessage::Cluster(body)) => match Word::decode(body) {
            Some(Word::Rows(rows)) if rows.request == NUMBER => rows.covers,
            _ => None,
        },
        _ => None,
    });
    covers.expect("it answers at once")
}

#[test]
fn who_is_asked_by_an_old_table_answers_for_what_it_holds_and_no_more() {
    let (mut net, _, before) = grown(Mutants::default());
    for node in 0..3 {
        let state = net.host(node).node.cluster().expect("a member").clone();
        let id = net.host(node).node.id();
        let holds = |partition: &PartitionId| state.placement(*partition).replicas.contains(&id);
        let holds: PartitionSet = PartitionSet::all().iter().filter(holds).collect();
        assert_eq!(answers_for(&mut net, node, before), holds);
        assert!(holds.len() < PartitionSet::all().len(), "some have moved");
    }
    #[cfg(feature = "testing")]
    {
        let (mut net, _, before) = grown(Mutants::only(kernel::env::Mutant::AnswersForOthers));
        assert_eq!(answers_for(&mut net, 0, before), PartitionSet::all());
    }
}
