//! Frames that make sense, built from whatever bytes there are; and what is then done to them so that they do not.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use kernel::cluster::agreed::Wish;
use kernel::env::{NodeId, WriterId};
use kernel::hlc::Stamp;
use kernel::msgpack::Writer;
use kernel::wire::admin::{self, ChangeAsked, Locate, Order};
use kernel::wire::agreed::AgreedAsk;
use kernel::wire::client::{self, Get};
use kernel::wire::op::{Ask, Op};
use kernel::wire::query::query_unsub;
use kernel::wire::{Consistency, ReadConsistency, peer};

use super::repairs;
use crate::model::Version;

/// The secret of the nodes that have one.
pub(super) const SECRET: &str = "the secret";

const MAPS: [&str; 4] = ["m", "n", "", "a map"];
const KEYS: [&str; 6] = ["a", "b", "{r}c", "", "k4", "_key"];
const FIELDS: [&str; 6] = ["a", "b", "a.b", "_key", "0", "age"];
const TEXTS: [&str; 6] = ["", "a", "Ada", "%a_", "true", "münchen"];

/// A write that a frame asks for, by its id: the record's name, and its version.
pub(super) type Asked = (u64, Bytes, Version);

/// A frame from a client.
pub(super) struct Built {
    pub frame: Vec<u8>,
    /// The writes in it, in order.
    pub asked: Vec<Asked>,
    /// Whether it holds the right token.
    pub opens: bool,
}

impl Built {
    fn plain(frame: impl Into<Vec<u8>>) -> Self {
        Self {
            frame: frame.into(),
            asked: Vec::new(),
            opens: false,
        }
    }
}

/// A frame that a client could send. Ids of writes are drawn from `next_id`.
pub(super) fn from_client(u: &mut Unstructured<'_>, wall_ms: u64, next_id: &mut u64) -> Result<Built> {
    Ok(match u.int_in_range(0..=10)? {
        0..=3 => writes(u, wall_ms, next_id)?,
        4 => {
            let key = u.choose(&KEYS)?.as_bytes();
            let get = Get {
                id: u.choose(&TEXTS)?,
                map: u.choose(&MAPS)?,
                key,
                consistency: *u.choose(&ReadConsistency::ALL)?,
            };
            Built::plain(client::get_key(&get))
        }
        5..=7 => Built::plain(subscribe(u)?),
        8 => Built::plain(query_unsub(u.choose(&TEXTS)?)),
        9 if u.ratio(1, 2)? => Built::plain(about(u)?),
        9 => Built::plain(client::ping(u.arbitrary()?)),
        _ => {
            let opens = u.ratio(2, 3)?;
            let token = if opens { SECRET } else { "a guess" };
            Built {
                opens,
                ..Built::plain(client::auth(token))
            }
        }
    })
}

/// What whoever runs the cluster asks.
fn about(u: &mut Unstructured<'_>) -> Result<Bytes> {
    Ok(match u.int_in_range(0..=6)? {
        5 | 6 => agreed(u)?,
        0 => client::status(),
        4 => kernel::wire::repairs::asked(),
        1 => admin::cluster_asked(),
        2 => {
            let (map, key) = (*u.choose(&MAPS)?, u.choose(&KEYS)?.as_bytes());
            admin::locate(&Locate { map, key })
        }
        _ => {
            let order = *u.choose(&[Order::Remove, Order::Leave, Order::Recover, Order::Losses])?;
            let node = u.choose(&["", "n0", "n1", "nobody"])?;
            admin::change_asked(&ChangeAsked { order, node })
        }
    })
}

/// Something about a lock or a definition.
fn agreed(u: &mut Unstructured<'_>) -> Result<Bytes> {
    let wish = match u.int_in_range(0..=3)? {
        0 => Wish::Lock {
            ttl_ms: *u.choose(&[0, 1, 50, 30_000, u64::MAX])?,
        },
        1 => Wish::Unlock { token: u.arbitrary()? },
        2 => Wish::Define {
            value: value(u)?,
            if_version: *u.choose(&[None, Some(0), Some(1)])?,
        },
        _ => Wish::Look,
    };
    let owner = *u.choose(&[None, Some("o"), Some("p")])?;
    let (id, name) = (u.choose(&TEXTS)?, u.choose(&TEXTS)?);
    Ok(AgreedAsk { id, name, owner, wish }.to_frame())
}

fn writes(u: &mut Unstructured<'_>, wall_ms: u64, next_id: &mut u64) -> Result<Built> {
    let count = *u.choose(&[1, 1, 2, 3, 7])?;
    let mut asked = Vec::new();
    for _ in 0..count {
        let at_ms = match u.int_in_range(0..=9)? {
            0 => u.arbitrary::<u64>()?,
            1 => wall_ms.saturating_add(70_000),
            back => wall_ms.saturating_sub(back * 3),
        };
        let writer = *u.choose(&["w", "x", "a writer"])?;
        let stamp = Stamp::new(at_ms, u.int_in_range(0..=3)?, WriterId::of(writer)).unwrap_or(Stamp::ZERO);
        let value = if u.ratio(3, 4)? { Some(value(u)?) } else { None };
        let brief = value.is_some() && u.ratio(1, 8)?;
        let version = Version {
            stamp,
            ttl_ms: if brief { Some(u.int_in_range(1..=100)?) } else { None },
            value: value.map(Bytes::from),
            writer: writer.into(),
        };
        asked.push((*next_id, name(u.choose(&MAPS)?, u.choose(&KEYS)?), version));
        *next_id += 1;
    }
    let ids: Vec<String> = asked.iter().map(|(id, ..)| id.to_string()).collect();
    let ops = asked
        .iter()
        .zip(&ids)
        .map(|((_, name, version), id)| op_of(name, version, id));
    let ops: Vec<Op<'_>> = ops.collect();
    let frame = match ops.as_slice() {
        [one] if u.ratio(3, 4)? => client::op(one, Ask::default()),
        many if u.ratio(1, 4)? => client::sync_body("a client", many),
        many => client::op_batch(many),
    };
    Ok(Built {
        frame: frame.into(),
        asked,
        opens: false,
    })
}

/// A record's name as the kernel writes it, even where it would refuse it.
fn name(map: &str, key: &str) -> Bytes {
    [map.as_bytes(), key.as_bytes()].join(&0).into()
}

fn op_of<'a>(name: &'a Bytes, version: &'a Version, id: &'a str) -> Op<'a> {
    let end = name.iter().position(|byte| *byte == 0).unwrap_or_default();
    Op {
        id,
        map: std::str::from_utf8(&name[..end]).unwrap_or_default(),
        key: &name[end + 1..],
        consistency: Consistency::default(),
        version: version.view(),
    }
}

fn subscribe(u: &mut Unstructured<'_>) -> Result<Bytes> {
    let mut out = Writer::new();
    out.map(2).text("type").text("QUERY_SUB").text("payload").map(4);
    out.text("queryId").text(u.choose(&TEXTS)?);
    out.text("mapName").text(u.choose(&MAPS)?);
    out.text("query").map(3);
    match u.int_in_range(0..=2)? {
        0 => _ = out.text("where").map(0),
        1 => node(u, out.text("predicate"), 3)?,
        _ => conditions(u, out.text("where"))?,
    }
    out.text("sort");
    match u.ratio(1, 2)? {
        true => {
            _ = out
                .map(1)
                .text(u.choose(&FIELDS)?)
                .text(u.choose(&["asc", "desc", "up"])?)
        }
        false => _ = out.null(),
    }
    out.text("limit");
    match u.ratio(1, 2)? {
        true => _ = out.u64(u.int_in_range(0..=3)?),
        false => _ = out.null(),
    }
    out.text("fields");
    match u.ratio(1, 4)? {
        true => _ = out.list(1).text(u.choose(&FIELDS)?),
        false => _ = out.null(),
    }
    Ok(out.into_bytes())
}

fn conditions(u: &mut Unstructured<'_>, out: &mut Writer) -> Result<()> {
    out.map(1).text(u.choose(&FIELDS)?);
    match u.ratio(1, 2)? {
        true => out.raw(&value(u)?),
        false => out
            .map(1)
            .text(u.choose(&["$gt", "$lte", "$in", "$ne", "$like", "gt"])?)
            .raw(&value(u)?),
    };
    Ok(())
}

fn node(u: &mut Unstructured<'_>, out: &mut Writer, deep: usize) -> Result<()> {
    let combined = deep > 0 && u.ratio(1, 3)?;
    if combined {
        let parts = u.int_in_range(0..=2)?;
        out.map(2)
            .text("op")
            .text(u.choose(&["and", "or", "not"])?)
            .text("children")
            .list(parts);
        return (0..parts).try_for_each(|_| node(u, out, deep - 1));
    }
    const OPS: [&str; 13] = [
        "eq",
        "neq",
        "gt",
        "gte",
        "lt",
        "lte",
        "like",
        "in",
        "between",
        "isNull",
        "isNotNull",
        "contains",
        "containsAny",
    ];
    out.map(3).text("op").text(u.choose(&OPS)?);
    out.text("attribute").text(u.choose(&FIELDS)?);
    out.text("value").raw(&value(u)?);
    Ok(())
}

/// Any document.
pub(super) fn value(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut out = Writer::new();
    part(u, &mut out, 3)?;
    Ok(out.into_vec())
}

fn part(u: &mut Unstructured<'_>, out: &mut Writer, deep: usize) -> Result<()> {
    match u.int_in_range(0..=if deep > 0 { 10 } else { 6 })? {
        0 => _ = out.null(),
        1 => _ = out.bool(u.arbitrary()?),
        2 => _ = out.u64(u.arbitrary::<u64>()? >> u.int_in_range(0..=63_u32)?),
        3 => _ = out.i64(u.arbitrary()?),
        4 => _ = out.f64(u.arbitrary()?),
        5 => _ = out.text(u.choose(&TEXTS)?),
        6 => {
            let len = u.int_in_range(0..=300)?;
            _ = out.bin(&vec![u.arbitrary()?; len]);
        }
        7 => {
            let len = u.int_in_range(0..=3)?;
            out.list(len);
            (0..len).try_for_each(|_| part(u, out, deep - 1))?;
        }
        _ => {
            let len = u.int_in_range(0..=3)?;
            out.map(len);
            for _ in 0..len {
                out.text(u.choose(&FIELDS)?);
                part(u, out, deep - 1)?;
            }
        }
    }
    Ok(())
}

/// A frame that a node could send, if its handshake were done.
pub(super) fn from_peer(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let round = u.int_in_range(0..=3)?;
    Ok(match u.int_in_range(0..=6)? {
        0 => {
            let (epoch, committed, wall_ms) = (u.int_in_range(0..=5)?, u.int_in_range(0..=99)?, u.arbitrary()?);
            let ping = peer::Ping {
                epoch,
                committed,
                wall_ms,
                sent_us: u.arbitrary()?,
            };
            peer::ping(ping).into()
        }
        1 => peer::proof(&u.arbitrary()?).into(),
        2 => {
            let hello = peer::Hello {
                version: kernel::wire::PEER_PROTOCOL_VERSION,
                id: NodeId(u.int_in_range(0..=3)?),
                addr: u.choose(&["n0", "n1", "elsewhere"])?,
                weight: u.int_in_range(0..=2)?,
                zone: "",
                cluster_name: u.choose(&["orrery", "another"])?,
                cluster: u.int_in_range(0..=1)?,
                epoch: u.int_in_range(0..=3)?,
                name: u.choose(&["n0", "n1", "stranger", ""])?,
                boot: WriterId(u.arbitrary()?),
                boots: &[u.arbitrary()?],
                booted: u.int_in_range(0..=20)?,
                committed: u.int_in_range(0..=3)?,
                routing: kernel::partition::Routing::new().digest(),
                nonce: u.arbitrary()?,
            };
            peer::hello(&hello).into()
        }
        3 => {
            let ids = kernel::partition::PartitionId::all();
            peer::digests(round, u.arbitrary()?, ids.map(|id| (id, id.index() as u128 % 3))).into()
        }
        4 => repairs::ask(u, round)?,
        5 => repairs::answer(u, round)?,
        _ => {
            let (key, record) = repairs::row(u)?;
            peer::changes([(&key, &record)].into_iter(), u.int_in_range(0..=5)?, 1, || None).concat()
        }
    })
}

/// Damages a frame a little.
pub(super) fn mutate(u: &mut Unstructured<'_>, frame: &mut Vec<u8>) -> Result<()> {
    for _ in 0..u.int_in_range(1..=3)? {
        let at = u.int_in_range(0..=frame.len().saturating_sub(1))?;
        if frame.is_empty() {
            return Ok(());
        }
        match u.int_in_range(0..=5)? {
            0 => frame[at] = u.arbitrary()?,
            1 => frame[at] ^= 1 << u.int_in_range(0..=7_u32)?,
            2 => frame.truncate(at),
            3 => frame.insert(at, *u.choose(&[0xc1, 0xdf, 0x80, 0x90, 0xff, 0xc0])?),
            4 => _ = frame.remove(at),
            _ => {
                let end = u.int_in_range(at..=frame.len())?;
                let piece = frame[at..end].to_vec();
                frame.extend(piece);
            }
        }
    }
    Ok(())
}

/// Frames of every kind, as a corpus begins with them.
pub fn valid_frames() -> Vec<Vec<u8>> {
    let mut rng = kernel::env::SeededRng::from_u64(1);
    let mut frames = Vec::new();
    for turn in 0..48 {
        let mut bytes = [0; 512];
        rng.fill(&mut bytes);
        let mut u = Unstructured::new(&bytes);
        let frame = match turn % 3 {
            0 => from_peer(&mut u),
            _ => from_client(&mut u, 1_000_000, &mut 1).map(|built| built.frame),
        };
        frames.extend(frame.ok().filter(|frame| frame.len() < 1_500));
    }
    frames
}
