//! `lock`, `unlock`, `define`, `definition`.

use kernel::cluster::agreed::{Became, Wish};
use kernel::wire::agreed::AgreedAsk;

use super::args::{DefineArgs, DefinitionArgs, LockArgs, NodeArgs, UnlockArgs};
use super::data::{value, with_client, writer_name};
use super::{Exit, complain, say};
use crate::net::json;

/// Prints the fencing token: whatever the lock protects takes nothing with a lower one than it has seen.
pub(super) fn lock(args: &LockArgs) -> Exit {
    let wish = Wish::Lock { ttl_ms: args.ttl };
    ask(
        &args.node,
        &args.name,
        args.owner.as_deref(),
        args.request.as_deref(),
        wish,
        |became| {
            if let Became::Granted { token, .. } = became {
                say(&token);
            }
            Exit::Done
        },
    )
}

pub(super) fn unlock(args: &UnlockArgs) -> Exit {
    let token = args.fencing_token;
    let wish = Wish::Unlock { token };
    ask(&args.node, &args.name, None, None, wish, |became| match became {
        Became::Released(true) => {
            say(&"released");
            Exit::Done
        }
        _ => {
            let reason = format!("{} is not held with the token {token}", args.name);
            complain(
                "not_held",
                &reason,
                "its time may have been over, and another may have it",
            );
            Exit::NotFound
        }
    })
}

pub(super) fn define(args: &DefineArgs) -> Exit {
    let value = match value(&args.value) {
        Ok(value) => value.to_vec(),
        Err(error) => {
            complain("bad_value", &error, "");
            return Exit::Usage;
        }
    };
    let if_version = args.if_version;
    let wish = Wish::Define { value, if_version };
    ask(&args.node, &args.name, None, None, wish, |became| {
        if let Became::Defined { version, .. } = became {
            say(&format_args!("version {version}"));
        }
        Exit::Done
    })
}

pub(super) fn definition(args: &DefinitionArgs) -> Exit {
    ask(&args.node, &args.name, None, None, Wish::Look, |became| match became {
        Became::Defined { value: Some(value), .. } => match json::from_msgpack(&value) {
            Ok(text) => {
                say(&text);
                Exit::Done
            }
            Err(error) => {
                complain("not_json", &format_args!("the definition {error}"), "");
                Exit::Refused
            }
        },
        _ => {
            complain("not_found", &format_args!("nothing is defined as {}", args.name), "");
            Exit::NotFound
        }
    })
}

/// Asks under a name of its own, unless one is given.
fn ask(
    node: &NodeArgs,
    name: &str,
    owner: Option<&str>,
    request: Option<&str>,
    wish: Wish,
    done: impl FnOnce(Became) -> Exit,
) -> Exit {
    let drawn = match writer_name() {
        Ok(drawn) => drawn,
        Err(exit) => return exit,
    };
    let ask = AgreedAsk {
        id: request.unwrap_or(&drawn),
        name,
        owner: Some(owner.unwrap_or(&drawn)),
        wish,
    };
    with_client(node, async |client| client.agree(&ask).await).unwrap_or_else(|exit| exit, done)
}
