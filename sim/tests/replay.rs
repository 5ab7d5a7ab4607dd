//! `sim replay`, from outside: what it prints, and how it exits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kernel::env::{Now, Ticket};
use kernel::machine::{Fetched, Input, Machine, Room};
use kernel::node::{Node, NodeConfig};
use kernel::record::{BUILD, Draft, Ended, Head, Why, begin, end};

/// A folder that is gone with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("orrery-replay-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder");
        Self(dir)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a file");
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sim(path: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    let Output { status, stdout, stderr } = command.arg("replay").arg(path).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// A recording in the making.
struct Recording {
    node: Node,
    bytes: Vec<u8>,
    draft: Draft,
    step: u64,
}

impl Recording {
    fn begin(node: Node, number: u64, build: &str) -> Self {
        let head = Head {
            build: build.into(),
            node: "n1".into(),
            number,
            limits: node.limits().clone(),
        };
        let bytes = begin(&head, &node.checkpoint());
        Self {
            node,
            bytes,
            draft: Draft::default(),
            step: 0,
        }
    }

    fn booting() -> Self {
        let mut recording = Self::begin(Node::new(NodeConfig::new("n1")), 1, BUILD);
        recording.step(Input::Boot { entropy: [1; 32] });
        recording
    }

    fn now(&mut self) -> Now {
        self.step += 1;
        Now {
            wall_ms: 1_000_000 + self.step,
            mono_us: 1_000 * self.step,
        }
    }

    fn step(&mut self, input: Input<'_>) {
        let now = self.now();
        self.draft.begin(now, &input);
        let mut output = Default::default();
        self.node.step(now, input, &mut output);
        self.bytes.extend_from_slice(self.draft.done(&output));
    }

    fn end(mut self, why: Why, state: Option<[u8; 32]>) -> (Node, Vec<u8>) {
        self.bytes.extend_from_slice(&end(&Ended { why, state }));
        (self.node, self.bytes)
    }

    fn ended(self, why: Why) -> (Node, Vec<u8>) {
        let state = self.node.state_hash();
        self.end(why, Some(state))
    }
}

fn hash_line(node: &Node) -> String {
    let hex: String = node.state_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("hash {hex}")
}

#[test]
fn an_equal_recording_exits_well_and_says_the_hash_of_its_state() {
    let dir = Dir::new("equal");
    let mut first = Recording::booting();
    first.step(Input::Fetched {
        ticket: Ticket(1),
        result: Ok(Fetched::Recovered {
            applied: 0,
            log: None,
            room: Room { bytes: 1 << 30 },
        }),
    });
    let (node, bytes) = first.ended(Why::Full);
    let middle = hash_line(&node);
    let path = dir.write("0000000001.segment", &bytes);
    let (code, out, err) = sim(&path);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(out.lines().last(), Some(&*middle));
    for said in [
        "segment 1 of node n1",
        "2 steps over 0.001 s",
        "all outputs equal",
        BUILD,
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }

    // The next goes on from there; of a folder both are replayed, in turn.
    let mut second = Recording::begin(node, 2, BUILD);
    second.step = 5;
    second.step(Input::Wake);
    let (node, bytes) = second.ended(Why::Stopped);
    dir.write("0000000002.segment", &bytes);
    dir.write("LOCK", b"");
    let (code, out, _) = sim(&dir.0);
    assert_eq!(code, Some(0), "{out}");
    assert_eq!(out.lines().last(), Some(&*hash_line(&node)));
    assert_eq!(out.matches("all outputs equal").count(), 2);
}

#[test]
fn another_output_or_state_exits_with_one_and_names_the_step() {
    let dir = Dir::new("differs");
    let mut recording = Recording::booting();
    let now = recording.now();
    recording.draft.begin(now, &Input::Wake);
    let elsewhere = kernel::machine::Output {
        cut: Some(7),
        ..Default::default()
    };
    let frame = recording.draft.done(&elsewhere).to_vec();
    recording.bytes.extend(frame);
    let path = dir.write("output.segment", &recording.bytes);
    let (code, out, _) = sim(&path);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.contains("step 2 gave another output") && out.contains("in:  Wake"),
        "{out}"
    );

    let (_, bytes) = Recording::booting().end(Why::Full, Some([0; 32]));
    let (code, out, _) = sim(&dir.write("state.segment", &bytes));
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("another state in the end"), "{out}");
}

#[test]
fn what_cannot_be_read_exits_with_two_and_says_why() {
    let dir = Dir::new("unreadable");
    let (_, whole) = Recording::booting().ended(Why::Stopped);
    let refused = |path: &Path, why: &str| {
        let (code, out, err) = sim(path);
        assert_eq!(code, Some(2), "{out}{err}");
        assert!(
            err.contains(why) && err.contains(&path.display().to_string()),
            "{why}: {err}"
        );
    };
    refused(&dir.0.join("nowhere"), "No such file");
    refused(&dir.0, "no segment");
    refused(&dir.write("other.segment", b"something else"), "not a segment");
    refused(
        &dir.write("short.segment", &whole[..100]),
        "cut short before its first step",
    );
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 4;
    refused(
        &dir.write("checkpoint.segment", &damaged),
        "damaged before its first step: its checkpoint",
    );
    let mut damaged = whole.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 4;
    refused(&dir.write("entry.segment", &damaged), "its check does not fit");
    let foreign = begin(
        &Head {
            build: "9.9.9+0".into(),
            node: "n1".into(),
            number: 1,
            limits: Default::default(),
        },
        &[7; 100],
    );
    refused(&dir.write("foreign.segment", &foreign), "recorded by build 9.9.9+0");
}

#[test]
fn a_torn_recording_replays_up_to_the_tear_and_says_so() {
    let dir = Dir::new("torn");
    let recording = Recording::booting();
    let hash = hash_line(&recording.node);
    let tear = recording.bytes.len();
    let mut recording = recording;
    recording.step(Input::Wake);
    let (code, out, _) = sim(&dir.write("torn.segment", &recording.bytes[..tear + 5]));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains(&format!("cut short at byte {tear}")), "{out}");
    assert_eq!(out.lines().last(), Some(&*hash));
}

#[test]
fn a_recording_of_another_build_is_replayed_with_a_warning() {
    let dir = Dir::new("build");
    let mut recording = Recording::begin(Node::new(NodeConfig::new("n1")), 1, "0.0.1+aa");
    recording.step(Input::Boot { entropy: [1; 32] });
    let (_, bytes) = recording.ended(Why::Stopped);
    let (code, out, _) = sim(&dir.write("other.segment", &bytes));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("build 0.0.1+aa: this one is"), "{out}");
}

#[test]
fn a_panic_exits_with_three_and_names_the_step() {
    let dir = Dir::new("panic");
    for (name, as_recorded) in [("now", false), ("then", true)] {
        let mut recording = Recording::booting();
        let now = recording.now();
        // An answer to nothing: the machine relies on its host for that much.
        let stray = Input::Committed {
            ticket: Ticket(9),
            result: Ok(Room { bytes: 0 }),
        };
        recording.draft.begin(now, &stray);
        let frame = match as_recorded {
            true => recording.draft.panicked().to_vec(),
            false => recording.draft.done(&Default::default()).to_vec(),
        };
        recording.bytes.extend(frame);
        let (code, out, _) = sim(&dir.write(name, &recording.bytes));
        assert_eq!(code, Some(3), "{out}");
        assert!(
            out.contains("the host answered a commit that it was not given"),
            "{out}"
        );
        let then = if as_recorded { "as when" } else { "and did not when" };
        assert!(out.contains(&format!("at step 2, {then} it was recorded")), "{out}");
    }
}
