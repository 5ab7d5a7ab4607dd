//! Queries on the wire: `QUERY_SUB`, `QUERY_RESP`, `QUERY_UPDATE`, `QUERY_UNSUB`, as TopGun's client sends them.

use bytes::Bytes;

use crate::msgpack::{Kind, Reader, Writer};
use crate::query::{ChangeType, Query, Row};
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
}

impl<'a> QuerySub<'a> {
    pub(super) fn read(mut payload: Reader<'a>) -> Result<Self, Error> {
        let (mut id, mut map, mut query, mut fields, mut once) = (None, None, None, None, None);
        each_field(&mut payload, |name, reader| match name {
            "once" => put(&mut once, "once", reader, Reader::bool),
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
    write_sub(id, query, false)
}

/// Writes `QUERY_SUB` for an answer and no more.
pub fn query_once(id: &str, query: &Query) -> Bytes {
    write_sub(id, query, true)
}

fn write_sub(id: &str, query: &Query, once: bool) -> Bytes {
    let mut out = Writer::new();
    out.map(2).text("type").text("QUERY_SUB").text("payload");
    out.map(3 + usize::from(query.fields.is_some()) + usize::from(once))
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
    if once {
        out.text("once").bool(true);
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

/// Writes `QUERY_RESP`: the answer as it is now, in order. A client that gets another one forgets what it had.
pub fn query_resp(id: &str, query: &Query, rows: &[Row]) -> Bytes {
    let bytes: usize = rows.iter().map(|row| 32 + row.value.len()).sum();
    let mut out = Writer::with_capacity(64 + bytes);
    out.map(2).text("type").text("QUERY_RESP").text("payload");
    out.map(2).text("queryId").text(id).text("results").list(rows.len());
    for row in rows {
        out.map(2).text("key");
        write_key(row.key.key(), &mut out);
        out.text("value").raw(&query.project(row));
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
}

impl<'a> Results<'a> {
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
    let (mut id, mut raw) = (None, None);
    each_field(&mut payload, |name, reader| match name {
        "queryId" => put(&mut id, "queryId", reader, Reader::text),
        "results" => put(&mut raw, "results", reader, Reader::raw),
        _ => Ok(false),
    })?;
    let raw = need(raw, "results")?;
    if Reader::new(raw).peek()? != Kind::List {
        return Err(Error::Range { field: "results" });
    }
    Ok((need(id, "queryId")?, Results { raw }))
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
