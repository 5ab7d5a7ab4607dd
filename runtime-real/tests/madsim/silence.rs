//! A peer that accepts and never answers: what a node becomes whose process hangs, or what sits behind a wrong address.

use super::play::with_each_seed;
use super::watch;
use super::world::{Scene, World};

#[test]
fn a_peer_that_accepts_and_never_answers_holds_up_nobody_and_is_tried_again() {
    with_each_seed(
        |_| Scene::of(3, 3),
        async |world| {
            world.linked().await;
            // It is a member, and comes back as a process that says nothing.
            world.kill(2);
            watch::node(2, |seen| seen.mute = true);
            world.boot(2);
            let others = |world: &World| (0..2).all(|node| world.is_ready(node) && world.links(node) == 1);
            world.until("the other two are linked", 10_000, others).await;
            world.writes(40, 7, 200).await;
            let answered = |world: &World| world.acknowledged() == 40 * 3;
            world.until("everybody has an answer", 30_000, answered).await;
            // Each dial ends when nobody answered for a second, and another one follows.
            let failed: Vec<u64> = (0..2).map(|node| watch::node(node, |seen| seen.dials_failed)).collect();
            assert!(
                failed.iter().all(|failed| *failed >= 4),
                "{failed:?} dials were given up in 8 seconds"
            );
            assert!(watch::node(2, |seen| seen.dialled) >= 8);
            // It was the wrong process; now it is the right one.
            watch::node(2, |seen| seen.mute = false);
            world.boot(2);
            world.quiet().await;
        },
    );
}
