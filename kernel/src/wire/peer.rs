//! What nodes say to each other.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::crdt::Record;
use crate::env::{NodeId, WriterId};
use crate::msgpack::{self, Reader, Writer};
use crate::partition::PartitionId;
use crate::store::RecordKey;
use crate::wire::fields::{Frame, each_field, need, put};
use crate::wire::repair::{self, Repair};
use crate::wire::{BOOTS_MAX, BootMark, Error};

/// A message from another node. Everything is borrowed from the frame.
#[derive(Debug, Clone)]
pub enum PeerMessage<'a> {
    /// `PEER_HELLO`: who I am. The first frame on a connection, from both sides.
    Hello(Hello<'a>),
    /// `PEER_PROOF`: I know the cluster's secret.
    Proof(&'a [u8]),
    /// `PEER_REFUSED`: I close this connection, for this reason. The last frame on it, and for people: whoever connects can send it.
    Refused(&'a str),
    /// `CHANGES`: versions that you may lack.
    Changes(Changes<'a>),
    /// `CLUSTER`: what the members of a cluster say to each other about it, in an encoding of its own ([`Word`](super::cluster::Word)).
    Cluster(&'a [u8]),
    /// `DIGESTS`: what I hold of the partitions that we share. Begins a round of anti-entropy: repair what differs.
    Digests {
        /// The sender's number for the round.
        round: u64,
        /// The version of the cluster's state at which the sender knew all members to be clean ([`Word::Stands`]); 0 if it did not.
        ///
        /// [`Word::Stands`]: super::cluster::Word::Stands
        clean: u64,
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
    /// `PEER_AGAIN`: I lack your hello or your proof. Only on a connection that loses frames.
    Again,
    /// `PING`: I am here.
    Ping(Ping),
    /// `PONG`.
    Pong {
        /// How many changes the sender has taken on this connection, old news included.
        taken: u64,
    },
}

/// Versions of records, as one node gives them to another.
#[derive(Debug, Clone)]
pub struct Changes<'a> {
    /// The sender's number for the frame, if it wants to hear that all of it is durable: no number comes twice on a connection.
    pub number: Option<u64>,
    /// The version of the cluster's state that the sender acts by.
    pub epoch: u64,
    /// Record keys and records.
    pub rows: Rows<'a>,
}

/// What a heartbeat tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ping {
    /// The version of the cluster's state that the sender has on disk.
    pub epoch: u64,
    /// The last log entry that is durable there.
    pub committed: u64,
    /// What its wall clock shows, in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// What its monotonic clock shows, in microseconds: said back in [`Word::Level`](super::cluster::Word::Level).
    pub sent_us: u64,
}

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The protocol that it speaks.
    pub version: u64,
    /// Its id, kept with its data.
    pub id: NodeId,
    /// Where it can be dialled.
    pub addr: &'a str,
    /// How much it should hold, relative to others.
    pub weight: u32,
    /// What it shares its fate with.
    pub zone: &'a str,
    /// What people call the cluster that it is meant for.
    pub cluster_name: &'a str,
    /// The cluster that it belongs to; 0 for none yet.
    pub cluster: u64,
    /// The version of the cluster's state that it has on disk.
    pub epoch: u64,
    /// Its name.
    pub name: &'a str,
    /// The identity drawn at its boot.
    pub boot: WriterId,
    /// The boots that its disk knows of, the last of them at the end: at most [`BOOTS_MAX`].
    pub boots: &'a [BootMark],
    /// How often its disk was booted, those included.
    pub booted: u64,
    /// The last log entry that is durable there.
    pub committed: u64,
    /// How its maps route ([`Routing::digest`](crate::partition::Routing::digest)).
    pub routing: u64,
    /// 32 fresh bytes, to be answered with a proof.
    pub nonce: [u8; 32],
}

fn boots(bytes: &[u8]) -> Result<&[BootMark], Error> {
    match bytes.as_chunks() {
        (boots, []) if boots.len() <= BOOTS_MAX => Ok(boots),
        _ => Err(Error::Range { field: "boots" }),
    }
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
    boots: Option<&'a [u8]>,
    booted: Option<u64>,
    id: Option<u64>,
    addr: Option<&'a str>,
    weight: Option<u64>,
    zone: Option<&'a str>,
    cluster_name: Option<&'a str>,
    cluster: Option<u64>,
    epoch: Option<u64>,
    number: Option<u64>,
    committed: Option<u64>,
    wall_ms: Option<u64>,
    sent_us: Option<u64>,
    body: Option<&'a [u8]>,
    routing: Option<u64>,
    nonce: Option<&'a [u8]>,
    proof: Option<&'a [u8]>,
    reason: Option<&'a str>,
    round: Option<u64>,
    clean: Option<u64>,
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
            "boots" => put(&mut raw.boots, "boots", reader, Reader::bin),
            "booted" => put(&mut raw.booted, "booted", reader, Reader::u64),
            "id" => put(&mut raw.id, "id", reader, Reader::u64),
            "addr" => put(&mut raw.addr, "addr", reader, Reader::text),
            "weight" => put(&mut raw.weight, "weight", reader, Reader::u64),
            "zone" => put(&mut raw.zone, "zone", reader, Reader::text),
            "clusterName" => put(&mut raw.cluster_name, "clusterName", reader, Reader::text),
            "cluster" => put(&mut raw.cluster, "cluster", reader, Reader::u64),
            "epoch" => put(&mut raw.epoch, "epoch", reader, Reader::u64),
            "number" => put(&mut raw.number, "number", reader, Reader::u64),
            "committed" => put(&mut raw.committed, "committed", reader, Reader::u64),
            "wallMs" => put(&mut raw.wall_ms, "wallMs", reader, Reader::u64),
            "sentUs" => put(&mut raw.sent_us, "sentUs", reader, Reader::u64),
            "body" => put(&mut raw.body, "body", reader, Reader::bin),
            "routing" => put(&mut raw.routing, "routing", reader, Reader::u64),
            "nonce" => put(&mut raw.nonce, "nonce", reader, Reader::bin),
            "proof" => put(&mut raw.proof, "proof", reader, Reader::bin),
            "reason" => put(&mut raw.reason, "reason", reader, Reader::text),
            "taken" => put(&mut raw.taken, "taken", reader, Reader::u64),
            "round" => put(&mut raw.round, "round", reader, Reader::u64),
            "clean" => put(&mut raw.clean, "clean", reader, Reader::u64),
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
            id: NodeId(need(self.id, "id")?),
            addr: need(self.addr, "addr")?,
            weight: u32::try_from(need(self.weight, "weight")?).map_err(|_| Error::Range { field: "weight" })?,
            zone: need(self.zone, "zone")?,
            cluster_name: need(self.cluster_name, "clusterName")?,
            cluster: need(self.cluster, "cluster")?,
            epoch: need(self.epoch, "epoch")?,
            name: need(self.name, "name")?,
            boot: WriterId(need(self.boot, "boot")?),
            boots: boots(need(self.boots, "boots")?)?,
            booted: need(self.booted, "booted")?,
            committed: need(self.committed, "committed")?,
            routing: need(self.routing, "routing")?,
            nonce: nonce.map_err(|_| Error::Range { field: "nonce" })?,
        })
    }

    fn changes(self) -> Result<Changes<'a>, Error> {
        Ok(Changes {
            number: self.number,
            epoch: need(self.epoch, "epoch")?,
            rows: Rows::new(need(self.rows, "rows")?)?,
        })
    }

    fn ping(self) -> Result<Ping, Error> {
        Ok(Ping {
            epoch: need(self.epoch, "epoch")?,
            committed: need(self.committed, "committed")?,
            wall_ms: need(self.wall_ms, "wallMs")?,
            sent_us: need(self.sent_us, "sentUs")?,
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
            "PEER_AGAIN" => Ok(Self::Again),
            "PEER_REFUSED" => Ok(Self::Refused(short(need(payload()?.reason, "reason")?))),
            "CHANGES" => Ok(Self::Changes(payload()?.changes()?)),
            "CLUSTER" => Ok(Self::Cluster(need(payload()?.body, "body")?)),
            "DIGESTS" => {
                let raw = payload()?;
                Ok(Self::Digests {
                    round: need(raw.round, "round")?,
                    clean: need(raw.clean, "clean")?,
                    digests: Digests::read(need(raw.digests, "digests")?)?,
                })
            }
            "PING" => Ok(Self::Ping(payload()?.ping()?)),
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
            Self::Changes(changes) => Some(changes.rows.clone()),
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
    let mut out = message("PEER_HELLO", 15);
    out.text("protocolVersion").u64(hello.version);
    out.text("id").u64(hello.id.0);
    out.text("addr").text(hello.addr);
    out.text("weight").u64(hello.weight.into());
    out.text("zone").text(hello.zone);
    out.text("clusterName").text(hello.cluster_name);
    out.text("cluster").u64(hello.cluster);
    out.text("epoch").u64(hello.epoch);
    out.text("name").text(hello.name);
    out.text("boot").u64(hello.boot.0);
    out.text("boots").bin(hello.boots.as_flattened());
    out.text("booted").u64(hello.booted);
    out.text("committed").u64(hello.committed);
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

/// Writes `PEER_AGAIN`.
pub fn again() -> Bytes {
    message("PEER_AGAIN", 0).into_bytes()
}

/// The longest reason that is sent or shown, in bytes.
const REASON_BYTES: usize = 200;

/// Writes `PEER_REFUSED`. A reason that is too long is cut.
pub fn refused(reason: &str) -> Bytes {
    let mut out = message("PEER_REFUSED", 1);
    out.text("reason").text(short(reason));
    out.into_bytes()
}

fn short(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES)]
}

/// Writes `CHANGES`, as many frames as it takes at about `chunk_bytes` each. `number` gives each of them its number, if it is to have
/// one.
pub fn changes<'r>(
    rows: impl Iterator<Item = (&'r RecordKey, &'r Record)>,
    epoch: u64,
    chunk_bytes: usize,
    mut number: impl FnMut() -> Option<u64>,
) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut chunk = Vec::new();
    let mut bytes = 0;
    for (key, record) in rows {
        let size = key.as_bytes().len() + record.as_bytes().len();
        if bytes + size > chunk_bytes && !chunk.is_empty() {
            frames.push(changes_frame(&chunk, epoch, number(), bytes));
            chunk.clear();
            bytes = 0;
        }
        chunk.push((key, record));
        bytes += size;
    }
    if !chunk.is_empty() {
        frames.push(changes_frame(&chunk, epoch, number(), bytes));
    }
    frames
}

fn changes_frame(rows: &[(&RecordKey, &Record)], epoch: u64, number: Option<u64>, bytes: usize) -> Bytes {
    let mut out = Writer::with_capacity(80 + bytes + 10 * rows.len());
    out.map(2).text("type").text("CHANGES").text("payload");
    out.map(if number.is_some() { 3 } else { 2 });
    out.text("epoch").u64(epoch);
    if let Some(number) = number {
        out.text("number").u64(number);
    }
    out.text("rows").map(rows.len());
    for (key, record) in rows {
        out.bin(key.as_bytes()).bin(record.as_bytes());
    }
    out.into_bytes()
}

/// Writes `CLUSTER` with a body that somebody else encoded.
pub fn cluster(body: &[u8]) -> Bytes {
    let mut out = message("CLUSTER", 1);
    out.text("body").bin(body);
    out.into_bytes()
}

/// Writes `DIGESTS` of these partitions, ascending.
pub fn digests(round: u64, clean: u64, digests: impl Iterator<Item = (PartitionId, u128)>) -> Bytes {
    let mut bytes = Vec::new();
    for (id, digest) in digests {
        bytes.extend_from_slice(&(id.index() as u16).to_be_bytes());
        bytes.extend_from_slice(&digest.to_be_bytes());
    }
    let mut out = message("DIGESTS", 3);
    out.text("round").u64(round).text("clean").u64(clean);
    out.text("digests").bin(&bytes);
    out.into_bytes()
}

/// Writes `PING`.
pub fn ping(ping: Ping) -> Bytes {
    let mut out = message("PING", 4);
    out.text("epoch").u64(ping.epoch);
    out.text("committed").u64(ping.committed);
    out.text("wallMs").u64(ping.wall_ms);
    out.text("sentUs").u64(ping.sent_us);
    out.into_bytes()
}

/// Writes `PONG`.
pub fn pong(taken: u64) -> Bytes {
    let mut out = message("PONG", 1);
    out.text("taken").u64(taken);
    out.into_bytes()
}
