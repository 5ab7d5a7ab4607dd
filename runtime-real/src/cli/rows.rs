//! Records as lines of JSON and as cells.

use kernel::msgpack::{Kind, Reader};
use kernel::query::KEY;

use crate::import::WRAPPED;
use crate::net::json;

/// A key as people see it.
pub(super) fn key_text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// The fields of a value, each with its name and its MessagePack; `None` if it is no map with names.
pub(super) fn fields(value: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    let mut reader = Reader::new(value);
    let pairs = reader.map().ok()?;
    (0..pairs)
        .map(|_| Some((reader.text().ok()?, reader.raw().ok()?)))
        .collect()
}

/// The fields of a row that can carry the record's key as its field `_key`: those of the value, or, where it is no object or has a
/// `_key` of its own, the value as the only field.
pub(super) fn row_fields(value: &[u8]) -> Vec<(&str, &[u8])> {
    match fields(value) {
        Some(fields) if fields.iter().all(|(name, _)| *name != KEY && !is_alone(&fields, name)) => fields,
        _ => vec![(WRAPPED, value)],
    }
}

/// An object with no field but `value` would be taken for a value that is no object.
fn is_alone(fields: &[(&str, &[u8])], name: &str) -> bool {
    fields.len() == 1 && name == WRAPPED
}

/// A record as one line of JSON, with its key.
pub(super) fn line(key: &[u8], value: &[u8]) -> String {
    let mut line = format!("{{{}:{}", text(KEY), text(&key_text(key)));
    for (name, value) in row_fields(value) {
        line.push_str(&format!(",{}:{}", text(name), json_text(value)));
    }
    line.push('}');
    line
}

/// A value as JSON.
pub(super) fn json_text(value: &[u8]) -> String {
    json::from_msgpack(value).unwrap_or_else(|error| text(&error.to_string()))
}

/// A text as JSON.
pub(super) fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value as a cell: a text as it is, nothing for null, else JSON, in which a float is seen to be one.
pub(super) fn cell(value: &[u8]) -> String {
    match Reader::new(value).peek() {
        Ok(Kind::Null) => String::new(),
        Ok(Kind::Text) => Reader::new(value).text().unwrap_or_default().to_owned(),
        Ok(Kind::Float) => {
            let text = json_text(value);
            match text.split_once('e') {
                Some((digits, power)) if !digits.contains('.') => format!("{digits}.0e{power}"),
                _ => text,
            }
        }
        _ => json_text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str) -> String {
        line(b"k", &json::to_msgpack(value.as_bytes()).unwrap())
    }

    #[test]
    fn a_line_has_the_key_and_can_be_imported() {
        assert_eq!(row("{\"b\":1,\"a\":[]}"), "{\"_key\":\"k\",\"b\":1,\"a\":[]}");
        assert_eq!(row("{}"), "{\"_key\":\"k\"}");
        assert_eq!(row("5"), "{\"_key\":\"k\",\"value\":5}");
        assert_eq!(row("{\"value\":5}"), "{\"_key\":\"k\",\"value\":{\"value\":5}}");
        assert_eq!(row("{\"value\":5,\"a\":1}"), "{\"_key\":\"k\",\"value\":5,\"a\":1}");
        assert_eq!(row("{\"_key\":\"x\"}"), "{\"_key\":\"k\",\"value\":{\"_key\":\"x\"}}");
    }

    #[test]
    fn a_cell_is_a_text_as_it_is_and_all_else_json() {
        let of = |value: &str| cell(&json::to_msgpack(value.as_bytes()).unwrap());
        for (value, shown) in [
            ("null", ""),
            ("\"a \\\"b\"", "a \"b"),
            ("true", "true"),
            ("1.0", "1.0"),
            ("1e16", "1.0e+16"),
            ("1.5e300", "1.5e+300"),
            ("[1,{\"a\":\"b\"}]", "[1,{\"a\":\"b\"}]"),
        ] {
            assert_eq!(of(value), shown);
        }
    }
}
