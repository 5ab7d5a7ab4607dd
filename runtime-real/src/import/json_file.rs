//! A JSON array, one element at a time: the file need not fit into memory.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use kernel::env::Limits;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::row::Place;
use super::{BadRow, ReadError, Reading, Row};

pub(super) fn read(
    input: impl BufRead,
    reading: &Reading,
    take: &mut dyn FnMut(Result<Row, BadRow>) -> bool,
) -> Result<(), ReadError> {
    let line = Rc::new(Cell::new(1));
    let lines = Lines {
        input,
        line: Rc::clone(&line),
    };
    let mut from = serde_json::Deserializer::from_reader(lines);
    let stopped = Cell::new(false);
    let rows = Rows {
        reading,
        line: &line,
        take,
        stopped: &stopped,
    };
    let done = from.deserialize_seq(rows).and_then(|()| from.end());
    match done {
        Ok(()) => Ok(()),
        Err(_) if stopped.get() => Err(ReadError::Stopped),
        Err(error) if error.is_io() => Err(ReadError::Io(error.into())),
        Err(error) => Err(ReadError::Form {
            line: line.get(),
            reason: format!("not a JSON array: {error}"),
        }),
    }
}

/// Counts the lines as they are read. The reader of JSON takes one byte at a time, and is never more than one ahead.
struct Lines<R> {
    input: R,
    line: Rc<Cell<u64>>,
}

impl<R: BufRead> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let ends = buffer[..read].iter().filter(|byte| **byte == b'\n').count();
        self.line.set(self.line.get() + ends as u64);
        Ok(read)
    }
}

struct Rows<'a> {
    reading: &'a Reading,
    line: &'a Cell<u64>,
    take: &'a mut dyn FnMut(Result<Row, BadRow>) -> bool,
    stopped: &'a Cell<bool>,
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array; for one value a line there is the form ndjson")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let limits = Limits::default();
        let mut number = 0;
        while let Some((line, value)) = elements.next_element_seed(Element { line: self.line })? {
            number += 1;
            let row = Place { number, line }.document(value, self.reading.key.as_ref(), &limits);
            if !(self.take)(row) {
                self.stopped.set(true);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// One element as MessagePack, and the line that it begins on.
struct Element<'a> {
    line: &'a Cell<u64>,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = (u64, Vec<u8>);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        // Its first byte has been looked at.
        let line = self.line.get();
        let mut value = Vec::new();
        let mut to = rmp_serde::Serializer::new(&mut value);
        serde_transcode::transcode(from, &mut to).map_err(D::Error::custom)?;
        Ok((line, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{Form, Schema};
    use crate::net::json;
    use kernel::query::Path;

    fn rows(text: &str, most: usize) -> (Vec<String>, Result<(), ReadError>) {
        let reading = Reading {
            form: Form::Json,
            key: Some(Path::parse("t").unwrap()),
            schema: Schema::new(),
        };
        let mut rows = Vec::new();
        let read = crate::import::read(text.as_bytes(), &reading, |row| {
            rows.push(match row {
                Ok(row) => format!(
                    "{} {} {}",
                    row.line,
                    String::from_utf8(row.key).unwrap(),
                    json::from_msgpack(&row.value).unwrap()
                ),
                Err(bad) => bad.to_string(),
            });
            rows.len() < most
        });
        (rows, read)
    }

    #[test]
    fn elements_keep_their_types_and_the_order_of_their_fields() {
        let (seen, read) = rows(
            "\n[ {\"z\":null,\"t\":\"a\"},\n\n{\"t\":9,\n\"x\":1.0}, {\"t\":null}, 5 ]\n",
            9,
        );
        read.unwrap();
        let expected = [
            "2 a {\"z\":null,\"t\":\"a\"}",
            "4 9 {\"t\":9,\"x\":1.0}",
            "line 5: t is null, so the row has no key",
            "line 5: t is not there, so the row has no key",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_no_array_ends_it_where_it_breaks() {
        for text in ["{\"t\":1}", "", "[1] 2", "7"] {
            assert!(
                matches!(rows(text, 9).1, Err(ReadError::Form { line: 1, .. })),
                "{text}"
            );
        }
        let (seen, read) = rows("[{\"t\":1},\n{\"t\": nope}]", 9);
        assert_eq!(seen.len(), 1);
        let error = read.unwrap_err().to_string();
        assert!(
            error.starts_with("line 2: not a JSON array") && error.contains("column"),
            "{error}"
        );
    }

    #[test]
    fn whoever_takes_them_can_stop() {
        let (seen, read) = rows("[{\"t\":1},{\"t\":2},{\"t\":3}]", 2);
        assert!(seen.len() == 2 && matches!(read, Err(ReadError::Stopped)));
    }
}
