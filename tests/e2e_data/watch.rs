//! A query that is watched.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{DEADLINE, Process, command, eventually, lines_of};

pub struct Watch {
    child: Child,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Watch {
    pub fn start(node: &Process, args: &[&str]) -> Self {
        let args = [&["watch"], args, &["--addr", &node.addr]].concat();
        let mut child = command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stdout.take().unwrap());
        let errors = lines_of(child.stderr.take().unwrap());
        Self { child, lines, errors }
    }

    pub fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap()
    }

    fn error(&self) -> String {
        self.errors.recv_timeout(DEADLINE).unwrap()
    }

    fn interrupt(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let child = &mut self.child;
        eventually("watch ends", || child.try_wait().unwrap()).code()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_enters_changes_and_leaves_is_seen_also_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let node = Process::start(&data);
    let addr = node.addr.clone();
    node.ok(&["set", "m", "a", "{\"n\": 1}"]);
    node.ok(&["set", "m", "b", "{\"n\": 5}"]);
    let watch = Watch::start(&node, &["m", "n > 2"]);
    let table = Watch::start(&node, &["m", "n > 2", "--format", "table"]);
    assert_eq!(watch.line(), "{\"change\":\"ENTER\",\"key\":\"b\",\"value\":{\"n\":5}}");
    assert_eq!(table.line(), "+ b {\"n\":5}");

    let began = Instant::now();
    node.ok(&["set", "m", "a", "{\"n\": 3}"]);
    assert_eq!(watch.line(), "{\"change\":\"ENTER\",\"key\":\"a\",\"value\":{\"n\":3}}");
    println!("set, and seen by watch, after {:?}", began.elapsed());
    node.ok(&["set", "m", "a", "{\"n\": 4}"]);
    assert_eq!(
        watch.line(),
        "{\"change\":\"UPDATE\",\"key\":\"a\",\"value\":{\"n\":4}}"
    );
    node.ok(&["set", "m", "a", "{\"n\": 1}"]);
    assert_eq!(watch.line(), "{\"change\":\"LEAVE\",\"key\":\"a\"}");
    assert_eq!(
        [(); 3].map(|()| table.line()),
        ["+ a {\"n\":3}", "~ a {\"n\":4}", "- a"]
    );

    node.kill();
    assert!(watch.error().contains("waiting for it to come back"));
    let node = Process::start_with(&data, &["--listen", &addr]);
    // Nothing has changed, so the next that is said is the next change.
    assert_eq!(watch.error(), "the node is back");
    node.ok(&["del", "m", "b"]);
    assert_eq!(watch.line(), "{\"change\":\"LEAVE\",\"key\":\"b\"}");
    assert_eq!(watch.interrupt(), Some(0));
}

#[test]
fn who_has_seen_enough_can_close_the_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let node = Process::start(&dir.path().join("data"));
    node.ok(&["set", "m", "a", "1"]);
    let args = ["watch", "m", "--addr", &node.addr];
    let mut child = command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"change\":\"ENTER\",\"key\":\"a\",\"value\":1}\n");
    drop(out);
    node.ok(&["set", "m", "a", "2"]);
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), &done.stderr[..]), (Some(0), &b""[..]));
}
