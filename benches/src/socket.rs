//! A client's side of a WebSocket, made by hand: the load generator shares its machine with the nodes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// How long a node may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens a connection to a node.
///
/// # Errors
/// If nothing listens there, or what does is no node that takes clients.
pub fn dial(addr: &str) -> Result<TcpStream, Failure> {
    let place: SocketAddr = addr.parse()?;
    let mut stream = TcpStream::connect_timeout(&place, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let ask = format!(
        "GET /ws HTTP/1.1\r\nhost: {addr}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(ask.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    match head.starts_with(b"HTTP/1.1 101") {
        true => Ok(stream),
        false => Err(String::from_utf8_lossy(&head).into_owned().into()),
    }
}

/// The head of a frame with so long a payload. A client's frames are masked; a mask of zeros leaves them as they are, and is
/// unmasked like any other.
pub fn head(len: usize) -> Vec<u8> {
    let mut head = vec![0x82];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..=125), _) => head.push(0x80 | len),
        (_, Ok(len)) => {
            head.push(0xfe);
            head.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            head.push(0xff);
            head.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    head.extend_from_slice(&[0; 4]);
    head
}

/// The lengths of the first frame's head and payload, if its head is there. A server's frames carry no mask.
pub fn frame(input: &[u8]) -> Option<(usize, usize)> {
    match *input.get(1)? {
        126 => Some((4, u16::from_be_bytes(input.get(2..4)?.try_into().ok()?).into())),
        127 => Some((10, u64::from_be_bytes(input.get(2..10)?.try_into().ok()?) as usize)),
        len => Some((2, len.into())),
    }
}
