//! What is asked of a cluster, and the reasons of refusals, as frames: built here by an independent MessagePack library, too.

use kernel::env::SeededRng;
use kernel::wire::Error;
use kernel::wire::admin::{self, ChangeAsked, Locate, Order};
use kernel::wire::client::ClientMessage;
use kernel::wire::peer::{self, PeerMessage};
use rmpv::Value;

const DEPTH: usize = 64;

fn message(kind: &str, field: &str, value: &str) -> Vec<u8> {
    let payload = Value::Map(vec![(field.into(), value.into())]);
    let message = Value::Map(vec![("type".into(), kind.into()), ("payload".into(), payload)]);
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, &message).expect("a vector takes everything");
    out
}

#[test]
fn a_reason_is_short_whatever_is_sent() {
    let long = "ä".repeat(500);
    let frame = peer::refused(&long);
    assert!(frame.len() < 300, "{} bytes", frame.len());
    for frame in [&frame[..], &message("PEER_REFUSED", "reason", &long)] {
        match PeerMessage::decode(frame) {
            Ok(PeerMessage::Refused(reason)) => assert_eq!(reason, "ä".repeat(100)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_asked_comes_back_as_it_was_asked() {
    for (order, node) in [(Order::Leave, ""), (Order::Remove, "b")] {
        let asked = ChangeAsked { order, node };
        match ClientMessage::decode(&admin::change_asked(&asked), DEPTH) {
            Ok(ClientMessage::ClusterChange(read)) => assert_eq!(read, asked),
            other => panic!("{other:?}"),
        }
    }
    let place = Locate { map: "m", key: &[0xff] };
    match ClientMessage::decode(&admin::locate(&place), DEPTH) {
        Ok(ClientMessage::ClusterLocate(read)) => assert_eq!(read, place),
        other => panic!("{other:?}"),
    }
    let frame = admin::cluster_asked();
    let decoded = ClientMessage::decode(&frame, DEPTH);
    assert!(matches!(decoded, Ok(ClientMessage::Cluster)), "{decoded:?}");
    let error = ClientMessage::decode(&message("CLUSTER_CHANGE", "change", "banish"), DEPTH).map(|_| ());
    assert_eq!(error, Err(Error::Choice { field: "change" }));
}

#[test]
fn every_cut_and_every_changed_byte_is_read_or_refused() {
    let mut rng = SeededRng::from_u64(1);
    let asked = ChangeAsked {
        order: Order::Remove,
        node: "n",
    };
    let frames = [
        peer::refused("it is a stranger"),
        admin::change_asked(&asked),
        admin::locate(&Locate { map: "m", key: b"k" }),
    ];
    for frame in frames {
        for len in 0..frame.len() {
            assert!(ClientMessage::decode(&frame[..len], DEPTH).is_err());
            assert!(PeerMessage::decode(&frame[..len]).is_err());
        }
        for at in 0..frame.len() {
            let mut bad = frame.to_vec();
            bad[at] = rng.next_u64() as u8;
            // That it comes back at all is the test.
            let _ = (ClientMessage::decode(&bad, DEPTH), PeerMessage::decode(&bad));
        }
    }
}
