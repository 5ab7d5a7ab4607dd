//! Reading the maps that queries are written as, by field name.

use super::Error;
use crate::msgpack::{self, Kind, Reader};

/// Calls `visit` with each text key of a map and the reader at its value. `visit` says whether it read the value; what it did
/// not read is skipped, as is what stands under a key that is no text.
pub(super) fn each_field<'a>(
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
pub(super) fn put<'a, T>(
    slot: &mut Option<T>,
    field: &'static str,
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, msgpack::Error>,
) -> Result<bool, Error> {
    if reader.peek()? == Kind::Null {
        return Ok(false);
    }
    *slot = Some(read(reader).map_err(|error| Error::Field { field, error })?);
    Ok(true)
}

/// The value of a field that must be there.
pub(super) fn need<T>(slot: Option<T>, field: &'static str) -> Result<T, Error> {
    slot.ok_or(Error::Missing { field })
}
