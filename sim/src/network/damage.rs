//! Frames that are damaged on their way.
//!
//! What carries frames has check sums: damage that it notices breaks the connection. What it does not notice arrives, from clients
//! only, because nodes believe each other; and only if it cannot be taken for another message, because a client must not be held to
//! what it never said.

use bytes::Bytes;
use kernel::env::Limits;
use kernel::wire::client::ClientMessage;
use kernel::wire::op::{BadOp, Op};

use crate::endpoint::Endpoint;
use crate::streams::Draw;

/// What comes out at the other end.
pub(super) enum Outcome {
    /// The frame with a bit flipped, in which something cannot be read.
    Flipped(Bytes),
    /// Bytes of which nothing can be read.
    Unreadable(Bytes),
    /// Nothing: the transport noticed.
    Noticed,
}

pub(super) fn damage(from: Endpoint, frame: &Bytes, draw: &mut Draw) -> Outcome {
    if frame.is_empty() || matches!(from, Endpoint::Node(_)) || draw.chance(300) {
        return Outcome::Noticed;
    }
    let flipped = flip(frame, draw);
    if misleads(frame, &flipped) {
        // The one byte that MessagePack never uses: this frame cannot be taken for another.
        return Outcome::Unreadable([&[0xc1], &frame[1..]].concat().into());
    }
    Outcome::Flipped(flipped)
}

/// One bit the other way.
pub(crate) fn flip(bytes: &Bytes, draw: &mut Draw) -> Bytes {
    let bit = draw.below(8 * bytes.len() as u64) as usize;
    let mut bytes = bytes.to_vec();
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    bytes.into()
}

/// Whether what is heard can be taken for something that was said: all of it can be read, or an operation is refused under the
/// name of another.
fn misleads(said: &[u8], heard: &[u8]) -> bool {
    let decode = |frame| ClientMessage::decode(frame, Limits::default().depth);
    match (decode(said).map(operations), decode(heard).map(operations)) {
        (_, Err(_)) => false,
        (Ok(Some(said)), Ok(Some(heard))) => {
            let names = |op: &Result<Op<'_>, BadOp<'_>>| {
                op.as_ref().map_or_else(|bad| bad.id.to_owned(), |op| op.id.to_owned())
            };
            heard.iter().all(Result::is_ok) || !said.iter().map(names).eq(heard.iter().map(names))
        }
        _ => true,
    }
}

fn operations(message: ClientMessage<'_>) -> Option<Vec<Result<Op<'_>, BadOp<'_>>>> {
    match message {
        ClientMessage::Op(ops) | ClientMessage::Batch(ops) | ClientMessage::Sync(ops) => Some(ops.collect()),
        _ => None,
    }
}
