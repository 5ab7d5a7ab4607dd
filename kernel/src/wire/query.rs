//! Queries on the wire: `QUERY_SUB`, `QUERY_RESP`, `QUERY_UPDATE`, `QUERY_UNSUB`, as TopGun's client sends them.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::msgpack::{self, Kind, Reader, Writer};
use crate::query::{ChangeType, Explain, Query, Row};
use crate::wire::Error;
use crate::wire::fields::{each_field, need, put};
use crate::wire::op::{key, write_key};

/// `QUERY_SUB`: what is in a map, and what changes about that. The query itself is read by [`crate::query`].
#[derive(Debug, Clone, Copy)]
pub struct QuerySub<'a> {
    /// The client's name for it.
    pub id: &'a str,
    /// The map.
    pub map: &'a str,
    /// The query object, as MessagePack.
    pub query: &'a [u8],
    /// The list of fields that are wanted, as MessagePack.
    pub fields: Option<&'a [u8]>,
    /// Only the answer is wanted, and nothing is to be kept for it. (An extension: to TopGun every query is live.)
    pub once: bool,
    /// It is wanted, too, how it was answered. (An extension.)
    pub explain: bool,
}

impl<'a> QuerySub<'a> {
    pub(super) fn read(mut payload: Reader<'a>) -> Result<Self, Error> {
        let (mut id, mut map, mut query, mut fields) = (None, None, None, None);
        let (mut once, mut explain) = (None, None);
        each_field(&mut payload, |name, reader| match name {
            "once" => put(&mut once, "once", reader, Reader::bool),
            "explain" => put(&mut explain, "explain", reader, Reader::bool),
            "queryId" => put(&mut id, "queryId", reader, Reader::text),
            "mapName" => put(&mut map, "mapName", reader, Reader::text),
            "query" => put(&mut query, "query", reader, Reader::raw),
            "fields" => put(&mut fields, "fields", reader, Reader::raw),
            _ => Ok(false),
        })?;
        const ALL: &[u8] = &[0x80];
        Ok(Self {
            id: need(id, "queryId")?,
            map: need(map, "mapName")?,
            query: query.unwrap_or(ALL),
            fields,
            once: once.unwrap_or(false),
            explain: explain.unwrap_or(false),
        })
    }
}

/// Reads the payload of `QUERY_UNSUB`: the client's name for the query.
pub(super) fn read_unsub(mut payload: Reader<'_>) -> Result<&str, Error> {
    let mut id = None;
    each_field(&mut payload, |name, reader| match name {
        "queryId" => put(&mut id, "queryId", reader, Reader::text),
        _ => Ok(false),
    })?;
    need(id, "queryId")
}

/// Writes `QUERY_SUB`.
pub fn query_sub(id: &str, query: &Query) -> Bytes {
    write_sub(id, query, &[])
}

/// Writes `QUERY_SUB` for an answer and no more.
pub fn query_once(id: &str, query: &Query) -> Bytes {
    write_sub(id, query, &["once"])
}

/// Writes `QUERY_SUB` for an answer, and how it was come by.
pub fn query_explained(id: &str, query: &Query) -> Bytes {
    write_sub(id, query, &["once", "explain"])
}

fn write_sub(id: &str, query: &Query, wishes: &[&str]) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("QUERY_SUB").text("payload");
    out.map(3 + usize::from(query.fields.is_some()) + wishes.len())
        .text("queryId")
        .text(id);
    out.text("mapName").text(&query.map).text("query");
    query.write(&mut out);
    if let Some(fields) = &query.fields {
        out.text("fields").list(fields.len());
        for path in fields {
            out.text(path.name());
        }
    }
    for wish in wishes {
        out.text(wish).bool(true);
    }
    out.into_bytes()
}

/// Writes `QUERY_UNSUB`.
pub fn query_unsub(id: &str) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("QUERY_UNSUB").text("payload");
    out.map(1).text("queryId").text(id);
    out.into_bytes()
}

/// How a query was answered: what was asked of whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// What the query says.
    pub plan: Explain,
    /// How many nodes were asked, the one that answers included.
    pub nodes: usize,
}

impl Explained {
    fn write(&self, out: &mut Writer) {
        let texts = |out: &mut Writer, texts: &[String]| {
            out.list(texts.len());
            texts.iter().for_each(|text| _ = out.text(text));
        };
        let Explain {
            partitions,
            of,
            pruned_by,
            order,
            offset,
            limit,
        } = &self.plan;
        out.map(7).text("partitions").u64(*partitions as u64);
        out.text("of").u64(*of as u64).text("nodes").u64(self.nodes as u64);
        texts(out.text("prunedBy"), pruned_by);
        texts(out.text("order"), order);
        out.text("offset").u64(*offset as u64).text("limit");
        match limit {
            Some(limit) => out.u64(*limit as u64),
            None => out.null(),
        };
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let texts = |reader: &mut Reader<'_>| {
            let len = reader.list()?;
            (0..len)
                .map(|_| Ok(String::from(reader.text()?)))
                .collect::<Result<Vec<String>, msgpack::Error>>()
        };
        let (mut partitions, mut of, mut nodes, mut offset, mut limit) = (None, None, None, None, None);
        let (mut pruned_by, mut order) = (None, None);
        each_field(reader, |name, reader| match name {
            "partitions" => put(&mut partitions, "explain.partitions", reader, Reader::u64),
            "of" => put(&mut of, "explain.of", reader, Reader::u64),
            "nodes" => put(&mut nodes, "explain.nodes", reader, Reader::u64),
            "offset" => put(&mut offset, "explain.offset", reader, Reader::u64),
            "limit" if reader.peek()? != Kind::Null => put(&mut limit, "explain.limit", reader, Reader::u64),
            "prunedBy" => put(&mut pruned_by, "explain.prunedBy", reader, texts),
            "order" => put(&mut order, "explain.order", reader, texts),
            _ => Ok(false),
        })?;
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let plan = Explain {
            partitions: count(need(partitions, "explain.partitions")?),
            of: count(need(of, "explain.of")?),
            pruned_by: need(pruned_by, "explain.prunedBy")?,
            order: need(order, "explain.order")?,
            offset: count(offset.unwrap_or_default()),
            limit: limit.map(count),
        };
        let nodes = count(need(nodes, "explain.nodes")?);
        Ok(Self { plan, nodes })
    }
}

/// Writes `QUERY_RESP`: the answer as it is now, in order, with what is wanted of each value. A client that gets another one forgets
/// what it had.
pub fn query_resp(id: &str, rows: &[Row], explained: Option<&Explained>) -> Bytes {
    let bytes: usize = rows.iter().map(|row| 32 + row.value.len()).sum();
    let mut out = Writer::with_capacity(64 + bytes);
    out.map(2).text("type").text("QUERY_RESP").text("payload");
    let fields = 2 + usize::from(explained.is_some());
    out.map(fields)
        .text("queryId")
        .text(id)
        .text("results")
        .list(rows.len());
    for row in rows {
        out.map(2).text("key");
        write_key(row.key.key(), &mut out);
        out.text("value").raw(&row.value);
    }
    if let Some(explained) = explained {
        explained.write(out.text("explain"));
    }
    out.into_bytes()
}

/// Writes `QUERY_UPDATE`. What leaves has no value.
pub fn query_update(id: &str, record_key: &[u8], value: Option<&[u8]>, change: ChangeType) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("QUERY_UPDATE").text("payload");
    out.map(4).text("queryId").text(id).text("key");
    write_key(record_key, &mut out);
    out.text("value");
    match value {
        Some(value) => out.raw(value),
        None => out.null(),
    };
    out.text("changeType").text(change.word());
    out.into_bytes()
}

/// The rows of a `QUERY_RESP`, read one at a time: key and value as MessagePack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results<'a> {
    raw: &'a [u8],
    explained: Option<&'a [u8]>,
}

impl<'a> Results<'a> {
    /// How they were come by, if that was asked and can be read.
    pub fn explained(&self) -> Option<Explained> {
        Explained::read(&mut Reader::new(self.explained?)).ok()
    }

    /// Each row's key, and its value as MessagePack.
    ///
    /// # Errors
    /// [`Error`] in the place of a row that cannot be read.
    pub fn rows(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), Error>> + use<'a> {
        let mut reader = Reader::new(self.raw);
        let len = reader.list().unwrap_or_default();
        (0..len).map(move |_| {
            let (mut at, mut value) = (None, None);
            each_field(&mut reader, |name, reader| match name {
                "key" => put(&mut at, "key", reader, key),
                "value" => {
                    value = Some(reader.raw()?);
                    Ok(true)
                }
                _ => Ok(false),
            })?;
            Ok((need(at, "key")?, need(value, "value")?))
        })
    }
}

/// Reads the payload of `QUERY_RESP`.
pub(super) fn read_resp(mut payload: Reader<'_>) -> Result<(&str, Results<'_>), Error> {
    let (mut id, mut raw, mut explained) = (None, None, None);
    each_field(&mut payload, |name, reader| match name {
        "queryId" => put(&mut id, "queryId", reader, Reader::text),
        "results" => put(&mut raw, "results", reader, Reader::raw),
        "explain" => put(&mut explained, "explain", reader, Reader::raw),
        _ => Ok(false),
    })?;
    let raw = need(raw, "results")?;
    if Reader::new(raw).peek()? != Kind::List {
        return Err(Error::Range { field: "results" });
    }
    Ok((need(id, "queryId")?, Results { raw, explained }))
}

/// A change of a live query's answer, as a client reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// The client's name for the query.
    pub id: &'a str,
    /// The record's key.
    pub key: &'a [u8],
    /// Its value as MessagePack, unless it left.
    pub value: Option<&'a [u8]>,
    /// What happened.
    pub change: ChangeType,
}

/// Reads the payload of `QUERY_UPDATE`.
pub(super) fn read_update(mut payload: Reader<'_>) -> Result<Update<'_>, Error> {
    let (mut id, mut at, mut value, mut change) = (None, None, None, None);
    each_field(&mut payload, |name, reader| match name {
        "queryId" => put(&mut id, "queryId", reader, Reader::text),
        "key" => put(&mut at, "key", reader, key),
        "value" => {
            value = Some(reader.raw()?);
            Ok(true)
        }
        "changeType" => put(&mut change, "changeType", reader, Reader::text),
        _ => Ok(false),
    })?;
    let word = need(change, "changeType")?;
    let all = [ChangeType::Enter, ChangeType::Update, ChangeType::Leave];
    let change = all.into_iter().find(|change| change.word() == word);
    let change = change.ok_or(Error::Choice { field: "changeType" })?;
    Ok(Update {
        id: need(id, "queryId")?,
        key: need(at, "key")?,
        value: value.filter(|_| change != ChangeType::Leave),
        change,
    })
}
