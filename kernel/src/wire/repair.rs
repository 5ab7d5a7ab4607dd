//! What nodes say to each other to repair a partition ([`crate::cluster::repair`]).
//!
//! | message | fields of `payload`, beside `session` |
//! |---|---|
//! | `SYMBOLS_ASK` | `partition`, `question`: of [`crate::reconcile`] |
//! | `ITEMS_ASK` | `partition`, `from`: the number of the first |
//! | `WANT` | `partition`, `at`: how many were answered, `items`: 9 bytes each |
//! | `GIVE` | `partition`, `upto`: how many items this settles, `rows`: key and record |
//! | `REPAIR_END` | `partition`, `whole`, `gave`, `clean` |
//! | `SYMBOLS` | `digest`, `total`, `asOf`: of the view; `batch`: of [`crate::reconcile`] |
//! | `ITEMS` | `digest`, `total`, `asOf`, `from`, `items`: 24 bytes each, key hash and digest |
//! | `RECORDS` | `at`, `upto`, `sum`, `rows` |
//! | `TAKEN` | `upto`, `all` |
//! | `GONE` | |

use alloc::vec::Vec;
use bytes::Bytes;

use crate::cluster::repair::{Answer, Ask, Seal};
use crate::crdt::Record;
use crate::merkle::Item;
use crate::msgpack::{Reader, Writer};
use crate::partition::PartitionId;
use crate::reconcile::SHORT_BYTES;
use crate::store::RecordKey;
use crate::wire::Error;
use crate::wire::fields::{each_field, need, put};
use crate::wire::peer::{Rows, message};

/// Bytes of an item in a list.
const ITEM_BYTES: usize = 24;

/// A message of a repair. Everything is borrowed from the frame.
#[derive(Debug, Clone)]
pub enum Repair<'a> {
    /// From the side that asks.
    Ask {
        /// The partition that is repaired.
        partition: PartitionId,
        /// What is asked.
        ask: Asked<'a>,
    },
    /// From the side that answers.
    Answer(Answered<'a>),
}

impl<'a> Repair<'a> {
    /// The versions that it carries, if it is of a kind that does.
    pub fn rows(&self) -> Option<Rows<'a>> {
        match self {
            Self::Ask {
                ask: Asked::Give { rows, .. },
                ..
            }
            | Self::Answer(Answered::Rows { rows, .. }) => Some(rows.clone()),
            _ => None,
        }
    }
}

/// An [`Ask`] as it was read.
#[derive(Debug, Clone)]
pub enum Asked<'a> {
    /// See [`Ask::Symbols`].
    Symbols {
        /// The question, not yet read.
        question: &'a [u8],
    },
    /// See [`Ask::List`].
    List {
        /// The number of the first item.
        from: u64,
    },
    /// See [`Ask::Want`].
    Want {
        /// How many were answered.
        at: u64,
        /// The next ones.
        items: &'a [[u8; SHORT_BYTES]],
    },
    /// See [`Ask::Give`].
    Give {
        /// How many items are settled then.
        upto: u64,
        /// The versions.
        rows: Rows<'a>,
    },
    /// See [`Ask::End`].
    End {
        /// Whether all is there.
        whole: bool,
        /// See [`Ask::End`].
        gave: bool,
        /// See [`Ask::End`].
        clean: u64,
    },
}

/// An [`Answer`] as it was read.
#[derive(Debug, Clone)]
pub enum Answered<'a> {
    /// See [`Answer::Symbols`].
    Symbols {
        /// Of which view.
        seal: Seal,
        /// The batch, not yet read.
        batch: &'a [u8],
    },
    /// See [`Answer::Items`].
    Items {
        /// Of which view.
        seal: Seal,
        /// The number of the first.
        from: u64,
        /// The items.
        items: Items<'a>,
    },
    /// See [`Answer::Rows`].
    Rows {
        /// How many items had been answered.
        at: u64,
        /// How many are now.
        upto: u64,
        /// The sum of their digests in the view.
        sum: u128,
        /// The versions.
        rows: Rows<'a>,
    },
    /// See [`Answer::Taken`].
    Taken {
        /// How many items are settled.
        upto: u64,
        /// Whether all was taken.
        all: bool,
    },
    /// See [`Answer::Gone`].
    Gone,
}

/// Items of a list.
#[derive(Debug, Clone, Copy)]
pub struct Items<'a> {
    bytes: &'a [[u8; ITEM_BYTES]],
}

impl Items<'_> {
    /// All of them.
    pub fn to_vec(self) -> Vec<Item> {
        let item = |bytes: &[u8; ITEM_BYTES]| {
            let (key_hash, digest) = bytes.split_at(8);
            Item {
                key_hash: u64::from_be_bytes(key_hash.try_into().expect("8 of 24 bytes")),
                digest: u128::from_be_bytes(digest.try_into().expect("16 of 24 bytes")),
            }
        };
        self.bytes.iter().map(item).collect()
    }
}

#[derive(Default)]
struct Raw<'a> {
    session: Option<u64>,
    partition: Option<u64>,
    question: Option<&'a [u8]>,
    from: Option<u64>,
    at: Option<u64>,
    upto: Option<u64>,
    items: Option<&'a [u8]>,
    rows: Option<&'a [u8]>,
    whole: Option<bool>,
    gave: Option<bool>,
    clean: Option<u64>,
    all: Option<bool>,
    digest: Option<&'a [u8]>,
    total: Option<u64>,
    as_of: Option<u64>,
    batch: Option<&'a [u8]>,
    sum: Option<&'a [u8]>,
}

impl<'a> Raw<'a> {
    fn read(mut reader: Reader<'a>) -> Result<Self, Error> {
        let mut raw = Raw::default();
        each_field(&mut reader, |name, reader| match name {
            "session" => put(&mut raw.session, "session", reader, Reader::u64),
            "partition" => put(&mut raw.partition, "partition", reader, Reader::u64),
            "question" => put(&mut raw.question, "question", reader, Reader::bin),
            "from" => put(&mut raw.from, "from", reader, Reader::u64),
            "at" => put(&mut raw.at, "at", reader, Reader::u64),
            "upto" => put(&mut raw.upto, "upto", reader, Reader::u64),
            "items" => put(&mut raw.items, "items", reader, Reader::bin),
            "rows" => put(&mut raw.rows, "rows", reader, Reader::raw),
            "whole" => put(&mut raw.whole, "whole", reader, Reader::bool),
            "gave" => put(&mut raw.gave, "gave", reader, Reader::bool),
            "clean" => put(&mut raw.clean, "clean", reader, Reader::u64),
            "all" => put(&mut raw.all, "all", reader, Reader::bool),
            "digest" => put(&mut raw.digest, "digest", reader, Reader::bin),
            "total" => put(&mut raw.total, "total", reader, Reader::u64),
            "asOf" => put(&mut raw.as_of, "asOf", reader, Reader::u64),
            "batch" => put(&mut raw.batch, "batch", reader, Reader::bin),
            "sum" => put(&mut raw.sum, "sum", reader, Reader::bin),
            _ => Ok(false),
        })?;
        Ok(raw)
    }

    fn seal(&self) -> Result<Seal, Error> {
        Ok(Seal {
            digest: number(self.digest, "digest")?,
            total: need(self.total, "total")?,
            as_of: need(self.as_of, "asOf")?,
        })
    }

    fn items<const N: usize>(&self) -> Result<&'a [[u8; N]], Error> {
        match need(self.items, "items")?.as_chunks() {
            (items, []) => Ok(items),
            _ => Err(Error::Range { field: "items" }),
        }
    }

    fn rows(&self) -> Result<Rows<'a>, Error> {
        Rows::new(need(self.rows, "rows")?)
    }

    fn asked(&self, kind: &str) -> Result<Asked<'a>, Error> {
        Ok(match kind {
            "SYMBOLS_ASK" => Asked::Symbols {
                question: need(self.question, "question")?,
            },
            "ITEMS_ASK" => Asked::List {
                from: need(self.from, "from")?,
            },
            "WANT" => Asked::Want {
                at: need(self.at, "at")?,
                items: self.items()?,
            },
            "GIVE" => Asked::Give {
                upto: need(self.upto, "upto")?,
                rows: self.rows()?,
            },
            "REPAIR_END" => Asked::End {
                whole: need(self.whole, "whole")?,
                gave: need(self.gave, "gave")?,
                clean: need(self.clean, "clean")?,
            },
            _ => return Err(Error::UnknownType),
        })
    }

    fn answered(&self, kind: &str) -> Result<Answered<'a>, Error> {
        Ok(match kind {
            "SYMBOLS" => Answered::Symbols {
                seal: self.seal()?,
                batch: need(self.batch, "batch")?,
            },
            "ITEMS" => Answered::Items {
                seal: self.seal()?,
                from: need(self.from, "from")?,
                items: Items { bytes: self.items()? },
            },
            "RECORDS" => Answered::Rows {
                at: need(self.at, "at")?,
                upto: need(self.upto, "upto")?,
                sum: number(self.sum, "sum")?,
                rows: self.rows()?,
            },
            "TAKEN" => Answered::Taken {
                upto: need(self.upto, "upto")?,
                all: need(self.all, "all")?,
            },
            "GONE" => Answered::Gone,
            _ => return Err(Error::UnknownType),
        })
    }
}

fn number(bytes: Option<&[u8]>, field: &'static str) -> Result<u128, Error> {
    let bytes = need(bytes, field)?.try_into();
    bytes.map(u128::from_be_bytes).map_err(|_| Error::Range { field })
}

/// Reads the payload of a message of this kind: the number of the session, and what is said.
pub(super) fn read<'a>(
    kind: &str,
    payload: impl FnOnce() -> Result<Reader<'a>, Error>,
) -> Result<(u64, Repair<'a>), Error> {
    const ASKS: [&str; 5] = ["SYMBOLS_ASK", "ITEMS_ASK", "WANT", "GIVE", "REPAIR_END"];
    const ANSWERS: [&str; 5] = ["SYMBOLS", "ITEMS", "RECORDS", "TAKEN", "GONE"];
    let asks = ASKS.contains(&kind);
    if !asks && !ANSWERS.contains(&kind) {
        return Err(Error::UnknownType);
    }
    let raw = Raw::read(payload()?)?;
    let session = need(raw.session, "session")?;
    if !asks {
        return Ok((session, Repair::Answer(raw.answered(kind)?)));
    }
    let partition = PartitionId::new(need(raw.partition, "partition")?);
    let partition = partition.ok_or(Error::Range { field: "partition" })?;
    let ask = raw.asked(kind)?;
    Ok((session, Repair::Ask { partition, ask }))
}

/// Writes what the side that asks says.
pub fn ask(session: u64, partition: PartitionId, ask: &Ask) -> Bytes {
    let (kind, fields) = match ask {
        Ask::Symbols { .. } => ("SYMBOLS_ASK", 3),
        Ask::List { .. } => ("ITEMS_ASK", 3),
        Ask::Want { .. } => ("WANT", 4),
        Ask::Give { .. } => ("GIVE", 4),
        Ask::End { .. } => ("REPAIR_END", 5),
    };
    let mut out = message(kind, fields);
    out.text("session").u64(session);
    out.text("partition").u64(partition.index() as u64);
    match ask {
        Ask::Symbols { question } => _ = out.text("question").bin(question),
        Ask::List { from } => _ = out.text("from").u64(*from),
        Ask::Want { at, items } => {
            let items: Vec<u8> = items.iter().flat_map(|item| item.to_bytes()).collect();
            out.text("at").u64(*at).text("items").bin(&items);
        }
        Ask::Give { upto, rows } => {
            out.text("upto").u64(*upto);
            put_rows(&mut out, rows);
        }
        Ask::End { whole, gave, clean } => {
            out.text("whole").bool(*whole).text("gave").bool(*gave);
            out.text("clean").u64(*clean);
        }
    }
    out.into_bytes()
}

/// Writes what the side that answers says.
pub fn answer(session: u64, answer: &Answer) -> Bytes {
    let (kind, fields) = match answer {
        Answer::Symbols { .. } => ("SYMBOLS", 5),
        Answer::Items { .. } => ("ITEMS", 6),
        Answer::Rows { .. } => ("RECORDS", 5),
        Answer::Taken { .. } => ("TAKEN", 3),
        Answer::Gone => ("GONE", 1),
    };
    let mut out = message(kind, fields);
    out.text("session").u64(session);
    match answer {
        Answer::Symbols { seal, batch } => {
            put_seal(&mut out, seal);
            out.text("batch").bin(batch);
        }
        Answer::Items { seal, from, items } => {
            put_seal(&mut out, seal);
            let mut bytes = Vec::with_capacity(items.len() * ITEM_BYTES);
            for item in items {
                bytes.extend_from_slice(&item.key_hash.to_be_bytes());
                bytes.extend_from_slice(&item.digest.to_be_bytes());
            }
            out.text("from").u64(*from).text("items").bin(&bytes);
        }
        Answer::Rows { at, upto, sum, rows } => {
            out.text("at").u64(*at).text("upto").u64(*upto);
            out.text("sum").bin(&sum.to_be_bytes());
            put_rows(&mut out, rows);
        }
        Answer::Taken { upto, all } => _ = out.text("upto").u64(*upto).text("all").bool(*all),
        Answer::Gone => {}
    }
    out.into_bytes()
}

fn put_seal(out: &mut Writer, seal: &Seal) {
    out.text("digest").bin(&seal.digest.to_be_bytes());
    out.text("total").u64(seal.total).text("asOf").u64(seal.as_of);
}

fn put_rows(out: &mut Writer, rows: &[(RecordKey, Record)]) {
    out.text("rows").map(rows.len());
    for (key, record) in rows {
        out.bin(key.as_bytes()).bin(record.as_bytes());
    }
}
