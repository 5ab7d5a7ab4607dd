//! What a person forgets: the style of this project, checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file is one idea; beyond this it holds two.
const LINES_MAX: usize = 500;

/// The floors of the kernel: a module may use those on its own floor and below, never those above.
const FLOORS: &[(&str, u8)] = &[
    ("env", 0),
    ("machine", 0),
    ("msgpack", 0),
    ("value", 0),
    ("hlc", 1),
    ("crdt", 2),
    ("merkle", 2),
    ("reconcile", 2),
    ("partition", 3),
    ("register", 4),
    ("store", 4),
    ("query", 6),
    ("cluster", 7),
    ("wire", 8),
    ("session", 8),
    ("record", 8),
    ("node", 9),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this package lies in the workspace")
}

/// Every Rust file below `dir`, build output aside.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                dirs.push(path);
            } else if name.ends_with(".rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The lines of a file that are code: no comments, and nothing from its unit tests on.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(n, line)| (n + 1, line))
}

fn report(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn a_file_is_one_idea() {
    let mut found = Vec::new();
    for path in rust_files(root()) {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            found.push(format!("{} has {lines} lines, over {LINES_MAX}", shown(&path)));
        }
    }
    report("is there a second idea inside?", &found);
}

#[test]
fn lower_floors_know_nothing_of_higher_ones() {
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let src = root().join("kernel/src");
    let mut found = Vec::new();
    for path in rust_files(&src) {
        let inside = path.strip_prefix(&src).expect("below src");
        let module = inside.iter().next().expect("a name").to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(own) = floors.get(module) else {
            found.push(format!("{} is on no floor: add it to FLOORS", shown(&path)));
            continue;
        };
        for (line, text) in code_lines(&read(&path)) {
            for used in text.split("crate::").skip(1) {
                let used = used
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap_or_default();
                if floors.get(used).is_some_and(|floor| floor > own) {
                    found.push(format!("{}:{line}: {module} uses {used}", shown(&path)));
                }
            }
        }
    }
    report("a lower floor reaches up", &found);
}

#[test]
fn the_kernel_and_the_simulator_touch_nothing_outside() {
    let banned = [
        "std::time",
        "std::net",
        "std::fs",
        "std::thread",
        "std::env",
        "std::process",
        "SystemTime",
        "Instant::now",
        "HashMap::new",
        "HashSet::new",
        "thread_rng",
        "OsRng",
        "println!",
    ];
    let mut found = Vec::new();
    for dir in ["kernel/src", "sim/src"] {
        for path in rust_files(&root().join(dir)) {
            // The simulator's command line is a program like others.
            if shown(&path).starts_with("sim/src/main.rs") || shown(&path).starts_with("sim/src/cli") {
                continue;
            }
            for (line, text) in code_lines(&read(&path)) {
                for word in banned.iter().filter(|word| text.contains(**word)) {
                    found.push(format!("{}:{line}: {word}", shown(&path)));
                }
            }
        }
    }
    report("it must be a function of its inputs", &found);
}

#[test]
fn nothing_is_left_undone_or_slept_over() {
    // Written in two parts, so that this file does not find itself.
    let banned = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["dbg", "!("].concat(),
        ["#[ig", "nore"].concat(),
        ["thread::sl", "eep"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X:"].concat(),
    ];
    let mut found = Vec::new();
    for path in rust_files(root()) {
        for (number, line) in read(&path).lines().enumerate() {
            for word in banned.iter().filter(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", shown(&path), number + 1));
            }
        }
    }
    report("stubs, skipped tests and sleeps", &found);
}

#[test]
fn every_limit_is_tested() {
    let limits = read(&root().join("kernel/src/env/limits.rs"));
    let fields = limits
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    let fields: Vec<_> = fields.map(|(name, _)| name.to_string()).collect();
    assert!(fields.len() > 10, "the fields of Limits: {fields:?}");
    let mut tests = String::new();
    for path in rust_files(root()) {
        let text = read(&path);
        if shown(&path).contains("tests/") {
            tests.push_str(&text);
        } else if let Some(at) = text.find("#[cfg(test)]\nmod tests") {
            tests.push_str(&text[at..]);
        }
    }
    let untested: Vec<_> = fields
        .into_iter()
        .filter(|name| !tests.contains(name.as_str()))
        .collect();
    report("limits that no test names", &untested);
}

#[test]
fn every_invariant_is_held_by_a_run_and_says_what_it_promises() {
    let dir = root().join("sim/src/invariant");
    let all = read(&dir.join("mod.rs"));
    let mut found = Vec::new();
    for path in rust_files(&dir) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name == "mod" {
            continue;
        }
        if !all.contains(&format!("{name}::")) {
            found.push(format!("{name} is not among those that every run holds"));
        }
        if !read(&path).starts_with("//! ") {
            found.push(format!("{name} does not begin with what it promises"));
        }
    }
    report("invariants", &found);
}

/// What `cargo tree` prints, of what is linked here and now.
fn tree(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--offline", "-e", "normal"])
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8_lossy(&tree.stdout).into_owned()
}

#[test]
fn nothing_below_the_kernel_draws_randomness_or_runs_tokio() {
    let tree = tree(&["-p", "kernel", "--prefix", "none"]);
    let banned = [
        "getrandom",
        "rand",
        "tokio",
        "async-std",
        "smol",
        "ahash",
        "fxhash",
        "libc",
        "mio",
    ];
    let found: Vec<_> = tree
        .lines()
        .filter(|line| banned.contains(&line.split(' ').next().unwrap_or_default()))
        .map(str::to_string)
        .collect();
    report("banned below the kernel", &found);
}

#[test]
fn the_production_node_has_tokio_from_hyper_alone_and_nothing_simulated() {
    let whole = tree(&["-p", "runtime-real", "--prefix", "none"]);
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_string();
    let simulated = whole.lines().map(name).filter(|name| name == "madsim" || name == "sim");
    let above = tree(&["-p", "runtime-real", "-i", "tokio", "--depth", "1", "--prefix", "none"]);
    let above = above
        .lines()
        .map(name)
        .filter(|name| name != "tokio" && name != "hyper");
    report(
        "linked into the production node",
        &simulated.chain(above).collect::<Vec<_>>(),
    );
}

#[test]
fn what_architecture_points_at_is_there() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let mut found = Vec::new();
    for quoted in text.split('`').skip(1).step_by(2) {
        let (path, item) = quoted
            .split_once("::")
            .map_or((quoted, None), |(path, item)| (path, Some(item)));
        let is_path = path.contains('/') && path.ends_with(".rs");
        if !is_path {
            continue;
        }
        match fs::read_to_string(root().join(path)) {
            Err(_) => found.push(format!("{path} is not there")),
            Ok(file) => {
                let name = item.map(|item| item.trim_end_matches("()").rsplit("::").next().unwrap_or_default());
                if let Some(name) = name.filter(|name| !file.contains(*name)) {
                    found.push(format!("{path} has no {name}"));
                }
            }
        }
    }
    report("ARCHITECTURE.md points at", &found);
}
