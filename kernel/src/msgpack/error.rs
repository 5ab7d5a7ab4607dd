//! What a value can be, and what can be wrong with it.

use core::fmt;

/// What kind of value stands at a place. Widths of the encoding make no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Nil.
    Null,
    /// True or false.
    Bool,
    /// An integer, of either sign.
    Int,
    /// A floating-point number of 32 or 64 bits.
    Float,
    /// A string: UTF-8, once it has been checked.
    Text,
    /// A byte string.
    Bytes,
    /// An array.
    List,
    /// A map.
    Map,
    /// An extension: a type of one byte and a payload. Skipped and carried, never interpreted.
    Ext,
}

impl Kind {
    /// The kind of the value that begins with `head`; `None` for 0xc1, which the standard never uses.
    pub(crate) fn of(head: u8) -> Option<Self> {
        Some(match head {
            0xc0 => Self::Null,
            0xc1 => return None,
            0xc2 | 0xc3 => Self::Bool,
            0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => Self::Int,
            0xca | 0xcb => Self::Float,
            0xa0..=0xbf | 0xd9..=0xdb => Self::Text,
            0xc4..=0xc6 => Self::Bytes,
            0x90..=0x9f | 0xdc | 0xdd => Self::List,
            0x80..=0x8f | 0xde | 0xdf => Self::Map,
            0xc7..=0xc9 | 0xd4..=0xd8 => Self::Ext,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Float => "a float",
            Self::Text => "a text",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Ext => "an extension",
        })
    }
}

/// Why bytes could not be read as what was asked for. Places are counted in bytes from where the reader began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// The bytes end within a value, or a length is claimed that they cannot hold.
    #[error("the bytes end before the value does")]
    UnexpectedEnd,
    /// There is a value, of another kind.
    #[error("expected {expected} at byte {at}, found {found}")]
    WrongKind {
        /// What was asked for.
        expected: Kind,
        /// What stands there.
        found: Kind,
        /// Where.
        at: usize,
    },
    /// Lists and maps nest deeper than allowed.
    #[error("lists and maps nest deeper than {limit}")]
    TooDeep {
        /// What is allowed.
        limit: usize,
    },
    /// There is a number, but not one that the type asked for can hold exactly: too large, too small, negative, a
    /// fraction, infinite, or not a number.
    #[error("the number is not one that is allowed here: it is out of range, or not whole")]
    OutOfRange,
    /// A text is not UTF-8.
    #[error("the text at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Where its value begins.
        at: usize,
    },
    /// More follows where everything should have ended.
    #[error("bytes follow after the value's end at byte {at}")]
    Trailing {
        /// Where the first of them stands.
        at: usize,
    },
    /// The byte 0xc1, which the standard never uses.
    #[error("the byte 0xc1 at {at} begins no value")]
    Reserved {
        /// Where.
        at: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_well() {
        let error = Error::WrongKind {
            expected: Kind::Text,
            found: Kind::List,
            at: 12,
        };
        assert_eq!(error.to_string(), "expected a text at byte 12, found a list");
        assert_eq!(
            Error::TooDeep { limit: 64 }.to_string(),
            "lists and maps nest deeper than 64"
        );
    }
}
