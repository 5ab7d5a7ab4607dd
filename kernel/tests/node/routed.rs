//! A map that declares a field to route by.

use kernel::crdt::{Record, Version};
use kernel::env::{Limits, WriterId};
use kernel::hlc::Stamp;
use kernel::node::NodeConfig;
use kernel::partition::{PartitionBy, Routing};
use kernel::store::RecordKey;
use kernel::value::Value;
use kernel::wire::client;
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::ServerMessage;

use crate::host::{CLIENT, Disk, Host, Wire, brings, contents, delete, pair, put};

fn config(name: &str) -> NodeConfig {
    let mut routing = Routing::new();
    let (field, separator) = ("tenantId".into(), b'/');
    routing.declare("m", PartitionBy::Field { field, separator });
    NodeConfig {
        routing,
        ..NodeConfig::new(name)
    }
}

fn of_tenant(tenant: impl Into<Value>) -> Vec<u8> {
    let pairs = [("tenantId".into(), tenant.into()), ("total".into(), 1.into())];
    Value::Map(pairs.into_iter().collect()).encode().to_vec()
}

/// Why a write is refused, if it is.
fn refused(host: &mut Host, op: &Op<'_>) -> Option<(u64, String)> {
    let conn = kernel::env::ConnId(100);
    host.receive(conn, &client::op(op, Ask::default()));
    let frames = host.take(conn);
    match ServerMessage::decode(&frames[0], 64).expect("a message of the protocol") {
        ServerMessage::OpRejected { code, reason, .. } => Some((code, reason.to_string())),
        ServerMessage::OpAck { .. } => None,
        other => panic!("{other:?}"),
    }
}

fn node(name: &str) -> Host {
    let mut host = Host::boot(config(name), Disk::default(), name.as_bytes()[0]);
    host.open(100, CLIENT);
    host.take(kernel::env::ConnId(100));
    host
}

#[test]
fn a_write_whose_field_is_not_what_its_key_routes_by_is_refused() {
    let mut host = node("n");
    for (key, tenant) in [
        ("abc/1", Value::from("abc")),
        ("7/1", 7.into()),
        ("x/{abc}", "abc".into()),
        ("abc", "abc".into()),
    ] {
        assert_eq!(refused(&mut host, &put("1", key, 5, &of_tenant(tenant))), None, "{key}");
    }
    let held = contents(&host).len();
    let (code, reason) = refused(&mut host, &put("2", "abc/2", 5, &of_tenant("xyz"))).expect("refused");
    assert_eq!(code, 400);
    for part in ["tenantId", "abc", "xyz"] {
        assert!(reason.contains(part), "{reason}");
    }
    for (key, value) in [
        ("abc/2", &[7][..]),
        ("abc/1", &of_tenant("ab")),
        ("x/{abc}", &of_tenant("x")),
        ("7/1", &of_tenant(8)),
    ] {
        assert_eq!(
            refused(&mut host, &put("3", key, 6, value)).map(|(code, _)| code),
            Some(400),
            "{key}"
        );
    }
    assert_eq!(contents(&host).len(), held);

    // A delete has no field, and other maps have none that counts.
    assert_eq!(refused(&mut host, &delete("4", "abc/1", 7)), None);
    let elsewhere = Op {
        map: "other",
        ..put("5", "abc/2", 5, &[7])
    };
    assert_eq!(refused(&mut host, &elsewhere), None);
}

#[test]
fn of_a_batch_the_others_are_taken() {
    let mut host = node("n");
    let (good, bad) = (of_tenant("a"), of_tenant("b"));
    let ops = [
        put("1", "a/1", 5, &good),
        put("2", "a/2", 5, &bad),
        put("3", "a/3", 5, &good),
    ];
    host.receive(kernel::env::ConnId(100), &client::op_batch(&ops));
    assert_eq!(contents(&host).len(), 2);
}

/// What a peer has admitted is not judged again.
#[test]
fn what_a_peer_brings_is_taken_as_it_is() {
    let (mut a, mut b) = pair(config("a"), config("b"));
    let wire = Wire::connect(&mut a, &mut b, 1);
    wire.carry(&mut a, &mut b);
    let key = RecordKey::new("m", b"abc/1", &Limits::default()).unwrap();
    let stamp = Stamp::new(5, 0, WriterId::of("w")).unwrap();
    let record = Record::new(&Version::new(stamp, "w", Some(&of_tenant("xyz"))));
    for frame in brings(&key, &record) {
        b.receive(wire.b, &frame);
    }
    assert_eq!(contents(&b).len(), 1);
}
