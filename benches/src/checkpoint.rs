//! A whole node as bytes, and a node from them: how long a recording holds the node up when a segment begins, and a replay
//! before its first step.

use std::hint::black_box;

use kernel::crdt::Version;
use kernel::env::{ConnId, Limits, Now, WriterId};
use kernel::hlc::Stamp;
use kernel::machine::{ConnKind, Fetch, Fetched, Input, Machine, Output, Role, Room};
use kernel::node::{Node, NodeConfig};
use kernel::wire::op::Op;
use kernel::wire::{Consistency, client};

use crate::row::Row;
use crate::timer::{Spent, measure};
use crate::{Failure, Load, Rows};

const BENCH: &str = "checkpoint";
const RECORDS: u64 = 1_000_000;
const BATCH: u64 = 1_000;
const CONN: ConnId = ConnId(1);

/// One step, and whatever a disk that answers at once says to it.
fn step(node: &mut Node, step: &mut u64, input: Input<'_>) {
    let mut out = Output::default();
    *step += 1;
    let now = Now {
        wall_ms: 1_700_000_000_000 + *step,
        mono_us: 1_000 * *step,
    };
    node.step(now, input, &mut out);
    let room = Room { bytes: 1 << 40 };
    for (ticket, fetch) in out.fetch {
        let fetched = match fetch {
            Fetch::Recover => Fetched::Recovered {
                applied: 0,
                log: None,
                room,
            },
            _ => Fetched::Records {
                rows: Vec::new(),
                done: true,
            },
        };
        let result = Ok(fetched);
        self::step(node, step, Input::Fetched { ticket, result });
    }
    let sent = out
        .send
        .iter()
        .chain(out.commit.iter().flat_map(|commit| &commit.envelopes));
    let bytes = sent.map(|envelope| envelope.frame.len() as u64).sum();
    if let Some(commit) = out.commit {
        let (ticket, result) = (commit.ticket, Ok(room));
        self::step(node, step, Input::Committed { ticket, result });
    }
    if let Some(apply) = out.apply {
        let (ticket, result) = (apply.ticket, Ok(()));
        self::step(node, step, Input::Applied { ticket, result });
    }
    if bytes > 0 {
        self::step(node, step, Input::Drained { conn: CONN, bytes });
    }
}

/// A node that holds so many records.
fn filled(records: u64, value_bytes: u32) -> Result<Node, Failure> {
    let mut node = Node::new(NodeConfig::new("bench"));
    let mut steps = 0;
    step(&mut node, &mut steps, Input::Boot { entropy: [1; 32] });
    let kind = ConnKind {
        role: Role::Client,
        push: true,
        ordered: true,
        frame_bytes: Limits::default().frame_bytes,
    };
    let opened = Input::Opened {
        conn: CONN,
        kind,
        peer: None,
    };
    step(&mut node, &mut steps, opened);
    let mut value = kernel::msgpack::Writer::new();
    value.text(&"x".repeat(value_bytes as usize));
    let value = value.into_vec();
    for batch in 0..records / BATCH {
        let keys: Vec<_> = (batch * BATCH..(batch + 1) * BATCH)
            .map(|number| format!("key-{number:010}"))
            .collect();
        let stamp = Stamp::new(1_600_000_000_000 + batch, 0, WriterId(9)).ok_or("a time of this age")?;
        let op = |key| Op {
            id: "1",
            map: "bench",
            key,
            consistency: Consistency::default(),
            version: Version::new(stamp, "bench", Some(&value)),
        };
        let ops: Vec<_> = keys.iter().map(|key| op(key.as_bytes())).collect();
        let frame = client::op_batch(&ops);
        step(
            &mut node,
            &mut steps,
            Input::Received {
                conn: CONN,
                frame: &frame,
            },
        );
    }
    match node.stats().records == records / BATCH * BATCH {
        true => Ok(node),
        false => Err(format!("the node holds {} records", node.stats().records).into()),
    }
}

pub(crate) fn run(load: &Load) -> Rows {
    let records = if load.quick { RECORDS / 10 } else { RECORDS };
    let node = filled(records, load.value_bytes)?;
    let mut checkpoint = Vec::new();
    let written = measure(&mut checkpoint, |checkpoint| *checkpoint = node.checkpoint());
    let mut restored = None;
    let read = measure(&mut restored, |restored| *restored = Some(Node::restore(&checkpoint)));
    let Some(Ok(restored)) = restored else {
        return Err("a checkpoint comes back".into());
    };
    if restored.state_hash() != node.state_hash() {
        return Err("a checkpoint comes back as it was".into());
    }
    // What must be done at least: every byte once copied and once hashed.
    let mut copy = Vec::new();
    let bound = measure(&mut copy, |copy| {
        copy.extend_from_slice(&checkpoint);
        black_box(blake3::hash(copy));
    });
    let row = |subject, spent: Spent, note: &str| {
        let ms = spent.wall.as_millis();
        let note = format!(
            "{ms} ms for {records} records with values of {} bytes; {note}",
            load.value_bytes
        );
        Row::of_thread((BENCH, subject), records as usize, spent, checkpoint.len() as u64, note)
    };
    Ok(vec![
        row("orrery", written, "the state written, and hashed"),
        row("orrery restore", read, "made anew, checked, written again and compared"),
        row("bound", bound, "the same bytes copied, and hashed"),
    ])
}
