//! The data folder itself: made durable, locked, and refused when it is not ours.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::FolderError;
use super::log::Log;
use super::records::Records;

/// The layout that this version writes. It reads the older ones too.
const FORMAT: u32 = 3;

/// A data folder, held exclusively until dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The lock goes with the file's last handle, also when the process is killed.
    _lock: File,
}

impl Folder {
    /// Opens the folder, and makes it if it is not there.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        create_dir(path)?;
        let path = path.canonicalize().map_err(io_error("find", path))?;
        let format = path.join("FORMAT");
        match fs::read_to_string(&format) {
            Ok(text) => check_format(&path, &format, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => refuse_foreign(&path)?,
            Err(error) => return Err(io_error("read", &format)(error)),
        }
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the node that lives here: `wanted`, or the one that it had, or else the one that `draw` makes. It is
    /// kept for the next time.
    pub fn node_name(&self, wanted: Option<&str>, draw: impl FnOnce() -> String) -> Result<String, FolderError> {
        let path = self.path.join("NODE");
        let kept = match fs::read_to_string(&path) {
            Ok(text) => Some(text.trim_end().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        if let Some(name) = &kept
            && (name.is_empty() || name.len() > 255 || name.contains('\n'))
        {
            let expected = "the name of a node on one line";
            return Err(FolderError::Malformed { path, expected });
        }
        let name = wanted.map(str::to_owned).or_else(|| kept.clone()).unwrap_or_else(draw);
        if kept.as_deref() != Some(&name) {
            write_durably(&path, format!("{name}\n").as_bytes())?;
        }
        Ok(name)
    }

    /// Opens the two stores.
    pub fn stores(&self) -> Result<(Log, Records), FolderError> {
        let (log, records) = (self.path.join("log"), self.path.join("records"));
        // The format is written last. Where it stands both databases have been there: one that is not was lost, and an empty
        // one in its place would pass for a node that has nothing.
        let format = self.path.join("FORMAT");
        let made = fs::read_to_string(&format).ok();
        for dir in [&log, &records] {
            let file = dir.join("data.mdb");
            if made.is_some() && fs::metadata(&file).map_or(0, |found| found.len()) == 0 {
                return Err(FolderError::Lost { path: file });
            }
            create_dir(dir)?;
        }
        let database = |path: &Path| {
            let path = path.to_owned();
            move |error| FolderError::Database { path, error }
        };
        let stores = (
            Log::open(&log).map_err(database(&log))?,
            Records::open(&records).map_err(database(&records))?,
        );
        // LMDB syncs what is in its files; that the files are there at all is the folders' business.
        for dir in [&log, &records, &self.path] {
            sync_dir(dir)?;
        }
        // An older version must not find what this one is going to write.
        if made.is_none_or(|found| found.trim() != FORMAT.to_string()) {
            write_durably(&format, format!("{FORMAT}\n").as_bytes())?;
        }
        Ok(stores)
    }
}

fn check_format(folder: &Path, file: &Path, text: &str) -> Result<(), FolderError> {
    match text.trim().parse() {
        Ok(found) if found > FORMAT => Err(FolderError::Newer {
            path: folder.to_owned(),
            found,
            known: FORMAT,
        }),
        Ok(1..) => Ok(()),
        _ => Err(FolderError::Malformed {
            path: file.to_owned(),
            expected: "the number of a format",
        }),
    }
}

/// A folder without a format is new. Only what an interrupted first start leaves may be in it.
fn refuse_foreign(path: &Path) -> Result<(), FolderError> {
    for entry in fs::read_dir(path).map_err(io_error("read", path))? {
        let name = entry.map_err(io_error("read", path))?.file_name();
        const OURS: [&str; 8] = [
            "LOCK",
            "FORMAT",
            "FORMAT.new",
            "NODE",
            "NODE.new",
            "log",
            "records",
            "lost+found",
        ];
        if !OURS.iter().any(|ours| name == *ours) {
            return Err(FolderError::Foreign { path: path.to_owned() });
        }
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join("LOCK");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io_error("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FolderError::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
    }
}

fn create_dir(path: &Path) -> Result<(), FolderError> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(FolderError::NotAFolder { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("open", path)(error)),
    }
    fs::create_dir_all(path).map_err(io_error("create", path))?;
    match path.canonicalize().map_err(io_error("find", path))?.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<(), FolderError> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(io_error("sync", path))
}

/// Writes a small file so that after a crash it holds all of `content`, or is as it was.
fn write_durably(path: &Path, content: &[u8]) -> Result<(), FolderError> {
    let new = path.with_extension("new");
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(io_error("write", &new))?;
    fs::rename(&new, path).map_err(io_error("write", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FolderError + 'a {
    move |error| FolderError::Io {
        doing,
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        let error = Folder::open(path).unwrap_err();
        format!("{}: {error}", error.code())
    }

    #[test]
    fn a_folder_belongs_to_one_node_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = Folder::open(&path).unwrap();
        let second = refusal(&path);
        assert!(second.starts_with("data_in_use:") && second.contains("a/b"), "{second}");
        drop(first);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn what_is_not_ours_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(refusal(&file).starts_with("data_not_a_folder:"));
        assert!(
            refusal(dir.path()).starts_with("data_foreign:"),
            "holds somebody's file"
        );

        let newer = dir.path().join("newer");
        fs::create_dir(&newer).unwrap();
        fs::write(newer.join("FORMAT"), "4\n").unwrap();
        assert!(refusal(&newer).contains("format 4"));
        fs::write(newer.join("FORMAT"), "\u{1F600}").unwrap();
        assert!(refusal(&newer).starts_with("data_malformed:"));
        assert!(refusal(&file.join("below")).contains("below"));
    }

    #[test]
    fn a_database_that_is_none_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("records")).unwrap();
        fs::write(dir.path().join("records/data.mdb"), [7; 10_000]).unwrap();
        let error = folder.stores().unwrap_err();
        assert_eq!(error.code(), "data_database");
        assert!(error.to_string().contains("records"), "{error}");
    }

    #[test]
    fn a_database_that_was_lost_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Folder::open(dir.path()).unwrap().stores();
        drop(open().unwrap());
        drop(open().unwrap());
        fs::remove_file(dir.path().join("log/data.mdb")).unwrap();
        let error = open().unwrap_err();
        assert_eq!(error.code(), "data_lost");
        assert!(error.to_string().contains("log/data.mdb"), "{error}");
        fs::write(dir.path().join("log/data.mdb"), "").unwrap();
        assert_eq!(open().unwrap_err().code(), "data_lost");
    }

    #[test]
    fn an_older_format_is_read_and_written_as_this_one() {
        for older in 1..FORMAT {
            let dir = tempfile::tempdir().unwrap();
            let open = || Folder::open(dir.path()).unwrap().stores();
            drop(open().unwrap());
            let format = dir.path().join("FORMAT");
            fs::write(&format, format!("{older}\n")).unwrap();
            drop(open().unwrap());
            assert_eq!(fs::read_to_string(&format).unwrap(), format!("{FORMAT}\n"));
        }
    }

    #[test]
    fn a_node_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.node_name(None, || "drawn".into()).unwrap(), "drawn");
        assert_eq!(folder.node_name(None, || "other".into()).unwrap(), "drawn");
        assert_eq!(folder.node_name(Some("told"), || "other".into()).unwrap(), "told");
        assert_eq!(folder.node_name(None, || "other".into()).unwrap(), "told");
    }
}
