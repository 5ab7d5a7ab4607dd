//! What a client says to a node.

use bytes::Bytes;

use crate::msgpack::{Kind, Reader, Writer};
use crate::wire::admin::{ChangeAsked, Locate};
use crate::wire::agreed::AgreedAsk;
use crate::wire::fields::{Frame, each_field, need, put};
use crate::wire::op::{Ask, Op, Ops, key, of_concern, write_key};
use crate::wire::query::{QuerySub, read_unsub};
use crate::wire::{Consistency, Error, ReadConsistency};

/// A message from a client. Everything is borrowed from the frame.
#[derive(Debug, Clone)]
pub enum ClientMessage<'a> {
    /// `AUTH`: here is my token.
    Auth {
        /// The token.
        token: &'a str,
    },
    /// `CLIENT_OP`: one write.
    Op(Ops<'a>),
    /// `OP_BATCH`: many writes, answered together.
    Batch(Ops<'a>),
    /// A frame without a type, the body of `POST /sync`: writes up, acknowledgements down.
    Sync(Ops<'a>),
    /// `GET`: what is under this key? (An extension: TopGun's clients read by query.)
    Get(Get<'a>),
    /// `QUERY_SUB`: what is in a map, and what changes about that.
    QuerySub(QuerySub<'a>),
    /// `QUERY_UNSUB`: no more of that.
    QueryUnsub {
        /// The client's name for the query.
        id: &'a str,
    },
    /// `STATUS`: how are you? (An extension.)
    Status,
    /// `CLUSTER`: how is the cluster? (An extension.)
    Cluster,
    /// `CLUSTER_CHANGE`: somebody is to leave it. (An extension.)
    ClusterChange(ChangeAsked<'a>),
    /// `CLUSTER_LOCATE`: where does a key lie? (An extension.)
    ClusterLocate(Locate<'a>),
    /// `CLUSTER_REPAIR`: compare with your peers now, and say what repairs have cost. (An extension.)
    ClusterRepair,
    /// `LOCK_REQUEST`, `LOCK_RELEASE`, and ours: `DEFINE`, `DEFINITION`.
    Agreed(AgreedAsk<'a>),
    /// `PING`: are you there?
    Ping {
        /// The client's time, given back.
        timestamp: u64,
    },
}

/// A read of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Get<'a> {
    /// The client's name for it, given back in the answer.
    pub id: &'a str,
    /// The map.
    pub map: &'a str,
    /// The key.
    pub key: &'a [u8],
    /// Which replicas are asked.
    pub consistency: ReadConsistency,
}

impl<'a> ClientMessage<'a> {
    /// Reads a frame whose lists and maps nest at most `depth` deep.
    ///
    /// # Errors
    /// [`Error`], whatever the bytes are.
    pub fn decode(frame: &'a [u8], depth: usize) -> Result<Self, Error> {
        let frame = Frame::read(frame, depth)?;
        match frame.kind {
            None => sync(frame),
            Some("AUTH") => {
                let mut token = None;
                each_field(&mut frame.top(), |name, reader| match name {
                    "token" => put(&mut token, "token", reader, Reader::text),
                    _ => Ok(false),
                })?;
                Ok(Self::Auth {
                    token: need(token, "token")?,
                })
            }
            Some("CLIENT_OP") => Ok(Self::Op(Ops::single(frame.payload()?))),
            Some("OP_BATCH") => Ok(Self::Batch(batch(frame.payload()?)?)),
            Some("GET") => Ok(Self::Get(get(frame.payload()?)?)),
            Some("QUERY_SUB") => Ok(Self::QuerySub(QuerySub::read(frame.payload()?)?)),
            Some("QUERY_UNSUB") => Ok(Self::QueryUnsub {
                id: read_unsub(frame.payload()?)?,
            }),
            Some("STATUS") => Ok(Self::Status),
            Some("CLUSTER") => Ok(Self::Cluster),
            Some("CLUSTER_CHANGE") => Ok(Self::ClusterChange(ChangeAsked::read(frame.payload()?)?)),
            Some("CLUSTER_LOCATE") => Ok(Self::ClusterLocate(Locate::read(frame.payload()?)?)),
            Some("CLUSTER_REPAIR") => Ok(Self::ClusterRepair),
            Some("PING") => {
                let mut timestamp = None;
                each_field(&mut frame.top(), |name, reader| match name {
                    "timestamp" => put(&mut timestamp, "timestamp", reader, Reader::u64),
                    _ => Ok(false),
                })?;
                Ok(Self::Ping {
                    timestamp: need(timestamp, "timestamp")?,
                })
            }
            Some(kind @ ("LOCK_REQUEST" | "LOCK_RELEASE" | "DEFINE" | "DEFINITION")) => {
                let ask = AgreedAsk::read(kind, frame.payload()?)?;
                ask.map(Self::Agreed).ok_or(Error::UnknownType)
            }
            Some(_) => Err(Error::UnknownType),
        }
    }
}

fn batch(mut payload: Reader<'_>) -> Result<Ops<'_>, Error> {
    let (mut ops, mut concern) = (None, None);
    each_field(&mut payload, |name, reader| match name {
        "ops" => put(&mut ops, "ops", reader, Reader::raw),
        "writeConcern" => put(&mut concern, "writeConcern", reader, Reader::text),
        _ => Ok(false),
    })?;
    Ops::list(Reader::new(need(ops, "ops")?), of_concern(concern)?)
}

fn get(mut payload: Reader<'_>) -> Result<Get<'_>, Error> {
    let (mut id, mut map, mut at, mut consistency) = (None, None, None, None);
    each_field(&mut payload, |name, reader| match name {
        "id" => put(&mut id, "id", reader, Reader::text),
        "mapName" => put(&mut map, "mapName", reader, Reader::text),
        "key" => put(&mut at, "key", reader, key),
        "consistency" => put(&mut consistency, "consistency", reader, Reader::text),
        _ => Ok(false),
    })?;
    let consistency = consistency.map_or(Some(ReadConsistency::default()), ReadConsistency::of);
    Ok(Get {
        id: id.unwrap_or_default(),
        map: need(map, "mapName")?,
        key: need(at, "key")?,
        consistency: consistency.ok_or(Error::Choice { field: "consistency" })?,
    })
}

/// The body of `POST /sync`. What it asks for beyond writes is refused by name: nothing is passed over in silence.
fn sync(frame: Frame<'_>) -> Result<ClientMessage<'_>, Error> {
    const EMPTY: &[u8] = &[0x90];
    let (mut client, mut ops) = (None, None);
    let beyond = |what, reader: &mut Reader<'_>| -> Result<bool, Error> {
        let asked = reader.peek()? != Kind::Null && (reader.peek()? != Kind::List || reader.clone().list()? > 0);
        if asked {
            Err(Error::Unsupported { what })
        } else {
            Ok(false)
        }
    };
    each_field(&mut frame.top(), |name, reader| match name {
        "clientId" => put(&mut client, "clientId", reader, Reader::text),
        "operations" => put(&mut ops, "operations", reader, Reader::raw),
        "syncMaps" => beyond("syncMaps", reader),
        "queries" => beyond("queries", reader),
        "searches" => beyond("searches", reader),
        _ => Ok(false),
    })?;
    if client.is_none() && ops.is_none() {
        return Err(Error::Missing { field: "type" });
    }
    need(client, "clientId")?;
    let ops = Ops::list(Reader::new(ops.unwrap_or(EMPTY)), Consistency::default())?;
    Ok(ClientMessage::Sync(ops))
}

/// Writes `AUTH`.
pub fn auth(token: &str) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("AUTH").text("token").text(token);
    out.into_bytes()
}

/// Writes `CLIENT_OP`.
pub fn op(op: &Op<'_>, ask: Ask<'_>) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("CLIENT_OP").text("payload");
    op.write(ask, &mut out);
    out.into_bytes()
}

/// Writes `OP_BATCH`. Each operation asks for its own consistency.
pub fn op_batch(ops: &[Op<'_>]) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("OP_BATCH").text("payload");
    out.map(1).text("ops");
    write_ops(ops, &mut out);
    out.into_bytes()
}

/// Writes the body of `POST /sync`. Each operation asks for its own consistency. The client's clock is that of its latest operation.
pub fn sync_body(client: &str, ops: &[Op<'_>]) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("clientId").text(client).text("operations");
    write_ops(ops, &mut out);
    out.into_bytes()
}

fn write_ops(ops: &[Op<'_>], out: &mut Writer) {
    out.list(ops.len());
    for op in ops {
        op.write(Ask::default(), out);
    }
}

/// Writes `GET`. What every node does by itself is not asked for.
pub fn get_key(get: &Get<'_>) -> Bytes {
    let consistency = Some(get.consistency).filter(|level| *level != ReadConsistency::default());
    let mut out = Writer::new();
    out.map(2).text("type").text("GET").text("payload");
    out.map(if consistency.is_some() { 4 } else { 3 });
    out.text("id").text(get.id).text("mapName").text(get.map).text("key");
    write_key(get.key, &mut out);
    if let Some(consistency) = consistency {
        out.text("consistency").text(consistency.word());
    }
    out.into_bytes()
}

/// Writes `STATUS`.
pub fn status() -> Bytes {
    let mut out = Writer::new();
    out.map(1).text("type").text("STATUS");
    out.into_bytes()
}

/// Writes `PING`.
pub fn ping(timestamp: u64) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("PING").text("timestamp").u64(timestamp);
    out.into_bytes()
}
