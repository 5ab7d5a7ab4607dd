//! Whole clusters of failure detectors: what they see of what befalls them.

use kernel::cluster::liveness::{Health, Liveness, LivenessSettings, News};
use kernel::env::Mutant;
use sim::sweep::cluster::{Cluster, Scene};
use sim::sweep::measure::{Calm, Kills, kill};

const SECOND: u64 = 1_000_000;

fn scene(nodes: usize) -> Scene {
    Scene {
        nodes,
        loss_permille: 50,
        jitter_ms: 200,
        settings: LivenessSettings::default(),
        mutant: None,
    }
}

/// A network as good as most are.
fn good(nodes: usize) -> Scene {
    Scene {
        loss_permille: 0,
        jitter_ms: 2,
        ..scene(nodes)
    }
}

fn broken(scene: Scene, mutant: Mutant) -> Scene {
    Scene {
        mutant: Some(mutant),
        ..scene
    }
}

/// The cluster after ten seconds of peace.
fn started(scene: &Scene, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(scene, seed);
    cluster.run_for(10 * SECOND);
    cluster
}

/// Whether everybody in `nodes` takes all the others for alive.
fn all_alive(cluster: &Cluster, nodes: usize) -> bool {
    let pairs = (0..nodes).flat_map(|by| (0..nodes).map(move |node| (by, node)));
    pairs
        .into_iter()
        .all(|(by, node)| cluster.state(by, node) == Health::Alive)
}

/// How often somebody turned to `health`.
fn turned(cluster: &mut Cluster, health: Health) -> usize {
    let seen = cluster.take_seen().into_iter();
    seen.filter(|seen| matches!(seen.news, News::Turned { to, .. } if to == health))
        .count()
}

#[test]
fn a_kill_is_seen_by_all_survivors_in_time() {
    let kills = Kills::new((0..400).map(|seed| kill(&scene(5), seed)));
    let p99_ms = kills.permille_ms(990).expect("all are seen");
    assert!(p99_ms <= 1_300, "{p99_ms} ms");
}

#[test]
fn two_kills_at_once_are_seen_and_so_is_one_among_many() {
    let mut cluster = started(&scene(5), 1);
    cluster.kill(1);
    cluster.kill(3);
    cluster.run_for(3 * SECOND);
    for by in [0, 2, 4] {
        assert_eq!([1, 3].map(|node| cluster.state(by, node)), [Health::Failed; 2]);
    }
    for nodes in [2, 3, 9, 40] {
        let took_us = kill(&scene(nodes), 3).unwrap_or_else(|| panic!("never seen among {nodes}"));
        assert!(took_us < 6 * SECOND, "{took_us} µs among {nodes}");
    }
}

#[test]
fn nobody_is_suspected_in_peace() {
    for (nodes, hours) in [(3, 1), (5, 2), (9, 1)] {
        let calm = Calm::measure(&scene(nodes), 11, hours * 3_600 * SECOND);
        assert_eq!((calm.suspicions, calm.failures), (0, 0), "{nodes} nodes");
        assert!(calm.longest_bytes < 1_024, "{}", calm.longest_bytes);
    }
}

#[test]
fn what_a_node_sends_does_not_grow_with_a_large_cluster() {
    let sent = |nodes: usize| {
        let calm = Calm::measure(&good(nodes), 1, 60 * SECOND);
        assert_eq!(calm.failures, 0, "{nodes} nodes");
        calm.messages / nodes as u64
    };
    let (few, many) = (sent(9), sent(64));
    assert!(many <= few + few / 4, "{many} of 64, {few} of 9");
}

#[test]
fn a_clock_far_from_all_others_makes_no_difference() {
    // Each node's clock begins anywhere within thirty years: see `Cluster::new`.
    let mut cluster = started(&good(5), 2);
    assert!(all_alive(&cluster, 5));
    assert_eq!(turned(&mut cluster, Health::Suspect), 0);
}

#[test]
fn one_way_is_enough_to_be_seen_by_way_of_others() {
    let mut cluster = started(&good(5), 3);
    cluster.cut(0, 1, true);
    cluster.run_for(60 * SECOND);
    assert_eq!(turned(&mut cluster, Health::Suspect), 0);
}

#[test]
fn one_that_hears_nobody_is_given_up_though_it_speaks() {
    let mut cluster = started(&good(5), 4);
    (1..5).for_each(|from| cluster.cut(from, 0, true));
    cluster.run_for(5 * SECOND);
    assert!((1..5).all(|by| cluster.state(by, 0) == Health::Failed));
    assert!((1..5).all(|by| (1..5).all(|node| cluster.state(by, node) == Health::Alive)));
    (1..5).for_each(|from| cluster.cut(from, 0, false));
    cluster.run_for(3 * SECOND);
    assert!(all_alive(&cluster, 5));
}

/// Nodes 0 and 2 see each other only by way of node 1: how often somebody was suspected in a minute.
fn suspicions_over_a_bridge(scene: &Scene) -> usize {
    let mut cluster = started(scene, 5);
    cluster.cut_both(0, 2, true);
    cluster.run_for(60 * SECOND);
    turned(&mut cluster, Health::Suspect)
}

#[test]
fn a_bridge_keeps_both_sides_alive_for_each_other() {
    assert_eq!(suspicions_over_a_bridge(&good(3)), 0);
}

#[test]
fn without_indirect_probes_a_bridge_is_not_enough() {
    assert!(suspicions_over_a_bridge(&broken(good(3), Mutant::NoIndirectProbe)) > 0);
}

/// Two nodes of five are cut off for a while; whether all are alive to all afterwards.
fn heals(scene: &Scene) -> bool {
    let mut cluster = started(scene, 6);
    let across = || [0, 1].into_iter().flat_map(|one| (2..5).map(move |other| (one, other)));
    across().for_each(|(one, other)| cluster.cut_both(one, other, true));
    cluster.run_for(20 * SECOND);
    for (one, other) in across() {
        assert_eq!(cluster.state(one, other), Health::Failed);
        assert_eq!(cluster.state(other, one), Health::Failed);
    }
    assert_eq!(cluster.state(0, 1), Health::Alive);
    across().for_each(|(one, other)| cluster.cut_both(one, other, false));
    cluster.run_for(5 * SECOND);
    all_alive(&cluster, 5)
}

#[test]
fn a_split_is_seen_from_both_sides_and_forgotten_when_it_heals() {
    assert!(heals(&good(5)));
    assert!(heals(&scene(5)));
}

#[test]
fn without_refutation_a_split_is_for_ever() {
    assert!(!heals(&broken(good(5), Mutant::SuspicionNeverRefuted)));
}

/// A killed node's last messages take long: how often somebody takes it back.
fn taken_back_after_a_kill(scene: &Scene) -> usize {
    let mut cluster = started(scene, 7);
    cluster.slow(0, 1, 4 * SECOND);
    cluster.run_for(8 * SECOND);
    cluster.take_seen();
    cluster.kill(0);
    cluster.run_for(10 * SECOND);
    turned(&mut cluster, Health::Alive)
}

#[test]
fn what_a_dead_node_said_long_ago_does_not_bring_it_back() {
    assert_eq!(taken_back_after_a_kill(&good(5)), 0);
}

#[test]
fn where_incarnations_count_for_nothing_the_dead_come_back() {
    assert!(taken_back_after_a_kill(&broken(good(5), Mutant::IncarnationIgnored)) > 0);
}

#[test]
fn one_that_comes_and_goes_is_what_it_is_at_the_end() {
    let mut cluster = started(&scene(5), 8);
    for turn in 0..20 {
        (1..5).for_each(|other| cluster.cut_both(0, other, turn % 2 == 0));
        cluster.run_for((300 + turn * 150) * 1_000);
        let others = (1..5).all(|by| (1..5).all(|node| cluster.state(by, node) == Health::Alive));
        assert!(others, "turn {turn}: they hear each other all the time");
    }
    cluster.run_for(5 * SECOND);
    assert!(all_alive(&cluster, 5));
}

#[test]
fn one_that_was_stopped_is_given_up_gives_up_nobody_and_comes_back() {
    for seed in 0..10 {
        let mut cluster = started(&scene(5), seed);
        cluster.stop(2, 30 * SECOND);
        cluster.run_for(29 * SECOND);
        assert!([0, 1, 3, 4].iter().all(|by| cluster.state(*by, 2) == Health::Failed));
        cluster.run_for(6 * SECOND);
        assert!(all_alive(&cluster, 5), "seed {seed}");
        let seen = cluster.take_seen().into_iter();
        let accusing = seen.filter(|seen| seen.by == 2 && matches!(seen.news, News::Turned { .. }));
        assert_eq!(accusing.count(), 0, "seed {seed}");
    }
}

#[test]
fn a_restarted_node_is_back_as_soon_as_it_speaks() {
    let mut cluster = started(&good(5), 9);
    cluster.kill(3);
    cluster.run_for(5 * SECOND);
    assert!([0, 1, 2, 4].iter().all(|by| cluster.state(*by, 3) == Health::Failed));
    cluster.restart(3, 2_000_000);
    cluster.run_for(SECOND / 10);
    assert!(all_alive(&cluster, 5));
    // And one whose clock was put back, too, since the run before was given up.
    cluster.kill(3);
    cluster.run_for(5 * SECOND);
    cluster.restart(3, 5);
    cluster.run_for(3 * SECOND);
    assert!(all_alive(&cluster, 5));
}

#[test]
fn of_two_nodes_with_one_id_the_later_one_counts_and_the_other_is_told() {
    let mut cluster = started(&good(4), 10);
    let twin = cluster.twin(2, 9_000_000);
    cluster.run_for(10 * SECOND);
    let counts = [0, 1, 3].map(|by| cluster.detector(by).boot_of(cluster.id(2)).map(|boot| boot.birth_ms));
    assert_eq!(counts, [Some(9_000_000); 3]);
    assert!([0, 1, 3].iter().all(|by| cluster.state(*by, 2) == Health::Alive));
    assert!(cluster.detector(2).superseded().is_some());
    assert_eq!(cluster.detector(twin).superseded(), None);
}

#[test]
fn a_lost_connection_alone_makes_nobody_dead() {
    let mut cluster = started(&scene(5), 12);
    for turn in 0..50 {
        cluster.connection_lost(turn % 5, (turn + 1) % 5);
        cluster.run_for(SECOND / 10);
    }
    assert_eq!(turned(&mut cluster, Health::Suspect), 0);
}

#[test]
fn the_same_seed_gives_the_same_run_even_through_copies_of_the_detectors() {
    let run = |copies: bool| {
        let mut cluster = started(&scene(5), 13);
        for turn in 0..20 {
            if copies {
                cluster.replace_detector(turn % 5, Liveness::clone);
            }
            cluster.run_for(SECOND / 3);
        }
        cluster.kill(1);
        cluster.run_for(5 * SECOND);
        (cluster.take_seen(), cluster.counts(), cluster.bytes())
    };
    assert_eq!(run(false), run(true));
    assert!(
        run(false)
            .0
            .iter()
            .any(|seen| matches!(seen.news, News::Turned { to: Health::Failed, .. }))
    );
}
