//! A node is told to stop while everybody writes.

use super::play::with_each_seed;
use super::watch;
use super::world::{Scene, World};

#[test]
fn a_node_that_stops_under_load_answers_what_it_has_taken_and_says_goodbye() {
    with_each_seed(
        |_| Scene::of(3, 6).syncs_take(1, 40).throttled(),
        async |world| {
            world.linked().await;
            world.writes(20, 9, 10).await;
            let broken = |world: &World| -> u64 {
                (0..world.clients())
                    .map(|client| watch::client(client, |seen| seen.broken))
                    .sum()
            };
            let goodbyes = |world: &World| -> u64 {
                (0..world.clients())
                    .map(|client| watch::client(client, |seen| seen.goodbyes))
                    .sum()
            };
            assert_eq!((broken(world), goodbyes(world)), (0, 0));
            world.drain(0);
            world.writes(30, 9, 10).await;
            let ended = |_: &World| watch::node(0, |seen| seen.end.is_some());
            world.until("it has stopped", 10_000, ended).await;
            assert_eq!(watch::node(0, |seen| seen.end.clone()), Some(Ok(())));
            assert_eq!(watch::node(0, |seen| seen.in_flight), 0, "every commit was answered");
            let disk = watch::disk(0);
            assert!(disk.is_idle());
            assert_eq!(disk.applied(), disk.last_durable(), "all is in the records");
            // The two whose node it was heard so, and asked elsewhere.
            assert_eq!((broken(world), goodbyes(world)), (0, 2));
            world.boot(0);
            world.quiet().await;
            assert_eq!(world.acknowledged(), 50 * 6);
        },
    );
}

#[test]
fn a_node_that_stops_does_not_wait_for_whoever_does_not_answer_its_goodbye() {
    with_each_seed(
        |_| Scene::of(3, 3),
        async |world| {
            world.linked().await;
            world.writes(10, 5, 20).await;
            // Nothing is closed, and nothing arrives.
            world.split(0, 1, true);
            world.drain(0);
            let ended = |_: &World| watch::node(0, |seen| seen.end.is_some());
            world.until("it has stopped", 6_000, ended).await;
            assert_eq!(watch::node(0, |seen| seen.end.clone()), Some(Ok(())));
            world.split(0, 1, false);
            world.boot(0);
            world.quiet().await;
            assert_eq!(world.acknowledged(), 10 * 3);
        },
    );
}
