//! The same seed gives the same run: twice in one process, in fresh processes, and whatever runs beside it.

use std::process::{Command, Output, Stdio};

fn sim(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(arguments.split_whitespace()).output().expect("it runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn hash(arguments: &str) -> String {
    let printed = text(&sim(arguments));
    let last = printed.lines().last().unwrap_or_default();
    last.strip_prefix("hash ")
        .unwrap_or_else(|| panic!("no hash in {printed}"))
        .to_string()
}

#[test]
fn a_run_is_the_same_in_a_fresh_process() {
    for seed in 0..5 {
        let run = format!("run --seed {seed}");
        assert_eq!(hash(&run), hash(&run), "seed {seed}");
    }
    assert_ne!(hash("run --seed 0"), hash("run --seed 1"));
}

#[test]
fn a_run_takes_the_same_steps_whether_promises_are_checked_or_not() {
    assert_eq!(hash("run --seed 3"), hash("run --seed 3 --unchecked"));
}

#[test]
fn a_swarm_is_the_same_on_one_thread_and_on_two() {
    assert_eq!(
        hash("swarm --seeds 0..20 --jobs 1"),
        hash("swarm --seeds 0..20 --jobs 2")
    );
}

#[test]
fn a_plan_in_a_file_runs_as_the_seed_that_it_was_drawn_from() {
    let file = std::env::temp_dir().join(format!("orrery-plan-{}", std::process::id()));
    std::fs::write(&file, text(&sim("plan --seed 3"))).unwrap();
    let from_file = hash(&format!("run --plan {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(from_file, hash("run --seed 3"));
}

#[test]
fn a_failure_names_the_promise_and_how_to_see_it_again() {
    let mut runs = (0..20).map(|seed| sim(&format!("run --seed {seed} --mutant apply-twice")));
    let failed = runs
        .find(|run| run.status.code() == Some(1))
        .expect("one of them finds it");
    let printed = text(&failed);
    assert!(printed.contains("broken: logged-once broke at "), "{printed}");
    let replay = printed
        .lines()
        .find_map(|line| line.strip_prefix("replay: cargo run --release -p sim -- "));
    assert_eq!(text(&sim(replay.unwrap())), printed, "the replay says the same");
}

#[test]
fn what_is_asked_wrongly_is_refused_with_two() {
    for wrong in [
        "run",
        "run --seed x",
        "run --plan /nowhere",
        "swarm --seeds 5..5",
        "run --seed 1 --mutant none",
    ] {
        let refused = sim(wrong);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
        assert!(!refused.stderr.is_empty(), "{wrong}");
    }
    assert_eq!(sim("list").status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn who_reads_no_further_is_no_reason_to_panic() {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["run", "--seed", "1", "--steps"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    drop(sim.stdout.take());
    let out = sim.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
}
