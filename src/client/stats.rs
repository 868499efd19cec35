//! `stats`: reads INFO of a node, a coordinator or any redis-server. The numbers are made a table
//! in `table`.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;

use super::connection::Connection;
use super::format::{self, Style};
use super::{human, table};

/// What one server, or all together, did. What it does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) addr: String,
    pub(super) state: String,
    pub(super) keys: Option<u64>,
    pub(super) memory: Option<u64>,
    /// 0 is no limit.
    pub(super) maxmemory: Option<u64>,
    pub(super) hits: Option<u64>,
    pub(super) misses: Option<u64>,
    pub(super) evictions: Option<u64>,
    pub(super) expirations: Option<u64>,
    pub(super) ops_per_sec: Option<u64>,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stats {
    /// Who answered, for the line above the table.
    pub(super) title: String,
    pub(super) nodes: Vec<Row>,
    pub(super) total: Row,
    pub(super) is_coordinator: bool,
}

/// Asks the server and prints the table.
pub(super) fn run(connection: &mut Connection, style: Style, out: &mut dyn Write) -> Result<bool> {
    let reply = connection.ask(&["INFO"])?;
    let Some(text) = reply.text().filter(|_| !reply.is_error()) else {
        out.write_all(&format::reply(&reply, style))?;
        return Ok(false);
    };
    let stats = parse(connection.addr(), &String::from_utf8_lossy(text));
    let on_terminal = io::stdout().is_terminal();
    let width = if on_terminal { table::terminal_width() } else { None };
    let colour = on_terminal && std::env::var_os("NO_COLOR").is_none();
    out.write_all(table::render(&stats, width, colour).as_bytes())?;
    out.flush()?;
    Ok(true)
}

/// Makes rows of the text of INFO.
pub(super) fn parse(addr: &str, info: &str) -> Stats {
    let sections = sections(info);
    let node_lines = sections.iter().find(|(name, _)| *name == "nodes");
    let mut fields: HashMap<&str, &str> = HashMap::new();
    for (name, lines) in &sections {
        if *name != "nodes" {
            for (field, value) in lines {
                fields.entry(field).or_insert(value);
            }
        }
    }
    let is_coordinator = node_lines.is_some()
        || fields.get("larder_role").is_some_and(|role| *role == "coordinator");
    let own = Row { keys: keys(&sections), ..own_row(addr, &fields) };
    let nodes: Vec<Row> = match node_lines {
        Some((_, lines)) => lines.iter().map(|(_, line)| node_row(line)).collect(),
        None => vec![own.clone()],
    };
    let mut total = total(&nodes);
    // Percentiles can't be summed up or averaged: these are measured where all requests pass.
    (total.p50_us, total.p99_us) = (own.p50_us, own.p99_us);
    Stats { title: title(addr, &fields), nodes, total, is_coordinator }
}

/// The sections of INFO by their names in lower case, each with its fields in order.
fn sections(info: &str) -> Vec<(String, Vec<(&str, &str)>)> {
    let mut sections = vec![(String::new(), Vec::new())];
    for line in info.lines() {
        if let Some(name) = line.strip_prefix('#') {
            sections.push((name.trim().to_lowercase(), Vec::new()));
        } else if let Some((_, fields)) = sections.last_mut() {
            fields.extend(line.split_once(':'));
        }
    }
    sections
}

fn number<T: std::str::FromStr>(fields: &HashMap<&str, &str>, name: &str) -> Option<T> {
    fields.get(name)?.trim().parse().ok()
}

/// All databases together; a section without databases is an empty server.
fn keys(sections: &[(String, Vec<(&str, &str)>)]) -> Option<u64> {
    let (_, databases) = sections.iter().find(|(name, _)| *name == "keyspace")?;
    Some(databases.iter().filter_map(|(_, line)| number::<u64>(&pairs(line), "keys")).sum())
}

fn own_row(addr: &str, fields: &HashMap<&str, &str>) -> Row {
    Row {
        addr: addr.to_owned(),
        state: if number::<u8>(fields, "loading") == Some(1) { "loading" } else { "up" }.to_owned(),
        keys: None,
        memory: number(fields, "used_memory"),
        maxmemory: number(fields, "maxmemory"),
        hits: number(fields, "keyspace_hits"),
        misses: number(fields, "keyspace_misses"),
        evictions: number(fields, "evicted_keys"),
        expirations: number(fields, "expired_keys"),
        ops_per_sec: number(fields, "instantaneous_ops_per_sec"),
        p50_us: number(fields, "latency_p50_us"),
        p99_us: number(fields, "latency_p99_us"),
    }
}

/// `a=1,b=2` as a map.
fn pairs(line: &str) -> HashMap<&str, &str> {
    line.split(',').filter_map(|pair| pair.split_once('=')).collect()
}

fn node_row(line: &str) -> Row {
    let fields = pairs(line);
    Row {
        addr: fields.get("addr").unwrap_or(&"-").to_string(),
        state: fields.get("state").unwrap_or(&"-").to_string(),
        keys: number(&fields, "keys"),
        memory: number(&fields, "memory"),
        maxmemory: number(&fields, "maxmemory"),
        hits: number(&fields, "hits"),
        misses: number(&fields, "misses"),
        evictions: number(&fields, "evictions"),
        expirations: number(&fields, "expirations"),
        ops_per_sec: number(&fields, "ops_per_sec"),
        p50_us: number(&fields, "p50_us"),
        p99_us: number(&fields, "p99_us"),
    }
}

/// The sums of what is known of the nodes.
fn total(nodes: &[Row]) -> Row {
    let sum = |field: fn(&Row) -> Option<u64>| {
        let known: Vec<u64> = nodes.iter().filter_map(field).collect();
        (!known.is_empty()).then(|| known.iter().sum())
    };
    let up = nodes.iter().filter(|node| node.state == "up").count();
    let unlimited = nodes.iter().any(|node| node.maxmemory == Some(0));
    Row {
        addr: "TOTAL".to_owned(),
        state: format!("{up}/{} up", nodes.len()),
        keys: sum(|node| node.keys),
        memory: sum(|node| node.memory),
        // One node without a limit is enough for there to be none.
        maxmemory: if unlimited { Some(0) } else { sum(|node| node.maxmemory) },
        hits: sum(|node| node.hits),
        misses: sum(|node| node.misses),
        evictions: sum(|node| node.evictions),
        expirations: sum(|node| node.expirations),
        ops_per_sec: sum(|node| node.ops_per_sec),
        p50_us: None,
        p99_us: None,
    }
}

/// `coordinator 127.0.0.1:6379, larder 0.1.0, up 2 h 5 min, 3 clients`.
fn title(addr: &str, fields: &HashMap<&str, &str>) -> String {
    let role = fields.get("larder_role").unwrap_or(&"server");
    let mut title = format!("{role} {addr}");
    if let Some(version) = fields.get("larder_version") {
        title += &format!(", larder {version}");
    } else if let Some(version) = fields.get("redis_version") {
        title += &format!(", redis {version}");
    }
    if let Some(seconds) = number(fields, "uptime_in_seconds") {
        title += &format!(", up {}", human::duration(seconds));
    }
    match number::<u64>(fields, "connected_clients") {
        Some(1) => title += ", 1 client",
        Some(count) => title += &format!(", {} clients", human::thousands(count)),
        None => {}
    }
    title
}

#[cfg(test)]
mod tests;
