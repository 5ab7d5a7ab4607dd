//! What the driver needs of a runtime: a clock, and a network that carries whole frames.

use std::future::Future;
use std::io;

use bytes::Bytes;
use kernel::env::Now;
use kernel::machine::ConnKind;

/// The two clocks of the machine that this process runs on.
pub trait Clock: 'static {
    /// What they show.
    fn now(&self) -> Now;

    /// Comes back when [`Now::mono_us`] has reached `mono_us`.
    fn sleep_until(&self, mono_us: u64) -> impl Future<Output = ()>;

    /// Comes back in `us` microseconds.
    fn sleep(&self, us: u64) -> impl Future<Output = ()> {
        self.sleep_until(self.now().mono_us.saturating_add(us))
    }
}

/// A network that carries whole frames, and the tasks that move them.
///
/// Everything of a driver runs on one thread, so nothing here needs to be `Send`.
pub trait Net: 'static {
    /// The half of a connection that frames come out of.
    type Reader: FrameReader;
    /// The half of a connection that frames go into.
    type Writer: FrameWriter;

    /// The next connection that somebody opened to us. An error ends accepting for good. How many there may be is the
    /// network's to limit, because it can say so in its own words; the machine has the last one.
    fn accept(&self) -> impl Future<Output = io::Result<LinkOf<Self>>>;

    /// Opens a connection. `addr` is as the node was configured.
    fn dial(&self, addr: String) -> impl Future<Output = io::Result<LinkOf<Self>>>;

    /// Runs a task beside the driver.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
}

/// An open connection, before the driver numbers it.
#[derive(Debug)]
pub struct Link<R, W> {
    /// What it can do.
    pub kind: ConnKind,
    /// Frames come out of here.
    pub reader: R,
    /// Frames go in here.
    pub writer: W,
}

/// The [`Link`] of a [`Net`].
pub type LinkOf<N> = Link<<N as Net>::Reader, <N as Net>::Writer>;

/// The half of a connection that frames come out of.
pub trait FrameReader: 'static {
    /// The next whole frame; `None` when the other side closed.
    fn read(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>>;
}

/// The half of a connection that frames go into.
pub trait FrameWriter: 'static {
    /// Takes a frame, and may keep it until [`flush`](FrameWriter::flush).
    fn write(&mut self, frame: Bytes) -> impl Future<Output = io::Result<()>>;

    /// Hands all that was written to the transport.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Says goodbye to the other side.
    fn close(&mut self) -> impl Future<Output = io::Result<()>>;
}
