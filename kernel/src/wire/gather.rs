//! What one node asks another about a query, and what it is told: words of [`super::cluster`].
//!
//! Who asks numbers each of its askings, and never uses a number twice. On a link that loses frames a gap in the numbers of what it
//! is told is noticed by the next one, and that there is no next one by [`Word::Upto`](super::cluster::Word::Upto).

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::env::Limits;
use crate::hlc::Stamp;
use crate::msgpack::{self, Reader, Writer};
use crate::partition::PartitionSet;
use crate::query::{self, Query, Ranked, Row, Said};
use crate::session::Floor;
use crate::store::RecordKey;

/// What do you hold of these partitions that matches, and what becomes of that?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch<'a> {
    /// The sender's number for it.
    pub request: u64,
    /// The version of the cluster's state that the sender acts by.
    pub epoch: u64,
    /// The map.
    pub map: &'a str,
    /// The query object, as MessagePack: that of a source.
    pub query: &'a [u8],
    /// The partitions that are asked for.
    pub partitions: PartitionSet,
    /// Only the answer is wanted.
    pub once: bool,
    /// A partition that lacks one of the `floors` is not answered for.
    pub strict: bool,
    /// Keys of the map with the stamps that the client has been told of, and whether that they are gone.
    #[serde(borrow)]
    pub floors: Vec<(&'a [u8], [u8; 16], bool)>,
}

impl Watch<'_> {
    /// The query that is asked.
    ///
    /// # Errors
    /// [`query::Error`], whatever the bytes are.
    pub fn query(&self, limits: &Limits) -> Result<Query, query::Error> {
        Query::read(self.map, &mut Reader::new(self.query), limits)
    }

    /// What the client has been told of; keys that are none are left out.
    pub fn floors(&self, limits: &Limits) -> Vec<(RecordKey, Floor)> {
        let floors = self.floors.iter().filter_map(|(key, stamp, gone)| {
            let (stamp, gone) = (Stamp::from_bytes(*stamp), *gone);
            Some((RecordKey::new(self.map, key, limits).ok()?, Floor { stamp, gone }))
        });
        floors.collect()
    }
}

/// A query as it is sent.
pub fn query_bytes(query: &Query) -> Vec<u8> {
    let mut out = Writer::new();
    query.write(&mut out);
    out.into_vec()
}

/// A chunk of the answer to a [`Watch`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows<'a> {
    /// The number that was given.
    pub request: u64,
    /// Its place among the chunks, from 0.
    pub part: u32,
    /// The rows, in order.
    #[serde(borrow)]
    pub rows: Vec<SentRow<'a>>,
    /// With the last one: the partitions that all of them together answer for.
    pub covers: Option<PartitionSet>,
}

/// A row as it is sent: without what both sides know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRow<'a> {
    /// Its rank, without the key that it ends with.
    pub rank: &'a [u8],
    /// Its key in the map.
    pub key: &'a [u8],
    /// What is wanted of its value; `None`: it is in the answer no more.
    pub value: Option<&'a [u8]>,
}

impl<'a> SentRow<'a> {
    /// Most bytes that one takes beyond those of its parts.
    const FRAME_BYTES: usize = 16;

    /// What is said of a row.
    pub fn of(said: &'a Said) -> Self {
        match said {
            Said::Has(Ranked { rank, row }) => {
                let key = row.key.key();
                Self {
                    rank: rank.strip_suffix(key).unwrap_or(rank),
                    key,
                    value: Some(&row.value),
                }
            }
            Said::Left(name) => Self {
                rank: &[],
                key: name.key(),
                value: None,
            },
        }
    }

    /// About how many bytes it takes, and no less than it does.
    pub fn bytes(&self) -> usize {
        self.rank.len() + self.key.len() + self.value.map_or(0, <[u8]>::len) + Self::FRAME_BYTES
    }

    /// What it says of a row of `map`; nothing, if the key is none or the value is no value.
    pub fn said(&self, map: &str, limits: &Limits) -> Option<Said> {
        let key = RecordKey::new(map, self.key, limits).ok()?;
        Some(match self.value {
            None => Said::Left(key),
            Some(value) => {
                msgpack::validate(value, limits.depth).ok()?;
                let rank: Bytes = [self.rank, self.key].concat().into();
                let value = Bytes::copy_from_slice(value);
                let row = Row { key, value };
                Said::Has(Ranked { rank, row })
            }
        })
    }
}

/// Splits what is said into chunks of about `chunk_bytes`: at least one row each, and none if there is nothing.
///
/// # Errors
/// One of them does not fit a frame of `longest` bytes, in words.
pub fn chunks<'a>(said: &'a [Said], chunk_bytes: usize, longest: usize) -> Result<Vec<Vec<SentRow<'a>>>, String> {
    /// What is beside the rows in a frame.
    const BESIDE_BYTES: usize = 256;
    let mut chunks: Vec<Vec<SentRow<'a>>> = Vec::new();
    let mut bytes = 0;
    for row in said.iter().map(SentRow::of) {
        if row.bytes() + BESIDE_BYTES > longest {
            return Err("a row of the answer does not fit one frame between two nodes".into());
        }
        bytes += row.bytes();
        match chunks.last_mut() {
            Some(chunk) if bytes <= chunk_bytes.min(longest - BESIDE_BYTES) => chunk.push(row),
            _ => {
                bytes = row.bytes();
                chunks.push(alloc::vec![row]);
            }
        }
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(key: &[u8], value: Option<Vec<u8>>) -> Said {
        let name = RecordKey::new("m", key, &Limits::default()).unwrap();
        match value {
            None => Said::Left(name),
            Some(value) => Said::Has(Ranked {
                rank: [b"rank", key].concat().into(),
                row: Row {
                    key: name,
                    value: value.into(),
                },
            }),
        }
    }

    proptest! {
        #[test]
        fn what_is_chunked_is_what_is_read(rows in proptest::collection::vec((any::<[u8; 3]>(), any::<Option<u8>>()), 0..30), chunk in 1..200_usize) {
            let all: Vec<Said> = rows.into_iter().map(|(key, value)| said(&key, value.map(|n| vec![n & 0x7f]))).collect();
            let chunks = chunks(&all, chunk, 1_000).unwrap();
            let read = chunks.iter().flatten().map(|row| row.said("m", &Limits::default()).unwrap());
            prop_assert_eq!(&read.collect::<Vec<_>>(), &all);
            for rows in &chunks {
                let bytes: usize = rows.iter().map(SentRow::bytes).sum();
                prop_assert!(rows.len() == 1 || bytes <= chunk);
                let sent = Rows { request: u64::MAX, part: u32::MAX, rows: rows.clone(), covers: Some(PartitionSet::all()) };
                let frame = postcard::to_allocvec(&sent).unwrap();
                prop_assert!(frame.len() <= bytes + 128, "{} of {bytes}", frame.len());
                prop_assert_eq!(postcard::from_bytes::<Rows<'_>>(&frame).unwrap(), sent);
            }
        }
    }

    #[test]
    fn a_row_that_no_frame_holds_is_refused() {
        assert!(chunks(&[said(b"k", Some([0; 900].into()))], 100, 1_000).is_err());
    }
}
