//! The five rules of order between a machine and its host, one story each: kept over fixed seeds whatever fails, and
//! seen to be broken as soon as a host or a machine breaks them.

use std::collections::VecDeque;

use bytes::Bytes;
use kernel::env::{ConnId, Now, Ticket};
use kernel::machine::{Commit, Envelope, Fetch, Fetched, Input, Machine, Output};
use sim::disk::DiskProfile;
use sim::host::Rules;
use sim::invariant::{Invariant, of_the_contract};
use sim::network::NetInput;
use sim::world::{Happening, Setup, World};

const SEEDS: std::ops::Range<u64> = 0..40;

/// Writes down bytes and shows the one written last. `+n` is answered `+n` once it is on disk, `?` with `?n`.
struct Ledger {
    flaw: Option<Flaw>,
    ticket: Ticket,
    next_entry: u64,
    last: u8,
    /// The connections of the commits in flight, in order.
    waiting: VecDeque<ConnId>,
    ready: bool,
}

/// How a ledger can break a rule.
#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    /// Answers a question at once, while earlier answers still wait.
    OvertakesItself,
    /// Tells others what is not yet on disk.
    ShowsTooEarly,
}

impl Ledger {
    fn new(flaw: Option<Flaw>) -> Self {
        let (ticket, next_entry, last) = (Ticket(0), 1, 0);
        Self {
            flaw,
            ticket,
            next_entry,
            last,
            waiting: VecDeque::new(),
            ready: false,
        }
    }

    fn commit(&mut self, entry: Option<(u64, Bytes)>, conn: ConnId, frame: Bytes, out: &mut Output) {
        self.ticket = self.ticket.next();
        self.waiting.push_back(conn);
        out.commit = Some(Commit {
            ticket: self.ticket,
            entry,
            envelopes: vec![Envelope { conn, frame }],
        });
    }

    fn fetch(&mut self, fetch: Fetch, out: &mut Output) {
        self.ticket = self.ticket.next();
        out.fetch.push((self.ticket, fetch));
    }
}

impl Machine for Ledger {
    fn step(&mut self, _now: Now, input: Input<'_>, out: &mut Output) {
        match input {
            Input::Boot { .. } => self.fetch(Fetch::Recover, out),
            Input::Committed { result, .. } => {
                self.waiting.pop_front();
                if result.is_err() && std::mem::take(&mut self.ready) {
                    self.fetch(Fetch::Recover, out);
                }
            }
            Input::Fetched { result, .. } => match result.expect("reads do not fail here") {
                Fetched::Recovered { .. } => {
                    let limit_bytes = usize::MAX;
                    self.fetch(Fetch::Log { from: 1, limit_bytes }, out);
                }
                Fetched::Log { entries, .. } => {
                    let last = entries.last();
                    self.next_entry = last.map_or(1, |(number, _)| number + 1);
                    self.last = last.map_or(0, |(_, entry)| entry[0]);
                    self.ready = true;
                }
                Fetched::Records { .. } => unreachable!("a ledger has no records"),
            },
            Input::Received {
                conn,
                frame: &[b'+', n],
            } if self.ready => {
                let entry = (self.next_entry, Bytes::from(vec![n]));
                self.next_entry += 1;
                self.last = n;
                self.commit(Some(entry), conn, Bytes::from(vec![b'+', n]), out);
            }
            Input::Received { conn, frame: b"?" } if self.ready => {
                let frame = Bytes::from(vec![b'?', self.last]);
                let overtakes = self.flaw == Some(Flaw::OvertakesItself);
                let early = self.flaw == Some(Flaw::ShowsTooEarly) && !self.waiting.contains(&conn);
                if self.waiting.is_empty() || overtakes || early {
                    out.send.push(Envelope { conn, frame });
                } else {
                    self.commit(None, conn, frame, out);
                }
            }
            _ => {}
        }
    }
}

/// One ledger and two clients: one writes and asks, the other only asks. The disk fails once, and the node crashes once.
#[derive(Clone, Copy, Default)]
struct Story {
    rules: Rules,
    flaw: Option<Flaw>,
    forgets_failures: bool,
}

/// What the clients were told, and what was there at the end.
struct Ending {
    broken: Option<&'static str>,
    told: Vec<[u8; 2]>,
    log: Vec<u8>,
}

impl Ending {
    /// What a client heard of and the disk has not.
    fn lost(&self, kind: u8) -> usize {
        let lost = |word: &&[u8; 2]| word[0] == kind && word[1] != 0 && !self.log.contains(&word[1]);
        self.told.iter().filter(lost).count()
    }
}

impl Story {
    fn play_under(self, seed: u64, invariants: Vec<Box<dyn Invariant>>) -> Ending {
        const WRITER: usize = 0;
        const CRASH: u64 = 1_000;
        let mut setup = Setup::new(seed, 1);
        setup.rules = self.rules;
        setup.disk = DiskProfile {
            sync_us: (500, 5_000),
            forgets_failures: self.forgets_failures,
            ..DiskProfile::default()
        };
        let factory = Box::new(move |_, _| Ledger::new(self.flaw));
        let mut world = World::new(setup, factory, invariants);
        world.boot(0);
        for client in 0..2 {
            world.client_up(client);
            world.client_dial(client, 0);
        }
        for turn in 1..=200 {
            world.schedule(10_000 + turn * 300, turn);
        }
        world.schedule(40_000 + seed * 137, CRASH);

        let (mut conns, mut told) = ([None; 2], vec![]);
        while let Some(happening) = world.next(1_000_000) {
            match happening {
                Happening::Due(CRASH) => {
                    world.crash(0);
                    world.boot(0);
                }
                Happening::Due(turn) => {
                    if turn == 60 {
                        world.host_mut(0).disk_mut().fail_next_commit();
                    }
                    for (client, conn) in conns.iter().enumerate() {
                        let ask = turn % 3 == 0 || client != WRITER;
                        let word = if ask { vec![b'?'] } else { vec![b'+', turn as u8] };
                        if let Some(conn) = *conn {
                            world.client_send(client, conn, Bytes::from(word));
                        }
                    }
                }
                Happening::Client(client, NetInput::Opened(conn, ..)) => conns[client] = Some(conn),
                Happening::Client(client, NetInput::Closed(_)) => {
                    conns[client] = None;
                    world.client_dial(client, 0);
                }
                Happening::Client(_, NetInput::Received(_, frame)) => told.push([frame[0], frame[1]]),
                Happening::Client(..) => {}
            }
        }
        Ending {
            broken: world.broken().map(|violation| violation.invariant),
            told,
            log: world.hosts()[0].disk().log().values().map(|entry| entry[0]).collect(),
        }
    }

    fn play(self, seed: u64) -> Ending {
        self.play_under(seed, of_the_contract())
    }

    /// In how many of the seeds `name` sees itself broken, when it alone watches.
    fn breaks(self, name: &str) -> usize {
        let watch = || {
            of_the_contract()
                .into_iter()
                .filter(|invariant| invariant.name() == name)
        };
        assert_eq!(watch().count(), 1, "{name}");
        SEEDS
            .filter(|seed| self.play_under(*seed, watch().collect()).broken.is_some())
            .count()
    }
}

#[test]
fn persist_before_you_speak() {
    for seed in SEEDS {
        let ending = Story::default().play(seed);
        assert_eq!(ending.broken, None, "seed {seed}");
        assert_eq!(ending.lost(b'+'), 0, "seed {seed}: every acknowledged entry is there");
        assert!(
            ending.told.len() > 100,
            "seed {seed}: something was said: {}",
            ending.told.len()
        );
    }
    let hasty = Story {
        rules: Rules {
            persist_before_speak: false,
            ..Rules::default()
        },
        ..Story::default()
    };
    assert_eq!(hasty.breaks("persist-before-speak"), SEEDS.count());
}

#[test]
fn tickets_in_order() {
    assert_eq!(Story::default().breaks("tickets-in-order"), 0);
    let confused = Story {
        rules: Rules {
            tickets_in_order: false,
            ..Rules::default()
        },
        ..Story::default()
    };
    assert_eq!(confused.breaks("tickets-in-order"), SEEDS.count());
}

#[test]
fn a_failed_commit_fails_the_later_ones() {
    let forgetful = Story {
        forgets_failures: true,
        ..Story::default()
    };
    // Where nothing was in flight behind it there was nothing to fail.
    assert!(forgetful.breaks("failed-commit") > SEEDS.count() / 2);
}

#[test]
fn replies_in_order_across_send_and_commit() {
    let overtaking = Story {
        flaw: Some(Flaw::OvertakesItself),
        ..Story::default()
    };
    assert_eq!(overtaking.breaks("replies-in-order"), SEEDS.count());
}

#[test]
fn nothing_is_shown_before_it_is_durable() {
    let mut seen_lost = 0;
    for seed in SEEDS {
        assert_eq!(
            Story::default().play(seed).lost(b'?'),
            0,
            "seed {seed}: what was shown is there"
        );
        let leaky = Story {
            flaw: Some(Flaw::ShowsTooEarly),
            ..Story::default()
        };
        let ending = leaky.play(seed);
        assert_eq!(ending.broken, None, "no host can see this one");
        seen_lost += usize::from(ending.lost(b'?') > 0);
    }
    assert!(seen_lost > SEEDS.count() / 4, "seeds in which it is seen: {seen_lost}");
}
