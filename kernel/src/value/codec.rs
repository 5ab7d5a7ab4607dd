//! Values from and to MessagePack.

use alloc::vec::Vec;
use bytes::Bytes;
use core::str;

use super::{Int, Map, Value};
use crate::msgpack::{Error, Reader, Token, Writer};

/// How deep lists and maps may nest in a value, whatever a caller allows: values are walked on the stack.
pub const DEPTH_MAX: usize = 128;

impl Value {
    /// Reads a value that is all of `bytes`, with lists and maps nested at most `depth` deep (a number is at depth 0, an
    /// empty list at 1), and never deeper than [`DEPTH_MAX`].
    ///
    /// A map's pairs are put in the order of their keys; of equal keys the last one counts. An extension becomes
    /// [`Value::Bytes`]: its type's byte, then its payload. It can be compared and found so, but is not written back as
    /// what it was.
    ///
    /// A byte of input takes at most the size of a few values in memory (a list of nulls, 32 bytes for each), and nothing is
    /// taken for a length that the bytes which remain cannot hold, counting those that outer lists and maps need.
    ///
    /// # Errors
    /// What [`crate::msgpack::validate`] refuses, and nothing else.
    pub fn decode(bytes: &[u8], depth: usize) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader, depth)?;
        reader.end()?;
        Ok(value)
    }

    /// Reads the next value of `reader`, as [`Value::decode`] does, and leaves what follows it. After an error the
    /// reader stands somewhere within the value.
    ///
    /// # Errors
    /// As for [`Value::decode`], but [`Error::Trailing`].
    pub fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, Error> {
        let limit = depth.min(DEPTH_MAX);
        Nest { reader, limit }.value(0, 0)
    }

    /// As MessagePack, each part in its shortest encoding and each map in the order of its keys. Integers stay
    /// integers and floats stay floats, except that all NaNs become one.
    ///
    /// # Panics
    /// As [`Writer`] does: at a length of 2^32.
    pub fn encode(&self) -> Bytes {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Appends what [`Value::encode`] gives.
    ///
    /// # Panics
    /// As for [`Value::encode`].
    pub fn write(&self, writer: &mut Writer) {
        match self {
            Self::Null => {
                writer.null();
            }
            Self::Bool(yes) => {
                writer.bool(*yes);
            }
            Self::Int(n) => write_int(*n, writer),
            Self::Float(x) => {
                writer.f64(*x);
            }
            Self::Text(text) => {
                writer.text(text);
            }
            Self::Bytes(bytes) => {
                writer.bin(bytes);
            }
            Self::List(elements) => {
                writer.list(elements.len());
                for element in elements {
                    element.write(writer);
                }
            }
            Self::Map(map) => {
                writer.map(map.len());
                for (key, value) in map.iter() {
                    key.write(writer);
                    value.write(writer);
                }
            }
        }
    }
}

fn write_int(n: Int, writer: &mut Writer) {
    match (u64::try_from(n.get()), i64::try_from(n.get())) {
        (Ok(n), _) => writer.u64(n),
        (_, Ok(n)) => writer.i64(n),
        _ => unreachable!("an integer of {n}"),
    };
}

/// A reading of values within values.
struct Nest<'r, 'a> {
    reader: &'r mut Reader<'a>,
    limit: usize,
}

impl Nest<'_, '_> {
    /// The next value, which stands within `depth` lists and maps. They still miss `outer_missing` values after this one.
    fn value(&mut self, depth: usize, outer_missing: usize) -> Result<Value, Error> {
        let at = self.reader.position();
        let token = self.reader.any()?;
        let inner = token.children();
        Ok(match token {
            Token::Null => Value::Null,
            Token::Bool(yes) => Value::Bool(yes),
            Token::Uint(n) => Value::Int(n.into()),
            Token::Int(n) => Value::Int(n.into()),
            Token::Float(x) => Value::Float(x),
            Token::Text(text) => Value::Text(str::from_utf8(text).map_err(|_| Error::NotUtf8 { at })?.into()),
            Token::Bytes(bytes) | Token::Ext(bytes) => Value::Bytes(bytes.into()),
            Token::List(len) => {
                self.enter(depth, outer_missing + inner)?;
                let mut elements = Vec::with_capacity(len);
                for index in 1..=len {
                    elements.push(self.value(depth + 1, outer_missing + inner - index)?);
                }
                Value::List(elements)
            }
            Token::Map(len) => {
                self.enter(depth, outer_missing + inner)?;
                let mut pairs = Vec::with_capacity(len);
                for index in 1..=len {
                    let key = self.value(depth + 1, outer_missing + inner - 2 * index + 1)?;
                    let value = self.value(depth + 1, outer_missing + inner - 2 * index)?;
                    pairs.push((key, value));
                }
                Value::Map(Map::from_iter(pairs))
            }
        })
    }

    /// Checks the head of a list or map before memory is taken for it.
    fn enter(&self, depth: usize, missing: usize) -> Result<(), Error> {
        if depth >= self.limit {
            return Err(Error::TooDeep { limit: self.limit });
        }
        // Each takes a byte at least.
        if missing > self.reader.rest().len() {
            return Err(Error::UnexpectedEnd);
        }
        Ok(())
    }
}
