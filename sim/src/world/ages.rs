//! What replicas say of how old their answers may be, for who judges that.

use bytes::Bytes;
use kernel::env::{Limits, NodeId};
use kernel::machine::Input;
use kernel::node::Node;
use kernel::store::RecordKey;
use kernel::wire::client::ClientMessage;
use kernel::wire::server::ServerMessage;

use crate::client::Found;
use crate::host::Host;
use crate::invariant::Seen;
use crate::trace::Step;
use crate::traffic::is_one_of;

/// Looks for an answer whose age is told.
pub type Ages<M> = fn(&[Host<M>], &Step<'_>) -> Option<Aged>;

/// An answer that a replica gave at once, and says the age of.
#[derive(Debug)]
pub struct Aged {
    /// The node that acts as owner in the eyes of the replica.
    pub owner: usize,
    /// The name of the record.
    pub key: Bytes,
    /// What was shown of it.
    pub found: Option<Found>,
    /// How old it may be.
    pub stale_ms: u64,
}

impl Aged {
    /// What invariants see of it.
    pub(super) fn by(&self, node: usize) -> Seen<'_> {
        Seen::Aged {
            node,
            owner: self.owner,
            key: &self.key,
            found: self.found.as_ref(),
            stale_ms: self.stale_ms,
        }
    }
}

/// What a node says in a step of how old the answer may be to what it is asked in that step.
pub fn aged(hosts: &[Host<Node>], step: &Step<'_>) -> Option<Aged> {
    let Input::Received { conn, frame } = *step.input else {
        return None;
    };
    let answers = step.output.send.iter().filter(|envelope| envelope.conn == conn);
    let answer = answers
        .map(|envelope| &envelope.frame)
        .find(|frame| is_one_of(frame, &["VALUE"]))?;
    let limits = Limits::default();
    let Ok(ServerMessage::Value {
        found,
        stale_ms: Some(stale_ms),
        ..
    }) = ServerMessage::decode(answer, limits.depth)
    else {
        return None;
    };
    let Ok(ClientMessage::Get(get)) = ClientMessage::decode(frame, limits.depth) else {
        return None;
    };
    let key = RecordKey::new(get.map, get.key, &limits).ok()?;
    let machine = hosts.get(step.node)?.machine.as_ref()?;
    let acting = machine.acting_owner(machine.store().partition_of(&key))?;
    Some(Aged {
        owner: hosts.iter().position(|host| is(host, acting))?,
        key: Bytes::copy_from_slice(key.as_bytes()),
        found: found.map(|(value, at)| Found::of(value, &at)),
        stale_ms,
    })
}

fn is(host: &Host<Node>, id: NodeId) -> bool {
    host.machine.as_ref().is_some_and(|machine| machine.id() == id)
}
