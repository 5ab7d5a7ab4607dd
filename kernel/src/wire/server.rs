//! What a node says to a client.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::cluster::agreed::Became;
use crate::crdt::Version;
use crate::hlc::Stamp;
use crate::msgpack::{Reader, Writer};
use crate::wire::agreed::read_answer;
use crate::wire::fields::{Frame, each_field, need, put};
use crate::wire::op::{Timestamp, write_key, write_record};
use crate::wire::query::{Results, Update, read_resp, read_update};
use crate::wire::{Code, Consistency, Error, PROTOCOL_VERSION};

/// Why one request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What was wrong, for people.
    pub reason: String,
}

impl Refusal {
    /// A majority, or all, of the replicas was asked for, and too few can be reached: `have` of `of`, where `need` are needed.
    pub fn no_quorum(have: usize, of: usize, need: usize) -> Self {
        Self {
            code: Code::NoQuorum,
            reason: alloc::format!("too few replicas can be reached: have {have} of {of}, need {need}"),
        }
    }
}

/// What became of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// The client's name for it.
    pub id: &'a str,
    /// How many replicas have it, or why it was not done.
    pub result: Result<Consistency, Refusal>,
}

impl Outcome<'_> {
    /// Why it was not done, if it was not.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.result.as_ref().err()
    }

    /// How many replicas have it, if it was done.
    pub fn reached(&self) -> Option<Consistency> {
        self.result.as_ref().ok().copied()
    }
}

/// Writes `AUTH_REQUIRED`.
pub fn auth_required() -> Bytes {
    let mut out = Writer::new();
    out.map(1).text("type").text("AUTH_REQUIRED");
    out.into_bytes()
}

/// Writes `AUTH_ACK`: the connection may be used; `open` says that nobody needs a token here. `clock` is the latest
/// stamp that is durable on the node: a client that observes it writes after all that.
pub fn auth_ack(open: bool, node: &str, clock: Stamp) -> Bytes {
    let mut out = Writer::new();
    out.map(4).text("type").text("AUTH_ACK");
    out.text("protocolVersion").u64(PROTOCOL_VERSION);
    out.text("open").bool(open);
    out.text("serverHlc");
    Timestamp::write(clock, node, &mut out);
    out.into_bytes()
}

/// Writes `AUTH_FAIL`.
pub fn auth_fail(reason: &str) -> Bytes {
    let mut out = Writer::new();
    out.map(3).text("type").text("AUTH_FAIL").text("error").text(reason);
    out.text("code").u64(Code::AuthFailed.number().into());
    out.into_bytes()
}

/// Writes `ERROR`. `request` is the client's name for what it asked, if it gave one.
pub fn error(refusal: &Refusal, request: &str) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("ERROR").text("payload");
    out.map(3).text("code").u64(refusal.code.number().into());
    out.text("message").text(&refusal.reason).text("details");
    out.map(3).text("requestId").text(request);
    out.text("name").text(refusal.code.name());
    out.text("hint").text(refusal.code.hint());
    out.into_bytes()
}

/// Writes `PONG`. `server_ms` is this node's wall clock, in milliseconds since the Unix epoch.
pub fn pong(timestamp: u64, server_ms: u64) -> Bytes {
    let mut out = Writer::new();
    out.map(3).text("type").text("PONG").text("timestamp").u64(timestamp);
    out.text("serverTime").u64(server_ms);
    out.into_bytes()
}

/// Writes `OP_REJECTED`.
pub fn op_rejected(id: &str, refusal: &Refusal) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("OP_REJECTED").text("payload");
    out.map(3).text("opId").text(id).text("reason").text(&refusal.reason);
    out.text("code").u64(refusal.code.number().into());
    out.into_bytes()
}

/// Writes `OP_ACK` for a batch, or nothing if none of it was done.
///
/// TopGun's clients take `lastId`, as a number, for "everything up to here, whenever it was sent", and each id in `results`
/// for done, whatever its `success`. So `lastId` ends before the first operation that was refused and might yet be taken, and
/// is `"0"`, which is nobody's id, once one has been on this connection (`gapless` is false) or where ids are no numbers;
/// `results` then lists what was done. It is `"0"` as well where some operations have reached more than others: `achievedLevel` is
/// what all of them have, and `results` says what each has.
pub fn op_ack(outcomes: &[Outcome<'_>], gapless: bool) -> Option<Bytes> {
    let reached = || outcomes.iter().filter_map(Outcome::reached);
    if reached().next().is_none() && !outcomes.is_empty() {
        return None;
    }
    let achieved = reached().min().unwrap_or_default().achieved();
    let (last, beyond) = acknowledged(outcomes, gapless && reached().all(|level| level.achieved() == achieved));
    let mut out = Writer::with_capacity(64 + last.len() + 64 * beyond.len());
    out.map(2).text("type").text("OP_ACK").text("payload");
    out.map(if beyond.is_empty() { 2 } else { 3 });
    out.text("lastId").text(last).text("achievedLevel").text(achieved);
    if !beyond.is_empty() {
        write_results(&beyond, &mut out);
    }
    Some(out.into_bytes())
}

/// What `lastId` may say, and what was done beyond it.
fn acknowledged<'a>(outcomes: &[Outcome<'a>], gapless: bool) -> (&'a str, Vec<Done<'a>>) {
    let settled = |outcome: &&Outcome<'_>| outcome.refusal().is_none_or(|refusal| refusal.code.is_final());
    let prefix = if gapless {
        outcomes.iter().take_while(settled).count()
    } else {
        0
    };
    let is_number = |id: &&str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    // Where nothing was done there is nothing to acknowledge.
    let is_done = |outcome: &Outcome<'_>| outcome.result.is_ok();
    let prefix = if outcomes[..prefix].iter().any(is_done) {
        prefix
    } else {
        0
    };
    let last = outcomes[..prefix].last().map(|outcome| outcome.id).filter(is_number);
    let listed = if last.is_some() { &outcomes[prefix..] } else { outcomes };
    let named = listed.iter().filter(|outcome| !outcome.id.is_empty());
    let done = named.filter_map(|outcome| {
        Some(Done {
            id: outcome.id,
            achieved: outcome.reached()?.achieved(),
        })
    });
    (last.unwrap_or("0"), done.collect())
}

fn write_results(done: &[Done<'_>], out: &mut Writer) {
    out.text("results").list(done.len());
    for Done { id, achieved } in done {
        out.map(3).text("opId").text(id).text("success").bool(true);
        out.text("achievedLevel").text(achieved);
    }
}

/// Writes the body that answers `POST /sync`: what was done in `ack`, read by TopGun's clients as an [`op_ack`]; what was
/// refused in `errors`. `clock` is the latest stamp that is durable on the node.
pub fn sync_answer(node: &str, clock: Stamp, outcomes: &[Outcome<'_>]) -> Bytes {
    let refused = || {
        outcomes
            .iter()
            .filter_map(|outcome| Some((outcome.id, outcome.refusal()?)))
    };
    let refusals = refused().count();
    let mut out = Writer::new();
    out.map(1 + usize::from(!outcomes.is_empty()) + usize::from(refusals > 0));
    out.text("serverHlc");
    Timestamp::write(clock, node, &mut out);
    if !outcomes.is_empty() {
        let (last, _) = acknowledged(outcomes, true);
        let (_, done) = acknowledged(outcomes, false);
        out.text("ack").map(2).text("lastId").text(last);
        write_results(&done, &mut out);
    }
    if refusals > 0 {
        out.text("errors").list(refusals);
        for (id, refusal) in refused() {
            out.map(3).text("code").u64(refusal.code.number().into());
            out.text("message").text(&refusal.reason).text("context").text(id);
        }
    }
    out.into_bytes()
}

/// Writes `VALUE`, the answer to `GET`. A tombstone is no value. `stale_ms` is told of what any replica may show: everything that was
/// durable at the acting owner that long before it was read is in it.
pub fn value(id: &str, map: &str, key: &[u8], version: Option<Version<'_>>, stale_ms: Option<u64>) -> Bytes {
    let version = version.filter(|version| !version.is_tombstone());
    let mut out = Writer::new();
    out.map(2).text("type").text("VALUE").text("payload");
    out.map(4 + usize::from(version.is_some()) + usize::from(stale_ms.is_some()));
    out.text("id").text(id);
    out.text("mapName").text(map).text("key");
    write_key(key, &mut out);
    out.text("found").bool(version.is_some());
    if let Some(version) = version {
        out.text("record");
        write_record(&version, &mut out);
    }
    if let Some(stale_ms) = stale_ms {
        out.text("staleMs").u64(stale_ms);
    }
    out.into_bytes()
}

/// An operation that an acknowledgement names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done<'a> {
    /// The client's name for it.
    pub id: &'a str,
    /// What that means, in the protocol's word: see [`Consistency::reached`].
    pub achieved: &'a str,
}

/// A message from a node, as a client reads it. Everything is borrowed from the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// `AUTH_REQUIRED`: present a token.
    AuthRequired,
    /// `AUTH_ACK`: go ahead.
    AuthAck {
        /// The latest stamp that was durable on the node.
        clock: Option<Stamp>,
    },
    /// `AUTH_FAIL`.
    AuthFail {
        /// Why.
        reason: &'a str,
    },
    /// `OP_ACK`.
    OpAck {
        /// This and everything before it is done; `"0"` for nothing.
        last_id: &'a str,
        /// What was done beyond it.
        beyond: Vec<Done<'a>>,
        /// What all of them have, in the protocol's word; empty if it does not say.
        achieved: &'a str,
    },
    /// `OP_REJECTED`.
    OpRejected {
        /// Which.
        id: &'a str,
        /// The code's number: see [`Code::from_number`].
        code: u64,
        /// Why.
        reason: &'a str,
    },
    /// `ERROR`.
    Error {
        /// The client's name for what it asked; empty if it gave none.
        request: &'a str,
        /// The code's number.
        code: u64,
        /// Why.
        reason: &'a str,
    },
    /// `PONG`.
    Pong,
    /// `VALUE`.
    Value {
        /// The client's name for the read.
        id: &'a str,
        /// The value as MessagePack and when it was written, if there is one.
        found: Option<(&'a [u8], Timestamp<'a>)>,
        /// Everything that was durable at the acting owner so many milliseconds before this was read is in it. Told of reads of
        /// `any`, where the replica that answered knows.
        stale_ms: Option<u64>,
    },
    /// `QUERY_RESP`.
    QueryResp {
        /// The client's name for the query.
        id: &'a str,
        /// The answer, in order.
        results: Results<'a>,
    },
    /// `QUERY_UPDATE`.
    QueryUpdate(Update<'a>),
    /// `STATUS_RESP`: a map of words and numbers, as MessagePack.
    Status {
        /// The map.
        payload: &'a [u8],
    },
    /// `LOCK_GRANTED`, `LOCK_RELEASED` or `DEFINED`.
    Agreed {
        /// The client's name for what it asked.
        id: &'a str,
        /// What became of it.
        became: Became,
    },
    /// `CLUSTER_RESP`: the same, of what was asked about the cluster.
    Cluster {
        /// The map.
        payload: &'a [u8],
    },
}

impl<'a> ServerMessage<'a> {
    /// Reads a frame whose lists and maps nest at most `depth` deep.
    ///
    /// # Errors
    /// [`Error`], whatever the bytes are.
    pub fn decode(frame: &'a [u8], depth: usize) -> Result<Self, Error> {
        let frame = Frame::read(frame, depth)?;
        match need(frame.kind, "type")? {
            "AUTH_REQUIRED" => Ok(Self::AuthRequired),
            "AUTH_ACK" => {
                let mut clock = None;
                each_field(&mut frame.top(), |name, reader| {
                    if name != "serverHlc" {
                        return Ok(false);
                    }
                    // A node's clock may be beyond what a write may carry: then it is not one to follow.
                    let raw = reader.raw()?;
                    clock = Timestamp::read(&mut Reader::new(raw)).ok().map(|at| at.stamp);
                    Ok(true)
                })?;
                Ok(Self::AuthAck { clock })
            }
            "AUTH_FAIL" => {
                let text = Texts::read(frame.top())?;
                Ok(Self::AuthFail { reason: text.error })
            }
            "OP_ACK" => op_ack_fields(frame.payload()?),
            "OP_REJECTED" => {
                let text = Texts::read(frame.payload()?)?;
                Ok(Self::OpRejected {
                    id: text.op_id,
                    code: text.code,
                    reason: text.reason,
                })
            }
            "ERROR" => {
                let text = Texts::read(frame.payload()?)?;
                Ok(Self::Error {
                    request: text.request,
                    code: text.code,
                    reason: text.message,
                })
            }
            "PONG" => Ok(Self::Pong),
            "VALUE" => value_fields(frame.payload()?),
            "QUERY_RESP" => {
                let (id, results) = read_resp(frame.payload()?)?;
                Ok(Self::QueryResp { id, results })
            }
            "QUERY_UPDATE" => Ok(Self::QueryUpdate(read_update(frame.payload()?)?)),
            kind @ ("LOCK_GRANTED" | "LOCK_RELEASED" | "DEFINED") => {
                let (id, became) = read_answer(kind, frame.payload()?)?;
                Ok(Self::Agreed { id, became })
            }
            "STATUS_RESP" => Ok(Self::Status {
                payload: frame.payload()?.rest(),
            }),
            "CLUSTER_RESP" => Ok(Self::Cluster {
                payload: frame.payload()?.rest(),
            }),
            _ => Err(Error::UnknownType),
        }
    }
}

/// The texts and the code that the refusing messages are made of.
#[derive(Default)]
struct Texts<'a> {
    op_id: &'a str,
    reason: &'a str,
    message: &'a str,
    error: &'a str,
    request: &'a str,
    code: u64,
}

impl<'a> Texts<'a> {
    fn read(mut reader: Reader<'a>) -> Result<Self, Error> {
        let (mut op_id, mut reason, mut message, mut error, mut code) = (None, None, None, None, None);
        let mut request = None;
        each_field(&mut reader, |name, reader| match name {
            "opId" => put(&mut op_id, "opId", reader, Reader::text),
            "reason" => put(&mut reason, "reason", reader, Reader::text),
            "message" => put(&mut message, "message", reader, Reader::text),
            "error" => put(&mut error, "error", reader, Reader::text),
            "code" => put(&mut code, "code", reader, Reader::u64),
            "details" => {
                each_field(reader, |name, reader| match name {
                    "requestId" => put(&mut request, "requestId", reader, Reader::text),
                    _ => Ok(false),
                })?;
                Ok(true)
            }
            _ => Ok(false),
        })?;
        Ok(Self {
            op_id: op_id.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
            message: message.unwrap_or_default(),
            error: error.unwrap_or_default(),
            request: request.unwrap_or_default(),
            code: code.unwrap_or_default(),
        })
    }
}

fn op_ack_fields(mut payload: Reader<'_>) -> Result<ServerMessage<'_>, Error> {
    let (mut last_id, mut achieved, mut beyond) = (None, None, Vec::new());
    each_field(&mut payload, |name, reader| match name {
        "lastId" => put(&mut last_id, "lastId", reader, Reader::text),
        "achievedLevel" => put(&mut achieved, "achievedLevel", reader, Reader::text),
        "results" => {
            for _ in 0..reader.list()? {
                let (mut id, mut success, mut level) = (None, None, None);
                each_field(reader, |name, reader| match name {
                    "opId" => put(&mut id, "opId", reader, Reader::text),
                    "success" => put(&mut success, "success", reader, Reader::bool),
                    "achievedLevel" => put(&mut level, "achievedLevel", reader, Reader::text),
                    _ => Ok(false),
                })?;
                if success == Some(true) {
                    beyond.push((need(id, "opId")?, level));
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    })?;
    let achieved = achieved.unwrap_or_default();
    // One that does not say what it means is meant as all of them are.
    let beyond = beyond.into_iter().map(|(id, level)| Done {
        id,
        achieved: level.unwrap_or(achieved),
    });
    Ok(ServerMessage::OpAck {
        last_id: need(last_id, "lastId")?,
        beyond: beyond.collect(),
        achieved,
    })
}

fn value_fields(mut payload: Reader<'_>) -> Result<ServerMessage<'_>, Error> {
    let (mut id, mut value, mut timestamp, mut stale_ms) = (None, None, None, None);
    each_field(&mut payload, |name, reader| match name {
        "id" => put(&mut id, "id", reader, Reader::text),
        "staleMs" => put(&mut stale_ms, "staleMs", reader, Reader::u64),
        "record" => {
            each_field(reader, |name, reader| match name {
                "value" => {
                    value = Some(reader.raw()?);
                    Ok(true)
                }
                "timestamp" => {
                    timestamp = Some(Timestamp::read(reader)?);
                    Ok(true)
                }
                _ => Ok(false),
            })?;
            Ok(true)
        }
        _ => Ok(false),
    })?;
    Ok(ServerMessage::Value {
        id: id.unwrap_or_default(),
        found: value.zip(timestamp),
        stale_ms,
    })
}
