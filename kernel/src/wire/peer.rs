//! What nodes say to each other.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::crdt::Record;
use crate::env::WriterId;
use crate::msgpack::{self, Reader, Writer};
use crate::partition::PartitionId;
use crate::store::RecordKey;
use crate::wire::Error;
use crate::wire::fields::{Frame, each_field, need, put};
use crate::wire::repair::{self, Repair};

/// A message from another node. Everything is borrowed from the frame.
#[derive(Debug, Clone)]
pub enum PeerMessage<'a> {
    /// `PEER_HELLO`: who I am. The first frame on a connection, from both sides.
    Hello(Hello<'a>),
    /// `PEER_PROOF`: I know the cluster's secret.
    Proof(&'a [u8]),
    /// `CHANGES`: versions that you may lack.
    Changes(Rows<'a>),
    /// `DIGESTS`: what I hold of the partitions that we share. Begins a round of anti-entropy: repair what differs.
    Digests {
        /// The sender's number for the round.
        round: u64,
        /// One for each partition.
        digests: Digests<'a>,
    },
    /// A part of the repair of one partition.
    Repair {
        /// The number that the side that asks has given it.
        session: u64,
        /// What is said.
        message: Repair<'a>,
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong {
        /// How many changes the sender has taken on this connection, old news included.
        taken: u64,
    },
}

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The protocol that it speaks.
    pub version: u64,
    /// Its name.
    pub name: &'a str,
    /// The identity drawn at its boot.
    pub boot: WriterId,
    /// How its maps route ([`Routing::digest`](crate::partition::Routing::digest)).
    pub routing: u64,
    /// 32 fresh bytes, to be answered with a proof.
    pub nonce: [u8; 32],
}

/// Digests of partitions.
#[derive(Debug, Clone, Copy)]
pub struct Digests<'a> {
    /// For each its number (2) and digest (16), big-endian.
    bytes: &'a [[u8; 18]],
}

impl<'a> Digests<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let range = Error::Range { field: "digests" };
        let (bytes, []) = bytes.as_chunks() else {
            return Err(range);
        };
        let digests = Self { bytes };
        let ascend = digests.bytes.is_sorted_by(|a, b| a[..2] < b[..2]);
        match ascend && digests.iter().count() == bytes.len() {
            true => Ok(digests),
            false => Err(range),
        }
    }

    /// Each partition, ascending, and its digest.
    pub fn iter(self) -> impl Iterator<Item = (PartitionId, u128)> {
        self.bytes.iter().filter_map(|[high, low, digest @ ..]| {
            let id = PartitionId::new(u16::from_be_bytes([*high, *low]).into())?;
            Some((id, u128::from_be_bytes(*digest)))
        })
    }
}

/// Pairs of a key and bytes, read one at a time.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn new(raw: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(raw);
        let left = reader.map()?;
        Ok(Self { reader, left })
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), msgpack::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut pair = || Ok((self.reader.bin()?, self.reader.bin()?));
        Some(pair())
    }
}

#[derive(Default)]
struct Raw<'a> {
    version: Option<u64>,
    name: Option<&'a str>,
    boot: Option<u64>,
    routing: Option<u64>,
    nonce: Option<&'a [u8]>,
    proof: Option<&'a [u8]>,
    round: Option<u64>,
    taken: Option<u64>,
    digests: Option<&'a [u8]>,
    rows: Option<&'a [u8]>,
}

impl<'a> Raw<'a> {
    fn read(mut reader: Reader<'a>) -> Result<Self, Error> {
        let mut raw = Raw::default();
        each_field(&mut reader, |name, reader| match name {
            "protocolVersion" => put(&mut raw.version, "protocolVersion", reader, Reader::u64),
            "name" => put(&mut raw.name, "name", reader, Reader::text),
            "boot" => put(&mut raw.boot, "boot", reader, Reader::u64),
            "routing" => put(&mut raw.routing, "routing", reader, Reader::u64),
            "nonce" => put(&mut raw.nonce, "nonce", reader, Reader::bin),
            "proof" => put(&mut raw.proof, "proof", reader, Reader::bin),
            "taken" => put(&mut raw.taken, "taken", reader, Reader::u64),
            "round" => put(&mut raw.round, "round", reader, Reader::u64),
            "digests" => put(&mut raw.digests, "digests", reader, Reader::bin),
            "rows" => put(&mut raw.rows, "rows", reader, Reader::raw),
            _ => Ok(false),
        })?;
        Ok(raw)
    }

    fn hello(self) -> Result<Hello<'a>, Error> {
        let nonce = need(self.nonce, "nonce")?.try_into();
        Ok(Hello {
            version: need(self.version, "protocolVersion")?,
            name: need(self.name, "name")?,
            boot: WriterId(need(self.boot, "boot")?),
            routing: need(self.routing, "routing")?,
            nonce: nonce.map_err(|_| Error::Range { field: "nonce" })?,
        })
    }
}

impl<'a> PeerMessage<'a> {
    /// Reads a frame. Nesting is as deep as the protocol's, and no deeper: records travel as opaque bytes.
    ///
    /// # Errors
    /// [`Error`], whatever the bytes are.
    pub fn decode(frame: &'a [u8]) -> Result<Self, Error> {
        const DEPTH: usize = 4;
        let frame = Frame::read(frame, DEPTH)?;
        let kind = need(frame.kind, "type")?;
        let payload = || Raw::read(frame.payload()?);
        match kind {
            "PEER_HELLO" => Ok(Self::Hello(payload()?.hello()?)),
            "PEER_PROOF" => Ok(Self::Proof(need(payload()?.proof, "proof")?)),
            "CHANGES" => Ok(Self::Changes(Rows::new(need(payload()?.rows, "rows")?)?)),
            "DIGESTS" => {
                let raw = payload()?;
                Ok(Self::Digests {
                    round: need(raw.round, "round")?,
                    digests: Digests::read(need(raw.digests, "digests")?)?,
                })
            }
            "PING" => Ok(Self::Ping),
            "PONG" => Ok(Self::Pong {
                taken: payload()?.taken.unwrap_or_default(),
            }),
            _ => {
                let (session, message) = repair::read(kind, || frame.payload())?;
                Ok(Self::Repair { session, message })
            }
        }
    }

    /// The versions that it carries, if it is of a kind that does.
    pub fn rows(&self) -> Option<Rows<'a>> {
        match self {
            Self::Changes(rows) => Some(rows.clone()),
            Self::Repair { message, .. } => message.rows(),
            _ => None,
        }
    }
}

pub(super) fn message(kind: &str, fields: usize) -> Writer {
    let mut out = Writer::new();
    out.map(2).text("type").text(kind).text("payload").map(fields);
    out
}

/// Writes `PEER_HELLO`.
pub fn hello(hello: &Hello<'_>) -> Bytes {
    let mut out = message("PEER_HELLO", 5);
    out.text("protocolVersion").u64(hello.version);
    out.text("name").text(hello.name);
    out.text("boot").u64(hello.boot.0);
    out.text("routing").u64(hello.routing);
    out.text("nonce").bin(&hello.nonce);
    out.into_bytes()
}

/// Writes `PEER_PROOF`.
pub fn proof(proof: &[u8; 32]) -> Bytes {
    let mut out = message("PEER_PROOF", 1);
    out.text("proof").bin(proof);
    out.into_bytes()
}

/// Writes `CHANGES`, as many frames as it takes at about `chunk_bytes` each.
pub fn changes<'r>(rows: impl Iterator<Item = (&'r RecordKey, &'r Record)>, chunk_bytes: usize) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut chunk = Vec::new();
    let mut bytes = 0;
    for (key, record) in rows {
        let size = key.as_bytes().len() + record.as_bytes().len();
        if bytes + size > chunk_bytes && !chunk.is_empty() {
            frames.push(changes_frame(&chunk, bytes));
            chunk.clear();
            bytes = 0;
        }
        chunk.push((key, record));
        bytes += size;
    }
    if !chunk.is_empty() {
        frames.push(changes_frame(&chunk, bytes));
    }
    frames
}

fn changes_frame(rows: &[(&RecordKey, &Record)], bytes: usize) -> Bytes {
    let mut out = Writer::with_capacity(48 + bytes + 10 * rows.len());
    out.map(2).text("type").text("CHANGES").text("payload").map(1);
    out.text("rows").map(rows.len());
    for (key, record) in rows {
        out.bin(key.as_bytes()).bin(record.as_bytes());
    }
    out.into_bytes()
}

/// Writes `DIGESTS` of these partitions, ascending.
pub fn digests(round: u64, digests: impl Iterator<Item = (PartitionId, u128)>) -> Bytes {
    let mut bytes = Vec::new();
    for (id, digest) in digests {
        bytes.extend_from_slice(&(id.index() as u16).to_be_bytes());
        bytes.extend_from_slice(&digest.to_be_bytes());
    }
    let mut out = message("DIGESTS", 2);
    out.text("round").u64(round).text("digests").bin(&bytes);
    out.into_bytes()
}

/// Writes `PING`.
pub fn ping() -> Bytes {
    message("PING", 0).into_bytes()
}

/// Writes `PONG`.
pub fn pong(taken: u64) -> Bytes {
    let mut out = message("PONG", 1);
    out.text("taken").u64(taken);
    out.into_bytes()
}
