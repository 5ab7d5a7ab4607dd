//! **Promises** that a client is shown nothing that nobody wrote: each value that it reads, by key, by query, as a live update or
//! over an exchange, was written by somebody, under that very key of that very map, and by whom and when the answer says.
//! **From** the first of the properties that a register has (Lamport, "On Interprocess Communication", 1986: a read returns a
//! value that was written), and Jepsen's checks for values out of thin air. The counterexample is an answer that takes the
//! value of one key and the name of another. Compared is what the clients stamped, byte by byte.

use bytes::Bytes;

use super::{Invariant, Seen};
use crate::client::Said;
use crate::written::Written;

/// See the module.
#[derive(Debug, Default)]
pub struct NothingInvented {
    written: Written,
}

impl Invariant for NothingInvented {
    fn name(&self) -> &'static str {
        "nothing-invented"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        let (client, talk) = match seen {
            Seen::Wrote(write) => {
                self.written.add(write);
                return Ok(());
            }
            Seen::Talked { client, talk } => (client, talk),
            _ => return Ok(()),
        };
        let invented = match &talk.said {
            Said::Found {
                key,
                found: Some(found),
                ..
            } if self.written.find(key, found).is_none() => {
                let (writer, ms) = (&found.writer, found.stamp.millis());
                (key, &found.value, format!(" of {writer} at {ms}"))
            }
            Said::Row { key, value, .. } if self.written.with_value(key, value).next().is_none() => {
                (key, value, String::new())
            }
            _ => return Ok(()),
        };
        let (key, value, whose) = invented;
        let (node, key) = (talk.node, name(key));
        Err(format!(
            "c{client} is shown what somebody wrote; n{node} showed it {key} = {value:02x?}{whose}, and nobody wrote that"
        ))
    }
}

/// A record's name, for people.
pub(super) fn name(key: &Bytes) -> String {
    String::from_utf8_lossy(key).replace('\0', "/")
}
