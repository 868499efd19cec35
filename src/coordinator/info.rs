//! INFO of a coordinator: its own sections, with what the nodes know added up, and a line for each node.

use super::gather::NodeReply;
use super::merge::text;
use crate::resp::{Output, Proto, Reply};
use crate::stats::info::human;
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;

/// The sections for which the nodes are asked.
pub(super) const SECTIONS_OF_NODES: [&str; 5] =
    ["memory", "persistence", "stats", "keyspace", "nodes"];

/// Fields that are the sums of the nodes' ones.
const SUMS: [&str; 14] = [
    "used_memory",
    "used_memory_peak",
    "used_memory_dataset",
    "used_memory_overhead",
    "used_memory_startup",
    "maxmemory",
    "rdb_changes_since_last_save",
    "expired_keys",
    "evicted_keys",
    "keyspace_hits",
    "keyspace_misses",
    "active_defrag_hits",
    "active_defrag_key_hits",
    "lazyfree_pending_objects",
];
/// Fields of a process, added up once for each even where several nodes share one.
const PROCESS_SUMS: [&str; 4] =
    ["used_memory_rss", "allocator_allocated", "allocator_active", "allocator_resident"];

/// The fields of one node.
type Fields = HashMap<String, String>;

fn parse(info: &str) -> Fields {
    let pairs = info.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn number(fields: &Fields, name: &str) -> u64 {
    fields.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Merges the own text with the nodes' ones.
pub(super) fn merge(
    own: &Bytes,
    sections: &[&str],
    addrs: &[String],
    all: &[String],
    replies: &[NodeReply],
    proto: Proto,
    out: &mut BytesMut,
) -> Option<()> {
    let own = String::from_utf8_lossy(text(own)?).into_owned();
    let mut nodes: Vec<(&String, Fields)> = Vec::new();
    for (addr, reply) in addrs.iter().zip(replies) {
        if let Some(info) = reply.as_ref().ok().and_then(|reply| text(reply)) {
            nodes.push((addr, parse(&String::from_utf8_lossy(info))));
        }
    }
    let mut merged = own_sections(&own, &nodes);
    if sections.contains(&"nodes") {
        if !merged.is_empty() {
            merged.push_str("\r\n");
        }
        merged.push_str("# Nodes\r\n");
        for (number, addr) in all.iter().enumerate() {
            let fields = nodes.iter().find(|(known, _)| *known == addr).map(|(_, fields)| fields);
            merged.push_str(&format!("node{number}:addr={addr},{}\r\n", node_line(fields)));
        }
    }
    let mut output = Output::default();
    Reply::new(&mut output, proto).verbatim(&merged);
    out.extend_from_slice(&output.take());
    Some(())
}

fn node_line(fields: Option<&Fields>) -> String {
    let Some(fields) = fields else { return "state=down".to_owned() };
    let get = |name: &str| fields.get(name).cloned().unwrap_or_else(|| "0".to_owned());
    let keys: u64 = keyspaces(fields).map(|db| db.1).sum();
    format!(
        "state=up,keys={keys},memory={},maxmemory={},hits={},misses={},evictions={},expirations={},ops_per_sec={},\
         p50_us={},p99_us={}",
        get("used_memory"),
        get("maxmemory"),
        get("keyspace_hits"),
        get("keyspace_misses"),
        get("evicted_keys"),
        get("expired_keys"),
        get("instantaneous_ops_per_sec"),
        get("latency_p50_us"),
        get("latency_p99_us"),
    )
}

/// Database, keys, keys that expire, and their mean time to live.
fn keyspaces(fields: &Fields) -> impl Iterator<Item = (u8, u64, u64, u64)> + '_ {
    (0..crate::store::DATABASES as u8).filter_map(|db| {
        let line = fields.get(&format!("db{db}"))?;
        let mut values = line.split(',').map(|item| item.split_once('=').map_or("0", |(_, v)| v));
        let mut next = || values.next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        Some((db, next(), next(), next()))
    })
}

/// The own text, with the fields that belong to the nodes put right.
fn own_sections(own: &str, nodes: &[(&String, Fields)]) -> String {
    let sums = sums(nodes);
    let divide = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let ratio = |part: &str, whole: &str| divide(sums[part], sums[whole]);
    let difference = |more: &str, less: &str| (sums[more] as i64 - sums[less] as i64).to_string();
    let mut out = String::new();
    for line in own.split_inclusive('\n') {
        let Some((name, value)) = line.split_once(':') else {
            out.push_str(line);
            if line.starts_with("# Keyspace") {
                out.push_str(&keyspace_lines(nodes));
            }
            continue;
        };
        let value = match name {
            "maxmemory_policy" => common(nodes, name),
            // Its own clients, and the nodes' ones, of which it is one.
            "mem_clients_normal" => {
                let own: u64 = value.trim().parse().unwrap_or(0);
                let of_nodes = nodes.iter().map(|(_, fields)| number(fields, name));
                of_nodes.fold(own, u64::saturating_add).to_string()
            }
            "mem_fragmentation_ratio" => format!("{:.2}", ratio("used_memory_rss", "used_memory")),
            "mem_fragmentation_bytes" => difference("used_memory_rss", "used_memory"),
            "allocator_frag_bytes" => difference("allocator_active", "allocator_allocated"),
            "allocator_rss_bytes" => difference("allocator_resident", "allocator_active"),
            "rss_overhead_bytes" => difference("used_memory_rss", "allocator_resident"),
            "allocator_frag_ratio" => {
                format!("{:.2}", ratio("allocator_active", "allocator_allocated"))
            }
            "allocator_rss_ratio" => {
                format!("{:.2}", ratio("allocator_resident", "allocator_active"))
            }
            "rss_overhead_ratio" => {
                format!("{:.2}", ratio("used_memory_rss", "allocator_resident"))
            }
            "used_memory_peak_perc" => {
                format!("{:.2}%", 100.0 * ratio("used_memory", "used_memory_peak"))
            }
            "used_memory_dataset_perc" => {
                let filled = sums["used_memory"].saturating_sub(sums["used_memory_startup"]);
                format!("{:.2}%", 100.0 * divide(sums["used_memory_dataset"], filled))
            }
            _ => match (sums.get(name), name.strip_suffix("_human").and_then(|n| sums.get(n))) {
                (Some(sum), _) => sum.to_string(),
                (None, Some(sum)) => human(*sum),
                (None, None) => {
                    out.push_str(line);
                    continue;
                }
            },
        };
        out.push_str(&format!("{name}:{value}\r\n"));
    }
    out
}

fn sums(nodes: &[(&String, Fields)]) -> HashMap<&'static str, u64> {
    let mut sums: HashMap<&str, u64> = SUMS
        .iter()
        .map(|name| (*name, nodes.iter().map(|(_, fields)| number(fields, name)).sum()))
        .collect();
    let mut seen = Vec::new();
    for name in PROCESS_SUMS {
        sums.insert(name, 0);
    }
    for (addr, fields) in nodes {
        let host = addr.rsplit_once(':').map_or(addr.as_str(), |(host, _)| host);
        let process = (host, fields.get("process_id"));
        if !seen.contains(&process) {
            seen.push(process);
            for name in PROCESS_SUMS {
                *sums.entry(name).or_default() += number(fields, name);
            }
        }
    }
    sums
}

/// The value that all nodes have, else `mixed`.
fn common(nodes: &[(&String, Fields)], name: &str) -> String {
    let mut values = nodes.iter().map(|(_, fields)| fields.get(name).cloned().unwrap_or_default());
    let first = values.next().unwrap_or_default();
    if values.all(|value| value == first) { first } else { "mixed".to_owned() }
}

fn keyspace_lines(nodes: &[(&String, Fields)]) -> String {
    let mut sums = [(0u64, 0u64, 0u128); crate::store::DATABASES];
    for (db, keys, expires, avg_ttl) in nodes.iter().flat_map(|(_, fields)| keyspaces(fields)) {
        let sum = &mut sums[usize::from(db)];
        sum.0 += keys;
        sum.1 += expires;
        sum.2 += u128::from(avg_ttl) * u128::from(expires);
    }
    let lines = sums.iter().enumerate().filter(|(_, sum)| sum.0 > 0);
    let lines = lines.map(|(db, (keys, expires, ttl))| {
        let mean = ttl.checked_div(u128::from(*expires)).unwrap_or(0);
        format!("db{db}:keys={keys},expires={expires},avg_ttl={mean}\r\n")
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &'static str) -> NodeReply {
        let mut output = Output::default();
        Reply::new(&mut output, Proto::Resp2).verbatim(text);
        Ok(output.take())
    }

    #[test]
    fn sums_merges_and_names_the_dead() {
        let own = node(
            "# Memory\r\nused_memory:0\r\nused_memory_human:0B\r\nused_memory_rss:7\r\nmaxmemory_policy:x\r\nmem_clients_normal:5\r\n\r\n\
             # Stats\r\nkeyspace_hits:0\r\ntotal_commands_processed:9\r\n\r\n# Keyspace\r\n",
        );
        let one = node(
            "process_id:5\r\nmem_clients_normal:30\r\nused_memory:1024\r\nused_memory_rss:4096\r\nmaxmemory_policy:allkeys-lru\r\n\
             keyspace_hits:3\r\ndb0:keys=2,expires=1,avg_ttl=100\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n",
        );
        let two = node(
            "process_id:5\r\nused_memory:2048\r\nused_memory_rss:4096\r\nmaxmemory_policy:noeviction\r\n\
             keyspace_hits:4\r\ndb0:keys=5,expires=3,avg_ttl=200\r\n",
        );
        let all: Vec<String> = ["h:1", "h:2", "h:3"].map(String::from).to_vec();
        let addrs = all[..2].to_vec();
        let sections = ["memory", "stats", "keyspace", "nodes"];
        let mut out = BytesMut::new();
        merge(&own.unwrap(), &sections, &addrs, &all, &[one, two], Proto::Resp2, &mut out).unwrap();
        let text = String::from_utf8(text(&out).unwrap().to_vec()).unwrap();
        for line in [
            "used_memory:3072",
            "used_memory_human:3.00K",
            "used_memory_rss:4096",
            "mem_clients_normal:35",
            "maxmemory_policy:mixed",
            "keyspace_hits:7",
            "total_commands_processed:9",
            "db0:keys=7,expires=4,avg_ttl=175",
            "db3:keys=1,expires=0,avg_ttl=0",
            "node2:addr=h:3,state=down",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert!(text.contains("node0:addr=h:1,state=up,keys=3,memory=1024,"));
    }
}
