//! A node's whole state as bytes, and a node from them.
//!
//! What is written is every field of every part, by derivation: one that is added later is written too, or does not compile. It is
//! *canonical*: equal states give equal bytes, whatever their histories. Where the form in memory has a history (the trie of
//! a map, the numbers of its writers, the buffer of the random stream, a compiled query), its content is written and the form made
//! anew. So nothing that a checkpoint leaves out can be seen in what a node does; capacities are counted by no limit.
//!
//! Left out are the news of links, which the host takes outside of any step. Of the secret only what is derived from it is
//! there, as in the node itself.
//!
//! `version (1) · the fields, in postcard's encoding · BLAKE3 of all that (32)`

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::node::{BadConfig, Node};

/// Of the layout. Builds whose states differ are told apart by who keeps checkpoints: they are read by the build that wrote them.
const VERSION: u8 = 1;
const HASH_BYTES: usize = 32;

/// Why bytes are not a checkpoint of this kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// Shorter than any.
    #[error("the checkpoint is cut short: it has {len} bytes")]
    Short {
        /// How many there are.
        len: usize,
    },
    /// From another kernel.
    #[error("the checkpoint has version {version}, and this kernel reads version {VERSION}")]
    Version {
        /// Its version.
        version: u8,
    },
    /// The bytes are not those that were written.
    #[error("the checkpoint is damaged: its hash is not that of its content")]
    Damaged,
    /// The bytes are what was written, and not by this kernel.
    #[error("the checkpoint is not one of this kernel: {reason}")]
    Foreign {
        /// What does not fit.
        reason: String,
    },
    /// It holds a configuration that no node works with.
    #[error("the checkpoint holds a configuration that no node works with: {0}")]
    Config(#[from] BadConfig),
}

/// Bytes that are reserved at once for a checkpoint; beyond that it grows as it is written.
const MOST_RESERVED: u64 = 1 << 28;

impl Node {
    /// The whole state, between two steps. The last 32 bytes are the hash of the rest: equal states have equal hashes.
    ///
    /// Takes time and memory in proportion to what the node holds.
    pub fn checkpoint(&self) -> Vec<u8> {
        // What a state that somebody made up says of its size may be anything.
        self.encoded(self.checkpoint_about().min(MOST_RESERVED) as usize)
    }

    fn encoded(&self, about_bytes: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(about_bytes);
        bytes.push(VERSION);
        let mut bytes = postcard::to_extend(self, bytes).expect("every part of a node has an encoding");
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// About how many bytes a checkpoint has. Walks over the maps, not over what they hold.
    pub fn checkpoint_about(&self) -> u64 {
        let held = self.store.held();
        // A row takes some bytes beside what is counted. Changes on their way to disk are in it again: those on their way to the
        // log as they are, those on their way to the records once a key, waiting or in flight.
        let (_, in_flight) = self.store.in_flight();
        let unapplied = self.store.unapplied_bytes().min(held.bytes.saturating_mul(2));
        [8 * held.records, in_flight, unapplied, 64 << 10]
            .into_iter()
            .fold(held.bytes, u64::saturating_add)
    }

    /// The node that [`Node::checkpoint`] was asked of: with the same inputs it gives the same outputs.
    ///
    /// # Errors
    /// [`BadCheckpoint`], whatever the bytes are; they take no more memory than what they hold. Each part is checked for itself. That
    /// the parts fit each other is left to who wrote them: a state that somebody made up may panic in a later step.
    pub fn restore(checkpoint: &[u8]) -> Result<Self, BadCheckpoint> {
        let short = || BadCheckpoint::Short { len: checkpoint.len() };
        let (content, hash) = checkpoint.split_last_chunk::<HASH_BYTES>().ok_or_else(short)?;
        let (version, fields) = content.split_first().ok_or_else(short)?;
        if blake3::hash(content) != *hash {
            return Err(BadCheckpoint::Damaged);
        }
        if *version != VERSION {
            return Err(BadCheckpoint::Version { version: *version });
        }
        let foreign = |reason: &str| BadCheckpoint::Foreign { reason: reason.into() };
        let (node, rest): (Self, _) = postcard::take_from_bytes(fields).map_err(|error| foreign(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(foreign("there are bytes behind it"));
        }
        node.config.check()?;
        // Rows out of order or given twice would be read, and be another state than the one that was written.
        if node.encoded(checkpoint.len()) != checkpoint {
            return Err(foreign("it is not in the canonical form"));
        }
        Ok(node)
    }

    /// What a checkpoint's hash says: two nodes in equal states have equal ones.
    pub fn state_hash(&self) -> [u8; HASH_BYTES] {
        let checkpoint = self.checkpoint();
        let (_, hash) = checkpoint.split_last_chunk().expect("a checkpoint ends with its hash");
        *hash
    }
}
