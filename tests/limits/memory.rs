//! Memory: eviction of what was not used for longest, refusals, expiry.

use super::resident;
use crate::commands::Cluster;
use crate::tools::failed;
use crate::util::{Conn, Server, Value, request, wait_for};
use std::time::Duration;

pub(super) const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// A number out of INFO.
pub(super) fn field(conn: &mut Conn, name: &str) -> u64 {
    let info = conn.cmd("INFO").text();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {info}")).parse().unwrap()
}

/// Fills with `count` keys of 1,000 bytes, reading `hot:0`... to `hot:99` again and again.
fn fill(conn: &mut Conn, count: usize, mut each_batch: impl FnMut(&mut Conn)) {
    let value = [b'x'; 1000];
    for number in 0..100 {
        let key = format!("hot:{number}");
        assert_eq!(conn.cmd(&format!("SET {key} {key}")), Value::Simple("OK".into()));
    }
    for first in (0..count).step_by(500) {
        let mut batch = Vec::new();
        for number in first..first + 500 {
            batch.extend(request(&[b"SET", format!("cold:{number}").as_bytes(), &value]));
        }
        for number in 0..100 {
            batch.extend(request(&[b"GET", format!("hot:{number}").as_bytes()]));
        }
        conn.send_raw(&batch);
        for _ in 0..500 {
            assert_eq!(conn.read(), Value::Simple("OK".into()));
        }
        for number in 0..100 {
            let key = format!("hot:{number}");
            assert_eq!(conn.read(), Value::Bulk(key.into_bytes()), "read a moment ago");
        }
        each_batch(conn);
    }
}

#[test]
fn a_node_stays_under_its_limit_and_keeps_what_is_used() {
    let limit = 16 << 20;
    let node = Server::node(&["--maxmemory", "16mb"]);
    let mut conn = node.conn();
    fill(&mut conn, 60_000, |conn| {
        let used = field(conn, "used_memory");
        assert!(used <= limit, "{used} of {limit} bytes");
    });
    let (evicted, keys) = (field(&mut conn, "evicted_keys"), conn.cmd("DBSIZE").int() as u64);
    assert_eq!(evicted + keys, 60_100, "{evicted} evicted, {keys} there");
    // Most of the memory holds values, and the newest of them.
    assert!(keys * 1000 > limit * 7 / 10, "{keys} keys in {limit} bytes");
    let newest = conn.cmd("EXISTS cold:59999 cold:59998 cold:59000 cold:55000");
    assert_eq!(newest, Value::Int(4));
    assert_eq!(conn.cmd("EXISTS cold:0 cold:1 cold:40000"), Value::Int(0));
    assert!(resident(&node) < 150 << 20, "{} bytes resident", resident(&node));
}

#[test]
fn a_cluster_stays_under_the_limits_of_its_nodes() {
    let nodes: Vec<Server> = (0..3).map(|_| Server::node(&["--maxmemory", "8mb"])).collect();
    let coordinator = Server::coordinator(&nodes.iter().collect::<Vec<_>>(), &[]);
    let mut conn = coordinator.conn();
    fill(&mut conn, 60_000, |_| {});
    assert!(field(&mut conn, "evicted_keys") > 30_000);
    assert_eq!(field(&mut conn, "maxmemory"), 3 * (8 << 20));
    for node in &nodes {
        let used = field(&mut node.conn(), "used_memory");
        assert!(used <= 8 << 20, "{used}");
    }
}

#[test]
fn a_limit_that_shrinks() {
    let node = Server::node(&["--maxmemory", "64mb"]);
    let mut conn = node.conn();
    fill(&mut conn, 20_000, |_| {});
    assert_eq!(field(&mut conn, "evicted_keys"), 0);
    assert_eq!(conn.cmd("CONFIG SET maxmemory 8mb"), Value::Simple("OK".into()));
    wait_for("memory below the new limit", Duration::from_secs(5), || {
        field(&mut conn, "used_memory") <= 8 << 20
    });
    assert_eq!(conn.cmd("EXISTS cold:19999 hot:1"), Value::Int(2));
}

#[test]
fn without_eviction_writes_are_refused() {
    let node = Server::node(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]);
    let mut conn = node.conn();
    let value = [b'x'; 10_000];
    let full = (0..2000).find(|number| {
        let key = format!("key:{number}");
        conn.args(&[b"SET", key.as_bytes(), &value]) == Value::Error(OOM.into())
    });
    let full = full.expect("OOM before 20 MB");
    assert!(full > 500, "full after {full} keys of 10 kB");
    for line in ["SET other x", "APPEND key:0 x", "INCR counter", "MSET a 1 b 2"] {
        let refused = conn.cmd(line);
        let large = conn.args(&[b"SET", b"large", &value]);
        assert_eq!(large, Value::Error(OOM.into()));
        // What is small may still find room, where memory is counted to the byte.
        assert!(!failed(&refused) || refused == Value::Error(OOM.into()), "{line}: {refused:?}");
    }
    assert_eq!(conn.cmd("STRLEN key:0").int() / 10_000, 1);
    assert_eq!(conn.cmd("GET nosuch"), Value::Null);
    assert_eq!(field(&mut conn, "evicted_keys"), 0);
    for number in 1..20 {
        assert_eq!(conn.cmd(&format!("DEL key:{number}")), Value::Int(1));
    }
    assert_eq!(conn.args(&[b"SET", b"after", &value]), Value::Simple("OK".into()));
    // Through a coordinator the same words.
    let coordinator = Server::coordinator(&[&node], &[]);
    let mut conn = coordinator.conn();
    let refused = (0..2000).any(|number| {
        let key = format!("more:{number}");
        conn.args(&[b"SET", key.as_bytes(), &value]) == Value::Error(OOM.into())
    });
    assert!(refused);
}

#[test]
fn a_value_larger_than_the_limit_evicts_nothing() {
    let node = Server::node(&["--maxmemory", "8mb"]);
    let mut conn = node.conn();
    for number in 0..100 {
        assert_eq!(conn.cmd(&format!("SET key:{number} x")), Value::Simple("OK".into()));
    }
    let large = vec![b'x'; 9 << 20];
    assert_eq!(conn.args(&[b"SET", b"large", &large]), Value::Error(OOM.into()));
    assert_eq!(conn.args(&[b"SET", b"key:1", &large]), Value::Error(OOM.into()));
    assert_eq!(conn.cmd("SETRANGE key:2 9437184 x"), Value::Error(OOM.into()));
    assert_eq!(conn.cmd("DBSIZE"), Value::Int(100));
    assert_eq!(field(&mut conn, "evicted_keys"), 0);
    assert_eq!(conn.cmd("GET key:1").text(), "x");
    assert_eq!(conn.cmd("SET key:100 x"), Value::Simple("OK".into()));
}

/// Once, room was made only for the bytes that the request itself has.
#[test]
fn an_offset_makes_room_as_bytes_do() {
    let node = Server::node(&["--maxmemory", "8mb"]);
    let mut conn = node.conn();
    fill(&mut conn, 10_000, |_| {});
    for (number, line) in
        ["SETRANGE a 5000000 x", "SETBIT b 39999999 1", "SETRANGE a 6000000 y"].iter().enumerate()
    {
        // In one go, so that nothing can be evicted in between.
        conn.send_raw(&[request(&words(line)), request(&[b"INFO", b"memory"])].concat());
        assert!(!failed(&conn.read()), "{line}");
        let info = conn.read().text();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        assert!(used.parse::<u64>().unwrap() <= 8 << 20, "{used} after {number} {line}");
    }
    assert_eq!(conn.cmd("STRLEN a"), Value::Int(6_000_001));
}

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

#[test]
fn keys_expire_without_being_read() {
    let node = Server::node(&[]);
    let cluster = Cluster::start(&[]);
    for server in [&node, &cluster.coordinator] {
        let mut conn = server.conn();
        let mut batch = Vec::new();
        for number in 0..2000 {
            let key = format!("brief:{number}");
            batch.extend(request(&[b"SET", key.as_bytes(), b"x", b"PX", b"300"]));
        }
        batch.extend(request(&[b"SET", b"lasting", b"x", b"EX", b"1000"]));
        conn.send_raw(&batch);
        for _ in 0..2001 {
            assert_eq!(conn.read(), Value::Simple("OK".into()));
        }
        let used = field(&mut conn, "used_memory");
        wait_for("expiry", Duration::from_secs(5), || conn.cmd("DBSIZE") == Value::Int(1));
        wait_for("expiry to be counted", Duration::from_secs(5), || {
            field(&mut conn, "expired_keys") == 2000
        });
        assert_eq!(field(&mut conn, "evicted_keys"), 0);
        assert!(field(&mut conn, "used_memory") < used);
        assert_eq!(conn.cmd("GET lasting").text(), "x");
    }
}
