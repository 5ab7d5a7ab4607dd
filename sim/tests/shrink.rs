//! A plan that fails is cut down and kept from the command line, and fails again from its file.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn sim(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(arguments.split_whitespace()).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The first seed that finds a mutant.
fn seed_that_finds(mutant: &str) -> String {
    let swarm = text(&sim(&format!("swarm --seeds 0..200 --mutant {mutant}")).stdout);
    let seed = swarm
        .lines()
        .find_map(|line| line.strip_prefix("seed ")?.split(':').next());
    seed.expect("it is found").to_string()
}

/// A folder of this test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder to write in");
    folder
}

#[test]
fn the_file_that_is_written_fails_in_the_same_way_and_says_how_it_was_found() {
    let file = folder("shrunk").join("plan.txt");
    let seed = seed_that_finds("drop-tie-break");
    let shrink = format!("shrink --seed {seed} --mutant drop-tie-break");
    let shrunk = sim(&format!("{shrink} --out {}", file.display()));
    assert_eq!(shrunk.status.code(), Some(0), "{}", text(&shrunk.stderr));
    let said = text(&shrunk.stdout);
    let left: usize = said
        .split(' ')
        .nth(1)
        .and_then(|left| left.parse().ok())
        .expect("how many are left");
    assert!(left <= 6 && said.contains("; none can go\n"), "{said}");
    let replay = said
        .lines()
        .find_map(|line| line.strip_prefix("replay: cargo run --release -p sim -- "));
    let replayed = sim(replay.expect("a line that replays it"));
    assert_eq!(replayed.status.code(), Some(1));
    let written = fs::read_to_string(&file).unwrap();
    let breaks = written
        .strip_prefix("# breaks ")
        .and_then(|line| line.split(':').next());
    let broken = format!("broken: {} broke at ", breaks.expect("a promise"));
    assert!(text(&replayed.stdout).contains(&broken), "{}", text(&replayed.stdout));
    assert!(
        written.contains(&format!("\n# seed {seed} with --mutant drop-tie-break, revision ")),
        "{written}"
    );
    let printed = sim(&shrink);
    assert_eq!(text(&printed.stdout), written, "the same again, printed");
}

#[test]
fn what_holds_is_not_shrunk_and_what_cannot_be_read_is_named() {
    let holds = sim("shrink --seed 0");
    assert_eq!(holds.status.code(), Some(2));
    assert!(
        text(&holds.stderr).contains("every promise is kept"),
        "{}",
        text(&holds.stderr)
    );
    let file = folder("unreadable").join("plan.txt");
    fs::write(&file, "nodes 2\n5us explode n1\n").unwrap();
    let bad = sim(&format!("shrink --plan {}", file.display()));
    assert_eq!(bad.status.code(), Some(2));
    let named = format!("{}: line 2: nothing is called `explode`", file.display());
    assert!(text(&bad.stderr).contains(&named), "{}", text(&bad.stderr));
}

#[test]
fn with_few_runs_it_says_that_it_is_not_done() {
    let seed = seed_that_finds("ack-before-commit");
    let shrunk = sim(&format!("shrink --seed {seed} --mutant ack-before-commit --runs 5"));
    let said = text(&shrunk.stdout);
    assert!(said.contains("after 5 runs; the runs were used up"), "{said}");
}

#[test]
fn what_is_kept_is_in_three_files_and_is_not_written_over() {
    let under = folder("kept");
    let seed = seed_that_finds("apply-twice");
    let keep = format!("keep --seed {seed} --mutant apply-twice --under {}", under.display());
    let kept = sim(&keep);
    assert_eq!(kept.status.code(), Some(0), "{}", text(&kept.stderr));
    let folder = under.join(format!("apply-twice-logged-once-{seed}"));
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let about = read("about.txt");
    assert!(about.starts_with(&format!("seed {seed}\nrevision ")), "{about}");
    assert!(about.ends_with("\nmutant apply-twice\nbreaks logged-once\n"), "{about}");
    assert_eq!(read("plan.txt"), text(&sim(&format!("plan --seed {seed}")).stdout));
    assert!(read("shrunk.txt").len() < read("plan.txt").len());
    let again = sim(&keep);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{}",
        text(&again.stderr)
    );
}
