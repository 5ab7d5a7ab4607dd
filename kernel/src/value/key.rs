//! Bytes that sort as the values do.

use alloc::vec::Vec;

use super::Value;
use super::number::Place;

/// Ends a list or map. Below every tag, so what ends first is less.
const END: u8 = 0x00;
const NULL: u8 = 0x10;
const FALSE: u8 = 0x20;
const TRUE: u8 = 0x21;
const NUMBER: u8 = 0x30;
const TEXT: u8 = 0x40;
const BYTES: u8 = 0x50;
const LIST: u8 = 0x60;
const MAP: u8 = 0x70;

/// Ends a text or bytes.
const STOP: [u8; 2] = [0x00, 0x00];
/// Stands for a zero byte within them.
const ZERO: [u8; 2] = [0x00, 0xff];

impl Value {
    /// Appends the value as an index key. The keys of two values compare, byte by byte, as the values do; equal values
    /// have the same key (`1`, `1.0`), which is why a value cannot be read back from it: a key is for an index and
    /// nothing else.
    ///
    /// No key is the beginning of another, so keys one after the other sort as tuples do, and whatever follows a key does
    /// not disturb the order. The scheme is that of FoundationDB's tuple layer: a tag for the kind, zero bytes escaped, an
    /// end mark; numbers are this module's own.
    ///
    /// A number takes 4 to 12 bytes, a text 3 and its own, and one more for each zero byte in it.
    pub fn encode_key(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(NULL),
            Self::Bool(false) => out.push(FALSE),
            Self::Bool(true) => out.push(TRUE),
            Self::Int(n) => number(Place::of_int(*n), out),
            Self::Float(x) => number(Place::of_float(*x), out),
            Self::Text(text) => escaped(TEXT, text.as_bytes(), out),
            Self::Bytes(bytes) => escaped(BYTES, bytes, out),
            Self::List(elements) => {
                out.push(LIST);
                for element in elements {
                    element.encode_key(out);
                }
                out.push(END);
            }
            Self::Map(map) => {
                out.push(MAP);
                for (key, value) in map.iter() {
                    key.encode_key(out);
                    value.encode_key(out);
                }
                out.push(END);
            }
        }
    }
}

/// The scale, then the fraction in groups of seven bits, most significant first, for as long as any bit of it is left. The
/// lowest bit of a group's byte says that another follows: as there is something in that, the longer is the greater.
/// Below zero it is the same of the opposite, inverted.
fn number(place: Place, out: &mut Vec<u8>) {
    let (flip, magnitude) = if place.is_negative() {
        (0xff, place.inverted())
    } else {
        (0x00, place)
    };
    out.push(NUMBER);
    out.extend_from_slice(&place.scale.to_be_bytes());
    let mut fraction = magnitude.fraction;
    loop {
        let group = (fraction >> 57) as u8;
        fraction <<= 7;
        let more = fraction != 0;
        out.push((group << 1 | u8::from(more)) ^ flip);
        if !more {
            break;
        }
    }
}

fn escaped(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    let mut parts = bytes.split(|byte| *byte == 0x00);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(&ZERO);
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&STOP);
}
