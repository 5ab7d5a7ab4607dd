//! Reading a segment.

use super::write::{DONE, END, PANICKED, STEP};
use super::{Entry, FRAME_BYTES, Head, MAGIC, check};

/// Why bytes are not a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSegment {
    /// It begins as something else does.
    #[error("it is not a segment of a recording")]
    Foreign,
    /// Its format is another.
    #[error("its format has version {version}, and this program reads version {}", MAGIC[7])]
    Version {
        /// Which.
        version: u8,
    },
    /// It ends before the first step.
    #[error("it is cut short before its first step")]
    Short,
    /// What stands before the first step is not what was written.
    #[error("it is damaged before its first step: {what}")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
}

/// A segment: what it opens with, and its entries in order, as an iterator.
#[derive(Debug, Clone)]
pub struct Segment<'a> {
    head: Head<'a>,
    checkpoint: &'a [u8],
    frames: Frames<'a>,
    tail: Option<Tail>,
}

/// How the entries of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With [`Entry::End`].
    Complete,
    /// The recorder was ended before it could say so, between two entries or within one. What was read is good.
    Torn {
        /// The first byte that is not of a whole entry.
        at: usize,
    },
    /// What stands there was never written so.
    Damaged {
        /// The first byte of it.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl<'a> Segment<'a> {
    /// Reads what a segment opens with.
    ///
    /// # Errors
    /// [`BadSegment`], whatever the bytes are.
    pub fn open(bytes: &'a [u8]) -> Result<Self, BadSegment> {
        let (magic, _) = bytes.split_first_chunk::<8>().ok_or(BadSegment::Foreign)?;
        if magic[..7] != MAGIC[..7] {
            return Err(BadSegment::Foreign);
        }
        if *magic != MAGIC {
            return Err(BadSegment::Version { version: magic[7] });
        }
        let mut frames = Frames { bytes, at: magic.len() };
        let mut next = |what| match frames.next() {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) | Err(Tail::Torn { .. }) => Err(BadSegment::Short),
            Err(_) => Err(BadSegment::Damaged { what }),
        };
        let what = "its head";
        let head = next(what)?;
        let checkpoint = next("its checkpoint")?;
        Ok(Self {
            head: postcard::from_bytes(head).map_err(|_| BadSegment::Damaged { what })?,
            checkpoint,
            frames,
            tail: None,
        })
    }

    /// What it opens with.
    pub fn head(&self) -> &Head<'a> {
        &self.head
    }

    /// The state before the first step: see [`Node::restore`](crate::node::Node::restore).
    pub fn checkpoint(&self) -> &'a [u8] {
        self.checkpoint
    }

    /// How it ends, once there are no more entries.
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }
}

impl<'a> Iterator for Segment<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.tail.is_some() {
            return None;
        }
        let at = self.frames.at;
        let entry = match self.frames.next() {
            Ok(Some(frame)) => entry(frame).ok_or(Tail::Damaged {
                at,
                what: "an entry of another kind",
            }),
            Ok(None) => Err(Tail::Torn { at }),
            Err(tail) => Err(tail),
        };
        match entry {
            Ok(entry) => {
                if matches!(entry, Entry::End(_)) {
                    let at = self.frames.at;
                    self.tail = Some(match self.frames.next() {
                        Ok(None) => Tail::Complete,
                        _ => Tail::Damaged {
                            at,
                            what: "there is more behind the end",
                        },
                    });
                }
                Some(entry)
            }
            Err(tail) => {
                self.tail = Some(tail);
                None
            }
        }
    }
}

fn entry(frame: &[u8]) -> Option<Entry<'_>> {
    match frame.split_first()? {
        (&STEP, rest) => {
            let ((now, input), rest) = postcard::take_from_bytes(rest).ok()?;
            let output = match rest.split_first()? {
                (&DONE, hash) => Some(u64::from_le_bytes(hash.try_into().ok()?)),
                (&PANICKED, []) => None,
                _ => return None,
            };
            Some(Entry::Step { now, input, output })
        }
        (&END, rest) => postcard::from_bytes(rest).ok().map(Entry::End),
        _ => None,
    }
}

#[derive(Debug, Clone)]
struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    /// The content of the next frame; `None` at the end. Whatever follows an error is not looked at.
    fn next(&mut self) -> Result<Option<&'a [u8]>, Tail> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let torn = Tail::Torn { at };
        let (front, rest) = rest.split_first_chunk::<FRAME_BYTES>().ok_or(torn)?;
        let [a, b, c, d, sum @ ..] = *front;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let content = rest.get(..len).ok_or(torn)?;
        if check(content) != sum {
            let what = "its check does not fit";
            return Err(Tail::Damaged { at, what });
        }
        self.at = at + FRAME_BYTES + len;
        Ok(Some(content))
    }
}
