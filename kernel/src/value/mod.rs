//! The document value: what a record, a query's literal or an index key holds, as a tree.
//!
//! A stored value stays the MessagePack that its writer sent (see [`crate::msgpack`]); a [`Value`] is what it is read
//! into where it must be compared, computed with or taken apart. [`Value::decode`] and [`Value::encode`] go between
//! the two, and [`Value::encode_key`] turns a value into bytes that sort as it does.
//!
//! # One order for everything
//!
//! Any two values can be compared, and `Eq`, `Hash` and the index key agree with the order:
//!
//! null < false < true < numbers < texts < bytes < lists < maps
//!
//! - **Numbers** compare by what they are worth, exactly, integers and floats alike and beyond 2^53: `1` equals `1.0`,
//!   and 2^53 + 1 is greater than the float 2^53. `-0.0` equals `0.0` equals `0`. All NaNs are equal to one another
//!   and greater than every other number, infinity included, as in PostgreSQL.
//! - **Texts** compare by their UTF-8, which is the order of code points; **bytes** by bytes.
//! - **Lists** compare element by element; the one that ends first is less.
//! - **Maps** compare as the lists of their pairs in the order of their keys. How a map was written makes no difference.
//!
//! So equal values may differ in encoding (`1`, `1.0`). What identifies a write is its bytes, not this order.
//!
//! ```
//! use kernel::value::Value;
//!
//! let value = Value::decode(&[0x93, 0x02, 0xca, 0x3f, 0x80, 0, 0, 0xa1, b'x'], 8)?; // [2, 1.0, "x"]
//! let expected = Value::List(vec![2.into(), 1.into(), "x".into()]);
//! assert_eq!(value, expected);
//! assert!(Value::from("x") > Value::from(u64::MAX));
//! # Ok::<(), kernel::msgpack::Error>(())
//! ```

mod codec;
mod int;
mod key;
mod map;
mod number;
mod order;

#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

pub use codec::DEPTH_MAX;
pub use int::Int;
pub use map::Map;

use crate::msgpack::Kind;

/// A document value. See the [module](self) for how values compare.
///
/// Comparing, cloning, encoding and dropping go down into lists and maps on the stack. What is decoded nests at
/// most [`DEPTH_MAX`] deep; whoever builds a value by hand keeps to that too.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// An integer, from -2^63 to 2^64 - 1.
    Int(Int),
    /// A float. Carried and compared; never what an order or a digest is computed in.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in a row.
    List(Vec<Value>),
    /// Values by keys, which may be of any kind.
    Map(Map),
}

impl Value {
    /// What kind of value it is. Never [`Kind::Ext`].
    pub fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What a map holds under a text. `None` also if this is no map.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Map(map) => map.field(name),
            _ => None,
        }
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl From<Int> for Value {
    fn from(n: Int) -> Self {
        Self::Int(n)
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Self::Int(n.into())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(n.into())
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Int(n.into())
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<Value>> for Value {
    fn from(elements: Vec<Value>) -> Self {
        Self::List(elements)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}
