//! **Promises** that what has expired for a node stays so: once it has answered that there is nothing where its disk holds a
//! value with a time to live, it never shows that value again, whatever its wall clock does, and not after a crash or a failed commit
//! either.
//! **From** the rule that an expiry is an event in the node's own hybrid time; the counterexample is a wall clock that jumps
//! ahead and is put right, or a restart that forgets how late it was.
//!
//! In a cluster of more than one a node answers with what the acting owner has, and another owner's time may be earlier: only the
//! session that was told is protected from that. So compared is what was said on the same connection.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kernel::env::{ConnId, Limits};
use kernel::hlc::Stamp;
use kernel::machine::Role;
use kernel::wire::server::ServerMessage;

use super::{Invariant, Seen};
use crate::denials::Denials;
use crate::disk::VirtualDisk;
use crate::model::{LogReader, Version, show, state_of};
use crate::traffic::is_one_of;

/// See the module.
#[derive(Debug, Default)]
pub struct ExpiredStays {
    nodes: BTreeMap<usize, Node>,
    /// The nodes that ever were up.
    up: BTreeSet<usize>,
}

/// Which version: two can share a stamp.
type Known = (Stamp, Option<Bytes>);

#[derive(Debug, Default)]
struct Node {
    reader: LogReader,
    denials: Denials,
    /// Values that were shown to be gone: the place of that answer and its connection, if it was in this boot.
    gone: BTreeMap<Known, (u64, ConnId)>,
    gone_before: BTreeSet<Known>,
}

impl Node {
    fn of(disk: Option<&VirtualDisk>) -> Result<Self, String> {
        let mut node = Self::default();
        if let Some(disk) = disk {
            node.reader = LogReader::at_end_of(disk);
            node.denials = Denials::of(state_of(disk)?);
        }
        Ok(node)
    }

    fn follow(&mut self, disk: &VirtualDisk) -> Result<(), String> {
        for (_, entry) in self.reader.new_entries(disk)? {
            self.denials.logged(&entry);
        }
        Ok(())
    }
}

impl Invariant for ExpiredStays {
    fn name(&self) -> &'static str {
        "expired-stays"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.up.insert(*node);
                let node = self.nodes.entry(*node).or_default();
                node.denials.booted();
                node.gone_before.extend(std::mem::take(&mut node.gone).into_keys());
            }
            // How late it was is forgotten with the disk.
            Seen::DiskChanged { node, disks } => {
                let fresh = Node::of(disks.get(*node).copied().flatten())?;
                self.nodes.insert(*node, fresh);
            }
            Seen::Stepped { step, disk } => {
                let node = self.nodes.entry(step.node).or_default();
                node.follow(disk)?;
                node.denials.stepped(step);
            }
            Seen::Left(left) if left.role == Role::Client => {
                let node = self.nodes.entry(left.node).or_default();
                node.follow(left.disk)?;
                // A delete that was in flight is on disk by now: only time can have taken what is still there.
                if let Some((_, version)) = node
                    .denials
                    .left(left.given)
                    .filter(|(_, version)| version.ttl_ms.is_some())
                {
                    node.gone
                        .insert((version.stamp, version.value), (left.given, left.conn));
                }
                if !is_one_of(left.frame, &["VALUE"]) {
                    return Ok(());
                }
                let message = ServerMessage::decode(left.frame, Limits::default().depth);
                if let Ok(ServerMessage::Value {
                    found: Some((value, at)),
                    ..
                }) = message
                {
                    let known = (at.stamp, Some(Bytes::copy_from_slice(value)));
                    let alone = self.up.len() < 2;
                    let before = alone && node.gone_before.contains(&known);
                    let gone = node.gone.get(&known);
                    if before || gone.is_some_and(|(given, conn)| *given < left.given && (alone || *conn == left.conn))
                    {
                        let is =
                            |version: &Version| (version.stamp, version.value.as_ref()) == (known.0, known.1.as_ref());
                        let shown = node.denials.durable().iter().find(|(_, version)| is(version));
                        let shown = shown.map_or_else(String::new, |(key, version)| show(key, Some(version)));
                        return Err(format!(
                            "n{} never shows again what has expired; it showed {shown}",
                            left.node
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
