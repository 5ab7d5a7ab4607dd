//! Everybody comes at once, and not everybody is polite.

use std::future::poll_fn;
use std::pin::Pin;

use madsim::net::TcpStream;
use runtime_real::simulated::{now_us, until_us};
use tokio::io::AsyncWrite;

use super::play::with_each_seed;
use super::watch;
use super::world::{Scene, World, addr};

const CLIENTS: usize = 40;

/// Places at the listener: an eighth of the limit is not for those who come.
const PLACES: usize = 56;

fn crowded() -> Scene {
    let mut scene = Scene::of(1, CLIENTS);
    scene.limits.connections = 64;
    scene.throttled()
}

/// What a stranger says before it falls silent, and whether it then hangs up.
const STRANGERS: [(&[u8], bool); 5] = [
    (b"", false),
    (b"", true),
    (b"GET / HTTP/1.1", false),
    // A client's greeting, and a frame of which half comes.
    (b"c\0\0\0\x10half of", true),
    // And one that says it has four thousand million bytes.
    (b"c\xff\xff\xff\xfe", false),
];

async fn say(stream: &mut TcpStream, words: &[u8]) {
    let _ = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, words)).await;
    let _ = poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await;
}

fn strangers_come(world: &mut World, count: usize) {
    let stranger = world.stranger();
    for number in 0..count {
        let (words, leaves) = STRANGERS[number % STRANGERS.len()];
        stranger.spawn(async move {
            let Ok(mut stream) = TcpStream::connect(addr(0)).await else {
                return;
            };
            say(&mut stream, words).await;
            let stay_us = if leaves { 5_000 } else { 20_000_000 };
            until_us(now_us() + stay_us).await;
        });
    }
}

#[test]
fn a_connection_storm_is_weathered_and_everybody_is_served() {
    with_each_seed(
        |_| crowded(),
        async |world| {
            world.linked().await;
            for wave in 0..3 {
                strangers_come(world, 120);
                // The strangers have taken the places when the clients come.
                world.pass(if wave == 0 { 30 } else { 0 }).await;
                world.writes(1, 10, 100).await;
            }
            let held = world.quiet().await;
            assert_eq!(world.acknowledged(), 3 * CLIENTS as u64);
            assert_eq!(held.len(), 10);
            let turned_away: u64 = (0..CLIENTS)
                .map(|client| watch::client(client, |seen| seen.dials_failed))
                .sum();
            assert!(turned_away > 0, "it was a storm");
            let most = watch::node(0, |seen| seen.most_open);
            assert!(most <= PLACES, "{most} connections at once, and {PLACES} places");
            // Whoever said nothing was hung up on long ago: there is room again.
            world.pass(5_000).await;
            let open = watch::node(0, |seen| seen.open.len());
            assert_eq!(open, CLIENTS, "those who are served, and nobody else");
        },
    );
}
