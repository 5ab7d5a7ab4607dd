//! Bugs that were found, and kept: `scenarios/found`, one folder each. With the code as it is every one holds; those that a
//! mutant puts back fail as they did.

use std::fs;
use std::path::{Path, PathBuf};

use sim::found::{FILES, Found};

/// The folders, in the order of their names.
fn folders() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("found");
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    folders.sort();
    folders
}

fn read(folder: &Path) -> Result<Found, String> {
    let read = |name| fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let [about, plan, shrunk] = FILES;
    Found::read([&read(about)?, &read(plan)?, &read(shrunk)?])
}

#[test]
fn every_bug_that_was_kept_is_gone_and_every_one_that_is_put_back_is_found() {
    let folders = folders();
    assert!(!folders.is_empty(), "some were kept");
    let check = |folder: &PathBuf| {
        let found = read(folder).and_then(|found| found.check());
        found.map_err(|wrong| format!("{}: {wrong}", folder.display()))
    };
    let wrong: Vec<String> = folders.iter().filter_map(|folder| check(folder).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
