//! Lies about what a database holds and shows.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use kernel::env::{Limits, Ticket, WriterId};
use kernel::hlc::Stamp;
use kernel::machine::Role;
use kernel::wire::ReadConsistency;
use kernel::wire::server::{ServerMessage, auth_ack, value};
use sim::client::{Found, Said, Talk};
use sim::disk::VirtualDisk;
use sim::invariant::{Departure, Seen, Survivor, Watched, Write};
use sim::model::{State, Version, state_of};

use super::contract::empty_disk;
use super::{Case, Lie, case};

pub fn lies() -> Vec<Case> {
    vec![
        case("acknowledged", "older than what is", more_is_acknowledged),
        case("convergence", "has", one_forgets),
        case("linked", "has a link with", one_is_shut_out),
        case("clock-forward", "rises", logs_again),
        case("logged-once", "moves its records forward", logs_again),
        case("reads-durable", "on its disk", nothing_is_durable),
        case("expired-stays", "never shows again", shows_what_expired),
        case("live-answers", "holds the answer", a_row_too_many),
        case("strangers", "is told nothing", tells_a_stranger),
        case("nothing-invented", "nobody wrote that", answers_with_another_value),
        case("nothing-invented", "nobody wrote that", shows_the_row_of_another_key),
        case("no-resurrection", "stays gone", reads_what_was_deleted),
        case("no-resurrection", "in the end", keeps_what_was_deleted),
        case("spoken-time", "does not go back", speaks_an_old_time),
        case("digest-equality", "equal states", digests_of_their_own),
        case("digest-equality", "different states", digests_that_miss_the_content),
        case("all-answered", "every write is answered", never_says_done),
        case("all-answered", "every read is answered", never_says_found),
    ]
}

/// The same, a little later.
pub fn later(stamp: Stamp) -> Stamp {
    Stamp::new(stamp.millis() + 1, 0, stamp.writer()).expect("a stamp of our time")
}

fn more_is_acknowledged() -> Lie {
    Box::new(|seen, next| match *seen {
        Seen::Acknowledged {
            node,
            write,
            level,
            disk,
        } => {
            let mut write = write.clone();
            write.version.stamp = later(write.version.stamp);
            next(&Seen::Acknowledged {
                node,
                write: &write,
                level,
                disk,
            });
        }
        _ => next(seen),
    })
}

/// Tells the end with the memories changed.
fn in_the_end(seen: &Seen<'_>, next: super::Next<'_>, change: impl Fn(usize, &mut State)) {
    let Seen::Quiet { nodes, views } = seen else {
        return next(seen);
    };
    let mut memories: Vec<State> = nodes.iter().map(|survivor| survivor.memory.clone()).collect();
    memories
        .iter_mut()
        .enumerate()
        .for_each(|(node, memory)| change(node, memory));
    let survivors = nodes.iter().zip(&memories);
    let survivors = survivors.map(|(survivor, memory)| Survivor { memory, ..*survivor });
    let nodes = &survivors.collect::<Vec<_>>();
    next(&Seen::Quiet { nodes, views });
}

fn one_forgets() -> Lie {
    Box::new(|seen, next| {
        in_the_end(seen, next, |node, memory| {
            if node == 0 {
                memory.pop_first();
            }
        });
    })
}

fn one_is_shut_out() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Quiet { nodes, views } => {
            let mut nodes = nodes.to_vec();
            nodes.iter_mut().take(1).for_each(|survivor| survivor.links = Some(&[]));
            next(&Seen::Quiet { nodes: &nodes, views });
        }
        _ => next(seen),
    })
}

/// A disk that has its first log entry once more, at the end.
fn stutters(disk: &VirtualDisk) -> Option<VirtualDisk> {
    let first = disk.log().values().next().filter(|_| disk.is_idle())?;
    let mut disk = disk.clone();
    let number = disk.last_durable() + 1;
    disk.commit(0, Ticket(u64::MAX), Some((number, first.clone())));
    while disk.last_durable() < number {
        disk.poll(disk.next_at_us()?)?;
    }
    Some(disk)
}

fn logs_again() -> Lie {
    Box::new(|seen, next| match *seen {
        Seen::Stepped { step, disk } if disk.log().len() > 3 => {
            let disk = stutters(disk);
            match &disk {
                Some(disk) => next(&Seen::Stepped { step, disk }),
                None => next(seen),
            }
        }
        _ => next(seen),
    })
}

fn nothing_is_durable() -> Lie {
    let empty = empty_disk();
    Box::new(move |seen, next| match *seen {
        Seen::Stepped { step, .. } => next(&Seen::Stepped { step, disk: &empty }),
        Seen::Left(left) => next(&Seen::Left(&Departure { disk: &empty, ..*left })),
        _ => next(seen),
    })
}

fn contains(frame: &[u8], part: &[u8]) -> bool {
    frame.windows(part.len()).any(|window| window == part)
}

/// Once an answer has denied a value that expires, it shows it in the next.
fn shows_what_expired() -> Lie {
    Box::new(|seen, next| {
        next(seen);
        let Seen::Left(left) = seen else { return };
        let message = ServerMessage::decode(left.frame, Limits::default().depth);
        let Ok(ServerMessage::Value { id, found: None, .. }) = message else {
            return;
        };
        for (name, version) in state_of(left.disk).expect("a disk that a kernel wrote") {
            let end = name.iter().position(|byte| *byte == 0).expect("a map and a key");
            let (map, key) = (
                std::str::from_utf8(&name[..end]).expect("a name in text"),
                &name[end + 1..],
            );
            if version.ttl_ms.is_some() && contains(left.frame, map.as_bytes()) && contains(left.frame, key) {
                let frame = value(id, map, key, Some(version.view()), None);
                let given = left.given + 1;
                next(&Seen::Left(&Departure {
                    given,
                    frame: &frame,
                    ..**left
                }));
            }
        }
    })
}

fn a_row_too_many() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Quiet { nodes, views } => {
            let Some(first) = views.first() else { return next(seen) };
            let mut rows = first.rows.clone();
            rows.insert(Bytes::from_static(b"moon"), Bytes::from_static(b"\xc0"));
            let view = Watched { rows: &rows, ..*first };
            next(&Seen::Quiet { nodes, views: &[view] });
        }
        _ => next(seen),
    })
}

fn tells_a_stranger() -> Lie {
    Box::new(|seen, next| {
        next(seen);
        let what = "a value";
        next(&Seen::Intruded { client: 0, what });
    })
}

/// Tells the same, said by the same in the same session.
pub fn says(client: usize, talk: &Talk, said: Said, next: super::Next<'_>) {
    let talk = &Talk { said, ..talk.clone() };
    next(&Seen::Talked { client, talk });
}

fn answers_with_another_value() -> Lie {
    Box::new(|seen, next| match *seen {
        Seen::Talked { client, talk } => {
            let mut said = talk.said.clone();
            if let Said::Found { found: Some(found), .. } = &mut said {
                found.value = Bytes::from_static(b"\xc0");
            }
            says(client, talk, said, next);
        }
        _ => next(seen),
    })
}

fn shows_the_row_of_another_key() -> Lie {
    Box::new(|seen, next| match *seen {
        Seen::Talked { client, talk } => {
            let mut said = talk.said.clone();
            if let Said::Row { key, .. } = &mut said {
                *key = [key, &b"x"[..]].concat().into();
            }
            says(client, talk, said, next);
        }
        _ => next(seen),
    })
}

/// What was written last under each key, before what is written now.
#[derive(Default)]
pub struct Earlier(BTreeMap<Bytes, Vec<Version>>);

impl Earlier {
    pub fn note(&mut self, seen: &Seen<'_>) {
        if let Seen::Wrote(Write { key, version }) = seen {
            self.0.entry(key.clone()).or_default().push(version.clone());
        }
    }

    /// A value that was written before `version`.
    pub fn than(&self, key: &Bytes, version: &Version) -> Option<Version> {
        let written = self.0.get(key).into_iter().flatten();
        let older = written.filter(|older| *older < version && older.value.is_some());
        older.max().cloned()
    }
}

pub fn found(version: &Version) -> Option<Found> {
    Some(Found {
        stamp: version.stamp,
        writer: version.writer.clone(),
        value: version.value.clone()?,
    })
}

/// Somebody asks a quorum for a key, and is shown a version.
pub fn reads(client: usize, talk: &Talk, key: &Bytes, version: &Version, next: super::Next<'_>) {
    let (request, key) = (u64::MAX, key.clone());
    let asks = Said::AsksToRead {
        request,
        key: key.clone(),
        level: ReadConsistency::Quorum,
    };
    says(client, talk, asks, next);
    let found = found(version);
    says(client, talk, Said::Found { request, key, found }, next);
}

fn reads_what_was_deleted() -> Lie {
    let mut earlier = Earlier::default();
    Box::new(move |seen, next| {
        earlier.note(seen);
        next(seen);
        if let Seen::Talked { client, talk } = *seen
            && let Said::Done { write, .. } = &talk.said
            && write.version.value.is_none()
            && let Some(older) = earlier.than(&write.key, &write.version)
        {
            reads(client, talk, &write.key, &older, next);
        }
    })
}

fn keeps_what_was_deleted() -> Lie {
    let mut earlier = Earlier::default();
    Box::new(move |seen, next| {
        earlier.note(seen);
        in_the_end(seen, next, |_, memory| {
            for (key, version) in memory.iter_mut().filter(|(_, version)| version.value.is_none()) {
                if let Some(older) = earlier.than(key, version) {
                    *version = older;
                }
            }
        });
    })
}

fn speaks_an_old_time() -> Lie {
    Box::new(|seen, next| {
        next(seen);
        if let Seen::Left(left) = seen
            && left.role == Role::Client
            && contains(left.frame, b"AUTH_ACK")
        {
            let frame = auth_ack(true, "n0", Stamp::new(1, 0, WriterId(1)).expect("a stamp of old"));
            let given = left.given + 1;
            next(&Seen::Left(&Departure {
                given,
                frame: &frame,
                ..**left
            }));
        }
    })
}

fn digests_of_their_own() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Sampled { holdings } => {
            let mut holdings = holdings.to_vec();
            for holding in &mut holdings {
                holding
                    .digests
                    .iter_mut()
                    .for_each(|digest| *digest ^= holding.node as u128);
            }
            next(&Seen::Sampled { holdings: &holdings });
        }
        _ => next(seen),
    })
}

fn digests_that_miss_the_content() -> Lie {
    Box::new(|seen, next| {
        next(seen);
        if let Seen::Sampled { holdings } = seen {
            let mut holdings = holdings.to_vec();
            let states = holdings.iter_mut().flat_map(|holding| holding.records.values_mut());
            for version in states.flat_map(|state| Rc::make_mut(state).values_mut()) {
                version.value = Some(Bytes::from_static(b"\xc0"));
            }
            next(&Seen::Sampled { holdings: &holdings });
        }
    })
}

fn never_says_done() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Talked { talk, .. } if matches!(talk.said, Said::Done { .. }) => {}
        _ => next(seen),
    })
}

fn never_says_found() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Talked { talk, .. } if matches!(talk.said, Said::Found { .. }) => {}
        _ => next(seen),
    })
}
