//! Frames of repairs that make sense, built from whatever bytes there are.

use arbitrary::{Result, Unstructured};
use kernel::cluster::repair::{Answer, Ask, Seal};
use kernel::crdt::{DigestKey, Record};
use kernel::env::{Limits, WriterId};
use kernel::hlc::Stamp;
use kernel::merkle::Item;
use kernel::partition::PartitionId;
use kernel::reconcile::{Decoder, Encoder, ShortItem};
use kernel::store::RecordKey;
use kernel::wire::repair;

use super::frames::value;

/// What a node could ask that repairs a partition.
pub(super) fn ask(u: &mut Unstructured<'_>, session: u64) -> Result<Vec<u8>> {
    let few = u.int_in_range(0..=3)?;
    let partition = PartitionId::new(u.int_in_range(0..=270)?).expect("one of 271");
    let ask = match u.int_in_range(0..=5)? {
        0 | 1 => {
            let here = Encoder::new(&DigestKey::default(), Vec::new());
            let question = Decoder::new(here, 1 + few as usize).ask();
            Ask::Symbols {
                question: question.unwrap_or_default(),
            }
        }
        2 => Ask::List { from: few },
        3 => {
            let mut items = Vec::new();
            for _ in 0..few {
                items.push(ShortItem::from_bytes(u.arbitrary()?));
            }
            Ask::Want { at: few, items }
        }
        4 => Ask::Give {
            upto: few,
            rows: vec![row(u)?],
        },
        _ => Ask::End {
            whole: u.arbitrary()?,
            gave: u.arbitrary()?,
            clean: u.arbitrary()?,
        },
    };
    Ok(repair::ask(session, partition, &ask).into())
}

/// What a node could answer to one that repairs a partition.
pub(super) fn answer(u: &mut Unstructured<'_>, session: u64) -> Result<Vec<u8>> {
    let few = u.int_in_range(0..=3)?;
    let seal = Seal {
        digest: few.into(),
        total: few,
        as_of: 1,
    };
    let item = |n: u64| Item {
        key_hash: n << 60,
        digest: n.into(),
    };
    let answer = match u.int_in_range(0..=5)? {
        0 | 1 => {
            let mut there = Encoder::new(&DigestKey::default(), (0..few).map(item).collect());
            Answer::Symbols {
                seal,
                batch: there.batch(0, 16),
            }
        }
        2 => Answer::Items {
            seal,
            from: u.int_in_range(0..=1)?,
            items: (0..few).map(item).collect(),
        },
        3 => Answer::Rows {
            at: 0,
            upto: few,
            sum: 0,
            rows: vec![row(u)?],
        },
        4 => Answer::Taken {
            upto: few,
            all: u.arbitrary()?,
        },
        _ => Answer::Gone,
    };
    Ok(repair::answer(session, &answer).into())
}

/// A record as a node could send it.
pub(super) fn row(u: &mut Unstructured<'_>) -> Result<(RecordKey, Record)> {
    let stamp = Stamp::new(u.int_in_range(0..=2_000_000)?, 0, WriterId::of("p")).unwrap_or(Stamp::ZERO);
    let record = Record::new(&kernel::crdt::Version::new(stamp, "p", Some(&value(u)?)));
    let key = RecordKey::new("m", b"a", &Limits::default());
    Ok((key.expect("a short name"), record))
}
