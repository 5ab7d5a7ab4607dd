//! `export`: print a map as a file that can be imported.
//!
//! NDJSON is exact. CSV goes over the map twice: first for its columns, all that any row has in the order in which they are met, and
//! for those whose cells would be read back as something else; then for the rows. What such columns need to be read back is said
//! in the end: `--schema zip:text,tags:json`. A field that a row does not have comes back as null.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use csv::Writer;
use futures_lite::future::block_on;
use kernel::msgpack::{Kind, Reader};
use kernel::query::{KEY, Query};

use super::args::NodeArgs;
use super::data::writer_name;
use super::output::{Output, Stop};
use super::query::{predicate, rows_word};
use super::rows::{cell, json_text, key_text, line, row_fields};
use super::{Exit, complain};
use crate::client::{Answer, Client};
use crate::import::{ColumnType, reads_back};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// What to print
    #[arg(long)]
    pub map: String,
    /// The form; the key is the field _key
    #[arg(long, value_enum, default_value_t = ExportForm::Ndjson)]
    pub format: ExportForm,
    /// Only the records that match
    #[arg(long, value_name = "FILTER", default_value = "", hide_default_value = true)]
    pub filter: String,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExportForm {
    Ndjson,
    Csv,
}

pub(super) fn run(args: &ExportArgs) -> Exit {
    let (predicate, writer) = match (predicate(&args.filter), writer_name()) {
        (Ok(predicate), Ok(writer)) => (predicate, writer),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let query = Query {
        predicate,
        ..Query::of(&args.map)
    };
    let done = block_on(async {
        let mut client = Client::connect(&args.node.addr, args.node.token.as_deref(), writer).await?;
        match args.format {
            ExportForm::Ndjson => ndjson(&mut client, &query).await,
            ExportForm::Csv => csv_rows(&mut client, &query).await,
        }
    });
    done.unwrap_or_else(Stop::exit)
}

fn told(rows: usize) {
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{rows} {}\n", rows_word(rows)));
}

async fn ndjson(client: &mut Client, query: &Query) -> Result<Exit, Stop> {
    let (mut out, mut count) = (Output::new(), 0);
    let pages = client.pages(query, |rows| {
        count += rows.len();
        rows.iter()
            .try_for_each(|(key, value)| out.line(&line(key, value)))
            .map_err(Stop::from)
    });
    pages.await?;
    out.flush()?;
    told(count);
    Ok(Exit::Done)
}

async fn csv_rows(client: &mut Client, query: &Query) -> Result<Exit, Stop> {
    let mut columns = Columns::default();
    let pages = client.pages(query, |rows| {
        rows.iter().for_each(|row| columns.meet(row));
        Ok::<(), Stop>(())
    });
    pages.await?;
    let mut out = Writer::from_writer(Output::new());
    let names = [KEY]
        .into_iter()
        .chain(columns.all.iter().map(|column| column.name.as_str()));
    out.write_record(names).map_err(output)?;
    let (mut count, mut left_out) = (0, BTreeSet::new());
    let pages = client.pages(query, |rows| {
        count += rows.len();
        for row in &rows {
            out.write_record(columns.record(row, &mut left_out)).map_err(output)?;
        }
        Ok::<(), Stop>(())
    });
    pages.await?;
    out.flush()?;
    told(count);
    if !left_out.is_empty() {
        let names: Vec<_> = left_out.into_iter().collect();
        let names = names.join(", ");
        let what = format!("the map was written to meanwhile, and fields that came in are not in the file: {names}");
        complain("changed_meanwhile", &what, "export again, or as ndjson");
        return Ok(Exit::Refused);
    }
    let schema = columns.schema();
    if !schema.is_empty() {
        let hint = format!("to read back the same values, import it with --key _key --schema '{schema}'\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), hint.as_bytes());
    }
    Ok(Exit::Done)
}

fn output(error: csv::Error) -> Stop {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Stop::Output(error),
        other => Stop::Output(std::io::Error::other(format!("{other:?}"))),
    }
}

#[derive(Default)]
struct Columns {
    all: Vec<Column>,
}

/// A column, and what its values are.
struct Column {
    name: String,
    /// There is a text that would be read back as something else.
    odd_text: bool,
    /// There is a value that is neither text nor null.
    other: bool,
    /// There is a value that only JSON can say: a list, a map, an empty text.
    json: bool,
}

impl Column {
    /// How its cells must be read to be what they were.
    fn kind(&self) -> Option<ColumnType> {
        match (self.json || self.odd_text && self.other, self.odd_text) {
            (true, _) => Some(ColumnType::Json),
            (false, true) => Some(ColumnType::Text),
            (false, false) => None,
        }
    }
}

impl Columns {
    fn meet(&mut self, (_, value): &Answer) {
        for (name, value) in row_fields(value) {
            let at = self.all.iter().position(|column| column.name == name);
            let at = at.unwrap_or_else(|| {
                self.all.push(Column {
                    name: name.to_owned(),
                    odd_text: false,
                    other: false,
                    json: false,
                });
                self.all.len() - 1
            });
            let column = &mut self.all[at];
            match Reader::new(value).peek() {
                Ok(Kind::Null) => {}
                Ok(Kind::Text) => {
                    let text = cell(value);
                    column.json |= text.is_empty();
                    column.odd_text |= !reads_back(&text);
                }
                Ok(Kind::Bool | Kind::Int | Kind::Float) => column.other = true,
                _ => column.json = true,
            }
        }
    }

    fn record(&self, (key, value): &Answer, left_out: &mut BTreeSet<String>) -> Vec<String> {
        let mut record = vec![String::new(); 1 + self.all.len()];
        record[0] = key_text(key);
        for (name, value) in row_fields(value) {
            match self.all.iter().position(|column| column.name == name) {
                Some(at) if self.all[at].kind() == Some(ColumnType::Json) => record[at + 1] = json_text(value),
                Some(at) => record[at + 1] = cell(value),
                None => _ = left_out.insert(name.to_owned()),
            }
        }
        record
    }

    fn schema(&self) -> String {
        let needed = self
            .all
            .iter()
            .filter_map(|column| Some((&column.name, column.kind()?)));
        let needed: Vec<_> = needed.map(|(name, kind)| format!("{name}:{}", kind.word())).collect();
        needed.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::json;

    fn row(value: &str) -> Answer {
        (b"k".to_vec(), json::to_msgpack(value.as_bytes()).unwrap().to_vec())
    }

    #[test]
    fn columns_are_those_of_all_rows_with_what_it_takes_to_read_them_back() {
        let rows = [
            row("{\"plain\":\"x\",\"n\":1,\"zip\":\"501\",\"mixed\":1,\"list\":[1]}"),
            row("{\"zip\":null,\"mixed\":\"1\",\"late\":\"\",\"n\":2.5}"),
        ];
        let mut columns = Columns::default();
        rows.iter().for_each(|row| columns.meet(row));
        assert_eq!(columns.schema(), "zip:text,mixed:json,list:json,late:json");
        let mut left_out = BTreeSet::new();
        assert_eq!(
            columns.record(&rows[0], &mut left_out),
            ["k", "x", "1", "501", "1", "[1]", ""]
        );
        assert_eq!(
            columns.record(&rows[1], &mut left_out),
            ["k", "", "2.5", "", "\"1\"", "", "\"\""]
        );
        assert!(left_out.is_empty());
        columns.record(&row("{\"new\":1}"), &mut left_out);
        assert_eq!(left_out.len(), 1);
    }
}
