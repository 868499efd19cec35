//! Cases that only a coordinator has: what it spreads over its nodes, and what it must refuse.

use super::{Cluster, Value, bulk, simple};
use crate::util::{Conn, Server, wait_for};
use std::collections::BTreeSet;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);
const SUBCOMMANDS: &str = "<subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
const CROSSSLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// One cluster for all cases here that don't look at all keys.
fn shared() -> &'static Cluster {
    static CLUSTER: std::sync::OnceLock<Cluster> = std::sync::OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(&[]))
}

fn fill(conn: &mut Conn, count: usize) {
    let pairs: Vec<String> = (0..count).map(|i| format!("k{i} {i}")).collect();
    assert_eq!(conn.cmd(&format!("MSET {}", pairs.join(" "))), simple("OK"));
}

/// Which slot a key is in decides what works together, not which node: these share one node of
/// three in a third of all runs.
#[test]
fn one_slot_commands() {
    for mut conn in [shared().coordinator.conn(), shared().coordinator.conn3()] {
        let refused = Value::Error(CROSSSLOT.to_owned());
        conn.cmd("MSET x:a 1 x:b 2");
        for i in 0..20 {
            for line in [
                format!("RENAME x:a y:{i}"),
                format!("RENAMENX x:a y:{i}"),
                format!("COPY x:a y:{i}"),
                format!("COPY x:a y:{i} REPLACE"),
                format!("MSETNX z:{i} 1 y:{i} 2"),
            ] {
                assert_eq!(conn.cmd(&line), refused, "{line}");
            }
        }
        assert_eq!(conn.cmd("MGET x:a x:b"), super::bulks(&["1", "2"]));
        // A hash tag, an empty tag (which is none), the first of two.
        assert_eq!(conn.cmd("RENAME x:a {x:a}:c"), simple("OK"));
        assert_eq!(conn.cmd("COPY {x:a}:c {x:a}{other}"), Value::Int(1));
        assert_eq!(conn.cmd("COPY {}x:a {}x:b"), refused);
        assert_eq!(conn.cmd("MSETNX {x}1 a {x}2 b foo{x}bar{y} c"), Value::Int(1));
        assert_eq!(conn.cmd("DEL {x}1 {x}2 foo{x}bar{y} {x:a}:c {x:a}{other}"), Value::Int(5));
        // The order of complaints: syntax and arity come first.
        let arity = Value::Error("ERR wrong number of arguments for 'rename' command".to_owned());
        assert_eq!(conn.cmd("RENAME a"), arity);
        let arity = Value::Error("ERR wrong number of arguments for 'msetnx' command".to_owned());
        assert_eq!(conn.cmd("MSETNX a 1 b"), arity);
    }
}

/// The keys lie on all nodes, each on the node its slot says, evenly.
#[test]
fn keys_are_spread() {
    let cluster = Cluster::start(&[]);
    let mut conn = cluster.coordinator.conn();
    fill(&mut conn, 3000);
    let counts: Vec<i64> =
        cluster.nodes.iter().map(|node| node.conn().cmd("DBSIZE").int()).collect();
    assert_eq!(counts.iter().sum::<i64>(), 3000);
    assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    assert_eq!(conn.cmd("DBSIZE"), Value::Int(3000));
    // Keys of one tag are on one node.
    for i in 0..50 {
        conn.cmd(&format!("SET {{tag}}{i} 1"));
    }
    let keys = |node: &Server| node.conn().cmd("KEYS {tag}*").items().len();
    let mut counts: Vec<usize> = cluster.nodes.iter().map(keys).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 50]);
    assert_eq!(conn.cmd("FLUSHDB"), simple("OK"));
    for node in &cluster.nodes {
        assert_eq!(node.conn().cmd("DBSIZE"), Value::Int(0));
    }
}

/// The owner of a slot does not depend on the order of the nodes on the command line.
#[test]
fn order_of_nodes_does_not_matter() {
    let cluster = Cluster::start(&[]);
    let mut conn = cluster.coordinator.conn();
    fill(&mut conn, 300);
    let nodes: Vec<&Server> = cluster.nodes.iter().rev().collect();
    let second = Server::coordinator(&nodes, &[]);
    let mut conn = second.conn();
    for i in 0..300 {
        assert_eq!(conn.cmd(&format!("GET k{i}")), bulk(&i.to_string()));
    }
    let third = Server::coordinator(&[nodes[1], nodes[0], nodes[2]], &[]);
    let keys = (0..300).map(|i| format!("k{i}")).collect::<Vec<_>>().join(" ");
    assert_eq!(third.conn3().cmd(&format!("DEL {keys}")), Value::Int(300));
}

/// INFO of the coordinator sums what the nodes have and names each.
#[test]
fn info_of_the_nodes() {
    let cluster = Cluster::start(&[]);
    let mut conn = cluster.coordinator.conn();
    fill(&mut conn, 300);
    conn.cmd("GET k1");
    conn.cmd("EXPIRE k2 1000");
    conn.cmd("GET nosuch");
    let text = conn.cmd("INFO").text();
    let field = |name: &str| {
        let line = text.split("\r\n").find(|line| line.starts_with(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).split_once(':').unwrap().1.to_owned()
    };
    assert!(field("db0").starts_with("keys=300,expires=1,avg_ttl="), "{}", field("db0"));
    assert_eq!(field("keyspace_hits"), "1");
    assert_eq!(field("keyspace_misses"), "1");
    assert_eq!(field("larder_role"), "coordinator");
    let memory: u64 = cluster
        .nodes
        .iter()
        .map(|node| {
            let text = node.conn().cmd("INFO memory").text();
            let line = text.split("\r\n").find(|line| line.starts_with("used_memory:")).unwrap();
            line["used_memory:".len()..].parse::<u64>().unwrap()
        })
        .sum();
    let own: u64 = field("used_memory").parse().unwrap();
    assert!(own > memory / 2 && own < memory * 2, "{own} is far from the nodes' {memory}");
    let mut keys = 0;
    let mut addresses = BTreeSet::new();
    for i in 0..3 {
        let line = field(&format!("node{i}"));
        let part = |name: &str| {
            let part = line.split(',').find_map(|part| part.strip_prefix(&format!("{name}=")));
            part.unwrap_or_else(|| panic!("no {name} in {line}")).to_owned()
        };
        addresses.insert(part("addr"));
        assert_eq!(part("state"), "up");
        keys += part("keys").parse::<u64>().unwrap();
        for name in ["memory", "maxmemory", "hits", "misses", "evictions", "expirations"] {
            part(name).parse::<u64>().unwrap();
        }
        for name in ["ops_per_sec", "p50_us", "p99_us"] {
            part(name).parse::<f64>().unwrap();
        }
    }
    assert_eq!(keys, 300);
    assert_eq!(addresses, cluster.nodes.iter().map(|node| node.addr.clone()).collect());
    assert!(text.contains("\r\n# Nodes\r\n"));
}

/// CONFIG SET through the coordinator reaches the nodes.
#[test]
fn settings_reach_the_nodes() {
    let cluster = Cluster::start(&[]);
    let mut conn = cluster.coordinator.conn();
    assert_eq!(conn.cmd("CONFIG SET maxmemory 100mb maxmemory-policy noeviction"), simple("OK"));
    for node in &cluster.nodes {
        let mut conn = node.conn();
        let got = conn.cmd("CONFIG GET maxmemory");
        assert_eq!(got, super::bulks(&["maxmemory", "104857600"]));
        let got = conn.cmd("CONFIG GET maxmemory-policy");
        assert_eq!(got, super::bulks(&["maxmemory-policy", "noeviction"]));
    }
}

/// Clients of both protocols and of several databases share the links to the nodes, unmixed.
#[test]
fn shared_links_do_not_mix() {
    let coordinator = &shared().coordinator;
    let threads: Vec<_> = (0..8)
        .map(|i| {
            let mut conn = if i % 2 == 0 { coordinator.conn() } else { coordinator.conn3() };
            std::thread::spawn(move || {
                let db = i / 2;
                assert_eq!(conn.cmd(&format!("SELECT {db}")), simple("OK"));
                for round in 0..100 {
                    for key in 0..10 {
                        conn.send(&format!("SET mix{i}:{key} {db}:{round}"));
                        conn.send(&format!("GET mix{i}:{key}"));
                        conn.send(&format!("GET mix{}:{key}", 7 - i));
                    }
                    for _ in 0..10 {
                        assert_eq!(conn.read(), simple("OK"));
                        assert_eq!(conn.read(), bulk(&format!("{db}:{round}")));
                        // The other's key is of another database: not here.
                        assert_eq!(conn.read(), Value::Null);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A node does not serve two coordinators that place keys differently; which, it says by name.
#[test]
fn different_tables_are_refused() {
    let node = Server::node(&[]);
    let mut first = node.conn();
    let mut second = node.conn3();
    assert_eq!(first.cmd("LARDER TABLE aaaa first:1"), simple("OK"));
    assert_eq!(first.cmd("LARDER TABLE aaaa first:1"), simple("OK"));
    assert_eq!(second.cmd("LARDER TABLE aaaa second:1"), simple("OK"));
    let refused = second.cmd("LARDER TABLE bbbb third:1").text();
    assert!(refused.starts_with("ERR coordinator first:1 "), "{refused}");
    drop((first, second));
    let mut third = node.conn();
    wait_for("the table of coordinators that are gone is forgotten", LIMIT, || {
        third.cmd("LARDER TABLE bbbb third:1") == simple("OK")
    });
    let arity =
        |name: &str| Value::Error(format!("ERR wrong number of arguments for '{name}' command"));
    assert_eq!(third.cmd("LARDER"), arity("larder"));
    assert_eq!(third.cmd("LARDER TABLE x"), arity("larder|table"));
    assert_eq!(third.cmd("LARDER HELP").items()[0].text(), format!("LARDER {SUBCOMMANDS}"));
}
