//! A node whose steps are recorded.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use kernel::env::Now;
use kernel::machine::{Input, Machine, Output, Phase};
use kernel::node::{LinkNews, Node, Stats};
use kernel::record::{BUILD, Draft, Ended, Head, Why, begin, end};

use super::queue::{Push, Queue};
use super::{RecordError, Ring, SEGMENTS, STATE_PART};
use crate::metrics::{Sparingly, Watched};

/// Bytes that the end of a segment takes, and some.
const END_BYTES: u64 = 128;

/// How long after an interruption the next segment is begun, at the soonest: each begins with a checkpoint, and that takes the
/// node's time.
const RETRY_US: u64 = 1_000_000;

/// What a recorder counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recording {
    /// Whether steps are being recorded now.
    pub active: bool,
    /// Segments that were begun.
    pub segments: u64,
    /// How often recording was interrupted, so that steps are missing.
    pub gaps: u64,
    /// Bytes that were recorded, checkpoints included.
    pub bytes: u64,
    /// Bytes of them that are not written yet.
    pub unwritten: u64,
    /// How long the last checkpoint held up the node, in microseconds.
    pub checkpoint_us: u64,
}

/// A node whose steps are recorded. To everybody else it is the node.
#[derive(Debug)]
pub struct Recorder {
    node: Node,
    name: String,
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
    share: u64,
    next: u64,
    state: State,
    /// The node reads its disk: its state is half of one, and the next of the same size.
    recovering: bool,
    draft: Draft,
    counts: Recording,
    said: Sparingly,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A segment of so many bytes is being written.
    On { bytes: u64 },
    /// Steps are not recorded. A segment is begun then, once all that came before is written.
    Paused { until_us: u64 },
    /// The end.
    Off,
}

impl Recorder {
    /// Records `node`, called `name`, into `ring`. Its first segment begins with its first step.
    ///
    /// # Errors
    /// [`RecordError::Thread`].
    pub fn new(node: Node, name: &str, mut ring: Ring) -> Result<Self, RecordError> {
        let queue = Arc::new(Queue::default());
        let (share, next) = (ring.share(), ring.next());
        let writer = {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new().name("record".to_owned());
            thread.spawn(move || queue.write_into(&mut ring))
        };
        Ok(Self {
            node,
            name: name.to_owned(),
            queue,
            writer: Some(writer.map_err(|error| RecordError::Thread { error })?),
            share,
            next,
            state: State::Paused { until_us: 0 },
            recovering: false,
            draft: Draft::default(),
            counts: Recording::default(),
            said: Sparingly::default(),
        })
    }

    /// Writes down a step that is about to be taken. A segment ends before the step that it has no room for.
    fn before(&mut self, now: Now, input: &Input<'_>) {
        match self.state {
            State::Off => {}
            State::Paused { until_us } => {
                if until_us <= now.mono_us && self.queue.unwritten() == 0 {
                    self.draft.begin(now, input);
                    self.turn(now);
                }
            }
            State::On { bytes } => {
                self.draft.begin(now, input);
                if bytes + self.draft.len() as u64 + END_BYTES > self.share {
                    self.turn(now);
                }
            }
        }
    }

    /// Ends the segment, if there is one, and begins the next with the state as it is and the step in the draft.
    fn turn(&mut self, now: Now) {
        let about = self.node.checkpoint_about();
        if self.recovering || about > self.share / STATE_PART {
            if !self.recovering
                && let Some(unsaid) = self.said.may()
            {
                let least = about * STATE_PART * SEGMENTS;
                tracing::warn!(
                    state = about,
                    least,
                    unsaid,
                    "the node holds too much to be recorded: give a greater --record-bytes"
                );
            }
            return self.pause(now, Why::TooLarge);
        }
        if !self.queue.takes_head() {
            return self.pause(now, Why::Overrun);
        }
        let start = Instant::now();
        let checkpoint = self.node.checkpoint();
        self.counts.checkpoint_us = start.elapsed().as_micros() as u64;
        let head = Head {
            build: BUILD.into(),
            node: self.name.as_str().into(),
            number: self.next,
            limits: self.node.limits().clone(),
        };
        let head = begin(&head, &checkpoint);
        let bytes = head.len() as u64;
        if bytes + self.draft.len() as u64 + END_BYTES > self.share {
            return self.pause(now, Why::TooLarge);
        }
        if matches!(self.state, State::On { .. }) {
            let state = checkpoint.last_chunk().copied();
            self.end(Ended { why: Why::Full, state });
        }
        self.queue.begin(self.next, head);
        self.next += 1;
        self.counts.segments += 1;
        self.counts.bytes += bytes;
        self.state = State::On { bytes };
    }

    /// Records nothing for a while.
    fn pause(&mut self, now: Now, why: Why) {
        if matches!(self.state, State::On { .. }) {
            self.counts.gaps += 1;
            self.end(Ended { why, state: None });
            if why == Why::Overrun
                && let Some(unsaid) = self.said.may()
            {
                tracing::warn!(
                    unsaid,
                    "the disk does not keep up with the recording: steps are missing in it"
                );
            }
        }
        let until_us = now.mono_us.saturating_add(RETRY_US);
        self.state = State::Paused { until_us };
    }

    fn end(&mut self, ended: Ended) {
        let entry = end(&ended);
        self.counts.bytes += entry.len() as u64;
        self.queue.push_last(&entry);
    }

    /// Takes the step, and writes down what came of it.
    fn record(&mut self, now: Now, input: Input<'_>, out: &mut Output, bytes: u64) {
        let Self { node, draft, queue, .. } = self;
        let taken = catch_unwind(AssertUnwindSafe(|| node.step(now, input, out)));
        if let Err(panic) = taken {
            // The step that nobody can ask about any more is the one that matters.
            queue.push_last(draft.panicked());
            self.finish();
            resume_unwind(panic);
        }
        let frame = draft.done(out);
        let len = frame.len() as u64;
        match queue.push(frame) {
            Push::Taken => {
                self.counts.bytes += len;
                self.state = State::On { bytes: bytes + len };
            }
            Push::Full => self.pause(now, Why::Overrun),
            Push::Failed => self.state = State::Off,
        }
    }

    /// Ends the recording, and waits until it is written.
    fn finish(&mut self) {
        self.state = State::Off;
        self.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the recording panicked");
        }
    }

    fn stopped(&mut self) {
        if matches!(self.state, State::On { .. }) {
            let state = Some(self.node.state_hash());
            self.end(Ended {
                why: Why::Stopped,
                state,
            });
        }
        self.finish();
    }
}

impl Machine for Recorder {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Output) {
        self.before(now, &input);
        match self.state {
            State::On { bytes } => self.record(now, input, out, bytes),
            State::Paused { .. } | State::Off => self.node.step(now, input, out),
        }
        match out.phase {
            Some(Phase::Recovering) => self.recovering = true,
            Some(Phase::Joining | Phase::Removed | Phase::Ready { .. } | Phase::Failed { .. }) => {
                self.recovering = false;
                if let State::Paused { until_us } = &mut self.state {
                    *until_us = now.mono_us;
                }
            }
            Some(Phase::Stopped) => self.stopped(),
            None => {}
        }
    }
}

impl Watched for Recorder {
    fn stats(&self) -> Stats {
        self.node.stats()
    }

    fn take_news(&mut self) -> Vec<LinkNews> {
        self.node.take_news()
    }

    fn recording(&self) -> Option<Recording> {
        Some(Recording {
            active: matches!(self.state, State::On { .. }),
            unwritten: self.queue.unwritten() as u64,
            ..self.counts
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.finish();
    }
}
