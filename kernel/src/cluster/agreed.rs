//! What named registers hold: locks with fencing tokens, and definitions.
//!
//! A register is changed by a function of what it holds (Rystsov, "CASPaxos", 2018): what is asked, by whom, and when. Everything in
//! here is such a function; how replicas agree on its result is the node's.
//!
//! **A lock** is a lease: whoever holds it keeps it until he gives it back or its time is over, whatever happens to him. So that nobody
//! writes on after that, each grant has a *fencing token*, higher than all before it (Kleppmann, "How to do distributed locking", 2016;
//! Burrows, "The Chubby lock service", 2006, section 2.4: sequencers): what the lock protects takes nothing with a lower token than
//! it has seen. Tokens are never given twice: their register is never deleted, and a forced generation begins above all before it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Longest time that a lock is held without being asked for again, in milliseconds: a day.
pub const LOCK_MS_MAX: u64 = 24 * 3_600_000;
/// Longest name of a lock or definition, in bytes.
pub const NAME_BYTES: usize = 128;
/// Longest value of a definition, in bytes.
pub const DEFINITION_BYTES: usize = 64 << 10;

/// Tokens of one generation.
const GENERATION_TOKENS: u64 = 1 << 40;

/// What a register holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Agreed {
    /// A lock.
    Lock {
        /// The token that was given last.
        token: u64,
        /// Who has it, unless it was given back.
        held: Option<Holder>,
    },
    /// A definition.
    Definition {
        /// Counts its changes, from 1.
        version: u64,
        /// The change that made it: whoever asks for that again is told of it.
        by: (Box<str>, Box<str>),
        /// What it is, as MessagePack.
        value: Vec<u8>,
    },
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who asked.
    pub owner: Box<str>,
    /// His name for the request: asking again by that name is the same request.
    pub request: Box<str>,
    /// When it is over, in milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// What is asked of a register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// To hold the lock for so long.
    Lock {
        /// Milliseconds.
        ttl_ms: u64,
    },
    /// To give it back.
    Unlock {
        /// The token that it was given with.
        token: u64,
    },
    /// To set the definition.
    Define {
        /// What to, as MessagePack.
        value: Vec<u8>,
        /// Only if this is its version; 0 if there must be none.
        if_version: Option<u64>,
    },
    /// To know it.
    Look,
}

impl Wish {
    /// Locks and definitions have names of their own.
    pub fn is_about_lock(&self) -> bool {
        matches!(self, Wish::Lock { .. } | Wish::Unlock { .. })
    }
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Became {
    /// The lock is his.
    Granted {
        /// The fencing token.
        token: u64,
        /// When it is over, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// Somebody else has it.
    Held {
        /// Until when, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// It was given back; or, if not, it was not held with that token.
    Released(bool),
    /// The definition is this; version 0 is none.
    Defined {
        /// Its version.
        version: u64,
        /// What it is.
        value: Option<Vec<u8>>,
    },
    /// It has another version.
    Other {
        /// This one.
        version: u64,
    },
}

/// Whoever asks, and his name for what he asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// Who.
    pub owner: Box<str>,
    /// His name for it.
    pub request: Box<str>,
}

/// What a register that holds `held` is to hold, if anything is to change, and what is said of that, at `now_ms` and in this generation
/// of the cluster.
pub fn decide(wish: &Wish, by: &Name, held: Option<&Agreed>, now_ms: u64, generation: u64) -> (Option<Agreed>, Became) {
    match wish {
        Wish::Lock { ttl_ms } => lock(*ttl_ms, by, held, now_ms, generation),
        Wish::Unlock { token } => match held {
            Some(Agreed::Lock { token: last, held }) if last == token => {
                let free = Agreed::Lock {
                    token: *last,
                    held: None,
                };
                (held.is_some().then_some(free), Became::Released(true))
            }
            _ => (None, Became::Released(false)),
        },
        Wish::Define { value, if_version } => define(value, *if_version, by, held),
        Wish::Look => match held {
            Some(Agreed::Definition { version, value, .. }) => {
                let (version, value) = (*version, Some(value.clone()));
                (None, Became::Defined { version, value })
            }
            _ => (
                None,
                Became::Defined {
                    version: 0,
                    value: None,
                },
            ),
        },
    }
}

fn lock(ttl_ms: u64, by: &Name, held: Option<&Agreed>, now_ms: u64, generation: u64) -> (Option<Agreed>, Became) {
    let (last, holder) = match held {
        Some(Agreed::Lock { token, held }) => (*token, held.as_ref().filter(|holder| holder.until_ms > now_ms)),
        _ => (0, None),
    };
    let is_same = |holder: &Holder| holder.owner == by.owner && holder.request == by.request;
    let token = match holder {
        Some(holder) if is_same(holder) => last,
        Some(Holder { until_ms, .. }) => return (None, Became::Held { until_ms: *until_ms }),
        None => (last + 1).max(generation * GENERATION_TOKENS),
    };
    let until_ms = now_ms.saturating_add(ttl_ms);
    let held = Some(Holder {
        owner: by.owner.clone(),
        request: by.request.clone(),
        until_ms,
    });
    (Some(Agreed::Lock { token, held }), Became::Granted { token, until_ms })
}

fn define(value: &[u8], if_version: Option<u64>, by: &Name, held: Option<&Agreed>) -> (Option<Agreed>, Became) {
    let (version, before) = match held {
        Some(Agreed::Definition { version, by, .. }) => (*version, Some(by)),
        _ => (0, None),
    };
    let by = (by.owner.clone(), by.request.clone());
    if before == Some(&by) {
        return (None, Became::Defined { version, value: None });
    }
    if if_version.is_some_and(|expected| expected != version) {
        return (None, Became::Other { version });
    }
    let version = version + 1;
    let value = value.to_vec();
    (
        Some(Agreed::Definition { version, by, value }),
        Became::Defined { version, value: None },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(owner: &str, request: &str) -> Name {
        Name {
            owner: owner.into(),
            request: request.into(),
        }
    }

    /// A register, and what is said when something is asked of it.
    #[derive(Default)]
    struct One(Option<Agreed>);

    impl One {
        fn ask(&mut self, wish: Wish, by: &Name, now_ms: u64) -> Became {
            self.ask_in(wish, by, now_ms, 1)
        }

        fn ask_in(&mut self, wish: Wish, by: &Name, now_ms: u64, generation: u64) -> Became {
            let (next, became) = decide(&wish, by, self.0.as_ref(), now_ms, generation);
            self.0 = next.or_else(|| self.0.take());
            became
        }

        fn token(&mut self, by: &Name, now_ms: u64) -> u64 {
            match self.ask(Wish::Lock { ttl_ms: 10 }, by, now_ms) {
                Became::Granted { token, until_ms } => {
                    assert_eq!(until_ms, now_ms + 10);
                    token
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_lock_is_held_by_one_until_it_is_given_back_or_its_time_is_over() {
        let (a, b) = (name("a", "1"), name("b", "1"));
        let mut lock = One::default();
        let first = lock.token(&a, 100);
        assert_eq!(
            lock.ask(Wish::Lock { ttl_ms: 10 }, &b, 109),
            Became::Held { until_ms: 110 }
        );
        assert_eq!(
            lock.token(&a, 105),
            first,
            "asked again: it is the same request, and holds for longer"
        );
        assert_eq!(
            lock.ask(Wish::Lock { ttl_ms: 10 }, &name("a", "2"), 106),
            Became::Held { until_ms: 115 },
            "another request of the same"
        );
        let second = lock.token(&b, 115);
        assert!(second > first);
        assert_eq!(
            lock.ask(Wish::Unlock { token: first }, &a, 116),
            Became::Released(false)
        );
        assert_eq!(
            lock.ask(Wish::Unlock { token: second }, &b, 116),
            Became::Released(true)
        );
        assert_eq!(
            lock.ask(Wish::Unlock { token: second }, &b, 116),
            Became::Released(true),
            "asked again"
        );
        assert!(lock.token(&a, 117) > second);
    }

    #[test]
    fn tokens_of_a_later_generation_are_above_all_before_it() {
        let mut lock = One::default();
        let first = lock.token(&name("a", "1"), 0);
        // The new one begins with an older copy, or with none.
        let mut other = One::default();
        let became = other.ask_in(Wish::Lock { ttl_ms: 1 }, &name("b", "1"), 0, 2);
        assert!(
            matches!(became, Became::Granted { token, .. } if token > first + (1 << 39)),
            "{became:?}"
        );
    }

    #[test]
    fn a_definition_is_set_once_for_each_version() {
        let mut one = One::default();
        let define = |value: u8, if_version| Wish::Define {
            value: alloc::vec![value],
            if_version,
        };
        let defined = |version| Became::Defined { version, value: None };
        assert_eq!(one.ask(Wish::Look, &name("a", "1"), 0), defined(0));
        assert_eq!(one.ask(define(1, Some(0)), &name("a", "2"), 0), defined(1));
        assert_eq!(
            one.ask(define(1, Some(0)), &name("a", "2"), 0),
            defined(1),
            "asked again"
        );
        assert_eq!(
            one.ask(define(2, Some(0)), &name("b", "2"), 0),
            Became::Other { version: 1 }
        );
        assert_eq!(one.ask(define(3, None), &name("b", "3"), 0), defined(2));
        let found = Became::Defined {
            version: 2,
            value: Some(alloc::vec![3]),
        };
        assert_eq!(one.ask(Wish::Look, &name("c", "1"), 0), found);
    }
}
