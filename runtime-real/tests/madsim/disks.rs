//! Disks that fail, fill up and crawl, under the driver's two loops.

use super::play::with_each_seed;
use super::watch;
use super::world::Scene;

#[test]
fn nodes_whose_disks_fail_recover_in_place_and_lose_nothing() {
    with_each_seed(
        |_| Scene::of(3, 3).syncs_take(1, 20),
        async |world| {
            world.linked().await;
            for round in 0..15 {
                let device = &world.nodes[round % 3].device;
                match round % 5 {
                    0 | 1 => device.with(|disk| disk.fail_next_commit()),
                    2 => device.with(|disk| disk.fail_next_apply()),
                    3 => device.with(|disk| disk.set_full(true)),
                    _ => device.with(|disk| disk.set_slow(20)),
                }
                world.writes(5, 7, 60).await;
                world.nodes[round % 3].device.with(|disk| {
                    disk.set_full(false);
                    disk.set_slow(1);
                });
            }
            world.quiet().await;
            assert_eq!(world.acknowledged(), 15 * 5 * 3);
            let failed: u64 = (0..3).map(|node| watch::node(node, |seen| seen.failed)).sum();
            assert!(failed >= 6, "{failed} commits failed");
            for node in 0..3 {
                assert_eq!(
                    watch::node(node, |seen| (seen.boots, seen.end.clone())),
                    (1, None),
                    "nobody had to start it again"
                );
            }
        },
    );
}
