//! The log, on standard error.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use super::args::LogForm;

/// Begins logging. How much is said is `ORRERY_LOG_LEVEL`: `error`, `warn`, `info` (the default), `debug`, `trace`.
pub(super) fn begin(form: LogForm) {
    let level = std::env::var("ORRERY_LOG_LEVEL").ok();
    let level = level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let log = fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_ansi(false);
    match form {
        LogForm::Text => log.with_target(false).init(),
        LogForm::Json => log.json().flatten_event(true).init(),
    }
}
