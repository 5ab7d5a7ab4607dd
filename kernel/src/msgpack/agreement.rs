//! Tests at random: agreement with another implementation of the standard (rmpv), and bytes that nobody wrote.

use proptest::collection::vec;
use proptest::prelude::*;
use rmpv::Value as Theirs;

use super::*;

/// Any value that rmpv can hold.
fn any_value() -> impl Strategy<Value = Theirs> {
    let scalar = prop_oneof![
        Just(Theirs::Nil),
        any::<bool>().prop_map(Theirs::from),
        (any::<i64>(), 0..64u32).prop_map(|(n, shift)| Theirs::from(n >> shift)),
        any::<u64>().prop_map(Theirs::from),
        any::<f32>().prop_map(Theirs::F32),
        any::<f64>().prop_map(Theirs::F64),
        any::<String>().prop_map(Theirs::from),
        "[a-z]{0,40}".prop_map(Theirs::from),
        vec(any::<u8>(), 0..300).prop_map(Theirs::Binary),
        (any::<i8>(), vec(any::<u8>(), 0..40)).prop_map(|(kind, payload)| Theirs::Ext(kind, payload)),
    ];
    scalar.prop_recursive(5, 80, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Theirs::Array),
            vec((inner.clone(), inner), 0..20).prop_map(Theirs::Map),
        ]
    })
}

fn written_by_them(value: &Theirs) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, value).unwrap();
    bytes
}

fn write(value: &Theirs, writer: &mut Writer) {
    match value {
        Theirs::Nil => {
            writer.null();
        }
        Theirs::Boolean(yes) => {
            writer.bool(*yes);
        }
        Theirs::Integer(n) => {
            match n.as_u64() {
                Some(n) => writer.u64(n),
                None => writer.i64(n.as_i64().unwrap()),
            };
        }
        Theirs::F32(x) => {
            writer.f64(f64::from(*x));
        }
        Theirs::F64(x) => {
            writer.f64(*x);
        }
        Theirs::String(text) => {
            writer.text(text.as_str().unwrap());
        }
        Theirs::Binary(bytes) => {
            writer.bin(bytes);
        }
        Theirs::Array(elements) => {
            writer.list(elements.len());
            elements.iter().for_each(|element| write(element, writer));
        }
        Theirs::Map(pairs) => {
            writer.map(pairs.len());
            for (key, value) in pairs {
                write(key, writer);
                write(value, writer);
            }
        }
        // We write none of our own, only those that came in.
        Theirs::Ext(..) => {
            writer.raw(&written_by_them(value));
        }
    }
}

/// Reads by kind, and stands for either width of float by the wider.
fn read(reader: &mut Reader<'_>) -> Result<Theirs, Error> {
    Ok(match reader.peek()? {
        Kind::Null => reader.null().map(|()| Theirs::Nil)?,
        Kind::Bool => Theirs::from(reader.bool()?),
        Kind::Int => match reader.u64() {
            Ok(n) => Theirs::from(n),
            Err(_) => Theirs::from(reader.i64()?),
        },
        Kind::Float => Theirs::F64(reader.f64()?),
        Kind::Text => Theirs::from(reader.text()?),
        Kind::Bytes => Theirs::from(reader.bin()?),
        Kind::List => {
            let len = reader.list()?;
            Theirs::Array((0..len).map(|_| read(reader)).collect::<Result<_, _>>()?)
        }
        Kind::Map => {
            let pairs = reader.map()?;
            Theirs::Map(
                (0..pairs)
                    .map(|_| Ok((read(reader)?, read(reader)?)))
                    .collect::<Result<_, _>>()?,
            )
        }
        Kind::Ext => rmpv::decode::read_value(&mut reader.raw()?).unwrap(),
    })
}

/// Floats in 64 bits. No NaN equals itself, so they become something that does.
fn widened(value: Theirs) -> Theirs {
    match value {
        Theirs::F32(x) => widened(Theirs::F64(f64::from(x))),
        Theirs::F64(x) if x.is_nan() => Theirs::from("not a number"),
        Theirs::Array(elements) => Theirs::Array(elements.into_iter().map(widened).collect()),
        Theirs::Map(pairs) => Theirs::Map(pairs.into_iter().map(|(k, v)| (widened(k), widened(v))).collect()),
        other => other,
    }
}

proptest! {
    #[test]
    fn we_read_what_they_write(value in any_value()) {
        let bytes = written_by_them(&value);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(widened(read(&mut reader).unwrap()), widened(value));
        prop_assert_eq!(reader.end(), Ok(()));
        prop_assert_eq!(validate(&bytes, 8), Ok(()));
        prop_assert_eq!(Reader::new(&bytes).raw(), Ok(&bytes[..]));
    }

    #[test]
    fn they_read_what_we_write(value in any_value()) {
        let mut writer = Writer::with_capacity(64);
        write(&value, &mut writer);
        let len = writer.len();
        let bytes = writer.into_bytes();
        prop_assert_eq!(bytes.len(), len);
        let read = rmpv::decode::read_value(&mut &bytes[..]).unwrap();
        prop_assert_eq!(widened(read), widened(value));
        prop_assert_eq!(validate(&bytes, 8), Ok(()));
    }

    #[test]
    fn nothing_cut_short_is_a_value(value in any_value()) {
        let bytes = written_by_them(&value);
        for len in 0..bytes.len() {
            prop_assert_eq!(validate(&bytes[..len], 8), Err(Error::UnexpectedEnd));
            prop_assert_eq!(Reader::new(&bytes[..len]).skip(), Err(Error::UnexpectedEnd));
            prop_assert!(read(&mut Reader::new(&bytes[..len])).is_err());
        }
    }

    #[test]
    fn bytes_that_nobody_wrote_are_judged_as_they_judge_them(bytes in vec(any::<u8>(), 0..64)) {
        let mut rest = &bytes[..];
        // Theirs takes a text that is not UTF-8, and reads 0xc1 as nil: where ours takes it, so must theirs.
        let theirs = rmpv::decode::read_value(&mut rest);
        let mut reader = Reader::new(&bytes);
        let ours = read(&mut reader);
        let readable = ours.is_ok();
        if let Ok(ours) = ours {
            prop_assert_eq!(widened(ours), widened(theirs.unwrap()));
            prop_assert_eq!(reader.rest(), rest);
        }
        let mut skipping = Reader::new(&bytes);
        if skipping.skip().is_ok() {
            prop_assert_eq!(validate(&bytes[..skipping.position()], 64).is_ok(), readable);
        }
    }

    #[test]
    fn a_changed_byte_does_no_harm(value in any_value(), at: prop::sample::Index, byte: u8) {
        let mut bytes = written_by_them(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let sound = validate(&bytes, 64).is_ok();
        let mut reader = Reader::new(&bytes);
        let readable = read(&mut reader).is_ok() && reader.end().is_ok();
        prop_assert_eq!(sound, readable);
    }
}
