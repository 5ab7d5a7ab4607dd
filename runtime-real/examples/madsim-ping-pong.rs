//! Two tasks that exchange messages over madsim's network, and nothing else: what the simulated runtime costs by itself.
//!
//! `BENCH=1 .ci/madsim [MESSAGES]` runs it, and leaves it where `benches run sim-steps` finds it. It prints one line: messages (each
//! way counts), CPU-seconds of its thread, virtual seconds, and messages a CPU-second.

use std::env;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use madsim::net::{TcpListener, TcpStream};
use madsim::runtime::Runtime;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a message.
const BYTES: usize = 16;

async fn give(stream: &mut TcpStream, message: &[u8; BYTES]) -> io::Result<()> {
    let taken = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, message)).await?;
    assert_eq!(taken, BYTES, "madsim takes all that it is given");
    poll_fn(|context| Pin::new(&mut *stream).poll_flush(context)).await
}

/// The next message; whether there was one.
async fn take(stream: &mut TcpStream, message: &mut [u8; BYTES]) -> io::Result<bool> {
    let mut buffer = ReadBuf::new(message);
    poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await?;
    Ok(buffer.filled().len() == BYTES)
}

async fn pong(addr: SocketAddr) -> io::Result<()> {
    let (mut stream, _) = TcpListener::bind(addr).await?.accept().await?;
    let mut message = [0; BYTES];
    while take(&mut stream, &mut message).await? {
        give(&mut stream, &message).await?;
    }
    Ok(())
}

async fn ping(addr: SocketAddr, rounds: u64) -> io::Result<()> {
    // The listener may not be there yet.
    madsim::time::sleep(Duration::from_secs(1)).await;
    let mut stream = TcpStream::connect(addr).await?;
    let mut message = [0; BYTES];
    for round in 0..rounds {
        message[..8].copy_from_slice(&round.to_be_bytes());
        give(&mut stream, &message).await?;
        let came = take(&mut stream, &mut message).await?;
        assert!(
            came && message[..8] == round.to_be_bytes(),
            "the answer to {round} is itself"
        );
    }
    Ok(())
}

fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn main() -> ExitCode {
    let messages = env::args().nth(1).map_or(Ok(400_000), |word| word.parse::<u64>());
    let Ok(messages) = messages else {
        eprintln!("usage: madsim-ping-pong [MESSAGES], a number");
        return ExitCode::from(2);
    };
    let (runtime, addr) = (
        Runtime::with_seed_and_config(1, madsim::Config::default()),
        ([10, 0, 0, 1], 1).into(),
    );
    let (one, other) = (
        runtime.create_node().ip([10, 0, 0, 1].into()).build(),
        runtime.create_node().ip([10, 0, 0, 2].into()).build(),
    );
    let start_s = cpu_s();
    one.spawn(pong(addr));
    let played = runtime.block_on(async {
        let played = other.spawn(ping(addr, messages / 2)).await;
        (played, madsim::time::TimeHandle::current().elapsed())
    });
    let spent_s = cpu_s() - start_s;
    let (Ok(Ok(())), virtual_time) = played else {
        eprintln!("the exchange broke off: {played:?}");
        return ExitCode::FAILURE;
    };
    let messages = messages / 2 * 2;
    let (virtual_s, per_cpu_s) = (virtual_time.as_secs(), messages as f64 / spent_s);
    println!(
        "{messages} messages in {spent_s:.3} CPU-seconds and {virtual_s} virtual ones: {per_cpu_s:.0} a CPU-second"
    );
    ExitCode::SUCCESS
}
