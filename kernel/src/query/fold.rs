//! One character for all cases of a letter.

/// The character that stands for `c` and its other case: Unicode's simple case folding, by the tables of the standard library.
/// Letters whose other case is more than one character (`ß`, `İ`) stand for themselves, and so does `ı`, as in Unicode.
pub(super) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    if c == 'ı' {
        return c;
    }
    let upper = single(c.to_uppercase()).unwrap_or(c);
    single(upper.to_lowercase()).unwrap_or(upper)
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_fold_together_and_letters_do_not() {
        for (a, b) in [
            ('A', 'a'),
            ('É', 'é'),
            ('ς', 'Σ'),
            ('ß', 'ẞ'),
            ('ſ', 's'),
            ('\u{212a}', 'K'),
            ('ǅ', 'ǆ'),
        ] {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        for (a, b) in [('a', 'b'), ('e', 'é'), ('i', 'ı'), ('İ', 'i'), ('1', 'l')] {
            assert_ne!(fold(a), fold(b), "{a} {b}");
        }
    }

    #[test]
    fn folding_twice_is_folding_once() {
        for c in '\0'..=char::MAX {
            assert_eq!(fold(fold(c)), fold(c), "{c:?}");
        }
    }
}
