use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::env::{ConnId, PeerId, Ticket};
use crate::machine::{Command, ConnKind, Envelope, Fetched, Role, Room, StorageError};

fn head() -> Head<'static> {
    Head {
        build: BUILD.into(),
        node: "n1".into(),
        number: 7,
        limits: Limits {
            depth: 17,
            ..Limits::default()
        },
    }
}

fn now(step: u64) -> Now {
    Now {
        wall_ms: 1_700_000_000_000 + step,
        mono_us: step,
    }
}

/// One of each kind.
fn inputs() -> Vec<Input<'static>> {
    let (conn, ticket, peer) = (ConnId(3), Ticket(9), PeerId(1));
    let kind = ConnKind {
        role: Role::Peer,
        push: true,
        ordered: false,
        frame_bytes: 1 << 20,
    };
    let rows = vec![(Bytes::from_static(b"m\0k"), Bytes::from_static(b"row"))];
    let entries = vec![(8, Bytes::from_static(b"entry"))];
    let room = Room { bytes: 1 << 40 };
    let fetched = [
        Fetched::Recovered {
            applied: 4,
            log: Some((3, 8)),
            room,
        },
        Fetched::Records { rows, done: true },
        Fetched::Log { entries, done: false },
    ];
    let mut all = vec![
        Input::Boot { entropy: [5; 32] },
        Input::Wake,
        Input::Opened {
            conn,
            kind,
            peer: Some(peer),
        },
        Input::DialFailed { peer, reason: "nö" },
        Input::Received {
            conn,
            frame: b"\x81\xa4type\xa4PING",
        },
        Input::Received { conn, frame: b"" },
        Input::Drained { conn, bytes: 12 },
        Input::Closed { conn },
        Input::Committed {
            ticket,
            result: Ok(room),
        },
        Input::Committed {
            ticket,
            result: Err(StorageError::Full),
        },
        Input::Applied { ticket, result: Ok(()) },
        Input::Fetched {
            ticket,
            result: Err(StorageError::Corrupt),
        },
        Input::Command(Command::Drain),
    ];
    all.extend(fetched.map(|fetched| Input::Fetched {
        ticket,
        result: Ok(fetched),
    }));
    all
}

fn output(step: u64) -> Output {
    let frame = Bytes::copy_from_slice(&step.to_be_bytes());
    Output {
        send: vec![Envelope {
            conn: ConnId(step),
            frame,
        }],
        wake: Some(step),
        ..Output::default()
    }
}

fn ended() -> Ended {
    Ended {
        why: Why::Full,
        state: Some([6; 32]),
    }
}

/// A segment with one step of each kind, and where each of its frames begins.
fn segment() -> (Vec<u8>, Vec<usize>) {
    let mut bytes = begin(&head(), b"checkpoint");
    let (mut draft, mut starts) = (Draft::default(), vec![]);
    for (step, input) in (0..).zip(inputs()) {
        starts.push(bytes.len());
        draft.begin(now(step), &input);
        let len = draft.len();
        let frame = draft.done(&output(step));
        assert_eq!(frame.len(), len);
        bytes.extend_from_slice(frame);
    }
    starts.push(bytes.len());
    bytes.extend_from_slice(&end(&ended()));
    (bytes, starts)
}

fn steps() -> impl Iterator<Item = Entry<'static>> {
    (0..).zip(inputs()).map(|(step, input)| Entry::Step {
        now: now(step),
        input,
        output: Some(output_hash(&output(step))),
    })
}

/// Whether these are just so many of the steps.
fn are_first(entries: &[Entry<'_>], count: usize) -> bool {
    let expected: Vec<Entry<'_>> = steps().take(count).collect();
    entries == expected
}

#[test]
fn what_is_written_is_read() {
    let (bytes, _) = segment();
    let mut read = Segment::open(&bytes).unwrap();
    assert_eq!(read.head(), &head());
    assert_eq!(read.checkpoint(), b"checkpoint");
    let entries: Vec<_> = read.by_ref().collect();
    let expected: Vec<_> = steps().chain([Entry::End(ended())]).collect();
    assert_eq!(entries, expected);
    assert_eq!(read.tail(), Some(Tail::Complete));
}

#[test]
fn a_step_that_panics_is_read_as_one() {
    let mut draft = Draft::default();
    draft.begin(now(1), &Input::Wake);
    let bytes = [&begin(&head(), b"")[..], draft.panicked()].concat();
    let mut read = Segment::open(&bytes).unwrap();
    let step = Entry::Step {
        now: now(1),
        input: Input::Wake,
        output: None,
    };
    assert_eq!(read.next(), Some(step));
    assert_eq!((read.next(), read.tail()), (None, Some(Tail::Torn { at: bytes.len() })));
}

#[test]
fn a_torn_segment_is_read_up_to_the_tear() {
    let (bytes, starts) = segment();
    for len in 0..bytes.len() {
        let Ok(mut read) = Segment::open(&bytes[..len]) else {
            assert!(len < starts[0], "{len} bytes");
            continue;
        };
        let whole = starts.iter().skip(1).filter(|start| **start <= len).count();
        assert!(are_first(&read.by_ref().collect::<Vec<_>>(), whole), "{len} bytes");
        assert_eq!(read.tail(), Some(Tail::Torn { at: starts[whole] }), "{len} bytes");
    }
}

#[test]
fn a_bit_that_flips_is_noticed_and_what_stands_before_it_is_good() {
    let (bytes, starts) = segment();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let Ok(mut read) = Segment::open(&flipped) else {
            assert!(at < starts[0], "byte {at}");
            continue;
        };
        let good = starts.iter().skip(1).filter(|start| **start <= at).count();
        assert!(are_first(&read.by_ref().collect::<Vec<_>>(), good), "byte {at}");
        // A length that flipped may reach beyond the end.
        assert_ne!(read.tail(), Some(Tail::Complete), "byte {at}");
    }
}

#[test]
fn what_is_no_segment_is_refused_by_what_it_is() {
    let (bytes, starts) = segment();
    assert_eq!(Segment::open(b"").unwrap_err(), BadSegment::Foreign);
    assert_eq!(Segment::open(b"PNG and more").unwrap_err(), BadSegment::Foreign);
    let mut later = bytes.clone();
    later[7] = 2;
    let refused = Segment::open(&later).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "its format has version 2, and this program reads version 1"
    );
    assert_eq!(Segment::open(&bytes[..starts[0] - 1]).unwrap_err(), BadSegment::Short);
    let mut damaged = bytes.clone();
    damaged[starts[0] - 1] ^= 1;
    let what = "its checkpoint";
    assert_eq!(Segment::open(&damaged).unwrap_err(), BadSegment::Damaged { what });
    let mut read = bytes.clone();
    read.extend_from_slice(&end(&ended()));
    let mut read = Segment::open(&read).unwrap();
    read.by_ref().for_each(drop);
    assert!(matches!(read.tail(), Some(Tail::Damaged { .. })));
}

proptest! {
    #[test]
    fn bytes_from_outside_are_an_error_or_entries(bytes in prop::collection::vec(any::<u8>(), 0..200), sealed: bool) {
        let mut all = begin(&head(), b"c");
        if sealed {
            let mut front = (bytes.len() as u32).to_le_bytes().to_vec();
            front.extend_from_slice(&check(&bytes));
            all.extend_from_slice(&front);
        }
        all.extend_from_slice(&bytes);
        let mut read = Segment::open(&all).unwrap();
        read.by_ref().for_each(drop);
        prop_assert!(read.tail().is_some());
    }
}

#[test]
fn outputs_that_differ_in_anything_have_other_hashes() {
    let one = output(1);
    let mut others = vec![output(2), Output::default()];
    others.push(Output {
        wake: None,
        ..one.clone()
    });
    others.push(Output {
        cut: Some(0),
        ..one.clone()
    });
    for other in others {
        assert_ne!(output_hash(&other), output_hash(&one));
    }
    assert_eq!(output_hash(&one.clone()), output_hash(&one));
}

#[test]
fn a_build_says_its_version_and_its_sources() {
    let (version, sources) = BUILD.split_once('+').unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert!(
        sources.len() == 16 && sources.bytes().all(|b| b.is_ascii_hexdigit()),
        "{BUILD}"
    );
}
