//! Why a data folder cannot be used. Each names the path.

use std::io;
use std::path::PathBuf;

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something that is no folder stands there.
    #[error("{path} is not a folder")]
    NotAFolder {
        /// Where.
        path: PathBuf,
    },
    /// Another node runs on it.
    #[error("{path} is in use by another node: stop it, or choose another folder with --data")]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("{path} was written in format {found}, and this version knows formats up to {known}: use a newer version")]
    Newer {
        /// Which folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// A file of the folder does not hold what it should.
    #[error("{path} does not hold {expected}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// It holds other files, and is not a data folder.
    #[error("{path} holds other files and is no data folder: choose an empty or new one with --data")]
    Foreign {
        /// Which folder.
        path: PathBuf,
    },
    /// A file that was there is not, or is empty.
    #[error(
        "{path} is gone or empty: this folder had a database there; restore it, or choose a new folder with --data"
    )]
    Lost {
        /// Which file.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("cannot {doing} {path}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        error: io::Error,
    },
    /// LMDB said no.
    #[error("cannot open the database in {path}: {error}")]
    Database {
        /// Which folder.
        path: PathBuf,
        /// Its answer.
        error: heed::Error,
    },
}

impl FolderError {
    /// A stable word for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAFolder { .. } => "data_not_a_folder",
            Self::InUse { .. } => "data_in_use",
            Self::Newer { .. } => "data_newer_format",
            Self::Malformed { .. } => "data_malformed",
            Self::Foreign { .. } => "data_foreign",
            Self::Lost { .. } => "data_lost",
            Self::Io { .. } => "data_io",
            Self::Database { .. } => "data_database",
        }
    }
}
