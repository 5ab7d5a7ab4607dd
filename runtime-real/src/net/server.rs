//! The listener: TCP connections in, HTTP spoken on each.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use async_channel::{Receiver, bounded};
use async_io::Timer;
use futures_lite::AsyncWriteExt;
use futures_lite::future::or;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::LocalExecutor;
use smol::net::{TcpListener, TcpStream};
use smol_hyper::rt::{FuturesIo, SmolTimer};

use super::answer::refusal_text;
use super::handshake::{self, FIRST_BYTE, linger};
use super::link::NetLink;
use super::port::{Port, Rules, in_time};
use super::routes::{self, Caller};
use super::slot::{Slot, Slots};
use super::stream::Stream;
use crate::metrics::Sparingly;

/// Bytes of a request's head, and of what is read at once.
const HEAD_BYTES: usize = 64 << 10;

/// Links that may wait for the driver.
const LINKS_QUEUED: usize = 64;

/// The listener of a node.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    port: Rc<Port>,
    slots: Slots,
}

impl Server {
    /// Accepts on `listener`. The links that clients and peers open come out of the channel. What comes of requests runs on
    /// `executor`.
    pub fn new(listener: TcpListener, rules: Rules, executor: Rc<LocalExecutor<'static>>) -> (Self, Receiver<NetLink>) {
        let (links, accepted) = bounded(LINKS_QUEUED);
        let server = Self {
            listener,
            slots: Slots::new(rules.connections),
            port: Rc::new(Port::new(rules, links, executor)),
        };
        (server, accepted)
    }

    /// Accepts connections and serves them, for ever.
    pub async fn run(self) {
        let (limit, mut refused) = (self.port.rules.connections, Sparingly::default());
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => match self.slots.take() {
                    Some(slot) => {
                        let serving = serve(stream, from, Rc::clone(&self.port), Rc::new(slot));
                        self.port.executor.spawn(serving).detach();
                    }
                    None => {
                        if let Some(unsaid) = refused.may() {
                            tracing::warn!(%from, limit, unsaid, "refused: too many connections are open");
                        }
                        self.port.executor.spawn(turn_away(stream)).detach();
                    }
                },
                // The process is out of file descriptors, or the client is gone already: a moment later it may work.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    Timer::after(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, port: Rc<Port>, slot: Rc<Slot>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was lost before it began");
        return;
    }
    let Some(stream) = secured(stream, from, &port).await else {
        return;
    };
    let is_tls = matches!(stream, Stream::Tls(_));
    let caller = Rc::new(Caller { from, is_tls, slot });
    let patience = port.rules.patience;
    let service = service_fn(move |request| {
        let (port, caller) = (Rc::clone(&port), Rc::clone(&caller));
        async move { Ok::<_, std::convert::Infallible>(routes::answer(request, &port, &caller).await) }
    });
    let served = http1::Builder::new()
        .timer(SmolTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_BYTES)
        // Nobody needs it, and a clock before 1970 would make it panic.
        .auto_date_header(false)
        .serve_connection(FuturesIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

/// Looks at the first byte, and shakes hands with whoever begins TLS. `None` is nobody to talk with.
async fn secured(stream: TcpStream, from: SocketAddr, port: &Port) -> Option<Stream> {
    let (patience, mut first) = (port.rules.patience, [0]);
    match in_time(patience, stream.peek(&mut first)).await? {
        Ok(1) if first == [FIRST_BYTE] => {}
        Ok(_) => return Some(Stream::Plain(stream)),
        Err(error) => {
            tracing::debug!(%error, "a connection was lost before it said anything");
            return None;
        }
    }
    let Some(tls) = &port.rules.tls else {
        if let Some(unsaid) = port.no_tls.borrow_mut().may() {
            tracing::warn!(%from, unsaid, "refused: it speaks TLS, and this node has no certificate (--cluster-cert-file)");
        }
        linger(stream).await;
        return None;
    };
    let (reason, stream) = match in_time(patience, handshake::accept(tls, stream)).await {
        Some(Ok(stream)) => return Some(stream),
        Some(Err((reason, stream))) => (reason, Some(stream)),
        None => ("it did not end its TLS handshake in time".to_owned(), None),
    };
    if let Some(unsaid) = port.no_tls.borrow_mut().may() {
        tracing::warn!(%from, reason, unsaid, "refused: no mutual TLS with it");
    }
    if let Some(stream) = stream {
        linger(stream).await;
    }
    None
}

/// Says why there is no place, without reading a byte, and for no longer than a moment.
async fn turn_away(mut stream: TcpStream) {
    let hint = "close connections that are not needed, or connect to another node";
    let text = refusal_text(
        "too_many_connections",
        "this node has as many connections as it takes",
        hint,
    );
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n{text}",
        text.len()
    );
    let say = async {
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.close().await;
    };
    or(say, async {
        Timer::after(Duration::from_secs(1)).await;
    })
    .await;
}
