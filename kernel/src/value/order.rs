//! The one order of all values, and the equality and hash that go with it.

use core::cmp::Ordering;
use core::hash::{Hash, Hasher};

use super::Value;
use super::number::Place;

impl Value {
    /// Where its kind stands among kinds. Values of different rank need no further look.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Float(_) => 2,
            Self::Text(_) => TEXT_RANK,
            Self::Bytes(_) => 4,
            Self::List(_) => 5,
            Self::Map(_) => 6,
        }
    }

    /// Its place among numbers, if it is one.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Int(n) => Some(Place::of_int(*n)),
            Self::Float(x) => Some(Place::of_float(*x)),
            _ => None,
        }
    }

    /// How it compares with a text, without making a value of that.
    pub(super) fn cmp_text(&self, text: &str) -> Ordering {
        match self {
            Self::Text(known) => known.as_str().cmp(text),
            other => other.rank().cmp(&TEXT_RANK),
        }
    }
}

const TEXT_RANK: u8 = 3;

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Int(_) | Self::Float(_), Self::Int(_) | Self::Float(_)) => self.place().cmp(&other.place()),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            (Self::Map(a), Self::Map(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.rank());
        match self {
            Self::Null => {}
            Self::Bool(yes) => yes.hash(state),
            Self::Int(_) | Self::Float(_) => self.place().hash(state),
            Self::Text(text) => text.hash(state),
            Self::Bytes(bytes) => bytes.hash(state),
            Self::List(elements) => elements.hash(state),
            Self::Map(map) => map.hash(state),
        }
    }
}
