//! **Promises** that the digests of two partitions are equal if and only if they hold the same, byte by byte, whoever holds them
//! and whenever: replicas that compare digests repair each other until they agree, and then rest.
//! **From** rule 15 of the promises, and the Merkle trees of Dynamo (DeCandia et al., 2007). The counterexamples are a digest
//! that is updated before the write is applied, and one that covers the key and not the content: replicas that differ
//! for ever, or repair each other for ever. Compared are all pairs of nodes, now and then during a run and at its end, with
//! each other and with what was there before.

use std::collections::BTreeMap;

use super::{Invariant, Seen};
use crate::holding::Holding;
use crate::model::{State, show};

/// See the module.
#[derive(Debug, Default)]
pub struct DigestEquality {
    /// By partition and digest: the first node that had it, and what it held.
    states: BTreeMap<(usize, u128), (usize, State)>,
    /// By partition and state: the first node that held it, and its digest.
    digests: BTreeMap<usize, BTreeMap<State, (usize, u128)>>,
    /// By partition: the digest of nothing, once it is known. Most partitions hold that most of the time.
    empty: Vec<Option<u128>>,
}

impl DigestEquality {
    fn compare(&mut self, holding: &Holding) -> Result<(), String> {
        let (node, nothing) = (holding.node, State::new());
        self.empty.resize(holding.digests.len(), None);
        for (partition, digest) in holding.digests.iter().copied().enumerate() {
            let state = holding.records.get(&partition).unwrap_or(&nothing);
            if state.is_empty() && self.empty[partition] == Some(digest) {
                continue;
            }
            let same = self.digests.entry(partition).or_default().get(state);
            if let Some((other, before)) = same.filter(|(_, before)| *before != digest) {
                return Err(format!(
                    "equal states have equal digests; partition {partition} of n{node} has {digest:032x}, and n{other} had \
                     {before:032x} with the same in it"
                ));
            }
            if same.is_some() {
                continue;
            }
            if let Some((other, before)) = self.states.get(&(partition, digest)) {
                let differs = |key: &&bytes::Bytes| before.get(*key) != state.get(*key);
                let key = before.keys().chain(state.keys()).find(differs);
                let key = key.cloned().unwrap_or_default();
                let (was, is) = (show(&key, before.get(&key)), show(&key, state.get(&key)));
                return Err(format!(
                    "different states have different digests; partition {partition} of n{node} has {digest:032x} with {is}, \
                     and n{other} had it with {was}"
                ));
            }
            if state.is_empty() {
                self.empty[partition] = Some(digest);
            }
            self.states.insert((partition, digest), (node, state.clone()));
            let known = self.digests.entry(partition).or_default();
            known.insert(state.clone(), (node, digest));
        }
        Ok(())
    }
}

impl Invariant for DigestEquality {
    fn name(&self) -> &'static str {
        "digest-equality"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Sampled { holdings } => holdings.iter().try_for_each(|holding| self.compare(holding)),
            _ => Ok(()),
        }
    }
}
