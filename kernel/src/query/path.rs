//! Finding a field within a value, in place.

use alloc::string::String;
use core::fmt;

use super::Error;
use super::compare::Field;
use crate::msgpack::{Kind, Reader, Token};

/// The attribute that names the record's key. A field of a value that is called so cannot be named.
pub const KEY: &str = "_key";

/// The name of a field: `city`, `address.city`, `tags.0`.
///
/// At each map on the way a key that is the whole rest of the name, dots and all, wins over going down; of keys that are
/// there twice the last one counts. In a list the next part of the name is an element's number, from 0, in plain digits.
/// Nothing else is gone back on, so finding a field walks over each byte of the value once at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    name: String,
}

impl Path {
    /// The path of that name.
    ///
    /// # Errors
    /// [`Error::EmptyPath`].
    pub fn parse(name: &str) -> Result<Self, Error> {
        if name.is_empty() {
            return Err(Error::EmptyPath);
        }
        Ok(Self { name: name.into() })
    }

    /// The path that names the record's key.
    pub fn key() -> Self {
        Self { name: KEY.into() }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it names the record's key, [`KEY`], rather than a field of its value.
    pub fn is_key(&self) -> bool {
        self.name == KEY
    }

    /// The encoded field within the MessagePack of `value`. `None` if it is not there, for [`KEY`], and for bytes that are not
    /// MessagePack.
    pub fn find<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        if self.is_key() {
            return None;
        }
        let (mut value, mut name) = (value, self.name.as_str());
        loop {
            let (first, rest) = name.split_once('.').unzip();
            let next = step(value, name, first)?;
            value = match next {
                Next::Found(field) => return Some(field),
                Next::Inner(inner) => inner,
            };
            name = rest?;
        }
    }

    /// The field of a record that it names.
    pub(super) fn field<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Option<Field<'a>> {
        if self.is_key() {
            return Some(Field::of_key(key));
        }
        Field::of_raw(self.find(value)?)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

enum Next<'a> {
    /// What the whole name stands for.
    Found(&'a [u8]),
    /// What its first part stands for.
    Inner(&'a [u8]),
}

/// Looks for `name`, or else for its `first` part, in one list or map.
fn step<'a>(value: &'a [u8], name: &str, first: Option<&str>) -> Option<Next<'a>> {
    let mut reader = Reader::new(value);
    match reader.any().ok()? {
        Token::Map(pairs) => {
            let (mut found, mut inner) = (None, None);
            for _ in 0..pairs {
                let key = text_key(&mut reader)?;
                if key == Some(name.as_bytes()) {
                    found = Some(reader.raw().ok()?);
                } else if key.is_some() && key == first.map(str::as_bytes) {
                    inner = Some(reader.raw().ok()?);
                } else {
                    reader.skip().ok()?;
                }
            }
            found.map(Next::Found).or(inner.map(Next::Inner))
        }
        Token::List(len) => {
            let index = index(first.unwrap_or(name)).filter(|index| *index < len)?;
            for _ in 0..index {
                reader.skip().ok()?;
            }
            let element = reader.raw().ok()?;
            Some(match first {
                Some(_) => Next::Inner(element),
                None => Next::Found(element),
            })
        }
        _ => None,
    }
}

/// Moves over a map's key: its bytes, if it is a text. `None` for what is not MessagePack.
fn text_key<'a>(reader: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    if reader.peek().ok()? != Kind::Text {
        reader.skip().ok()?;
        return Some(None);
    }
    match reader.any().ok()? {
        Token::Text(key) => Some(Some(key)),
        _ => None,
    }
}

/// A number in plain digits, without leading zeros: each element has one name.
pub(super) fn index(name: &str) -> Option<usize> {
    let plain = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if plain { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::Writer;
    use alloc::vec::Vec;

    fn find(value: &[u8], name: &str) -> Option<Vec<u8>> {
        Path::parse(name).unwrap().find(value).map(<[u8]>::to_vec)
    }

    fn place() -> Vec<u8> {
        let mut out = Writer::new();
        out.map(5);
        out.text("address")
            .map(2)
            .text("city")
            .text("Oslo")
            .text("geo.lat")
            .u64(60);
        out.text("tags").list(2).text("a").map(1).text("n").u64(7);
        out.u64(3).text("under a number");
        out.text("a.b").u64(1);
        out.text("a").map(1).text("b").u64(2);
        out.into_vec()
    }

    #[test]
    fn fields_are_found_at_any_depth() {
        let value = place();
        assert_eq!(find(&value, "address.city"), Some(b"\xa4Oslo".to_vec()));
        assert_eq!(find(&value, "address.geo.lat"), Some(vec![60]));
        assert_eq!(find(&value, "tags.0"), Some(b"\xa1a".to_vec()));
        assert_eq!(find(&value, "tags.1.n"), Some(vec![7]));
        for missing in [
            "city",
            "address.street",
            "address.city.x",
            "tags.2",
            "tags.00",
            "tags.x",
            "tags.-1",
            "3",
            "a.b.c",
            ".",
        ] {
            assert_eq!(find(&value, missing), None, "{missing}");
        }
    }

    #[test]
    fn a_key_with_the_dots_in_it_wins() {
        assert_eq!(find(&place(), "a.b"), Some(vec![1]));
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        assert_eq!(find(b"\x82\xa1a\x01\xa1a\x02", "a"), Some(vec![2]));
    }

    #[test]
    fn the_key_is_no_field() {
        assert_eq!(find(b"\x81\xa4_key\x01", "_key"), None);
        assert_eq!(Path::parse(""), Err(Error::EmptyPath));
    }

    #[test]
    fn nothing_is_found_in_broken_bytes() {
        let value = place();
        for end in 0..value.len() {
            assert_eq!(find(&value[..end], "a.b"), None, "{end}");
        }
        assert_eq!(find(b"\xc1", "a"), None);
    }
}
