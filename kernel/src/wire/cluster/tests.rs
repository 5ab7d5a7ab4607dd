use super::*;
use crate::cluster::Member;
use crate::env::{NodeId, SeededRng, WriterId};
use crate::register::Ballot;
use crate::wire::peer::PeerMessage;
use alloc::vec;
use proptest::prelude::*;

fn state() -> ClusterState {
    let founder = Member {
        id: NodeId(1),
        name: "n1".into(),
        addr: "host-1:7878".into(),
        weight: 100,
        zone: "z".into(),
        leaving: false,
    };
    ClusterState::born(7, 3, founder)
}

/// One word of each kind, and of each kind within them.
fn words() -> Vec<Word<'static>> {
    let partition = PartitionId::new(270).unwrap();
    let ballot = Ballot {
        round: 3,
        writer: WriterId(9),
    };
    let (version, value) = (u64::MAX, state());
    let register = [
        Message::Have { version },
        Message::Prepare { version, ballot },
        Message::Promise {
            version,
            ballot,
            accepted: None,
        },
        Message::Promise {
            version,
            ballot,
            accepted: Some((ballot, value.clone())),
        },
        Message::Accept {
            version,
            ballot,
            value: value.clone(),
        },
        Message::Accepted { version, ballot },
        Message::Refused {
            version,
            ballot,
            promised: ballot,
        },
        Message::Learn { version, value },
    ];
    let refused = || refusal(Code::NoQuorum, "have 1 of 3");
    let replies = [
        Reply::Ops(vec![]),
        Reply::Ops(vec![Ok(Consistency::Strong), Err(refused()), Ok(Consistency::Eventual)]),
        Reply::Value {
            frame: b"frame",
            stamp: Some([3; 16]),
        },
        Reply::Refused(refused()),
    ];
    let wanted = |from| Wanted {
        partition,
        since: 7,
        from,
        digest: u128::MAX - 1,
    };
    let part = |from, rows, next| Part {
        partition,
        since: 7,
        from,
        rows,
        next,
    };
    let ask = |floor| Word::Ask {
        request: 5,
        epoch: 6,
        floor,
        frame: b"frame",
    };
    let mut words = vec![
        Word::Filled(vec![(partition, 1), (partition, u64::MAX)]),
        Word::Pull {
            most: 0,
            wanted: vec![],
        },
        Word::Pull {
            most: 7,
            wanted: vec![wanted(None), wanted(Some(b"from"))],
        },
        Word::Parts(vec![part(None, vec![], None)]),
        Word::Parts(vec![
            part(Some(b"from"), vec![(b"k", b"v"), (b"", b"")], Some(b"next")),
            part(None, vec![], None),
        ]),
        Word::Covered(vec![(partition, 7)]),
        Word::Stands {
            version: u64::MAX,
            confirms: true,
        },
        Word::Same {
            clean: 3,
            partitions: vec![partition],
        },
        Word::Propose {
            request: 1,
            epoch: 2,
            key: b"lock/a",
            ballot: [3; 16],
            value: None,
        },
        Word::Propose {
            request: 1,
            epoch: 2,
            key: b"lock/a",
            ballot: [3; 16],
            value: Some(b"value"),
        },
        Word::Emptied,
        Word::Taken(vec![0, u64::MAX]),
        Word::Level {
            asked_us: u64::MAX,
            skipped: 1,
            epoch: 2,
        },
        ask(None),
        ask(Some(([0xff; 16], true))),
        Word::Read {
            request: 1,
            epoch: 2,
            key: b"key",
        },
        Word::Held {
            request: 1,
            record: None,
        },
        Word::Held {
            request: 1,
            record: Some(b"record"),
        },
    ];
    let votes = [
        Vote::Promised {
            by: [1; 16],
            accepted: b"value",
        },
        Vote::Accepted,
        Vote::No([2; 16]),
    ];
    words.extend(votes.map(|vote| Word::Voted {
        request: 9,
        ballot: [4; 16],
        vote,
    }));
    words.extend(register.map(Word::Register));
    words.extend(replies.map(|reply| Word::Answer { request: 8, reply }));
    words
}

fn body(frame: &[u8]) -> &[u8] {
    match PeerMessage::decode(frame) {
        Ok(PeerMessage::Cluster(body)) => body,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_word_comes_back() {
    for word in words() {
        let frame = word.to_frame();
        assert_eq!(Word::decode(body(&frame)).as_ref(), Some(&word));
    }
}

#[test]
fn a_word_that_was_cut_or_goes_on_is_none() {
    for word in words() {
        let frame = word.to_frame();
        let body = body(&frame);
        for len in 0..body.len() {
            assert_eq!(Word::decode(&body[..len]), None, "{word:?} cut at {len}");
        }
        assert_eq!(Word::decode(&[body, &[0]].concat()), None, "{word:?}");
    }
}

#[test]
fn a_partition_that_there_is_not_is_no_word() {
    let mut bytes = postcard::to_allocvec(&Word::Covered(vec![(PartitionId::new(270).unwrap(), 7)])).unwrap();
    // 270 is written in two bytes, 0x8e and 0x02, and the digest in one.
    assert!(Word::decode(&bytes).is_some());
    let last = bytes.len() - 2;
    bytes[last] = 0x7f;
    assert_eq!(Word::decode(&bytes), None);
}

#[test]
fn a_changed_byte_is_another_word_or_none() {
    let mut rng = SeededRng::from_u64(5);
    for word in words() {
        let bytes = postcard::to_allocvec(&word).unwrap();
        for at in 0..bytes.len().min(400) {
            let mut bad = bytes.clone();
            bad[at] = rng.next_u64() as u8;
            let longest = [&bytes[..at], &[0xff; 9], &[1], &bytes[at + 1..]].concat();
            for bad in [bad, longest] {
                if let Some(Word::Register(Message::Learn { value, .. } | Message::Accept { value, .. })) =
                    Word::decode(&bad)
                {
                    assert!(value.is_sound());
                }
            }
        }
    }
}

proptest! {
    /// A first byte that names no word is none; whatever the bytes are, reading them ends.
    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
        let _ = Word::decode(&bytes);
        bytes[0] = bytes[0] % 100 + 11;
        prop_assert_eq!(Word::decode(&bytes), None);
    }
}
