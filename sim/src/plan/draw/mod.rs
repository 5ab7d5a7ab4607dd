//! From a seed to a plan.
//!
//! Swarm testing (Groce et al., ISSTA 2012): each seed draws which faults are on at all and how strong, because a run with
//! a little of everything finds less than many runs with much of a few things.

use kernel::env::{Rare, SeededRng};

use super::{Header, Plan};
use crate::streams::{Draw, Streams};
use themes::Theme;

mod faults;
mod levels;
mod themes;
mod workload;

pub(super) fn draw(seed: u64) -> Plan {
    let root = SeededRng::from_u64(seed);
    let streams = |purpose: &str| Streams::new(&root, purpose);
    let mut header = header(seed, &mut streams("header").at(0, 0));
    strangers(&mut header, &mut streams("strangers").at(0, 0));
    hardships(&mut header, &mut streams("hardships").at(0, 0));
    let rate = &mut streams("move rate").at(0, 0);
    if rate.chance(200) {
        // So little that a record or two are all that comes at once.
        header.move_bytes_per_s = pick(rate, &[2_000, 20_000]);
    }
    let horizon = &mut streams("offline horizon").at(0, 0);
    let settles = horizon.chance(200);
    if settles {
        // So near that what was deleted is collected while a plan runs.
        header.offline_horizon_ms = pick(horizon, &[300, 1_000, 3_000]);
    }
    // In some of them little else goes wrong, so that the members agree again and again.
    let is_calm = settles && horizon.chance(300);
    if is_calm {
        header.heal_us = header.heal_us.max(12_000_000);
        header.offline_horizon_ms = 300;
    }
    if header.exchanges > 0 && header.latency_us.1 > 100_000 {
        // An exchange asks one thing after the other, each of them on a connection of its own: that takes its time.
        header.converge_us = header.converge_us.max(120_000_000);
    }
    let theme = themes::draw(&mut header, &mut streams("theme").at(0, 0));
    let theme = theme.or_else(|| themes::given_up(&mut header, &mut streams("given up").at(0, 0)));
    let is_little = header.chunk_bytes < 100 || header.unsent_bytes < 1_000;
    if is_little && header.latency_us.1 > 100_000 {
        // A partition that moves comes record by record, and what is asked is answered one or two at a time: there and back for each.
        header.converge_us = header.converge_us.max(240_000_000);
    }
    let mut entries = Vec::new();
    workload::operations(&header, &streams("workload"), &mut entries);
    workload::watches(&header, &streams("watches"), &mut entries);
    workload::locks(&header, &streams("locks"), &mut entries);
    workload::definitions(&header, &streams("definitions"), &mut entries);
    workload::clock_put_right(&header, &streams("clock put right"), &mut entries);
    let theme = theme.or_else(|| themes::comings(&mut header, &mut streams("comings").at(0, 0)));
    if theme != Some(Theme::GivenUp) && !is_calm {
        faults::all(&header, &root, &mut entries);
    }
    if let Some(theme) = theme {
        themes::entries(theme, &header, &mut streams("theme").at(1, 0), &mut entries);
    }
    if settles {
        themes::settling(&header, &mut streams("settling").at(0, 0), &mut entries);
    }
    entries.sort_by_key(|entry| entry.at_us);
    levels::all(&streams("levels"), &mut entries);
    Plan { header, entries }
}

/// One of `choices`.
fn pick<T: Copy>(rng: &mut Draw, choices: &[T]) -> T {
    choices[rng.below(choices.len() as u64) as usize]
}

fn header(seed: u64, rng: &mut Draw) -> Header {
    let nodes = match rng.chance(60) {
        true => pick(rng, &[7, 9, 9, 11]),
        false => pick(rng, &[1, 2, 3, 3, 3, 3, 4, 5]),
    };
    let clients = rng.between((1, 5));
    let signed = |rng: &mut Draw, most: u64| rng.between((0, 2 * most)) as i64 - most as i64;
    let skew_ms = pick(rng, &[0, 20, 1_000, 20_000]);
    let drift_ppm = pick(rng, &[0, 100, 20_000]);
    let client_skew_ms = pick(rng, &[0, 0, 500, 20_000, 90_000]);
    let silence_ms = pick(rng, &[800, 1_500, 3_000]);
    // Many join one after the other, and each has to be filled.
    let converge_us = if nodes > 5 { 120_000_000 } else { 60_000_000 };
    Header {
        converge_us,
        seed,
        nodes,
        clients,
        twins: if clients >= 2 && rng.chance(400) { 2 } else { 0 },
        heal_us: rng.between((2, 8)) * 1_000_000,
        ordered: rng.chance(600),
        latency_us: pick(rng, &[(50, 60), (100, 1_000), (500, 20_000), (1_000, 150_000)]),
        loss_permille: pick(rng, &[0, 0, 5, 50, 150]),
        duplicate_permille: pick(rng, &[0, 5, 100]),
        bytes_per_ms: pick(rng, &[100_000, 100_000, 2_000, 100]),
        break_us: pick(rng, &[(100_000, 400_000), (500_000, 4_000_000)]),
        sync_us: pick(rng, &[(50, 100), (200, 2_000), (1_000, 30_000), (20_000, 200_000)]),
        log_bytes: pick(rng, &[64 << 20, 64 << 20, 256 << 10, 96 << 10]),
        skew_ms: (0..nodes).map(|_| signed(rng, skew_ms)).collect(),
        drift_ppm: (0..nodes).map(|_| signed(rng, drift_ppm)).collect(),
        client_skew_ms: (0..clients).map(|_| signed(rng, client_skew_ms)).collect(),
        patience_us: pick(rng, &[300_000, 1_000_000]),
        client_batch: pick(rng, &[1, 1, 3, 20]),
        chunk_bytes: pick(rng, &[64, 400, 4_000, 1 << 20]),
        apply_bytes: pick(rng, &[100, 1_000, 20_000]),
        apply_delay_ms: pick(rng, &[5, 100, 1_000]),
        commit_bytes_in_flight: pick(rng, &[1 << 20, 1 << 20, 4_000]),
        heartbeat_ms: silence_ms / 4,
        silence_ms,
        anti_entropy_ms: pick(rng, &[300, 1_000, 3_000]),
        redial_ms: pick(rng, &[(10, 50), (50, 500), (100, 1_000)]),
        ..Header::default()
    }
}

/// In some seeds clients ask by exchanges, in some there is a secret, and in some of those there is who does not know it; and
/// in some the frames of clients are damaged on their way.
fn strangers(header: &mut Header, rng: &mut Draw) {
    let others = header.clients - header.twins;
    if rng.chance(300) {
        header.exchanges = rng.between((0, others));
    }
    header.secret = rng.chance(300);
    if header.secret && !header.ordered {
        // A request that arrives before its token is refused: an exchange would take as many connections as it needs luck.
        header.exchanges = 0;
    }
    if header.secret && rng.chance(500) {
        header.impostors = rng.between((0, others - header.exchanges));
    }
    header.corrupt_permille = pick(rng, &[0, 0, 0, 5, 50]);
}

/// What a world can be like that most are not.
fn hardships(header: &mut Header, rng: &mut Draw) {
    header.latency_shape = pick(rng, &[0, 0, 1, 2]);
    header.latency_spread = pick(rng, &[1, 1, 3, 20]);
    header.torn_permille = pick(rng, &[0, 0, 0, 300]);
    if rng.chance(300) {
        let most = pick(rng, &[150, 500]);
        header.rare = Rare::ALL.into_iter().filter(|_| rng.chance(most)).collect();
        let slowest_us = header.latency_us.1 * header.latency_spread;
        if !header.ordered || slowest_us > 1_000_000 {
            // Where handshakes come to nothing as often as not, or take seconds, links that end by themselves are seldom there.
            header.rare.retain(|rare| *rare != Rare::DropPeer);
        }
    }
    if rng.chance(100) {
        header.dead = rng.below(header.nodes);
    }
}
