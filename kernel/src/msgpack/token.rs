//! One step through MessagePack: a scalar with its body, or the head of a list or map.

use super::{Error, Kind, float};

/// What stands at one place. Everything else that reads is built on this.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    Null,
    Bool(bool),
    /// An integer from zero up.
    Uint(u64),
    /// An integer below zero, or one written in a signed encoding.
    Int(i64),
    Float(f64),
    /// A text's bytes: not yet checked to be UTF-8.
    Text(&'a [u8]),
    Bytes(&'a [u8]),
    /// The head of a list of so many elements. At least as many bytes follow.
    List(usize),
    /// The head of a map of so many pairs. At least twice as many bytes follow.
    Map(usize),
    /// An extension's type, then its payload.
    Ext(&'a [u8]),
}

impl<'a> Token<'a> {
    /// The token that begins at `at`, and where the next one begins.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8], at: usize) -> Result<(Self, usize), Error> {
        let mut ahead = Ahead { bytes, at };
        let [head] = ahead.array()?;
        let token = match head {
            0x00..=0x7f => Self::Uint(u64::from(head)),
            0x80..=0x8f => ahead.map(usize::from(head & 0x0f))?,
            0x90..=0x9f => ahead.list(usize::from(head & 0x0f))?,
            0xa0..=0xbf => Self::Text(ahead.slice(usize::from(head & 0x1f))?),
            0xc0 => Self::Null,
            0xc1 => return Err(Error::Reserved { at }),
            0xc2 => Self::Bool(false),
            0xc3 => Self::Bool(true),
            0xc4 => Self::Bytes(ahead.sized::<1>()?),
            0xc5 => Self::Bytes(ahead.sized::<2>()?),
            0xc6 => Self::Bytes(ahead.sized::<4>()?),
            0xc7 => Self::Ext(ahead.ext::<1>()?),
            0xc8 => Self::Ext(ahead.ext::<2>()?),
            0xc9 => Self::Ext(ahead.ext::<4>()?),
            0xca => Self::Float(float::widen(f32::from_be_bytes(ahead.array()?))),
            0xcb => Self::Float(f64::from_be_bytes(ahead.array()?)),
            0xcc => Self::Uint(u64::from(u8::from_be_bytes(ahead.array()?))),
            0xcd => Self::Uint(u64::from(u16::from_be_bytes(ahead.array()?))),
            0xce => Self::Uint(u64::from(u32::from_be_bytes(ahead.array()?))),
            0xcf => Self::Uint(u64::from_be_bytes(ahead.array()?)),
            0xd0 => Self::Int(i64::from(i8::from_be_bytes(ahead.array()?))),
            0xd1 => Self::Int(i64::from(i16::from_be_bytes(ahead.array()?))),
            0xd2 => Self::Int(i64::from(i32::from_be_bytes(ahead.array()?))),
            0xd3 => Self::Int(i64::from_be_bytes(ahead.array()?)),
            // One byte of type and 1, 2, 4, 8 or 16 of payload.
            0xd4..=0xd8 => Self::Ext(ahead.slice(1 + (1 << (head - 0xd4)))?),
            0xd9 => Self::Text(ahead.sized::<1>()?),
            0xda => Self::Text(ahead.sized::<2>()?),
            0xdb => Self::Text(ahead.sized::<4>()?),
            0xdc => ahead.length::<2>().and_then(|len| ahead.list(len))?,
            0xdd => ahead.length::<4>().and_then(|len| ahead.list(len))?,
            0xde => ahead.length::<2>().and_then(|len| ahead.map(len))?,
            0xdf => ahead.length::<4>().and_then(|len| ahead.map(len))?,
            0xe0..=0xff => Self::Int(i64::from(head as i8)),
        };
        Ok((token, ahead.at))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Uint(_) | Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
            Self::Ext(_) => Kind::Ext,
        }
    }

    /// How many values must follow to complete this one.
    pub(crate) fn children(&self) -> usize {
        match self {
            Self::List(len) => *len,
            // Cannot overflow: so many bytes follow.
            Self::Map(pairs) => 2 * pairs,
            _ => 0,
        }
    }
}

/// Where within the token the reading is.
#[derive(Clone, Copy)]
struct Ahead<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Ahead<'a> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let rest = self.bytes.get(self.at..).ok_or(Error::UnexpectedEnd)?;
        let array = rest.first_chunk::<N>().ok_or(Error::UnexpectedEnd)?;
        self.at += N;
        Ok(*array)
    }

    #[inline]
    fn slice(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(len).ok_or(Error::UnexpectedEnd)?;
        let slice = self.bytes.get(self.at..end).ok_or(Error::UnexpectedEnd)?;
        self.at = end;
        Ok(slice)
    }

    /// A big-endian length of `N` bytes.
    #[inline]
    fn length<const N: usize>(&mut self) -> Result<usize, Error> {
        let array: [u8; N] = self.array()?;
        let len = array.iter().fold(0u64, |len, byte| len << 8 | u64::from(*byte));
        usize::try_from(len).map_err(|_| Error::UnexpectedEnd)
    }

    #[inline]
    fn sized<const N: usize>(&mut self) -> Result<&'a [u8], Error> {
        let len = self.length::<N>()?;
        self.slice(len)
    }

    /// The length counts the payload only; the type stands before it.
    #[inline]
    fn ext<const N: usize>(&mut self) -> Result<&'a [u8], Error> {
        let len = self.length::<N>()?.checked_add(1).ok_or(Error::UnexpectedEnd)?;
        self.slice(len)
    }

    /// An element takes a byte at least: a longer list cannot be there, whatever its head claims.
    #[inline]
    fn list(&self, len: usize) -> Result<Token<'a>, Error> {
        let remaining_bytes = self.bytes.len() - self.at;
        if len > remaining_bytes {
            return Err(Error::UnexpectedEnd);
        }
        Ok(Token::List(len))
    }

    /// A pair takes two bytes at least.
    #[inline]
    fn map(&self, pairs: usize) -> Result<Token<'a>, Error> {
        let remaining_bytes = self.bytes.len() - self.at;
        if pairs > remaining_bytes / 2 {
            return Err(Error::UnexpectedEnd);
        }
        Ok(Token::Map(pairs))
    }
}
