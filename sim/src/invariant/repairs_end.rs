//! **Promises** that the repair of a partition means what it says: its coded symbols and its list are of one frozen view from the
//! first to the last, and who says that all is here has been answered everything that it asked for.
//! **From** "Practical Rateless Set Reconciliation" (Yang, Gilad, Alizadeh 2024), whose coded symbols are of a set that stands still;
//! and from moves of partitions that were closed before they were filled. All is read off the frames; the node is not asked.

use std::collections::BTreeMap;

use kernel::cluster::repair::Seal;
use kernel::env::ConnId;
use kernel::machine::Input;
use kernel::wire::peer::PeerMessage;
use kernel::wire::repair::{Answered, Asked, Repair};

use super::{Invariant, Seen};
use crate::trace::Step;
use crate::traffic::{given, is_one_of};

/// Kinds of frames that are read; the others need not be.
const KINDS: &[&str] = &["SYMBOLS", "ITEMS", "WANT", "RECORDS", "REPAIR_END"];

/// See the module.
#[derive(Debug, Default)]
pub struct RepairsEnd {
    /// By node: the repairs of its connections, by number.
    nodes: BTreeMap<usize, BTreeMap<(ConnId, u64), Followed>>,
}

/// One repair, as one side of it shows.
#[derive(Debug, Default)]
struct Followed {
    /// Of the view that it answers from.
    seal: Option<Seal>,
    /// How many items it has asked for.
    asked: u64,
    /// How many of them were answered.
    answered: u64,
}

impl Followed {
    /// The symbols or items from number `from` on are shown. Those from the first on may begin anew: of what was over, to this side.
    fn shows(&mut self, seal: Seal, from: u64) -> Result<(), String> {
        match self.seal.replace(seal) {
            Some(before) if from > 0 && before != seal => Err(format!(
                "answers a repair from one frozen view; it shows {from} and on of {seal:?}, and those before are of {before:?}"
            )),
            _ => Ok(()),
        }
    }

    fn says(&mut self, message: &Repair<'_>) -> Result<(), String> {
        match message {
            Repair::Answer(Answered::Symbols { seal, batch }) => self.shows(*seal, first_of(batch)),
            Repair::Answer(Answered::Items { seal, from, .. }) => self.shows(*seal, *from),
            Repair::Ask { ask, .. } => match ask {
                Asked::Want { at, items } => {
                    self.asked = self.asked.max(at + items.len() as u64);
                    Ok(())
                }
                Asked::End { whole: true, .. } if self.answered < self.asked => Err(format!(
                    "says that it holds all once it does; it asked for {} and got {}",
                    self.asked, self.answered
                )),
                _ => Ok(()),
            },
            Repair::Answer(_) => Ok(()),
        }
    }
}

/// The number of the first symbol of a batch.
fn first_of(batch: &[u8]) -> u64 {
    let number = batch.get(1..5).and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u32::from_be_bytes).into()
}

fn read(frame: &[u8]) -> Option<(u64, Repair<'_>)> {
    if !is_one_of(frame, KINDS) {
        return None;
    }
    match PeerMessage::decode(frame) {
        Ok(PeerMessage::Repair { session, message }) => Some((session, message)),
        _ => None,
    }
}

impl RepairsEnd {
    fn follow(&mut self, step: &Step<'_>) -> Result<(), String> {
        let repairs = self.nodes.entry(step.node).or_default();
        if let Input::Received { conn, frame } = step.input
            && let Some((session, Repair::Answer(Answered::Rows { upto, .. }))) = read(frame)
        {
            let followed = repairs.entry((*conn, session)).or_default();
            followed.answered = followed.answered.max(upto);
        }
        for envelope in given(step) {
            if let Some((session, message)) = read(&envelope.frame) {
                let followed = repairs.entry((envelope.conn, session)).or_default();
                let said = followed.says(&message);
                said.map_err(|wrong| format!("n{} {wrong}", step.node))?;
            }
        }
        Ok(())
    }
}

impl Invariant for RepairsEnd {
    fn name(&self) -> &'static str {
        "repairs-end"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Booted { node } => {
                self.nodes.remove(node);
                Ok(())
            }
            Seen::Stepped { step, .. } => self.follow(step),
            _ => Ok(()),
        }
    }
}
