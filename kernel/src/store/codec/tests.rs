use super::*;
use crate::crdt::Version;
use crate::env::WriterId;
use alloc::string::String;
use alloc::{format, vec};

fn stamp(ms: u64) -> Stamp {
    Stamp::new(ms, 0, WriterId(7)).unwrap()
}

fn entry() -> (Bytes, Entry) {
    let limits = Limits::default();
    let change = |key: &[u8], value: Option<&[u8]>| Change {
        key: RecordKey::new("m", key, &limits).unwrap(),
        record: Record::new(&Version::new(stamp(4), "w", value)),
    };
    let changes = vec![change(b"a", Some(&[1])), change(b"b", None)];
    let entry = Entry {
        clock: stamp(9),
        changes,
        ..Entry::default()
    };
    (encode_entry(&entry), entry)
}

/// One that has every section.
fn full_entry() -> (Bytes, Entry) {
    let key = |key: &[u8]| RecordKey::new("m", key, &Limits::default()).unwrap();
    let entry = Entry {
        drops: [0, 270].map(|number| PartitionId::new(number).unwrap()).to_vec(),
        forgets: vec![key(b"c"), key(b"")],
        system: [("id".into(), Bytes::from_static(&[5])), ("vote".into(), Bytes::new())].into(),
        ..entry().1
    };
    (encode_entry(&entry), entry)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let pairs = text.as_bytes().as_chunks::<2>().0.iter();
    let bytes = pairs.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap());
    bytes.collect::<Vec<u8>>().into()
}

/// With the right check behind it.
fn checked(body: &[u8]) -> Bytes {
    [body, &check(&[body])].concat().into()
}

#[test]
fn an_entry_comes_back() {
    let (bytes, entry) = entry();
    let size: u64 = entry.changes.iter().map(Change::entry_bytes).sum();
    assert_eq!(bytes.len() as u64, ENTRY_BYTES + size);
    assert_eq!(entry_changes(&bytes), 2);
    assert_eq!(decode_entry(&bytes), Ok(entry));
    let (bytes, entry) = full_entry();
    let sections = 2 * DROP_BYTES + forget_bytes(3) + forget_bytes(2) + system_bytes(2, 1) + system_bytes(4, 0);
    assert!(bytes.len() as u64 <= ENTRY_BYTES + size + sections);
    assert_eq!(entry_changes(&bytes), 2, "of records");
    assert_eq!(decode_entry(&bytes), Ok(entry));
}

#[test]
fn sections_that_no_kernel_writes_are_refused() {
    let body = |sections: &[u8]| {
        let (bytes, _) = entry();
        checked(&[&bytes[..bytes.len() - CHECK_BYTES], sections].concat())
    };
    let drops: &[u8] = &[1, 0, 0, 0, 1, 0, 3];
    let system: &[u8] = &[3, 0, 0, 0, 1, 0, 1, b's', 0, 0, 0, 0];
    assert!(decode_entry(&body(&[drops, system].concat())).is_ok());
    let bad: [(&str, &[u8]); 8] = [
        ("twice", &[drops, drops].concat()),
        ("in another order", &[system, drops].concat()),
        ("of an unknown kind", &[4, 0, 0, 0, 0]),
        ("of no kind", &[0, 0, 0, 0, 0]),
        ("no such partition", &[1, 0, 0, 0, 1, 1, 15]),
        ("cut short", &[1, 0, 0, 0, 2, 0, 3]),
        ("a key of no map", &[2, 0, 0, 0, 1, 0, 2, 0, b'k']),
        ("a row without a name", &[3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ];
    for (what, sections) in bad {
        assert_eq!(decode_entry(&body(sections)), Err(Damaged), "{what}");
    }
    let mut old = body(drops).to_vec();
    old[0] = VERSION_WITHOUT_SECTIONS;
    assert_eq!(decode_entry(&checked(&old[..old.len() - CHECK_BYTES])), Err(Damaged));
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let (bytes, _) = full_entry();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode_entry(&bad.into()), Err(Damaged), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert_eq!(decode_entry(&bytes.slice(..len)), Err(Damaged), "length {len}");
    }
    let row = encode_row(b"k", b"content");
    assert_eq!(decode_row(b"k", &row), Ok(Bytes::from_static(b"content")));
    assert_eq!(decode_row(b"other", &row), Err(Damaged));
    for bit in 0..row.len() * 8 {
        let mut bad = row.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode_row(b"k", &bad.into()), Err(Damaged), "bit {bit}");
    }
}

#[test]
fn the_layout_is_frozen() {
    // A data folder outlives the binary that wrote it: a change here needs a new version and a reader for the old.
    let (bytes, _) = full_entry();
    assert_eq!(hex(&bytes), FROZEN);
    assert_eq!(hex(&encode_row(b"\0sid", &[5])), FROZEN_ROW);
}

const FROZEN: &str = "03000000000009000000000000000000070000000200036d00610000001400000000000400000000000000000007000177\
    0100036d0062000000130000000000040000000000000000000700017701000000020000010e020000000200036d006300026d0003000000020002\
    696400000001050004766f746500000000e3f7053a57e64ea1";

const FROZEN_ROW: &str = "0305ce9f42127a0f3fc9";

#[test]
fn what_the_second_version_wrote_is_read() {
    const SECOND: &str = "02000000000009000000000000000000070000000200036d00610000001400000000000400000000000000000007000177\
        0100036d006200000013000000000004000000000000000000070001773edaba74194e5808";
    assert_eq!(decode_entry(&unhex(SECOND)), Ok(entry().1));
    let record = entry().1.changes[0].record.clone();
    let body = [&[VERSION_WITHOUT_SECTIONS], &record.as_bytes()[..]].concat();
    let row = Bytes::from([&body[..], &check(&[b"m\0a", &body])].concat());
    assert_eq!(decode_row(b"m\0a", &row), Ok(record.as_bytes().clone()));
}

#[test]
fn what_the_first_version_wrote_is_read() {
    const FIRST: &str = "01000000000009000000000000000000070000000200036d006100000013000000000004000000000000000000070177\
        0100036d006200000012000000000004000000000000000000070177983dc05f85f4378c";
    assert_eq!(decode_entry(&unhex(FIRST)), Ok(entry().1));
    let first_row = |key: &[u8], content: &[u8]| {
        let body = [&[VERSION_WITHOUT_MARKS], content].concat();
        Bytes::from([&body[..], &check(&[key, &body])].concat())
    };
    let record = entry().1.changes[0].record.clone();
    let unmarked = [&record.as_bytes()[..16], &record.as_bytes()[17..]].concat();
    assert_eq!(
        decode_row(b"m\0a", &first_row(b"m\0a", &unmarked)),
        Ok(record.as_bytes().clone())
    );
    assert_eq!(
        decode_row(b"\0clock", &first_row(b"\0clock", &[7; 16])),
        Ok(Bytes::from(vec![7; 16]))
    );
    assert!(decode_row(b"m\0a", &first_row(b"m\0a", &[7; 15])).is_ok_and(|short| short.len() == 15));
}
