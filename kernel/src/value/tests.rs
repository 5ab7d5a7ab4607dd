//! The order, the encodings, and their agreement.

use core::cmp::Ordering;
use core::hash::{Hash, Hasher};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::msgpack::{Error, Reader, validate};

/// Whole numbers around which the two kinds of number stop agreeing with one another in width.
const EDGES: [i128; 9] = [
    0,
    1 << 24,
    1 << 53,
    1 << 54,
    1 << 62,
    1 << 63,
    (1 << 64) - 2_048,
    -(1 << 53),
    -(1 << 63),
];

fn any_int() -> impl Strategy<Value = Int> {
    prop_oneof![
        (-3..4i32).prop_map(Int::from),
        any::<i64>().prop_map(Int::from),
        any::<u64>().prop_map(Int::from),
        (any::<i64>(), 0..64u32).prop_map(|(n, shift)| Int::from(n >> shift)),
        (select(&EDGES[..]), -3..4i128).prop_map(|(edge, off)| Int::new(edge + off).unwrap_or(Int::MIN)),
    ]
}

fn any_float() -> impl Strategy<Value = f64> {
    let special = [
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        -f64::NAN,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        18_446_744_073_709_551_616.0,
    ];
    prop_oneof![
        select(special.to_vec()),
        any::<u64>().prop_map(f64::from_bits),
        // Subnormals, of either sign.
        (any::<bool>(), 0..1u64 << 52).prop_map(|(minus, bits)| f64::from_bits(u64::from(minus) << 63 | bits)),
        // A step of the last bit around the edges.
        (select(&EDGES[..]), 0..5u64).prop_map(|(edge, off)| {
            let bits = (edge as f64).to_bits();
            f64::from_bits((bits + off).saturating_sub(2))
        }),
        (-7..8i32).prop_map(|n| f64::from(n) / 2.0),
    ]
}

fn any_number() -> impl Strategy<Value = Value> {
    prop_oneof![any_int().prop_map(Value::Int), any_float().prop_map(Value::Float)]
}

/// Values from small alphabets, so that two of them often begin alike.
fn any_value() -> impl Strategy<Value = Value> {
    let letters = vec(select(vec!['\0', '\u{1}', 'a', '\u{ff}', '\u{10ffff}']), 0..4);
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any_number(),
        letters.prop_map(|letters| Value::Text(letters.into_iter().collect())),
        any::<String>().prop_map(Value::from),
        vec(select(vec![0u8, 1, 0x10, 0xfe, 0xff]), 0..4).prop_map(Value::from),
        vec(any::<u8>(), 0..40).prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((inner.clone(), inner), 0..4).prop_map(|pairs| Value::Map(pairs.into_iter().collect())),
        ]
    })
}

/// Two values, often with much in common.
fn any_two() -> impl Strategy<Value = (Value, Value)> {
    prop_oneof![
        (any_value(), any_value()),
        (any_number(), any_number()),
        any_value().prop_map(|value| (value.clone(), value)),
        (vec(any_value(), 0..3), any_value(), any_value()).prop_map(|(common, a, b)| {
            let with = |last: Value| Value::List(common.iter().cloned().chain([last]).collect());
            (with(a), with(b))
        }),
        (any_value(), any_value()).prop_map(|(a, b)| (Value::List(vec![a.clone()]), Value::List(vec![a, b]))),
    ]
}

fn key(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode_key(&mut out);
    out
}

/// FNV-1a: any hasher whose state is a function of what was written.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn hash(value: &Value) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    value.hash(&mut hasher);
    hasher.finish()
}

/// The order of numbers, found another way: by the hardware, and through whole numbers where that would round.
fn model(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.get().cmp(&b.get()),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
        (Value::Int(_), Value::Float(_)) => model(b, a).reverse(),
        (Value::Float(x), Value::Int(n)) => {
            if x.is_nan() || *x >= 2f64.powi(64) {
                Ordering::Greater
            } else if *x < -(2f64.powi(63)) {
                Ordering::Less
            } else {
                let fraction = if *x > x.floor() {
                    Ordering::Greater
                } else {
                    Ordering::Equal
                };
                (x.floor() as i128).cmp(&n.get()).then(fraction)
            }
        }
        _ => panic!("not numbers: {a:?} {b:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn keys_sort_as_values_do((a, b) in any_two()) {
        prop_assert_eq!(a.cmp(&b), key(&a).cmp(&key(&b)), "{:?} {:?}", key(&a), key(&b));
    }

    #[test]
    fn no_key_is_the_beginning_of_another((a, b) in any_two()) {
        prop_assert!(a == b || !key(&b).starts_with(&key(&a)));
    }

    #[test]
    fn numbers_are_ordered_by_worth(a in any_number(), b in any_number()) {
        prop_assert_eq!(a.cmp(&b), model(&a, &b));
    }

    #[test]
    fn the_order_is_total((a, b) in any_two(), c in any_value()) {
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a.cmp(&a.clone()), Ordering::Equal);
        let mut three = [&a, &b, &c];
        three.sort();
        prop_assert!(three[0] <= three[1] && three[1] <= three[2] && three[0] <= three[2]);
        if a == b {
            prop_assert_eq!(a.cmp(&c), b.cmp(&c));
            prop_assert_eq!(hash(&a), hash(&b));
            prop_assert_eq!(key(&a), key(&b));
        }
    }

    #[test]
    fn numbers_in_threes_are_transitive(a in any_number(), b in any_number(), c in any_number()) {
        let mut three = [&a, &b, &c];
        three.sort();
        prop_assert!(three[0] <= three[1] && three[1] <= three[2] && three[0] <= three[2]);
    }

    #[test]
    fn what_is_encoded_is_decoded(value in any_value()) {
        let bytes = value.encode();
        let decoded = Value::decode(&bytes, 8).unwrap();
        prop_assert_eq!(&decoded, &value);
        // Equality takes `1` for `1.0`; the second encoding does not.
        prop_assert_eq!(decoded.encode(), bytes.clone());
        prop_assert_eq!(decoded.kind(), value.kind());
        prop_assert_eq!(validate(&bytes, 8), Ok(()));
    }

    #[test]
    fn nothing_cut_short_is_a_value(value in any_value()) {
        let bytes = value.encode();
        for len in 0..bytes.len() {
            prop_assert!(Value::decode(&bytes[..len], 8).is_err());
        }
    }

    #[test]
    fn what_validates_decodes_and_nothing_else(
        mut bytes in prop_oneof![vec(any::<u8>(), 0..64), any_value().prop_map(|value| value.encode().to_vec())],
        at: prop::sample::Index,
        byte: u8,
        depth in 0..6usize,
    ) {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        prop_assert_eq!(Value::decode(&bytes, depth).is_ok(), validate(&bytes, depth).is_ok());
    }
}

#[test]
fn one_of_each_in_order() {
    let map = |pairs: &[(&str, i32)]| Value::Map(pairs.iter().map(|(k, n)| ((*k).into(), (*n).into())).collect());
    let ascending = [
        Value::Null,
        false.into(),
        true.into(),
        f64::NEG_INFINITY.into(),
        f64::MIN.into(),
        i64::MIN.into(),
        (-1).into(),
        (-0.5).into(),
        (-5e-324).into(),
        0.into(),
        5e-324.into(),
        f64::MIN_POSITIVE.into(),
        1.into(),
        (1.5).into(),
        2f64.powi(53).into(),
        ((1i64 << 53) + 1).into(),
        (i64::MAX - 1).into(),
        i64::MAX.into(),
        2f64.powi(63).into(),
        ((1u64 << 63) + 1).into(),
        u64::MAX.into(),
        2f64.powi(64).into(),
        f64::INFINITY.into(),
        f64::NAN.into(),
        "".into(),
        "\0".into(),
        "\0\0".into(),
        "\0a".into(),
        "\u{1}".into(),
        "a".into(),
        "a\0".into(),
        "ab".into(),
        "é".into(),
        vec![0u8].into(),
        vec![0u8, 0].into(),
        vec![0xffu8].into(),
        Value::List(vec![]),
        Value::List(vec![Value::Null]),
        Value::List(vec![Value::Null, Value::Null]),
        Value::List(vec![1.into(), 2.into()]),
        Value::List(vec![2.into()]),
        Value::List(vec!["a".into()]),
        Value::List(vec!["a".into(), 1.into()]),
        Value::List(vec!["a\0".into()]),
        map(&[]),
        map(&[("a", 1)]),
        map(&[("b", 0), ("a", 1)]),
        map(&[("a", 2)]),
        map(&[("b", 0)]),
    ];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} {b:?}");
            assert_eq!(key(a).cmp(&key(b)), i.cmp(&j), "{a:?} {b:?}");
        }
    }
}

#[test]
fn equal_numbers_are_one_value_however_they_are_held() {
    for [a, b] in [
        [Value::from(1), Value::from(1.0)],
        [0.into(), (-0.0).into()],
        [(0.0).into(), (-0.0).into()],
        [f64::NAN.into(), (-f64::NAN).into()],
        [f64::NAN.into(), f64::from_bits(0x7ff0_0000_0000_0001).into()],
        [i64::MIN.into(), (-(2f64.powi(63))).into()],
        [(1u64 << 63).into(), 2f64.powi(63).into()],
    ] {
        assert_eq!(a, b);
        assert_eq!(key(&a), key(&b));
        assert_eq!(hash(&a), hash(&b));
    }
    assert_ne!(Value::from(u64::MAX), Value::from(2f64.powi(64)));
    assert_ne!(Value::from(i64::MAX), Value::from(2f64.powi(63)));
}

/// Indexes on disk hold these: changing one needs a reason in CHANGELOG.md and a rebuild of every index.
#[test]
fn keys_are_frozen() {
    let map: Map = [(Value::from("k"), Value::from(true))].into_iter().collect();
    for (value, frozen) in [
        (Value::Null, &[0x10][..]),
        (false.into(), &[0x20]),
        (true.into(), &[0x21]),
        (0.into(), &[0x30, 0x80, 0x00, 0x00]),
        (1.into(), &[0x30, 0x84, 0x33, 0x00]),
        ((1.5).into(), &[0x30, 0x84, 0x33, 0x80]),
        ((-1).into(), &[0x30, 0x7b, 0xcc, 0xff]),
        (1_000.into(), &[0x30, 0x84, 0x3c, 0xf4]),
        (1_001.into(), &[0x30, 0x84, 0x3c, 0xf5, 0x40]),
        (
            u64::MAX.into(),
            &[0x30, 0x84, 0x72, 255, 255, 255, 255, 255, 255, 255, 255, 0xfe],
        ),
        (f64::INFINITY.into(), &[0x30, 0xff, 0xfe, 0x00]),
        (f64::NAN.into(), &[0x30, 0xff, 0xff, 0x00]),
        ("a\0b".into(), &[0x40, b'a', 0x00, 0xff, b'b', 0x00, 0x00]),
        (vec![0u8].into(), &[0x50, 0x00, 0xff, 0x00, 0x00]),
        (Value::List(vec![Value::Null]), &[0x60, 0x10, 0x00]),
        (map.into(), &[0x70, 0x40, b'k', 0x00, 0x00, 0x21, 0x00]),
    ] {
        assert_eq!(key(&value), frozen, "{value:?}");
    }
}

#[test]
fn nesting_is_bounded_by_the_caller_and_by_the_stack() {
    let nested = |depth: usize| [&vec![0x91; depth][..], &[0xc0]].concat();
    assert!(Value::decode(&nested(8), 8).is_ok());
    assert_eq!(Value::decode(&nested(9), 8), Err(Error::TooDeep { limit: 8 }));
    assert!(Value::decode(&nested(DEPTH_MAX), usize::MAX).is_ok());
    let too_deep = Err(Error::TooDeep { limit: DEPTH_MAX });
    assert_eq!(Value::decode(&nested(100_000), usize::MAX), too_deep);
    let keys = [&[0x81; 100_000][..], &[0xc0; 100_001]].concat();
    assert_eq!(Value::decode(&keys, usize::MAX), too_deep);
}

#[test]
fn lengths_that_lie_take_no_memory() {
    for head in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        assert_eq!(
            Value::decode(&[head, 255, 255, 255, 255, 0xc0], 8),
            Err(Error::UnexpectedEnd)
        );
    }
    // Each head could be true if the ones around it were not: only the first may take memory.
    let mut lies = Vec::new();
    for _ in 0..64 {
        lies.extend([0xdd, 0, 15, 0, 0]);
    }
    lies.resize(1 << 20, 0xc0);
    let mut reader = Reader::new(&lies);
    assert_eq!(Value::read(&mut reader, 128), Err(Error::UnexpectedEnd));
    assert_eq!(reader.position(), 2 * 5, "refused at the second head");
    // A key's list that leaves nothing for the value, and a value's that fits.
    let mut reader = Reader::new(&[0x81, 0x91, 0xc0]);
    assert_eq!(Value::read(&mut reader, 8), Err(Error::UnexpectedEnd));
    assert_eq!(reader.position(), 2, "refused at the key's head");
    assert!(Value::decode(&[0x82, 0x91, 0xc0, 0x91, 0xc0, 0x91, 0xc2, 0x91, 0xc0], 8).is_ok());
    // What the documentation of `decode` promises for a byte.
    assert!(size_of::<Value>() <= 32, "{}", size_of::<Value>());
}

#[test]
fn an_extension_is_its_type_and_payload() {
    assert_eq!(Value::decode(&[0xd5, 0xff, 1, 2], 0), Ok(vec![0xffu8, 1, 2].into()));
    assert_eq!(Value::decode(&[0xc7, 0, 7], 0), Ok(vec![7u8].into()));
}

#[test]
fn a_map_is_read_in_any_order_and_written_in_its_own() {
    let given = [0x83, 0xa1, b'b', 1, 0xa1, b'a', 2, 0xa1, b'b', 3];
    let value = Value::decode(&given, 1).unwrap();
    assert_eq!(value.field("b"), Some(&3.into()));
    assert_eq!(value.encode(), [0x82, 0xa1, b'a', 2, 0xa1, b'b', 3][..]);
    assert_eq!(Value::Null.field("b"), None);
    assert!(Value::default().is_null());
}

#[test]
fn one_value_after_another_is_read_and_more_than_one_is_not_decoded() {
    let two = [0x91, 0xc0, 0x07];
    let mut reader = Reader::new(&two);
    assert_eq!(Value::read(&mut reader, 1), Ok(Value::List(vec![Value::Null])));
    assert_eq!(Value::read(&mut reader, 1), Ok(7.into()));
    assert_eq!(Value::decode(&two, 1), Err(Error::Trailing { at: 2 }));
}
