//! What changed, for a log.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::gossip::Boot;
use super::member::Health;
use crate::env::NodeId;

/// Something that changed in a node's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// A member is taken for something else.
    Turned {
        /// Which.
        node: NodeId,
        /// Before.
        from: Health,
        /// Now.
        to: Health,
    },
    /// Another run of a member counts from now on.
    Restarted {
        /// Which member.
        node: NodeId,
        /// Its run.
        boot: Boot,
    },
    /// This node was suspected, and said that it lives.
    Refuted {
        /// By whom; one of them, if there were several.
        by: NodeId,
    },
    /// Another node has this node's id, and began later.
    Superseded {
        /// Its run.
        by: Boot,
    },
}

impl News {
    /// Most that waits to be taken; older news is dropped.
    pub const MOST: usize = 256;
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct NewsQueue(VecDeque<News>);

impl NewsQueue {
    pub(super) fn push(&mut self, news: News) {
        if self.0.len() == News::MOST {
            self.0.pop_front();
        }
        self.0.push_back(news);
    }

    pub(super) fn take(&mut self) -> Vec<News> {
        self.0.drain(..).collect()
    }
}
