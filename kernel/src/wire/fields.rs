//! Reading MessagePack maps by field name, in whatever order the fields come, unknown ones skipped.

use crate::msgpack::{self, Kind, Reader};
use crate::wire::Error;

/// Calls `visit` with each text key of a map and the reader at its value. `visit` says whether it read the value; a value
/// that it did not read is skipped, as is what stands under a key that is no text.
pub fn each_field<'a>(
    reader: &mut Reader<'a>,
    mut visit: impl FnMut(&'a str, &mut Reader<'a>) -> Result<bool, Error>,
) -> Result<(), Error> {
    for _ in 0..reader.map()? {
        let read = if reader.peek()? == Kind::Text {
            let name = reader.text()?;
            visit(name, reader)?
        } else {
            reader.skip()?;
            false
        };
        if !read {
            reader.skip()?;
        }
    }
    Ok(())
}

/// Reads the value of `field` into `slot`. An explicit null is as good as an absent field: JavaScript writes `undefined` so.
pub fn put<'a, T>(
    slot: &mut Option<T>,
    field: &'static str,
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, msgpack::Error>,
) -> Result<bool, Error> {
    if reader.peek()? == Kind::Null {
        reader.null()?;
        return Ok(true);
    }
    *slot = Some(read(reader).map_err(|error| Error::Field { field, error })?);
    Ok(true)
}

/// The value of a field that must be there.
pub fn need<T>(slot: Option<T>, field: &'static str) -> Result<T, Error> {
    slot.ok_or(Error::Missing { field })
}

/// The type, the payload and the other fields of a frame, from one pass over it.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The field `type`, if there is one.
    pub kind: Option<&'a str>,
    /// The encoded value of the field `payload`, if there is one.
    payload: Option<&'a [u8]>,
    whole: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame: one map, nested at most `depth` deep, with nothing after it.
    pub fn read(frame: &'a [u8], depth: usize) -> Result<Self, Error> {
        msgpack::validate(frame, depth)?;
        let (mut kind, mut payload) = (None, None);
        each_field(&mut Reader::new(frame), |name, reader| match name {
            "type" => put(&mut kind, "type", reader, Reader::text),
            "payload" => put(&mut payload, "payload", reader, Reader::raw),
            _ => Ok(false),
        })?;
        Ok(Self {
            kind,
            payload,
            whole: frame,
        })
    }

    /// A reader at the payload.
    pub fn payload(&self) -> Result<Reader<'a>, Error> {
        need(self.payload, "payload").map(Reader::new)
    }

    /// A reader at the frame's own map, for messages that have no payload.
    pub fn top(&self) -> Reader<'a> {
        Reader::new(self.whole)
    }
}
