//! The least of a Redis client: commands over TCP, and what is answered (RESP, version 2).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Failure;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A word.
    Word(String),
    /// A refusal.
    Error(String),
    /// A number.
    Number(i64),
    /// Bytes, or nothing.
    Bytes(Option<Vec<u8>>),
    /// Answers in a row.
    List(Vec<Reply>),
}

/// An open connection to a Redis node.
#[derive(Debug)]
pub struct Redis {
    reader: BufReader<TcpStream>,
}

impl Redis {
    /// Connects.
    pub fn open(addr: &str) -> Result<Self, Failure> {
        Self::patient(addr, Duration::from_secs(5))
    }

    /// Connects, and waits no longer than that for an answer.
    pub fn patient(addr: &str, patience: Duration) -> Result<Self, Failure> {
        let stream = TcpStream::connect_timeout(&addr.parse()?, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let reader = BufReader::new(stream);
        Ok(Self { reader })
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, words: &[&str]) -> Result<Reply, Failure> {
        let mut out = Vec::new();
        command(words, &mut out);
        self.send(&out)?;
        self.receive()
    }

    /// Sends commands.
    pub fn send(&mut self, commands: &[u8]) -> Result<(), Failure> {
        Ok(self.reader.get_mut().write_all(commands)?)
    }

    /// The next answer.
    pub fn receive(&mut self) -> Result<Reply, Failure> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err("the node closed the connection".into());
        }
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).ok_or("an empty line")?;
        match kind {
            "+" => Ok(Reply::Word(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Number(rest.parse()?)),
            "$" if rest == "-1" => Ok(Reply::Bytes(None)),
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>()? + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Ok(Reply::Bytes(Some(bytes)))
            }
            "*" => {
                let count = rest.parse::<i64>()?.max(0);
                Ok(Reply::List(
                    (0..count).map(|_| self.receive()).collect::<Result<_, _>>()?,
                ))
            }
            _ => Err(format!("a Redis node said {line:?}").into()),
        }
    }
}

/// Appends a command.
pub fn command(words: &[&str], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

impl Reply {
    /// As a text; empty if it is none.
    pub fn text(&self) -> String {
        match self {
            Self::Word(text) => text.clone(),
            Self::Bytes(Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }

    /// As a list; empty if it is none.
    pub fn list(&self) -> &[Reply] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    /// As a number; 0 if it is none.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            _ => 0,
        }
    }
}
