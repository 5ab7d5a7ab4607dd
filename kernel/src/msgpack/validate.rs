//! Checking a value once, at the edge.

use alloc::vec::Vec;
use core::str;

use super::{Error, Token};

/// Checks that `bytes` are exactly one value with nothing after it, that its lists and maps nest at most `depth`
/// deep (a number is at depth 0, an empty list at 1), and that every text in it is UTF-8. A map's keys may be of
/// any kind and may repeat; an extension's payload may be anything.
///
/// What it holds beside `bytes` is a number for each open list and map, so at most `depth` of them.
///
/// # Errors
/// Any [`Error`] but [`Error::WrongKind`] and [`Error::OutOfRange`]: the first that is met.
pub fn validate(bytes: &[u8], depth: usize) -> Result<(), Error> {
    let mut at = 0;
    // How many values each open list or map still misses, without the one being read.
    let mut open: Vec<usize> = Vec::new();
    loop {
        let (token, next) = Token::read(bytes, at)?;
        match token {
            Token::Text(text) => {
                str::from_utf8(text).map_err(|_| Error::NotUtf8 { at })?;
            }
            Token::List(_) | Token::Map(_) => {
                if open.len() >= depth {
                    return Err(Error::TooDeep { limit: depth });
                }
                open.push(token.children());
            }
            _ => {}
        }
        at = next;
        while open.last() == Some(&0) {
            open.pop();
        }
        match open.last_mut() {
            Some(missing) => *missing -= 1,
            None => break,
        }
    }
    if at < bytes.len() {
        return Err(Error::Trailing { at });
    }
    Ok(())
}
