//! Writing a segment, frame by frame.

use alloc::vec::Vec;
use serde::Serialize;

use super::{Ended, FRAME_BYTES, Head, MAGIC, check, output_hash};
use crate::env::Now;
use crate::machine::{Input, Output};

pub(super) const STEP: u8 = 0;
pub(super) const END: u8 = 1;

/// How a step ended: with a hash behind it, or in a panic.
pub(super) const DONE: u8 = 1;
pub(super) const PANICKED: u8 = 0;

/// Bytes that [`Draft::done`] adds to a draft.
const DONE_BYTES: usize = 1 + 8;

/// The beginning of a segment.
///
/// # Panics
/// If the checkpoint has 4 GiB or more.
pub fn begin(head: &Head<'_>, checkpoint: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(checkpoint.len() + 512);
    out.extend_from_slice(&MAGIC);
    frame(&mut out, |out| *out = append(core::mem::take(out), head));
    frame(&mut out, |out| out.extend_from_slice(checkpoint));
    out
}

/// The end of a segment.
pub fn end(ended: &Ended) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, |out| {
        out.push(END);
        *out = append(core::mem::take(out), ended);
    });
    out
}

/// A step on its way into a segment: written down before it is taken, and finished behind it, so that a step that never ends is
/// recorded, too.
#[derive(Debug, Default)]
pub struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    /// A step that is about to be taken, in the place of the one before.
    pub fn begin(&mut self, now: Now, input: &Input<'_>) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; FRAME_BYTES]);
        self.bytes.push(STEP);
        self.bytes = append(core::mem::take(&mut self.bytes), &(now, input));
    }

    /// Bytes that it takes in a segment once it is done.
    pub fn len(&self) -> usize {
        self.bytes.len() + DONE_BYTES
    }

    /// Whether nothing was begun.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The step gave this output. Returns the frame.
    pub fn done(&mut self, output: &Output) -> &[u8] {
        self.bytes.push(DONE);
        self.bytes.extend_from_slice(&output_hash(output).to_le_bytes());
        self.close()
    }

    /// The step panicked. Returns the frame.
    pub fn panicked(&mut self) -> &[u8] {
        self.bytes.push(PANICKED);
        self.close()
    }

    fn close(&mut self) -> &[u8] {
        seal(&mut self.bytes, 0);
        &self.bytes
    }
}

fn frame(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    content(out);
    seal(out, at);
}

/// Fills in length and check of the frame at `at`, which goes on to the end.
fn seal(out: &mut [u8], at: usize) {
    let (front, content) = out[at..].split_at_mut(FRAME_BYTES);
    let len = u32::try_from(content.len()).expect("a frame has less than 4 GiB");
    front[..4].copy_from_slice(&len.to_le_bytes());
    front[4..].copy_from_slice(&check(content));
}

fn append(out: Vec<u8>, value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, out).expect("all that is recorded has an encoding")
}
