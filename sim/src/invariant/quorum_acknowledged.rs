//! **Promises** that a write is acknowledged with no less than was asked for, and that this is true: when its client hears that a
//! quorum write is done, a majority of the configured replicas have it on disk, or a version that wins over it; of a strong one,
//! all have. The disk of a node that is down counts. So does one that had it and was taken from its node meanwhile: the answer may
//! have been on its way. While a cluster grows, the configured replicas are those that each node knew of when the client asked.
//! **From** the words `quorum` and `strong` in the design, and quorum consensus (Gifford, "Weighted Voting for Replicated Data",
//! 1979): a majority that one of the counted does not have is none.

use std::collections::BTreeMap;

use kernel::wire::Consistency;

use super::{Invariant, Seen};
use crate::client::{Said, Talk};
use crate::kept::Kept;
use crate::model::show;
use crate::replicas::majority;

/// See the module.
#[derive(Debug, Default)]
pub struct QuorumAcknowledged {
    kept: Kept,
    /// What each write asked for that was not answered yet, by client and number.
    asked: BTreeMap<(usize, u64), Consistency>,
}

impl QuorumAcknowledged {
    fn hear(&mut self, client: usize, talk: &Talk) -> Result<(), String> {
        match &talk.said {
            Said::AsksToWrite { request, level, .. } if *level > Consistency::Eventual => {
                self.asked.insert((client, *request), *level);
            }
            Said::Refused {
                request,
                for_good: true,
            } => _ = self.asked.remove(&(client, *request)),
            Said::GivesUp => self.asked.retain(|(asker, _), _| *asker != client),
            Said::Done { request, write, level } => {
                let asked = self.asked.remove(&(client, *request)).unwrap_or_default();
                let (key, version) = (&write.key, &write.version);
                let written = || show(key, Some(version));
                if *level < asked {
                    let (node, told, asked) = (talk.node, level.word(), asked.word());
                    return Err(format!(
                        "what is done is done as was asked; n{node} acknowledged {} as {told}, and c{client} asked for {asked}",
                        written()
                    ));
                }
                let replicas = self.kept.replicas_of(client, *request);
                let need = match level {
                    Consistency::Eventual => return Ok(()),
                    Consistency::Quorum => majority(replicas),
                    Consistency::Strong => replicas,
                };
                let have = self.kept.ever_had(key, version);
                if have < need {
                    let (node, level) = (talk.node, level.word());
                    return Err(format!(
                        "n{node} acknowledged {} as {level}, so {need} of {replicas} replicas have it on disk; {have} have",
                        written()
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Invariant for QuorumAcknowledged {
    fn name(&self) -> &'static str {
        "quorum-acknowledged"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        self.kept.see(seen)?;
        match seen {
            Seen::Talked { client, talk } => self.hear(*client, talk),
            _ => Ok(()),
        }
    }
}
