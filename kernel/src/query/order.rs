//! Where a record stands among those of an answer.

use alloc::vec::Vec;

use super::Path;
use crate::value::Value;

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// The least.
    #[default]
    Ascending,
    /// The greatest.
    Descending,
}

impl Direction {
    /// TopGun's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        [Self::Ascending, Self::Descending]
            .into_iter()
            .find(|direction| direction.word() == word)
    }
}

/// Bytes that sort as the records do: by the fields of `order`, one after the other, and then by key. No two records of a map
/// have the same.
///
/// A field that is missing stands where null does: first, or last where the greatest come first.
pub(super) fn rank(order: &[(Path, Direction)], key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut rank = Vec::new();
    for (path, direction) in order {
        let at = rank.len();
        let field = path.field(key, value).and_then(|field| field.decode());
        field.unwrap_or(Value::Null).encode_key(&mut rank);
        if *direction == Direction::Descending {
            // No index key is the beginning of another, so turned over they sort the other way.
            rank.iter_mut().skip(at).for_each(|byte| *byte = !*byte);
        }
    }
    rank.extend_from_slice(key);
    rank
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgpack::Writer;

    fn ranked(direction: Direction, values: &[Value]) -> Vec<Value> {
        let order = [(Path::parse("a").unwrap(), direction)];
        let rank = |value: &Value| {
            let mut out = Writer::new();
            value.write(out.map(1).text("a"));
            rank(&order, b"k", &out.into_vec())
        };
        let mut values = values.to_vec();
        values.sort_by_key(rank);
        values
    }

    #[test]
    fn by_value_either_way() {
        let ascending: Vec<Value> = vec![
            Value::Null,
            false.into(),
            (-1).into(),
            1.5.into(),
            2.into(),
            "".into(),
            "a".into(),
            "ab".into(),
        ];
        let descending: Vec<_> = ascending.iter().rev().cloned().collect();
        assert_eq!(ranked(Direction::Ascending, &descending), ascending);
        assert_eq!(ranked(Direction::Descending, &ascending), descending);
    }

    #[test]
    fn missing_is_null_and_the_key_decides_last() {
        let order = [(Path::parse("a").unwrap(), Direction::Descending)];
        let of = |key: &[u8], value: &[u8]| rank(&order, key, value);
        assert_eq!(of(b"k", b"\x80"), of(b"k", b"\x81\xa1a\xc0"));
        assert!(of(b"a", b"\x80") < of(b"b", b"\x80"));
        assert!(of(b"b", b"\x81\xa1a\x01") < of(b"a", b"\x80"));
    }
}
