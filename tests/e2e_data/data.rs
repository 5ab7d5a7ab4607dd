//! The files, read without any of the code under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::Process;

pub const AIRPORTS: &str = "airports.csv";
pub const MOVIES: &str = "movies.json";
pub const FLIGHTS: &str = "flights-20k.json";

/// The path of a file, unless it is not there.
pub fn file(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join("../shared/data").join(name);
    if path.is_file() {
        return Some(path);
    }
    println!("skipped: there is no {}", path.display());
    None
}

/// The elements of a JSON array.
pub fn elements(path: &Path) -> Vec<Value> {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The rows of a CSV file, each cell as it stands there. No cell of these files has a line end in it.
pub fn csv(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(cells);
    let names = lines.next().unwrap();
    lines.map(|cells| names.iter().cloned().zip(cells).collect()).collect()
}

fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            _ => cells.last_mut().unwrap().push(c),
        }
    }
    cells
}

/// What a command printed, a row a line.
pub fn rows(printed: &str) -> Vec<Value> {
    printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// How many rows a query of `map` gives.
pub fn count(node: &Process, map: &str, filter: &str) -> usize {
    node.ok(&["query", map, filter]).lines().count()
}

/// Imports a file, and gives what was said in the end.
pub fn import(node: &Process, path: &Path, map: &str, more: &[&str]) -> String {
    let args = [&["import", path.to_str().unwrap(), "--map", map], more].concat();
    node.ok(&args)
}
