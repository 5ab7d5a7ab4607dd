//! What a replica keeps of the floor on its disk.

use super::mark::FLOOR_MAX;

const VERSION: u8 = 1;
const MARKS_BYTES: usize = 1 + 3 * 8;

/// The durable state of a replica's floor, in units of `Stamp::time`. Each mark only rises.
///
/// Written in the same order as what the replica admits and takes in: marks that came back from a disk stand for what
/// came back with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// The floor.
    pub at: u64,
    /// It holds everything at or below this that any replica admitted.
    pub confirmed: u64,
    /// It admits nothing at or below this.
    pub promised: u64,
}

/// Why bytes are not a replica's marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMarks {
    /// Shorter or longer than marks are.
    #[error("the marks of the floor are cut short or followed by something else")]
    Length,
    /// Of a version that this kernel does not know.
    #[error("version {found} of the marks of the floor is not known")]
    Version {
        /// The version.
        found: u8,
    },
    /// Not `at <= confirmed <= promised <=` [`FLOOR_MAX`].
    #[error("the marks of the floor are out of range or order")]
    Range,
}

impl Marks {
    /// `version (1) · at (8) · confirmed (8) · promised (8)`, big-endian.
    pub fn encode(&self) -> [u8; MARKS_BYTES] {
        let mut out = [0; MARKS_BYTES];
        out[0] = VERSION;
        out[1..9].copy_from_slice(&self.at.to_be_bytes());
        out[9..17].copy_from_slice(&self.confirmed.to_be_bytes());
        out[17..].copy_from_slice(&self.promised.to_be_bytes());
        out
    }

    /// Reads what [`Marks::encode`] wrote.
    ///
    /// # Errors
    /// [`BadMarks`], whatever the bytes are.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadMarks> {
        let (&[found], rest) = bytes.split_first_chunk().ok_or(BadMarks::Length)?;
        if found != VERSION {
            return Err(BadMarks::Version { found });
        }
        let (numbers, []) = rest.as_chunks::<8>() else {
            return Err(BadMarks::Length);
        };
        let &[at, confirmed, promised] = numbers else {
            return Err(BadMarks::Length);
        };
        let marks = Self {
            at: u64::from_be_bytes(at),
            confirmed: u64::from_be_bytes(confirmed),
            promised: u64::from_be_bytes(promised),
        };
        let ordered = marks.at <= marks.confirmed && marks.confirmed <= marks.promised && marks.promised <= FLOOR_MAX;
        ordered.then_some(marks).ok_or(BadMarks::Range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: Marks = Marks {
        at: 1,
        confirmed: 0x0203,
        promised: 0x0405,
    };

    #[test]
    fn they_come_back_and_are_frozen() {
        let bytes = MARKS.encode();
        assert_eq!(
            bytes,
            [
                1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 3, 0, 0, 0, 0, 0, 0, 4, 5
            ]
        );
        assert_eq!(Marks::decode(&bytes), Ok(MARKS));
        assert_eq!(Marks::decode(&Marks::default().encode()), Ok(Marks::default()));
        let full = Marks {
            at: FLOOR_MAX,
            confirmed: FLOOR_MAX,
            promised: FLOOR_MAX,
        };
        assert_eq!(Marks::decode(&full.encode()), Ok(full));
    }

    #[test]
    fn bytes_from_outside_are_refused_by_name() {
        let bytes = MARKS.encode();
        for len in 0..bytes.len() {
            assert_eq!(Marks::decode(&bytes[..len]), Err(BadMarks::Length));
        }
        for more in [1, 8] {
            let longer = [&bytes[..], &[0; 8][..more]].concat();
            assert_eq!(Marks::decode(&longer), Err(BadMarks::Length));
        }
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(Marks::decode(&newer), Err(BadMarks::Version { found: 2 }));
        for bad in [
            Marks { at: 0x0204, ..MARKS },
            Marks {
                confirmed: 0x0406,
                ..MARKS
            },
            Marks {
                promised: FLOOR_MAX + 1,
                ..MARKS
            },
        ] {
            assert_eq!(Marks::decode(&bad.encode()), Err(BadMarks::Range));
        }
    }
}
