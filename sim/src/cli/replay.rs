//! `sim replay`: recordings of production nodes, from files.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;
use kernel::record::{BUILD, Tail};
use sim::replay::{Replayed, Verdict, replay};

/// Give the inputs of a recording (`runtime-real serve --record DIR`) to a node of this build, made from the state that each
/// segment opens with, and compare what comes out. The last line is the hash of the state.
///
/// Exit codes: 0 all equal, 1 something differs, 2 a file cannot be read, 3 the code under test panicked.
#[derive(Debug, Args)]
pub struct Replay {
    /// A segment, or a folder of them, which are replayed in turn.
    path: PathBuf,
}

const EQUAL: u8 = 0;
const DIFFERS: u8 = 1;
const UNREADABLE: u8 = 2;
const PANICKED: u8 = 3;

/// How much of an input or output is printed.
const SHOWN_CHARS: usize = 2_000;

impl Replay {
    /// Replays what the path names, and prints what came of it. Returns the first exit code that is not 0.
    pub fn run(&self) -> u8 {
        replay_all(&self.path)
    }
}

fn replay_all(path: &Path) -> u8 {
    let files = match segments(path) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return UNREADABLE;
        }
    };
    if files.is_empty() {
        eprintln!("{}: there is no segment of a recording in this folder", path.display());
        return UNREADABLE;
    }
    let (mut code, mut last, mut before) = (EQUAL, None, None);
    for file in &files {
        let (of_file, hash) = one(file, &mut before);
        code = if code == EQUAL { of_file } else { code };
        last = hash;
    }
    if let Some(hash) = last {
        println!("hash {}", hex(&hash));
    }
    code
}

/// The segments of a folder in their order, or the one file.
fn segments(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|ending| ending == "segment") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Replays one segment; `before` is the node and the number of the one before it.
fn one(file: &Path, before: &mut Option<(String, u64)>) -> (u8, Option<[u8; 32]>) {
    let name = file.display();
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{name}: {error}");
            return (UNREADABLE, None);
        }
    };
    match replay(&bytes) {
        Ok(replayed) => {
            let (node, number) = (replayed.head.node.to_string(), replayed.head.number);
            let wrong = match before {
                Some((other, _)) if *other != node => {
                    Some(format!("it is of node {node}, and those before it of {other}"))
                }
                Some((_, last)) if number <= *last => Some(format!("it is segment {number}, and comes after {last}")),
                _ => None,
            };
            if let Some((_, last)) = before.as_ref().filter(|(_, last)| number > last + 1) {
                println!("(segments between {last} and {number} are not there)");
            }
            *before = Some((node, number));
            let code = print(file, &replayed, bytes.len());
            match wrong {
                Some(wrong) if code == EQUAL => {
                    eprintln!("{name}: {wrong}: this folder does not hold one recording");
                    (UNREADABLE, replayed.hash)
                }
                _ => (code, replayed.hash),
            }
        }
        Err(unreadable) => {
            eprintln!("{name}: {unreadable}");
            (UNREADABLE, None)
        }
    }
}

fn print(file: &Path, replayed: &Replayed<'_>, bytes: usize) -> u8 {
    let Replayed { head, steps, .. } = replayed;
    println!("segment {} of node {}: {}", head.number, head.node, file.display());
    match head.build == BUILD {
        true => println!("  build {BUILD}, the same as this one"),
        false => println!(
            "  build {}: this one is {BUILD}, and may well do something else",
            head.build
        ),
    }
    let seconds = replayed.span_us as f64 / 1e6;
    let state = replayed.checkpoint_bytes;
    println!("  {steps} steps over {seconds:.3} s, from a state of {state} bytes; {bytes} bytes in all");
    let mut code = EQUAL;
    match &replayed.verdict {
        Verdict::Equal => println!("  all outputs equal"),
        Verdict::Differs { step, input, output } => {
            println!("  step {step} gave another output than when it was recorded");
            println!("    in:  {}", shown(input));
            println!("    out: {}", shown(output));
            code = DIFFERS;
        }
        Verdict::StateDiffers => {
            println!("  all outputs equal, and another state in the end than when it was recorded");
            code = DIFFERS;
        }
        Verdict::Panicked {
            step,
            input,
            panic,
            as_recorded,
        } => {
            let then = if *as_recorded { "as" } else { "and did not" };
            println!("  crash: the code under test {panic}");
            println!("  at step {step}, {then} when it was recorded");
            println!("    in:  {}", shown(input));
            code = PANICKED;
        }
    }
    if let Some(ended) = &replayed.ended {
        println!("  end: {}", ended.why.text());
        if ended.state.is_some() && replayed.verdict == Verdict::Equal {
            println!("  the state in the end is the one that was recorded");
        }
    }
    match replayed.tail {
        Some(Tail::Torn { at }) => println!("  cut short at byte {at}: the node was ended, or still records"),
        Some(Tail::Damaged { at, what }) => {
            eprintln!("{}: damaged at byte {at}: {what}; replayed up to there", file.display());
            code = if code == EQUAL { UNREADABLE } else { code };
        }
        Some(Tail::Complete) | None => {}
    }
    code
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
