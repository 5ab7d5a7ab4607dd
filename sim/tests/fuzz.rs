//! What the fuzzer was given and what it found stays found: the kept inputs, and a few thousand drawn ones.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use kernel::env::{Mutant, SeededRng};
use sim::fuzz::{node_step, node_step_broken, valid_frames, wire_decode};

fn kept(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = fs::read_dir(&dir)
        .expect("a corpus")
        .map(|entry| entry.expect("an input").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

/// Random bytes, no longer than `most`.
fn drawn(seed: u64, most: u64) -> Vec<u8> {
    let mut rng = SeededRng::from_u64(seed);
    let mut bytes = vec![0; rng.below(most) as usize];
    rng.fill(&mut bytes);
    bytes
}

#[test]
fn kept_inputs_do_no_harm() {
    let (frames, runs) = (kept("wire_decode"), kept("node_step"));
    assert!(frames.len() > 20 && runs.len() > 10);
    frames.iter().for_each(|bytes| wire_decode(bytes));
    runs.iter().for_each(|bytes| node_step(bytes));
}

#[test]
fn bytes_that_nobody_wrote_are_read_or_refused() {
    for seed in 0..2_000 {
        wire_decode(&drawn(seed, 200));
    }
}

#[test]
fn frames_with_a_byte_changed_are_read_or_refused() {
    let mut rng = SeededRng::from_u64(3);
    let frames = valid_frames();
    for turn in 0..6_000 {
        let mut frame = frames[turn % frames.len()].clone();
        for _ in 0..rng.between(1, 3) {
            let at = rng.below(frame.len() as u64) as usize;
            frame[at] = rng.next_u64() as u8;
        }
        wire_decode(&frame);
    }
}

#[test]
fn whatever_befalls_two_nodes_they_keep_the_rules() {
    for seed in 0..2_000 {
        node_step(&drawn(seed, 3_000));
    }
}

#[test]
fn a_classic_bug_put_back_is_noticed() {
    for mutant in [Mutant::AckBeforeCommit, Mutant::ForgetTombstone] {
        let noticed = |seed: &u64| catch_unwind(|| node_step_broken(&drawn(*seed, 3_000), mutant)).is_err();
        assert!((0..20).any(|seed| noticed(&seed)), "{mutant:?}");
    }
}
