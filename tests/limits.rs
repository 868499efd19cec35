//! Limits: memory, clients, idle time, greedy clients, and time itself.

mod clients;
mod memory;
mod policies;

use crate::util::Server;
use std::io::Write;

/// Tells the person who runs the tests, also when the test passes (whose output is not shown).
pub fn say(what: &str) {
    let told = writeln!(std::io::stderr(), "\nnote: {what}");
    told.unwrap();
}

/// The resident memory of a server in bytes (Linux; 0 elsewhere).
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
