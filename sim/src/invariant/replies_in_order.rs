//! **Promises** that on an ordered connection envelopes leave in the order in which the machine gave them, whether they
//! waited for a commit or not. A client that pipelines two requests would otherwise take one answer for the other. The
//! heartbeats between nodes answer nothing, and overtake what waits: a slow disk is not a dead node.
//! **From** the fourth rule of order in `kernel::machine`; pipelining as in HTTP/1.1 (RFC 9112, section 9.3.2) and RESP.

use std::collections::BTreeMap;

use kernel::env::ConnId;
use kernel::wire::cluster::Word;
use kernel::wire::peer::PeerMessage;

use super::{Invariant, Seen};
use crate::traffic::is_one_of;

fn is_heartbeat(frame: &[u8]) -> bool {
    is_one_of(frame, &["PING", "PONG", "CLUSTER"])
        && match PeerMessage::decode(frame) {
            Ok(PeerMessage::Ping(_) | PeerMessage::Pong { .. }) => true,
            // Who is alive is told as heartbeats are.
            Ok(PeerMessage::Cluster(body)) => matches!(Word::decode(body), Some(Word::Gossip(_))),
            _ => false,
        }
}

/// See the module.
#[derive(Debug, Default)]
pub struct RepliesInOrder {
    /// The place of the envelope that left last.
    last: BTreeMap<usize, BTreeMap<ConnId, u64>>,
}

impl Invariant for RepliesInOrder {
    fn name(&self) -> &'static str {
        "replies-in-order"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.last.remove(node);
            }
            Seen::Left(left) if left.ordered && !is_heartbeat(left.frame) => {
                let before = self.last.entry(left.node).or_default().insert(left.conn, left.given);
                if let Some(before) = before.filter(|before| *before > left.given) {
                    let (node, conn, given) = (left.node, left.conn.0, left.given);
                    return Err(format!(
                        "envelopes leave n{node} on connection {conn} as they were given; number {given} left after \
                         {before}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
