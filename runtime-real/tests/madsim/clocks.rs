//! Clocks that jump, and nodes that stand still.

use madsim::runtime::Handle;

use super::play::with_each_seed;
use super::watch;
use super::world::{Scene, World};

fn peers_lost(world: &World) -> u64 {
    (0..world.nodes.len())
        .map(|node| watch::node(node, |seen| seen.peers_lost))
        .sum()
}

#[test]
fn a_wall_clock_that_jumps_during_a_heartbeat_breaks_no_link_and_refuses_no_write() {
    with_each_seed(
        |_| Scene::of(3, 3),
        async |world| {
            world.linked().await;
            // Of two links between two nodes one goes, soon.
            world.pass(2_000).await;
            let lost = peers_lost(world);
            // A heartbeat every 250 ms, and a jump every 280: over and over at another moment of it.
            for turn in 0..42 {
                // There and back, so that no good stamp is ever beyond the bound on drift.
                let (node, there) = (turn % 3, (turn / 3 + turn % 3) % 2 == 0);
                world.nodes[node].clock.jump(if there { 50_000 } else { -50_000 });
                world.writes(4, 7, 70).await;
            }
            // And all at once, while nothing is on its way that would wake a node: only timers do.
            for by_ms in [-50_000, 50_000] {
                world.still(40).await;
                (0..3).for_each(|node| world.nodes[node].clock.jump(by_ms));
                world.pass(5_000).await;
                world.writes(2, 7, 70).await;
            }
            world.quiet().await;
            let now_lost = peers_lost(world);
            assert_eq!(now_lost, lost, "silence is measured by a clock that does not jump");
            assert_eq!(world.acknowledged(), (42 * 4 + 2 * 2) * 3);
            let refused: u64 = (0..3).map(|client| watch::client(client, |seen| seen.refused)).sum();
            assert_eq!(refused, 0);
        },
    );
}

#[test]
fn a_node_that_stood_still_is_given_up_and_linked_again() {
    with_each_seed(
        |_| Scene::of(3, 3),
        async |world| {
            world.linked().await;
            world.writes(5, 7, 50).await;
            let lost = peers_lost(world);
            Handle::current().pause(world.nodes[1].id);
            // Three times as long as a peer may be silent.
            world.writes(30, 7, 100).await;
            let alone = |world: &World| world.links(0) == 1 && world.links(2) == 1;
            world.until("the others have given it up", 2_000, alone).await;
            Handle::current().resume(world.nodes[1].id);
            world.quiet().await;
            assert!(peers_lost(world) > lost);
            assert_eq!(world.acknowledged(), 35 * 3);
        },
    );
}
