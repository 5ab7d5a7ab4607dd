//! A field that says what its record's key routes by.
//!
//! A map may declare that a field of its values holds the routing part of the key
//! ([`PartitionBy::Field`](crate::partition::PartitionBy::Field)). What is written is held to it once, where it enters the
//! cluster; from then on a condition on the field says in which partitions the records can be ([`super::prune`]).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};

use super::Path;
use super::compare::Field;
use crate::msgpack::float;
use crate::partition::{PartitionBy, routing_part};
use crate::value::Value;

/// Most characters of a value that a refusal shows.
const SHOWN_CHARS: usize = 64;

/// A write whose field is not what its key routes by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key routes by \"{part}\", and the field {field} {found}: they must say the same")]
pub struct Misrouted {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub found: String,
    /// The routing part of the key; the beginning of it, if it is long.
    pub part: String,
}

impl PartitionBy {
    /// Whether the MessagePack of `value` may stand under `key` in a map that declares this: its field, if one is declared, is
    /// the key's routing part, as a text or as a number that is written so. A key with a `{tag}` routes by it, and then the field
    /// is the tag.
    ///
    /// # Errors
    /// [`Misrouted`], with a few dozen characters of both.
    pub fn check(&self, key: &[u8], value: &[u8]) -> Result<(), Misrouted> {
        let Some(name) = self.field() else {
            return Ok(());
        };
        let part = routing_part(key, Some(self));
        let raw = Path::parse(name).ok().and_then(|path| path.find(value));
        let text = raw.and_then(Field::of_raw).and_then(|field| text_of_field(&field));
        if text.as_ref().is_some_and(|text| text.as_bytes() == part) {
            return Ok(());
        }
        let found = match (raw, text) {
            (_, Some(text)) => format!("is \"{}\"", shown(text.as_bytes())),
            (Some(_), None) => "is no text and no number".to_string(),
            (None, None) => "is missing".to_string(),
        };
        Err(Misrouted {
            field: shown(name.as_bytes()),
            found,
            part: shown(part),
        })
    }
}

fn text_of_field<'a>(field: &Field<'a>) -> Option<Cow<'a, str>> {
    match field.text() {
        Some(text) => Some(text.into()),
        None => routing_text(&field.number()?).map(|text| Cow::Owned(text.into_owned())),
    }
}

/// The routing part that keys of records have whose field equals `value`: a text is itself; a number is its digits, the same for
/// all numbers that are equal (`7` for 7.0, `0` for -0.0, and for one that is not whole the shortest that reads back as it).
/// `None` for what no record's field can be.
pub(super) fn routing_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(text.as_str().into()),
        Value::Int(n) => Some(n.to_string().into()),
        Value::Float(x) => match float::whole(*x) {
            Some(n) => Some(n.to_string().into()),
            None => x.is_finite().then(|| x.to_string().into()),
        },
        _ => None,
    }
}

fn shown(bytes: &[u8]) -> String {
    // No character has more bytes than four.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN_CHARS + 4)]);
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Map;
    use proptest::prelude::*;

    fn by(field: &str) -> PartitionBy {
        PartitionBy::Field {
            field: field.into(),
            separator: b'/',
        }
    }

    fn document(name: &str, field: impl Into<Value>) -> Vec<u8> {
        Value::Map([(name.into(), field.into())].into_iter().collect::<Map>())
            .encode()
            .to_vec()
    }

    fn check(key: &str, value: &[u8]) -> Result<(), String> {
        by("t").check(key.as_bytes(), value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_field_says_what_the_key_routes_by() {
        for (key, field) in [
            ("abc/1", Value::from("abc")),
            ("abc", "abc".into()),
            ("/1", "".into()),
            ("7/1", 7.into()),
            ("7/1", 7.0.into()),
            ("-7/1", (-7).into()),
            ("0/1", (-0.0).into()),
            ("1.5/1", 1.5.into()),
            ("18446744073709551615/x", u64::MAX.into()),
            ("x/{abc}", "abc".into()),
            ("{7}", 7.into()),
            ("{}/x", "{}".into()),
        ] {
            assert_eq!(check(key, &document("t", field.clone())), Ok(()), "{key} {field:?}");
        }
        assert_eq!(by("a.b").check(b"x/1", &document("a.b", "x")), Ok(()));
        assert_eq!(PartitionBy::Before(b'/').check(b"x/1", &[7]), Ok(()));
    }

    #[test]
    fn what_does_not_is_named() {
        let refused = |key: &str, value: &[u8]| check(key, value).unwrap_err();
        assert_eq!(
            refused("abc/1", &document("t", "xyz")),
            "the key routes by \"abc\", and the field t is \"xyz\": they must say the same"
        );
        assert!(refused("7/1", &document("t", 8)).contains("t is \"8\""));
        assert!(refused("x/{abc}", &document("t", "x")).contains("routes by \"abc\""));
        for none in [
            Value::Null,
            true.into(),
            f64::NAN.into(),
            f64::INFINITY.into(),
            vec![1].into(),
            Vec::<Value>::new().into(),
        ] {
            let text = refused("abc/1", &document("t", none.clone()));
            assert!(
                text.contains("is no text and no number") || matches!(none, Value::Float(_)),
                "{text}"
            );
        }
        for bytes in [&document("u", "abc")[..], b"\xa3abc", b"", b"\xc1", b"\x81\xa1t"] {
            assert!(refused("abc/1", bytes).contains("the field t is missing"), "{bytes:?}");
        }
        let long = refused(&"k".repeat(300), &document("t", &"ä".repeat(100_000)[..]));
        assert!(long.chars().count() < 300, "{long}");
    }

    proptest! {
        /// Literals that equal a field lead to the partition that the field leads to.
        #[test]
        fn equal_numbers_are_written_alike(x in any::<f64>(), n in any::<i64>(), half in -9..9i32) {
            for value in [Value::from(x), n.into(), (n as f64).into(), (f64::from(half) / 2.0).into()] {
                if let Value::Float(x) = value
                    && let Some(whole) = float::whole(x).and_then(crate::value::Int::new)
                {
                    let whole = Value::Int(whole);
                    prop_assert_eq!(routing_text(&value), routing_text(&whole));
                }
                let again = Value::decode(&value.encode(), 1).unwrap();
                prop_assert_eq!(routing_text(&value), routing_text(&again));
            }
        }
    }
}
