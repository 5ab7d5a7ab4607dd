//! A field as it stands encoded, compared with the literals of a predicate.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::str;

use crate::msgpack::{Reader, Token};
use crate::value::{DEPTH_MAX, Value};

/// A field of a record, in place. Scalars are compared without taking memory; a list or map is decoded, and only when a
/// list or map is what it is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    token: Token<'a>,
    /// The encoding. Empty for a record's key, which has none.
    raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The field that is encoded so.
    pub(super) fn of_raw(raw: &'a [u8]) -> Option<Self> {
        let token = Reader::new(raw).any().ok()?;
        Some(Self { token, raw })
    }

    /// A record's key: a text if it is one, otherwise bytes.
    pub(super) fn of_key(key: &'a [u8]) -> Self {
        let token = match str::from_utf8(key) {
            Ok(_) => Token::Text(key),
            Err(_) => Token::Bytes(key),
        };
        Self { token, raw: &[] }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.token, Token::Null)
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match self.token {
            Token::Text(text) => str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub(super) fn elements(&self) -> Option<impl Iterator<Item = Field<'a>> + use<'a>> {
        let Token::List(len) = self.token else {
            return None;
        };
        let mut reader = Reader::new(self.raw);
        reader.list().ok()?;
        Some((0..len).map_while(move |_| Field::of_raw(reader.raw().ok()?)))
    }

    /// As a tree. `None` for what is not MessagePack, or nests deeper than any value may.
    pub(super) fn decode(&self) -> Option<Value> {
        match self.token {
            Token::Text(text) => str::from_utf8(text).ok().map(Value::from),
            Token::Bytes(bytes) => Some(Value::Bytes(bytes.into())),
            _ => Value::decode(self.raw, DEPTH_MAX).ok(),
        }
    }

    /// How it compares with a literal of the same kind, integers and floats being one kind. `None` if they are of two kinds.
    pub(super) fn compare(&self, literal: &Value) -> Option<Ordering> {
        match (self.token, literal) {
            (Token::Null, Value::Null) => Some(Ordering::Equal),
            (Token::Bool(field), Value::Bool(literal)) => Some(field.cmp(literal)),
            (Token::Text(field), Value::Text(literal)) => Some(field.cmp(literal.as_bytes())),
            (Token::Bytes(field) | Token::Ext(field), Value::Bytes(literal)) => Some(field.cmp(literal)),
            (Token::List(_), Value::List(_)) | (Token::Map(_), Value::Map(_)) => Some(self.decode()?.cmp(literal)),
            (_, Value::Int(_) | Value::Float(_)) => Some(self.number()?.cmp(literal)),
            _ => None,
        }
    }

    pub(super) fn equals(&self, literal: &Value) -> bool {
        self.compare(literal) == Some(Ordering::Equal)
    }

    /// Whether it is one of `literals`, which are in their order.
    pub(super) fn is_among(&self, literals: &[Value]) -> bool {
        match self.token {
            Token::Text(text) => found(literals, |literal| match literal {
                Value::Text(literal) => literal.as_bytes().cmp(text),
                other => other.cmp(&TEXT),
            }),
            Token::Bytes(bytes) | Token::Ext(bytes) => found(literals, |literal| match literal {
                Value::Bytes(literal) => literal.as_slice().cmp(bytes),
                other => other.cmp(&BYTES),
            }),
            // Whatever is left takes no memory, or must.
            _ => self
                .decode()
                .is_some_and(|value| found(literals, |literal| literal.cmp(&value))),
        }
    }

    /// The number that it is, if it is one.
    pub(super) fn number(&self) -> Option<Value> {
        match self.token {
            Token::Uint(n) => Some(Value::Int(n.into())),
            Token::Int(n) => Some(Value::Int(n.into())),
            Token::Float(x) => Some(Value::Float(x)),
            _ => None,
        }
    }
}

/// Stand for their kinds where two kinds are compared.
const TEXT: Value = Value::Text(String::new());
const BYTES: Value = Value::Bytes(Vec::new());

fn found(literals: &[Value], order: impl FnMut(&Value) -> Ordering) -> bool {
    literals.binary_search_by(order).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(field: Value, literal: Value) -> Option<Ordering> {
        Field::of_raw(&field.encode()).unwrap().compare(&literal)
    }

    #[test]
    fn numbers_compare_by_worth_and_kinds_do_not() {
        assert_eq!(compare(1.into(), 1.0.into()), Some(Ordering::Equal));
        assert_eq!(compare(u64::MAX.into(), 1e300.into()), Some(Ordering::Less));
        let above = (1i64 << 53) + 1;
        assert_eq!(
            compare(above.into(), 9_007_199_254_740_992.0.into()),
            Some(Ordering::Greater)
        );
        assert_eq!(compare("1".into(), 1.into()), None);
        assert_eq!(compare(Value::Null, 1.into()), None);
        assert_eq!(compare(true.into(), 1.into()), None);
        let list = |n: i32| Value::List(vec![n.into()]);
        assert_eq!(compare(list(1), list(2)), Some(Ordering::Less));
    }

    #[test]
    fn a_key_is_a_text_if_it_can_be() {
        assert!(Field::of_key(b"k").equals(&"k".into()));
        assert!(Field::of_key(b"\xff").equals(&vec![0xff].into()));
        assert!(Field::of_key(b"k").is_among(&["k".into()]));
        assert_eq!(Field::of_key(b"k").decode(), Some("k".into()));
    }
}
