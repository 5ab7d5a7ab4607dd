//! Walking over encoded values without copying them.

use core::str;

use super::{Error, Kind, Token, float};

/// A place within MessagePack bytes, moved over them value by value.
///
/// It borrows everything and allocates nothing. A call that fails leaves it where it was, so that another may be
/// tried. Bytes after the last value read are no error until [`Reader::end`] asks.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes lie behind.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes that lie ahead.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Whether no bytes lie ahead.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The kind of the next value, without moving.
    ///
    /// # Errors
    /// [`Error::UnexpectedEnd`] if there is none, [`Error::Reserved`] if nothing begins so. The rest of the value
    /// is not looked at.
    pub fn peek(&self) -> Result<Kind, Error> {
        let head = self.bytes.get(self.at).ok_or(Error::UnexpectedEnd)?;
        Kind::of(*head).ok_or(Error::Reserved { at: self.at })
    }

    /// Reads a null.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for anything else; [`Error::UnexpectedEnd`] and [`Error::Reserved`] as for all readings.
    pub fn null(&mut self) -> Result<(), Error> {
        self.token(Kind::Null, |token| match token {
            Token::Null => Some(Ok(())),
            _ => None,
        })
    }

    /// Reads a boolean.
    ///
    /// # Errors
    /// As for [`Reader::null`].
    pub fn bool(&mut self) -> Result<bool, Error> {
        self.token(Kind::Bool, |token| match token {
            Token::Bool(yes) => Some(Ok(yes)),
            _ => None,
        })
    }

    /// Reads an integer of any width, signed or not, or a float that is a whole number: JavaScript has one kind of
    /// number, and its encoders may send either. Minus zero is zero.
    ///
    /// # Errors
    /// As for [`Reader::null`], and [`Error::OutOfRange`] for a number that is negative, not whole, infinite,
    /// not a number, or 2^64 and more.
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.token(Kind::Int, |token| match token {
            Token::Uint(n) => Some(Ok(n)),
            Token::Int(n) => Some(u64::try_from(n).map_err(|_| Error::OutOfRange)),
            Token::Float(x) => Some(whole(x)),
            _ => None,
        })
    }

    /// Reads an integer as [`Reader::u64`] does, from -2^63 to 2^63 - 1.
    ///
    /// # Errors
    /// As for [`Reader::u64`], with that range.
    pub fn i64(&mut self) -> Result<i64, Error> {
        self.token(Kind::Int, |token| match token {
            Token::Uint(n) => Some(i64::try_from(n).map_err(|_| Error::OutOfRange)),
            Token::Int(n) => Some(Ok(n)),
            Token::Float(x) => Some(whole(x)),
            _ => None,
        })
    }

    /// Reads a float, or an integer that a float holds exactly: encoders shorten `1.0` to `1`. A 32-bit NaN comes
    /// out as [`f64::NAN`], a 64-bit float with the bits that it came with.
    ///
    /// # Errors
    /// As for [`Reader::null`], and [`Error::OutOfRange`] for an integer beyond 2^53 that would be rounded.
    pub fn f64(&mut self) -> Result<f64, Error> {
        self.token(Kind::Float, |token| match token {
            Token::Float(x) => Some(Ok(x)),
            Token::Uint(n) => Some(float::exact(n.into()).ok_or(Error::OutOfRange)),
            Token::Int(n) => Some(float::exact(n.into()).ok_or(Error::OutOfRange)),
            _ => None,
        })
    }

    /// Reads a text.
    ///
    /// # Errors
    /// As for [`Reader::null`], and [`Error::NotUtf8`].
    pub fn text(&mut self) -> Result<&'a str, Error> {
        let at = self.at;
        self.token(Kind::Text, |token| match token {
            Token::Text(bytes) => Some(str::from_utf8(bytes).map_err(|_| Error::NotUtf8 { at })),
            _ => None,
        })
    }

    /// Reads a byte string. A text is not one.
    ///
    /// # Errors
    /// As for [`Reader::null`].
    pub fn bin(&mut self) -> Result<&'a [u8], Error> {
        self.token(Kind::Bytes, |token| match token {
            Token::Bytes(bytes) => Some(Ok(bytes)),
            _ => None,
        })
    }

    /// Reads the head of a list and gives the number of its elements, which are the next values. At least as many
    /// bytes lie ahead.
    ///
    /// # Errors
    /// As for [`Reader::null`]; [`Error::UnexpectedEnd`] also for a count that the bytes ahead cannot hold.
    pub fn list(&mut self) -> Result<usize, Error> {
        self.token(Kind::List, |token| match token {
            Token::List(len) => Some(Ok(len)),
            _ => None,
        })
    }

    /// Reads the head of a map and gives the number of its pairs, which are the next values: a key, its value, the
    /// next key. At least twice as many bytes lie ahead.
    ///
    /// # Errors
    /// As for [`Reader::list`].
    pub fn map(&mut self) -> Result<usize, Error> {
        self.token(Kind::Map, |token| match token {
            Token::Map(pairs) => Some(Ok(pairs)),
            _ => None,
        })
    }

    /// Moves over one whole value of any kind, with all that is in it, however deep. Texts are not checked to be
    /// UTF-8.
    ///
    /// # Errors
    /// [`Error::UnexpectedEnd`] and [`Error::Reserved`].
    pub fn skip(&mut self) -> Result<(), Error> {
        let mut at = self.at;
        // Which lists the missing values belong to makes no difference, so their number is all that is kept.
        let mut missing = 1;
        while missing > 0 {
            let (token, next) = Token::read(self.bytes, at)?;
            at = next;
            // Both at most the length of the bytes, which is at most `isize::MAX`: no overflow.
            missing += token.children();
            missing -= 1;
            // Each takes a byte at least: a lie is found here, not at the end.
            if missing > self.bytes.len() - at {
                return Err(Error::UnexpectedEnd);
            }
        }
        self.at = at;
        Ok(())
    }

    /// Moves over one whole value as [`Reader::skip`] does, and gives its encoded bytes.
    ///
    /// # Errors
    /// As for [`Reader::skip`].
    pub fn raw(&mut self) -> Result<&'a [u8], Error> {
        let rest = self.rest();
        let start = self.at;
        self.skip()?;
        Ok(rest.get(..self.at - start).unwrap_or_default())
    }

    /// Checks that nothing lies ahead.
    ///
    /// # Errors
    /// [`Error::Trailing`].
    pub fn end(&self) -> Result<(), Error> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Error::Trailing { at: self.at })
        }
    }

    /// The next token as whatever `pick` makes of it. `pick` says `None` to one of the wrong kind.
    #[inline]
    fn token<T>(
        &mut self,
        expected: Kind,
        pick: impl FnOnce(Token<'a>) -> Option<Result<T, Error>>,
    ) -> Result<T, Error> {
        let (token, next) = Token::read(self.bytes, self.at)?;
        let picked = pick(token).unwrap_or(Err(Error::WrongKind {
            expected,
            found: token.kind(),
            at: self.at,
        }))?;
        self.at = next;
        Ok(picked)
    }

    /// The next token, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Token<'a>, Error> {
        let (token, next) = Token::read(self.bytes, self.at)?;
        self.at = next;
        Ok(token)
    }
}

/// A float as an integer of the type asked for.
fn whole<T: TryFrom<i128>>(x: f64) -> Result<T, Error> {
    let n = float::whole(x).ok_or(Error::OutOfRange)?;
    T::try_from(n).map_err(|_| Error::OutOfRange)
}
