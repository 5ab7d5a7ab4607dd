//! Encodings: frozen, one for each content, and refused by name when they are something else.

use super::*;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

const STATE: &str = "0173000000000001ffff000000000000000000000000000000050000000000000000000000000000000300000002\
    0000000000020000000000000000000200000000000000070000000000000000\
    000000000003000000000000000000030000000000000000000000000000000b";
const DELTA: &str = "016400000001000000000003000000000000000000030000000000000000000000000000000b";

fn sample() -> (PnCounter, Delta) {
    let mut counter = PnCounter::new();
    counter.increment(born(1), 5).unwrap();
    counter.increment(born(1), -3).unwrap();
    counter.collect(up_to(1));
    counter.increment(born(2), 7).unwrap();
    let delta = counter.increment(born(3), -11).unwrap();
    (counter, delta)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_encodings_are_frozen() {
    // Replicas of different builds send and digest these.
    let (counter, delta) = sample();
    assert_eq!(hex(&counter.encode()), STATE);
    assert_eq!(hex(&delta.encode()), DELTA);
    assert_eq!(
        counter.digest(&key()),
        276_507_176_977_756_742_380_684_814_079_986_754_797
    );
}

#[test]
fn they_come_back() {
    let (counter, delta) = sample();
    assert_eq!(sent(&counter), counter);
    assert_eq!(sent(&counter).value(), Ok(-2));
    assert_eq!(sent_delta(&delta), delta);
    assert_eq!(sent(&PnCounter::new()), PnCounter::new());
    assert_eq!(sent_delta(&Delta::default()), Delta::default());
}

#[test]
fn a_digest_covers_base_floor_and_slots() {
    let (counter, _) = sample();
    let mut other = counter.clone();
    other.increment(born(2), 1).unwrap();
    assert_ne!(counter.digest(&key()), other.digest(&key()));
    assert_ne!(counter.digest(&key()), counter.digest(&DigestKey::new([2; 16])));
    let mut folded = counter.clone();
    folded.collect(up_to(2));
    assert_ne!(counter.digest(&key()), folded.digest(&key()));
    // Until the one that has not folded takes the state of the one that has.
    assert_eq!(counter.digest(&key()), sent(&counter).digest(&key()));
    assert_eq!(joined(&counter, &folded).digest(&key()), folded.digest(&key()));
}

#[test]
fn bytes_from_outside_are_refused_by_name() {
    let (counter, delta) = sample();
    let (state, delta) = (counter.encode().to_vec(), delta.encode().to_vec());
    let limits = Limits::default();
    let refused = |bytes: &[u8]| PnCounter::decode(bytes, &limits).unwrap_err();
    let with = |at: usize, new: &[u8]| {
        let mut bytes = state.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        PnCounter::decode(&bytes, &limits).unwrap_err()
    };
    for len in 0..state.len() {
        assert_eq!(refused(&state[..len]), BadCounter::Length, "cut to {len}");
    }
    assert_eq!(refused(&[&state[..], &[0]].concat()), BadCounter::Length);
    assert_eq!(with(42, &[0xff; 4]), BadCounter::Length);
    assert_eq!(with(0, &[2]), BadCounter::Version { found: 2 });
    assert_eq!(refused(&delta), BadCounter::Kind);
    assert_eq!(Delta::decode(&state, &limits), Err(BadCounter::Kind));
    assert_eq!(with(2, &(FLOOR_MAX + 1).to_be_bytes()), BadCounter::Floor);
    assert_eq!(with(2, &[0; 8]), BadCounter::Floor);
    assert_eq!(with(2, &up_to(2).to_be_bytes()), BadCounter::Birth);
    assert_eq!(with(46, &[0xff; 16]), BadCounter::Birth);
    assert_eq!(with(46, &born(4).to_bytes()), BadCounter::Order);
    assert_eq!(with(46, &born(3).to_bytes()), BadCounter::Order);
    assert_eq!(with(62, &[0; 16]), BadCounter::EmptySlot);
    for (bytes, is_state) in [(&state, true), (&delta, false)] {
        for (limit, fits) in [(bytes.len(), true), (bytes.len() - 1, false)] {
            let limits = Limits {
                value_bytes: limit,
                ..limits.clone()
            };
            let read = if is_state {
                PnCounter::decode(bytes, &limits).err()
            } else {
                Delta::decode(bytes, &limits).err()
            };
            assert_eq!(read, (!fits).then_some(BadCounter::TooLong { limit }));
        }
    }
}

proptest! {
    #[test]
    fn bytes_that_are_read_are_the_one_encoding(at in 0usize..110, byte: u8, more in any::<Vec<u8>>()) {
        let limits = Limits::default();
        let (counter, delta) = sample();
        for mut bytes in [counter.encode().to_vec(), delta.encode().to_vec(), [&[1, b's'], &more[..]].concat(), more] {
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
            if let Ok(read) = PnCounter::decode(&bytes, &limits) {
                prop_assert_eq!(&read.encode()[..], &bytes[..]);
                let _ = read.value();
            }
            if let Ok(read) = Delta::decode(&bytes, &limits) {
                prop_assert_eq!(&read.encode()[..], &bytes[..]);
            }
        }
    }
}
