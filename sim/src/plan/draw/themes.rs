//! Some seeds have a theme: a few things that are rare alone, and that only together show a bug, happen in them on purpose and often.
//!
//! Swarm testing draws each thing by itself; what needs three of them at once, and in the right order, it meets too seldom.

use kernel::wire::{Consistency, ReadConsistency};

use super::pick;
use crate::endpoint::Endpoint;
use crate::plan::{Entry, Event, FaultKind, Header, On};
use crate::streams::Draw;
use crate::watch::{Filter, Order, Watch};

/// What a seed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    /// Little may be unsent, links are slow, and answers are lost to commits that fail.
    FullLines,
    /// Keys are written again while the flush that holds their older version fails.
    FailingFlushes,
    /// A client follows a clock that is far ahead of the other nodes'.
    ClocksApart,
    /// Commits fail while somebody watches what they change.
    WatchedFailures,
    /// The clocks are put back by an hour, and then connections break.
    ClocksPutBack,
    /// Connections between nodes are gone at one end only, also when everything else is healed.
    HalfOpenLinks,
    /// Nodes that do not answer for a while are removed, and there again later. Nothing else goes wrong, or nobody would be given up: those
    /// who are left have to agree on it.
    GivenUp,
    /// Nodes leave as they are told to, and join anew.
    Comings,
}

/// Whether the seed has one, and what its header is like then.
pub(super) fn draw(header: &mut Header, rng: &mut Draw) -> Option<Theme> {
    if !rng.chance(250) {
        return None;
    }
    let theme = pick(
        rng,
        &[
            Theme::FullLines,
            Theme::FullLines,
            Theme::FailingFlushes,
            Theme::ClocksApart,
            Theme::WatchedFailures,
            Theme::ClocksPutBack,
            Theme::HalfOpenLinks,
        ],
    );
    match theme {
        Theme::FullLines => {
            header.unsent_bytes = pick(rng, &[100, 400, 2_000]);
            header.bytes_per_ms = pick(rng, &[50, 100]);
            header.client_batch = pick(rng, &[1, 1, 3]);
            all_stay(header);
        }
        Theme::FailingFlushes => {
            header.apply_bytes = pick(rng, &[100, 1_000]);
            header.apply_delay_ms = pick(rng, &[5, 100]);
            header.sync_us = (20_000, 200_000);
        }
        Theme::ClocksApart => {
            let ahead_ms = rng.between((40_000, 55_000)) as i64;
            header.skew_ms.iter_mut().for_each(|skew_ms| *skew_ms = -ahead_ms);
            header.client_skew_ms.iter_mut().for_each(|skew_ms| *skew_ms = 0);
            header.skew_ms[0] = ahead_ms;
            header.client_skew_ms[0] = 2 * ahead_ms;
        }
        Theme::WatchedFailures => all_stay(header),
        Theme::ClocksPutBack | Theme::HalfOpenLinks | Theme::GivenUp | Theme::Comings => {}
    }
    Some(theme)
}

/// Whether the seed, which has no other theme, is about nodes that are removed; and what its header is like then.
pub(super) fn given_up(header: &mut Header, rng: &mut Draw) -> Option<Theme> {
    if header.nodes < 4 || !rng.chance(300) {
        return None;
    }
    header.remove_after_ms = pick(rng, &[300, 1_000]);
    header.heal_us = header.heal_us.max(8_000_000);
    Some(Theme::GivenUp)
}

/// Whether the seed, which has no other theme, is about nodes that come and go; and what its header is like then.
pub(super) fn comings(header: &mut Header, rng: &mut Draw) -> Option<Theme> {
    if header.nodes < 3 || header.dead > 0 || !rng.chance(150) {
        return None;
    }
    header.heal_us = header.heal_us.max(8_000_000);
    header.converge_us = header.converge_us.max(120_000_000);
    Some(Theme::Comings)
}

/// Connections that lose nothing, by which everybody may be told of changes: what who watches holds is compared only then.
fn all_stay(header: &mut Header) {
    header.ordered = true;
    header.exchanges = 0;
    header.impostors = 0;
}

/// Adds what happens by a theme.
pub(super) fn entries(theme: Theme, header: &Header, rng: &mut Draw, entries: &mut Vec<Entry>) {
    let mut story = Story { header, rng, entries };
    match theme {
        Theme::FullLines => story.full_lines(),
        Theme::FailingFlushes => story.failing_flushes(),
        Theme::ClocksApart => story.clocks_apart(),
        Theme::WatchedFailures => story.watched_failures(),
        Theme::ClocksPutBack => story.clocks_put_back(),
        Theme::HalfOpenLinks => story.half_open_links(),
        Theme::GivenUp => story.given_up(),
        Theme::Comings => story.comings(),
    }
}

/// Adds what tombstones are for: some keys are written, deleted and read all the time, by clients that come and go.
pub(super) fn settling(header: &Header, rng: &mut Draw, entries: &mut Vec<Entry>) {
    let mut story = Story { header, rng, entries };
    for turn in 0..60 {
        let (at_us, client, key) = (story.moment_us(), story.client(), story.rng.below(4));
        match story.rng.below(5) {
            0 | 1 => story.delete(at_us, client, key),
            2 => story.get(at_us, client, key),
            _ => story.put(at_us, client, key, turn),
        }
    }
    // A node is away meanwhile, or comes back with an old disk.
    if story.rng.chance(500) {
        let (at_us, node) = (story.rng.below(header.heal_us / 2), story.node());
        let kind = pick(story.rng, &[FaultKind::OldDisk, FaultKind::Stop]);
        // For so long that what is deleted in the meantime is collected by those who are there.
        let for_us = (3 * header.offline_horizon_ms + 5_000) * 1_000;
        story.add(at_us, Event::Fault(kind.on_node(node).for_us(for_us)));
    }
    // Away with what was written before, for longer than that is welcome.
    for client in 0..header.clients as usize {
        let (at_us, key) = (story.moment_us(), story.rng.below(4));
        let away = FaultKind::Offline
            .on(On::Client(client))
            .for_us(header.offline_horizon_ms * 2_000);
        story.add(at_us, Event::Fault(away));
        story.put(at_us + 1_000, client, key, 5_000 + client as u64);
    }
}

struct Story<'s> {
    header: &'s Header,
    rng: &'s mut Draw,
    entries: &'s mut Vec<Entry>,
}

impl Story<'_> {
    fn full_lines(&mut self) {
        self.watch_all();
        for _ in 0..12 {
            let (start_us, client) = (self.moment_us(), self.client());
            let node = self.node();
            if self.rng.chance(300) {
                let other = Endpoint::Client(self.client());
                let link = FaultKind::SlowLink.on(On::Link(Endpoint::Node(node), other));
                self.add(start_us, Event::Fault(link.by(20).for_us(400_000)));
            }
            for number in 0..12 {
                let at_us = start_us + number * 2_000;
                match number % 3 {
                    0 => self.put(at_us, client, number, 1_000 + number),
                    1 => self.get(at_us, client, number),
                    _ => self.put(at_us, client, number, number),
                }
            }
            for _ in 0..self.rng.below(4) {
                let at_us = start_us + self.rng.below(24_000);
                self.add(at_us, Event::Fault(FaultKind::FailCommit.on_node(node)));
            }
        }
    }

    fn failing_flushes(&mut self) {
        for series in 0..12 {
            let (start_us, client) = (self.moment_us(), self.client());
            for turn in 0..8 {
                self.put(start_us + turn * 40_000, client, series, 1_000 * series + turn);
            }
            for node in 0..self.header.nodes as usize {
                let at_us = start_us + self.rng.below(320_000);
                self.add(at_us, Event::Fault(FaultKind::FailApply.on_node(node)));
            }
        }
    }

    /// The first client's home is the node that is ahead: there its writes are taken, and from there they go to the others.
    fn clocks_apart(&mut self) {
        for number in 0..20 {
            let at_us = self.moment_us();
            self.put(at_us, 0, number, number);
        }
    }

    fn watched_failures(&mut self) {
        self.watch_all();
        for turn in 0..80 {
            let (at_us, client, key) = (self.moment_us(), self.client(), self.rng.below(3));
            match self.rng.below(3) {
                0 => self.add(
                    at_us,
                    Event::Delete {
                        client,
                        map: "m0".into(),
                        key: format!("k{key}"),
                        level: Consistency::default(),
                    },
                ),
                1 => self.put(at_us, client, key, turn),
                _ => self.put(at_us, client, key, 1_000 + turn),
            }
            if self.rng.chance(200) {
                let node = self.node();
                self.add(at_us, Event::Fault(FaultKind::FailCommit.on_node(node)));
            }
        }
    }

    fn clocks_put_back(&mut self) {
        let at_us = self.header.heal_us / 2 + self.rng.below(self.header.heal_us / 2);
        for node in 0..self.header.nodes as usize {
            self.add(at_us, Event::Fault(FaultKind::Jump.on_node(node).by(-3_600_000)));
        }
        for (one, other) in self.pairs() {
            self.add(at_us + 10_000, Event::Fault(FaultKind::Cut.on(On::Link(one, other))));
        }
    }

    fn half_open_links(&mut self) {
        let last_us = self.header.heal_us - 1_000;
        for (one, other) in self.pairs() {
            let earlier_us = self.moment_us();
            let (knows, does_not) = if self.rng.chance(500) {
                (one, other)
            } else {
                (other, one)
            };
            for at_us in [earlier_us, last_us] {
                let fault = FaultKind::HalfOpen.on(On::Link(knows, does_not));
                self.add(at_us, Event::Fault(fault));
            }
        }
    }

    /// One after the other, as long as there is time: it is down, or cut off with whoever is connected with it.
    fn given_up(&mut self) {
        let mut at_us = 1_000_000 + self.rng.below(1_500_000);
        while at_us + 1_000_000 < self.header.heal_us {
            let (node, for_us) = (self.node(), self.rng.between((2_500_000, 5_000_000)));
            if self.rng.chance(500) {
                let kind = pick(self.rng, &[FaultKind::Crash, FaultKind::Stop]);
                self.add(at_us, Event::Fault(kind.on_node(node).for_us(for_us)));
            } else {
                for other in (0..self.header.nodes as usize).filter(|other| *other != node) {
                    for (one, other) in [(node, other), (other, node)] {
                        let link = On::Link(Endpoint::Node(one), Endpoint::Node(other));
                        self.add(at_us, Event::Fault(FaultKind::Block.on(link).for_us(for_us)));
                    }
                }
            }
            at_us += for_us + self.rng.below(1_000_000);
        }
    }

    /// Once all have come, one after the other, or two at once.
    fn comings(&mut self) {
        let mut at_us = 1_000_000 + self.rng.below(1_000_000);
        while at_us < self.header.heal_us {
            let (node, for_us) = (self.node(), self.rng.between((500_000, 3_000_000)));
            self.add(at_us, Event::Fault(FaultKind::Leave.on_node(node).for_us(for_us)));
            at_us += self.rng.below(2 * for_us);
        }
    }

    /// Each client watches, most of them what a change of a value moves in and out.
    fn watch_all(&mut self) {
        for client in 0..self.header.clients as usize {
            let watch = Watch {
                map: "m0".into(),
                filter: match self.rng.chance(300) {
                    true => Filter::All,
                    false => Filter::Above(500),
                },
                order: pick(self.rng, &[Order::Key, Order::Up, Order::Down]),
                limit: pick(self.rng, &[0, 0, 3]),
            };
            self.add(0, Event::Watch { client, watch });
        }
    }

    fn pairs(&self) -> Vec<(Endpoint, Endpoint)> {
        let nodes = self.header.nodes as usize;
        let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        pairs.map(|(a, b)| (Endpoint::Node(a), Endpoint::Node(b))).collect()
    }

    fn moment_us(&mut self) -> u64 {
        self.rng.below(self.header.heal_us)
    }

    fn node(&mut self) -> usize {
        self.rng.below(self.header.nodes) as usize
    }

    fn client(&mut self) -> usize {
        self.rng.below(self.header.clients) as usize
    }

    fn put(&mut self, at_us: u64, client: usize, key: u64, value: u64) {
        let (map, key) = ("m0".into(), format!("k{key}"));
        let event = Event::Put {
            client,
            map,
            key,
            value,
            ttl_ms: None,
            level: Consistency::default(),
        };
        self.add(at_us, event);
    }

    fn delete(&mut self, at_us: u64, client: usize, key: u64) {
        let (map, key) = ("m0".into(), format!("k{key}"));
        let level = Consistency::default();
        self.add(
            at_us,
            Event::Delete {
                client,
                map,
                key,
                level,
            },
        );
    }

    fn get(&mut self, at_us: u64, client: usize, key: u64) {
        let (map, key) = ("m0".into(), format!("k{key}"));
        self.add(
            at_us,
            Event::Get {
                client,
                map,
                key,
                level: ReadConsistency::default(),
            },
        );
    }

    fn add(&mut self, at_us: u64, event: Event) {
        self.entries.push(Entry { at_us, event });
    }
}
