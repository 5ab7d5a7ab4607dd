//! What a run schedules in its world.

/// What is scheduled in the world, packed into its tokens: a kind, and which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Entry(usize),
    EndOf(usize),
    /// The next turn of a fault that comes again and again.
    Again(usize),
    Client(usize),
    Heal,
    Look,
    Sample,
}

impl Token {
    pub fn pack(self) -> u64 {
        let (kind, which) = match self {
            Token::Entry(entry) => (0, entry),
            Token::EndOf(entry) => (1, entry),
            Token::Client(client) => (2, client),
            Token::Heal => (3, 0),
            Token::Look => (4, 0),
            Token::Again(entry) => (5, entry),
            Token::Sample => (6, 0),
        };
        kind << 32 | which as u64
    }

    pub fn unpack(token: u64) -> Self {
        let which = (token & 0xffff_ffff) as usize;
        match token >> 32 {
            0 => Token::Entry(which),
            1 => Token::EndOf(which),
            2 => Token::Client(which),
            3 => Token::Heal,
            4 => Token::Look,
            5 => Token::Again(which),
            _ => Token::Sample,
        }
    }
}
