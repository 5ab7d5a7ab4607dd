use super::*;
use crate::env::SeededRng;

/// A row with memory of its own.
#[derive(Debug, Clone)]
struct Kept {
    place: u32,
    time: u64,
    writer: u32,
    ttl_ms: Option<u64>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Kept {
    fn row(&self) -> LeafRow<'_> {
        LeafRow {
            place: self.place,
            time: self.time,
            writer: self.writer,
            ttl_ms: self.ttl_ms,
            key: &self.key,
            value: &self.value,
        }
    }
}

/// Few places and lengths of all kinds, numbers of every width.
fn drawn(key: u64, rng: &mut SeededRng) -> Kept {
    let longest = if rng.chance(100) { 2_000 } else { 40 };
    Kept {
        place: (key as u32 % 5) << 30 | 7,
        time: rng.next_u64(),
        writer: rng.next_u64() as u32,
        ttl_ms: rng.chance(300).then(|| rng.next_u64()),
        key: format!("{key}").into_bytes(),
        value: vec![key as u8; rng.below(longest) as usize],
    }
}

fn assert_is(leaf: &Leaf, kept: &[Kept]) {
    assert_eq!(leaf.len(), kept.len());
    assert!(leaf.rows().eq(kept.iter().map(Kept::row)));
    assert!(
        leaf.raw_rows()
            .map(RawRow::writer)
            .eq(kept.iter().map(|row| row.writer))
    );
    for row in kept {
        let (_, found) = leaf.find(row.place, &row.key).unwrap();
        assert_eq!(found, row.row());
        assert!(leaf.find(row.place ^ 1, &row.key).is_none(), "at another place");
    }
    assert!(leaf.find(7, b"none").is_none());
}

/// Rows that come, grow, shrink and go, against a list of them.
#[test]
fn a_leaf_is_its_rows() {
    for seed in 0..20 {
        let mut rng = SeededRng::from_u64(seed);
        let (mut leaf, mut kept) = (Leaf::default(), Vec::<Kept>::new());
        for _ in 0..200 {
            let row = drawn(rng.below(30), &mut rng);
            match kept.iter().position(|held| held.key == row.key) {
                _ if rng.chance(50) => {
                    let gone = row.place;
                    leaf.retain(|row| row.place != gone);
                    kept.retain(|row| row.place != gone);
                }
                Some(index) => {
                    let (found, _) = leaf.find(row.place, &row.key).unwrap();
                    leaf.replace(found, &row.row());
                    kept[index] = row;
                    let (capacity, bytes) = (leaf.bytes.capacity(), leaf.bytes.len());
                    assert!(capacity <= 2 * bytes + BYTES_STEP, "{capacity} for {bytes} bytes");
                }
                None => {
                    leaf.push(&row.row());
                    kept.push(row);
                }
            }
            assert_is(&leaf, &kept);
        }
    }
}

/// A look-alike differs in any part but the writer: then it is another row.
#[test]
fn the_same_row_is_found_whoever_wrote_it() {
    let mut rng = SeededRng::from_u64(3);
    let all: Vec<_> = (0..20).map(|key| drawn(key, &mut rng)).collect();
    let leaf_of = |rows: &[Kept]| {
        let mut leaf = Leaf::default();
        rows.iter().for_each(|row| leaf.push(&row.row()));
        leaf
    };
    let leaf = leaf_of(&all);
    for row in &all {
        let found = |row: Kept| leaf.find_same(leaf_of(&[row]).raw_rows().next().unwrap());
        assert_eq!(found(row.clone()), Some(row.writer));
        let (writer, time, place) = (!row.writer, row.time ^ 1, row.place ^ 1);
        assert_eq!(found(Kept { writer, ..row.clone() }), Some(row.writer));
        assert_eq!(found(Kept { time, ..row.clone() }), None);
        assert_eq!(found(Kept { place, ..row.clone() }), None);
        let ttl_ms = row.ttl_ms.map_or(Some(1), |_| None);
        assert_eq!(found(Kept { ttl_ms, ..row.clone() }), None);
        let longer = [&row.value[..], &[1]].concat();
        assert_eq!(
            found(Kept {
                value: longer,
                ..row.clone()
            }),
            None
        );
        let mut key = row.key.clone();
        key[0] ^= 1;
        assert_eq!(found(Kept { key, ..row.clone() }), None);
    }
}

/// Memory is taken in steps, and given back once half of it lies idle.
#[test]
fn a_leaf_takes_little_more_than_it_needs() {
    let mut rng = SeededRng::from_u64(4);
    let mut leaf = Leaf::default();
    let (mut grown, mut capacity) = (0, 0);
    for key in 0..40 {
        leaf.push(&drawn(key, &mut rng).row());
        assert!(leaf.bytes.capacity() < leaf.bytes.len() + BYTES_STEP);
        assert!(leaf.slots - leaf.rows < SLOTS_STEP);
        grown += usize::from(leaf.bytes.capacity() != capacity);
        capacity = leaf.bytes.capacity();
    }
    assert!(grown <= capacity / BYTES_STEP, "{grown} times for {capacity} bytes");
    for key in 0..40 {
        let mut longer = drawn(key, &mut rng);
        longer.value = vec![1; 2_000];
        let (found, _) = leaf.find(longer.place, &longer.key).unwrap();
        leaf.replace(found, &longer.row());
        assert!(leaf.bytes.capacity() < leaf.bytes.len() + BYTES_STEP);
    }

    let long = Kept {
        value: vec![1; 3_000],
        ..drawn(99, &mut rng)
    };
    let mut leaf = Leaf::default();
    leaf.push(&long.row());
    let (found, _) = leaf.find(long.place, &long.key).unwrap();
    let value = vec![1; 1_600];
    leaf.replace(found, &Kept { value, ..long.clone() }.row());
    assert!(leaf.bytes.capacity() > 3_000, "more than half is in use: it stays");
    leaf.replace(found, &Kept { value: vec![], ..long }.row());
    assert!(leaf.bytes.capacity() < 300, "{}", leaf.bytes.capacity());
}

#[test]
fn a_leaf_is_full_by_rows_or_by_bytes() {
    let row = |key: u64, len: usize| Kept {
        place: 0,
        time: 0,
        writer: 0,
        ttl_ms: None,
        key: format!("{key}").into_bytes(),
        value: vec![1; len],
    };
    let mut leaf = Leaf::default();
    for key in 0..u64::from(ROWS_MAX) {
        leaf.push(&row(key, 1).row());
        assert!(!leaf.is_full());
    }
    leaf.push(&row(99, 1).row());
    assert!(leaf.is_full());
    let mut leaf = Leaf::default();
    leaf.push(&row(0, BYTES_MAX).row());
    assert!(!leaf.is_full(), "one row cannot be parted");
    leaf.push(&row(1, 1).row());
    assert!(leaf.is_full());
    let mut leaf = Leaf::default();
    leaf.push(&row(0, 1).row());
    let rest = BYTES_MAX - leaf.bytes.len() - HEAD_BYTES - 1;
    leaf.push(&row(1, rest).row());
    assert!(!leaf.is_full(), "{} bytes", leaf.bytes.len());
    let (found, _) = leaf.find(0, b"1").unwrap();
    leaf.replace(found, &row(1, rest + 1).row());
    assert!(leaf.is_full(), "{} bytes", leaf.bytes.len());
}

/// A row that is nearly all of a leaf takes its memory with it.
#[test]
fn a_split_gives_each_half_what_it_needs() {
    let row = |place: u32, value| LeafRow {
        place,
        time: 0,
        writer: 0,
        ttl_ms: None,
        key: b"k",
        value,
    };
    let mut low = Leaf::default();
    low.push(&row(0, &[1]));
    low.push(&row(1, &[1; 100_000]));
    let high = low.split_off(1);
    assert!(low.bytes.capacity() <= 2 * BYTES_STEP, "{}", low.bytes.capacity());
    assert!(high.bytes.capacity() < 101_000, "{}", high.bytes.capacity());
}

/// A split parts the rows by a bit of their places, in the order in which they came, however unevenly, and neither half takes
/// the memory of both.
#[test]
fn a_split_parts_the_rows_by_one_bit() {
    let mut rng = SeededRng::from_u64(6);
    let all: Vec<_> = (0..41).map(|key| drawn(key, &mut rng)).collect();
    for mask in [1 << 31, 1 << 30, 1 << 29, 1] {
        let mut low = Leaf::default();
        all.iter().for_each(|row| low.push(&row.row()));
        let high = low.split_off(mask);
        let (of_high, of_low): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|row| row.place & mask != 0);
        assert_is(&low, &of_low);
        assert_is(&high, &of_high);
        for half in [low, high] {
            assert!(half.bytes.capacity() < half.bytes.len() + 2 * BYTES_STEP);
            assert!(half.slots > half.rows, "the next row finds a slot");
            assert!(half.slots <= half.rows + SLOTS_STEP, "{} for {}", half.slots, half.rows);
        }
    }
}
