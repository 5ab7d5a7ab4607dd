//! The protocol as others speak it: frames are built here by an independent MessagePack library.

use kernel::crdt::Version;
use kernel::env::WriterId;
use kernel::hlc::Stamp;
use kernel::wire::client::{self, ClientMessage};
use kernel::wire::op::{Ask, Op};
use kernel::wire::server::{self, Outcome, Refusal, ServerMessage};
use kernel::wire::{Code, Consistency, Error, ReadConsistency};
use rmpv::Value;

mod peers;

const DEPTH: usize = 64;

fn map(fields: Vec<(&str, Value)>) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, value).expect("a vector takes everything");
    out
}

fn record(value: Value, millis: Value) -> Value {
    map(vec![
        ("value", value),
        (
            "timestamp",
            map(vec![
                ("millis", millis),
                ("counter", 3.0.into()),
                ("nodeId", "phone".into()),
            ]),
        ),
    ])
}

fn client_op(fields: Vec<(&str, Value)>) -> Vec<u8> {
    bytes(&map(vec![("payload", map(fields)), ("type", "CLIENT_OP".into())]))
}

fn only_op(frame: &[u8]) -> Result<Op<'_>, Error> {
    match ClientMessage::decode(frame, DEPTH)? {
        ClientMessage::Op(mut ops) | ClientMessage::Batch(mut ops) | ClientMessage::Sync(mut ops) => {
            ops.next().expect("one operation").map_err(|bad| bad.error)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn javascript_sends_floats_nulls_and_fields_nobody_asked_for() {
    let frame = client_op(vec![
        ("extra", map(vec![("deep", Value::Array(vec![1.into(), Value::Nil]))])),
        ("id", "17".into()),
        ("mapName", "todos".into()),
        ("key", "k".into()),
        ("opType", Value::Nil),
        ("record", record(42.0.into(), 1_700_000_000_000.0.into())),
        ("orRecord", Value::Nil),
        ("orTag", Value::Nil),
        ("timeout", Value::Nil),
    ]);
    let op = only_op(&frame).unwrap();
    assert_eq!(
        (op.id, op.map, op.key, op.version.writer),
        ("17", "todos", &b"k"[..], "phone")
    );
    assert_eq!(
        (op.version.stamp.millis(), op.version.stamp.counter()),
        (1_700_000_000_000, 3)
    );
    assert_eq!(op.version.stamp.writer(), WriterId::of("phone"));
    assert_eq!(
        op.version.value,
        Some(&bytes(&42.0.into())[..]),
        "a value stays as its writer sent it"
    );
}

#[test]
fn a_null_without_a_type_deletes_as_in_topgun_and_a_put_of_null_is_a_value() {
    let with = |op_type: Value| {
        let record = record(Value::Nil, 5.into());
        client_op(vec![
            ("mapName", "m".into()),
            ("key", "k".into()),
            ("opType", op_type),
            ("record", record),
        ])
    };
    assert_eq!(only_op(&with(Value::Nil)).unwrap().version.value, None);
    assert_eq!(only_op(&with("REMOVE".into())).unwrap().version.value, None);
    assert_eq!(only_op(&with("PUT".into())).unwrap().version.value, Some(&[0xc0][..]));
    assert_eq!(only_op(&with("ERASE".into())), Err(Error::Choice { field: "opType" }));
}

#[test]
fn each_wrong_field_is_named() {
    let good_fields = || {
        vec![
            ("mapName", Value::from("m")),
            ("key", "k".into()),
            ("record", record(1.into(), 5.into())),
        ]
    };
    let refused = |name: &'static str, value: Option<Value>| {
        let mut fields = good_fields();
        fields.retain(|(field, _)| *field != name);
        fields.extend(value.map(|value| (name, value)));
        only_op(&client_op(fields)).unwrap_err().to_string()
    };
    assert!(only_op(&client_op(good_fields())).is_ok());
    for (field, value, word) in [
        ("mapName", None, "mapName"),
        ("mapName", Some(7.into()), "mapName"),
        ("key", Some(Value::Array(vec![])), "key"),
        ("record", None, "record"),
        ("record", Some(record(1.into(), (-5).into())), "timestamp.millis"),
        ("record", Some(record(1.into(), f64::NAN.into())), "timestamp.millis"),
        ("record", Some(record(1.into(), 0.5.into())), "timestamp.millis"),
        (
            "record",
            Some(record(1.into(), (1u64 << 48).into())),
            "timestamp.millis",
        ),
        ("record", Some(map(vec![("value", 1.into())])), "timestamp"),
        ("orTag", Some("t".into()), "OR-map"),
        ("opType", Some("OR_ADD".into()), "OR-map"),
        ("writeConcern", Some("SOMEDAY".into()), "writeConcern"),
        ("consistency", Some("owner".into()), "consistency"),
        ("durability", Some("tape".into()), "durability"),
    ] {
        let error = refused(field, value.clone());
        assert!(error.contains(word), "{field}={value:?}: {error}");
    }
    let with_ttl = |ttl_ms: Value| {
        map(vec![
            ("value", 1.into()),
            ("ttlMs", ttl_ms),
            (
                "timestamp",
                map(vec![
                    ("millis", 1.into()),
                    ("counter", 0.into()),
                    ("nodeId", "w".into()),
                ]),
            ),
        ])
    };
    for bad in [Value::from(0), (-1).into(), (1u64 << 48).into(), "5s".into()] {
        let error = refused("record", Some(with_ttl(bad.clone())));
        assert!(error.contains("record.ttlMs"), "{bad}: {error}");
    }
    for (good, ttl_ms) in [
        (Value::from(5), Some(5)),
        (Value::F64(5.0), Some(5)),
        (Value::Nil, None),
    ] {
        let mut fields = good_fields();
        fields.retain(|(field, _)| *field != "record");
        fields.push(("record", with_ttl(good)));
        assert_eq!(only_op(&client_op(fields)).unwrap().version.ttl_ms, ttl_ms);
    }
}

#[test]
fn a_bad_operation_spoils_no_other() {
    let good = |id: &str| {
        map(vec![
            ("id", id.into()),
            ("mapName", "m".into()),
            ("key", "k".into()),
            ("record", record(1.into(), 5.into())),
        ])
    };
    let bad = map(vec![("id", "2".into()), ("mapName", 9.into())]);
    let ops = Value::Array(vec![good("1"), bad, 77.into(), good("4")]);
    let frame = bytes(&map(vec![
        ("type", "OP_BATCH".into()),
        ("payload", map(vec![("ops", ops)])),
    ]));
    let ClientMessage::Batch(ops) = ClientMessage::decode(&frame, DEPTH).unwrap() else {
        panic!("a batch");
    };
    let ids: Vec<_> = ops.map(|op| op.map(|op| op.id).map_err(|bad| bad.id)).collect();
    assert_eq!(ids, [Ok("1"), Err("2"), Err(""), Ok("4")]);
}

#[test]
fn a_sync_body_refuses_what_it_cannot_answer() {
    let body = |fields: Vec<(&str, Value)>| bytes(&map(fields));
    let empty = body(vec![
        ("clientId", "c".into()),
        ("clientHlc", Value::Nil),
        ("queries", Value::Array(vec![])),
    ]);
    assert!(matches!(ClientMessage::decode(&empty, DEPTH), Ok(ClientMessage::Sync(ops)) if ops.is_empty()));
    for what in ["syncMaps", "queries", "searches"] {
        let asks = body(vec![("clientId", "c".into()), (what, Value::Array(vec![1.into()]))]);
        assert_eq!(
            ClientMessage::decode(&asks, DEPTH).unwrap_err(),
            Error::Unsupported { what }
        );
    }
    assert_eq!(
        ClientMessage::decode(&body(vec![]), DEPTH).unwrap_err(),
        Error::Missing { field: "type" }
    );
}

#[test]
fn too_deep_is_refused() {
    let mut value = Value::from(1);
    for _ in 0..DEPTH {
        value = Value::Array(vec![value]);
    }
    let frame = client_op(vec![("record", record(value, 5.into()))]);
    assert_eq!(ClientMessage::decode(&frame, DEPTH).unwrap_err().code(), Code::TooLarge);
}

fn op() -> Op<'static> {
    Op {
        id: "1",
        map: "m",
        key: b"\xff",
        consistency: Consistency::default(),
        version: Version::new(Stamp::new(5, 0, WriterId::of("w")).expect("in range"), "w", Some(&[1])),
    }
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(only_op(&client::op(&op(), Ask::default())), Ok(op()));
    assert_eq!(only_op(&client::op_batch(&[op()])), Ok(op()));
    assert_eq!(only_op(&client::sync_body("c", &[op()])), Ok(op()));
    let refusal = Refusal {
        code: Code::StorageFull,
        reason: "full".into(),
    };
    assert_eq!(
        ServerMessage::decode(&server::error(&refusal, "r"), DEPTH),
        Ok(ServerMessage::Error {
            request: "r",
            code: 507,
            reason: "full"
        })
    );
    let refused = Outcome {
        id: "1",
        result: Err(refusal),
    };
    assert_eq!(server::op_ack(&[refused], true), None);
}

fn with_words(concern: &str, consistency: &str) -> Result<Consistency, Error> {
    let word = |word: &str| if word.is_empty() { Value::Nil } else { word.into() };
    let fields = vec![
        ("mapName", Value::from("m")),
        ("key", "k".into()),
        ("record", record(1.into(), 5.into())),
        ("writeConcern", word(concern)),
        ("consistency", word(consistency)),
    ];
    only_op(&client_op(fields)).map(|op| op.consistency)
}

#[test]
fn of_two_words_for_how_many_replicas_the_stronger_one_holds() {
    use Consistency::{Eventual, Quorum, Strong};
    for (concern, consistency, asked) in [
        ("", "", Eventual),
        ("PERSISTED", "eventual", Eventual),
        ("FIRE_AND_FORGET", "", Eventual),
        ("REPLICATED", "", Quorum),
        ("REPLICATED", "eventual", Quorum),
        ("", "quorum", Quorum),
        ("MEMORY", "strong", Strong),
        ("REPLICATED", "strong", Strong),
    ] {
        assert_eq!(with_words(concern, consistency), Ok(asked), "{concern} {consistency}");
    }
    let (concern, consistency) = ("writeConcern", "consistency");
    assert_eq!(with_words("SOMEDAY", ""), Err(Error::Choice { field: concern }));
    assert_eq!(with_words("", "any"), Err(Error::Choice { field: consistency }));
}

#[test]
fn the_word_of_a_batch_holds_for_each_of_its_operations() {
    let one = |word: &str| {
        map(vec![
            ("mapName", "m".into()),
            ("key", "k".into()),
            ("record", record(1.into(), 5.into())),
            ("consistency", word.into()),
        ])
    };
    let batch = |concern: &str| {
        let ops = Value::Array(vec![one("eventual"), one("strong")]);
        let payload = map(vec![("writeConcern", concern.into()), ("ops", ops)]);
        bytes(&map(vec![("type", "OP_BATCH".into()), ("payload", payload)]))
    };
    let asked = |concern: &str| match ClientMessage::decode(&batch(concern), DEPTH) {
        Ok(ClientMessage::Batch(ops)) => Ok(ops.map(|op| op.expect("an operation").consistency).collect::<Vec<_>>()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(asked("PERSISTED"), Ok(vec![Consistency::Eventual, Consistency::Strong]));
    assert_eq!(asked("REPLICATED"), Ok(vec![Consistency::Quorum, Consistency::Strong]));
    let field = "writeConcern";
    assert_eq!(asked("SOMEDAY"), Err(Error::Choice { field }));
}

#[test]
fn what_a_client_asks_of_the_replicas_arrives() {
    for consistency in Consistency::ALL {
        let op = Op { consistency, ..op() };
        let durable = Ask {
            durability: Some("disk"),
        };
        assert_eq!(only_op(&client::op(&op, durable)), Ok(op));
        assert_eq!(only_op(&client::op_batch(&[op])), Ok(op));
        assert_eq!(only_op(&client::sync_body("c", &[op])), Ok(op));
    }
    for consistency in ReadConsistency::ALL {
        let get = client::Get {
            id: "r",
            map: "m",
            key: b"k",
            consistency,
        };
        let frame = client::get_key(&get);
        assert!(matches!(ClientMessage::decode(&frame, DEPTH), Ok(ClientMessage::Get(read)) if read == get));
    }
}

fn acknowledged(frame: &[u8]) -> (String, String, Vec<(String, String)>) {
    let Ok(ServerMessage::OpAck {
        last_id,
        beyond,
        achieved,
    }) = ServerMessage::decode(frame, DEPTH)
    else {
        panic!("an acknowledgement");
    };
    let beyond = beyond.iter().map(|done| (done.id.into(), done.achieved.into()));
    (last_id.into(), achieved.into(), beyond.collect())
}

#[test]
fn an_acknowledgement_says_what_all_have_reached_and_else_what_each_has() {
    use Consistency::{Eventual, Quorum, Strong};
    let ack = |levels: &[Consistency]| {
        let outcome = |(id, level): (&'static str, &Consistency)| Outcome { id, result: Ok(*level) };
        let outcomes: Vec<_> = ["1", "2", "3"].into_iter().zip(levels).map(outcome).collect();
        acknowledged(&server::op_ack(&outcomes, true).expect("something was done"))
    };
    let all = |level: &str| ("3".to_string(), level.to_string(), vec![]);
    assert_eq!(ack(&[Eventual; 3]), all("PERSISTED"));
    assert_eq!(ack(&[Quorum, Strong, Quorum]), all("REPLICATED"));
    let (last, achieved, each) = ack(&[Quorum, Eventual, Strong]);
    assert_eq!((last.as_str(), achieved.as_str()), ("0", "PERSISTED"));
    let named = |id: &str, level: &str| (id.to_string(), level.to_string());
    let expected = [
        named("1", "REPLICATED"),
        named("2", "PERSISTED"),
        named("3", "REPLICATED"),
    ];
    assert_eq!(each, expected);
}

#[test]
fn what_an_exchange_has_done_says_what_each_has_reached() {
    let outcomes = [
        Outcome {
            id: "1",
            result: Ok(Consistency::Quorum),
        },
        Outcome {
            id: "2",
            result: Err(Refusal::no_quorum(1, 3, 2)),
        },
        Outcome {
            id: "3",
            result: Ok(Consistency::Eventual),
        },
    ];
    let body = server::sync_answer("n", Stamp::ZERO, &outcomes);
    let text = String::from_utf8_lossy(&body);
    let places = ["REPLICATED", "PERSISTED", "have 1 of 3, need 2"].map(|word| text.find(word).expect(word));
    assert!(places.is_sorted(), "{text}");
}
