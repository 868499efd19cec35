//! `larder stats`: what a node, a coordinator or any redis-server tells of itself, for people.

mod gauge;
mod info;
mod interval;
pub(super) mod json;
mod live;
mod screen;
mod source;
mod tables;
mod view;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::Options;
use super::connection::Connection;
use super::paint::{self, Look};

/// What of the statistics is wanted.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// By what; none for all at a glance.
    pub by: Option<By>,
    /// Again and again, so far apart.
    pub watch: Option<Duration>,
    /// How many times; none for no end.
    pub count: Option<u64>,
    /// As the server gives it.
    pub json: bool,
}

/// What statistics can be broken down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// What keys begin with.
    Prefix,
    /// The commands.
    Command,
}

impl By {
    /// Their names on the command line.
    pub const NAMES: [&'static str; 2] = ["prefix", "command"];

    /// From its name.
    pub fn named(name: &str) -> Option<By> {
        match name {
            "prefix" => Some(By::Prefix),
            "command" => Some(By::Command),
            _ => None,
        }
    }
}

/// Shows the statistics of a server. The exit code is 1 when the last of several samples failed.
///
/// # Errors
/// When the server can't be reached, refuses the login or does not tell.
pub fn run(options: &Options, view: &View) -> Result<ExitCode> {
    let done = Connection::open(options).and_then(|connection| match view.watch {
        Some(interval) => watch::run(connection, view, interval),
        None => once(connection, view).map(|()| true),
    });
    super::exit_code(done)
}

fn once(mut connection: Connection, view: &View) -> Result<()> {
    let answer = source::ask(&mut connection)?;
    let mut out = io::stdout().lock();
    if view.json {
        writeln!(out, "{}", json::pretty(&answer.json))?;
        return Ok(());
    }
    let look = Look::of_stdout();
    let lines = view::whole(&answer.report, view.by, look.width);
    out.write_all(paint::text(lines, look).as_bytes())?;
    Ok(())
}

/// All at a glance, for the prompt.
pub(super) fn show(connection: &mut Connection, out: &mut dyn Write) -> Result<()> {
    let report = source::ask(connection)?.report;
    let look = Look::of_stdout();
    out.write_all(paint::text(view::whole(&report, None, look.width), look).as_bytes())?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests;
