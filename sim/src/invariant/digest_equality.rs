//! **Promises** that the digests of two partitions are equal if and only if they hold the same, byte by byte, whoever holds them
//! and whenever: replicas that compare digests repair each other until they agree, and then rest.
//! **From** rule 15 of the promises, and the Merkle trees of Dynamo (DeCandia et al., 2007). The counterexamples are a digest
//! that is updated before the write is applied, and one that covers the key and not the content: replicas that differ
//! for ever, or repair each other for ever. Compared are all pairs of nodes, now and then during a run and at its end, with
//! each other and with what was there before.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Invariant, Seen};
use crate::holding::Holding;
use crate::model::{State, show};

/// A digest, and what it stood for.
type Compared = (u128, Rc<State>);

/// See the module.
#[derive(Debug, Default)]
pub struct DigestEquality {
    /// By partition and digest: the first node that had it, and what it held.
    states: BTreeMap<(usize, u128), (usize, Rc<State>)>,
    /// By partition and state: the first node that held it, and its digest.
    digests: BTreeMap<usize, BTreeMap<Rc<State>, (usize, u128)>>,
    /// By node and partition: what was compared last. What is still the same needs no second comparison.
    last: BTreeMap<usize, Vec<Option<Compared>>>,
    nothing: Rc<State>,
}

impl DigestEquality {
    fn compare(&mut self, holding: &Holding) -> Result<(), String> {
        let node = holding.node;
        let last = self.last.entry(node).or_default();
        last.resize(holding.digests.len(), None);
        for (partition, digest) in holding.digests.iter().copied().enumerate() {
            let state = holding.records.get(&partition).unwrap_or(&self.nothing);
            let same = |(before, known): &Compared| *before == digest && Rc::ptr_eq(known, state);
            if last[partition].as_ref().is_some_and(same) {
                continue;
            }
            last[partition] = Some((digest, Rc::clone(state)));
            let known = self.digests.entry(partition).or_default();
            if let Some((other, before)) = known.get(state) {
                if *before != digest {
                    return Err(format!(
                        "equal states have equal digests; partition {partition} of n{node} has {digest:032x}, and n{other} \
                         had {before:032x} with the same in it"
                    ));
                }
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
            known.insert(Rc::clone(state), (node, digest));
            self.states.insert((partition, digest), (node, Rc::clone(state)));
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
