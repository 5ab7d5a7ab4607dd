//! Appending encoded values to a buffer.

use alloc::vec::Vec;
use bytes::Bytes;

use super::float;

/// MessagePack being written, value by value, each in its shortest encoding: the same calls give the same bytes.
///
/// A list or map is a head and then its elements, which the caller writes: as many as the head said. Nothing checks
/// that but the reader at the other end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with room for so many bytes.
    pub fn with_capacity(capacity_bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(capacity_bytes),
        }
    }

    /// Writes a null.
    pub fn null(&mut self) -> &mut Self {
        self.out.push(0xc0);
        self
    }

    /// Writes a boolean.
    pub fn bool(&mut self, yes: bool) -> &mut Self {
        self.out.push(if yes { 0xc3 } else { 0xc2 });
        self
    }

    /// Writes an integer from zero up.
    pub fn u64(&mut self, n: u64) -> &mut Self {
        if let Ok(n) = u8::try_from(n) {
            if n < 0x80 { self.put([n]) } else { self.put([0xcc, n]) }
        } else if let Ok(n) = u16::try_from(n) {
            self.head(0xcd, n.to_be_bytes())
        } else if let Ok(n) = u32::try_from(n) {
            self.head(0xce, n.to_be_bytes())
        } else {
            self.head(0xcf, n.to_be_bytes())
        }
    }

    /// Writes an integer. From zero up it is written as [`Writer::u64`] does.
    pub fn i64(&mut self, n: i64) -> &mut Self {
        if let Ok(n) = u64::try_from(n) {
            self.u64(n)
        } else if let Ok(n) = i8::try_from(n) {
            let [byte] = n.to_be_bytes();
            if n >= -32 {
                self.put([byte])
            } else {
                self.put([0xd0, byte])
            }
        } else if let Ok(n) = i16::try_from(n) {
            self.head(0xd1, n.to_be_bytes())
        } else if let Ok(n) = i32::try_from(n) {
            self.head(0xd2, n.to_be_bytes())
        } else {
            self.head(0xd3, n.to_be_bytes())
        }
    }

    /// Writes a float: in 32 bits if nothing is lost by it, otherwise in 64. It stays a float, even a whole one.
    /// Every NaN is written as the same one, since what is in its other bits is up to the machine.
    pub fn f64(&mut self, x: f64) -> &mut Self {
        if x.is_nan() {
            // The quiet NaN without a sign or payload.
            self.head(0xca, 0x7fc0_0000u32.to_be_bytes())
        } else if let Some(short) = float::narrow(x) {
            self.head(0xca, short.to_be_bytes())
        } else {
            self.head(0xcb, x.to_be_bytes())
        }
    }

    /// Writes a text.
    ///
    /// # Panics
    /// If it is 2^32 bytes or longer.
    pub fn text(&mut self, text: &str) -> &mut Self {
        match length(text.len()) {
            len @ ..=0x1f => self.put([0xa0 | len as u8]),
            len @ ..=0xff => self.put([0xd9, len as u8]),
            len @ ..=0xffff => self.head(0xda, (len as u16).to_be_bytes()),
            len => self.head(0xdb, len.to_be_bytes()),
        };
        self.raw(text.as_bytes())
    }

    /// Writes a byte string.
    ///
    /// # Panics
    /// If it is 2^32 bytes or longer.
    pub fn bin(&mut self, bytes: &[u8]) -> &mut Self {
        match length(bytes.len()) {
            len @ ..=0xff => self.put([0xc4, len as u8]),
            len @ ..=0xffff => self.head(0xc5, (len as u16).to_be_bytes()),
            len => self.head(0xc6, len.to_be_bytes()),
        };
        self.raw(bytes)
    }

    /// Writes the head of a list: so many values must follow.
    ///
    /// # Panics
    /// If that is 2^32 or more.
    pub fn list(&mut self, len: usize) -> &mut Self {
        match length(len) {
            len @ ..=0x0f => self.put([0x90 | len as u8]),
            len @ ..=0xffff => self.head(0xdc, (len as u16).to_be_bytes()),
            len => self.head(0xdd, len.to_be_bytes()),
        }
    }

    /// Writes the head of a map: so many pairs must follow, each a key and then its value.
    ///
    /// # Panics
    /// If that is 2^32 or more.
    pub fn map(&mut self, pairs: usize) -> &mut Self {
        match length(pairs) {
            len @ ..=0x0f => self.put([0x80 | len as u8]),
            len @ ..=0xffff => self.head(0xde, (len as u16).to_be_bytes()),
            len => self.head(0xdf, len.to_be_bytes()),
        }
    }

    /// Writes what is already encoded, as it is.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(encoded);
        self
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was written, without copying it.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from(self.out)
    }

    /// What was written.
    pub fn into_vec(self) -> Vec<u8> {
        self.out
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.out.extend_from_slice(&bytes);
        self
    }

    fn head<const N: usize>(&mut self, head: u8, number: [u8; N]) -> &mut Self {
        self.out.push(head);
        self.out.extend_from_slice(&number);
        self
    }
}

/// A length as the format holds it. What comes from outside is far below the end of it (`env::Limits`): more is a bug.
fn length(len: usize) -> u32 {
    match u32::try_from(len) {
        Ok(len) => len,
        Err(_) => panic!("MessagePack holds no length of {len}"),
    }
}
