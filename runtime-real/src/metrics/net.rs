//! A network whose frames are counted.

use std::future::Future;
use std::io;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

use super::{ByRole, Metrics};
use crate::driver::{FrameReader, FrameWriter, Link, LinkOf, Net};

/// Counts connections, frames and bytes of the network inside.
#[derive(Debug)]
pub struct MeteredNet<N> {
    net: N,
    metrics: Metrics,
}

/// Counts frames that come.
#[derive(Debug)]
pub struct MeteredReader<R> {
    reader: R,
    frames: Counter,
    bytes: Counter,
}

/// Counts frames that go.
#[derive(Debug)]
pub struct MeteredWriter<W> {
    writer: W,
    frames: Counter,
    bytes: Counter,
}

impl<N: Net> MeteredNet<N> {
    /// Counts what `net` carries.
    pub fn new(net: N, metrics: Metrics) -> Self {
        Self { net, metrics }
    }

    fn metered(&self, link: LinkOf<N>) -> LinkOf<Self> {
        let role = ByRole::from(link.kind.role);
        let metrics = &self.metrics;
        metrics.opened.get_or_create(&role).inc();
        Link {
            kind: link.kind,
            reader: MeteredReader {
                reader: link.reader,
                frames: metrics.frames_in.get_or_create_owned(&role),
                bytes: metrics.bytes_in.get_or_create_owned(&role),
            },
            writer: MeteredWriter {
                writer: link.writer,
                frames: metrics.frames_out.get_or_create_owned(&role),
                bytes: metrics.bytes_out.get_or_create_owned(&role),
            },
        }
    }
}

impl<N: Net> Net for MeteredNet<N> {
    type Reader = MeteredReader<N::Reader>;
    type Writer = MeteredWriter<N::Writer>;

    async fn accept(&self) -> io::Result<LinkOf<Self>> {
        self.net.accept().await.map(|link| self.metered(link))
    }

    async fn dial(&self, addr: String) -> io::Result<LinkOf<Self>> {
        self.net.dial(addr).await.map(|link| self.metered(link))
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.net.spawn(task);
    }
}

impl<R: FrameReader> FrameReader for MeteredReader<R> {
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let frame = self.reader.read().await?;
        if let Some(frame) = &frame {
            self.frames.inc();
            self.bytes.inc_by(frame.len() as u64);
        }
        Ok(frame)
    }
}

impl<W: FrameWriter> FrameWriter for MeteredWriter<W> {
    async fn write(&mut self, frame: Bytes) -> io::Result<()> {
        self.frames.inc();
        self.bytes.inc_by(frame.len() as u64);
        self.writer.write(frame).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.writer.close().await
    }
}
