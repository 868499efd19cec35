//! Logs, to standard error: for people, or a JSON object a line.

use anyhow::{Result, anyhow};
use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Turns logging on.
///
/// # Errors
/// The level is not one, or logging is on already.
pub(crate) fn init(level: &str, format: &str) -> Result<()> {
    let level: LevelFilter = level.parse().map_err(|_| anyhow!("--log-level {level:?}"))?;
    // What libraries have to say is for those who look for mistakes in them.
    let libraries = if level == LevelFilter::TRACE { level } else { level.min(LevelFilter::ERROR) };
    let targets = Targets::new().with_default(libraries).with_target("larder", level);
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false);
    let done = if format == "json" {
        builder.json().flatten_event(true).finish().with(targets).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).finish().with(targets).try_init()
    };
    done.map_err(|error| anyhow!("cannot start logging: {error}"))
}
