//! Lies to clients that stay on one session, and answers that come twice.

use bytes::Bytes;
use kernel::env::WriterId;
use kernel::hlc::Stamp;
use kernel::machine::Input;
use kernel::wire::ReadConsistency;
use sim::client::{Said, TWIN};
use sim::invariant::{Seen, Write};
use sim::model::Version;

use super::database::{Earlier, later, reads, says};
use super::{Case, Lie, case};

pub fn lies() -> Vec<Case> {
    const SESSIONS: &str = "session-guarantees";
    vec![
        case(SESSIONS, "reads its own writes", misses_its_own_write),
        case(SESSIONS, "reads of a session go forward", reads_go_back),
        case(SESSIONS, "found nothing after", finds_nothing),
        case(SESSIONS, "in the order of the writes", acknowledges_the_later_one),
        case(SESSIONS, "stamped in their order", stamps_twice_the_same),
        case(SESSIONS, "writes follow reads", writes_before_what_it_read),
        case("answered-once", "once more than it was asked", || twice(b"OP_ACK")),
        case("answered-once", "once more than it was asked", || twice(b"OP_REJECTED")),
        case("answered-once", "once more than it was asked", || twice(b"VALUE")),
        case(
            "answered-once",
            "once more than it was asked",
            answers_what_nobody_asked,
        ),
        case("answered-once", "an exchange gets one answer", || twice(b"serverHlc")),
    ]
}

fn misses_its_own_write() -> Lie {
    let mut earlier = Earlier::default();
    Box::new(move |seen, next| {
        earlier.note(seen);
        next(seen);
        if let Seen::Talked { client, talk } = *seen
            && let Said::Done { write, .. } = &talk.said
            && let Some(older) = earlier.than(&write.key, &write.version)
        {
            reads(client, talk, &write.key, &older, next);
        }
    })
}

fn reads_go_back() -> Lie {
    let mut earlier = Earlier::default();
    Box::new(move |seen, next| {
        earlier.note(seen);
        next(seen);
        if let Seen::Talked { client, talk } = *seen
            && let Said::Found {
                key,
                found: Some(found),
                ..
            } = &talk.said
            && found.writer != format!("c{client}")
            && found.writer != TWIN
        {
            let read = Version {
                stamp: found.stamp,
                ttl_ms: None,
                value: Some(found.value.clone()),
                writer: found.writer.clone(),
            };
            if let Some(older) = earlier.than(key, &read) {
                reads(client, talk, key, &older, next);
            }
        }
    })
}

fn finds_nothing() -> Lie {
    Box::new(|seen, next| match *seen {
        Seen::Talked { client, talk } => {
            next(seen);
            if let Said::Done { write, .. } = &talk.said {
                let (request, key) = (u64::MAX, write.key.clone());
                let asks = Said::AsksToRead {
                    request,
                    key: key.clone(),
                    level: ReadConsistency::default(),
                };
                says(client, talk, asks, next);
                let found = None;
                says(client, talk, Said::Found { request, key, found }, next);
            }
        }
        _ => next(seen),
    })
}

/// One more write was sent before the others, and nobody ever answers it.
fn acknowledges_the_later_one() -> Lie {
    Box::new(|seen, next| {
        if let Seen::Talked { client, talk } = *seen
            && let Said::AsksToWrite { write, level, .. } = &talk.said
        {
            let (mut write, level) = (write.clone(), *level);
            write.version.stamp = Stamp::new(1, 0, WriterId(1)).expect("a stamp of old");
            says(
                client,
                talk,
                Said::AsksToWrite {
                    request: 0,
                    write,
                    level,
                },
                next,
            );
        }
        next(seen);
    })
}

fn stamps_twice_the_same() -> Lie {
    Box::new(|seen, next| {
        next(seen);
        if let Seen::Talked { client, talk } = *seen
            && let Said::AsksToWrite { write, level, .. } = &talk.said
        {
            let (request, write, level) = (u64::MAX, write.clone(), *level);
            says(client, talk, Said::AsksToWrite { request, write, level }, next);
        }
    })
}

/// Before each write that a client stamps it reads, on its session, something from the future.
fn writes_before_what_it_read() -> Lie {
    let mut told = false;
    Box::new(move |seen, next| {
        let key = Bytes::from_static(b"m0\0future");
        let version = |write: &Write| Version {
            stamp: (0..1_000).fold(write.version.stamp, |stamp, _| later(stamp)),
            ttl_ms: None,
            value: Some(Bytes::from_static(b"\xc0")),
            writer: "somebody".into(),
        };
        next(seen);
        if let Seen::Talked { client, talk } = *seen
            && let Said::Done { write, .. } = &talk.said
            && write.version.writer != TWIN
            && !told
        {
            told = true;
            let version = version(write);
            let (key, write) = (key.clone(), Write { key, version });
            next(&Seen::Wrote(&write));
            reads(client, talk, &key, &write.version, next);
        }
    })
}

/// No query arrives, as far as is told.
fn answers_what_nobody_asked() -> Lie {
    Box::new(|seen, next| match seen {
        Seen::Stepped { step, .. } => match step.input {
            Input::Received { frame, .. } if frame.windows(9).any(|window| window == b"QUERY_SUB") => {}
            _ => next(seen),
        },
        _ => next(seen),
    })
}

/// Frames that contain a word leave twice.
fn twice(word: &'static [u8]) -> Lie {
    Box::new(move |seen, next| {
        next(seen);
        if let Seen::Left(left) = seen
            && left.frame.windows(word.len()).any(|window| window == word)
        {
            next(seen);
        }
    })
}
