//! The tables of a report: nodes, commands, prefixes, keys.

use super::super::human::{age, bytes, count, latency, percent, ratio};
use super::super::paint::{Line, Style, wrap};
use super::super::table::Kind::{Name, Number};
use super::super::table::Table;
use crate::stats::report::{Cache, Latency, Report};

/// Keys that are shown of each kind.
const KEYS_SHOWN: usize = 5;

/// A row for each node, and one for all together.
pub(super) fn nodes(report: &Report, width: usize) -> Vec<Line> {
    if report.nodes.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(&[
        ("node", Name(21)),
        ("state", Name(9)),
        ("hit ratio", Number),
        ("memory", Number),
        ("keys", Number),
        ("ops/s", Number),
        ("p99", Number),
        ("evicted", Number),
        ("p50", Number),
    ]);
    let row = |name: &str, state: String, cache: &Cache, ops: u64, times: &Latency| {
        let reads = cache.hits.saturating_add(cache.misses);
        [
            name.to_owned(),
            state,
            ratio(cache.hits, reads),
            bytes(cache.used_bytes),
            count(cache.keys),
            count(ops),
            time(times.p99_us),
            count(cache.evicted),
            time(times.p50_us),
        ]
    };
    let (mut up, mut ops, mut latency) = (0, 0_u64, Latency::default());
    for node in &report.nodes {
        if !node.up {
            let mut cells: [String; 9] = std::array::from_fn(|_| "-".to_owned());
            (cells[0], cells[1]) = (node.addr.clone(), "DOWN".to_owned());
            table.add(Style::Bad, cells);
            continue;
        }
        up += 1;
        ops = ops.saturating_add(node.commands_per_s);
        latency.add(&node.latency);
        let state = format!("up {}", age(node.uptime_s));
        let cells = row(&node.addr, state, &node.cache, node.commands_per_s, &node.latency);
        table.add(Style::Plain, cells);
    }
    let state = format!("{up}/{} up", report.nodes.len());
    let cells = row("total", state, &report.cache, ops, &latency);
    table.add(Style::Strong, cells);
    table.lines(width)
}

/// By key prefix.
pub(super) fn prefixes(report: &Report, width: usize) -> Vec<Line> {
    let prefixes = &report.prefixes;
    let mut table = Table::new(&[
        ("prefix", Name(12)),
        ("keys", Number),
        ("memory", Number),
        ("share", Number),
        ("hit ratio", Number),
        ("misses", Number),
        ("writes", Number),
        ("evicted", Number),
        ("p99", Number),
    ]);
    let total: f64 = prefixes.list.iter().map(|prefix| prefix.bytes as f64).sum();
    for prefix in &prefixes.list {
        let cells = [
            prefix.prefix.clone(),
            count(prefix.keys),
            bytes(prefix.bytes),
            share(prefix.bytes as f64, total),
            ratio(prefix.hits, prefix.hits.saturating_add(prefix.misses)),
            count(prefix.misses),
            count(prefix.writes),
            count(prefix.evicted),
            time(prefix.latency.p99_us),
        ];
        table.add(Style::Plain, cells);
    }
    if prefixes.list.is_empty() {
        let text = "Nothing is known by key prefix: no key was used yet, or this server does not count by it.";
        return wrap(Style::Plain, text, width);
    }
    let mut lines = table.lines(width);
    let mut notes = Vec::new();
    if !prefixes.exact {
        notes.push("keys and memory are estimated from a sample".to_owned());
    }
    if prefixes.sampled > 1 {
        notes.push(format!("one use in {} was looked at", prefixes.sampled));
    }
    if !notes.is_empty() {
        lines.push(Line::default());
        lines.extend(wrap(Style::Faint, &notes.join("; "), width));
    }
    lines
}

/// By command, those that took most time first.
pub(super) fn commands(report: &Report, width: usize) -> Vec<Line> {
    let mut table = Table::new(&[
        ("command", Name(16)),
        ("calls", Number),
        ("time", Number),
        ("p50", Number),
        ("p99", Number),
        ("p99.9", Number),
        ("failed", Number),
        ("rejected", Number),
    ]);
    let mut commands: Vec<_> = report.commands.iter().collect();
    commands.sort_by(|a, b| b.latency.sum_us.total_cmp(&a.latency.sum_us));
    let total: f64 = commands.iter().map(|command| command.latency.sum_us).sum();
    for command in &commands {
        let cells = [
            command.name.replace('|', " "),
            count(command.calls),
            share(command.latency.sum_us, total),
            time(command.latency.p50_us),
            time(command.latency.p99_us),
            time(command.latency.p999_us),
            count(command.failed),
            count(command.rejected),
        ];
        table.add(Style::Plain, cells);
    }
    if commands.is_empty() {
        return wrap(Style::Plain, "No command was called.", width);
    }
    table.lines(width)
}

/// The keys that are used most.
pub(super) fn hot_keys(report: &Report, width: usize) -> Vec<Line> {
    let mut table = Table::new(&[
        ("hot key", Name(16)),
        ("share", Number),
        ("uses", Number),
        ("node", Name(16)),
    ]);
    for key in report.hot_keys.iter().take(KEYS_SHOWN) {
        let cells = [key.key.clone(), percent(key.share), count(key.uses), key.node.clone()];
        table.add(Style::Plain, cells);
    }
    if report.hot_keys.is_empty() { Vec::new() } else { table.lines(width) }
}

/// The keys that take most memory.
pub(super) fn big_keys(report: &Report, width: usize) -> Vec<Line> {
    let mut table = Table::new(&[
        ("big key", Name(16)),
        ("memory", Number),
        ("db", Number),
        ("node", Name(16)),
    ]);
    let shown = || report.big_keys.iter().take(KEYS_SHOWN);
    let one_db = shown().all(|key| key.db == 0);
    for key in shown() {
        let db = if one_db { String::new() } else { key.db.to_string() };
        table.add(Style::Plain, [key.key.clone(), bytes(key.bytes), db, key.node.clone()]);
    }
    if report.big_keys.is_empty() { Vec::new() } else { table.lines(width) }
}

/// A duration; `-` where nothing took any.
pub(super) fn time(micros: f64) -> String {
    if micros > 0.0 { latency(micros) } else { "-".to_owned() }
}

fn share(part: f64, whole: f64) -> String {
    if whole > 0.0 { percent(part / whole) } else { "-".to_owned() }
}
