//! `query`: the records that match. What `watch` takes is the same.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use futures_lite::future::block_on;
use kernel::env::Limits;
use kernel::query::{Direction, FilterError, KEY, Path, Predicate, Query};
use kernel::wire::Code;
use kernel::wire::query::Explained;

use super::args::NodeArgs;
use super::data::writer_name;
use super::output::{Output, Stop};
use super::rows::{cell, fields, json_text, key_text, line, row_fields};
use super::{Exit, complain};
use crate::client::{Answer, Client, ClientError};

/// Columns of a terminal that does not say how many it has.
const TERMINAL_COLUMNS: u16 = 100;

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    pub map: String,
    /// Such as: state=CA and latitude > 35, name like "%Muni%", state in (CA, NV), city is null, address.zip = 00501
    #[arg(default_value = "", hide_default_value = true)]
    pub filter: String,
    /// The fields to order by, each with :desc if the greatest come first; without, by key
    #[arg(long, value_name = "FIELD[:desc],...", value_delimiter = ',', value_parser = order)]
    pub order: Vec<(Path, Direction)>,
    /// The most records to print
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The fields to print; without, all
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', value_parser = path)]
    pub fields: Option<Vec<Path>>,
    /// A table on a terminal and NDJSON elsewhere, unless it is said
    #[arg(long, value_enum)]
    pub format: Option<RowForm>,
    /// Print how the records are found, and how many there are, instead of them
    #[arg(long, conflicts_with = "format")]
    pub explain: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RowForm {
    Table,
    Json,
    Ndjson,
}

impl QueryArgs {
    /// The form to print in.
    pub fn form(&self) -> RowForm {
        self.format.unwrap_or(match io::stdout().is_terminal() {
            true => RowForm::Table,
            false => RowForm::Ndjson,
        })
    }

    /// What is asked.
    pub fn query(&self) -> Result<Query, Exit> {
        Ok(Query {
            predicate: predicate(&self.filter)?,
            order: self.order.clone(),
            limit: self.limit,
            fields: self.fields.clone(),
            ..Query::of(&self.map)
        })
    }

    /// Whether the rows that come back have their key among their fields already.
    fn asks_for_key(&self) -> bool {
        self.fields.iter().flatten().any(Path::is_key)
    }

    /// A row as one line of JSON, with its key.
    pub fn line(&self, key: &[u8], value: &[u8]) -> String {
        match self.asks_for_key() {
            true => json_text(value),
            false => line(key, value),
        }
    }
}

/// Reads a filter, or shows where it is wrong.
pub(super) fn predicate(filter: &str) -> Result<Predicate, Exit> {
    Predicate::parse(filter, &Limits::default()).map_err(|error| {
        let hint =
            "texts stand in double quotes, fields with spaces in backticks: `US Gross` > 5 and name like \"%muni%\"";
        complain("bad_filter", &format_args!("{error}\n{}", caret(filter, &error)), hint);
        Exit::Usage
    })
}

/// The filter with a mark under the place of the error, as much of it as a line holds.
fn caret(filter: &str, error: &FilterError) -> String {
    const BEFORE: usize = 60;
    let first = error.at.saturating_sub(1 + BEFORE);
    let shown = filter.chars().skip(first).take(BEFORE + 20);
    let shown: String = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("  {shown}\n  {}^", " ".repeat(error.at - 1 - first))
}

pub(super) fn run(args: &QueryArgs) -> Exit {
    let (query, writer) = match (args.query(), writer_name()) {
        (Ok(query), Ok(writer)) => (query, writer),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    if args.explain {
        return match block_on(explain(args, &query, writer)) {
            Ok(()) => Exit::Done,
            Err(stop) => stop.exit(),
        };
    }
    let mut printer = Printer::new(args);
    let printed = block_on(async {
        let mut client = Client::connect(&args.node.addr, args.node.token.as_deref(), writer).await?;
        match client.query(&query).await {
            // It does not fit one frame.
            Err(ClientError::Refused { code, .. }) if code == Code::TooLarge.name() && query.order.is_empty() => {
                client.pages(&query, |rows| printer.rows(rows)).await
            }
            Err(ClientError::Refused { code, reason, .. }) if code == Code::TooLarge.name() => {
                // Pages go by the key, and this has another order.
                let hint = "narrow it by a filter, or ask for the first with --limit";
                Err(Stop::Node(ClientError::Refused { code, reason, hint }))
            }
            rows => printer.rows(rows?),
        }
    });
    match printed.and_then(|()| printer.end()) {
        Ok(rows) => {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("{rows} {}\n", rows_word(rows)));
            Exit::Done
        }
        Err(stop) => stop.exit(),
    }
}

async fn explain(args: &QueryArgs, query: &Query, writer: String) -> Result<(), Stop> {
    let mut client = Client::connect(&args.node.addr, args.node.token.as_deref(), writer).await?;
    let (rows, explained) = client.explain(query).await?;
    let mut out = Output::new();
    match explained {
        Some(explained) => explanation(&explained, rows)
            .iter()
            .try_for_each(|line| out.line(line))?,
        None => out.line(&"the node does not say how")?,
    }
    Ok(out.flush()?)
}

/// A line for each thing that is known of how an answer was come by.
fn explanation(explained: &Explained, rows: usize) -> Vec<String> {
    let Explained { plan, nodes } = explained;
    let pruned = match plan.pruned_by.is_empty() {
        true => "no condition says where the records are".to_owned(),
        false => format!("by {}", visible(&plan.pruned_by.join(" and "))),
    };
    let limit = plan.limit.map_or("none".to_owned(), |limit| limit.to_string());
    vec![
        format!("partitions  {} of {}: {pruned}", plan.partitions, plan.of),
        format!("nodes       {nodes}"),
        format!("order       {}", visible(&plan.order.join(", "))),
        format!("offset      {}", plan.offset),
        format!("limit       {limit}"),
        format!("answer      {rows} {}", rows_word(rows)),
    ]
}

pub(super) fn rows_word(rows: usize) -> &'static str {
    if rows == 1 { "row" } else { "rows" }
}

struct Printer<'a> {
    args: &'a QueryArgs,
    form: RowForm,
    out: Output,
    count: usize,
    /// What a table is made of in the end.
    kept: Vec<Answer>,
}

impl<'a> Printer<'a> {
    fn new(args: &'a QueryArgs) -> Self {
        Self {
            args,
            form: args.form(),
            out: Output::new(),
            count: 0,
            kept: Vec::new(),
        }
    }

    fn rows(&mut self, rows: Vec<Answer>) -> Result<(), Stop> {
        for (key, value) in rows {
            match self.form {
                RowForm::Table => self.kept.push((key, value)),
                RowForm::Ndjson => self.out.line(&self.args.line(&key, &value))?,
                RowForm::Json => {
                    let start = if self.count == 0 { "[" } else { "," };
                    self.out
                        .line(&format_args!("{start}{}", self.args.line(&key, &value)))?;
                }
            }
            self.count += 1;
        }
        Ok(())
    }

    fn end(mut self) -> Result<usize, Stop> {
        match self.form {
            RowForm::Table if self.count > 0 => {
                let table = table(self.args, &self.kept);
                self.out.line(&table)?;
            }
            RowForm::Json if self.count == 0 => self.out.line(&"[]")?,
            RowForm::Json => self.out.line(&"]")?,
            RowForm::Table | RowForm::Ndjson => {}
        }
        self.out.flush()?;
        Ok(self.count)
    }
}

fn table(args: &QueryArgs, rows: &[Answer]) -> Table {
    let rows: Vec<_> = rows
        .iter()
        .map(|(key, value)| {
            let fields = match args.fields {
                // Named as they were asked for; the key has its column anyway.
                Some(_) => fields(value).unwrap_or_default(),
                None => row_fields(value),
            };
            (key, fields)
        })
        .collect();
    let mut columns: Vec<&str> = args
        .fields
        .iter()
        .flatten()
        .map(Path::name)
        .filter(|name| *name != KEY)
        .collect();
    for (_, fields) in rows.iter().filter(|_| args.fields.is_none()) {
        for (name, _) in fields {
            if !columns.contains(name) {
                columns.push(name);
            }
        }
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(terminal_columns());
    }
    table.set_header([KEY].iter().chain(&columns).map(|name| visible(name)));
    for (key, fields) in &rows {
        let found = |column: &&str| {
            fields
                .iter()
                .find(|(name, _)| name == column)
                .map(|(_, value)| cell(value))
        };
        let cells = columns.iter().map(|column| found(column).unwrap_or_default());
        let key = std::iter::once(key_text(key));
        table.add_row(key.chain(cells).map(|text| visible(&text)));
    }
    table
}

/// A text that does nothing to a terminal but show.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

fn terminal_columns() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    size.map(|size| size.ws_col)
        .ok()
        .filter(|columns| *columns > 0)
        .unwrap_or(TERMINAL_COLUMNS)
}

pub(super) fn path(name: &str) -> Result<Path, String> {
    Path::parse(name.trim()).map_err(|error| error.to_string())
}

fn order(text: &str) -> Result<(Path, Direction), String> {
    let (name, direction) = match text.rsplit_once(':') {
        Some((name, "desc")) => (name, Direction::Descending),
        Some((name, "asc")) => (name, Direction::Ascending),
        _ => (text, Direction::Ascending),
    };
    Ok((path(name)?, direction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_marked_where_it_is_wrong() {
        let mark = |filter: &str| caret(filter, &Predicate::parse(filter, &Limits::default()).unwrap_err());
        assert_eq!(mark("state ="), "  state =\n         ^");
        assert_eq!(mark("ñ ! 1"), "  ñ ! 1\n    ^");
        let long = format!("a = 1 and{} state", " a = 1 and".repeat(30));
        let marked = mark(&long);
        let lines: Vec<_> = marked.lines().collect();
        assert!(lines[0].ends_with("state") && lines[1].len() == 63, "{marked}");
    }

    #[test]
    fn orders_are_fields_with_a_direction() {
        let of = |text: &str| order(text).map(|(path, direction)| (path.name().to_owned(), direction));
        assert_eq!(of("a.b"), Ok(("a.b".to_owned(), Direction::Ascending)));
        assert_eq!(of("a:desc"), Ok(("a".to_owned(), Direction::Descending)));
        assert_eq!(of("a:b"), Ok(("a:b".to_owned(), Direction::Ascending)));
        assert!(of("").is_err() && of(":desc").is_err());
    }

    #[test]
    fn an_answer_is_explained_line_by_line() {
        let query = Query {
            predicate: Predicate::parse("_key in (a, b)", &Limits::default()).unwrap(),
            limit: Some(3),
            ..Query::of("m")
        };
        let plan = query.explain(&kernel::partition::Routing::new(), Default::default());
        let lines = explanation(&Explained { plan, nodes: 2 }, 1);
        assert!(lines[0].starts_with("partitions  2 of 271: by _key in ("), "{lines:?}");
        assert_eq!(lines[1..3], ["nodes       2", "order       _key asc"]);
        assert_eq!(lines[4..], ["limit       3", "answer      1 row"]);
    }

    #[test]
    fn what_would_move_a_terminal_is_shown_escaped() {
        assert_eq!(visible("a\u{1b}[2J\n\u{9b}é"), "a\\u{1b}[2J\\n\\u{9b}é");
    }
}
