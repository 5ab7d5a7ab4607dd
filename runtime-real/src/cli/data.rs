//! `set`, `get`, `del`.

use bytes::Bytes;
use futures_lite::future::block_on;
use kernel::wire::op::Ask;
use kernel::wire::{Consistency, ReadConsistency};

use super::args::{DelArgs, GetArgs, NodeArgs, SetArgs, WriteArgs};
use super::{Exit, complain, remark, say};
use crate::client::{Client, ClientError, Found, Place};
use crate::net::json;

pub(super) fn set(args: &SetArgs) -> Exit {
    let value = match value(&args.value) {
        Ok(value) => value,
        Err(error) => {
            complain("bad_value", &error, "");
            return Exit::Usage;
        }
    };
    let at = Place {
        map: &args.map,
        key: &args.key,
    };
    write(&args.node, at, Some(&value), args.ttl, &args.means)
}

pub(super) fn del(args: &DelArgs) -> Exit {
    let at = Place {
        map: &args.map,
        key: &args.key,
    };
    write(&args.node, at, None, None, &args.means)
}

fn write(node: &NodeArgs, at: Place<'_>, value: Option<&[u8]>, ttl_ms: Option<u64>, means: &WriteArgs) -> Exit {
    let (consistency, durability) = (means.consistency.level(), means.durability.word());
    let ask = Ask {
        durability: Some(durability),
    };
    let written = with_client(node, async |client| {
        client.write(at, value, ttl_ms, consistency, ask).await
    });
    written.unwrap_or_else(
        |exit| exit,
        |level| {
            let what = if value.is_some() { "set" } else { "deleted" };
            say(&format_args!("{what}: {}", reached(&level, consistency, durability)));
            Exit::Done
        },
    )
}

/// What an acknowledgement means, in the words that it is asked for in. Of the replicas that it speaks of each has it as firmly as
/// was asked for, and the one that answers says so if it has it more firmly.
fn reached(level: &str, consistency: Consistency, durability: &str) -> String {
    let consistency = consistency.reached(level).word();
    match level {
        "PERSISTED" => format!("{consistency}, disk"),
        "REPLICATED" => format!("{consistency}, {durability}"),
        "MEMORY" | "APPLIED" => format!("{consistency}, memory"),
        other => other.to_owned(),
    }
}

pub(super) fn get(args: &GetArgs) -> Exit {
    let at = Place {
        map: &args.map,
        key: &args.key,
    };
    let consistency = args.consistency.level();
    let found = with_client(&args.node, async |client| client.get(at, consistency).await);
    found.unwrap_or_else(
        |exit| exit,
        |Found { value, stale_ms }| {
            if consistency == ReadConsistency::Any {
                remark(&age(stale_ms));
            }
            let Some((value, _)) = value else {
                complain("not_found", &format_args!("{} holds no {}", args.map, args.key), "");
                return Exit::NotFound;
            };
            match json::from_msgpack(&value) {
                Ok(text) => {
                    say(&text);
                    Exit::Done
                }
                Err(error) => {
                    complain("not_json", &format_args!("the value {error}"), "");
                    Exit::Refused
                }
            }
        },
    )
}

/// What any replica says of how old what it shows may be.
fn age(stale_ms: Option<u64>) -> String {
    match stale_ms {
        None => "a backup answered that cannot tell how old this is: it has yet to compare with the owner".into(),
        Some(0) => "the owner answered".into(),
        Some(ms) => format!("a backup answered: whatever the owner had {ms} ms ago is in it"),
    }
}

/// JSON if it parses, else text. As MessagePack.
pub(super) fn value(text: &str) -> Result<Bytes, json::JsonError> {
    match json::to_msgpack(text.as_bytes()) {
        Ok(value) => Ok(value),
        Err(_) => json::to_msgpack(serde_json::Value::from(text).to_string().as_bytes()),
    }
}

/// What came of a request, or how the process ends for it.
pub(super) struct Outcome<T>(Result<T, Exit>);

impl<T> Outcome<T> {
    pub fn unwrap_or_else(self, failed: impl FnOnce(Exit) -> Exit, done: impl FnOnce(T) -> Exit) -> Exit {
        self.0.map_or_else(failed, done)
    }
}

pub(super) fn with_client<T, F>(node: &NodeArgs, work: F) -> Outcome<T>
where
    F: AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
{
    let writer = match writer_name() {
        Ok(writer) => writer,
        Err(exit) => return Outcome(Err(exit)),
    };
    let done = block_on(async {
        let mut client = Client::connect(&node.addr, node.token.as_deref(), writer).await?;
        work(&mut client).await
    });
    Outcome(done.map_err(|error| failed(&error)))
}

/// A name of its own for each call: two calls in one millisecond must not stamp alike.
pub(super) fn writer_name() -> Result<String, Exit> {
    let mut drawn = [0; 8];
    match getrandom::fill(&mut drawn) {
        Ok(()) => Ok(format!("cli-{:016x}", u64::from_be_bytes(drawn))),
        Err(error) => {
            complain("no_randomness", &error, "");
            Err(Exit::Usage)
        }
    }
}

/// Says what went wrong, and how the process ends for it.
pub(super) fn failed(error: &ClientError) -> Exit {
    complain(error.code(), error, error.hint());
    match error {
        ClientError::Unreachable { .. } => Exit::Unreachable,
        ClientError::Refused { .. } => Exit::Refused,
        ClientError::Unknown { .. } => Exit::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_said_in_the_words_that_it_is_asked_for_in() {
        let said = [
            reached("PERSISTED", Consistency::Eventual, "memory"),
            reached("REPLICATED", Consistency::Quorum, "disk"),
            reached("REPLICATED", Consistency::Strong, "memory"),
            reached("REPLICATED", Consistency::Eventual, "disk"),
            // Less than was asked for.
            reached("PERSISTED", Consistency::Strong, "disk"),
            reached("APPLIED", Consistency::Eventual, "disk"),
            reached("CARVED", Consistency::Eventual, "disk"),
        ];
        let expected = [
            "eventual, disk",
            "quorum, disk",
            "strong, memory",
            "quorum, disk",
            "eventual, disk",
            "eventual, memory",
            "CARVED",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_value_is_json_if_it_parses_and_else_text() {
        let shown = |text: &str| json::from_msgpack(&value(text).unwrap()).unwrap();
        assert_eq!(shown("\"world\""), "\"world\"");
        assert_eq!(shown("world"), "\"world\"");
        assert_eq!(shown("7"), "7");
        assert_eq!(shown("7.0"), "7.0");
        assert_eq!(shown("-1"), "-1");
        assert_eq!(shown("{\"a\": [1, null]}"), "{\"a\":[1,null]}");
        assert_eq!(shown("{\"a\": "), "\"{\\\"a\\\": \"");
        assert_eq!(shown(""), "\"\"");
    }
}
