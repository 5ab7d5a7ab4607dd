//! Two nodes get to know each other, whatever is lost of what they say.

use kernel::env::{ConnId, Limits};
use kernel::machine::{ConnKind, Input};
use kernel::node::NodeConfig;

use crate::host::{Host, PEER, pair};

const LOSES: ConnKind = ConnKind { ordered: false, ..PEER };

/// How many frames of either side may be lost.
const FRAMES: usize = 3;

/// Two nodes after a while on a connection of which these frames were lost, a bit for each.
fn linked(lost: u32) -> (Host, Host) {
    let (mut a, mut b) = pair(NodeConfig::new("a"), NodeConfig::new("b"));
    let heartbeat_ms = Limits::default().heartbeat_ms;
    while b.dials.is_empty() {
        b.advance(100);
        a.advance(100);
    }
    let (peer, _) = b.dials.pop().expect("it dials");
    let conn = ConnId(7);
    a.open(conn.0, LOSES);
    b.step(Input::Opened {
        conn,
        kind: LOSES,
        peer: Some(peer),
    });
    let mut said = [0, 0];
    for _ in 0..10 {
        let (to_b, to_a) = (a.take(conn), b.take(conn));
        for (from, frames, to) in [(0, to_b, &mut b), (1, to_a, &mut a)] {
            for frame in frames {
                if said[from] >= FRAMES || lost & (1 << (from * FRAMES + said[from])) == 0 {
                    to.receive(conn, &frame);
                }
                said[from] += 1;
            }
        }
        a.advance(heartbeat_ms / 2);
        b.advance(heartbeat_ms / 2);
    }
    (a, b)
}

#[test]
fn what_was_lost_of_a_handshake_is_said_again() {
    for lost in 0..1 << (2 * FRAMES) {
        let (a, b) = linked(lost);
        for host in [a, b] {
            assert_eq!(host.node.stats().links.len(), 1, "lost: {lost:b}");
        }
    }
}

/// How many connections a node has closed some time after a peer took one and said nothing.
fn closed_by(config: NodeConfig) -> usize {
    let (_, mut b) = pair(NodeConfig::new("a"), config);
    while b.dials.is_empty() {
        b.advance(100);
    }
    let (peer, _) = b.dials.pop().expect("it dials");
    b.step(Input::Opened {
        conn: ConnId(7),
        kind: PEER,
        peer: Some(peer),
    });
    let before = b.closed.len();
    b.advance(Limits::default().silence_ms + 1);
    b.closed.len() - before
}

#[test]
fn a_handshake_that_is_not_finished_is_given_up() {
    assert_eq!(closed_by(NodeConfig::new("b")), 1);
    #[cfg(feature = "testing")]
    assert_eq!(
        closed_by(NodeConfig {
            mutants: kernel::env::Mutants::only(kernel::env::Mutant::HandshakeWithoutEnd),
            ..NodeConfig::new("b")
        }),
        0
    );
}
