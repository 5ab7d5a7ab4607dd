//! Names of single changes (Preguiça et al., "Dotted version vectors", 2010): who changed, and which of their changes it was.

use crate::hlc::Stamp;

/// The name of one change of one writer in one map of one partition. It is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// The writer: drawn when it begins, at a node's boot or a client's first write, and never read from disk.
    pub birth: Stamp,
    /// Which of the writer's changes, from 1. A writer spreads its numbers over maps and partitions as it likes: gaps are normal.
    pub number: u64,
}

impl Dot {
    /// How many bytes a dot counts for, wherever it is held.
    pub const BYTES: usize = 24;

    /// No dot is less. It is no change's name: numbers begin at 1.
    pub(crate) const LEAST: Self = Self {
        birth: Stamp::ZERO,
        number: 0,
    };

    /// The dot of a change that is identified by a stamp of its own, as TopGun's adds are by their tag: a writer born with
    /// that stamp, and its only change.
    pub fn of_tag(tag: Stamp) -> Self {
        Self { birth: tag, number: 1 }
    }

    /// Bytes that compare as dots do.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (birth, number) = bytes.split_at_mut(16);
        birth.copy_from_slice(&self.birth.to_bytes());
        number.copy_from_slice(&self.number.to_be_bytes());
        bytes
    }
}

/// Whether `stamp` is at or below `floor`, which is in units of [`Stamp::time`]. Nothing is at or below the floor 0.
pub(crate) fn is_at_or_below(stamp: Stamp, floor: u64) -> bool {
    floor != 0 && stamp.time() <= floor
}

/// Hands out the dots of one writer in one map of one partition.
///
/// It begins at 1 with a fresh birth and is never written to disk: whoever could read it back could read an older copy of it,
/// and give a dot twice.
#[derive(Debug)]
pub struct DotSource {
    birth: Stamp,
    next: u64,
}

/// Why there is no further dot. The answer to both is a new birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoDot {
    /// Collection has reached the birth: whatever it added now would count as deleted.
    #[error("the floor {floor} has reached the writer that was born at {birth}")]
    BelowFloor {
        /// The time of the birth, in units of [`Stamp::time`].
        birth: u64,
        /// The floor, in the same.
        floor: u64,
    },
    /// All numbers are given.
    #[error("the writer has no numbers left")]
    Exhausted,
}

impl DotSource {
    /// The dots of the writer born with `birth`: a stamp that its clock issued now.
    pub fn new(birth: Stamp) -> Self {
        Self { birth, next: 1 }
    }

    /// The next dot, in a partition whose floor is `floor`.
    ///
    /// # Errors
    /// [`NoDot`]: the writer needs a new birth.
    pub fn next(&mut self, floor: u64) -> Result<Dot, NoDot> {
        if is_at_or_below(self.birth, floor) {
            return Err(NoDot::BelowFloor {
                birth: self.birth.time(),
                floor,
            });
        }
        let number = self.next;
        self.next = number.checked_add(1).ok_or(NoDot::Exhausted)?;
        Ok(Dot {
            birth: self.birth,
            number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::WriterId;

    fn birth() -> Stamp {
        Stamp::new(1, 2, WriterId(3)).unwrap()
    }

    #[test]
    fn numbers_begin_at_one_and_end_before_they_repeat() {
        let mut dots = DotSource::new(birth());
        assert_eq!(
            dots.next(0).unwrap(),
            Dot {
                birth: birth(),
                number: 1
            }
        );
        assert_eq!(
            dots.next(0).unwrap(),
            Dot {
                birth: birth(),
                number: 2
            }
        );
        dots.next = u64::MAX - 1;
        assert_eq!(dots.next(0).unwrap().number, u64::MAX - 1);
        assert_eq!(dots.next(0), Err(NoDot::Exhausted));
        assert_eq!(dots.next(0), Err(NoDot::Exhausted));
    }

    #[test]
    fn a_writer_that_the_floor_has_reached_gives_no_dots() {
        let mut dots = DotSource::new(birth());
        let time = birth().time();
        assert!(dots.next(time - 1).is_ok());
        let refused = NoDot::BelowFloor {
            birth: time,
            floor: time,
        };
        assert_eq!(dots.next(time), Err(refused));
        assert!(dots.next(time + 1).is_err());
        assert!(
            DotSource::new(Stamp::ZERO).next(0).is_ok(),
            "nothing is below the floor 0"
        );
    }

    #[test]
    fn bytes_compare_as_dots_do() {
        let early = Dot {
            birth: birth(),
            number: 256,
        };
        let late = Dot {
            birth: birth(),
            number: 511,
        };
        let tag = Dot::of_tag(Stamp::new(2, 0, WriterId(0)).unwrap());
        assert_eq!(tag.number, 1);
        for (a, b) in [(early, late), (late, tag)] {
            assert!(a < b && a.to_bytes() < b.to_bytes());
        }
    }
}
