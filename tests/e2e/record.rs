//! Nodes that are recorded, and their recordings run through the same kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use kernel::record::{Tail, Why};
use rustix::process::Signal;
use sim::replay::{Verdict, replay};

use crate::cluster;
use crate::process::{Process, eventually, free_addrs};
use crate::writer::write_all;

/// Small, so that several segments come and go.
const RECORD_BYTES: u64 = 12 << 20;

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "segment"))
        .collect();
    files.sort();
    files
}

/// What became of one segment.
struct Seen {
    number: u64,
    steps: u64,
    why: Option<Why>,
    tail: Option<Tail>,
}

/// Replays all segments of a recording; whatever they hold must come out again.
fn replayed(dir: &Path, node: &str) -> Vec<Seen> {
    let of_file = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let replayed = replay(&bytes).unwrap_or_else(|bad| panic!("{}: {bad}", path.display()));
        assert_eq!(replayed.verdict, Verdict::Equal, "{}", path.display());
        assert_eq!(
            (&*replayed.head.node, &*replayed.head.build),
            (node, kernel::record::BUILD)
        );
        let why = replayed.ended.as_ref().map(|ended| ended.why);
        // Where the recording says what the state was in the end, it was compared.
        let says = replayed.ended.as_ref().is_some_and(|ended| ended.state.is_some());
        assert_eq!(says, matches!(why, Some(Why::Full | Why::Stopped)));
        Seen {
            number: replayed.head.number,
            steps: replayed.steps,
            why,
            tail: replayed.tail,
        }
    };
    segments(dir).into_iter().map(of_file).collect()
}

#[test]
fn three_nodes_under_load_replay_to_the_same_outputs_and_states() {
    let dir = tempfile::tempdir().unwrap();
    let addrs = free_addrs();
    let names = ["a", "b", "c"];
    let rings = names.map(|name| dir.path().join(format!("ring-{name}")));
    let bytes = RECORD_BYTES.to_string();
    let start = |who: usize| {
        let ring = rings[who].to_str().unwrap();
        cluster::start(dir.path(), &addrs, who, &["--record", ring, "--record-bytes", &bytes])
    };
    let mut nodes = [0, 1, 2].map(start);

    // Two writers at once, again and again over the same few keys; somebody watches, reads and deletes.
    let numbers: Vec<usize> = (0..1_000).collect();
    let [a, b, c] = &mut nodes;
    thread::scope(|scope| {
        for node in [a, b] {
            let numbers = &numbers;
            scope.spawn(move || {
                for _ in 0..8 {
                    assert_eq!(write_all(node, numbers, |_| {}).len(), numbers.len());
                }
            });
        }
        scope.spawn(move || {
            for round in 0..20 {
                let (key, value) = (format!("k{}", round % 5), round.to_string());
                c.ok(&["set", "m", &key, &value, "--ttl", "1s"]);
                c.ok(&["query", "m", "--limit", "3"]);
                c.ok(&["del", "m", "k1"]);
            }
        });
    });
    eventually("all hold the same", || {
        let digests = nodes.each_ref().map(|node| node.status("digest"));
        (digests[0] == digests[1] && digests[1] == digests[2]).then_some(())
    });
    let metrics = String::from_utf8(nodes[0].http("GET", "/metrics", &[], b"").2).unwrap();
    assert!(metrics.contains("orrery_recording_active 1"), "{metrics}");
    assert!(metrics.contains("orrery_recording_segments_total"), "{metrics}");
    for node in nodes {
        assert!(
            node.log().contains("recording all that this node is given"),
            "{}",
            node.log()
        );
        node.signal(Signal::TERM);
        assert_eq!(node.wait().code(), Some(0));
    }

    for (ring, name) in rings.iter().zip(names) {
        let held: u64 = segments(ring)
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert!(held <= RECORD_BYTES, "{name}: {held} bytes");
        assert!(
            segments(ring)
                .iter()
                .all(|path| fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600)
        );
        let all = replayed(ring, name);
        let last = all.last().unwrap();
        assert_eq!(
            (last.why, last.tail),
            (Some(Why::Stopped), Some(Tail::Complete)),
            "{name}"
        );
        let steps: u64 = all.iter().map(|seen| seen.steps).sum();
        assert!(steps > 1_000, "{name}: {steps} steps");
    }
    assert!(
        replayed(&rings[0], "a").last().unwrap().number > 1,
        "the load filled a segment"
    );
}

#[test]
fn a_node_that_is_killed_replays_up_to_the_tear_and_goes_on_in_the_next_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (data, ring) = (dir.path().join("data"), dir.path().join("ring"));
    let args = ["--record", ring.to_str().unwrap(), "--node", "n"];
    let node = Process::start_with(&data, &args);
    let numbers: Vec<usize> = (0..10_000).collect();
    let mut acks = 0;
    write_all(&node, &numbers, |_| {
        acks += 1;
        if acks == 5_000 {
            node.signal(Signal::KILL);
        }
    });
    node.kill();
    let [torn] = &replayed(&ring, "n")[..] else {
        panic!("one segment");
    };
    assert!(torn.why.is_none() && matches!(torn.tail, Some(Tail::Torn { .. })));
    assert!(torn.steps > 100, "{} steps", torn.steps);

    let node = Process::start_with(&data, &args);
    node.ok(&["set", "m", "k", "1"]);
    node.signal(Signal::TERM);
    assert_eq!(node.wait().code(), Some(0));
    let all = replayed(&ring, "n");
    let ends: Vec<_> = all.iter().map(|seen| (seen.number, seen.why)).collect();
    assert_eq!(ends, [(1, None), (2, Some(Why::Stopped))]);
}

/// The secret itself is in no recording of a node that nobody has presented it to.
#[test]
fn a_recording_of_nodes_with_a_secret_replays_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "correct horse battery";
    let file = dir.path().join("secret");
    fs::write(&file, secret).unwrap();
    let addrs = free_addrs();
    let rings = ["a", "b"].map(|name| dir.path().join(format!("ring-{name}")));
    let nodes = [0, 1].map(|who| {
        let more = [
            "--cluster-secret-file",
            file.to_str().unwrap(),
            "--record",
            rings[who].to_str().unwrap(),
        ];
        cluster::start(dir.path(), &addrs, who, &more)
    });
    eventually("the nodes are linked", || {
        nodes
            .iter()
            .all(|node| node.log().contains("linked with a peer"))
            .then_some(())
    });
    nodes[1].ok(&["set", "m", "k", "1", "--token", secret]);
    for node in nodes {
        node.signal(Signal::TERM);
        assert_eq!(node.wait().code(), Some(0));
    }
    let holds_it = |ring: &Path| {
        let bytes = fs::read(&segments(ring)[0]).unwrap();
        bytes.windows(secret.len()).any(|part| part == secret.as_bytes())
    };
    assert_eq!(
        rings.each_ref().map(|ring| holds_it(ring)),
        [false, true],
        "the token that a client presented"
    );
    for (ring, name) in rings.iter().zip(["a", "b"]) {
        assert_eq!(replayed(ring, name).last().unwrap().why, Some(Why::Stopped));
    }
}

#[test]
fn a_folder_that_cannot_be_recorded_into_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("file"));
    fs::write(&file, "").unwrap();
    let refused = |ring: &str, bytes: &str| {
        let args = ["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let done = crate::process::run(&[&args[..], &["--record", ring, "--record-bytes", bytes]].concat());
        assert_eq!(done.code, Some(2), "{done:?}");
        done.err
    };
    let said = refused(file.to_str().unwrap(), "8MiB");
    assert!(said.contains("file") && said.contains("--record"), "{said}");
    let said = refused(dir.path().to_str().unwrap(), "1KiB");
    assert!(said.contains("1MiB to 64GiB"), "{said}");
    // Of two nodes that record into one folder the second is refused.
    let ring = dir.path().join("ring");
    let ring = ring.to_str().unwrap();
    let _first = Process::start_with(&dir.path().join("other"), &["--record", ring]);
    let said = refused(ring, "8MiB");
    assert!(said.contains("another node records into"), "{said}");
}
