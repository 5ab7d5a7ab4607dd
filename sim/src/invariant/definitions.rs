//! **Promises** that definitions are linearizable: what all clients were told of one could have come about one request at a time, each of
//! them between its call and its answer, and each done once however often it was asked.
//! **From** Herlihy and Wing, "Linearizability" (1990); rule 6 of the promises. Judged in the end, by [`crate::linearizability`].

use std::collections::BTreeMap;

use kernel::cluster::agreed::{Became, Wish};
use kernel::wire::Code;

use super::{Invariant, Seen};
use crate::client::Said;
use crate::linearizability::{Model, Operation, check};

/// See the module.
#[derive(Debug, Default)]
pub struct Definitions {
    histories: BTreeMap<String, Vec<Request>>,
    /// Which definition, and where in its history, by client and number.
    open: BTreeMap<(usize, u64), (String, usize)>,
    /// What was agreed may be gone with a disk: nothing is judged any more.
    over: bool,
}

/// What was asked, and what was said to it, for versions cannot be foretold: `None` if it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    wish: Wish,
    told: Option<Told>,
}

type Request = Operation<Asked, bool>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// It has this version, and this value if that was asked.
    Is(u64, Option<Vec<u8>>),
    /// It has another version than was expected.
    Not,
}

/// A definition: its version and its value. Its answers say whether what was told fits.
struct Definition;

impl Model for Definition {
    type State = (u64, Option<Vec<u8>>);
    type Input = Asked;
    type Output = bool;

    fn initial(&self) -> Self::State {
        (0, None)
    }

    fn step(&self, state: &Self::State, Asked { wish, told }: &Asked) -> (Self::State, bool) {
        let (version, held) = state;
        match (wish, told) {
            (Wish::Define { value, if_version }, told) => {
                let is_expected = if_version.is_none_or(|expected| expected == *version);
                let next = (version + 1, Some(value.clone()));
                match told {
                    Some(Told::Is(number, _)) => (next, is_expected && *number == version + 1),
                    Some(Told::Not) => (state.clone(), !is_expected),
                    None if is_expected => (next, true),
                    None => (state.clone(), true),
                }
            }
            (_, Some(Told::Is(number, value))) => (state.clone(), number == version && value == held),
            _ => (state.clone(), *told != Some(Told::Not)),
        }
    }

    fn is_read(&self, Asked { wish, told }: &Asked) -> bool {
        *wish == Wish::Look || *told == Some(Told::Not)
    }
}

/// The same history, with fewer ways to order it: what was read tells of which version a define is that was not answered, and of those that
/// nobody read one is as good as another.
fn narrowed(history: &[Request]) -> Vec<Request> {
    let mut history = history.to_vec();
    let mut shown = BTreeMap::new();
    for Request { input, .. } in &history {
        if let Some(Told::Is(version, Some(value))) = &input.told {
            shown.insert(value.clone(), *version);
        }
    }
    for Request { input, outcome, .. } in &mut history {
        if let (Wish::Define { value, .. }, None) = (&mut input.wish, &input.told) {
            match shown.get(value) {
                Some(version) => {
                    input.told = Some(Told::Is(*version, None));
                    // It was done, whenever.
                    *outcome = Some((true, u64::MAX));
                }
                None => value.clear(),
            }
        }
    }
    history
}

impl Definitions {
    fn hear(&mut self, at_us: u64, client: usize, said: &Said) -> Result<(), String> {
        match said {
            // Asked again it is the same request.
            Said::AsksRegister { request, name, wish } if !wish.is_about_lock() => {
                let history = self.histories.entry(name.clone()).or_default();
                self.open.entry((client, *request)).or_insert_with(|| {
                    let (wish, told) = (wish.clone(), None);
                    history.push(Operation {
                        input: Asked { wish, told },
                        called: at_us,
                        outcome: None,
                    });
                    (name.clone(), history.len() - 1)
                });
            }
            Said::RegisterSays {
                request,
                became: Became::Defined { version, value },
                ..
            } => self.told(at_us, (client, *request), Told::Is(*version, value.clone())),
            Said::RegisterRefuses { request, code } => match Code::from_number(*code) {
                Some(Code::NotPossible) => self.told(at_us, (client, *request), Told::Not),
                Some(Code::BadRequest) => return Err(format!("what c{client} asks makes sense; it was refused")),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn told(&mut self, at_us: u64, asked: (usize, u64), told: Told) {
        if let Some((name, place)) = self.open.remove(&asked)
            && let Some(operation) = self.histories.get_mut(&name).and_then(|history| history.get_mut(place))
        {
            operation.input.told = Some(told);
            operation.outcome = Some((true, at_us));
        }
    }

    fn judge(&self) -> Result<(), String> {
        for (name, history) in &self.histories {
            let history = narrowed(history);
            if let Err(wrong) = check(&Definition, &history) {
                let of = |places: &[usize]| format!("{:?}", places.iter().map(|at| &history[*at]).collect::<Vec<_>>());
                return Err(format!(
                    "what was told of {name} could have come about one at a time; after {} of {} requests nothing fits: {}",
                    wrong.longest.len(),
                    history.len(),
                    of(&wrong.stuck_at)
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for Definitions {
    fn name(&self) -> &'static str {
        "definitions"
    }

    fn see(&mut self, at_us: u64, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Talked { client, talk } => self.hear(at_us, *client, &talk.said),
            Seen::DiskChanged { .. } => {
                self.over = true;
                Ok(())
            }
            Seen::Quiet { .. } if !self.over => self.judge(),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn define(value: u8, if_version: Option<u64>) -> Wish {
        let value = vec![value];
        Wish::Define { value, if_version }
    }

    fn is(version: u64) -> Option<Told> {
        Some(Told::Is(version, None))
    }

    fn found(version: u64, value: u8) -> Option<Told> {
        Some(Told::Is(version, Some(vec![value])))
    }

    /// Whether it could have come about: one after the other, but for what is not known, which may be whenever.
    fn fits(history: &[(Wish, Option<Told>)]) -> bool {
        let mut definitions = Definitions::default();
        for (request, (wish, told)) in history.iter().enumerate() {
            let (request, at_us) = (request as u64, 10 * request as u64);
            let (name, wish) = ("d".to_string(), wish.clone());
            let asks = Said::AsksRegister { request, name, wish };
            assert_eq!(definitions.hear(at_us, 0, &asks), Ok(()));
            let name = "d".to_string();
            let said = match told {
                None => continue,
                Some(Told::Not) => Said::RegisterRefuses {
                    request,
                    code: Code::NotPossible.number().into(),
                },
                Some(Told::Is(version, value)) => {
                    let (version, value) = (*version, value.clone());
                    let became = Became::Defined { version, value };
                    Said::RegisterSays { request, name, became }
                }
            };
            assert_eq!(definitions.hear(at_us + 5, 0, &said), Ok(()));
        }
        definitions.judge().is_ok()
    }

    #[test]
    fn what_comes_one_after_the_other_fits_and_what_is_not_known_may_be_whenever() {
        let first = (define(1, None), is(1));
        assert!(fits(&[(Wish::Look, is(0)), first.clone(), (Wish::Look, found(1, 1))]));
        assert!(fits(&[first.clone(), (define(2, Some(0)), Some(Told::Not))]));
        assert!(fits(&[first.clone(), (define(2, Some(1)), is(2))]));
        let lost = (define(3, None), None);
        assert!(fits(&[first.clone(), lost.clone(), (Wish::Look, found(2, 3))]));
        assert!(fits(&[first, lost.clone(), (Wish::Look, found(1, 1))]));
        assert!(fits(&[
            lost.clone(),
            (Wish::Look, found(1, 3)),
            (define(1, Some(1)), is(2))
        ]));
        assert!(fits(&[
            lost,
            (define(1, Some(0)), Some(Told::Not)),
            (define(2, None), is(2))
        ]));
    }

    #[test]
    fn a_change_that_is_lost_done_twice_or_seen_too_late_does_not_fit() {
        let first = (define(1, None), is(1));
        assert!(!fits(&[first.clone(), (define(2, None), is(1))]), "two of one version");
        assert!(!fits(&[first.clone(), (define(2, None), is(3))]), "done twice");
        assert!(!fits(&[first.clone(), (Wish::Look, is(0))]), "lost");
        assert!(!fits(&[first.clone(), (Wish::Look, found(1, 2))]), "another's");
        let second = (define(2, Some(1)), is(2));
        let stale = (Wish::Look, found(1, 1));
        assert!(!fits(&[first.clone(), second.clone(), stale]), "stale");
        assert!(!fits(&[first.clone(), second, (define(3, Some(1)), is(3))]));
        assert!(
            !fits(&[first.clone(), (define(3, Some(1)), Some(Told::Not))]),
            "as expected, and refused"
        );
        assert!(
            !fits(&[first, (define(3, None), Some(Told::Not))]),
            "nothing was expected, and it was refused"
        );
    }

    #[test]
    fn many_whose_outcome_is_not_known_take_no_time() {
        let lost = |from: u8| (from..from + 40).map(|value| (define(value, None), None));
        let first = || [(define(1, None), is(1))].into_iter();
        let fits = |history: &mut dyn Iterator<Item = (Wish, Option<Told>)>| fits(&history.collect::<Vec<_>>());
        assert!(fits(&mut first().chain(lost(10)).chain([(Wish::Look, found(1, 1))])));
        assert!(fits(
            &mut first()
                .chain(lost(10))
                .chain([(Wish::Look, found(30, 17)), (define(2, None), is(35))])
        ));
        let stale = [(Wish::Look, found(30, 17)), (Wish::Look, found(1, 1))];
        assert!(!fits(&mut first().chain(lost(10)).chain(stale)), "17 was read before");
        let more = [(define(2, None), is(43))];
        assert!(!fits(&mut first().chain(lost(10)).chain(more)), "done twice");
    }
}
