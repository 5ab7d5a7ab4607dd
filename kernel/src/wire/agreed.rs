//! Locks and definitions: what clients ask, and what they are told.
//!
//! | from | message | fields |
//! |---|---|---|
//! | client | `LOCK_REQUEST` | `requestId`, `name`, `ttl` in milliseconds (30 seconds without it), `owner`: who asks, if not only this connection (ours) |
//! | client | `LOCK_RELEASE` | `requestId`, `name`, `fencingToken` |
//! | client | `DEFINE` (ours) | `requestId`, `name`, `value`, `ifVersion`, `owner` |
//! | client | `DEFINITION` (ours) | `requestId`, `name` |
//! | node | `LOCK_GRANTED` | `requestId`, `name`, `fencingToken`, `untilMs` |
//! | node | `LOCK_RELEASED` | `requestId`, `name`, `success` |
//! | node | `DEFINED` (ours) | `requestId`, `name`, `version` (0: there is none), `value` |
//!
//! What cannot be done is an `ERROR` with the `requestId`: `Locked` while somebody else holds the lock, `NotPossible` if the definition has
//! another version. Asking again with the same `requestId` and `owner`, within ten seconds at least, is the same request: it is done once,
//! and answered as it was; who holds a lock still holds it for longer by that. For something else another `requestId` is used: how long after
//! the ten seconds one is remembered depends on how many come after it, and a lock that was granted then may be over.

use bytes::Bytes;

use crate::cluster::agreed::{Became, Wish};
use crate::msgpack::{Reader, Writer};
use crate::wire::Error;
use crate::wire::fields::{each_field, need, put};

/// How long a lock is held if nothing is said of that, in milliseconds.
const TTL_MS: u64 = 30_000;

/// Something that is asked of a named register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedAsk<'a> {
    /// The client's name for it.
    pub id: &'a str,
    /// The name of the lock or definition.
    pub name: &'a str,
    /// Who asks; without it the connection.
    pub owner: Option<&'a str>,
    /// What.
    pub wish: Wish,
}

#[derive(Default)]
struct Raw<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
    owner: Option<&'a str>,
    ttl: Option<u64>,
    token: Option<u64>,
    version: Option<u64>,
    until: Option<u64>,
    success: Option<bool>,
    value: Option<&'a [u8]>,
}

impl<'a> Raw<'a> {
    fn read(mut payload: Reader<'a>) -> Result<Self, Error> {
        let mut raw = Raw::default();
        each_field(&mut payload, |name, reader| match name {
            "requestId" => put(&mut raw.id, "requestId", reader, Reader::text),
            "name" => put(&mut raw.name, "name", reader, Reader::text),
            "owner" => put(&mut raw.owner, "owner", reader, Reader::text),
            "ttl" => put(&mut raw.ttl, "ttl", reader, Reader::u64),
            "fencingToken" => put(&mut raw.token, "fencingToken", reader, Reader::u64),
            "ifVersion" | "version" => put(&mut raw.version, "version", reader, Reader::u64),
            "untilMs" => put(&mut raw.until, "untilMs", reader, Reader::u64),
            "success" => put(&mut raw.success, "success", reader, Reader::bool),
            "value" => put(&mut raw.value, "value", reader, Reader::raw),
            _ => Ok(false),
        })?;
        Ok(raw)
    }
}

impl<'a> AgreedAsk<'a> {
    /// Reads the payload of a message of this type; `None` if it is another type's.
    ///
    /// # Errors
    /// [`Error`], whatever the bytes are.
    pub fn read(kind: &str, payload: Reader<'a>) -> Result<Option<Self>, Error> {
        let raw = Raw::read(payload)?;
        let wish = match kind {
            "LOCK_REQUEST" => Wish::Lock {
                ttl_ms: raw.ttl.unwrap_or(TTL_MS),
            },
            "LOCK_RELEASE" => Wish::Unlock {
                token: need(raw.token, "fencingToken")?,
            },
            "DEFINE" => Wish::Define {
                value: need(raw.value, "value")?.to_vec(),
                if_version: raw.version,
            },
            "DEFINITION" => Wish::Look,
            _ => return Ok(None),
        };
        let id = raw.id.unwrap_or_default();
        // By its name it is known whether it was done.
        if id.is_empty() && wish != Wish::Look {
            return Err(Error::Missing { field: "requestId" });
        }
        Ok(Some(Self {
            id,
            name: need(raw.name, "name")?,
            owner: raw.owner,
            wish,
        }))
    }

    /// Writes it.
    pub fn to_frame(&self) -> Bytes {
        let owner = usize::from(self.owner.is_some());
        let mut out = Writer::new();
        let begin = |kind: &str, fields: usize, out: &mut Writer| {
            out.map(2)
                .text("type")
                .text(kind)
                .text("payload")
                .map(2 + owner + fields);
            out.text("requestId").text(self.id).text("name").text(self.name);
            if let Some(owner) = self.owner {
                out.text("owner").text(owner);
            }
        };
        match &self.wish {
            Wish::Lock { ttl_ms } => {
                begin("LOCK_REQUEST", 1, &mut out);
                out.text("ttl").u64(*ttl_ms);
            }
            Wish::Unlock { token } => {
                begin("LOCK_RELEASE", 1, &mut out);
                out.text("fencingToken").u64(*token);
            }
            Wish::Define { value, if_version } => {
                begin("DEFINE", 1 + usize::from(if_version.is_some()), &mut out);
                out.text("value").raw(value);
                if let Some(version) = if_version {
                    out.text("ifVersion").u64(*version);
                }
            }
            Wish::Look => begin("DEFINITION", 0, &mut out),
        }
        out.into_bytes()
    }
}

/// Writes what became of it; `None` for what is a refusal.
pub fn answer(id: &str, name: &str, became: &Became) -> Option<Bytes> {
    let mut out = Writer::new();
    let mut begin = |kind: &str, fields: usize| {
        out.map(2).text("type").text(kind).text("payload").map(2 + fields);
        out.text("requestId").text(id).text("name").text(name);
    };
    match became {
        Became::Granted { token, until_ms } => {
            begin("LOCK_GRANTED", 2);
            out.text("fencingToken").u64(*token).text("untilMs").u64(*until_ms);
        }
        Became::Released(success) => {
            begin("LOCK_RELEASED", 1);
            out.text("success").bool(*success);
        }
        Became::Defined { version, value } => {
            begin("DEFINED", 1 + usize::from(value.is_some()));
            out.text("version").u64(*version);
            if let Some(value) = value {
                out.text("value").raw(value);
            }
        }
        Became::Held { .. } | Became::Other { .. } | Became::Reused | Became::Busy => return None,
    }
    Some(out.into_bytes())
}

/// An answer as it was read: what it is about, by the client's name for it.
///
/// # Errors
/// [`Error`], whatever the bytes are.
pub fn read_answer<'a>(kind: &str, payload: Reader<'a>) -> Result<(&'a str, Became), Error> {
    let raw = Raw::read(payload)?;
    let became = match kind {
        "LOCK_GRANTED" => Became::Granted {
            token: need(raw.token, "fencingToken")?,
            until_ms: need(raw.until, "untilMs")?,
        },
        "LOCK_RELEASED" => Became::Released(need(raw.success, "success")?),
        "DEFINED" => Became::Defined {
            version: need(raw.version, "version")?,
            value: raw.value.map(<[u8]>::to_vec),
        },
        _ => return Err(Error::UnknownType),
    };
    Ok((raw.id.unwrap_or_default(), became))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::client::ClientMessage;
    use crate::wire::server::ServerMessage;

    #[test]
    fn what_is_asked_and_answered_comes_back() {
        let value = alloc::vec![0x93, 1, 2, 3];
        let wishes = [
            Wish::Lock { ttl_ms: 5 },
            Wish::Unlock { token: 1 << 41 },
            Wish::Define {
                value: value.clone(),
                if_version: None,
            },
            Wish::Define {
                value: value.clone(),
                if_version: Some(0),
            },
            Wish::Look,
        ];
        for wish in wishes {
            for owner in [None, Some("o")] {
                let ask = AgreedAsk {
                    id: "7",
                    name: "n",
                    owner,
                    wish: wish.clone(),
                };
                let frame = ask.to_frame();
                match ClientMessage::decode(&frame, 64) {
                    Ok(ClientMessage::Agreed(read)) => assert_eq!(read, ask),
                    other => panic!("{other:?}"),
                }
            }
        }
        let answers = [
            Became::Granted { token: 9, until_ms: 8 },
            Became::Released(false),
            Became::Defined {
                version: 3,
                value: Some(value),
            },
            Became::Defined {
                version: 0,
                value: None,
            },
        ];
        for became in answers {
            let frame = answer("7", "n", &became).expect("it is none of the refusals");
            match ServerMessage::decode(&frame, 64) {
                Ok(ServerMessage::Agreed { id, became: read }) => assert_eq!((id, read), ("7", became)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(answer("7", "n", &Became::Held { until_ms: 1 }), None);
    }
}
