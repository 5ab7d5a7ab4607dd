//! Tests by hand: the encodings of the standard, and bytes that mean harm.

use super::*;

/// Every format of the standard at the edges of its range, as the shortest encoding must come out.
#[test]
fn integers_take_their_shortest_encoding() {
    let vectors: [(i64, &[u8]); 17] = [
        (0, &[0x00]),
        (127, &[0x7f]),
        (128, &[0xcc, 0x80]),
        (255, &[0xcc, 0xff]),
        (256, &[0xcd, 0x01, 0x00]),
        (65_535, &[0xcd, 0xff, 0xff]),
        (65_536, &[0xce, 0, 1, 0, 0]),
        (4_294_967_295, &[0xce, 0xff, 0xff, 0xff, 0xff]),
        (4_294_967_296, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        (-1, &[0xff]),
        (-32, &[0xe0]),
        (-33, &[0xd0, 0xdf]),
        (-128, &[0xd0, 0x80]),
        (-129, &[0xd1, 0xff, 0x7f]),
        (-32_769, &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
        (-2_147_483_649, &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
        (i64::MIN, &[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (n, encoded) in vectors {
        assert_eq!(Writer::new().i64(n).clone().into_vec(), encoded, "{n}");
        assert_eq!(Reader::new(encoded).i64(), Ok(n));
        assert_eq!(
            Reader::new(encoded).u64(),
            u64::try_from(n).map_err(|_| Error::OutOfRange)
        );
    }
    let largest = [0xcf, 255, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(Writer::new().u64(u64::MAX).clone().into_vec(), largest);
    assert_eq!(Reader::new(&largest).u64(), Ok(u64::MAX));
    assert_eq!(Reader::new(&largest).i64(), Err(Error::OutOfRange));
}

#[test]
fn integers_are_read_from_every_width_and_sign() {
    let sevens: [&[u8]; 9] = [
        &[0x07],
        &[0xcc, 7],
        &[0xcd, 0, 7],
        &[0xce, 0, 0, 0, 7],
        &[0xcf, 0, 0, 0, 0, 0, 0, 0, 7],
        &[0xd0, 7],
        &[0xd1, 0, 7],
        &[0xd2, 0, 0, 0, 7],
        &[0xd3, 0, 0, 0, 0, 0, 0, 0, 7],
    ];
    for seven in sevens {
        assert_eq!(Reader::new(seven).u64(), Ok(7));
        assert_eq!(Reader::new(seven).i64(), Ok(7));
        assert_eq!(Reader::new(seven).f64().map(f64::to_bits), Ok(7f64.to_bits()));
    }
}

#[test]
fn lengths_take_their_shortest_head() {
    for (len, text, bin, list, map) in [
        (0usize, &[0xa0u8][..], &[0xc4u8, 0][..], &[0x90u8][..], &[0x80u8][..]),
        (15, &[0xaf], &[0xc4, 15], &[0x9f], &[0x8f]),
        (16, &[0xb0], &[0xc4, 16], &[0xdc, 0, 16], &[0xde, 0, 16]),
        (31, &[0xbf], &[0xc4, 31], &[0xdc, 0, 31], &[0xde, 0, 31]),
        (32, &[0xd9, 32], &[0xc4, 32], &[0xdc, 0, 32], &[0xde, 0, 32]),
        (255, &[0xd9, 255], &[0xc4, 255], &[0xdc, 0, 255], &[0xde, 0, 255]),
        (256, &[0xda, 1, 0], &[0xc5, 1, 0], &[0xdc, 1, 0], &[0xde, 1, 0]),
        (
            65_536,
            &[0xdb, 0, 1, 0, 0],
            &[0xc6, 0, 1, 0, 0],
            &[0xdd, 0, 1, 0, 0],
            &[0xdf, 0, 1, 0, 0],
        ),
    ] {
        let content = "x".repeat(2 * len);
        let half = &content[..len];
        let with = |head: &[u8], body: &str| [head, body.as_bytes()].concat();

        let written = Writer::new().text(half).clone().into_vec();
        assert_eq!(written, with(text, half));
        assert_eq!(Reader::new(&written).text(), Ok(half));
        let written = Writer::new().bin(half.as_bytes()).clone().into_vec();
        assert_eq!(written, with(bin, half));
        assert_eq!(Reader::new(&written).bin(), Ok(half.as_bytes()));
        // Each `x` is also a small integer: the elements.
        let written = Writer::new().list(len).raw(half.as_bytes()).clone().into_vec();
        assert_eq!(written, with(list, half));
        assert_eq!(Reader::new(&written).list(), Ok(len));
        assert_eq!(validate(&written, 1), Ok(()));
        let written = Writer::new().map(len).raw(content.as_bytes()).clone().into_vec();
        assert_eq!(written, with(map, &content));
        assert_eq!(Reader::new(&written).map(), Ok(len));
        assert_eq!(validate(&written, 1), Ok(()));
    }
}

#[test]
fn floats_take_32_bits_when_nothing_is_lost() {
    assert_eq!(Writer::new().f64(1.5).clone().into_vec(), [0xca, 0x3f, 0xc0, 0, 0]);
    assert_eq!(Writer::new().f64(-0.0).clone().into_vec(), [0xca, 0x80, 0, 0, 0]);
    assert_eq!(
        Writer::new().f64(f64::INFINITY).clone().into_vec(),
        [0xca, 0x7f, 0x80, 0, 0]
    );
    assert_eq!(
        Writer::new().f64(1.1).clone().into_vec(),
        [0xcb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a]
    );
    for nan in [f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001)] {
        assert_eq!(Writer::new().f64(nan).clone().into_vec(), [0xca, 0x7f, 0xc0, 0, 0]);
    }
    // A signalling NaN of 32 bits, with a payload.
    assert_eq!(
        Reader::new(&[0xca, 0xff, 0x80, 0, 1]).f64().map(f64::to_bits),
        Ok(f64::NAN.to_bits())
    );
}

#[test]
fn whole_floats_are_read_as_integers() {
    let of = |x: f64| [&[0xcb][..], &x.to_be_bytes()].concat();
    assert_eq!(Reader::new(&of(3.0)).u64(), Ok(3));
    assert_eq!(Reader::new(&of(-0.0)).u64(), Ok(0));
    assert_eq!(Reader::new(&of(-3.0)).i64(), Ok(-3));
    assert_eq!(Reader::new(&of(2f64.powi(63))).u64(), Ok(1 << 63));
    assert_eq!(Reader::new(&of(-(2f64.powi(63)))).i64(), Ok(i64::MIN));
    assert_eq!(Reader::new(&[0xca, 0x40, 0x40, 0, 0]).u64(), Ok(3));
    for x in [-1.0, 2f64.powi(64)] {
        assert_eq!(Reader::new(&of(x)).u64(), Err(Error::OutOfRange), "{x}");
    }
    for x in [2f64.powi(63), -(2f64.powi(63)) - 2_048.0, 2f64.powi(64), 1e308] {
        assert_eq!(Reader::new(&of(x)).i64(), Err(Error::OutOfRange), "{x}");
    }
    for x in [0.5, -0.5, 1e-300, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Reader::new(&of(x)).u64(), Err(Error::OutOfRange), "{x}");
        assert_eq!(Reader::new(&of(x)).i64(), Err(Error::OutOfRange), "{x}");
    }
}

#[test]
fn an_integer_that_a_float_would_round_is_refused() {
    let of = |n: u64| Writer::new().u64(n).clone().into_vec();
    assert_eq!(
        Reader::new(&of(1 << 53)).f64().map(f64::to_bits),
        Ok(2f64.powi(53).to_bits())
    );
    assert_eq!(Reader::new(&of((1 << 53) + 1)).f64(), Err(Error::OutOfRange));
    assert_eq!(Reader::new(&of(u64::MAX)).f64(), Err(Error::OutOfRange));
}

/// One value of each kind.
const ALL_KINDS: [(Kind, &[u8]); 9] = [
    (Kind::Null, &[0xc0]),
    (Kind::Bool, &[0xc3]),
    (Kind::Int, &[0x01]),
    (Kind::Float, &[0xca, 0x3f, 0xc0, 0, 0]),
    (Kind::Text, &[0xa1, b'a']),
    (Kind::Bytes, &[0xc4, 1, b'a']),
    (Kind::List, &[0x91, 0x01]),
    (Kind::Map, &[0x81, 0x01, 0x02]),
    (Kind::Ext, &[0xd4, 5, 9]),
];

#[test]
fn each_reading_takes_its_kind_and_leaves_others_where_they_are() {
    for (kind, encoded) in ALL_KINDS {
        let mut reader = Reader::new(encoded);
        assert_eq!(reader.peek(), Ok(kind));
        let outcomes = [
            (Kind::Null, Reader::new(encoded).null().err()),
            (Kind::Bool, Reader::new(encoded).bool().err()),
            (Kind::Text, Reader::new(encoded).text().err()),
            (Kind::Bytes, Reader::new(encoded).bin().err()),
            (Kind::List, Reader::new(encoded).list().err()),
            (Kind::Map, Reader::new(encoded).map().err()),
        ];
        for (expected, error) in outcomes {
            let wrong = Error::WrongKind {
                expected,
                found: kind,
                at: 0,
            };
            assert_eq!(error, (expected != kind).then_some(wrong));
        }
        let number = matches!(kind, Kind::Int | Kind::Float);
        assert_eq!(Reader::new(encoded).f64().is_ok(), number);
        assert_eq!(Reader::new(encoded).u64().is_ok(), kind == Kind::Int);

        assert!(kind == Kind::Text || reader.text().is_err());
        assert_eq!((reader.position(), reader.raw()), (0, Ok(encoded)));
        assert!(reader.is_empty() && reader.rest().is_empty() && reader.end().is_ok());
        assert_eq!(validate(encoded, 1), Ok(()));
    }
}

#[test]
fn extensions_of_every_width_are_skipped() {
    for (head, payload_bytes) in [
        (&[0xd4][..], 1),
        (&[0xd5], 2),
        (&[0xd6], 4),
        (&[0xd7], 8),
        (&[0xd8], 16),
        (&[0xc7, 0], 0),
        (&[0xc7, 3], 3),
        (&[0xc8, 1, 0], 256),
        (&[0xc9, 0, 0, 0, 2], 2),
    ] {
        let encoded = [head, &[0xff], &vec![0xc1; payload_bytes]].concat();
        assert_eq!(validate(&encoded, 0), Ok(()));
        assert_eq!(Reader::new(&encoded).raw(), Ok(&encoded[..]));
        assert_eq!(validate(&encoded[..encoded.len() - 1], 0), Err(Error::UnexpectedEnd));
    }
}

#[test]
fn a_length_that_lies_is_refused_at_its_head() {
    for head in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        for rest in [&[][..], &[0xc0; 64]] {
            let encoded = [&[head, 0xff, 0xff, 0xff, 0xff][..], rest].concat();
            assert_eq!(Reader::new(&encoded).raw(), Err(Error::UnexpectedEnd));
            assert_eq!(validate(&encoded, 8), Err(Error::UnexpectedEnd));
        }
    }
    // Three pairs cannot be in five bytes.
    assert_eq!(Reader::new(&[0x83, 1, 2, 3, 4, 5]).map(), Err(Error::UnexpectedEnd));
    assert_eq!(Reader::new(&[0x83, 1, 2, 3, 4, 5, 6]).map(), Ok(3));
    // Each head alone could be true, but not both.
    assert_eq!(Reader::new(&[0x93, 0x93, 1, 2, 3]).skip(), Err(Error::UnexpectedEnd));
}

#[test]
fn nesting_is_bounded_where_a_bound_is_given_and_harmless_where_not() {
    let nested = |depth: usize| [&vec![0x91; depth][..], &[0xc0]].concat();
    let deep = nested(100_000);
    assert_eq!(validate(&deep, 64), Err(Error::TooDeep { limit: 64 }));
    assert_eq!(Reader::new(&deep).raw(), Ok(&deep[..]));
    assert_eq!(Reader::new(&deep[..100_000]).skip(), Err(Error::UnexpectedEnd));

    assert_eq!(validate(&nested(64), 64), Ok(()));
    assert_eq!(validate(&nested(65), 64), Err(Error::TooDeep { limit: 64 }));
    assert_eq!(validate(&[0x90], 0), Err(Error::TooDeep { limit: 0 }));
    assert_eq!(validate(&[0x80], 0), Err(Error::TooDeep { limit: 0 }));
    assert_eq!(validate(&[0x80], 1), Ok(()));
    // Beside one another they are not within one another.
    assert_eq!(validate(&[0x94, 0x91, 0xc0, 0x90, 0x80, 0x81, 0xc0, 0xc0], 2), Ok(()));
}

#[test]
fn what_is_not_one_sound_value_is_refused() {
    assert_eq!(validate(&[], 4), Err(Error::UnexpectedEnd));
    assert_eq!(validate(&[0xc0, 0xc0], 4), Err(Error::Trailing { at: 1 }));
    assert_eq!(validate(&[0xc1], 4), Err(Error::Reserved { at: 0 }));
    assert_eq!(validate(&[0x92, 0xc0, 0xc1], 4), Err(Error::Reserved { at: 2 }));
    assert_eq!(validate(&[0x91, 0xa2, 0xc3, 0x28], 4), Err(Error::NotUtf8 { at: 1 }));
    assert_eq!(validate(&[0x81, 0xa1, 0xff, 0xc0], 4), Err(Error::NotUtf8 { at: 1 }));
    assert_eq!(Reader::new(&[0xa1, 0xff]).text(), Err(Error::NotUtf8 { at: 0 }));
    assert_eq!(Reader::new(&[0xa1, 0xff]).skip(), Ok(()));
    assert_eq!(Reader::new(&[0xc1]).peek(), Err(Error::Reserved { at: 0 }));
    assert_eq!(Reader::new(&[]).peek(), Err(Error::UnexpectedEnd));
    assert_eq!(Reader::new(&[0xc0]).end(), Err(Error::Trailing { at: 0 }));
}

/// The first byte says the kind in one place and the meaning in another: they must not drift apart.
#[test]
fn the_kind_of_a_first_byte_is_the_kind_that_is_read() {
    for head in 0..=u8::MAX {
        let encoded = [&[head][..], &[0; 64]].concat();
        let read = Token::read(&encoded, 0).map(|(token, _)| token.kind());
        assert_eq!(read, Kind::of(head).ok_or(Error::Reserved { at: 0 }), "{head:#x}");
    }
}
