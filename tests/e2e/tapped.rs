//! A proxy that listens in: what passes between nodes, as whoever owns the wire sees it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Everything that passed a proxy, in the order in which it was read.
#[derive(Clone, Default)]
pub struct Tapped(Arc<Mutex<Vec<u8>>>);

impl Tapped {
    /// Passes on what comes to `listener`, to `to` and back, and writes it down. Several may write into one.
    pub fn pass(&self, listener: TcpListener, to: String) {
        let tapped = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Ok(onward) = TcpStream::connect(&to) else { continue };
                let ends = [(&stream, &onward), (&onward, &stream)];
                for (from, to) in ends.map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap())) {
                    let tapped = tapped.clone();
                    thread::spawn(move || tapped.copy(from, to));
                }
            }
        });
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut piece = vec![0; 64 << 10];
        while let Ok(bytes @ 1..) = from.read(&mut piece) {
            self.0.lock().unwrap().extend(&piece[..bytes]);
            if to.write_all(&piece[..bytes]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }

    /// Whether this could be read on the wire.
    pub fn saw(&self, what: &str) -> bool {
        let seen = self.0.lock().unwrap();
        seen.windows(what.len()).any(|part| part == what.as_bytes())
    }

    /// How much there was to read.
    pub fn bytes(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
