//! A recording of a production node, run through the same kernel: same outputs, same state.
//!
//! What a segment holds is in [`kernel::record`]. The node is made from its checkpoint and given its inputs in order, each with
//! the clocks as they were; what comes out of each step is compared with what came out then, by hash.

use kernel::machine::{Machine, Output};
use kernel::node::{BadCheckpoint, Node};
use kernel::record::{BadSegment, Ended, Entry, Head, Segment, Tail, output_hash};

use crate::panics::{Panic, catch};

/// What came of a replay.
#[derive(Debug)]
pub struct Replayed<'a> {
    /// What the segment opens with.
    pub head: Head<'a>,
    /// Bytes of the state that it opens with.
    pub checkpoint_bytes: usize,
    /// How many steps were taken.
    pub steps: u64,
    /// From the first to the last of them, by the node's monotonic clock, in microseconds.
    pub span_us: u64,
    /// What the recording says of its end, if it came to one.
    pub ended: Option<Ended>,
    /// How its bytes end.
    pub tail: Option<Tail>,
    /// How it compares.
    pub verdict: Verdict,
    /// The hash of the state after the last step; `None` after a panic, when there is no state.
    pub hash: Option<[u8; 32]>,
}

/// How a replay compares with what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All outputs are equal, and so is the state, where the recording says what it was.
    Equal,
    /// A step gave another output. Nothing was done after it.
    Differs {
        /// Which, from 1.
        step: u64,
        /// What went in, for people.
        input: String,
        /// What came out now, for people.
        output: String,
    },
    /// All outputs are equal, and the state is another in the end.
    StateDiffers,
    /// The code under test panicked.
    Panicked {
        /// At which step, from 1.
        step: u64,
        /// What went in, for people.
        input: String,
        /// What it said, and where.
        panic: Panic,
        /// Whether it panicked when it was recorded, too.
        as_recorded: bool,
    },
}

/// Why a segment cannot be replayed.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is none.
    Segment(BadSegment),
    /// Its checkpoint is not one of this kernel. With the build that wrote it, if that is another.
    Checkpoint(BadCheckpoint, Option<String>),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Segment(bad) => bad.fmt(f),
            Self::Checkpoint(bad, None) => bad.fmt(f),
            Self::Checkpoint(bad, Some(build)) => {
                write!(f, "{bad}; it was recorded by build {build}: replay it with that one")
            }
        }
    }
}

impl std::error::Error for Unreadable {}

/// Replays the bytes of one segment.
///
/// # Errors
/// [`Unreadable`], if it cannot even begin. A segment that ends early is replayed as far as it goes: see [`Replayed::tail`].
pub fn replay(bytes: &[u8]) -> Result<Replayed<'_>, Unreadable> {
    let mut segment = Segment::open(bytes).map_err(Unreadable::Segment)?;
    let head = segment.head().clone();
    let other_build = (head.build != kernel::record::BUILD).then(|| head.build.to_string());
    let restored = Node::restore(segment.checkpoint());
    let mut node = restored.map_err(|bad| Unreadable::Checkpoint(bad, other_build))?;
    let mut replayed = Replayed {
        head,
        checkpoint_bytes: segment.checkpoint().len(),
        steps: 0,
        span_us: 0,
        ended: None,
        tail: None,
        verdict: Verdict::Equal,
        hash: None,
    };
    let mut first_us = None;
    for entry in segment.by_ref() {
        let (now, input, recorded) = match entry {
            Entry::End(ended) => {
                replayed.ended = Some(ended);
                continue;
            }
            Entry::Step { now, input, output } => (now, input, output),
        };
        replayed.steps += 1;
        replayed.span_us = now.mono_us.saturating_sub(*first_us.get_or_insert(now.mono_us));
        let step = replayed.steps;
        let mut output = Output::default();
        let taken = catch(|| node.step(now, input.clone(), &mut output));
        let input = || format!("{input:?}");
        if let Err(panic) = taken {
            replayed.verdict = Verdict::Panicked {
                step,
                input: input(),
                panic,
                as_recorded: recorded.is_none(),
            };
            return Ok(replayed);
        }
        if recorded != Some(output_hash(&output)) {
            replayed.verdict = Verdict::Differs {
                step,
                input: input(),
                output: format!("{output:?}"),
            };
            break;
        }
    }
    replayed.tail = segment.tail();
    let hash = node.state_hash();
    let expected = replayed.ended.as_ref().and_then(|ended| ended.state);
    if replayed.verdict == Verdict::Equal && expected.is_some_and(|expected| expected != hash) {
        replayed.verdict = Verdict::StateDiffers;
    }
    replayed.hash = Some(hash);
    Ok(replayed)
}
