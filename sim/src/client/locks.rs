//! The locks of a client: asked for by one name until they are granted or refused for good, and given back if they are held for long.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::cluster::agreed::{Became, Wish};
use kernel::env::ConnId;
use kernel::wire::agreed::AgreedAsk;

use super::reads::can_retry;
use super::{Action, Client, Said};

/// What is held for longer than that is given back.
const BRIEF_MS: u64 = 500;

/// A lock that is asked for, or given back.
#[derive(Debug)]
pub(super) struct LockAsk {
    name: String,
    wish: Wish,
    /// Asked, on the line that is open now.
    pub asked: bool,
    pub not_before_us: u64,
}

impl LockAsk {
    /// The record that replicas keep of it.
    pub fn key(&self) -> Bytes {
        [b"$sys/accepted\0lock/", self.name.as_bytes()].concat().into()
    }
}

pub(super) type Locks = BTreeMap<u64, LockAsk>;

impl Client {
    /// Asks for a lock.
    pub fn lock(&mut self, at_us: u64, name: &str, ttl_ms: u64, out: &mut Vec<Action>) {
        // An exchange carries nothing but reads and writes, and an impostor is not going to be heard. Twins would be taken for one.
        if !self.config.exchange && !self.is_impostor() && !self.config.twin {
            self.wish(name, Wish::Lock { ttl_ms });
            self.pump(at_us, out);
        }
    }

    fn wish(&mut self, name: &str, wish: Wish) {
        let ask = LockAsk {
            name: name.into(),
            wish,
            asked: false,
            not_before_us: 0,
        };
        self.locks.insert(self.next_id, ask);
        self.next_id += 1;
    }

    /// Asks what can be asked now. Whether that was anything.
    pub(super) fn ask_locks(&mut self, at_us: u64, conn: ConnId, out: &mut Vec<Action>) -> bool {
        let mut said = Vec::new();
        for (id, ask) in &mut self.locks {
            if ask.asked || ask.not_before_us > at_us {
                continue;
            }
            ask.asked = true;
            let frame = AgreedAsk {
                id: &id.to_string(),
                name: &ask.name,
                owner: Some(&self.config.name),
                wish: ask.wish.clone(),
            };
            let (request, name) = (*id, ask.name.clone());
            let is_lock = matches!(ask.wish, Wish::Lock { .. });
            said.push((is_lock.then_some(Said::AsksToLock { request, name }), frame.to_frame()));
        }
        let any = !said.is_empty();
        for (said, frame) in said {
            out.extend(said.map(|said| self.says(conn, said)));
            out.push(Action::Send(conn, frame));
        }
        any
    }

    /// What became of one.
    pub(super) fn agreed(&mut self, conn: ConnId, id: &str, became: &Became, out: &mut Vec<Action>) {
        let asked = id.parse().ok().and_then(|id| self.locks.remove_entry(&id));
        if let (Some((request, ask)), Became::Granted { token, .. }) = (asked, became) {
            let (token, name) = (*token, ask.name);
            if matches!(ask.wish, Wish::Lock { ttl_ms } if ttl_ms > BRIEF_MS) {
                self.wish(&name, Wish::Unlock { token });
            }
            out.push(self.says(conn, Said::Granted { request, name, token }));
        }
    }

    /// One was refused. Whether it is one of these.
    pub(super) fn refused_lock(&mut self, at_us: u64, conn: ConnId, id: u64, code: u64, out: &mut Vec<Action>) -> bool {
        let Some(ask) = self.locks.get_mut(&id) else {
            return false;
        };
        let for_good = !can_retry(code);
        ask.asked = false;
        ask.not_before_us = at_us + self.config.patience_us / 3;
        if for_good {
            self.locks.remove(&id);
            self.refused += 1;
        }
        let request = id;
        out.push(self.says(conn, Said::Refused { request, for_good }));
        true
    }
}
