//! `import`: write the rows of a file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime};

use async_channel::bounded;
use clap::{Args, ValueEnum};
use futures_lite::future::block_on;
use kernel::env::Limits;
use kernel::query::Path;
use kernel::store::RecordKey;
use kernel::wire::ReadConsistency;

use super::args::NodeArgs;
use super::data::failed;
use super::progress::Progress;
use super::query::{path, rows_word};
use super::times::{at, duration, millis};
use super::{Exit, complain, say};
use crate::client::{Client, ClientError, Place};
use crate::import::send::{News, SendError, send};
use crate::import::{ColumnType, Form, ReadError, Reading, Row, Target, column, read};

/// Rows that are read ahead.
const AHEAD: usize = 256;

/// Longest name of a file in that of a writer, in bytes.
const WRITER_FILE_BYTES: usize = 100;

#[derive(Debug, Args)]
#[command(
    after_help = "A row that is imported again is the very same write: a second import of a file changes nothing, and one that was \
    interrupted is finished by saying it again. The rows are as old as the file was last modified, so that no newer edit is \
    overwritten; to write them as of now, after a change of --schema for instance, say --at now."
)]
pub(super) struct ImportArgs {
    /// CSV, a JSON array, or NDJSON, by its extension (.csv, .json, .ndjson, .jsonl) or --format; - for standard input
    pub file: PathBuf,
    /// Where the rows go
    #[arg(long)]
    pub map: String,
    /// The field whose value is the row's key; without, the number of the row in ten digits. The field _key is taken out of the value
    #[arg(long, value_name = "FIELD", value_parser = path)]
    pub key: Option<Path>,
    /// The form of the file
    #[arg(long, value_enum)]
    pub format: Option<FileForm>,
    /// The types of CSV columns that are not to be guessed: int, float, bool, text, json
    #[arg(long, value_name = "NAME:TYPE,...", value_delimiter = ',', value_parser = column)]
    pub schema: Vec<(String, ColumnType)>,
    /// What becomes of a bad row: it is left out, or it ends the import
    #[arg(long, value_enum, default_value_t = OnError::Fail)]
    pub on_error: OnError,
    /// Most rows of one request
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub batch: u16,
    /// When the rows were written: now, or milliseconds since 1970; without, when the file was last modified
    #[arg(long, value_name = "TIME", value_parser = at)]
    pub at: Option<u64>,
    /// How long a node may be away or refuse
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub retry_for: Duration,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FileForm {
    Csv,
    Json,
    Ndjson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    Skip,
    Fail,
}

/// Why an import cannot begin.
#[derive(Debug, thiserror::Error)]
enum Cannot {
    #[error("{path}: {error}", path = path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("what is the form of {path}? Say --format csv, json or ndjson", path = path.display())]
    Form { path: PathBuf },
    #[error("--schema is for CSV: JSON says itself what its values are")]
    Schema,
    #[error("{0}")]
    Map(String),
}

impl Cannot {
    fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "cannot_open",
            Self::Form { .. } => "unknown_form",
            Self::Schema => "schema_of_json",
            Self::Map(_) => "bad_map_name",
        }
    }
}

/// What is read, and what is known of it.
struct Source {
    input: Box<dyn Read + Send>,
    bytes: Option<u64>,
    modified: SystemTime,
    name: String,
}

pub(super) fn run(args: &ImportArgs) -> Exit {
    match prepare(args) {
        Ok((source, reading)) => import(args, source, reading),
        Err(error) => {
            complain(error.code(), &error, "");
            Exit::Usage
        }
    }
}

fn prepare(args: &ImportArgs) -> Result<(Source, Reading), Cannot> {
    let form = form(args)?;
    if form != Form::Csv && !args.schema.is_empty() {
        return Err(Cannot::Schema);
    }
    RecordKey::new(&args.map, b"key", &Limits::default()).map_err(|bad| Cannot::Map(bad.to_string()))?;
    let reading = Reading {
        form,
        key: args.key.clone(),
        schema: args.schema.iter().cloned().collect(),
    };
    Ok((open(&args.file)?, reading))
}

fn is_stdin(path: &FilePath) -> bool {
    path == FilePath::new("-")
}

fn form(args: &ImportArgs) -> Result<Form, Cannot> {
    if let Some(form) = args.format {
        return Ok(match form {
            FileForm::Csv => Form::Csv,
            FileForm::Json => Form::Json,
            FileForm::Ndjson => Form::Ndjson,
        });
    }
    let extension = args
        .file
        .extension()
        .and_then(OsStr::to_str)
        .map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("csv") => Ok(Form::Csv),
        Some("json") => Ok(Form::Json),
        Some("ndjson" | "jsonl") => Ok(Form::Ndjson),
        _ => Err(Cannot::Form {
            path: args.file.clone(),
        }),
    }
}

fn open(path: &FilePath) -> Result<Source, Cannot> {
    if is_stdin(path) {
        return Ok(Source {
            input: Box::new(io::stdin()),
            bytes: None,
            modified: SystemTime::now(),
            name: "-".to_owned(),
        });
    }
    let cannot = |error| Cannot::Open {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err(cannot(io::ErrorKind::IsADirectory.into()));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Source {
        bytes: about.is_file().then_some(about.len()),
        modified: about.modified().map_err(cannot)?,
        name: name.into_owned(),
        input: Box::new(file),
    })
}

fn import(args: &ImportArgs, source: Source, reading: Reading) -> Exit {
    let target = Target {
        addr: args.node.addr.clone(),
        token: args.node.token.clone(),
        map: args.map.clone(),
        writer: writer(&source.name),
        at_ms: args.at.unwrap_or_else(|| millis(source.modified)),
        batch: args.batch.into(),
        retry_for: args.retry_for,
    };
    let read_bytes = Arc::new(AtomicU64::new(0));
    let mut progress = Progress::new(source.bytes, Arc::clone(&read_bytes));
    let (gives, rows) = bounded(AHEAD);
    let input = BufReader::with_capacity(
        64 << 10,
        Counted {
            input: source.input,
            bytes: read_bytes,
        },
    );
    let first = Arc::new(OnceLock::new());
    let sets_first = Arc::clone(&first);
    let reader = thread::spawn(move || {
        read_all(input, &reading, |row| {
            if let Ok(row) = &row {
                sets_first.get_or_init(|| row.clone());
            }
            gives.send_blocking(row).is_ok()
        })
    });
    let mut news = |news: News<'_>| match news {
        News::Acknowledged(rows) => {
            progress.acknowledged(rows);
            true
        }
        News::Bad(bad) if args.on_error == OnError::Skip => {
            progress.skipped(&bad.to_string());
            true
        }
        News::Bad(_) => false,
        News::Waiting(error) => {
            let patience = args.retry_for.as_secs();
            progress.say(&format!(
                "waiting[{}]: {error}; trying again for up to {patience} s",
                error.code()
            ));
            true
        }
    };
    let sent = block_on(send(&target, rows, &mut news));
    progress.end();
    let done = progress.acknowledged;
    let summary = format!(
        "imported into {}: {done} {} acknowledged, {} skipped, {} rows/s",
        args.map,
        rows_word(done as usize),
        progress.skipped,
        progress.rate()
    );
    match sent {
        // The reader has ended, or rows would still come.
        Ok(()) => match reader.join() {
            Ok(Ok(())) => {
                say(&summary);
                if first.get().is_some_and(|row| is_held_otherwise(&target, row)) {
                    progress.say(&format!(
                        "note: {} holds this file as it was read in another way, and rows of one time do not replace each other; \
                         to write what was read now, say --at now",
                        args.map
                    ));
                }
                Exit::Done
            }
            Ok(Err(error)) => {
                complain("bad_file", &error, &summary);
                Exit::Usage
            }
            Err(panic) => std::panic::resume_unwind(panic),
        },
        Err(SendError::Bad(bad)) => {
            complain(
                "bad_row",
                &bad,
                "correct it, or leave such rows out with --on-error skip",
            );
            progress.say(&summary);
            Exit::Usage
        }
        Err(SendError::Node { error, unknown }) => {
            let exit = failed(&error);
            progress.say(&summary);
            if unknown == 0 {
                return exit;
            }
            progress.say(&format!(
                "of {unknown} {} nobody knows whether they were written; importing again is safe",
                rows_word(unknown)
            ));
            match error {
                ClientError::Refused { .. } => exit,
                _ => Exit::Unknown,
            }
        }
    }
}

/// Whether a row is there under its very stamp and is another: the file was imported before with another `--schema`, perhaps.
fn is_held_otherwise(target: &Target, row: &Row) -> bool {
    let Ok(key) = str::from_utf8(&row.key) else {
        return false;
    };
    let at = Place { map: &target.map, key };
    let found = block_on(async {
        let mut client = Client::connect(&target.addr, target.token.as_deref(), target.writer.clone()).await?;
        client.get(at, ReadConsistency::default()).await
    });
    // All rows are acknowledged; this is only a note.
    let held = found.ok().and_then(|found| found.value);
    held.is_some_and(|(value, stamp)| stamp == target.stamp(row.number) && value[..] != row.value[..])
}

fn read_all(
    input: impl BufRead,
    reading: &Reading,
    take: impl FnMut(crate::import::send::Parsed) -> bool,
) -> Result<(), ReadError> {
    match read(input, reading, take) {
        // Whoever sends them knows why.
        Err(ReadError::Stopped) => Ok(()),
        done => done,
    }
}

/// Counts what is read.
struct Counted {
    input: Box<dyn Read + Send>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The name that the rows of a file are written under: the same whenever it is imported.
fn writer(file: &str) -> String {
    let mut end = file.len().min(WRITER_FILE_BYTES);
    while !file.is_char_boundary(end) {
        end -= 1;
    }
    format!("import:{}", &file[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_named_after_the_file_as_far_as_it_fits() {
        assert_eq!(writer("airports.csv"), "import:airports.csv");
        let long = writer(&"é".repeat(200));
        assert!(long.len() <= 128 && long.ends_with('é'));
    }
}
