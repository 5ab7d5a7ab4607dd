//! How far an import is: a bar on a terminal, a line a second elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Bad rows that are told one by one; of more there is only the number.
const BAD_ROWS_TOLD: u64 = 20;

pub(super) struct Progress {
    began: Instant,
    told: Instant,
    /// Of the file, where that is known.
    total_bytes: Option<u64>,
    /// Read of it so far.
    read_bytes: Arc<AtomicU64>,
    bar: Option<ProgressBar>,
    pub acknowledged: u64,
    pub skipped: u64,
}

impl Progress {
    pub fn new(total_bytes: Option<u64>, read_bytes: Arc<AtomicU64>) -> Self {
        let bar = io::stderr().is_terminal().then(|| bar(total_bytes));
        let now = Instant::now();
        Self {
            began: now,
            told: now,
            total_bytes,
            read_bytes,
            bar,
            acknowledged: 0,
            skipped: 0,
        }
    }

    pub fn acknowledged(&mut self, rows: usize) {
        self.acknowledged += rows as u64;
        let read = self.read_bytes.load(Ordering::Relaxed);
        let done = format!("{} rows acknowledged, {} rows/s", self.acknowledged, self.rate());
        match &self.bar {
            Some(bar) => {
                bar.set_position(read);
                bar.set_message(done);
            }
            None if self.told.elapsed() >= LINE_EVERY => {
                self.told = Instant::now();
                self.say(&format!("{done}{}", self.left(read)));
            }
            None => {}
        }
    }

    pub fn skipped(&mut self, what: &str) {
        self.skipped += 1;
        if self.skipped <= BAD_ROWS_TOLD {
            self.say(&format!("skipped: {what}"));
        } else if self.skipped == BAD_ROWS_TOLD + 1 {
            self.say("skipped: more, which are only counted");
        }
    }

    /// Says a line, above the bar if there is one.
    pub fn say(&self, line: &str) {
        let write = || {
            let _ = writeln!(io::stderr(), "{line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Rows a second since it began.
    pub fn rate(&self) -> u64 {
        (self.acknowledged as f64 / self.began.elapsed().as_secs_f64().max(1e-3)) as u64
    }

    /// The time that is left, if it goes on as it went.
    fn left(&self, read: u64) -> String {
        let Some(total) = self.total_bytes.filter(|total| read > 0 && *total >= read) else {
            return String::new();
        };
        let seconds = self.began.elapsed().as_secs_f64() * ((total - read) as f64 / read as f64);
        format!(", {seconds:.0} s left")
    }
}

fn bar(total_bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match total_bytes {
        Some(total) => (ProgressBar::new(total), "[{bar:30}] {percent}%  {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    // The template is one of the two above; were it wrong, the default would do.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.progress_chars("=> "))
}
