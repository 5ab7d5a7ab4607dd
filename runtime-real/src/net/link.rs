//! A connection of this node, whatever carries it.

use std::io;

use bytes::Bytes;

use super::exchange::{ExchangeReader, ExchangeWriter};
use super::socket::{SocketReader, SocketWriter};
use crate::driver::{FrameReader, FrameWriter, Link};

/// An open connection.
pub type NetLink = Link<NetReader, NetWriter>;

/// Frames from a WebSocket or of an HTTP exchange.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum NetReader {
    Socket(SocketReader),
    Exchange(ExchangeReader),
}

/// Frames to a WebSocket or of an HTTP exchange.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum NetWriter {
    Socket(SocketWriter),
    Exchange(ExchangeWriter),
}

impl FrameReader for NetReader {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Socket(reader) => reader.read().await,
            Self::Exchange(reader) => reader.read().await,
        }
    }
}

impl FrameWriter for NetWriter {
    async fn write(&mut self, frame: Bytes) -> io::Result<()> {
        match self {
            Self::Socket(writer) => writer.write(frame).await,
            Self::Exchange(writer) => writer.write(frame),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(writer) => writer.flush().await,
            Self::Exchange(_) => Ok(()),
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(writer) => writer.close().await,
            Self::Exchange(writer) => {
                writer.close();
                Ok(())
            }
        }
    }
}

impl From<Link<SocketReader, SocketWriter>> for NetLink {
    fn from(link: Link<SocketReader, SocketWriter>) -> Self {
        Self {
            kind: link.kind,
            reader: NetReader::Socket(link.reader),
            writer: NetWriter::Socket(link.writer),
        }
    }
}

impl From<Link<ExchangeReader, ExchangeWriter>> for NetLink {
    fn from(link: Link<ExchangeReader, ExchangeWriter>) -> Self {
        Self {
            kind: link.kind,
            reader: NetReader::Exchange(link.reader),
            writer: NetWriter::Exchange(link.writer),
        }
    }
}
