//! One JSON value a line.

use std::io::BufRead;

use kernel::env::Limits;

use super::row::Place;
use super::{BadRow, ReadError, Reading, Row};
use crate::net::json;

pub(super) fn read(
    mut input: impl BufRead,
    reading: &Reading,
    take: &mut dyn FnMut(Result<Row, BadRow>) -> bool,
) -> Result<(), ReadError> {
    let limits = Limits::default();
    let (mut text, mut place) = (Vec::new(), Place { number: 0, line: 0 });
    loop {
        text.clear();
        if input.read_until(b'\n', &mut text)? == 0 {
            return Ok(());
        }
        place.line += 1;
        let value = text.trim_ascii();
        if value.is_empty() {
            continue;
        }
        place.number += 1;
        let row = match json::to_msgpack(value) {
            Ok(value) => place.document(value.to_vec(), reading.key.as_ref(), &limits),
            // The text is one line; that it is the first of its own would be confusing.
            Err(error) => Err(place.bad(error.to_string().replace(" at line 1 column", " at column"))),
        };
        if !take(row) {
            return Err(ReadError::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{Form, Schema};

    #[test]
    fn a_line_is_a_row_and_a_bad_one_is_told_with_its_line() {
        let text = b"{\"a\":1}\n\n  {\"a\": nope}\n[1]\r\n2";
        let reading = Reading {
            form: Form::Ndjson,
            key: None,
            schema: Schema::new(),
        };
        let mut seen = Vec::new();
        crate::import::read(&text[..], &reading, |row| {
            seen.push(row.map_or_else(|bad| bad.to_string(), |row| format!("{} {}", row.line, row.number)));
            true
        })
        .unwrap();
        assert_eq!(seen[0], "1 1");
        assert!(
            seen[1].starts_with("line 3: not valid JSON") && seen[1].ends_with("at column 8"),
            "{seen:?}"
        );
        assert_eq!(seen[2..], ["4 3", "5 4"]);
    }
}
