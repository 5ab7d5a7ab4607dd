//! The log, on standard error.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use super::settings::Config;

/// Begins logging, in the form and to the level that were asked for.
pub(super) fn begin(config: &Config) {
    let log = fmt()
        .with_writer(std::io::stderr)
        .with_max_level(config.log_level.parse().unwrap_or(LevelFilter::INFO))
        .with_ansi(false);
    match config.log {
        "json" => log.json().flatten_event(true).init(),
        _ => log.with_target(false).init(),
    }
}
