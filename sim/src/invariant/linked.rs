//! **Promises** that when all is quiet every node that is left has a link with every other one: none is shut out by a connection
//! that the other holds for alive. Over datagrams nothing is promised: a handshake comes out of order, and may fail again and again.
//! **From** the half-open connections of RFC 9293, section 3.5.1. Changes take another way where there is one, so that nodes
//! that hold the same prove nothing about their links. Each node is asked for its links, and must name all the others.

use super::{Invariant, Seen};

/// See the module.
#[derive(Debug)]
pub struct Linked;

/// Whether each node has a link with each other, given by number with the names that it has links with, if they are promised; or who
/// lacks whom.
///
/// # Errors
/// The first that lacks one, in words.
pub fn linked(nodes: &[(usize, Option<Vec<String>>)]) -> Result<(), String> {
    let asked = nodes.iter().filter_map(|(node, links)| Some((node, links.as_ref()?)));
    for (node, links) in asked {
        for (other, _) in nodes.iter().filter(|(other, _)| other != node) {
            if !links.contains(&format!("n{other}")) {
                return Err(format!(
                    "n{node} has a link with n{other}; it has links with [{}]",
                    links.join(", ")
                ));
            }
        }
    }
    Ok(())
}

impl Invariant for Linked {
    fn name(&self) -> &'static str {
        "linked"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Quiet { nodes, .. } => {
                let links = nodes.iter().map(|left| (left.node, left.links.map(<[String]>::to_vec)));
                linked(&links.collect::<Vec<_>>())
            }
            _ => Ok(()),
        }
    }
}
