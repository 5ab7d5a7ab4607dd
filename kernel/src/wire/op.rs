//! One operation of a client: TopGun's `ClientOp`.

use crate::crdt::Version;
use crate::env::WriterId;
use crate::hlc::{MAX_MILLIS, Stamp};
use crate::msgpack::{Kind, Reader, Writer};
use crate::wire::fields::{each_field, need, put};
use crate::wire::{Consistency, Error};

/// A write, as a client sent it. Everything is borrowed from the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op<'a> {
    /// The client's name for it, given back in the answer. Empty if it gave none.
    pub id: &'a str,
    /// The map.
    pub map: &'a str,
    /// The key.
    pub key: &'a [u8],
    /// How many replicas must have it before it counts as done.
    pub consistency: Consistency,
    /// What is written there. [`Stamp::writer`] is the hash of the writer's name.
    pub version: Version<'a>,
}

/// What else a client asks an acknowledgement to mean; without a word the node's default holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask<'a> {
    /// How firmly each of those has it: `memory`, `disk`.
    pub durability: Option<&'a str>,
}

/// An operation that cannot be read, with its id if that much is clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadOp<'a> {
    /// The client's name for it; empty if there is none.
    pub id: &'a str,
    /// What is wrong.
    pub error: Error,
}

/// A time stamp as TopGun writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp<'a> {
    /// The comparable stamp.
    pub stamp: Stamp,
    /// The writer's name.
    pub writer: &'a str,
}

impl<'a> Timestamp<'a> {
    /// Reads `{millis, counter, nodeId}`.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let (mut millis, mut counter, mut writer) = (None, None, None);
        each_field(reader, |name, reader| match name {
            "millis" => put(&mut millis, "timestamp.millis", reader, Reader::u64),
            "counter" => put(&mut counter, "timestamp.counter", reader, Reader::u64),
            "nodeId" => put(&mut writer, "timestamp.nodeId", reader, Reader::text),
            _ => Ok(false),
        })?;
        let writer = need(writer, "timestamp.nodeId")?;
        let millis = need(millis, "timestamp.millis")?;
        let counter = u16::try_from(need(counter, "timestamp.counter")?);
        let counter = counter.map_err(|_| Error::Range {
            field: "timestamp.counter",
        })?;
        let stamp = Stamp::new(millis, counter, WriterId::of(writer)).ok_or(Error::Range {
            field: "timestamp.millis",
        })?;
        Ok(Self { stamp, writer })
    }

    /// Writes `{millis, counter, nodeId}`.
    pub fn write(stamp: Stamp, writer: &str, out: &mut Writer) {
        out.map(3).text("millis").u64(stamp.millis());
        out.text("counter").u64(stamp.counter().into());
        out.text("nodeId").text(writer);
    }
}

/// The operations of a batch, read one at a time.
#[derive(Debug, Clone)]
pub struct Ops<'a> {
    reader: Reader<'a>,
    left: usize,
    /// Each of them asks for that much at least.
    least: Consistency,
}

impl<'a> Ops<'a> {
    /// A single operation.
    pub(crate) fn single(reader: Reader<'a>) -> Self {
        Self {
            reader,
            left: 1,
            least: Consistency::Eventual,
        }
    }

    /// A list of operations, each of which asks for `least` at least.
    pub(crate) fn list(mut reader: Reader<'a>, least: Consistency) -> Result<Self, Error> {
        let left = reader.list()?;
        Ok(Self { reader, left, least })
    }

    /// How many there are still.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether there are none any more.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<Op<'a>, BadOp<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // The frame was validated, so that each element has an end, whatever is wrong inside it.
        let raw = self.reader.raw().ok()?;
        let least = self.least;
        Some(Op::read(raw).map(|op| Op {
            consistency: op.consistency.max(least),
            ..op
        }))
    }
}

#[derive(Default)]
struct Raw<'a> {
    map: Option<&'a str>,
    key: Option<&'a [u8]>,
    op_type: Option<&'a str>,
    record: Option<RawRecord<'a>>,
    or_map: bool,
    concern: Option<&'a str>,
    consistency: Option<&'a str>,
    durability: Option<&'a str>,
}

#[derive(Default)]
struct RawRecord<'a> {
    value: Option<&'a [u8]>,
    timestamp: Option<Timestamp<'a>>,
    ttl_ms: Option<u64>,
}

impl<'a> Op<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, BadOp<'a>> {
        let mut id = None;
        let mut op = Raw::default();
        let fields = each_field(&mut Reader::new(raw), |name, reader| match name {
            "id" => put(&mut id, "id", reader, Reader::text),
            "mapName" => put(&mut op.map, "mapName", reader, Reader::text),
            "key" => put(&mut op.key, "key", reader, key),
            "opType" => put(&mut op.op_type, "opType", reader, Reader::text),
            "record" => {
                if reader.peek()? != Kind::Null {
                    op.record = Some(RawRecord::read(reader)?);
                    return Ok(true);
                }
                Ok(false)
            }
            "orRecord" | "orTag" => {
                op.or_map |= reader.peek()? != Kind::Null;
                Ok(false)
            }
            "writeConcern" => put(&mut op.concern, "writeConcern", reader, Reader::text),
            "consistency" => put(&mut op.consistency, "consistency", reader, Reader::text),
            "durability" => put(&mut op.durability, "durability", reader, Reader::text),
            _ => Ok(false),
        });
        let id = id.unwrap_or_default();
        let op = fields.and_then(|()| op.finish(id));
        op.map_err(|error| BadOp { id, error })
    }

    /// Writes the operation as a client does. What every node does by itself is not asked for.
    pub fn write(&self, ask: Ask<'_>, out: &mut Writer) {
        let consistency = Some(self.consistency).filter(|level| *level != Consistency::default());
        let words = [
            ("consistency", consistency.map(Consistency::word)),
            ("durability", ask.durability),
        ];
        out.map(5 + words.iter().filter(|(_, word)| word.is_some()).count());
        for (name, word) in words {
            if let Some(word) = word {
                out.text(name).text(word);
            }
        }
        out.text("id").text(self.id).text("mapName").text(self.map);
        out.text("key");
        write_key(self.key, out);
        out.text("opType")
            .text(if self.version.is_tombstone() { "REMOVE" } else { "PUT" });
        out.text("record");
        write_record(&self.version, out);
    }
}

impl<'a> RawRecord<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut record = RawRecord::default();
        each_field(reader, |name, reader| match name {
            "value" => {
                record.value = Some(reader.raw()?);
                Ok(true)
            }
            "timestamp" => {
                record.timestamp = Some(Timestamp::read(reader)?);
                Ok(true)
            }
            "ttlMs" => {
                if reader.peek()? == Kind::Null {
                    return Ok(false);
                }
                record.ttl_ms = Some(ttl_ms(reader)?);
                Ok(true)
            }
            _ => Ok(false),
        })?;
        Ok(record)
    }
}

impl<'a> Raw<'a> {
    /// How many replicas the operation asks for: of two words the stronger one holds.
    fn consistency(&self) -> Result<Consistency, Error> {
        if self.durability.is_some_and(|word| !["memory", "disk"].contains(&word)) {
            return Err(Error::Choice { field: "durability" });
        }
        let asked = self.consistency.map_or(Some(Consistency::default()), Consistency::of);
        let asked = asked.ok_or(Error::Choice { field: "consistency" })?;
        Ok(asked.max(of_concern(self.concern)?))
    }

    fn finish(self, id: &'a str) -> Result<Op<'a>, Error> {
        if self.or_map || self.op_type.is_some_and(|kind| kind.starts_with("OR_")) {
            return Err(Error::Unsupported { what: "an OR-map" });
        }
        let consistency = self.consistency()?;
        let record = need(self.record, "record")?;
        let Timestamp { stamp, writer } = need(record.timestamp, "record.timestamp")?;
        const NIL: [u8; 1] = [0xc0];
        let value = match self.op_type {
            Some("PUT") => Some(need(record.value, "record.value")?),
            Some("REMOVE") => None,
            Some(_) => return Err(Error::Choice { field: "opType" }),
            None => record.value.filter(|value| *value != NIL),
        };
        Ok(Op {
            id,
            map: need(self.map, "mapName")?,
            key: need(self.key, "key")?,
            consistency,
            version: Version {
                stamp,
                writer,
                // What is deleted stays deleted.
                ttl_ms: record.ttl_ms.filter(|_| value.is_some()),
                value,
            },
        })
    }
}

/// How many replicas TopGun's `writeConcern` asks for.
pub(crate) fn of_concern(word: Option<&str>) -> Result<Consistency, Error> {
    match word {
        // A write is acknowledged when it is on disk. What asks for less gets that.
        None | Some("FIRE_AND_FORGET" | "MEMORY" | "APPLIED" | "PERSISTED") => Ok(Consistency::Eventual),
        Some("REPLICATED") => Ok(Consistency::Quorum),
        Some(_) => Err(Error::Choice { field: "writeConcern" }),
    }
}

/// A key is bytes; TopGun's are texts.
pub(crate) fn key<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], crate::msgpack::Error> {
    match reader.peek()? {
        Kind::Bytes => reader.bin(),
        _ => reader.text().map(str::as_bytes),
    }
}

/// Writes a key: as a text if it is one.
pub(crate) fn write_key(key: &[u8], out: &mut Writer) {
    match core::str::from_utf8(key) {
        Ok(text) => out.text(text),
        Err(_) => out.bin(key),
    };
}

/// Reads a time to live: a whole number of milliseconds above zero.
fn ttl_ms(reader: &mut Reader<'_>) -> Result<u64, Error> {
    const FIELD: &str = "record.ttlMs";
    let out_of_range = Error::Range { field: FIELD };
    let ttl_ms = reader.u64().map_err(|_| out_of_range)?;
    if (1..=MAX_MILLIS).contains(&ttl_ms) {
        Ok(ttl_ms)
    } else {
        Err(out_of_range)
    }
}

/// Writes `{value, timestamp}`, and `ttlMs` if there is one.
pub(crate) fn write_record(version: &Version<'_>, out: &mut Writer) {
    out.map(if version.ttl_ms.is_some() { 3 } else { 2 }).text("value");
    match version.value {
        Some(value) => out.raw(value),
        None => out.null(),
    };
    out.text("timestamp");
    Timestamp::write(version.stamp, version.writer, out);
    if let Some(ttl_ms) = version.ttl_ms {
        out.text("ttlMs").u64(ttl_ms);
    }
}
