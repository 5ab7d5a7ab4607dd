//! A batch, written once; for each next one only the ids and keys in it change. The generator shares its machine with the
//! node, so what it does not do is the node's.

use kernel::crdt::Version;
use kernel::env::WriterId;
use kernel::hlc::Stamp;
use kernel::wire::op::Op;
use kernel::wire::{Consistency, client};

use super::Failure;

/// Digits of an operation's id and of its key.
const DIGITS: usize = 16;

/// The WebSocket frame of a batch.
#[derive(Debug)]
pub struct Template {
    frame: Vec<u8>,
    /// Where the id and the key of each operation stand.
    places: Vec<(usize, usize)>,
}

impl Template {
    /// For batches of `ops` values of `value_bytes`, by one writer.
    pub fn new(writer: &str, ops: u32, value_bytes: u32) -> Result<Self, Failure> {
        let mut value = kernel::msgpack::Writer::new();
        // A text's head takes at most three bytes of those asked for.
        value.text(&"v".repeat((value_bytes as usize).saturating_sub(3).max(1)));
        let value = value.into_bytes();
        let (ids, keys): (Vec<_>, Vec<_>) = (0..ops).map(|op| (format!("i{op:015}"), format!("k{op:015}"))).unzip();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let stamp = Stamp::new(now.as_millis() as u64, 0, WriterId::of(writer)).ok_or("a stamp in range")?;
        let ops: Vec<_> = ids
            .iter()
            .zip(&keys)
            .map(|(id, key)| Op {
                id,
                map: "bench",
                key: key.as_bytes(),
                consistency: Consistency::default(),
                version: Version::new(stamp, writer, Some(&value)),
            })
            .collect();
        let payload = client::op_batch(&ops);
        let mut frame = head(payload.len());
        frame.extend_from_slice(&payload);
        let place = |text: &String| frame.windows(DIGITS).position(|window| window == text.as_bytes());
        let places = ids.iter().zip(&keys).map(|(id, key)| place(id).zip(place(key)));
        let places = places.collect::<Option<_>>().ok_or("ids and keys stand in the frame")?;
        Ok(Self { frame, places })
    }

    /// Bytes of a frame.
    pub fn len(&self) -> usize {
        self.frame.len()
    }

    /// Appends the batch whose first operation has this number, of which every later one is the next.
    pub fn write(&self, first: u64, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&self.frame);
        for (number, (id, key)) in (first..).zip(&self.places) {
            digits(number, 10, &mut out[at + id..][..DIGITS]);
            // Keys come in no order, as those of users do, and none comes twice.
            digits(scatter(number), 16, &mut out[at + key..][..DIGITS]);
        }
    }
}

/// The number that an id says.
pub fn number(id: &str) -> Option<u64> {
    id.parse().ok()
}

/// A client's frames are masked; a mask of zeros leaves them as they are, and is unmasked like any other.
fn head(len: usize) -> Vec<u8> {
    let mut head = vec![0x82];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..=125), _) => head.push(0x80 | len),
        (_, Ok(len)) => {
            head.push(0xfe);
            head.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            head.push(0xff);
            head.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    head.extend_from_slice(&[0; 4]);
    head
}

fn digits(mut number: u64, base: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % base) as usize];
        number /= base;
    }
}

/// A bijection that looks like chance (the finalizer of SplitMix64).
fn scatter(number: u64) -> u64 {
    let x = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
