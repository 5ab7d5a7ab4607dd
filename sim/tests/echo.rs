//! The smallest cluster: two machines, one connection, and the contract between them and their host.

use bytes::Bytes;
use kernel::env::{ConnId, Now};
use kernel::machine::{ConnKind, Envelope, Input, Machine, Output, Role};
use sim::engine::Queue;

/// Says a number; the other adds one and says it back.
struct Counter {
    first: bool,
    heard: Vec<u8>,
}

impl Machine for Counter {
    fn step(&mut self, _now: Now, input: Input<'_>, out: &mut Output) {
        let (conn, say) = match input {
            Input::Opened { conn, .. } if self.first => (conn, 0),
            Input::Received { conn, frame: &[n] } => {
                self.heard.push(n);
                (conn, n + 1)
            }
            _ => return,
        };
        if say < 10 {
            let frame = Bytes::copy_from_slice(&[say]);
            out.send.push(Envelope { conn, frame });
        }
    }
}

#[test]
fn two_nodes_echo_through_virtual_time() {
    const LATENCY_US: u64 = 500;
    let kind = ConnKind {
        role: Role::Peer,
        push: true,
        ordered: true,
        frame_bytes: 1_024,
    };
    let mut nodes = [true, false].map(|first| Counter { first, heard: vec![] });
    let mut queue: Queue<(usize, Option<Bytes>)> = Queue::default();
    queue.push(0, (1, None));
    queue.push(0, (0, None));

    while let Some((node, frame)) = queue.pop() {
        let conn = ConnId(1);
        let input = match &frame {
            None => Input::Opened { conn, kind, peer: None },
            Some(frame) => Input::Received { conn, frame },
        };
        let now = Now {
            wall_ms: 0,
            mono_us: queue.now_us(),
        };
        let mut out = Output::default();
        nodes[node].step(now, input, &mut out);
        for envelope in out.send.drain(..) {
            queue.push(queue.now_us() + LATENCY_US, (1 - node, Some(envelope.frame)));
        }
        assert!(out.is_empty(), "the echo asks for nothing else: {out:?}");
    }

    assert_eq!(nodes[0].heard, [1, 3, 5, 7, 9]);
    assert_eq!(nodes[1].heard, [0, 2, 4, 6, 8]);
    assert_eq!(queue.now_us(), 10 * LATENCY_US);
}
