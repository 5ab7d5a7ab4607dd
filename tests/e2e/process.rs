//! A node as a process, and the command line against it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How long to wait before asking again.
pub const PAUSE: Duration = Duration::from_millis(10);

/// What a command left behind.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The binary with these arguments, untouched by the environment of whoever runs the tests.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtime-real"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORRERY_") {
            command.env_remove(name);
        }
    }
    command.env_remove("CARGO").args(args).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn run(args: &[&str]) -> Done {
    let output = command(args).output().unwrap();
    Done {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running node. Killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    pub addr: String,
    err: PathBuf,
}

impl Process {
    /// Starts a node on the folder `data`, where it may listen on any port, and waits until it serves.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same, with more arguments.
    pub fn start_with(data: &Path, more: &[&str]) -> Self {
        let node = Self::launch(data, more);
        node.await_ready();
        node
    }

    /// The same, and waits only until it listens.
    pub fn launch(data: &Path, more: &[&str]) -> Self {
        let mut args = vec!["serve", "--data", data.to_str().unwrap()];
        if !more.contains(&"--listen") {
            args.extend(["--listen", "127.0.0.1:0"]);
        }
        args.extend(more);
        // Beside the data folder, which must not hold other files.
        let err = data.with_extension("stderr");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&err)
            .unwrap();
        let mut child = command(&args).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        let mut node = Self {
            child,
            lines,
            addr: String::new(),
            err,
        };
        node.addr = node.await_line("listening on ");
        node
    }

    /// Waits until it says that it serves.
    pub fn await_ready(&self) {
        self.await_line("ready;");
    }

    /// Waits until its log has a line in which all of this stands.
    pub fn await_log(&self, parts: &[&str]) {
        let is_told = |line: &str| parts.iter().all(|part| line.contains(part));
        eventually(&format!("the log says {parts:?}; it is:\n{}", self.log()), || {
            self.log().lines().any(is_told).then_some(())
        });
    }

    /// What follows `start` in the line that has it.
    pub fn await_line(&self, start: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some((_, rest)) = line.split_once(start) {
                        return rest.to_owned();
                    }
                }
                Err(error) => panic!("no line with {start:?} ({error}); the log is:\n{}", self.log()),
            }
        }
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    /// Pulls the plug, as far as a process has one.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the process ends", || child.try_wait().unwrap())
    }

    /// Runs a command against it.
    pub fn cli(&self, args: &[&str]) -> Done {
        run(&[args, &["--addr", &self.addr]].concat())
    }

    /// Runs a command against it that must work, and gives what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let done = self.cli(args);
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}\n{}", self.log());
        done.out.trim_end().to_owned()
    }

    /// One field of its status.
    pub fn status(&self, field: &str) -> String {
        let status: serde_json::Value = serde_json::from_str(&self.ok(&["status", "--format", "json"])).unwrap();
        status[field].to_string()
    }

    /// How the cluster is in its eyes.
    pub fn cluster(&self) -> serde_json::Value {
        serde_json::from_str(&self.ok(&["cluster", "status", "--format", "json"])).unwrap()
    }

    /// An HTTP request on a connection of its own: the status line, the head and the body of the answer.
    pub fn http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
            self.addr
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..split].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[split + 4..].to_vec())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream, as they come.
pub fn lines_of(out: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

/// Asks again and again until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        thread::park_timeout(PAUSE);
    }
}

/// Addresses that were free a moment ago.
pub fn free_addrs<const N: usize>() -> [String; N] {
    // All are held at once, so that they differ.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().to_string())
}
