//! What befalls the world of a drawn plan: each kind of fault is on in some seeds, and then often.

use kernel::env::SeededRng;

use super::pick;
use crate::endpoint::Endpoint;
use crate::plan::{Entry, Event, Fault, FaultKind, Header, On};
use crate::streams::{Draw, Streams};

/// How many seeds of a thousand have a kind of fault, how often it then happens, and what it is.
type Kind = (&'static str, u64, &'static [u64], Make);

type Make = fn(&Header, &mut Draw, u64) -> Vec<Fault>;

const KINDS: [Kind; 22] = [
    ("partitions", 500, &[1, 3, 8], partition),
    ("clogs", 150, &[1, 5], |header, rng, for_us| {
        vec![FaultKind::Clog.on(link(header, rng)).for_us(for_us)]
    }),
    ("slow links", 150, &[1, 5], slow_link),
    ("cuts", 250, &[1, 5, 20], |header, rng, _| {
        vec![FaultKind::Cut.on(link(header, rng))]
    }),
    ("half-open", 200, &[1, 5], |header, rng, _| {
        vec![FaultKind::HalfOpen.on(link(header, rng))]
    }),
    ("offline clients", 400, &[1, 4], offline),
    ("crashes", 500, &[1, 4, 15], crash),
    ("crashes mid-step", 250, &[1, 4, 15], crash_at),
    ("crash loops", 80, &[1, 2], crash_loop),
    ("stops", 200, &[1, 3], |header, rng, for_us| {
        one(FaultKind::Stop, header, rng, for_us)
    }),
    ("pauses", 200, &[1, 4], |header, rng, for_us| {
        one(FaultKind::Pause, header, rng, for_us)
    }),
    ("older", 60, &[1, 2], |header, rng, for_us| {
        one(FaultKind::Older, header, rng, for_us)
    }),
    ("lost disks", 180, &[1, 2, 3], lost_disk),
    ("lost transactions", 80, &[1, 2], |header, rng, for_us| {
        one(FaultKind::LoseTransaction, header, rng, for_us)
    }),
    ("flipped bits", 80, &[1, 2], |header, rng, for_us| {
        one(FaultKind::Flip, header, rng, for_us)
    }),
    ("failing commits", 350, &[1, 5, 20], |header, rng, _| {
        one(FaultKind::FailCommit, header, rng, 0)
    }),
    ("failing applies", 300, &[1, 10], |header, rng, _| {
        one(FaultKind::FailApply, header, rng, 0)
    }),
    ("failing reads", 250, &[1, 5, 20], |header, rng, _| {
        one(FaultKind::FailRead, header, rng, 0)
    }),
    ("full disks", 250, &[1, 4], |header, rng, for_us| {
        one(FaultKind::Full, header, rng, for_us)
    }),
    ("slow disks", 300, &[1, 4], slow_disk),
    ("jumps", 300, &[1, 5], jump),
    ("frozen clocks", 150, &[1, 3], |header, rng, for_us| {
        one(FaultKind::Freeze, header, rng, for_us)
    }),
];

/// Adds the faults of a seed.
pub(super) fn all(header: &Header, root: &SeededRng, entries: &mut Vec<Entry>) {
    for (purpose, permille, counts, make) in KINDS {
        let streams = Streams::new(root, purpose);
        let rng = &mut streams.at(0, 0);
        if !rng.chance(permille) {
            continue;
        }
        for number in 0..pick(rng, counts) {
            let rng = &mut streams.at(1, number);
            let at_us = rng.below(header.heal_us);
            let longest_us = pick(rng, &[50_000, 1_000_000, header.heal_us]);
            let for_us = rng.between((1_000, longest_us));
            let faults = make(header, rng, for_us).into_iter().map(Event::Fault);
            entries.extend(faults.map(|event| Entry { at_us, event }));
        }
    }
}

fn node(header: &Header, rng: &mut Draw) -> usize {
    rng.below(header.nodes) as usize
}

fn one(kind: FaultKind, header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    vec![kind.on_node(node(header, rng)).for_us(for_us)]
}

/// From one end to another, of which one is a node.
fn link(header: &Header, rng: &mut Draw) -> On {
    let at = node(header, rng);
    let other = match rng.chance(600) && header.nodes > 1 {
        true => Endpoint::Node((at + 1 + rng.below(header.nodes - 1) as usize) % header.nodes as usize),
        false => Endpoint::Client(rng.below(header.clients) as usize),
    };
    match rng.chance(500) {
        true => On::Link(Endpoint::Node(at), other),
        false => On::Link(other, Endpoint::Node(at)),
    }
}

/// Some of the links between nodes carry nothing: in one of four shapes, one way or both. Clients are on one side or the other.
fn partition(header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    let nodes = header.nodes as usize;
    let sides: Vec<bool> = (0..nodes).map(|_| rng.chance(500)).collect();
    let (one, other) = (node(header, rng), node(header, rng));
    // Whether two nodes are kept from each other.
    let apart: &dyn Fn(usize, usize) -> bool = match rng.below(4) {
        // Halves, or whatever parts they are drawn into.
        0 => &|a, b| sides[a] != sides[b],
        // One against all.
        1 => &|a, b| (a == one) != (b == one),
        // A ring: each hears its neighbours and nobody else.
        2 => &|a, b| {
            let distance = a.abs_diff(b);
            distance > 1 && distance < nodes - 1
        },
        // A bridge: the one hears both sides, which do not hear each other.
        _ => &|a, b| a != one && b != one && sides[a] != sides[b],
    };
    let (there, back) = pick(rng, &[(true, true), (true, true), (true, false), (false, true)]);
    let mut faults = Vec::new();
    let mut block = |from: Endpoint, to: Endpoint| faults.push(FaultKind::Block.on(On::Link(from, to)).for_us(for_us));
    for a in 0..nodes {
        for b in a + 1..nodes {
            if apart(a, b) {
                let ends = [
                    (Endpoint::Node(a), Endpoint::Node(b)),
                    (Endpoint::Node(b), Endpoint::Node(a)),
                ];
                ends.into_iter()
                    .zip([there, back])
                    .filter(|(_, cut)| *cut)
                    .for_each(|((from, to), _)| block(from, to));
            }
        }
    }
    for client in 0..header.clients as usize {
        let (client, node) = (Endpoint::Client(client), Endpoint::Node(other));
        if rng.chance(200) {
            block(client, node);
        }
        if rng.chance(200) {
            block(node, client);
        }
    }
    faults
}

fn slow_link(header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    let by = pick(rng, &[5, 50]);
    vec![FaultKind::SlowLink.on(link(header, rng)).by(by).for_us(for_us)]
}

/// One node, or now and then all of them at once.
fn crash(header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    match rng.chance(150) {
        true => (0..header.nodes as usize)
            .map(|node| FaultKind::Crash.on_node(node).for_us(for_us))
            .collect(),
        false => one(FaultKind::Crash, header, rng, for_us),
    }
}

fn crash_at(header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    let by = rng.between((1, 40)) as i64;
    vec![FaultKind::CrashAt.on_node(node(header, rng)).by(by).for_us(for_us)]
}

fn crash_loop(header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    let by = pick(rng, &[300, 2_000, 30_000]);
    let for_us = for_us.min(100 * by as u64);
    vec![FaultKind::CrashLoop.on_node(node(header, rng)).by(by).for_us(for_us)]
}

/// A node comes back without its disk, with an older copy of it, or with a copy of another's.
fn lost_disk(header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    let at = node(header, rng);
    let fault = match rng.below(3) {
        0 => FaultKind::Wipe.on_node(at),
        1 => FaultKind::OldDisk.on_node(at),
        _ => FaultKind::CloneDisk.on(On::Nodes(node(header, rng), at)),
    };
    vec![fault.for_us(for_us)]
}

fn slow_disk(header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    let (at, by) = (node(header, rng), pick(rng, &[5, 50]));
    vec![FaultKind::SlowDisk.on_node(at).by(by).for_us(for_us)]
}

fn jump(header: &Header, rng: &mut Draw, _for_us: u64) -> Vec<Fault> {
    let most_ms = pick(rng, &[50, 5_000, 40_000, 3_600_000]);
    let by = rng.between((0, 2 * most_ms)) as i64 - most_ms as i64;
    vec![FaultKind::Jump.on_node(node(header, rng)).by(by)]
}

fn offline(header: &Header, rng: &mut Draw, for_us: u64) -> Vec<Fault> {
    let client = rng.below(header.clients) as usize;
    vec![FaultKind::Offline.on(On::Client(client)).for_us(for_us)]
}
