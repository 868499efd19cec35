//! Asks a server for its report; one that knows no LARDER for its INFO.

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

pub(super) fn ask(connection: &mut Connection) -> Result<Answer> {
    let reply = connection.ask(&["LARDER", "STATS", "JSON"])?;
    let addr = connection.addr().to_owned();
    if is_unknown(&reply) {
        let reply = connection.ask(&["INFO", "everything"])?;
        let report = info::report(&addr, &text(&addr, &reply)?);
        return Ok(Answer { json: serde_json::to_value(&report)?, report });
    }
    let told = text(&addr, &reply)?;
    let not_understood =
        || format!("{addr} gives statistics that this version of larder does not understand");
    let json: Value = serde_json::from_str(&told).with_context(not_understood)?;
    let mut report = Report::deserialize(&json).with_context(not_understood)?;
    report.server.addr.clone_from(&addr);
    Ok(Answer { json, report })
}

/// Whether it is not one of Larder's servers.
fn is_unknown(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with(b"ERR unknown command"))
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
