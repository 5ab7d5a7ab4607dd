//! SQL's LIKE, in time that is linear in the text whatever the pattern is.

use alloc::string::String;
use alloc::vec::Vec;

use super::Error;
use super::fold::fold;
use crate::env::Limits;

/// A pattern that texts match or not, without regard to case.
///
/// It is run as a set of states in bits: state `i` says that the first `i` characters of the pattern have been met, and a `%`
/// lets a state stay where it is. Each character of a text is one shift and two masks for every 64 characters of the
/// pattern (the "shift-and" of Baeza-Yates and Gonnet, 1992), so no pattern can make it go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// How many characters are to be met.
    len: usize,
    /// The characters of the pattern, folded and ascending.
    chars: Vec<char>,
    /// For each of them, and then for all others, which states it moves on: so many words each.
    masks: Vec<u64>,
    /// The states that may stay.
    stays: Vec<u64>,
}

/// A part of a pattern.
enum Part {
    One(char),
    Any,
    Many,
}

impl Pattern {
    /// The pattern of a `like`: `%` is any number of characters, `_` is one, everything else is itself in any case.
    /// A `\` before `%`, `_` or `\` makes that an ordinary character; before anything else it is one itself.
    ///
    /// So it is in TopGun (whose `_` and `%` do not match a line's end, and which has no escape).
    ///
    /// # Errors
    /// [`Error::LongPattern`].
    pub fn like(text: &str, limits: &Limits) -> Result<Self, Error> {
        let mut chars = text.chars().peekable();
        let parts = core::iter::from_fn(move || {
            Some(match chars.next()? {
                '%' => Part::Many,
                '_' => Part::Any,
                '\\' => Part::One(chars.next_if(|c| matches!(c, '%' | '_' | '\\')).unwrap_or('\\')),
                c => Part::One(c),
            })
        });
        Self::compile(text, parts, limits)
    }

    /// The pattern of all texts that have `text` in them, in any case.
    ///
    /// # Errors
    /// [`Error::LongPattern`].
    pub fn containing(text: &str, limits: &Limits) -> Result<Self, Error> {
        let around = || core::iter::once(Part::Many);
        let parts = around().chain(text.chars().map(Part::One)).chain(around());
        Self::compile(text, parts, limits)
    }

    fn compile(text: &str, parts: impl Iterator<Item = Part>, limits: &Limits) -> Result<Self, Error> {
        let limit = limits.pattern_chars;
        // Counted before anything is made of it.
        if text.chars().take(limit.saturating_add(1)).count() > limit {
            return Err(Error::LongPattern { limit });
        }
        let mut met: Vec<Option<char>> = Vec::new();
        let mut stays = Vec::new();
        for part in parts {
            match part {
                Part::One(c) => met.push(Some(fold(c))),
                Part::Any => met.push(None),
                Part::Many => stays.push(met.len()),
            }
        }
        let len = met.len();
        let words = len / 64 + 1;
        let mut chars: Vec<char> = met.iter().flatten().copied().collect();
        chars.sort_unstable();
        chars.dedup();
        let mut masks = alloc::vec![0; words * (chars.len() + 1)];
        for (state, c) in met.iter().enumerate() {
            match c {
                Some(c) => {
                    let row = chars.binary_search(c).unwrap_or(chars.len());
                    set(&mut masks[row * words..], state);
                }
                None => masks.chunks_exact_mut(words).for_each(|row| set(row, state)),
            }
        }
        let mut stay_bits = alloc::vec![0; words];
        stays.into_iter().for_each(|state| set(&mut stay_bits, state));
        Ok(Self {
            text: text.into(),
            len,
            chars,
            masks,
            stays: stay_bits,
        })
    }

    /// What it was made of.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it counts in a predicate, beside its node: it takes memory for each of its characters.
    pub(super) fn weight(&self) -> usize {
        self.chars.len().max(self.len) / 8
    }

    /// Whether `text` matches, all of it.
    pub fn matches(&self, text: &str) -> bool {
        match self.stays.as_slice() {
            [stays] => self.matches_short(text, *stays),
            _ => self.matches_long(text),
        }
    }

    /// With all states in one word.
    fn matches_short(&self, text: &str, stays: u64) -> bool {
        let accept = 1 << self.len;
        let mut states = 1;
        for c in text.chars() {
            // What has been met to the end and may stay there needs no further look.
            if states & stays & accept != 0 {
                return true;
            }
            let moved = self.masks.get(self.row(c)).copied().unwrap_or_default();
            states = (states & moved) << 1 | states & stays;
            if states == 0 {
                return false;
            }
        }
        states & accept != 0
    }

    fn matches_long(&self, text: &str) -> bool {
        let words = self.stays.len();
        let mut states = alloc::vec![0u64; words];
        states[0] = 1;
        let (word, accept) = (self.len / 64, 1 << (self.len % 64));
        for c in text.chars() {
            if states[word] & self.stays[word] & accept != 0 {
                return true;
            }
            let moved = &self.masks[self.row(c) * words..];
            let (mut carry, mut any) = (0, 0);
            for ((state, moved), stays) in states.iter_mut().zip(moved).zip(&self.stays) {
                let on = *state & moved;
                *state = on << 1 | carry | *state & stays;
                carry = on >> 63;
                any |= *state;
            }
            if any == 0 {
                return false;
            }
        }
        states[word] & accept != 0
    }

    /// The row of masks for a character.
    fn row(&self, c: char) -> usize {
        self.chars.binary_search(&fold(c)).unwrap_or(self.chars.len())
    }
}

fn set(bits: &mut [u64], at: usize) {
    bits[at / 64] |= 1 << (at % 64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn like(pattern: &str, text: &str) -> bool {
        Pattern::like(pattern, &Limits::default()).unwrap().matches(text)
    }

    /// The definition, by going back.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            ['\\', c @ ('%' | '_' | '\\'), rest @ ..] => text
                .split_first()
                .is_some_and(|(t, after)| fold(*t) == fold(*c) && naive(rest, after)),
            [c, rest @ ..] => text
                .split_first()
                .is_some_and(|(t, after)| (*c == '_' || fold(*t) == fold(*c)) && naive(rest, after)),
        }
    }

    #[test]
    fn as_in_sql() {
        assert!(like("%Muni%", "Santa Cruz MUNICIPAL Airport"));
        assert!(!like("Muni%", "Santa Cruz Municipal"));
        assert!(like("_øll", "BØLL"));
        assert!(like("%", "") && like("", "") && !like("", "a") && !like("_", ""));
        assert!(like("a%\n_", "a\n\nb"));
        assert!(like("100\\%", "100%") && !like("100\\%", "1000"));
        assert!(like("c:\\dir\\\\\\_", "C:\\dir\\_") && like("\\", "\\"));
        assert!(like("_", "\u{1f980}"));
    }

    #[test]
    fn contained_texts_have_no_wildcards() {
        let has = |part: &str, text: &str| Pattern::containing(part, &Limits::default()).unwrap().matches(text);
        assert!(has("50%", "at 50% off") && !has("5_%", "at 50% off"));
        assert!(has("", "") && has("É", "caféteria") && !has("b", "a"));
    }

    #[test]
    fn pattern_chars() {
        let limits = Limits {
            pattern_chars: 3,
            ..Limits::default()
        };
        assert!(Pattern::like("øøø", &limits).is_ok());
        assert_eq!(Pattern::like("abcd", &limits), Err(Error::LongPattern { limit: 3 }));
        assert_eq!(
            Pattern::containing("abcd", &limits),
            Err(Error::LongPattern { limit: 3 })
        );
    }

    #[test]
    fn patterns_of_many_words_carry_over() {
        let long = "ab".repeat(100);
        assert!(like(&long, &long.to_uppercase()));
        assert!(!like(&long, &long[1..]));
        assert!(like(&format!("{long}%"), &format!("{long}{long}")));
        assert!(like(&format!("%{}_b%", "ab".repeat(99)), &format!("x{long}y")));
        assert!(like(&"_".repeat(64), &"é".repeat(64)) && !like(&"_".repeat(64), &"é".repeat(65)));
    }

    #[test]
    fn no_pattern_makes_it_go_back() {
        // 10^30 ways to fail, for those who try each.
        let text = "a".repeat(1 << 20);
        assert!(!like(&"%a".repeat(60).replace("%a%a", "%a_a"), &format!("{text}b")));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(
            pattern in "[ab%_\\\\É]{0,8}", text in "[abAé%_\\\\]{0,10}", stretch in 0usize..3,
        ) {
            let expected = naive(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(like(&pattern, &text), expected, "{:?} {:?}", pattern, text);
            // The same with more than one word of states.
            let (head, pattern, text) = ("x".repeat(62 + stretch), pattern, text);
            prop_assert_eq!(like(&format!("{head}{pattern}"), &format!("{head}{text}")), expected);
        }
    }
}
