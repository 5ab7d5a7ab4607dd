//! How many replicas the clients of a drawn plan want to have what they write, and ask for what they read.

use kernel::wire::{Consistency, ReadConsistency};

use super::pick;
use crate::plan::{Entry, Event};
use crate::streams::Streams;

/// Draws a level for each operation, whatever it is.
///
/// In some seeds no write is more than eventual, in some a third are and in some all, and few of those are strong. Of the reads half
/// ask a quorum, or none; and of the others half ask any replica, or none.
pub(super) fn all(streams: &Streams, entries: &mut [Entry]) {
    const STRONG: u64 = 50;
    let rng = &mut streams.at(0, 0);
    let (writes, reads) = (pick(rng, &[0, 300, 1_000]), pick(rng, &[0, 500]));
    let anywhere = pick(rng, &[0, 500]);
    for (index, entry) in entries.iter_mut().enumerate() {
        let rng = &mut streams.at(1, index as u64);
        match &mut entry.event {
            Event::Put { level, .. } | Event::Delete { level, .. } if rng.chance(writes) => {
                *level = match rng.chance(STRONG) {
                    true => Consistency::Strong,
                    false => Consistency::Quorum,
                };
            }
            Event::Get { level, .. } if rng.chance(reads) => *level = ReadConsistency::Quorum,
            Event::Get { level, .. } if rng.chance(anywhere) => *level = ReadConsistency::Any,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn some_seeds_ask_for_much_and_some_for_little() {
        let (mut strongest, mut mixed, mut none, mut asked) = (0, 0, 0, 0);
        for seed in 0..100 {
            let plan = Plan::draw(seed);
            let text = plan.to_string();
            assert_eq!(text.parse(), Ok(plan.clone()), "{text}");
            let levels = plan.entries.iter().filter_map(|entry| match &entry.event {
                Event::Put { level, .. } | Event::Delete { level, .. } => Some(*level),
                _ => None,
            });
            let levels: Vec<Consistency> = levels.collect();
            let beyond = levels.iter().filter(|level| **level > Consistency::Eventual).count();
            none += usize::from(beyond == 0);
            mixed += usize::from(beyond > 0 && beyond < levels.len());
            strongest += levels.iter().filter(|level| **level == Consistency::Strong).count();
            let reads = |entry: &&Entry| {
                matches!(
                    &entry.event,
                    Event::Get {
                        level: ReadConsistency::Quorum,
                        ..
                    }
                )
            };
            asked += plan.entries.iter().filter(reads).count();
        }
        assert!(none > 15 && mixed > 15 && none + mixed < 85, "{none} {mixed}");
        assert!(strongest > 10 && asked > 100, "{strongest} {asked}");
    }
}
