//! What named registers hold: locks with fencing tokens, and definitions.
//!
//! A register is changed by a function of what it holds (Rystsov, "CASPaxos", 2018): what is asked, by whom, and when. Everything in
//! here is such a function; how replicas agree on its result is the node's.
//!
//! **A lock** is a lease: whoever holds it keeps it until he gives it back or its time is over, whatever happens to him. So that nobody
//! writes on after that, each grant has a *fencing token*, higher than all before it (Kleppmann, "How to do distributed locking", 2016;
//! Burrows, "The Chubby lock service", 2006, section 2.4: sequencers): what the lock protects takes nothing with a lower token than
//! it has seen. Tokens are never given twice: their register is never deleted, and where replicas were given up that may have known more,
//! they go on above all that can have been given ([`ClusterState::least_number`](crate::cluster::ClusterState::least_number)).
//!
//! **Asking again** is safe: a proposer that is overtaken, or whose client hears no answer, asks again, and its first attempt may have been
//! finished by another meanwhile. So a register remembers for a while ([`REMEMBERED_MS`]) what became of each request, by who asked and his
//! name for it (rule 6 of the promises).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::env::name_hash;

/// Longest time that a lock is held without being asked for again, in milliseconds: a day.
pub const LOCK_MS_MAX: u64 = 24 * 3_600_000;
/// Longest name of a lock or definition, in bytes.
pub const NAME_BYTES: usize = 128;
/// Longest value of a definition, in bytes.
pub const DEFINITION_BYTES: usize = 64 << 10;

/// How long it is remembered what became of a request, at least, in milliseconds. No attempt may take longer.
pub const REMEMBERED_MS: u64 = 10_000;
/// How many requests are, at most: more than that have to wait.
const REMEMBERED: usize = 1_024;
/// So many of the latest are, however long ago they were by whichever clock: where half of the members' are far from the other half's, nobody
/// can say whose are right.
const LATEST: usize = 64;
/// Most bytes of what is remembered.
pub const REMEMBERED_BYTES: usize = 64 << 10;

/// When and by what numbers something is decided.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// What the wall clock of the proposer shows, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// How far the wall clocks of two proposers may be apart, in milliseconds: what is younger by one is older by the other.
    pub apart_ms: u64,
    /// Numbers that are given are at least this.
    pub least: u64,
}

/// How registers are written now.
const LAYOUT: u8 = 1;

/// A register: what it holds, and what it remembers of how that came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Register {
    held: Option<Agreed>,
    /// The latest requests, in their order.
    done: VecDeque<Done>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    /// Hashes of who asked by what name, and of what: a name may be used for something else by mistake.
    by: u64,
    asked: u64,
    at_ms: u64,
    became: Became,
}

impl Register {
    /// As it is kept: a version, and the rest in postcard.
    ///
    /// # Panics
    /// Never: every register has an encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = alloc::vec![LAYOUT];
        out.extend(postcard::to_allocvec(self).expect("a register has an encoding"));
        out
    }

    /// Reads what [`Register::encode`] wrote.
    ///
    /// # Errors
    /// `None`, if it is of a version that this kernel does not know, or none at all.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (register, rest) = postcard::take_from_bytes(rest).ok()?;
        (*version == LAYOUT && rest.is_empty()).then_some(register)
    }
}

/// What a register holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Agreed {
    /// A lock.
    Lock {
        /// The token that was given last.
        token: u64,
        /// By whom, and by what request of his: a hash.
        by: u64,
        /// When it is free, in milliseconds since the Unix epoch; `None` if it was given back.
        until_ms: Option<u64>,
    },
    /// A definition.
    Definition {
        /// Counts its changes, from 1.
        version: u64,
        /// What it is, as MessagePack.
        value: Vec<u8>,
    },
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
    /// It was given back; or, if not, it is not held with that token, or not any more.
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
    /// The name of the request was used for another one.
    Reused,
    /// So many requests came for it in a short time that no more can be remembered now.
    Busy,
}

/// Whoever asks, and his name for what he asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// Who.
    pub owner: Box<str>,
    /// His name for it.
    pub request: Box<str>,
}

/// What a register is to be, if anything is to change, and what is said of that.
pub fn decide(wish: &Wish, by: &Name, register: &Register, at: At) -> (Option<Register>, Became) {
    let At { now_ms, least, .. } = at;
    let (by, asked) = (by.hash(), hash(wish));
    let held = register.held.as_ref();
    // To give back is to give back, however often.
    let is_remembered = matches!(wish, Wish::Lock { .. } | Wish::Define { .. });
    let renewed = match wish {
        Wish::Lock { ttl_ms } => renew(*ttl_ms, by, held, now_ms),
        _ => None,
    };
    if let Some((held, became)) = renewed {
        return (Some(register.with(held, None, at)), became);
    }
    if let Some(done) = register.done.iter().find(|done| is_remembered && done.by == by) {
        let became = if done.asked == asked {
            done.became.clone()
        } else {
            Became::Reused
        };
        return (None, became);
    }
    if is_remembered && register.is_full(at) {
        return (None, Became::Busy);
    }
    let (next, became) = match wish {
        Wish::Lock { ttl_ms } => lock(*ttl_ms, by, held, now_ms, least),
        Wish::Unlock { token } => unlock(*token, held),
        Wish::Define { value, if_version } => define(value, *if_version, held, least),
        Wish::Look => (None, look(held)),
    };
    let done = is_remembered.then(|| Done {
        by,
        asked,
        at_ms: now_ms,
        became: became.clone(),
    });
    let next = next.map(|held| register.with(held, done, at));
    (next, became)
}

impl Name {
    fn hash(&self) -> u64 {
        name_hash(&[self.owner.as_bytes(), &[0], self.request.as_bytes()].concat())
    }
}

impl Register {
    /// The register with something else in it, and one more request to remember. What was long ago is forgotten.
    fn with(&self, held: Agreed, done: Option<Done>, at: At) -> Self {
        let mut next = self.clone();
        next.held = Some(held);
        next.done.extend(done);
        let mut older = next.done.len().saturating_sub(LATEST);
        next.done.retain(|done| {
            let is_older = older > 0;
            older = older.saturating_sub(1);
            !is_older || is_recent(done, at)
        });
        next
    }

    fn is_full(&self, at: At) -> bool {
        self.done.iter().filter(|done| is_recent(done, at)).count() >= REMEMBERED
    }
}

/// Whether a request may still be asked again, by whichever clock it was done.
fn is_recent(done: &Done, at: At) -> bool {
    let kept_ms = REMEMBERED_MS.saturating_add(at.apart_ms);
    done.at_ms.saturating_add(kept_ms) > at.now_ms
}

fn hash(wish: &Wish) -> u64 {
    let bytes = postcard::to_allocvec(wish).expect("a wish has an encoding");
    name_hash(&bytes)
}

/// The same lock, for longer, if it is held still by whoever got it by that request.
fn renew(ttl_ms: u64, by: u64, held: Option<&Agreed>, now_ms: u64) -> Option<(Agreed, Became)> {
    match held {
        Some(Agreed::Lock {
            token,
            by: holder,
            until_ms: Some(until_ms),
        }) if *holder == by && *until_ms > now_ms => {
            let (token, until_ms) = (*token, (*until_ms).max(now_ms.saturating_add(ttl_ms)));
            let held = Agreed::Lock {
                token,
                by,
                until_ms: Some(until_ms),
            };
            Some((held, Became::Granted { token, until_ms }))
        }
        _ => None,
    }
}

fn lock(ttl_ms: u64, by: u64, held: Option<&Agreed>, now_ms: u64, least: u64) -> (Option<Agreed>, Became) {
    let (last, until_ms) = match held {
        Some(Agreed::Lock { token, until_ms, .. }) => (*token, *until_ms),
        _ => (0, None),
    };
    if let Some(until_ms) = until_ms.filter(|until_ms| *until_ms > now_ms) {
        return (None, Became::Held { until_ms });
    }
    let (token, until_ms) = ((last + 1).max(least), now_ms.saturating_add(ttl_ms));
    let held = Agreed::Lock {
        token,
        by,
        until_ms: Some(until_ms),
    };
    (Some(held), Became::Granted { token, until_ms })
}

fn unlock(token: u64, held: Option<&Agreed>) -> (Option<Agreed>, Became) {
    let Some(Agreed::Lock {
        token: last,
        by,
        until_ms,
    }) = held.filter(|held| matches!(held, Agreed::Lock { token: last, .. } if *last == token))
    else {
        return (None, Became::Released(false));
    };
    let free = Agreed::Lock {
        token: *last,
        by: *by,
        until_ms: None,
    };
    (until_ms.is_some().then_some(free), Became::Released(true))
}

fn define(value: &[u8], if_version: Option<u64>, held: Option<&Agreed>, least: u64) -> (Option<Agreed>, Became) {
    let version = match held {
        Some(Agreed::Definition { version, .. }) => *version,
        _ => 0,
    };
    if if_version.is_some_and(|expected| expected != version) {
        return (None, Became::Other { version });
    }
    let (version, value) = ((version + 1).max(least), value.to_vec());
    let became = Became::Defined { version, value: None };
    (Some(Agreed::Definition { version, value }), became)
}

fn look(held: Option<&Agreed>) -> Became {
    match held {
        Some(Agreed::Definition { version, value }) => Became::Defined {
            version: *version,
            value: Some(value.clone()),
        },
        _ => Became::Defined {
            version: 0,
            value: None,
        },
    }
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

    const APART_MS: u64 = 60_000;

    /// A register, and what is said when something is asked of it.
    #[derive(Default)]
    struct One(Register);

    impl One {
        fn ask(&mut self, wish: Wish, by: &Name, now_ms: u64) -> Became {
            self.ask_in(wish, by, now_ms, 1)
        }

        fn ask_in(&mut self, wish: Wish, by: &Name, now_ms: u64, least: u64) -> Became {
            let at = At {
                now_ms,
                apart_ms: APART_MS,
                least,
            };
            let (next, became) = decide(&wish, by, &self.0, at);
            self.0 = next.unwrap_or_else(|| self.0.clone());
            assert_eq!(Register::decode(&self.0.encode()), Some(self.0.clone()));
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
        let held = |until_ms| Became::Held { until_ms };
        assert_eq!(lock.ask(Wish::Lock { ttl_ms: 10 }, &b, 109), held(110));
        assert_eq!(lock.token(&a, 105), first, "asked again: he holds it for longer");
        assert_eq!(lock.ask(Wish::Lock { ttl_ms: 10 }, &name("a", "2"), 106), held(115));
        let second = lock.token(&b, 115);
        assert!(second > first);
        let over = Became::Granted {
            token: first,
            until_ms: 110,
        };
        assert_eq!(
            lock.ask(Wish::Lock { ttl_ms: 10 }, &a, 116),
            over,
            "it was his, and is no more"
        );
        let unlock = |token| Wish::Unlock { token };
        assert_eq!(lock.ask(unlock(first), &name("a", "3"), 116), Became::Released(false));
        assert_eq!(lock.ask(unlock(second), &name("b", "2"), 116), Became::Released(true));
        assert_eq!(lock.ask(unlock(second), &name("c", "1"), 116), Became::Released(true));
        assert!(lock.token(&name("a", "4"), 117) > second);
        assert_eq!(
            lock.ask(unlock(second), &name("b", "2"), 118),
            Became::Released(false),
            "another has it"
        );
    }

    #[test]
    fn numbers_are_above_all_that_may_have_been_given() {
        let mut lock = One::default();
        let first = lock.token(&name("a", "1"), 0);
        let mut other = One::default();
        let became = other.ask_in(Wish::Lock { ttl_ms: 1 }, &name("b", "1"), 0, first + 100);
        assert!(
            matches!(became, Became::Granted { token, .. } if token == first + 100),
            "{became:?}"
        );
    }

    #[test]
    fn a_definition_is_set_once_for_each_version_and_once_for_each_request() {
        let mut one = One::default();
        let define = |value: u8, if_version| Wish::Define {
            value: alloc::vec![value],
            if_version,
        };
        let defined = |version| Became::Defined { version, value: None };
        assert_eq!(one.ask(Wish::Look, &name("a", "1"), 0), defined(0));
        assert_eq!(one.ask(define(1, Some(0)), &name("a", "2"), 0), defined(1));
        assert_eq!(
            one.ask(define(2, Some(0)), &name("b", "2"), 0),
            Became::Other { version: 1 }
        );
        assert_eq!(one.ask(define(3, None), &name("b", "3"), 0), defined(2));
        // It was overtaken, and asks again: that is not done twice, and nothing later is lost.
        assert_eq!(one.ask(define(1, Some(0)), &name("a", "2"), 5_000), defined(1));
        assert_eq!(one.ask(define(9, Some(0)), &name("a", "2"), 5_000), Became::Reused);
        let found = Became::Defined {
            version: 2,
            value: Some(alloc::vec![3]),
        };
        assert_eq!(one.ask(Wish::Look, &name("c", "1"), 0), found);
    }

    #[test]
    fn what_is_remembered_is_forgotten_after_a_while_and_never_more_than_so_much() {
        let mut one = One::default();
        for number in 0..REMEMBERED {
            let define = Wish::Define {
                value: alloc::vec![1],
                if_version: None,
            };
            let by = name("a", &alloc::format!("{number}"));
            assert!(matches!(one.ask(define, &by, 5), Became::Defined { .. }));
        }
        let define = Wish::Define {
            value: alloc::vec![1],
            if_version: None,
        };
        let by = name("a", "more");
        // By a clock that is as far ahead as may be it is as long ago as it may be.
        let late_ms = 4 + REMEMBERED_MS + APART_MS;
        assert_eq!(one.ask(define.clone(), &by, late_ms), Became::Busy);
        assert!(one.0.encode().len() < REMEMBERED_BYTES);
        let later_ms = 5 + REMEMBERED_MS + APART_MS;
        let done = one.ask(define.clone(), &by, later_ms);
        assert!(matches!(done, Became::Defined { .. }));
        assert_eq!(one.0.done.len(), LATEST);
        // By a clock that is further off than any may be it is the same request still.
        let by = name("a", "1020");
        let done = one.ask(define.clone(), &by, later_ms << 20);
        assert_eq!(done, one.ask(define, &by, 0));
        assert!(
            matches!(one.ask(Wish::Look, &by, 0), Became::Defined { version, .. } if version == 1 + REMEMBERED as u64)
        );
        assert_eq!(Register::decode(&[]), None);
        assert_eq!(Register::decode(&[9, 0, 0]), None, "of another layout");
    }
}
