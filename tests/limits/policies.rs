//! What makes room: the policies, each on a real server.

use super::memory::{OOM, field};
use super::resident;
use crate::commands::Cluster;
use crate::util::{Conn, Server, Value, request, wait_for};
use std::time::{Duration, Instant};

const LIMIT: u64 = 8 << 20;
const VALUE: [u8; 1000] = [b'x'; 1000];

fn node(policy: &str) -> Server {
    Server::node(&["--maxmemory", "8mb", "--maxmemory-policy", policy])
}

/// Sends requests in batches and answers their replies.
fn pipeline(conn: &mut Conn, requests: impl Iterator<Item = Vec<u8>>) -> Vec<Value> {
    let (mut replies, mut requests) = (Vec::new(), requests.peekable());
    while requests.peek().is_some() {
        let batch: Vec<Vec<u8>> = requests.by_ref().take(200).collect();
        conn.send_raw(&batch.concat());
        replies.extend(batch.iter().map(|_| conn.read()));
    }
    replies
}

/// Sets keys of this prefix, a kilobyte each; `more` are further arguments.
fn set(conn: &mut Conn, prefix: &str, count: usize, more: &[&[u8]]) {
    let requests = (0..count).map(|number| {
        let key = format!("{prefix}:{number}");
        request(&[&[b"SET", key.as_bytes(), &VALUE], more].concat())
    });
    let replies = pipeline(conn, requests);
    let refused = replies.iter().find(|&reply| *reply != Value::Simple("OK".into()));
    assert_eq!(refused, None);
}

/// How many keys of this prefix are there, without using them.
fn count(conn: &mut Conn, prefix: &str, of: usize) -> usize {
    let requests =
        (0..of).map(|number| request(&[b"EXISTS", format!("{prefix}:{number}").as_bytes()]));
    pipeline(conn, requests).iter().filter(|&reply| *reply == Value::Int(1)).count()
}

fn read(conn: &mut Conn, prefix: &str, count: usize) {
    let requests =
        (0..count).map(|number| request(&[b"GET", format!("{prefix}:{number}").as_bytes()]));
    pipeline(conn, requests);
}

#[test]
fn volatile_policies_evict_only_keys_that_expire() {
    for policy in
        ["volatile-lru", "volatile-lfu", "volatile-lrm", "volatile-random", "volatile-ttl"]
    {
        let node = node(policy);
        let mut conn = node.conn();
        set(&mut conn, "lasting", 2000, &[]);
        set(&mut conn, "brief", 20_000, &[b"EX", b"1000"]);
        assert!(field(&mut conn, "evicted_keys") > 10_000, "{policy}");
        assert_eq!(count(&mut conn, "lasting", 2000), 2000, "{policy}");
        // When none is left that expires, writes are refused, and nothing else goes.
        let full = (0..10_000).find(|number| {
            let key = format!("more:{number}");
            conn.args(&[b"SET", key.as_bytes(), &VALUE]) == Value::Error(OOM.into())
        });
        let full = full.unwrap_or_else(|| panic!("{policy}: no end"));
        assert_eq!(count(&mut conn, "lasting", 2000), 2000, "{policy}");
        assert_eq!(count(&mut conn, "more", full), full, "{policy}");
        assert_eq!(count(&mut conn, "brief", 20_000), 0, "{policy}");
        assert!(field(&mut conn, "used_memory") <= LIMIT, "{policy}");
    }
}

#[test]
fn the_next_to_expire_goes_first() {
    let node = node("volatile-ttl");
    let mut conn = node.conn();
    set(&mut conn, "later", 3000, &[b"EX", b"90000"]);
    set(&mut conn, "soon", 3000, &[b"EX", b"900"]);
    set(&mut conn, "middle", 2500, &[b"EX", b"9000"]);
    assert_eq!(count(&mut conn, "later", 3000), 3000);
    assert_eq!(count(&mut conn, "middle", 2500), 2500);
    let left = count(&mut conn, "soon", 3000);
    assert!((1000..2800).contains(&left), "{left}");
}

#[test]
fn every_policy_holds_the_limit() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-lrm", "allkeys-random", "allkeys-s3fifo"]
    {
        let node = node(policy);
        let mut conn = node.conn();
        set(&mut conn, "key", 30_000, &[]);
        let (used, keys) = (field(&mut conn, "used_memory"), conn.cmd("DBSIZE").int());
        assert!(used <= LIMIT && used > LIMIT * 9 / 10, "{policy}: {used}");
        assert!(keys > 7000, "{policy}: {keys} keys");
        let info = conn.cmd("INFO memory").text();
        assert!(info.contains(&format!("maxmemory_policy:{policy}\r\n")), "{info}");
    }
}

/// Keys that are used, then a scan of many that are never used again: what is left of the former.
fn hot_after_a_scan(policy: &str) -> usize {
    let node = node(policy);
    let mut conn = node.conn();
    set(&mut conn, "hot", 2000, &[]);
    for _ in 0..20 {
        read(&mut conn, "hot", 2000);
    }
    set(&mut conn, "scanned", 30_000, &[]);
    count(&mut conn, "hot", 2000)
}

#[test]
fn a_scan_flushes_lru_but_not_the_others() {
    assert_eq!(hot_after_a_scan("allkeys-lru"), 0);
    let kept = hot_after_a_scan("allkeys-s3fifo");
    assert!(kept > 1950, "S3-FIFO kept {kept}");
    let kept = hot_after_a_scan("allkeys-lfu");
    assert!(kept > 1500, "LFU kept {kept}");
}

#[test]
fn reading_counts_for_lru_and_not_for_lrm() {
    for (policy, kept) in [("allkeys-lru", 1000), ("allkeys-lrm", 0)] {
        let node = node(policy);
        let mut conn = node.conn();
        set(&mut conn, "read", 1000, &[]);
        for round in 0..10 {
            set(&mut conn, &format!("written{round}"), 2000, &[]);
            read(&mut conn, "read", 1000);
        }
        assert_eq!(count(&mut conn, "read", 1000), kept, "{policy}");
    }
}

#[test]
fn uses_are_told_where_they_are_counted() {
    let node = node("allkeys-lru");
    let cluster = Cluster::start(&[]);
    for server in [&node, &cluster.coordinator] {
        let mut conn = server.conn();
        conn.cmd("SET key value");
        assert!(matches!(conn.cmd("OBJECT FREQ key"), Value::Error(_)));
        let ok = Value::Simple("OK".into());
        assert_eq!(conn.cmd("CONFIG SET maxmemory-policy allkeys-lfu lfu-log-factor 0"), ok);
        assert_eq!(conn.cmd("OBJECT FREQ key"), Value::Int(5));
        for _ in 0..10 {
            conn.cmd("GET key");
        }
        assert_eq!(conn.cmd("OBJECT FREQ key"), Value::Int(15));
        assert_eq!(conn.cmd("OBJECT FREQ nosuch"), Value::Null);
        assert_eq!(conn.cmd("OBJECT IDLETIME key"), Value::Int(0));
    }
}

#[test]
fn the_policy_changes_at_run_time() {
    let node = node("allkeys-lru");
    let mut conn = node.conn();
    set(&mut conn, "lasting", 3000, &[]);
    set(&mut conn, "brief", 3000, &[b"EX", b"1000"]);
    for policy in [
        "volatile-lru",
        "allkeys-s3fifo",
        "volatile-ttl",
        "allkeys-lru",
        "volatile-lrm",
        "allkeys-random",
        "allkeys-lfu",
        "noeviction",
        "allkeys-lrm",
        "volatile-random",
        "volatile-lfu",
        "allkeys-lru",
    ] {
        let change = conn.cmd(&format!("CONFIG SET maxmemory-policy {policy}"));
        assert_eq!(change, Value::Simple("OK".into()));
        for number in 0..500 {
            let key = format!("{policy}:{number}");
            let reply = conn.args(&[b"SET", key.as_bytes(), &VALUE, b"EX", b"1000"]);
            let refused = policy == "noeviction" && reply == Value::Error(OOM.into());
            assert!(refused || reply == Value::Simple("OK".into()), "{policy}: {reply:?}");
        }
        assert!(field(&mut conn, "used_memory") <= LIMIT, "{policy}");
    }
    // The order is known again: what was used last stays.
    read(&mut conn, "lasting", 100);
    let used = count(&mut conn, "lasting", 100);
    set(&mut conn, "new", 3000, &[]);
    assert_eq!(count(&mut conn, "lasting", 100), used);
}

/// Sizes that drift leave holes, which are closed.
#[test]
fn resident_memory_follows_the_limit() {
    let limit = 32 << 20;
    let node = Server::node(&["--maxmemory", "32mb", "--workers", "1"]);
    let (mut conn, start) = (node.conn(), resident(&node));
    let mut most = 0;
    for (phase, size) in [60, 200, 900, 1800, 150, 1500, 40, 20_000, 500].into_iter().enumerate() {
        let value = vec![b'x'; size];
        for batch in 0..(80 << 20) / (size + 200) / 400 {
            let requests = (0..400).map(|number| {
                let key = format!("{phase}:{}", batch * 400 + number);
                request(&[b"SET", key.as_bytes(), &value[..size - number % (size / 3)]])
            });
            pipeline(&mut conn, requests);
            most = most.max(resident(&node).saturating_sub(start));
        }
        let used = field(&mut conn, "used_memory");
        assert!(used <= limit, "{used} bytes used");
    }
    // Twice what is promised: beside other tests what is free goes back to the system late. The benchmark holds the promise.
    assert!(most <= limit + limit / 10 + (32 << 20), "{most} bytes resident for {limit}");
    let info = conn.cmd("INFO memory").text();
    assert!(info.contains("allocator_frag_ratio:1."), "{info}");
}

#[test]
fn expired_keys_free_their_memory_soon() {
    let node = Server::node(&[]);
    let mut conn = node.conn();
    let requests = (0..20_000).map(|number| {
        let (key, ttl) = (format!("brief:{number}"), (1000 + number % 500).to_string());
        request(&[b"SET", key.as_bytes(), b"x", b"PX", ttl.as_bytes()])
    });
    pipeline(&mut conn, requests);
    let set = Instant::now();
    assert_eq!(field(&mut conn, "evicted_keys"), 0);
    wait_for("expiry", Duration::from_secs(10), || conn.cmd("DBSIZE") == Value::Int(0));
    // The last time to live is 1.5 s; a quarter of a second is five times the goal.
    let late = set.elapsed().saturating_sub(Duration::from_millis(1500));
    assert!(late < Duration::from_millis(250), "{late:?} late");
    assert_eq!(field(&mut conn, "expired_keys"), 20_000);
}
