//! Deltas as bytes: frozen, canonical, and harmless whatever they are.

use super::*;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

fn decode(bytes: &[u8]) -> Result<Delta, BadDelta> {
    let limits = Limits {
        key_bytes: 4,
        value_bytes: 4,
        ..Limits::default()
    };
    Delta::decode(bytes, &limits)
}

/// One of everything: a live element below the floor, gaps, two writers of one element, a removed dot.
fn example() -> Delta {
    let mut map = empty();
    let mut old = DotSource::new(stamp(1, 1));
    map.add(b"a", &element(1), old.next(0).unwrap());
    map.collect(floor(1));
    let mut phone = DotSource::new(stamp(2, 2));
    let dots = [(); 5].map(|()| phone.next(0).unwrap());
    map.add(b"a", &element(2), dots[0]);
    map.add(b"bc", &element(2), dots[1]);
    map.remove(b"bc", &element(2));
    map.add(b"bc", &[0x91, 0xc0], dots[4]);
    map.merge(&empty().add(b"a", &element(2), Dot::of_tag(stamp(3, 3))));
    map.as_delta()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_layout_is_frozen() {
    // Replicas of different builds exchange these: a change here needs a new version and a reader for the old.
    assert_eq!(hex(&example().encode()), FROZEN);
    assert_eq!(hex(&Delta::default().encode()), "0100000000000000000000");
    let mut map = empty();
    map.merge(&example());
    assert_eq!(map.digest(), FROZEN_DIGEST);
}

const FROZEN: &str = "01000000000001000003000000000001000000000000000000010000000000000200000000000000000002020001010000000000\
    00030000000000000000000301000002016102010101000101020201010201026263010291c0010105";
const FROZEN_DIGEST: u128 = 19_129_931_934_133_106_457_488_826_989_274_687_430;

#[test]
fn every_cut_is_seen_and_nothing_may_follow() {
    let bytes = example().encode();
    assert_eq!(decode(&bytes), Ok(example()));
    for len in 0..bytes.len() {
        assert_eq!(decode(&bytes[..len]), Err(BadDelta::Short), "length {len}");
    }
    assert_eq!(decode(&[&bytes[..], &[0]].concat()), Err(BadDelta::Trailing));
}

/// A delta with these writers and keys, as bytes.
fn parts(floor: u64, writers: &[&[u8]], keys: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(floor.to_be_bytes());
    bytes.push(writers.len() as u8);
    bytes.extend(writers.concat());
    bytes.extend(keys);
    bytes
}

fn birth(ms: u64, ranges: &[u8]) -> Vec<u8> {
    [&stamp(ms, 0).to_bytes()[..], ranges].concat()
}

#[test]
fn bytes_from_outside_are_refused_by_name() {
    let none = &[0][..];
    // One range, of the numbers 1 to 3.
    let one = birth(1, &[1, 0, 2]);
    let two = birth(2, &[1, 0, 2]);
    let refused = |bytes: &[u8]| decode(bytes).unwrap_err();
    assert_eq!(refused(&[2]), BadDelta::Version { found: 2 });
    assert!(decode(&parts(0, &[&one, &two], none)).is_ok());
    assert_eq!(refused(&parts(0, &[&two, &one], none)), BadDelta::Order);
    assert_eq!(refused(&parts(0, &[&one, &one], none)), BadDelta::Order);
    assert_eq!(
        refused(&parts(floor(1), &[&one], none)),
        BadDelta::Writer,
        "a range below the floor"
    );
    assert_eq!(
        refused(&parts(0, &[&birth(1, &[0])], none)),
        BadDelta::Writer,
        "for nothing"
    );
    assert_eq!(
        refused(&parts(floor(1), &[&birth(1, &[0])], none)),
        BadDelta::Writer,
        "for nothing"
    );
    assert_eq!(
        refused(&parts(0, &[&[&[0xff; 16][..], &[1, 0, 2]].concat()], none)),
        BadDelta::Birth
    );

    // Numbers: too long, over 64 bits, beyond the last.
    assert_eq!(
        refused(&parts(0, &[&birth(1, &[1, 0x80, 0, 0])], none)),
        BadDelta::Number
    );
    let over = [&[1][..], &[0xff; 9], &[2, 0]].concat();
    assert_eq!(refused(&parts(0, &[&birth(1, &over)], none)), BadDelta::Number);
    let over = [&[1][..], &[0x80; 10], &[1, 0]].concat();
    assert_eq!(refused(&parts(0, &[&birth(1, &over)], none)), BadDelta::Number);
    let last = [&[1][..], &[0xff; 9], &[1, 0]].concat();
    assert_eq!(refused(&parts(0, &[&birth(1, &last)], none)), BadDelta::Number, "2^64");
    let last = [&[1, 0xfe][..], &[0xff; 8], &[1]].concat();
    assert!(
        decode(&parts(0, &[&birth(1, &[&last[..], &[0]].concat())], none)).is_ok(),
        "2^64 - 1"
    );
    assert_eq!(
        refused(&parts(0, &[&birth(1, &[&last[..], &[1]].concat())], none)),
        BadDelta::Number
    );
    let further = [&[2][..], &last[1..], &[0, 0, 0]].concat();
    assert_eq!(refused(&parts(0, &[&birth(1, &further)], none)), BadDelta::Number);

    let keys = |keys: &[u8]| decode(&parts(0, &[&one, &two], keys));
    assert!(keys(&[1, 1, b'k', 1, 1, 5, 2, 0, 1, 1, 3]).is_ok());
    assert_eq!(keys(&[1, 1, b'k', 0]), Err(BadDelta::Number), "a key without elements");
    assert_eq!(
        keys(&[1, 1, b'k', 1, 1, 5, 0]),
        Err(BadDelta::Number),
        "an element without dots"
    );
    assert_eq!(
        keys(&[1, 1, b'k', 1, 1, 5, 1, 0, 0]),
        Err(BadDelta::Number),
        "the dot 0"
    );
    assert_eq!(keys(&[1, 1, b'k', 1, 1, 5, 1, 0, 4]), Err(BadDelta::Uncovered));
    assert_eq!(
        keys(&[1, 1, b'k', 1, 1, 5, 1, 2, 1]),
        Err(BadDelta::Uncovered),
        "no such writer"
    );
    assert_eq!(keys(&[1, 1, b'k', 1, 1, 5, 2, 1, 1, 0, 1]), Err(BadDelta::Order));
    assert_eq!(keys(&[1, 1, b'k', 1, 1, 5, 2, 1, 1, 1, 1]), Err(BadDelta::Order));
    assert_eq!(
        keys(&[1, 1, b'k', 2, 1, 5, 1, 0, 1, 1, 4, 1, 0, 2]),
        Err(BadDelta::Order)
    );
    assert_eq!(
        keys(&[1, 1, b'k', 2, 1, 5, 1, 0, 1, 1, 5, 1, 0, 2]),
        Err(BadDelta::Order)
    );
    assert_eq!(
        keys(&[2, 1, b'k', 1, 1, 5, 1, 0, 1, 1, b'j', 1, 1, 5, 1, 0, 2]),
        Err(BadDelta::Order)
    );
    assert_eq!(
        keys(&[2, 1, b'k', 1, 1, 5, 1, 0, 1, 1, b'k', 1, 1, 5, 1, 0, 2]),
        Err(BadDelta::Order)
    );
    assert_eq!(
        keys(&[2, 1, b'k', 1, 1, 5, 1, 0, 1, 1, b'l', 1, 1, 5, 1, 0, 1]),
        Err(BadDelta::DotTwice)
    );
    assert_eq!(keys(&[1, 5, 1, 2, 3, 4, 5]), Err(BadDelta::KeyTooLong { limit: 4 }));
    let longest = keys(&[1, 4, b'l', b'o', b'n', b'g', 1, 1, 5, 1, 0, 1]);
    assert!(!matches!(longest, Err(BadDelta::KeyTooLong { .. })), "{longest:?}");
    assert_eq!(
        keys(&[1, 1, b'k', 1, 5, 0xc4, 3, 0, 0, 0]),
        Err(BadDelta::ElementTooLong { limit: 4 })
    );
    assert!(matches!(keys(&[1, 1, b'k', 1, 1, 0xc1]), Err(BadDelta::Element(_))));
    assert!(
        matches!(keys(&[1, 1, b'k', 1, 0, 1]), Err(BadDelta::Element(_))),
        "no value is empty"
    );
    // Claims of more than there is are found at once.
    let claim = [&[0xff; 9][..], &[1]].concat();
    assert_eq!(keys(&claim), Err(BadDelta::Short));
    assert_eq!(keys(&[&[1][..], &claim].concat()), Err(BadDelta::Short));
}

#[test]
fn covering_all_there_is_costs_no_more_than_what_is_held() {
    let mut map = empty();
    let mut phone = DotSource::new(stamp(1, 1));
    for value in 0..100 {
        map.add(b"k", &element(value), phone.next(0).unwrap());
    }
    let mut covered = Context::new();
    for writer in 0..1_000 {
        covered.insert_range(stamp(1, writer), 1..=u64::MAX);
    }
    assert_eq!(map.merge(&sent(&Delta::removing(covered))).removed, 100);
    assert!(map.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_read_has_one_encoding_only(edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut bytes = example().encode();
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(delta) = Delta::decode(&bytes, &Limits::default()) {
            prop_assert_eq!(delta.encode(), bytes);
            let mut map = empty();
            map.merge(&example());
            map.merge(&delta);
            assert_consistent(&map);
        }
    }
}
