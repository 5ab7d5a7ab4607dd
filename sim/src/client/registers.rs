//! What a client asks of named registers, until it is answered or refused for good: by one name, as long as it is remembered whether it was
//! done, and by another after that; what it was to define it does not define again then, but looks. A lock that is held for long is given back.

use std::collections::BTreeMap;

use bytes::Bytes;
use kernel::cluster::agreed::{Became, REMEMBERED_MS, Wish};
use kernel::env::{ConnId, name_hash};
use kernel::wire::agreed::AgreedAsk;

use super::reads::can_retry;
use super::{Action, Client, Said, document};
use crate::plan::Ask;

/// What is held for longer than that is given back.
const BRIEF_MS: u64 = 500;

/// What is asked of a register.
#[derive(Debug)]
pub(super) struct RegisterAsk {
    name: String,
    wish: Wish,
    /// Asked, on the line that is open now.
    pub asked: bool,
    /// When it was asked first.
    first_us: Option<u64>,
    pub not_before_us: u64,
}

impl RegisterAsk {
    /// The record that replicas keep of it.
    pub fn key(&self) -> Bytes {
        let kind = if self.wish.is_about_lock() {
            "lock"
        } else {
            "definition"
        };
        format!("$sys/accepted\0{kind}/{}", self.name).into()
    }

    /// It may have been done so long ago that it would be done twice. A node that was asked may take its time, too.
    fn is_forgotten(&self, at_us: u64) -> bool {
        let changes = matches!(self.wish, Wish::Lock { .. } | Wish::Define { .. });
        let is_old = |first_us| at_us - first_us >= REMEMBERED_MS * 1_000 / 2;
        changes && !self.asked && self.first_us.is_some_and(is_old)
    }
}

/// What a client wants of registers.
#[derive(Debug, Default)]
pub(super) struct Registers {
    /// What is not answered yet, by the client's number for it.
    pub open: BTreeMap<u64, RegisterAsk>,
    /// The version of each definition that it heard of last.
    versions: BTreeMap<String, u64>,
}

impl Registers {
    /// What was asked is asked again on the next line.
    pub fn forget_line(&mut self) {
        self.open.values_mut().for_each(|ask| ask.asked = false);
    }

    /// What was asked is asked again, and what was not waits as well: not before.
    pub fn put_off(&mut self, until_us: u64) {
        for ask in self.open.values_mut() {
            ask.asked = false;
            ask.not_before_us = until_us;
        }
    }

    pub fn awaits(&self) -> bool {
        self.open.values().any(|ask| ask.asked)
    }
}

impl Client {
    /// Asks something of a register.
    pub fn ask_register(&mut self, at_us: u64, name: &str, ask: Ask, out: &mut Vec<Action>) {
        // An exchange carries nothing but reads and writes, and an impostor is not going to be heard. Twins would be taken for one.
        if self.config.exchange || self.is_impostor() || self.config.twin {
            return;
        }
        let known = self.registers.versions.get(name).copied().unwrap_or_default();
        // Nobody else defines it to be that: numbers of requests are used once.
        let value = document(name_hash(self.config.name.as_bytes()) ^ self.next_id).to_vec();
        let wish = match ask {
            Ask::Lock { ttl_ms } => Wish::Lock { ttl_ms },
            Ask::Look => Wish::Look,
            Ask::Define => Wish::Define {
                value,
                if_version: None,
            },
            Ask::Swap => Wish::Define {
                value,
                if_version: Some(known),
            },
        };
        self.wish(name, wish);
        self.pump(at_us, out);
    }

    fn wish(&mut self, name: &str, wish: Wish) {
        let ask = RegisterAsk {
            name: name.into(),
            wish,
            asked: false,
            first_us: None,
            not_before_us: 0,
        };
        self.registers.open.insert(self.next_id, ask);
        self.next_id += 1;
    }

    /// Asks what can be asked now, at most so many. Whether that was anything.
    pub(super) fn ask_registers(&mut self, at_us: u64, conn: ConnId, most: usize, out: &mut Vec<Action>) -> bool {
        let old = self.registers.open.extract_if(.., |_, ask| ask.is_forgotten(at_us));
        for (_, ask) in old.collect::<Vec<_>>() {
            let wish = match ask.wish {
                Wish::Define { .. } => Wish::Look,
                wish => wish,
            };
            self.wish(&ask.name, wish);
        }
        let mut said = Vec::new();
        let due = self.registers.open.iter_mut();
        let due = due.filter(|(_, ask)| !ask.asked && ask.not_before_us <= at_us);
        for (id, ask) in due.take(most) {
            ask.asked = true;
            ask.first_us.get_or_insert(at_us);
            let frame = AgreedAsk {
                id: &id.to_string(),
                name: &ask.name,
                owner: Some(&self.config.name),
                wish: ask.wish.clone(),
            };
            let asks = Said::AsksRegister {
                request: *id,
                name: ask.name.clone(),
                wish: ask.wish.clone(),
            };
            said.push((asks, frame.to_frame()));
        }
        let any = !said.is_empty();
        for (said, frame) in said {
            out.push(self.says(conn, said));
            out.push(Action::Send(conn, frame));
        }
        any
    }

    /// What became of one.
    pub(super) fn agreed(&mut self, conn: ConnId, id: &str, became: &Became, out: &mut Vec<Action>) {
        let asked = id.parse().ok().and_then(|id| self.registers.open.remove_entry(&id));
        let Some((request, ask)) = asked else {
            return;
        };
        match (became, &ask.wish) {
            (Became::Granted { token, .. }, Wish::Lock { ttl_ms }) if *ttl_ms > BRIEF_MS => {
                self.wish(&ask.name, Wish::Unlock { token: *token });
            }
            (Became::Defined { version, .. }, _) => _ = self.registers.versions.insert(ask.name.clone(), *version),
            _ => {}
        }
        let (name, became) = (ask.name, became.clone());
        out.push(self.says(conn, Said::RegisterSays { request, name, became }));
    }

    /// One was refused. Whether it is one of these.
    pub(super) fn refused_register(
        &mut self,
        at_us: u64,
        conn: ConnId,
        id: u64,
        code: u64,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(ask) = self.registers.open.get_mut(&id) else {
            return false;
        };
        ask.asked = false;
        ask.not_before_us = at_us + self.config.patience_us / 3;
        if !can_retry(code) {
            self.registers.open.remove(&id);
            self.refused += 1;
        }
        let request = id;
        out.push(self.says(conn, Said::RegisterRefuses { request, code }));
        true
    }
}
