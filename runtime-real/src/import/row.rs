//! One row, and how it gets its key.

use bytes::Bytes;
use kernel::env::Limits;
use kernel::msgpack::{self, Kind, Reader, Writer};
use kernel::query::{KEY, Path};

use crate::net::json;

/// How deep the frame of a batch is around a value: frame, payload, operations, operation, record.
const ENVELOPE_DEPTH: usize = 5;

/// Digits of a key that is a row's number.
const NUMBER_DIGITS: usize = 10;

/// A row as it will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its place among the rows of the file, bad ones included, from 1.
    pub number: u64,
    /// The line that it begins on, from 1.
    pub line: u64,
    /// The key of the record.
    pub key: Vec<u8>,
    /// The value, as MessagePack.
    pub value: Bytes,
}

/// A row that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadRow {
    /// The line that it begins on, from 1.
    pub line: u64,
    /// What is wrong.
    pub reason: String,
}

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub number: u64,
    pub line: u64,
}

impl Place {
    pub fn bad(self, reason: impl Into<String>) -> BadRow {
        BadRow {
            line: self.line,
            reason: reason.into(),
        }
    }

    /// The key of a row that has none of its own.
    pub fn number_key(self) -> Vec<u8> {
        format!("{:0NUMBER_DIGITS$}", self.number).into_bytes()
    }

    /// A row, if it is one that a node may take.
    pub fn row(self, key: Vec<u8>, value: Bytes, limits: &Limits) -> Result<Row, BadRow> {
        if key.len() > limits.key_bytes {
            let reason = format!("the key has {} bytes, over {}", key.len(), limits.key_bytes);
            return Err(self.bad(reason));
        }
        if value.len() > limits.value_bytes {
            let reason = format!("the value has {} bytes, over {}", value.len(), limits.value_bytes);
            return Err(self.bad(reason));
        }
        // A node refuses the whole frame for it, and the rows beside it too.
        let depth = limits.depth - ENVELOPE_DEPTH;
        msgpack::validate(&value, depth).map_err(|error| self.bad(error.to_string()))?;
        Ok(Row {
            number: self.number,
            line: self.line,
            key,
            value,
        })
    }

    /// A row of a JSON file.
    pub fn document(self, value: Vec<u8>, key: Option<&Path>, limits: &Limits) -> Result<Row, BadRow> {
        match key {
            None => self.row(self.number_key(), value.into(), limits),
            Some(path) if path.is_key() => {
                let Some((key, rest)) = take_key(&value) else {
                    return Err(self.bad("it has no field _key"));
                };
                let key = key_text(key).map_err(|what| self.bad(format!("_key {what}")))?;
                self.row(key, rest, limits)
            }
            Some(path) => {
                let found = path.find(&value).map(key_text);
                let key = found.unwrap_or(Err("is not there"));
                let key = key.map_err(|what| self.bad(format!("{path} {what}, so the row has no key")))?;
                self.row(key, value.into(), limits)
            }
        }
    }
}

/// The text that stands for a value in a key.
fn key_text(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let kind = Reader::new(value).peek().map_err(|_| "cannot be read")?;
    match kind {
        Kind::Null => Err("is null"),
        Kind::List | Kind::Map => Err("is no text or number"),
        Kind::Text => match Reader::new(value).text() {
            Ok("") => Err("is empty"),
            Ok(text) => Ok(text.as_bytes().to_vec()),
            Err(_) => Err("is no text"),
        },
        _ => json::from_msgpack(value)
            .map(String::into_bytes)
            .map_err(|_| "cannot be read"),
    }
}

/// The field `_key` of a document, and the document without it. What then has only the field `value` is that value: so an export
/// writes what is no object, or has a `_key` of its own.
fn take_key(document: &[u8]) -> Option<(&[u8], Bytes)> {
    let mut reader = Reader::new(document);
    let pairs = reader.map().ok()?;
    let (mut key, mut rest) = (None, Vec::with_capacity(pairs));
    for _ in 0..pairs {
        let (name, value) = (reader.raw().ok()?, reader.raw().ok()?);
        match Reader::new(name).text() {
            Ok(KEY) => key = Some(value),
            _ => rest.push((name, value)),
        }
    }
    let key = key?;
    if let [(name, value)] = rest[..]
        && Reader::new(name).text() == Ok(WRAPPED)
    {
        return Some((key, Bytes::copy_from_slice(value)));
    }
    let mut out = Writer::with_capacity(document.len());
    out.map(rest.len());
    for (name, value) in rest {
        out.raw(name).raw(value);
    }
    Some((key, out.into_bytes()))
}

/// The name of the field that holds a value which cannot carry its key among its own fields.
pub(crate) const WRAPPED: &str = "value";

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { number: 7, line: 9 };

    fn row(text: &str, key: Option<&str>) -> Result<(String, String), String> {
        let value = json::to_msgpack(text.as_bytes()).unwrap().to_vec();
        let key = key.map(|key| Path::parse(key).unwrap());
        let row = HERE.document(value, key.as_ref(), &Limits::default());
        row.map(|row| {
            let value = json::from_msgpack(&row.value).unwrap();
            (String::from_utf8(row.key).unwrap(), value)
        })
        .map_err(|bad| bad.to_string())
    }

    fn is(key: &str, value: &str) -> Result<(String, String), String> {
        Ok((key.to_owned(), value.to_owned()))
    }

    #[test]
    fn a_key_is_the_text_of_a_field_or_the_number_of_the_row() {
        assert_eq!(row("{\"a\":1}", None), is("0000000007", "{\"a\":1}"));
        assert_eq!(row("5", None), is("0000000007", "5"));
        for (field, key) in [("\"x\"", "x"), ("-3", "-3"), ("2.5", "2.5"), ("true", "true")] {
            let text = format!("{{\"a\":{{\"b\":{field}}}}}");
            assert_eq!(row(&text, Some("a.b")), is(key, &text));
        }
        for (text, problem) in [
            ("{\"a\":null}", "line 9: a is null, so the row has no key"),
            ("{\"b\":1}", "line 9: a is not there, so the row has no key"),
            ("{\"a\":\"\"}", "line 9: a is empty, so the row has no key"),
            ("{\"a\":[1]}", "line 9: a is no text or number, so the row has no key"),
            ("5", "line 9: a is not there, so the row has no key"),
        ] {
            assert_eq!(row(text, Some("a")), Err(problem.to_owned()));
        }
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(400));
        assert!(row(&long, Some("a")).unwrap_err().contains("the key has 400 bytes"));
    }

    #[test]
    fn the_field_key_is_no_part_of_the_value() {
        assert_eq!(row("{\"_key\":\"k\",\"a\":1}", Some("_key")), is("k", "{\"a\":1}"));
        assert_eq!(row("{\"_key\":\"k\",\"value\":1}", Some("_key")), is("k", "1"));
        let wrapped = "{\"_key\":\"k\",\"value\":{\"_key\":\"other\"}}";
        assert_eq!(row(wrapped, Some("_key")), is("k", "{\"_key\":\"other\"}"));
        assert!(row("{\"a\":1}", Some("_key")).is_err() && row("1", Some("_key")).is_err());
    }

    #[test]
    fn a_value_that_nests_too_deep_is_refused_before_it_is_sent() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(row(&nested(58), None).is_ok());
        assert!(row(&nested(62), None).is_err());
    }
}
