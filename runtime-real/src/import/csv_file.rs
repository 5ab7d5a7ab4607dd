//! CSV.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use kernel::env::Limits;
use kernel::msgpack::Writer;
use kernel::query::KEY;

use super::quotes::Quotes;
use super::row::{Place, WRAPPED};
use super::types::{self, ColumnType};
use super::{BadRow, ReadError, Reading, Row};

/// What is done with a column.
struct Column {
    name: String,
    kind: Option<ColumnType>,
    /// It is the record's key, and no part of the value.
    apart: bool,
}

struct Columns {
    all: Vec<Column>,
    key: Option<usize>,
    limits: Limits,
}

pub(super) fn read(
    input: impl BufRead,
    reading: &Reading,
    take: &mut dyn FnMut(Result<Row, BadRow>) -> bool,
) -> Result<(), ReadError> {
    let lines = Rc::new(RefCell::new(Lines::default()));
    let input = Watched {
        input,
        lines: Rc::clone(&lines),
    };
    let mut reader = ReaderBuilder::new().from_reader(input);
    let names = reader.headers().map_err(|error| fatal(error, 1))?;
    let columns = Columns::new(names, reading)?;
    let (mut record, mut number) = (StringRecord::new(), 0);
    loop {
        let begin = reader.position().byte();
        let result = reader.read_record(&mut record);
        let line = lines.borrow_mut().line_of(begin);
        number += 1;
        let place = Place { number, line };
        let row = match result {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let quotes = &mut lines.borrow_mut().quotes;
                if let Some(line) = quotes.unclosed() {
                    // Whatever follows it was swallowed: there is nothing to skip to.
                    let reason = "the quote that is opened here is never closed".to_owned();
                    return Err(ReadError::Form { line, reason });
                }
                match quotes.stray_before(reader.position().byte()) {
                    Some(_) => Err(place.bad("text follows a closing quote".to_owned())),
                    None => columns.row(&record, place),
                }
            }
            Err(error) => Err(bad(error, place)?),
        };
        if !take(row) {
            return Err(ReadError::Stopped);
        }
    }
}

/// Where the lines begin that are read ahead and are not empty. (The parser counts lines too, and is one behind after `\r\n` and
/// where lines are empty.)
#[derive(Default)]
struct Lines {
    quotes: Quotes,
    /// Bytes and line ends so far.
    bytes: u64,
    ends: u64,
    /// The current line is not empty.
    begun: bool,
    /// The place of a line's first byte, and the line's number.
    begins: VecDeque<(u64, u64)>,
}

impl Lines {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.ends += 1;
                    self.begun = false;
                }
                b'\r' => {}
                _ if self.begun => {}
                _ => {
                    self.begun = true;
                    self.begins.push_back((self.bytes, self.ends + 1));
                }
            }
            self.bytes += 1;
        }
    }

    /// The line that a record begins on, when what came before it ends at `byte` or in the line end there.
    fn line_of(&mut self, byte: u64) -> u64 {
        while self.begins.front().is_some_and(|(begin, _)| *begin < byte) {
            self.begins.pop_front();
        }
        self.begins.front().map_or(self.ends + 1, |(_, line)| *line)
    }
}

struct Watched<R> {
    input: R,
    lines: Rc<RefCell<Lines>>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let mut lines = self.lines.borrow_mut();
        lines.quotes.read(&buffer[..read]);
        lines.read(&buffer[..read]);
        Ok(read)
    }
}

impl Columns {
    fn new(names: &StringRecord, reading: &Reading) -> Result<Self, ReadError> {
        let names: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(at, name)| match name.trim() {
                // Spreadsheets leave the first one out.
                "" => format!("column{}", at + 1),
                name => name.to_owned(),
            })
            .collect();
        if let Some((_, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(ReadError::TwoColumns { name: name.clone() });
        }
        let place = |name: &str| {
            let at = names.iter().position(|column| column == name);
            at.ok_or_else(|| ReadError::NoColumn {
                name: name.to_owned(),
                columns: names.join(", "),
            })
        };
        for name in reading.schema.keys() {
            place(name)?;
        }
        let key = reading.key.as_ref().map(|path| place(path.name())).transpose()?;
        let column = |name: &String| Column {
            name: name.clone(),
            kind: reading.schema.get(name).copied(),
            apart: name == KEY && reading.key.as_ref().is_some_and(|path| path.is_key()),
        };
        Ok(Self {
            all: names.iter().map(column).collect(),
            key,
            limits: Limits::default(),
        })
    }

    fn row(&self, record: &StringRecord, place: Place) -> Result<Row, BadRow> {
        let key = match self.key {
            None => place.number_key(),
            // As it is written: `1.50` is not `1.5`.
            Some(at) => match record.get(at).unwrap_or_default() {
                "" => {
                    let name = &self.all[at].name;
                    return Err(place.bad(format!("{name} is empty, so the row has no key")));
                }
                cell => cell.as_bytes().to_vec(),
            },
        };
        let cells = || self.all.iter().zip(record).filter(|(column, _)| !column.apart);
        let mut out = Writer::new();
        let apart = self.all.iter().any(|column| column.apart);
        let wrapped = apart && cells().count() == 1 && cells().all(|(column, _)| column.name == WRAPPED);
        if !wrapped {
            out.map(cells().count());
        }
        for (column, cell) in cells() {
            if !wrapped {
                out.text(&column.name);
            }
            let written = types::write(cell, column.kind, &mut out);
            written.map_err(|what| place.bad(format!("column {}: {what}", column.name)))?;
        }
        place.row(key, out.into_bytes(), &self.limits)
    }
}

/// What is wrong with one row; the next begins on the next line.
fn bad(error: csv::Error, place: Place) -> Result<BadRow, ReadError> {
    let reason = match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} cells, and there are {expected_len} columns")
        }
        ErrorKind::Utf8 { err, .. } => format!("the cell number {} is not UTF-8", err.field() + 1),
        _ => return Err(fatal(error, place.line)),
    };
    Ok(place.bad(reason))
}

fn fatal(error: csv::Error, line: u64) -> ReadError {
    let reason = error.to_string();
    match error.into_kind() {
        ErrorKind::Io(error) => ReadError::Io(error),
        _ => ReadError::Form { line, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{Form, Schema};
    use crate::net::json;
    use kernel::query::Path;

    fn rows(text: &[u8], key: Option<&str>, schema: Schema) -> Result<Vec<String>, String> {
        let reading = Reading {
            form: Form::Csv,
            key: key.map(|key| Path::parse(key).unwrap()),
            schema,
        };
        let mut rows = Vec::new();
        let read = crate::import::read(text, &reading, |row| {
            rows.push(match row {
                Ok(row) => {
                    let (key, value) = (
                        String::from_utf8(row.key).unwrap(),
                        json::from_msgpack(&row.value).unwrap(),
                    );
                    format!("{} {key} {value}", row.line)
                }
                Err(bad) => bad.to_string(),
            });
            true
        });
        read.map(|()| rows).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_have_the_names_of_the_columns_and_the_lines_that_they_begin_on() {
        let text = b"\xef\xbb\xbfa, b\r\n1,\"x\ny\"\r\n\r\n,z\n";
        let expected = [
            "2 0000000001 {\"a\":1,\"b\":\"x\\ny\"}",
            "5 0000000002 {\"a\":null,\"b\":\"z\"}",
        ];
        assert_eq!(rows(text, None, Schema::new()).unwrap(), expected);
    }

    #[test]
    fn bad_rows_are_told_with_their_lines_and_the_rest_is_read() {
        let text = b"a,b\n1,2,3\n\n1\n,5\n6,\xff\n7,x\n8,9\n";
        let schema = Schema::from([("b".to_owned(), ColumnType::Int)]);
        let expected = [
            "line 2: it has 3 cells, and there are 2 columns",
            "line 4: it has 1 cells, and there are 2 columns",
            "line 5: a is empty, so the row has no key",
            "line 6: the cell number 2 is not UTF-8",
            "line 7: column b: 'x' is no int",
            "8 8 {\"a\":8,\"b\":9}",
        ];
        assert_eq!(rows(text, Some("a"), schema).unwrap(), expected);
    }

    #[test]
    fn quotes_that_others_forgive_are_told() {
        let open = rows(b"a,b\n1,2\n3,\"x\n4,5\n6,7\n", None, Schema::new());
        assert_eq!(
            open,
            Err("line 3: the quote that is opened here is never closed".to_owned())
        );
        let stray = rows(b"a,b\n1,\"x\"y\n2,\"z\"\n", None, Schema::new()).unwrap();
        let expected = [
            "line 2: text follows a closing quote",
            "3 0000000002 {\"a\":2,\"b\":\"z\"}",
        ];
        assert_eq!(stray, expected);
    }

    #[test]
    fn columns_must_be_there_once() {
        let none = |key: &str| rows(b"a,b\n", Some(key), Schema::new());
        assert_eq!(none("c"), Err("there is no column c: there are a, b".to_owned()));
        let schema = Schema::from([("c".to_owned(), ColumnType::Int)]);
        assert!(rows(b"a,b\n", None, schema).is_err());
        let twice = rows(b"a,b,a\n", None, Schema::new());
        assert_eq!(twice, Err("there are two columns a".to_owned()));
        let unnamed = rows(b",b\n1,2\n", None, Schema::new()).unwrap();
        assert_eq!(unnamed, ["2 0000000001 {\"column1\":1,\"b\":2}"]);
        assert_eq!(rows(b"", None, Schema::new()), Ok(vec![]));
    }

    #[test]
    fn the_column_key_is_no_part_of_the_value() {
        let apart = rows(b"_key,a\n1.50,2\n", Some("_key"), Schema::new()).unwrap();
        assert_eq!(apart, ["2 1.50 {\"a\":2}"]);
        let wrapped = rows(b"_key,value\nk,2\n", Some("_key"), Schema::new()).unwrap();
        assert_eq!(wrapped, ["2 k 2"]);
        let kept = rows(b"_key,a\nk,2\n", Some("a"), Schema::new()).unwrap();
        assert_eq!(kept, ["2 2 {\"_key\":\"k\",\"a\":2}"]);
    }
}
