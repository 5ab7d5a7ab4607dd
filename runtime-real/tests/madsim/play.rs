//! Stories, and the seeds that they are played with.

use std::env;
use std::thread;
use std::time::Duration;

use madsim::Config;
use madsim::runtime::Runtime;

use super::watch::{self, Told};
use super::world::{Scene, World};

/// No story lasts longer, in virtual time.
const LONGEST: Duration = Duration::from_secs(600);

/// The seeds of this run: those that `MADSIM_SEED` (one) or `MADSIM_SEEDS` (how many) name, or the first eight.
pub fn seeds() -> Vec<u64> {
    let number = |name: &str| {
        let value = env::var(name).ok()?;
        Some(
            value
                .parse()
                .unwrap_or_else(|_| panic!("{name} is a number, not `{value}`")),
        )
    };
    match number("MADSIM_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("MADSIM_SEEDS").unwrap_or(8)).collect(),
    }
}

/// Plays a story with each seed.
///
/// # Panics
/// If one of them breaks a promise, with the seed.
pub fn with_each_seed<S>(scene: impl Fn(u64) -> Scene, story: S)
where
    S: AsyncFn(&mut World) + Send + Clone + 'static,
{
    for seed in seeds() {
        let told = play(seed, scene(seed), story.clone());
        assert!(told.steps > 0, "somebody took a step");
    }
}

/// Plays a story once, on a thread of its own: a thread's hash maps are seeded once.
///
/// # Panics
/// If it breaks a promise, with the seed.
pub fn play<S>(seed: u64, scene: Scene, story: S) -> Told
where
    S: AsyncFnOnce(&mut World) + Send + 'static,
{
    let mut config = Config::default();
    let (low, high) = scene.header.latency_us;
    config.net.send_latency = Duration::from_micros(low)..Duration::from_micros(high + 1);
    let run = move || {
        let mut runtime = Runtime::with_seed_and_config(seed, config);
        runtime.set_time_limit(LONGEST);
        runtime.block_on(async move {
            let mut world = World::new(seed, scene);
            story(&mut world).await;
            watch::told()
        })
    };
    let thread = thread::Builder::new().name(format!("seed {seed}")).spawn(run);
    thread.unwrap().join().unwrap_or_else(|_| {
        panic!("seed {seed} broke it (above): MADSIM_SEED={seed} .ci/madsim, with this test's name")
    })
}
