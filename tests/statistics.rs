//! Statistics against traffic whose truth is known: on one node, through a coordinator, and after a node was lost.

use crate::tools::failed;
use crate::util::{Conn, Server, Value, request, wait_for};
use serde_json::Value as Json;
use std::time::Duration;

/// Everything is looked at.
const ALL: [&str; 2] = ["--stats-sample-every", "1"];

fn report(conn: &mut Conn) -> Json {
    serde_json::from_str(&conn.cmd("LARDER STATS JSON").text()).expect("a report is JSON")
}

fn number(json: &Json, path: &str) -> f64 {
    let value = json.pointer(path).unwrap_or_else(|| panic!("no {path} in {json}"));
    value.as_f64().unwrap_or_else(|| panic!("{path} is {value}"))
}

/// The element of a list that has this name.
fn named<'a>(json: &'a Json, list: &str, field: &str, name: &str) -> &'a Json {
    let list = json.pointer(list).and_then(Json::as_array).expect("a list");
    let mut found = list.iter().filter(|item| item[field] == name);
    let one = found.next().unwrap_or_else(|| panic!("no {name} in {list:?}"));
    assert!(found.next().is_none(), "{name} twice");
    one
}

/// Sends many requests and reads their replies.
fn many(conn: &mut Conn, lines: impl Iterator<Item = String>) -> usize {
    let lines: Vec<String> = lines.collect();
    for batch in lines.chunks(500) {
        batch.iter().for_each(|line| conn.send(line));
        for line in batch {
            let reply = conn.read();
            assert!(!failed(&reply), "{line}: {reply:?}");
        }
    }
    lines.len()
}

/// Traffic of known hits, misses, writes and deletions; `conn` is of a node or a coordinator.
fn traffic(conn: &mut Conn) {
    many(conn, (0..300).map(|n| format!("SET user:{n} {}", "v".repeat(40))));
    many(conn, (0..100).map(|n| format!("SETEX page:{n} 1000 value")));
    many(conn, (0..400).map(|n| format!("GET user:{n}")));
    many(conn, (0..50).map(|n| format!("MGET page:{n} page:{} none", n + 1000)));
    many(conn, (0..20).map(|n| format!("DEL user:{n}")));
    many(conn, (0..500).map(|_| "INCR counter".to_owned()));
    conn.cmd("SET {} value");
    let big = "x".repeat(100_000);
    conn.args(&[b"SET", b"big\xff:1", big.as_bytes()]);
    conn.args(&[b"SET", b"big\xff:2", &big.as_bytes()[40_000..]]);
    conn.args(&[b"SET", b"big\xff:gone", &big.as_bytes()[..50_000]]);
    conn.args(&[b"DEL", b"big\xff:gone"]);
    assert!(failed(&conn.cmd("INCR page:0")));
}

fn check_keys(report: &Json) {
    assert_eq!(number(report, "/cache/keys"), 384.0);
    assert_eq!(number(report, "/cache/expires"), 100.0);
    // GET of 300 that are there and 100 that are not, MGET of 50 that are and 100 that are not.
    assert_eq!(number(report, "/cache/hits"), 350.0);
    assert_eq!(number(report, "/cache/misses"), 200.0);
    assert_eq!(report["prefixes"]["exact"], true);
    assert_eq!(number(report, "/prefixes/sampled"), 1.0);
    let prefix = |name: &str| {
        let found = named(report, "/prefixes/list", "prefix", name);
        ["keys", "hits", "misses", "writes", "evicted"].map(|field| found[field].as_u64().unwrap())
    };
    assert_eq!(prefix("user"), [280, 300, 100, 300, 0]);
    assert_eq!(prefix("page"), [100, 50, 50, 100, 0]);
    assert_eq!(prefix("(none)"), [2, 0, 50, 501, 0]);
    assert_eq!(prefix("big\\xff"), [2, 0, 0, 3, 0]);
    let user = named(report, "/prefixes/list", "prefix", "user");
    let bytes = user["bytes"].as_f64().unwrap() / 280.0;
    assert!((60.0..90.0).contains(&bytes), "{bytes} bytes a key");
    assert!(number(user, "/latency/p99_us") > 0.0);
    let big: Vec<(&str, u64)> = report["big-keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["key"].as_str().unwrap(), key["bytes"].as_u64().unwrap()))
        .collect();
    assert_eq!(big.iter().map(|key| key.0).collect::<Vec<_>>(), ["big\\xff:1", "big\\xff:2"]);
    assert!(big[0].1 > 100_000 && big[0].1 < 115_000 && big[1].1 > 60_000, "{big:?}");
    // Of about 1,450 uses 501 are of one key.
    let hot = &report["hot-keys"][0];
    assert_eq!(hot["key"], "counter");
    let (uses, share) = (number(hot, "/uses"), number(hot, "/share"));
    assert!((450.0..=500.0).contains(&uses) && (0.28..0.40).contains(&share), "{hot}");
}

fn check_commands(report: &Json) {
    for (name, calls, failed) in
        [("get", 400, 0), ("mget", 50, 0), ("setex", 100, 0), ("incr", 501, 1), ("del", 21, 0)]
    {
        let command = named(report, "/commands", "name", name);
        assert_eq!(
            (&command["calls"], &command["failed"]),
            (&calls.into(), &failed.into()),
            "{name}"
        );
        let counted: u64 = command["latency"]["histogram"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| bucket[1].as_u64().unwrap())
            .sum();
        assert_eq!(counted, calls as u64, "{name}");
        assert!(number(command, "/latency/p50_us") <= number(command, "/latency/p99_us"));
    }
    assert_eq!(report["errors"]["ERR"], 1);
}

/// What comes together shares a clock reading, so that each takes as long as the others; unless somebody wants to know.
#[test]
fn short_commands_of_a_kind_are_timed_together() {
    // Those that are looked at for their prefix are read apart.
    let node = Server::node(&["--stats-sample-every", "0"]);
    let mut conn = node.conn();
    let durations = |conn: &mut Conn| {
        conn.cmd("CONFIG RESETSTAT");
        conn.send_raw(&request(&[b"GET", b"key"]).repeat(16));
        (0..16).for_each(|_| assert_eq!(conn.read(), Value::Null));
        let report = report(conn);
        let get = named(&report, "/commands", "name", "get");
        assert_eq!(get["calls"], 16);
        get["latency"]["histogram"].as_array().unwrap().len()
    };
    assert_eq!(durations(&mut conn), 1);
    conn.cmd("CONFIG SET slowlog-log-slower-than 999");
    assert!(durations(&mut conn) > 1);
    conn.cmd("CONFIG SET slowlog-log-slower-than 1000 latency-monitor-threshold 1");
    assert!(durations(&mut conn) > 1);
    conn.cmd("CONFIG SET latency-monitor-threshold 0");
    assert_eq!(durations(&mut conn), 1);
}

#[test]
fn of_a_node() {
    let node = Server::node(&ALL);
    let mut conn = node.conn();
    traffic(&mut conn);
    let report = report(&mut conn);
    check_keys(&report);
    check_commands(&report);
    assert_eq!(report["server"]["role"], "node");
    assert_eq!(number(&report, "/traffic/clients"), 1.0);
    assert!(number(&report, "/traffic/bytes_in") > 200_000.0);
    conn.cmd("CONFIG RESETSTAT");
    let report = self::report(&mut conn);
    assert_eq!(number(&report, "/cache/hits"), 0.0);
    assert_eq!(number(&report, "/cache/keys"), 384.0);
    assert_eq!(named(&report, "/prefixes/list", "prefix", "user")["writes"], 0);
    assert_eq!(report["hot-keys"].as_array().unwrap().len(), 0);
}

#[test]
fn of_a_cluster() {
    let nodes: Vec<Server> = (0..3).map(|_| Server::node(&ALL)).collect();
    let coordinator = Server::coordinator(&nodes.iter().collect::<Vec<_>>(), &[]);
    let mut conn = coordinator.conn();
    traffic(&mut conn);
    let report = report(&mut conn);
    check_keys(&report);
    check_commands(&report);
    assert_eq!(report["server"]["role"], "coordinator");
    let each = report["nodes"].as_array().unwrap();
    assert_eq!(each.len(), 3);
    for (field, sum) in [("keys", 384), ("hits", 350), ("misses", 200)] {
        let sums: u64 = each.iter().map(|node| node["cache"][field].as_u64().unwrap()).sum();
        assert_eq!(sums, sum, "{field}");
    }
    // A key has its node's name.
    let owner = nodes.iter().find(|node| !failed(&node.conn().cmd("GET counter")));
    assert!(owner.is_some() && each.iter().any(|n| n["addr"] == report["hot-keys"][0]["node"]));
    // Other forms, and parts of it.
    let text = conn.cmd("LARDER STATS TEXT cache nodes").text();
    assert!(text.starts_with("# Cache\r\nkeys:384\r\n"), "{text}");
    assert!(text.contains("\r\n# Nodes\r\nnodes_0:addr=127.0.0.1:"), "{text}");
    assert!(failed(&conn.cmd("LARDER STATS JSON nosuch")));
    let map = coordinator.conn3().cmd("LARDER STATS cache");
    assert!(format!("{map:?}").contains("\"hits\"): Int(35"), "{map:?}");
}

#[test]
fn after_a_node_was_lost() {
    let mut nodes: Vec<Server> = (0..3).map(|_| Server::node(&ALL)).collect();
    let coordinator = Server::coordinator(&nodes.iter().collect::<Vec<_>>(), &[]);
    let mut conn = coordinator.conn();
    traffic(&mut conn);
    let before = report(&mut conn);
    let mut lost = nodes.remove(1);
    let addr = lost.addr.clone();
    let held = named(&before, "/nodes", "addr", &addr)["cache"].clone();
    assert!(held["keys"].as_u64().unwrap() > 50);
    lost.kill();
    let up = |report: &Json| named(report, "/nodes", "addr", &addr)["up"] == true;
    wait_for("the loss shows", Duration::from_secs(10), || !up(&report(&mut conn)));
    let without = report(&mut conn);
    for field in ["keys", "hits", "misses"] {
        let rest =
            number(&before["cache"], &format!("/{field}")) - number(&held, &format!("/{field}"));
        assert_eq!(number(&without["cache"], &format!("/{field}")), rest, "{field}");
    }
    // What clients saw is the coordinator's to tell.
    assert_eq!(named(&without, "/commands", "name", "get")["calls"], 400);
    let _again = Server::spawn(&["node", &addr]);
    wait_for("it is back", Duration::from_secs(10), || up(&report(&mut conn)));
    let back = report(&mut conn);
    assert_eq!(number(&back, "/cache/keys"), number(&without, "/cache/keys"));
    assert_eq!(named(&back, "/nodes", "addr", &addr)["cache"]["keys"], 0);
}

#[test]
fn of_evictions() {
    let node = Server::node(&[&ALL[..], &["--maxmemory", "2mb", "--workers", "1"]].concat());
    let mut conn = node.conn();
    many(&mut conn, (0..5_000).map(|n| format!("SET old:{n} {}", "v".repeat(100))));
    // Idle times are counted in whole seconds.
    std::thread::sleep(Duration::from_millis(2_100));
    many(&mut conn, (0..30_000).map(|n| format!("SET new:{n} {}", "v".repeat(100))));
    let report = report(&mut conn);
    let evicted = number(&report, "/cache/evicted");
    assert!(evicted > 10_000.0);
    assert_eq!(number(&report, "/cache/keys"), 35_000.0 - evicted);
    let of =
        |name: &str| named(&report, "/prefixes/list", "prefix", name)["evicted"].as_f64().unwrap();
    assert_eq!(of("old") + of("new"), evicted);
    assert_eq!(of("old"), 5_000.0);
    assert_eq!(number(&report, "/ages/count"), evicted);
    let aged = number(&report, "/ages/sum_s");
    assert!(aged >= 10_000.0, "5,000 keys were at least 2 seconds old: {aged}");
    // Of a store that is too large to be visited as a whole only estimates are known.
    assert_eq!(report["prefixes"]["exact"], false);
    let new = named(&report, "/prefixes/list", "prefix", "new");
    let keys = new["keys"].as_f64().unwrap() / number(&report, "/cache/keys");
    assert!((0.99..=1.01).contains(&keys), "{keys}");
}

/// Look-aside traffic, Zipf-like: the hit ratio that other memory sizes would give is what they do give.
#[test]
fn the_curve_foretells_what_more_memory_gives() {
    let replay = |megabytes: u32| {
        let limit = format!("{megabytes}mb");
        let node = Server::node(&["--maxmemory", &limit, "--workers", "1"]);
        let (mut conn, mut random) = (node.conn(), 1u64);
        let value = "v".repeat(400);
        for _ in 0..300 {
            let ids: Vec<u64> = (0..400)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let uniform = (random >> 11) as f64 / (1u64 << 53) as f64;
                    (uniform * 100_000f64.ln()).exp() as u64
                })
                .collect();
            ids.iter().for_each(|id| conn.send(&format!("GET key:{id}")));
            let missing: Vec<u64> =
                ids.into_iter().filter(|_| conn.read() == crate::util::Value::Null).collect();
            many(&mut conn, missing.iter().map(|id| format!("SET key:{id} {value}")));
        }
        let report = report(&mut conn);
        let (hits, misses) = (number(&report, "/cache/hits"), number(&report, "/cache/misses"));
        assert_eq!(hits + misses, 120_000.0);
        (hits / (hits + misses), report)
    };
    let at = |report: &Json, times: f64| {
        let points = report["curve"]["points"].as_array().unwrap();
        let point = points.iter().find(|point| point["times"] == times).expect("a point");
        point["hit_ratio"].as_f64().unwrap()
    };
    let (small, report) = replay(2);
    let (double, _) = replay(4);
    let (eight, _) = replay(16);
    assert!(double > small + 0.03 && eight > double + 0.05, "{small} {double} {eight}");
    for (times, real) in [(1.0, small), (2.0, double), (8.0, eight)] {
        let foretold = at(&report, times);
        assert!((foretold - real).abs() < 0.05, "{times}x: foretold {foretold:.3}, real {real:.3}");
    }
}

/// Commands that look at the whole server, while a transaction has keys locked: none may wait for itself.
#[test]
fn in_a_transaction_that_has_keys_locked() {
    let nodes = [Server::node(&[]), Server::node(&[])];
    let coordinator = Server::coordinator(&nodes.iter().collect::<Vec<_>>(), &[]);
    for server in [&nodes[0], &coordinator] {
        let mut conn = server.conn();
        let lines = [
            "CONFIG SET stats-sample-every 7 maxmemory 100mb",
            "CONFIG SET stats-separator / stats-curve no slowlog-max-len 100",
            "CONFIG RESETSTAT",
            "INFO everything",
            "MEMORY STATS",
            "MEMORY DOCTOR",
            "LATENCY LATEST",
            "LATENCY DOCTOR",
            "LATENCY HISTOGRAM",
            "SLOWLOG GET",
            "CLIENT LIST",
            "DBSIZE",
            "FLUSHALL",
        ];
        for line in lines {
            conn.cmd("MULTI");
            for queued in ["SET key 1", line, "GET key"] {
                let reply = conn.cmd(queued);
                assert_eq!(reply.text(), "QUEUED", "{queued}");
            }
            let reply = conn.cmd("EXEC");
            assert!(
                reply.items().len() == 3 && !reply.items().iter().any(failed),
                "{line}: {reply:?}"
            );
            assert!(!failed(&conn.cmd("GET key")), "after {line}");
        }
        conn.cmd("MULTI");
        assert!(failed(&conn.cmd("LARDER STATS JSON")), "a report wants all shards");
        assert!(failed(&conn.cmd("EXEC")));
        assert!(number(&report(&mut conn), "/traffic/commands") > 1.0);
    }
}

/// Reads are counted once, whoever asks at the same time.
#[test]
fn the_curve_counts_each_read_once() {
    let node = Server::node(&["--workers", "2"]);
    let load = |from: u32| {
        let mut conn = node.conn();
        move || {
            for round in 0..40 {
                many(&mut conn, (0..500).map(|n| format!("GET none:{from}:{round}:{n}")));
            }
        }
    };
    let mut threads: Vec<_> = (0..2).map(|from| std::thread::spawn(load(from))).collect();
    for _ in 0..2 {
        let mut conn = node.conn();
        threads.push(std::thread::spawn(move || {
            for _ in 0..50 {
                report(&mut conn);
            }
        }));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let report = report(&mut node.conn());
    assert_eq!(number(&report, "/cache/misses"), 40_000.0);
    assert_eq!(number(&report, "/curve/reads"), 40_000.0);
    for point in report["curve"]["points"].as_array().unwrap() {
        // What is not there is a miss in any memory, but for the error of the sample.
        assert!(point["hit_ratio"].as_f64().unwrap() < 0.15, "{point}");
    }
}

/// Keys that expire before anybody wants them take no memory from those that are wanted.
#[test]
fn the_curve_knows_of_expiry() {
    let node = Server::node(&["--maxmemory", "20mb"]);
    let mut conn = node.conn();
    let value = "v".repeat(1000);
    many(&mut conn, (0..2_000).map(|n| format!("SET hot:{n} 1")));
    // Between two reads of a key come 22 MB of others, few of which live at the same time.
    for round in 0..50 {
        many(&mut conn, (0..2_000).map(|n| format!("SET short:{round}:{n} {value} PX 5")));
        if round % 10 == 9 {
            many(&mut conn, (0..2_000).map(|n| format!("GET hot:{n}")));
        }
    }
    let report = report(&mut conn);
    assert_eq!(number(&report, "/cache/evicted"), 0.0);
    let points = report["curve"]["points"].as_array().unwrap();
    let now = points.iter().find(|point| point["times"] == 1.0).unwrap();
    assert!(now["hit_ratio"].as_f64().unwrap() > 0.97, "{now}");
}

/// What is deleted leaves its place among the biggest keys to others.
#[test]
fn big_keys_come_and_go() {
    let node = Server::node(&[]);
    let mut conn = node.conn();
    let set = |conn: &mut Conn, key: &str, bytes: usize| {
        conn.args(&[b"SET", key.as_bytes(), "x".repeat(bytes).as_bytes()]);
    };
    let names = |conn: &mut Conn| -> Vec<String> {
        let report = report(conn);
        let list = report["big-keys"].as_array().unwrap();
        list.iter().map(|key| key["key"].as_str().unwrap().to_owned()).collect()
    };
    (0..40).for_each(|n| set(&mut conn, &format!("huge:{n}"), 300_000));
    (0..40).for_each(|n| assert_eq!(conn.cmd(&format!("DEL huge:{n}")).int(), 1));
    (0..5).for_each(|n| set(&mut conn, &format!("big:{n}"), 50_000 - n * 5_000));
    assert_eq!(names(&mut conn), ["big:0", "big:1", "big:2", "big:3", "big:4"]);
    conn.cmd("SELECT 1");
    conn.cmd("FLUSHDB");
    assert_eq!(names(&mut conn).len(), 5);
    conn.cmd("FLUSHALL");
    assert_eq!(names(&mut conn).len(), 0);
}
