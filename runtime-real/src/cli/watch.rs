//! `watch`: the records that match, and each change of that.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use async_io::Timer;
use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use futures_lite::future::{block_on, or};
use kernel::query::{ChangeType, Query};

use super::data::writer_name;
use super::output::{Output, Stop};
use super::query::{QueryArgs, RowForm, visible};
use super::rows::{json_text, key_text, text};
use super::{Exit, complain};
use crate::client::{Answer, Client, Heard};

/// Shortest and longest pause before a node that is away is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

pub(super) fn run(args: &QueryArgs) -> Exit {
    let (query, writer) = match (args.query(), writer_name()) {
        (Ok(query), Ok(writer)) => (query, writer),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let mut signals = match Signals::new([Signal::Int, Signal::Term]) {
        Ok(signals) => signals,
        Err(error) => {
            complain("no_signals", &error, "");
            return Exit::Usage;
        }
    };
    let mut watch = Watch {
        args,
        form: args.form(),
        out: Output::new(),
        known: BTreeMap::new(),
    };
    let interrupted = async {
        signals.next().await;
        Exit::Done
    };
    let watching = async {
        match watch.follow(&query, &writer).await {
            Ok(never) => never,
            Err(stop) => stop.exit(),
        }
    };
    block_on(or(interrupted, watching))
}

struct Watch<'a> {
    args: &'a QueryArgs,
    form: RowForm,
    out: Output,
    /// What was printed and is still so.
    known: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Watch<'_> {
    /// Prints until something stops it. A node that goes away is waited for; what has changed meanwhile is printed then.
    async fn follow(&mut self, query: &Query, writer: &str) -> Result<Exit, Stop> {
        let (mut pause, mut was_there) = (PAUSE.0, false);
        loop {
            match self.converse(query, writer, &mut was_there, &mut pause).await {
                Stop::Node(error) if was_there && error.is_for_now() => {
                    if pause == PAUSE.0 {
                        complain(error.code(), &format_args!("{error}; waiting for it to come back"), "");
                    }
                    Timer::after(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                stop => return Err(stop),
            }
        }
    }

    async fn converse(&mut self, query: &Query, writer: &str, was_there: &mut bool, pause: &mut Duration) -> Stop {
        let node = &self.args.node;
        let conversation = async {
            let mut client = Client::connect(&node.addr, node.token.as_deref(), writer.to_owned()).await?;
            client.follow(query).await?;
            loop {
                match client.next().await? {
                    Heard::All(rows) => {
                        if std::mem::replace(was_there, true) && *pause != PAUSE.0 {
                            let _ = io::Write::write_all(&mut io::stderr(), b"the node is back\n");
                        }
                        *pause = PAUSE.0;
                        self.all(rows)?;
                    }
                    Heard::Change(change) => {
                        match &change.value {
                            Some(value) => self.known.insert(change.key.clone(), value.clone()),
                            None => self.known.remove(&change.key),
                        };
                        self.print(change.change, &change.key, change.value.as_deref())?;
                    }
                }
                self.out.flush()?;
            }
        };
        let ended: Result<std::convert::Infallible, Stop> = conversation.await;
        match ended {
            Err(stop) => stop,
        }
    }

    /// Prints how a whole answer differs from what was printed: at first, all of it.
    fn all(&mut self, rows: Vec<Answer>) -> Result<(), Stop> {
        let mut gone = std::mem::take(&mut self.known);
        let mut news = Vec::new();
        for (key, value) in rows {
            match gone.remove(&key) {
                Some(old) if old == value => {}
                Some(_) => news.push((ChangeType::Update, key.clone())),
                None => news.push((ChangeType::Enter, key.clone())),
            }
            self.known.insert(key, value);
        }
        for key in gone.keys() {
            self.print(ChangeType::Leave, key, None)?;
        }
        for (change, key) in news {
            let value = self.known.get(&key).cloned();
            self.print(change, &key, value.as_deref())?;
        }
        Ok(())
    }

    fn print(&mut self, change: ChangeType, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        let (key, value) = (key_text(key), value.map(json_text));
        match self.form {
            RowForm::Table => {
                let sign = match change {
                    ChangeType::Enter => '+',
                    ChangeType::Update => '~',
                    ChangeType::Leave => '-',
                };
                let value = visible(&value.unwrap_or_default());
                let line = format!("{sign} {} {value}", visible(&key));
                self.out.line(&line.trim_end())
            }
            // What has no end is no array.
            RowForm::Json | RowForm::Ndjson => {
                let value = value.map_or(String::new(), |value| format!(",\"value\":{value}"));
                self.out.line(&format_args!(
                    "{{\"change\":\"{}\",\"key\":{}{value}}}",
                    change.word(),
                    text(&key)
                ))
            }
        }
    }
}
