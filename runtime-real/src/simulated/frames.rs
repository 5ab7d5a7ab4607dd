//! Whole frames over a stream of bytes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use madsim::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::net::{Pieces, Slot};
use crate::driver::{FrameReader, FrameWriter};

/// What stands where a length would: there will be no more frames.
const GOODBYE: u32 = u32::MAX;

/// Bytes of a length.
const HEAD: usize = 4;

/// A stream that two halves share. Neither keeps it over an await.
#[derive(Debug, Clone)]
pub(super) struct Stream(Rc<RefCell<TcpStream>>);

impl Stream {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Rc::new(RefCell::new(stream)))
    }

    /// Adds what has come to `buffer`; whether anything will.
    pub(super) async fn read(&self, buffer: &mut BytesMut, most: usize) -> io::Result<bool> {
        let mut chunk = vec![0; most];
        let mut chunk = ReadBuf::new(&mut chunk);
        poll_fn(|context| Pin::new(&mut *self.0.borrow_mut()).poll_read(context, &mut chunk)).await?;
        buffer.extend_from_slice(chunk.filled());
        Ok(!chunk.filled().is_empty())
    }

    /// Sends `bytes`.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            let taken = poll_fn(|context| Pin::new(&mut *self.0.borrow_mut()).poll_write(context, left)).await?;
            left = &left[taken..];
        }
        poll_fn(|context| Pin::new(&mut *self.0.borrow_mut()).poll_flush(context)).await
    }
}

/// Frames out of a stream: each behind its length, four bytes, the most significant first.
#[derive(Debug)]
pub struct FramedReader {
    stream: Stream,
    buffer: BytesMut,
    frame_bytes: usize,
    pieces: Rc<Pieces>,
    _slot: Option<Rc<Slot>>,
}

/// Frames into a stream.
#[derive(Debug)]
pub struct FramedWriter {
    stream: Stream,
    buffer: BytesMut,
    pieces: Rc<Pieces>,
    _slot: Option<Rc<Slot>>,
}

/// Both halves of a stream. `buffer` holds what was read of it already.
pub(super) fn halves(
    stream: Stream,
    buffer: BytesMut,
    frame_bytes: usize,
    pieces: Rc<Pieces>,
    slot: Option<Slot>,
) -> (FramedReader, FramedWriter) {
    let slot = slot.map(Rc::new);
    let reader = FramedReader {
        stream: stream.clone(),
        buffer,
        frame_bytes,
        pieces: Rc::clone(&pieces),
        _slot: slot.clone(),
    };
    let writer = FramedWriter {
        stream,
        buffer: BytesMut::new(),
        pieces,
        _slot: slot,
    };
    (reader, writer)
}

impl FrameReader for FramedReader {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<HEAD>() {
                let length = u32::from_be_bytes(*length);
                if length == GOODBYE {
                    return Ok(None);
                }
                if length as usize > self.frame_bytes {
                    let reason = format!("a frame of {length} bytes, and {} are the most", self.frame_bytes);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                }
                if self.buffer.len() >= HEAD + length as usize {
                    self.buffer.advance(HEAD);
                    return Ok(Some(self.buffer.split_to(length as usize).freeze()));
                }
            }
            let most = self.pieces.read_bytes();
            if !self.stream.read(&mut self.buffer, most).await? {
                let reason = format!(
                    "the stream ended without a goodbye, {} bytes into a frame",
                    self.buffer.len()
                );
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
            }
        }
    }
}

impl FrameWriter for FramedWriter {
    async fn write(&mut self, frame: Bytes) -> io::Result<()> {
        self.buffer.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        self.buffer.extend_from_slice(&frame);
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        // In pieces, with time between them: a node can be killed in the middle of a frame.
        while let Some(piece) = self.pieces.next(self.buffer.len()) {
            let bytes = self.buffer.split_to(piece);
            self.stream.write(&bytes).await?;
            if !self.buffer.is_empty() {
                self.pieces.pause().await;
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.buffer.extend_from_slice(&GOODBYE.to_be_bytes());
        self.flush().await
    }
}
