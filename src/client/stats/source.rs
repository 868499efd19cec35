//! Asks a server for its report; one that knows no LARDER STATS for its INFO.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::super::connection::Connection;
use super::super::reply::Reply;
use super::info;
use crate::stats::report::Report;

/// What a server has told.
pub(super) struct Answer {
    /// As it gave it.
    pub(super) json: Value,
    /// With the address by which it was reached: the one it listens on may be `0.0.0.0`.
    pub(super) report: Report,
}

/// A server that is asked again and again.
pub(super) struct Source {
    connection: Connection,
    /// It is not one of Larder's, or an old one: to ask it for what it does not know would count as an error of its.
    foreign: bool,
}

impl Source {
    pub(super) fn new(connection: Connection) -> Source {
        Source { connection, foreign: false }
    }

    pub(super) fn ask(&mut self) -> Result<Answer> {
        let answer = if self.foreign { None } else { report(&mut self.connection)? };
        self.foreign = answer.is_none();
        answer.map_or_else(|| made_of_info(&mut self.connection), Ok)
    }
}

/// Its report, for one look.
pub(super) fn ask(connection: &mut Connection) -> Result<Answer> {
    report(connection)?.map_or_else(|| made_of_info(connection), Ok)
}

/// None of a server that knows no LARDER STATS.
fn report(connection: &mut Connection) -> Result<Option<Answer>> {
    let reply = connection.ask(&["LARDER", "STATS", "JSON"])?;
    if is_unknown(&reply) {
        return Ok(None);
    }
    let addr = connection.addr();
    let told = text(addr, &reply)?;
    let not_understood =
        || format!("{addr} gives statistics that this version of larder does not understand");
    let json: Value = serde_json::from_str(&told).with_context(not_understood)?;
    let mut report = Report::deserialize(&json).with_context(not_understood)?;
    report.server.addr = addr.to_owned();
    Ok(Some(Answer { json, report }))
}

fn made_of_info(connection: &mut Connection) -> Result<Answer> {
    let reply = connection.ask(&["INFO", "everything"])?;
    let addr = connection.addr();
    let report = info::report(addr, &text(addr, &reply)?);
    Ok(Answer { json: serde_json::to_value(&report)?, report })
}

/// Whether it is not one of Larder's servers, or one from before there were reports.
fn is_unknown(reply: &Reply) -> bool {
    let Reply::Error(text) = reply else { return false };
    text.starts_with(b"ERR unknown command") || text.starts_with(b"ERR unknown subcommand")
}

fn text(addr: &str, reply: &Reply) -> Result<String> {
    let Some(text) = reply.text() else { bail!("{addr} gives no statistics") };
    let text = String::from_utf8_lossy(text).into_owned();
    if !reply.is_error() {
        return Ok(text);
    }
    let hint = if text.starts_with("NOAUTH") {
        " Give the password with --password or in LARDER_PASSWORD."
    } else {
        ""
    };
    bail!("{addr} gives no statistics: {text}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_no_report_is_asked_for_info() {
        let is_unknown = |text: &'static str| is_unknown(&Reply::Error(text.into()));
        assert!(is_unknown("ERR unknown command 'LARDER', with args beginning with: 'STATS' "));
        assert!(is_unknown("ERR unknown subcommand 'STATS'. Try LARDER HELP."));
        assert!(!is_unknown("NOAUTH Authentication required."));
        assert!(!super::is_unknown(&Reply::Bulk("ERR unknown command".into())));
    }
}
