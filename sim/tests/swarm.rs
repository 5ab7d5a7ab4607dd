//! A swarm says what fails as it fails, and stops cleanly when it is told to.
#![allow(clippy::unwrap_used)] // helpers of a test are a test

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

fn sim(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(arguments.split_whitespace());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A swarm that goes on for a minute, and whose first failure has been told: it runs, and it listens to signals.
fn long() -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut swarm = sim("swarm --seeds 0..1000000000 --jobs 2 --mutant ack-before-commit --keep-going --time 60s");
    let mut child = swarm.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("seed "), "{first}");
    (child, lines)
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn the_first_signal_ends_it_with_its_summary() {
    for name in ["-INT", "-TERM"] {
        let (mut child, lines) = long();
        signal(&child, name);
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(1), "that of the seed that failed");
        let said = rest.join("\n");
        assert!(said.contains("stopped by a signal"), "{said}");
        assert!(said.contains(" simulated hours/s, virtual to wall "), "{said}");
        assert!(rest.last().unwrap().starts_with("hash "), "{said}");
    }
}

#[test]
fn every_failure_comes_with_the_line_that_replays_it() {
    let output = sim("swarm --seeds 0..5 --mutant ack-before-commit --keep-going")
        .output()
        .unwrap();
    let said = text(&output);
    let lines: Vec<&str> = said.lines().collect();
    let failed = lines.iter().filter(|line| line.starts_with("seed ")).count();
    assert!(failed > 0 && said.contains(&format!(" {failed} failed")), "{said}");
    for pair in lines.windows(2).filter(|pair| pair[0].starts_with("seed ")) {
        let replay = pair[1]
            .strip_prefix("replay: cargo run --release -p sim -- ")
            .expect(&said);
        let replayed = sim(replay).output().unwrap();
        assert_eq!(replayed.status.code(), Some(1));
        let how = pair[0].split_once(": ").unwrap().1;
        assert!(text(&replayed).contains(how), "{how}");
    }
}

#[test]
fn without_a_terminal_nothing_is_drawn() {
    let output = sim("swarm --seeds 0..5").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = text(&output);
    assert!(said.contains("reached: write-acknowledged "), "{said}");
    assert!(said.contains("5 seeds, "), "{said}");
}
