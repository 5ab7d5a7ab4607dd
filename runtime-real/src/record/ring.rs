//! The files of a recording: segments in the order of their numbers, within so many bytes together.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::SEGMENTS;

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder cannot be used.
    #[error("cannot {what} {path}: {error}")]
    Folder {
        /// What could not be done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another node records there.
    #[error("another node records into {path}")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// There is no thread to write it.
    #[error("the system gives no thread to write the recording: {error}")]
    Thread {
        /// What it says.
        error: io::Error,
    },
}

impl RecordError {
    /// A stable word for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "record_folder",
            Self::InUse { .. } => "record_in_use",
            Self::Thread { .. } => "system",
        }
    }
}

/// A folder of segments, held exclusively until dropped.
#[derive(Debug)]
pub struct Ring {
    dir: PathBuf,
    bytes_max: u64,
    next: u64,
    file: Option<File>,
    /// The lock goes with the file's last handle, also when the process is killed.
    _lock: File,
}

impl Ring {
    /// The ring in `dir`, which is made if it is not there; what was recorded there before is the older part of it.
    /// All segments together have at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`RecordError`], if the folder cannot be used.
    pub fn open(dir: &Path, bytes_max: u64) -> Result<Self, RecordError> {
        let cannot = |what, path: &Path| {
            let path = path.to_owned();
            move |error| RecordError::Folder { what, path, error }
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(cannot("make the folder", dir))?;
        let path = dir.join("LOCK");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(cannot("write", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RecordError::InUse { path: dir.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &path)(error)),
        }
        let held = segments(dir).map_err(cannot("read", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            bytes_max,
            next: held.last().map_or(1, |last| last.number + 1),
            file: None,
            _lock: lock,
        })
    }

    /// The number of the next segment.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes that one segment may have.
    pub fn share(&self) -> u64 {
        self.bytes_max / SEGMENTS
    }

    /// Begins a segment with `head`. The oldest go first, until there is room for all that it may have.
    pub(super) fn begin(&mut self, number: u64, head: &[u8]) -> io::Result<()> {
        self.file = None;
        let held = segments(&self.dir)?;
        let mut bytes: u64 = held.iter().map(|segment| segment.bytes).sum();
        for oldest in held {
            if bytes + self.share() <= self.bytes_max {
                break;
            }
            fs::remove_file(&oldest.path)?;
            bytes -= oldest.bytes;
        }
        let path = self.dir.join(format!("{number:010}.segment"));
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        file.write_all(head)?;
        self.file = Some(file);
        self.next = number + 1;
        Ok(())
    }

    /// Adds entries to the segment that was begun last.
    pub(super) fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(entries),
            None => Ok(()),
        }
    }
}

struct Segment {
    number: u64,
    path: PathBuf,
    bytes: u64,
}

/// The segments of a folder, ascending by number. Other files are nobody's business.
fn segments(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let is_segment = path.extension().is_some_and(|ending| ending == "segment") && name.len() == 10;
        if let Some(number) = name.parse().ok().filter(|_| is_segment) {
            let bytes = entry.metadata()?.len();
            all.push(Segment { number, path, bytes });
        }
    }
    all.sort_by_key(|segment| segment.number);
    Ok(all)
}
