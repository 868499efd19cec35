//! All that is known of a server, or of a cluster: what `LARDER STATS` tells, the metrics count and `larder stats` shows.
//!
//! A node makes a [`Report`] of itself; a coordinator asks its nodes for theirs, as JSON, and adds them to its own. What
//! can be added up exactly is kept in a form that can: histograms, not percentiles.

mod keys;
mod merge;
mod own;
mod render;

pub use render::Form;

use super::Snapshot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sections of a report, in their order, and what each tells.
pub const SECTIONS: &[(&str, &str)] = &[
    ("server", "who answers"),
    ("traffic", "connections, commands and bytes"),
    ("cache", "keys, memory, hits and misses"),
    ("commands", "how often commands ran and how long they took"),
    ("latency", "how long all commands took together"),
    ("errors", "error replies by their code"),
    ("prefixes", "keys, memory, hits, misses, evictions and latency by key prefix"),
    ("ages", "for how long evicted keys had not been used"),
    ("curve", "the hit ratio that other memory sizes would give"),
    ("hot-keys", "the keys that are used most"),
    ("big-keys", "the keys that take most memory"),
    ("nodes", "the nodes of a coordinator"),
];

/// What is known of a server, or of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Report {
    /// Who answers.
    pub server: Answering,
    /// What went through it.
    pub traffic: Traffic,
    /// What it holds; of a coordinator, what its nodes hold together.
    pub cache: Cache,
    /// Commands that were called or refused, as its clients see them.
    pub commands: Vec<CommandReport>,
    /// All commands together.
    pub latency: Latency,
    /// Error replies by their code.
    pub errors: BTreeMap<String, u64>,
    /// Use and memory by key prefix.
    pub prefixes: Prefixes,
    /// For how long evicted keys had not been used.
    pub ages: Ages,
    /// What other memory sizes would give.
    pub curve: Curve,
    /// The keys that are used most, the hottest first.
    pub hot_keys: Vec<HotKey>,
    /// The keys that take most memory, the biggest first.
    pub big_keys: Vec<BigKey>,
    /// The nodes of a coordinator, those that are down too.
    pub nodes: Vec<NodeReport>,
}

/// Who answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answering {
    /// `node` or `coordinator`.
    pub role: String,
    /// Larder's version.
    pub version: String,
    /// Where it listens.
    pub addr: String,
    /// A random name of this run.
    pub run_id: String,
    /// Its process; several servers of `larder up` share one.
    pub process_id: u64,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Worker threads.
    pub workers: u64,
    /// Resident memory of its process, in bytes.
    pub resident_bytes: u64,
    /// Processor time of its process, in user mode, in seconds.
    pub cpu_user_s: f64,
    /// Processor time of its process, in the system, in seconds.
    pub cpu_system_s: f64,
}

/// Connections, commands, bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Connected clients.
    pub clients: u64,
    /// The most there may be.
    pub clients_max: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused, as there were too many.
    pub connections_rejected: u64,
    /// Commands executed.
    pub commands: u64,
    /// Commands a second, of late.
    pub commands_per_s: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
}

/// Keys, memory, hits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cache {
    /// Keys in all databases.
    pub keys: u64,
    /// Keys that expire.
    pub expires: u64,
    /// Memory charged for keys and values, in bytes.
    pub used_bytes: u64,
    /// The limit, 0 meaning none.
    pub max_bytes: u64,
    /// The policy of eviction; `mixed` if nodes differ.
    pub policy: String,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys evicted to make room.
    pub evicted: u64,
    /// Keys that expired.
    pub expired: u64,
    /// Uses of keys within about the last two minutes, estimated: what the shares of hot keys are parts of.
    pub recent_uses: u64,
}

/// One command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandReport {
    /// `get`, `config|get`.
    pub name: String,
    /// Times it ran.
    pub calls: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
    /// Times it answered an error.
    pub failed: u64,
    /// How long it took, while `latency-tracking` was on.
    pub latency: Latency,
}

/// How long something took: the histogram counts, the percentiles are worked out of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Microseconds that half were not longer than.
    pub p50_us: f64,
    /// That 99 in 100 were not longer than.
    pub p99_us: f64,
    /// That 999 in 1000 were not longer than.
    pub p999_us: f64,
    /// Microseconds in all.
    pub sum_us: f64,
    /// Durations by bucket.
    pub histogram: Snapshot,
}

/// Use and memory by key prefix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prefixes {
    /// One use in so many was looked at, and counted as so many; 0 means none were.
    pub sampled: u64,
    /// Keys and bytes are exact: every key was visited. Else they are estimated from a sample of the keys.
    pub exact: bool,
    /// The prefixes, those with most memory first; `(none)` are keys without one, `(other)` those that found no place.
    pub list: Vec<PrefixReport>,
}

/// One prefix: what keys begin with up to the separator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PrefixReport {
    /// The prefix, without the separator; bytes that cannot be shown as `\xff`.
    pub prefix: String,
    /// Its keys.
    pub keys: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Writes.
    pub writes: u64,
    /// Keys that were evicted.
    pub evicted: u64,
    /// How long its commands took on their node.
    pub latency: Latency,
}

/// For how long evicted keys had not been used, in seconds: how long the memory lets a key live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ages {
    /// Keys counted.
    pub count: u64,
    /// Seconds that one in ten was not older than.
    pub p10_s: u64,
    /// That half were not older than.
    pub p50_s: u64,
    /// That nine in ten were not older than.
    pub p90_s: u64,
    /// Their sum, in seconds.
    pub sum_s: u64,
    /// Keys by age: those of at most so many seconds, that are not in a bucket before.
    pub buckets: Vec<(u64, u64)>,
}

/// The miss-ratio curve: the hit ratio that other memory sizes would give, under LRU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curve {
    /// Reads that the curve rests on: sampled ones, counted as those they stand for.
    pub reads: f64,
    /// Keys that are tracked for it.
    pub tracked: u64,
    /// The points, from little memory to much.
    pub points: Vec<CurvePoint>,
}

/// A point of the curve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CurvePoint {
    /// The memory, as a multiple of the limit (of what is used, where there is no limit).
    pub times: f64,
    /// The memory in bytes.
    pub bytes: u64,
    /// Reads that would hit.
    pub hits: f64,
    /// Their part of all reads.
    pub hit_ratio: f64,
}

/// A key that is used much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HotKey {
    /// The key; bytes that cannot be shown as `\xff`.
    pub key: String,
    /// Its node; empty in a node's own report.
    pub node: String,
    /// Its uses within about the last two minutes, estimated.
    pub uses: u64,
    /// Its part of all uses of its server within that time; of a cluster's report, of the cluster's.
    pub share: f64,
}

/// A key that takes much memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BigKey {
    /// The key; bytes that cannot be shown as `\xff`.
    pub key: String,
    /// Its node; empty in a node's own report.
    pub node: String,
    /// Its database.
    pub db: u8,
    /// Bytes it takes.
    pub bytes: u64,
}

/// A node, as a coordinator sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    /// Its address.
    pub addr: String,
    /// Whether it answers.
    pub up: bool,
    /// What it holds.
    pub cache: Cache,
    /// Commands a second, of late.
    pub commands_per_s: u64,
    /// How long its commands took there.
    pub latency: Latency,
    /// Seconds since it started.
    pub uptime_s: u64,
}
