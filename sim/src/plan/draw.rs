//! From a seed to a plan.
//!
//! Swarm testing (Groce et al., ISSTA 2012): each seed draws which faults are on at all and how strong, because a run with
//! a little of everything finds less than many runs with much of a few things.

use kernel::env::SeededRng;

use super::{Entry, Event, Header, Plan};
use crate::endpoint::Endpoint;
use crate::watch::{Filter, Order, Watch};

pub(super) fn draw(seed: u64) -> Plan {
    let root = SeededRng::from_u64(seed);
    let mut header = header(seed, &mut root.fork("plan header", 0));
    strangers(&mut header, &mut root.fork("plan strangers", 0));
    let mut entries = Vec::new();
    workload(&header, &root, &mut entries);
    watches(&header, &root, &mut entries);
    clock_put_right(&header, &root, &mut entries);
    faults(&header, &root, &mut entries);
    entries.sort_by_key(|entry| entry.at_us);
    Plan { header, entries }
}

/// One of `choices`.
fn pick<T: Copy>(rng: &mut SeededRng, choices: &[T]) -> T {
    choices[rng.below(choices.len() as u64) as usize]
}

fn header(seed: u64, rng: &mut SeededRng) -> Header {
    let nodes = pick(rng, &[1, 2, 3, 3, 3, 3, 4, 5]);
    let clients = rng.between(1, 5);
    let signed = |rng: &mut SeededRng, most: u64| rng.between(0, 2 * most) as i64 - most as i64;
    let skew_ms = pick(rng, &[0, 20, 1_000, 20_000]);
    let drift_ppm = pick(rng, &[0, 100, 20_000]);
    let client_skew_ms = pick(rng, &[0, 0, 500, 20_000, 90_000]);
    let silence_ms = pick(rng, &[800, 1_500, 3_000]);
    Header {
        seed,
        nodes,
        clients,
        twins: if clients >= 2 && rng.chance(400) { 2 } else { 0 },
        heal_us: rng.between(2, 8) * 1_000_000,
        ordered: rng.chance(600),
        latency_us: pick(rng, &[(50, 60), (100, 1_000), (500, 20_000), (1_000, 150_000)]),
        loss_permille: pick(rng, &[0, 0, 5, 50, 150]),
        duplicate_permille: pick(rng, &[0, 5, 100]),
        bytes_per_ms: pick(rng, &[100_000, 100_000, 2_000, 100]),
        break_us: pick(rng, &[(100_000, 400_000), (500_000, 4_000_000)]),
        sync_us: pick(rng, &[(50, 100), (200, 2_000), (1_000, 30_000), (20_000, 200_000)]),
        log_bytes: pick(rng, &[64 << 20, 64 << 20, 64 << 10, 16 << 10]),
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
fn strangers(header: &mut Header, rng: &mut SeededRng) {
    let others = header.clients - header.twins;
    if rng.chance(300) {
        header.exchanges = rng.between(0, others);
    }
    header.secret = rng.chance(300);
    if header.secret && rng.chance(500) {
        header.impostors = rng.between(0, others - header.exchanges);
    }
    header.corrupt_permille = pick(rng, &[0, 0, 0, 5, 50]);
}

/// What the clients do. Few keys, so that they meet.
fn workload(header: &Header, root: &SeededRng, entries: &mut Vec<Entry>) {
    let rng = &mut root.fork("plan workload", 0);
    let keys = pick(rng, &[1, 3, 10, 40]);
    let maps = pick(rng, &[1, 2]);
    let ops = rng.between(20, 200);
    let (deletes, gets) = (pick(rng, &[0, 100, 400]), pick(rng, &[0, 200, 500]));
    let bursts = rng.chance(300);
    let brief = &mut root.fork("plan times to live", 0);
    let (brief_permille, longest_ms) = (pick(brief, &[0, 0, 100, 500]), pick(brief, &[500, 2_000, 20_000]));
    let mut at_us = 0;
    for value in 1..=ops {
        if !bursts || rng.chance(100) {
            at_us = rng.below(header.heal_us);
        }
        let client = rng.below(header.clients) as usize;
        let (map, key) = (format!("m{}", rng.below(maps)), format!("k{}", rng.below(keys)));
        let twin = client < header.twins as usize;
        let event = if rng.chance(gets) {
            Event::Get { client, map, key }
        } else if rng.chance(deletes) {
            Event::Delete { client, map, key }
        } else {
            let ttl_ms = brief.chance(brief_permille).then(|| brief.between(20, longest_ms));
            Event::Put {
                client,
                map,
                key,
                value,
                ttl_ms,
            }
        };
        // Twins write the same key in the same instant: their stamps are equal and their values are not.
        if let (true, Event::Put { map, key, .. }) = (twin, &event) {
            let event = Event::Put {
                client: 1 - client,
                map: map.clone(),
                key: key.clone(),
                value: 1_000_000 + value,
                ttl_ms: None,
            };
            entries.push(Entry { at_us, event });
        }
        entries.push(Entry { at_us, event });
    }
}

/// In some seeds a wall clock is set a minute wrong and put right a little later, as an operator or a bad time server does, with a
/// restart or without; a value that is read meanwhile, and has a time to live, is read again.
fn clock_put_right(header: &Header, root: &SeededRng, entries: &mut Vec<Entry>) {
    let rng = &mut root.fork("plan clock put right", 0);
    if !rng.chance(200) {
        return;
    }
    let (start_us, for_us) = (rng.below(header.heal_us), rng.between(100_000, 600_000));
    let (node, client) = (rng.below(header.nodes) as usize, rng.below(header.clients) as usize);
    let key = format!("k{}", rng.below(3));
    let event = Event::Put {
        client,
        map: "m0".into(),
        key: key.clone(),
        value: 2_000_000,
        ttl_ms: Some(rng.between(2_000, 60_000)),
    };
    let at_us = start_us.saturating_sub(for_us);
    entries.push(Entry { at_us, event });
    if rng.chance(500) {
        let (at_us, for_us) = (start_us + for_us + 1_000, for_us / 8);
        let event = Event::Crash { node, for_us };
        entries.push(Entry { at_us, event });
    }
    for (at_us, by_ms) in [(start_us, 60_000), (start_us + for_us, -60_000)] {
        let event = Event::Jump { node, by_ms };
        entries.push(Entry { at_us, event });
        for turn in 1..4 {
            let event = Event::Get {
                client,
                map: "m0".into(),
                key: key.clone(),
            };
            entries.push(Entry {
                at_us: at_us + turn * for_us / 4,
                event,
            });
        }
    }
}

/// What the clients watch, in some seeds: from early on, or from in between.
fn watches(header: &Header, root: &SeededRng, entries: &mut Vec<Entry>) {
    let rng = &mut root.fork("plan watches", 0);
    if !rng.chance(500) {
        return;
    }
    for _ in 0..rng.between(1, 6) {
        let low = rng.below(150);
        let high = low + rng.below(100);
        let filter = match rng.below(5) {
            0 => Filter::All,
            1 => Filter::Above(low),
            2 => Filter::Between(low, high),
            3 => Filter::Outside(low, high),
            _ => Filter::NotKey(format!("k{}", rng.below(3))),
        };
        let watch = Watch {
            map: format!("m{}", rng.below(2)),
            filter,
            order: pick(rng, &[Order::Key, Order::Up, Order::Down]),
            limit: pick(rng, &[0, 0, 1, 3]),
        };
        let client = rng.below(header.clients) as usize;
        let at_us = if rng.chance(500) { 0 } else { rng.below(header.heal_us) };
        entries.push(Entry {
            at_us,
            event: Event::Watch { client, watch },
        });
    }
}

/// Each kind of fault is on in some seeds, and then often.
fn faults(header: &Header, root: &SeededRng, entries: &mut Vec<Entry>) {
    type Make = fn(&Header, &mut SeededRng, u64) -> Vec<Event>;
    let kinds: [(&str, u64, &[u64], Make); 9] = [
        ("plan partitions", 500, &[1, 3, 8], partition),
        ("plan crashes", 500, &[1, 4, 15], crash),
        ("plan stops", 200, &[1, 3], stop),
        ("plan jumps", 300, &[1, 5], jump),
        ("plan failing commits", 350, &[1, 5, 20], fail_commit),
        ("plan failing applies", 300, &[1, 10], fail_apply),
        ("plan full disks", 250, &[1, 4], full),
        ("plan slow disks", 300, &[1, 4], slow),
        ("plan offline clients", 400, &[1, 4], offline),
    ];
    for (purpose, permille, counts, make) in kinds {
        let rng = &mut root.fork(purpose, 0);
        if !rng.chance(permille) {
            continue;
        }
        for _ in 0..pick(rng, counts) {
            let at_us = rng.below(header.heal_us);
            let longest_us = pick(rng, &[50_000, 1_000_000, header.heal_us]);
            let for_us = rng.between(1_000, longest_us);
            let events = make(header, rng, for_us);
            entries.extend(events.into_iter().map(|event| Entry { at_us, event }));
        }
    }
}

fn node(header: &Header, rng: &mut SeededRng) -> usize {
    rng.below(header.nodes) as usize
}

/// One side of the cluster, clients included, cannot reach the other; or cannot be reached by it; or both.
fn partition(header: &Header, rng: &mut SeededRng, for_us: u64) -> Vec<Event> {
    let nodes = (0..header.nodes as usize).map(Endpoint::Node);
    let clients = (0..header.clients as usize).map(Endpoint::Client);
    let sides: Vec<(Endpoint, bool)> = nodes.chain(clients).map(|end| (end, rng.chance(500))).collect();
    let (there, back) = pick(rng, &[(true, true), (true, true), (true, false), (false, true)]);
    let mut events = Vec::new();
    for &(from, left) in &sides {
        for &(to, right) in &sides {
            let cut = (left && !right && there) || (!left && right && back);
            let linked = matches!(from, Endpoint::Node(_)) || matches!(to, Endpoint::Node(_));
            if cut && linked {
                events.push(Event::Block { from, to, for_us });
            }
        }
    }
    events
}

/// One node, or now and then all of them at once.
fn crash(header: &Header, rng: &mut SeededRng, for_us: u64) -> Vec<Event> {
    match rng.chance(150) {
        true => (0..header.nodes as usize)
            .map(|node| Event::Crash { node, for_us })
            .collect(),
        false => vec![Event::Crash {
            node: node(header, rng),
            for_us,
        }],
    }
}

fn stop(header: &Header, rng: &mut SeededRng, for_us: u64) -> Vec<Event> {
    vec![Event::Stop {
        node: node(header, rng),
        for_us,
    }]
}

fn jump(header: &Header, rng: &mut SeededRng, _for_us: u64) -> Vec<Event> {
    let most_ms = pick(rng, &[50, 5_000, 40_000]);
    let by_ms = rng.between(0, 2 * most_ms) as i64 - most_ms as i64;
    vec![Event::Jump {
        node: node(header, rng),
        by_ms,
    }]
}

fn fail_commit(header: &Header, rng: &mut SeededRng, _for_us: u64) -> Vec<Event> {
    vec![Event::FailCommit {
        node: node(header, rng),
    }]
}

fn fail_apply(header: &Header, rng: &mut SeededRng, _for_us: u64) -> Vec<Event> {
    vec![Event::FailApply {
        node: node(header, rng),
    }]
}

fn full(header: &Header, rng: &mut SeededRng, for_us: u64) -> Vec<Event> {
    vec![Event::Full {
        node: node(header, rng),
        for_us,
    }]
}

fn slow(header: &Header, rng: &mut SeededRng, for_us: u64) -> Vec<Event> {
    let (node, factor) = (node(header, rng), pick(rng, &[5, 50]));
    vec![Event::Slow { node, factor, for_us }]
}

fn offline(header: &Header, rng: &mut SeededRng, for_us: u64) -> Vec<Event> {
    vec![Event::Offline {
        client: rng.below(header.clients) as usize,
        for_us,
    }]
}
