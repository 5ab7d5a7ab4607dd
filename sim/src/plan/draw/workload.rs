//! What the clients of a drawn plan do.

use kernel::wire::{Consistency, ReadConsistency};

use super::pick;
use crate::plan::{Ask, Entry, Event, FaultKind, Header};
use crate::streams::Streams;
use crate::watch::{Filter, Order, Watch};

/// What the clients do. Few keys, so that they meet.
pub(super) fn operations(header: &Header, streams: &Streams, entries: &mut Vec<Entry>) {
    let rng = &mut streams.at(0, 0);
    let keys = pick(rng, &[1, 3, 10, 40]);
    let maps = pick(rng, &[1, 2]);
    let ops = rng.between((20, 200));
    let (deletes, gets) = (pick(rng, &[0, 100, 400]), pick(rng, &[0, 200, 500]));
    let bursts = rng.chance(300);
    let (brief_permille, longest_ms) = (pick(rng, &[0, 0, 100, 500]), pick(rng, &[500, 2_000, 20_000]));
    // What stands in braces routes a key: in some seeds all of them share a partition, and its summaries have many rows.
    let routed = streams.at(2, 0).chance(250);
    let named = |number: u64| match routed {
        true => format!("k{number}{{r}}"),
        false => format!("k{number}"),
    };
    let mut at_us = 0;
    for value in 1..=ops {
        let rng = &mut streams.at(1, value);
        if !bursts || rng.chance(100) {
            at_us = rng.below(header.heal_us);
        }
        let client = rng.below(header.clients) as usize;
        let (map, key) = (format!("m{}", rng.below(maps)), named(rng.below(keys)));
        let twin = client < header.twins as usize;
        let event = if rng.chance(gets) {
            Event::Get {
                client,
                map,
                key,
                level: ReadConsistency::default(),
            }
        } else if rng.chance(deletes) {
            Event::Delete {
                client,
                map,
                key,
                level: Consistency::default(),
            }
        } else {
            let ttl_ms = rng.chance(brief_permille).then(|| rng.between((20, longest_ms)));
            Event::Put {
                client,
                map,
                key,
                value,
                ttl_ms,
                level: Consistency::default(),
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
                level: Consistency::default(),
            };
            entries.push(Entry { at_us, event });
        }
        entries.push(Entry { at_us, event });
    }
}

/// In some seeds a wall clock is set a minute wrong and put right a little later, as an operator or a bad time server does, with a
/// restart or without; a value that is read meanwhile, and has a time to live, is read again.
pub(super) fn clock_put_right(header: &Header, streams: &Streams, entries: &mut Vec<Entry>) {
    let rng = &mut streams.at(0, 0);
    if !rng.chance(200) {
        return;
    }
    let (start_us, for_us) = (rng.below(header.heal_us), rng.between((100_000, 600_000)));
    let (node, client) = (rng.below(header.nodes) as usize, rng.below(header.clients) as usize);
    let key = format!("k{}", rng.below(3));
    let event = Event::Put {
        client,
        map: "m0".into(),
        key: key.clone(),
        value: 2_000_000,
        ttl_ms: Some(rng.between((2_000, 60_000))),
        level: Consistency::default(),
    };
    let at_us = start_us.saturating_sub(for_us);
    entries.push(Entry { at_us, event });
    if rng.chance(500) {
        let (at_us, for_us) = (start_us + for_us + 1_000, for_us / 8);
        let event = Event::Fault(FaultKind::Crash.on_node(node).for_us(for_us));
        entries.push(Entry { at_us, event });
    }
    for (at_us, by_ms) in [(start_us, 60_000), (start_us + for_us, -60_000)] {
        let event = Event::Fault(FaultKind::Jump.on_node(node).by(by_ms));
        entries.push(Entry { at_us, event });
        for turn in 1..4 {
            let event = Event::Get {
                client,
                map: "m0".into(),
                key: key.clone(),
                level: ReadConsistency::default(),
            };
            entries.push(Entry {
                at_us: at_us + turn * for_us / 4,
                event,
            });
        }
    }
}

/// Locks that clients ask for, in some seeds: few, so that they meet.
pub(super) fn locks(header: &Header, streams: &Streams, entries: &mut Vec<Entry>) {
    let rng = &mut streams.at(0, 0);
    if !rng.chance(300) {
        return;
    }
    let locks = pick(rng, &[1, 2]);
    for number in 0..rng.between((5, 40)) {
        let rng = &mut streams.at(1, number);
        let at_us = rng.below(header.heal_us);
        let event = Event::Register {
            client: rng.below(header.clients) as usize,
            name: format!("l{}", rng.below(locks)),
            ask: Ask::Lock {
                ttl_ms: pick(rng, &[50, 300, 800, 20_000]),
            },
        };
        entries.push(Entry { at_us, event });
    }
}

/// Definitions that clients set and ask for, in some seeds: of few names, and often at about the same time.
pub(super) fn definitions(header: &Header, streams: &Streams, entries: &mut Vec<Entry>) {
    let rng = &mut streams.at(0, 0);
    if !rng.chance(300) {
        return;
    }
    let (names, together) = (pick(rng, &[1, 2]), rng.between((1, 4)));
    let mut at_us = 0;
    for number in 0..rng.between((5, 40)) {
        let rng = &mut streams.at(1, number);
        at_us = match number % together {
            0 => rng.below(header.heal_us),
            _ => at_us + rng.below(2_000),
        };
        let event = Event::Register {
            client: rng.below(header.clients) as usize,
            name: format!("d{}", rng.below(names)),
            ask: pick(rng, &[Ask::Define, Ask::Swap, Ask::Swap, Ask::Look]),
        };
        entries.push(Entry { at_us, event });
    }
}

/// What the clients watch, in some seeds: from early on, or from in between.
pub(super) fn watches(header: &Header, streams: &Streams, entries: &mut Vec<Entry>) {
    let rng = &mut streams.at(0, 0);
    if !rng.chance(500) {
        return;
    }
    for number in 0..rng.between((1, 6)) {
        let rng = &mut streams.at(1, number);
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
