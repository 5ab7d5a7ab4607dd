//! Two runs are compared step by step, by files or against a run of this program.

#![allow(clippy::unwrap_used)] // helpers of a test are a test

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

/// A file of this test's process.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The track of a run, as a file.
fn track(name: &str, run: &str) -> PathBuf {
    let file = file(name);
    let done = sim(&format!("run {run} --trace {}", file.display()));
    assert!(matches!(done.status.code(), Some(0 | 1)), "{}", text(&done.stderr));
    file
}

#[test]
fn two_runs_of_one_plan_are_the_same_from_files_and_here() {
    let (a, b) = (track("same-a", "--seed 4"), track("same-b", "--seed 4"));
    let (a, b) = (a.display(), b.display());
    for compared in [
        format!("diff {a} {b}"),
        format!("diff {a}"),
        format!("diff {a} 4"),
        "diff 4 4".into(),
    ] {
        let output = sim(&compared);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{compared}: {said}");
        assert!(said.contains(" steps, all the same"), "{said}");
    }
}

#[test]
fn a_run_with_a_mutant_parts_from_one_without_and_both_steps_are_shown() {
    let swarm = text(&sim("swarm --seeds 0..200 --mutant apply-twice").stdout);
    let seed = swarm
        .lines()
        .find_map(|line| line.strip_prefix("seed ")?.split(':').next());
    let seed = seed.expect("it is found");
    let (whole, broken) = (
        track("whole", &format!("--seed {seed}")),
        track("broken", &format!("--seed {seed} --mutant apply-twice")),
    );
    let (whole, broken) = (whole.display(), broken.display());
    let from_files = sim(&format!("diff {whole} {broken}"));
    assert_eq!(from_files.status.code(), Some(1));
    let said = text(&from_files.stdout);
    let lines: Vec<&str> = said.lines().collect();
    let same: usize = lines[0]
        .split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a number");
    assert!(lines[0].ends_with(" steps are the same, then they differ:"), "{said}");
    assert!(lines[1].starts_with(&format!("both: step {} at ", same - 1)), "{said}");
    assert!(lines[2].starts_with(&format!("A: step {same} at ")), "{said}");
    assert!(lines[3].starts_with(&format!("B: step {same} at ")), "{said}");
    assert_eq!(lines[4], "they part at");
    let (a, b) = (
        lines[5].strip_prefix("A: ").expect("A"),
        lines[6].strip_prefix("B: ").expect("B"),
    );
    assert!(a != b && lines[2].contains(a) && lines[3].contains(b), "{said}");
    // The same step, as the run prints it.
    let steps = text(&sim(&format!("run --seed {seed} --steps")).stdout);
    let shown = lines[2].split_once(" ms ").expect("a step").1;
    assert!(steps.lines().nth(same).expect("so many").ends_with(shown), "{said}");
    // Against runs of this program.
    assert_eq!(
        sim(&format!("diff {whole} --mutant apply-twice")).stdout,
        from_files.stdout
    );
    assert_eq!(
        sim(&format!("diff {seed} {seed} --mutant apply-twice")).stdout,
        from_files.stdout
    );
    assert_eq!(
        sim(&format!("diff {broken}")).status.code(),
        Some(0),
        "broken in the same way"
    );
}

#[test]
fn other_plans_are_told_apart_by_their_first_line_that_differs() {
    let output = sim("diff 1 2");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("the plans differ: `seed 1` and `seed 2`\n"));
}

#[test]
fn a_step_of_another_build_is_not_made_up() {
    let honest = fs::read(track("honest", "--seed 4")).unwrap();
    let mut other = honest.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    let file = file("other");
    fs::write(&file, other).unwrap();
    let output = sim(&format!("diff {}", file.display()));
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("\nA: step ") && said.contains(" cannot be shown: "),
        "{said}"
    );
    assert!(said.contains("\nB: step "), "{said}");
}

#[test]
fn a_file_that_is_cut_off_is_named() {
    let whole = fs::read(track("to-cut", "--seed 4")).unwrap();
    let file = file("cut");
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let output = sim(&format!("diff 4 {}", file.display()));
    assert_eq!(output.status.code(), Some(2));
    let named = format!("{}: it is cut off: of ", file.display());
    assert!(text(&output.stderr).starts_with(&named), "{}", text(&output.stderr));
    assert_eq!(sim("diff /nowhere 4").status.code(), Some(2));
}
