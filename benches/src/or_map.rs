//! Adds to the kernel's observed-remove map, and merges of whole replicas.
//!
//! Half of what two replicas hold is common to both, half came to one of them only; a third has nothing in common with them. The
//! elements come in an order that is not theirs, and each is a MessagePack text of 16 bytes.

use std::hint::black_box;

use kernel::crdt::{DigestKey, DotSource, OrMap};
use kernel::env::WriterId;
use kernel::hlc::Stamp;

use crate::row::Row;
use crate::timer::{Spent, Timer};
use crate::{Failure, Load, Rows};

/// Elements of each replica.
const ELEMENTS: u64 = 100_000;
/// How often each work is done, from the start.
const ROUNDS: u32 = 5;

const ADD: &str = "add, and what to send";
const HALF: &str = "merge of two states, half in common";
const APART: &str = "merge of two states, nothing in common";

/// An element and the key that it is for.
type Item = (Vec<u8>, Vec<u8>);

/// What the elements are put under.
#[derive(Clone, Copy)]
enum Shape {
    OneKey,
    KeyEach,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::OneKey => "all in one key",
            Self::KeyEach => "a key each",
        }
    }

    fn items(self, numbers: std::ops::Range<u64>) -> Vec<Item> {
        let spread = numbers.map(|number| format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let item = |text: String| match self {
            Self::OneKey => (b"bench".to_vec(), [&[0xb0], text.as_bytes()].concat()),
            Self::KeyEach => (text.into_bytes(), vec![0xc3]),
        };
        spread.map(item).collect()
    }
}

/// Three replicas' work: what two have, what one of these has, and what only the third has.
struct Work {
    common: Vec<Item>,
    own: [Vec<Item>; 2],
    apart: Vec<Item>,
}

impl Work {
    fn new(shape: Shape, quick: bool) -> Self {
        let elements = if quick { ELEMENTS / 10 } else { ELEMENTS };
        let half = elements / 2;
        Self {
            common: shape.items(0..half),
            own: [shape.items(half..2 * half), shape.items(2 * half..3 * half)],
            apart: shape.items(3 * half..5 * half),
        }
    }
}

fn dots(writer: u64) -> Result<DotSource, &'static str> {
    let birth = Stamp::new(1_700_000_000_000, 0, WriterId(writer));
    Ok(DotSource::new(birth.ok_or("a stamp in range")?))
}

/// Adds all, and says what that took.
fn fill(map: &mut OrMap, items: &[Item], dots: &mut DotSource) -> Result<Spent, Failure> {
    let timer = Timer::start();
    for (key, element) in items {
        black_box(map.add(key, element, dots.next(0)?));
    }
    Ok(timer.spent())
}

/// A row of the best of all rounds: what the machine did beside is no cost of ours.
fn row(subject: &'static str, ops: usize, rounds: &[Spent], bytes: u64, note: String) -> Row {
    let best = rounds.iter().copied().min_by_key(|spent| spent.cpu);
    Row::of_thread(("or-map", subject), ops, best.unwrap_or_default(), bytes, note)
}

fn orrery(shape: Shape, work: &Work) -> Rows {
    let (mut adds, mut merges, mut further) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = [0; 3];
    for _ in 0..ROUNDS {
        let mut left = OrMap::new(&DigestKey::new([7; 16]));
        let mut first = dots(1)?;
        let common = fill(&mut left, &work.common, &mut first)?;
        let mut right = left.clone();
        adds.push(common + fill(&mut left, &work.own[0], &mut first)?);
        fill(&mut right, &work.own[1], &mut dots(2)?)?;
        bytes[0] = left.held().bytes;
        let timer = Timer::start();
        black_box(left.merge_state(&right));
        merges.push(timer.spent());
        bytes[1] = left.held().bytes;
        let mut third = OrMap::new(&DigestKey::new([7; 16]));
        fill(&mut third, &work.apart, &mut dots(3)?)?;
        let timer = Timer::start();
        black_box(left.merge_state(&third));
        further.push(timer.spent());
        bytes[2] = left.held().bytes;
        black_box(left.digest());
    }
    let elements = work.common.len() + work.own[0].len();
    let note = |work: &str| format!("{work}, {}; keeps keys, order, digest", shape.name());
    Ok(vec![
        row("orrery", elements, &adds, bytes[0], note(ADD)),
        row("orrery", elements, &merges, bytes[1], note(HALF)),
        row("orrery", elements, &further, bytes[2], note(APART)),
    ])
}

pub(crate) fn run(load: &Load) -> Rows {
    let mut rows = Vec::new();
    for shape in [Shape::OneKey, Shape::KeyEach] {
        let work = Work::new(shape, load.quick);
        rows.extend(orrery(shape, &work)?);
        #[cfg(feature = "peers")]
        rows.extend(peers::orswot(shape, &work));
    }
    Ok(rows)
}

#[cfg(feature = "peers")]
mod peers {
    //! The same work by the crate `crdts`.

    use super::*;
    use crdts::{CmRDT, CvRDT, Orswot};

    type Set = Orswot<Vec<u8>, u64>;

    fn fill(set: &mut Set, items: &[Item], shape: Shape, writer: u64) -> Spent {
        let timer = Timer::start();
        for item in items {
            let context = set.read_ctx().derive_add_ctx(writer);
            set.apply(black_box(set.add(member(item, shape), context)));
        }
        timer.spent()
    }

    /// It has no keys of its own: where each element has one, the key is the member.
    fn member(item: &Item, shape: Shape) -> Vec<u8> {
        match shape {
            Shape::OneKey => item.1.clone(),
            Shape::KeyEach => item.0.clone(),
        }
    }

    pub(super) fn orswot(shape: Shape, work: &Work) -> Vec<Row> {
        let (mut adds, mut merges, mut further) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = [0; 3];
        for _ in 0..ROUNDS {
            let mut left = Set::new();
            let common = fill(&mut left, &work.common, shape, 1);
            let mut right = left.clone();
            adds.push(common + fill(&mut left, &work.own[0], shape, 1));
            fill(&mut right, &work.own[1], shape, 2);
            bytes[0] = logical_bytes(&left);
            let timer = Timer::start();
            left.merge(right);
            merges.push(timer.spent());
            bytes[1] = logical_bytes(&left);
            let mut third = Set::new();
            fill(&mut third, &work.apart, shape, 3);
            let timer = Timer::start();
            left.merge(third);
            further.push(timer.spent());
            bytes[2] = logical_bytes(&left);
        }
        let elements = work.common.len() + work.own[0].len();
        let keeps = "a clock for each; no keys, order, digest, floor or gaps";
        let note = |work: &str| format!("{work}, {}; {keeps}", shape.name());
        vec![
            row("crdts::Orswot", elements, &adds, bytes[0], note(ADD)),
            row("crdts::Orswot", elements, &merges, bytes[1], note(HALF)),
            row("crdts::Orswot", elements, &further, bytes[2], note(APART)),
        ]
    }

    /// Bytes of all members, and a dot of two numbers for each.
    fn logical_bytes(set: &Set) -> u64 {
        set.read().val.iter().map(|member| member.len() as u64 + 16).sum()
    }
}
