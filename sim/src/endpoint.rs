//! Who can be at the end of a connection, and how a plan writes that down.

use std::fmt;
use std::str::FromStr;

/// One end of a connection: a node, or a client of the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// The node with this number, `n0` and up.
    Node(usize),
    /// The client with this number, `c0` and up.
    Client(usize),
}

impl Endpoint {
    /// One number for both kinds, to key random streams by.
    pub fn entity(self) -> u64 {
        match self {
            Endpoint::Node(node) => 2 * node as u64,
            Endpoint::Client(client) => 2 * client as u64 + 1,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Node(node) => write!(f, "n{node}"),
            Endpoint::Client(client) => write!(f, "c{client}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse().map_err(|_| format!("no endpoint is called `{text}`"));
        match (text.strip_prefix('n'), text.strip_prefix('c')) {
            (Some(digits), _) => number(digits).map(Endpoint::Node),
            (_, Some(digits)) => number(digits).map(Endpoint::Client),
            _ => Err(format!("no endpoint is called `{text}`")),
        }
    }
}
