//! Connections whose other end is not heard any more, though nobody closed them.

use super::play::with_each_seed;
use super::watch;
use super::world::{Scene, World};

#[test]
fn connections_that_have_gone_dead_are_given_up_and_the_nodes_link_again() {
    with_each_seed(
        |_| Scene::of(3, 3),
        async |world| {
            world.linked().await;
            for round in 0..3 {
                let (one, other) = (round % 3, (round + 1) % 3);
                world.split(one, other, true);
                world.writes(30, 7, 100).await;
                let apart = |world: &World| world.links(one) == 1 && world.links(other) == 1;
                world.until("each has given up the other", 2_000, apart).await;
                world.split(one, other, false);
                world.linked().await;
            }
            world.quiet().await;
            assert_eq!(world.acknowledged(), 3 * 30 * 3);
            assert_eq!((0..3).map(|node| watch::node(node, |seen| seen.boots)).sum::<u64>(), 3);
        },
    );
}
