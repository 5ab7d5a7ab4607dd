//! Many lines on standard output.

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};

use super::data::failed;
use super::{Exit, complain};
use crate::client::ClientError;

/// Why lines could not be printed, or were not there to be printed.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody reads them any more, or they cannot be written.
    Output(io::Error),
    /// The node did not give them.
    Node(ClientError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Node(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Stop {
    /// Says what went wrong, and how the process ends for it. Who closed standard output has seen enough: that is no error.
    pub fn exit(self) -> Exit {
        match self {
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Done,
            Self::Output(error) => {
                complain("cannot_write", &error, "");
                Exit::Usage
            }
            Self::Node(error) => failed(&error),
        }
    }
}

/// Standard output, a line at a time.
pub(super) struct Output {
    out: BufWriter<StdoutLock<'static>>,
}

impl Output {
    pub fn new() -> Self {
        Self {
            out: BufWriter::with_capacity(64 << 10, io::stdout().lock()),
        }
    }

    pub fn line(&mut self, text: &dyn Display) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
