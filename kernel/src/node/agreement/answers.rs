//! What clients are told of what they asked.

use alloc::format;
use alloc::vec::Vec;

use crate::cluster::agreed::Became;
use crate::env::Now;
use crate::node::Node;
use crate::session::{Kind, Shows};
use crate::wire::Code;
use crate::wire::agreed::answer;
use crate::wire::server::Refusal;

impl Node {
    pub(super) fn end_attempt(&mut self, number: u64, result: Result<Became, Refusal>, now: Now) {
        let Some(attempt) = self.agreement.open.remove(&number) else {
            return;
        };
        // The next one that waits for this register begins.
        let mut others = self.agreement.open.values_mut();
        if let Some(next) = others.find(|other| other.key == attempt.key) {
            next.again_us = 0;
        }
        if self.conns.get(attempt.conn).is_none() {
            return;
        }
        let id = &attempt.by.request;
        let refused = match result {
            Ok(became) => match answer(id, &attempt.name, &became) {
                Some(frame) => {
                    self.tally.operations.add(Kind::Agree, None);
                    return self.outbox.push(attempt.conn, frame, Shows::Nothing);
                }
                None => refusal_of(&became),
            },
            Err(refused) => refused,
        };
        self.refuse_register(attempt.conn, id, refused.code, refused.reason, now);
    }

    /// What this node had in memory is gone: whether what it proposed is done is not known.
    pub(in crate::node) fn abandon_agreement(&mut self, now: Now) {
        self.agreement.own.clear();
        let numbers: Vec<u64> = self.agreement.open.keys().copied().collect();
        for number in numbers {
            let may_be_done = self
                .agreement
                .open
                .get(&number)
                .is_some_and(|attempt| attempt.may_be_done);
            let (code, reason) = match may_be_done {
                true => (Code::OutcomeUnknown, "the node begins anew: it may have been done"),
                false => (Code::NotReady, "the node begins anew: nothing was done"),
            };
            let reason = reason.into();
            self.end_attempt(number, Err(Refusal { code, reason }), now);
        }
    }
}

fn refusal_of(became: &Became) -> Refusal {
    match became {
        Became::Held { until_ms } => Refusal {
            code: Code::Locked,
            reason: format!("somebody else holds the lock, until {until_ms} ms at the latest"),
        },
        Became::Other { version } => Refusal {
            code: Code::NotPossible,
            reason: format!("the definition has version {version}"),
        },
        Became::Reused => Refusal {
            code: Code::BadRequest,
            reason: "the requestId was used for something else".into(),
        },
        Became::Busy => Refusal {
            code: Code::Overloaded,
            reason: "too many requests came for it within a few seconds".into(),
        },
        _ => Refusal {
            code: Code::NotPossible,
            reason: "it cannot be done".into(),
        },
    }
}
