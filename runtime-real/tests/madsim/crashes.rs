//! Nodes are killed between two awaits, most of them in the middle of a commit.

use super::play::with_each_seed;
use super::watch;
use super::world::Scene;

#[test]
fn what_was_acknowledged_survives_a_kill_during_a_commit() {
    with_each_seed(
        |_| Scene::of(3, 3).syncs_take(5, 60),
        async |world| {
            world.linked().await;
            for round in 0..12 {
                let node = round % 3;
                world.writes(4, 7, 15).await;
                let busy = |world: &super::world::World| !world.nodes[node].device.with(|disk| disk.is_idle());
                world.until("something is on its way to the disk", 5_000, busy).await;
                // Whatever was acknowledged is checked against what the crash leaves.
                world.kill(node);
                world.writes(2, 7, 20).await;
                world.boot(node);
                let ready = |world: &super::world::World| world.is_ready(node);
                world.until("it serves again", 10_000, ready).await;
            }
            world.quiet().await;
            assert_eq!(world.acknowledged(), 12 * (4 + 2) * 3);
            for node in 0..3 {
                assert_eq!(watch::node(node, |seen| seen.boots), 5);
            }
        },
    );
}

#[test]
fn all_nodes_killed_at_once_come_back_with_what_they_acknowledged() {
    with_each_seed(
        |_| Scene::of(3, 3).syncs_take(1, 30),
        async |world| {
            world.linked().await;
            for _ in 0..4 {
                world.writes(10, 5, 7).await;
                (0..3).for_each(|node| world.kill(node));
                world.pass(300).await;
                (0..3).for_each(|node| world.boot(node));
                world.linked().await;
            }
            world.quiet().await;
            assert_eq!(world.acknowledged(), 4 * 10 * 3);
        },
    );
}
