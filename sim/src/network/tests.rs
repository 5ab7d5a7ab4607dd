use super::*;

const A: Endpoint = Endpoint::Node(0);
const B: Endpoint = Endpoint::Node(1);

fn network(profile: NetworkProfile, seed: u64) -> VirtualNetwork {
    let mut network = VirtualNetwork::new(profile, &SeededRng::from_u64(seed));
    network.boot(A);
    network.boot(B);
    network
}

fn drain(network: &mut VirtualNetwork, until_us: u64) -> Vec<(Endpoint, NetInput)> {
    std::iter::from_fn(|| network.poll(until_us)).collect()
}

fn received(heard: &[(Endpoint, NetInput)]) -> Vec<u8> {
    let first = |input: &(Endpoint, NetInput)| match &input.1 {
        NetInput::Received(_, frame) => Some(frame[0]),
        _ => None,
    };
    heard.iter().filter_map(first).collect()
}

/// A connection from A to B, open at both ends at the end of the first second.
fn connected(profile: NetworkProfile, seed: u64) -> VirtualNetwork {
    let mut network = network(profile, seed);
    network.dial(0, A, Some(B), PeerId(7));
    let heard = drain(&mut network, 999_999);
    assert!(
        matches!(heard[0], (B, NetInput::Opened(ConnId(1), _, None))),
        "{heard:?}"
    );
    assert!(
        matches!(heard[1], (A, NetInput::Opened(ConnId(1), _, Some(PeerId(7))))),
        "{heard:?}"
    );
    network
}

fn say(network: &mut VirtualNetwork, at_us: u64, words: std::ops::Range<u8>) {
    for word in words {
        network.send(at_us, A, ConnId(1), Bytes::from(vec![word; 3]));
    }
}

#[test]
fn an_ordered_connection_keeps_its_order_through_loss() {
    for seed in 0..20 {
        let mut network = connected(NetworkProfile::default(), seed);
        network.profile.loss_permille = 300;
        say(&mut network, 1_000_000, 0..50);
        let heard = drain(&mut network, 10_000_000);
        assert!(received(&heard).iter().copied().eq(0..50));
        let drained = heard
            .iter()
            .filter(|(who, input)| *who == A && matches!(input, NetInput::Drained(_, 3)));
        assert_eq!(drained.count(), 50);
    }
}

#[test]
fn datagrams_are_lost_doubled_and_overtake_each_other() {
    let profile = NetworkProfile {
        ordered: false,
        ..NetworkProfile::default()
    };
    let mut network = connected(profile, 1);
    network.profile.loss_permille = 100;
    network.profile.duplicate_permille = 100;
    say(&mut network, 1_000_000, 0..200);
    let words = received(&drain(&mut network, 10_000_000));
    let mut sorted = words.clone();
    sorted.sort_unstable();
    assert_ne!(words, sorted, "overtaking");
    assert!(sorted.windows(2).any(|pair| pair[0] == pair[1]), "doubling");
    sorted.dedup();
    assert!((150..200).contains(&sorted.len()), "loss: {}", sorted.len());
    let lost = network.take_lost();
    let told = |lost: &LostFrame| (lost.from, lost.to, lost.sent_us) == (A, B, 1_000_000);
    assert!(lost.iter().all(told), "{lost:?}");
    let mut all: Vec<u8> = lost.iter().map(|lost| lost.frame[0]).chain(sorted).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..200), "each is lost or arrives");
}

#[test]
fn a_short_partition_only_delays_and_a_long_one_breaks() {
    let mut network = connected(NetworkProfile::default(), 3);
    say(&mut network, 1_000_000, 0..5);
    network.block(A, B);
    say(&mut network, 1_000_001, 5..10);
    assert_eq!(
        received(&drain(&mut network, 1_400_000)),
        [0_u8; 0],
        "in flight or not, nothing gets through"
    );
    network.unblock(1_400_000, A, B);
    assert!(received(&drain(&mut network, 2_000_000)).iter().copied().eq(0..10));

    network.block(A, B);
    say(&mut network, 2_000_000, 0..1);
    let heard = drain(&mut network, 20_000_000);
    let closed = |who| (who, NetInput::Closed(ConnId(1)));
    assert_eq!(heard.len(), 2, "no drain and no frame: {heard:?}");
    assert!(heard.contains(&closed(A)) && heard.contains(&closed(B)));
}

#[test]
fn one_way_partitions_cut_one_way() {
    let mut network = connected(NetworkProfile::default(), 4);
    network.block(A, B);
    say(&mut network, 1_000_000, 0..1);
    network.send(1_000_000, B, ConnId(1), Bytes::from_static(b"x"));
    assert_eq!(received(&drain(&mut network, 1_400_000)), b"x");
}

#[test]
fn dials_fail_across_a_partition_to_a_dead_node_and_to_nobody() {
    for (to, reason) in [
        (Some(B), "timed out"),
        (Some(Endpoint::Node(9)), "refused"),
        (None, "refused"),
    ] {
        let mut network = network(NetworkProfile::default(), 5);
        network.block(A, B);
        network.dial(0, A, to, PeerId(1));
        assert_eq!(
            drain(&mut network, 5_000_000),
            [(A, NetInput::DialFailed(PeerId(1), reason))]
        );
    }
}

#[test]
fn closing_sends_first_what_was_sent_before() {
    let mut network = connected(NetworkProfile::default(), 6);
    say(&mut network, 1_000_000, 0..3);
    network.close(1_000_000, A, ConnId(1));
    say(&mut network, 1_000_000, 3..4);
    let heard = drain(&mut network, 5_000_000);
    assert_eq!(received(&heard), [0, 1, 2]);
    assert_eq!(heard.last(), Some(&(B, NetInput::Closed(ConnId(1)))));
    assert_eq!(
        heard
            .iter()
            .filter(|(_, input)| matches!(input, NetInput::Closed(_)))
            .count(),
        2
    );
}

#[test]
fn a_crash_is_heard_of_after_what_had_left_before() {
    for seed in 0..10 {
        let mut network = connected(NetworkProfile::default(), seed);
        say(&mut network, 1_000_000, 0..3);
        network.crash(1_000_100, A);
        let heard = drain(&mut network, 9_000_000);
        assert_eq!(received(&heard), [0, 1, 2]);
        assert_eq!(heard.last(), Some(&(B, NetInput::Closed(ConnId(1)))));
        network.boot(A);
        network.dial(9_000_000, A, Some(B), PeerId(7));
        let again = drain(&mut network, 10_000_000);
        assert!(
            matches!(again[1], (A, NetInput::Opened(ConnId(1), _, _))),
            "numbers begin again"
        );
        assert!(
            matches!(again[0], (B, NetInput::Opened(ConnId(2), _, _))),
            "and go on at the other end"
        );
    }
}
