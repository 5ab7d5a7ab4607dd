//! The same seed is the same run, byte for byte: twice in one process, and in fresh ones.

use std::env;
use std::process::Command;

use super::play::play;
use super::watch::Told;
use super::world::Scene;

/// A bit of everything.
fn one_run(seed: u64) -> Told {
    play(seed, Scene::of(3, 4).syncs_take(1, 20), async |world| {
        world.linked().await;
        world.writes(10, 5, 20).await;
        world.kill(1);
        world.nodes[2].device.with(|disk| disk.fail_next_commit());
        world.writes(10, 5, 20).await;
        world.boot(1);
        world.split(0, 2, true);
        world.nodes[0].clock.jump(10_000);
        world.writes(20, 5, 100).await;
        world.split(0, 2, false);
        world.quiet().await;
    })
}

#[test]
fn prints_the_hash_of_a_run() {
    let (first, second) = (one_run(3), one_run(3));
    assert_eq!(first, second);
    assert_ne!(first.hash, one_run(4).hash);
    println!("hash {:032x} of {} steps", first.hash, first.steps);
}

#[test]
fn the_same_seed_is_the_same_run_in_fresh_processes() {
    let run = || {
        let mut test = Command::new(env::current_exe().unwrap());
        test.args(["--exact", "determinism::prints_the_hash_of_a_run", "--nocapture"]);
        let output = test.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let hash = printed
            .lines()
            .find_map(|line| line.split_once("hash "))
            .map(|(_, hash)| hash.to_string());
        hash.unwrap_or_else(|| panic!("no hash in {printed}"))
    };
    assert_eq!(run(), run());
}
