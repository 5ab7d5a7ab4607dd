//! MessagePack, read and written in place and within bounds.
//!
//! The format is the one of <https://github.com/msgpack/msgpack/blob/master/spec.md>. Nothing here builds a tree:
//! a [`Reader`] borrows the bytes and walks over them, a [`Writer`] appends to a buffer, and [`validate`] checks a
//! value once, at the edge, so that whoever reads it later finds nothing unexpected. Trees are `kernel::value`'s.
//!
//! Reading never panics and never takes memory for a length that is only claimed: a text, list or map that says
//! it is longer than the bytes that follow is [`Error::UnexpectedEnd`] before anything is done about it.
//!
//! ```
//! use kernel::msgpack::{Reader, Writer};
//!
//! let mut writer = Writer::new();
//! writer.map(2).text("name").text("Ceres").text("moons").u64(0);
//! let bytes = writer.into_bytes();
//!
//! let mut reader = Reader::new(&bytes);
//! for _ in 0..reader.map()? {
//!     match reader.text()? {
//!         "moons" => assert_eq!(reader.u64()?, 0),
//!         _ => reader.skip()?,
//!     }
//! }
//! reader.end()?;
//! # Ok::<(), kernel::msgpack::Error>(())
//! ```

mod error;
pub(crate) mod float;
mod read;
mod token;
mod validate;
mod write;

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod vectors;

pub use error::{Error, Kind};
pub use read::Reader;
pub(crate) use token::Token;
pub use validate::validate;
pub use write::Writer;
