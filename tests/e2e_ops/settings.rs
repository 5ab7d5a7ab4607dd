//! Settings, where they come from, and what is said about wrong ones.

use crate::process::{Process, command, run};

/// The binary with variables of its own: exit code, output, errors.
fn run_in(variables: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn each_value_is_shown_with_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    std::fs::write(&file, "# a node\nsilence = \"20s\"\nlog = \"json\"\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["config", "print", "--config", file, "--log", "text"];
    let (code, out, _) = run_in(&[("ORRERY_MAX_FRAME", "32MiB")], &args);
    assert_eq!(code, Some(0));
    let row = |name: &str| {
        let start = format!("{name} = ");
        out.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
    };
    assert!(
        row("log").contains("\"text\"") && row("log").ends_with("# flag --log"),
        "{out}"
    );
    assert!(row("max-frame").ends_with("# env ORRERY_MAX_FRAME"), "{out}");
    assert!(row("silence").ends_with(&format!("# file {file}:2")), "{out}");
    assert!(row("listen").ends_with("# default"), "{out}");

    let (code, out, _) = run_in(&[("ORRERY_CONFIG", file)], &["config", "print", "--format", "json"]);
    assert_eq!(code, Some(0));
    let rows: serde_json::Value = serde_json::from_str(&out).unwrap();
    let silence = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "silence")
        .unwrap();
    assert_eq!(
        (silence["value"].as_str(), silence["source"].as_str()),
        (Some("20s"), Some(&*format!("file {file}:2")))
    );
}

#[test]
fn what_is_wrong_is_named_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("node.toml");
    let path = file.to_str().unwrap();
    for (text, parts) in [
        ("lisen = \"127.0.0.1:1\"", &["node.toml:1", "did you mean listen?"][..]),
        ("\nsilence = 5", &["node.toml:2", "silence", "\"5\"", "250ms"]),
        ("log = ", &["node.toml:1", "not valid TOML"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let done = run(&["serve", "--config", path]);
        assert_eq!(done.code, Some(2), "{done:?}");
        for part in parts {
            assert!(done.err.contains(part), "{part}: {done:?}");
        }
    }
    let (code, _, err) = run_in(&[("ORRERY_LOGLEVEL", "x")], &["serve"]);
    assert!(
        code == Some(2) && err.contains("did you mean ORRERY_LOG_LEVEL?"),
        "{err}"
    );
    let (code, _, err) = run_in(&[("ORRERY_HEARTBEAT", "soon")], &["serve"]);
    assert!(code == Some(2) && err.contains("env ORRERY_HEARTBEAT"), "{err}");
    assert_eq!(run(&["serve", "--config", "/nowhere/at/all"]).code, Some(2));
}

#[test]
fn a_limit_that_was_set_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start_with(&dir.path().join("data"), &["--max-value", "1KiB"]);
    node.ok(&["set", "m", "k", &"v".repeat(1_000)]);
    let refused = node.cli(&["set", "m", "k", &"v".repeat(1_100)]);
    assert!(
        refused.code == Some(3) && refused.err.contains("TooLarge"),
        "{refused:?}"
    );
}

#[test]
fn the_help_is_worth_reading_and_shells_can_complete() {
    let help = run(&["serve", "--help"]).out;
    for part in [
        "Examples:",
        "--max-frame <SIZE>",
        "[env: ORRERY_SILENCE]",
        "[default: 5s]",
    ] {
        assert!(help.contains(part), "{part}\n{help}");
    }
    assert!(run(&["--help"]).out.contains("Exit codes:"));
    for shell in ["bash", "zsh", "fish"] {
        let done = run(&["completions", shell]);
        assert!(
            done.code == Some(0) && done.out.contains("cluster-secret-file"),
            "{shell}"
        );
    }
}
