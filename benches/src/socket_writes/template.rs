//! A batch, written once; for each next one only the ids and keys in it change. The generator shares its machine with the
//! node, so what it does not do is the node's.

use kernel::crdt::Version;
use kernel::env::WriterId;
use kernel::hlc::Stamp;
use kernel::wire::client;
use kernel::wire::op::Op;

use super::load::Target;
use crate::socket::head;
use crate::{Failure, Load};

/// The map that is written to.
pub const MAP: &str = "bench";

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
    /// For the batches of one writer.
    pub fn new(writer: &str, target: &Target<'_>, load: &Load) -> Result<Self, Failure> {
        let mut value = kernel::msgpack::Writer::new();
        // A text's head takes at most three bytes of those asked for.
        value.text(&"v".repeat((load.value_bytes as usize).saturating_sub(3).max(1)));
        let value = value.into_bytes();
        let (ids, keys): (Vec<_>, Vec<_>) = (0..load.batch)
            .map(|op| (format!("i{op:015}"), format!("k{op:015}")))
            .unzip();
        let tag = |op: usize| {
            target
                .tags
                .get(op % target.tags.len().max(1))
                .map_or("", String::as_str)
        };
        let tagged: Vec<String> = (0..).zip(&keys).map(|(op, key)| format!("{}{key}", tag(op))).collect();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let stamp = Stamp::new(now.as_millis() as u64, 0, WriterId::of(writer)).ok_or("a stamp in range")?;
        let ops: Vec<_> = ids
            .iter()
            .zip(&tagged)
            .map(|(id, key)| Op {
                id,
                map: MAP,
                key: key.as_bytes(),
                consistency: target.consistency,
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

/// The key of the operation with this number, without its tag.
pub fn key(number: u64) -> String {
    format!("{:016x}", scatter(number))
}

/// The number that an id says.
pub fn number(id: &str) -> Option<u64> {
    id.parse().ok()
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
