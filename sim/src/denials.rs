//! What invariants need to know of answers that say "there is nothing here".

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::env::Limits;
use kernel::machine::Input;
use kernel::msgpack::Reader;
use kernel::store::RecordKey;
use kernel::wire::server::ServerMessage;

use crate::model::{LogEntry, State, Version};
use crate::trace::Step;
use crate::traffic::is_one_of;

/// One node: what is on its disk, and which of its answers denied what was there.
///
/// An answer is judged twice, when it is given and when it leaves: in between a delete may have become durable.
#[derive(Debug, Default)]
pub struct Denials {
    durable: State,
    /// Denials that wait to leave, by the place of the answer: the record, and its version on disk at that time.
    waiting: BTreeMap<u64, (Bytes, Version)>,
    given: u64,
}

impl Denials {
    /// A node whose disk holds this.
    pub fn of(durable: State) -> Self {
        Self {
            durable,
            ..Self::default()
        }
    }

    /// The node was booted: nothing of an earlier boot leaves any more.
    pub fn booted(&mut self) {
        self.waiting.clear();
        self.given = 0;
    }

    /// An entry has become durable.
    pub fn logged(&mut self, entry: &LogEntry) {
        entry.follow(&mut self.durable);
    }

    /// What is on disk.
    pub fn durable(&self) -> &State {
        &self.durable
    }

    /// The machine gave envelopes.
    pub fn stepped(&mut self, step: &Step<'_>) {
        let waiting = step.output.commit.iter().flat_map(|commit| &commit.envelopes);
        // Another node's answer is passed on, or what a majority had when it was asked: what is on this node's disk by now is not what
        // was read.
        let just_read = matches!(step.input, Input::Received { frame, .. } if !is_one_of(frame, &["CLUSTER"]));
        for envelope in step.output.send.iter().chain(waiting) {
            if just_read
                && let Some(key) = denied_key(&envelope.frame)
                && let Some(version) = self.durable.get(&key).filter(|version| version.value.is_some())
            {
                self.waiting.insert(self.given, (key, version.clone()));
            }
            self.given += 1;
        }
    }

    /// An envelope left: the record that it denies, if the same value was on disk when it was given and is now.
    pub fn left(&mut self, given: u64) -> Option<(Bytes, Version)> {
        let (key, version) = self.waiting.remove(&given)?;
        (self.durable.get(&key) == Some(&version)).then_some((key, version))
    }
}

/// The record of which an answer says that there is nothing.
fn denied_key(frame: &[u8]) -> Option<Bytes> {
    if !is_one_of(frame, &["VALUE"]) {
        return None;
    }
    let Ok(ServerMessage::Value { found: None, .. }) = ServerMessage::decode(frame, Limits::default().depth) else {
        return None;
    };
    let payload = field(&mut Reader::new(frame), "payload")?;
    let map = Reader::new(field(&mut Reader::new(payload), "mapName")?).text().ok()?;
    let mut key = Reader::new(field(&mut Reader::new(payload), "key")?);
    let key = RecordKey::new(map, key.text().ok()?.as_bytes(), &Limits::default()).ok()?;
    Some(key.as_bytes().clone())
}

fn field<'f>(map: &mut Reader<'f>, wanted: &str) -> Option<&'f [u8]> {
    for _ in 0..map.map().ok()? {
        let name = map.text().ok()?;
        let value = map.raw().ok()?;
        if name == wanted {
            return Some(value);
        }
    }
    None
}
