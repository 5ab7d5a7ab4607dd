//! Files of rows, read and sent.
//!
//! [`read`] turns CSV, a JSON array or NDJSON into [`Row`]s, one at a time; [`send`] writes them to a node in batches, over as many
//! connections as it takes.
//!
//! **An import is idempotent and can be resumed**, because the stamp of a row depends on nothing but the file: its time is the
//! file's last modification (or what `--at` says), moved on by a millisecond every 65,536 rows, its counter the row's number
//! within those, and its writer is named after the file. So a row that is sent again, by this process or the next, is the
//! very same write; of two rows with one key the later one stays; and whoever has edited a record since the file was written is
//! not overwritten.

mod csv_file;
mod json_file;
mod ndjson_file;
mod quotes;
mod row;
pub mod send;
mod target;
mod types;

use std::io::{self, BufRead};

use kernel::query::Path;

pub(crate) use row::WRAPPED;
pub use row::{BadRow, Row};
pub use target::Target;
pub use types::{ColumnType, Schema, SchemaError, column, reads_back};

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Comma-separated values (RFC 4180) with a line of names first.
    Csv,
    /// One JSON array.
    Json,
    /// One JSON value a line.
    Ndjson,
}

/// How rows are read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The form of the file.
    pub form: Form,
    /// The field that a row's key is taken from; without one it is the row's number. The field `_key` is a name for the key alone,
    /// and is no part of the value.
    pub key: Option<Path>,
    /// The types of columns, where they are not to be guessed. For CSV only.
    pub schema: Schema,
}

/// Why the rest of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is not of that form, and where it goes on is not to be seen.
    #[error("line {line}: {reason}")]
    Form {
        /// From 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A column that was named is not there.
    #[error("there is no column {name}: there are {columns}")]
    NoColumn {
        /// What was asked for.
        name: String,
        /// What there is.
        columns: String,
    },
    /// Two columns have one name.
    #[error("there are two columns {name}")]
    TwoColumns {
        /// Which.
        name: String,
    },
    /// Whoever took the rows wants no more.
    #[error("stopped")]
    Stopped,
}

/// Reads a file and gives each row to `take`, in order, a bad one with what is wrong. `take` says whether it wants more.
///
/// # Errors
/// [`ReadError`]. All rows before the place were given.
pub fn read(
    input: impl BufRead,
    reading: &Reading,
    mut take: impl FnMut(Result<Row, BadRow>) -> bool,
) -> Result<(), ReadError> {
    match reading.form {
        Form::Csv => csv_file::read(input, reading, &mut take),
        Form::Json => json_file::read(input, reading, &mut take),
        Form::Ndjson => ndjson_file::read(input, reading, &mut take),
    }
}
