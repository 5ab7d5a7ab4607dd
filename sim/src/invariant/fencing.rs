//! **Promises** that the fencing tokens of a lock rise: no token is given for two requests, and who asked for a lock after another's grant
//! was heard of has a higher one. So whatever the lock protects can tell who came later.
//! **From** Kleppmann, "How to do distributed locking" (2016), and Jepsen's tests of locks in etcd and Hazelcast. It is what is left of
//! linearizability (Herlihy and Wing, 1990) where all that can be seen of a register is that it counts.

use std::collections::{BTreeMap, BTreeSet};

use kernel::cluster::agreed::{Became, Wish};

use super::{Invariant, Seen};
use crate::client::Said;

/// See the module.
#[derive(Debug, Default)]
pub struct Fencing {
    locks: BTreeMap<String, Lock>,
    /// The highest token that anybody had heard of when a lock was asked for, by client and number.
    asked: BTreeMap<(usize, u64), u64>,
    /// What was asked before a disk was another one: it may have been granted then, and be told so now.
    older: BTreeSet<(usize, u64)>,
}

#[derive(Debug, Default)]
struct Lock {
    /// Who has each token, by client and number.
    granted: BTreeMap<u64, (usize, u64)>,
}

impl Fencing {
    fn hear(&mut self, client: usize, said: &Said) -> Result<(), String> {
        match said {
            Said::AsksRegister {
                request,
                name,
                wish: Wish::Lock { .. },
            } if !self.older.contains(&(client, *request)) => {
                let lock = self.locks.entry(name.clone()).or_default();
                let last = lock.granted.keys().next_back().copied().unwrap_or_default();
                // Asked again it is the same request: it may have been granted since it was asked first.
                self.asked.entry((client, *request)).or_insert(last);
            }
            Said::RegisterSays {
                request,
                name,
                became: Became::Granted { token, .. },
            } => {
                let Some(least) = self.asked.remove(&(client, *request)) else {
                    return Ok(());
                };
                if *token <= least {
                    return Err(format!(
                        "tokens of {name} rise; {least} was granted before c{client} asked, who got {token}"
                    ));
                }
                let lock = self.locks.entry(name.clone()).or_default();
                let holder = *lock.granted.entry(*token).or_insert((client, *request));
                if holder != (client, *request) {
                    let (other, _) = holder;
                    return Err(format!(
                        "each token of {name} is given once; c{other} and c{client} both got {token}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Invariant for Fencing {
    fn name(&self) -> &'static str {
        "fencing"
    }

    fn see(&mut self, _at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Talked { client, talk } => self.hear(*client, &talk.said),
            // Tokens that no majority of disks knows any more begin anew.
            Seen::DiskChanged { .. } => {
                let asked = std::mem::take(self);
                self.older = asked.older.into_iter().chain(asked.asked.into_keys()).collect();
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(fencing: &mut Fencing, client: usize, token: Option<u64>) -> Result<(), String> {
        let (request, name) = (1, "l".to_string());
        let said = match token {
            None => Said::AsksRegister {
                request,
                name,
                wish: Wish::Lock { ttl_ms: 1 },
            },
            Some(token) => Said::RegisterSays {
                request,
                name,
                became: Became::Granted { token, until_ms: 1 },
            },
        };
        fencing.hear(client, &said)
    }

    #[test]
    fn a_token_that_is_given_twice_or_falls_is_seen() {
        let mut fencing = Fencing::default();
        for client in 0..3 {
            assert_eq!(said(&mut fencing, client, None), Ok(()));
        }
        assert_eq!(said(&mut fencing, 0, Some(5)), Ok(()));
        assert!(
            said(&mut fencing, 1, Some(5))
                .expect_err("twice")
                .contains("given once")
        );
        assert_eq!(said(&mut fencing, 2, Some(4)), Ok(()), "asked before that");
        assert_eq!(said(&mut fencing, 3, None), Ok(()));
        assert!(said(&mut fencing, 3, Some(5)).expect_err("falls").contains("rise"));
    }
}
