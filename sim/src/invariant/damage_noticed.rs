//! **Promises** that a node serves with its disk if the disk is as it was left, and never with one that holds something else:
//! a flipped bit or half an entry is noticed before anything is served, and a good disk is not refused.
//! **From** "Protocol-Aware Recovery for Consensus-Based Storage" (Alagappan et al., FAST 2018), which found one system after
//! another that served or spread what its disk had made of the data. Who knows what befell a disk is the simulated disk itself.

use kernel::machine::Phase;

use super::{Invariant, Seen};

/// See the module.
#[derive(Debug)]
pub struct DamageNoticed;

impl Invariant for DamageNoticed {
    fn name(&self) -> &'static str {
        "damage-noticed"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Stepped { step, disk } = seen else {
            return Ok(());
        };
        let node = step.node;
        match step.output.phase {
            Some(Phase::Ready { .. }) if disk.is_damaged() => {
                Err(format!("n{node} notices that its disk is damaged; it serves"))
            }
            Some(Phase::Failed { error }) if !disk.is_harmed() => {
                Err(format!("n{node} serves with a disk that nothing befell; it says that {error}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::env::{Now, SeededRng};
    use kernel::machine::{Input, Output, StorageError};

    use super::*;
    use crate::disk::{DiskProfile, VirtualDisk};
    use crate::trace::Step;

    #[test]
    fn a_good_disk_that_is_refused_is_seen() {
        let disk = VirtualDisk::new(DiskProfile::default(), SeededRng::from_u64(1));
        let see = |phase| {
            let output = Output {
                phase: Some(phase),
                ..Output::default()
            };
            let step = Step {
                at_us: 0,
                node: 2,
                now: Now::default(),
                input: &Input::Wake,
                output: &output,
            };
            DamageNoticed.see(0, &Seen::Stepped { step: &step, disk: &disk })
        };
        let (records, log_entries) = (0, 0);
        assert_eq!(see(Phase::Ready { records, log_entries }), Ok(()));
        let error = StorageError::Corrupt;
        assert!(see(Phase::Failed { error }).is_err());
    }
}
