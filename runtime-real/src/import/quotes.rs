//! What the CSV parser forgives and a person would not: a quote that is never closed swallows the rest of a file, and text
//! after a closing quote is glued to the cell (RFC 4180 allows neither).

use std::collections::VecDeque;

/// Follows the quotes of a file as its bytes go by.
#[derive(Debug, Default)]
pub struct Quotes {
    state: State,
    bytes: u64,
    line: u64,
    opened_line: u64,
    ended: bool,
    /// Where text follows a closing quote: the byte and the line.
    strays: VecDeque<(u64, u64)>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A cell begins here.
    #[default]
    Start,
    Plain,
    Quoted,
    /// A quote within quotes: the end of the cell, or the first of two that stand for one.
    Closing,
}

impl Quotes {
    /// Takes the next bytes; none is the end of the file.
    pub fn read(&mut self, bytes: &[u8]) {
        self.ended |= bytes.is_empty();
        for byte in bytes {
            // A byte order mark is no part of the first cell.
            let is_mark = self.bytes < 3 && [0xef, 0xbb, 0xbf].contains(byte);
            if !is_mark {
                self.state = self.next(*byte);
            }
            self.line += u64::from(*byte == b'\n');
            self.bytes += 1;
        }
    }

    fn next(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Quoted, b'"') => State::Closing,
            (State::Quoted, _) | (State::Closing, b'"') => State::Quoted,
            (_, b',' | b'\n' | b'\r') => State::Start,
            (State::Start, b'"') => {
                self.opened_line = self.line + 1;
                State::Quoted
            }
            (State::Closing, _) => {
                self.strays.push_back((self.bytes, self.line + 1));
                State::Plain
            }
            _ => State::Plain,
        }
    }

    /// The line on which a quote was opened that the file ends without closing.
    pub fn unclosed(&self) -> Option<u64> {
        (self.ended && self.state == State::Quoted).then_some(self.opened_line)
    }

    /// The line of the first text after a closing quote before `byte`; asked in order, each is told once.
    pub fn stray_before(&mut self, byte: u64) -> Option<u64> {
        let mut first = None;
        while let Some((_, line)) = self.strays.pop_front_if(|(at, _)| *at < byte) {
            first.get_or_insert(line);
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Quotes {
        let mut quotes = Quotes::default();
        text.as_bytes().chunks(3).for_each(|chunk| quotes.read(chunk));
        quotes.read(&[]);
        quotes
    }

    #[test]
    fn a_quote_that_is_never_closed_is_found() {
        assert_eq!(after("a,b\n1,\"x\n2,y\n3,z\n").unclosed(), Some(2));
        for whole in [
            "a,\"b\"\n",
            "\u{feff}\"a\",b\n",
            "a,\"b\nc\"\n",
            "\"a\"\"b\"\n",
            "5\" pipe,b\n",
            "",
        ] {
            assert_eq!(after(whole).unclosed(), None, "{whole}");
        }
    }

    #[test]
    fn text_after_a_closing_quote_is_found_once() {
        let mut quotes = after("a\n\"x\"y\n\"z\"\n");
        assert_eq!(quotes.stray_before(3), None);
        assert_eq!(quotes.stray_before(100), Some(2));
        assert_eq!(quotes.stray_before(100), None);
    }
}
