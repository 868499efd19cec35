//! redis_exporter, which tells Prometheus what INFO, CONFIG and their like answer: it finds here what it finds at
//! redis-server.

use super::on_both;
use crate::util::http::{Page, get};
use crate::util::{Server, free_port};
use std::collections::BTreeSet;
use std::process::Command;

/// Families that it shows for redis-server and not for Larder, and why.
const MISSING: &[(&str, &str)] = &[
    (
        "the main thread only waits for signals",
        "cpu_sys_main_thread_seconds_total cpu_user_main_thread_seconds_total",
    ),
    (
        "a timing wheel knows what is due, there are no rounds that look for it",
        "expired_stale_percentage expired_time_cap_reached_total",
    ),
    (
        "calls of the system are not counted",
        "total_reads_processed total_writes_processed io_threaded_reads_processed \
         io_threaded_writes_processed",
    ),
];

/// What it shows for a server, and what it logged.
fn exported(server: &Server) -> (Page, String) {
    let addr = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new("prometheus-redis-exporter");
    command.args([
        "-redis.addr",
        &format!("redis://{}", server.addr),
        "-web.listen-address",
        &addr,
    ]);
    command.args(["-include-system-metrics", "-include-config-metrics", "-export-client-list"]);
    command.args(["-check-keys", "db0=user:*", "-count-keys", "db0=user:*", "-ping-on-connect"]);
    let exporter = Server::program(command, &addr);
    let page = get(&addr, "/metrics");
    (page, exporter.stderr())
}

/// Something of everything that it shows.
fn use_it(server: &Server) {
    let mut conn = server.conn();
    // Nodes that are given no limit may choose different ones.
    conn.cmd("CONFIG SET slowlog-log-slower-than 0 maxmemory 100mb latency-monitor-threshold 1");
    for line in [
        "SET user:1 v",
        "SET user:2 v EX 1000",
        "GET user:1",
        "GET nosuch",
        "INCR user:1",
        "DEBUG SLEEP 0.01",
    ] {
        conn.cmd(line);
    }
}

fn families(page: &Page) -> BTreeSet<&str> {
    let types = page.body.lines().filter_map(|line| line.strip_prefix("# TYPE redis_"));
    types.filter_map(|line| line.split(' ').next()).collect()
}

/// The errors in its log, without the times.
fn errors(log: &str) -> Vec<&str> {
    let lines = log.lines().filter_map(|line| line.split_once("level=").map(|(_, rest)| rest));
    lines.filter(|line| !line.starts_with("info") && !line.starts_with("debug")).collect()
}

#[test]
fn shows_what_it_shows_for_redis_server() {
    let redis = Server::redis(&[]);
    use_it(&redis);
    let (theirs, their_log) = exported(&redis);
    assert!(families(&theirs).len() > 100, "{}", theirs.body);
    let missing = MISSING.iter().flat_map(|(_, names)| names.split_whitespace());
    let expected: BTreeSet<&str> = missing.collect();
    on_both(|server| {
        use_it(server);
        let (ours, log) = exported(server);
        assert_eq!(ours.sample("redis_up"), Some(1.0), "{log}");
        assert_eq!(errors(&log), errors(&their_log), "{log}");
        let (all, own) = (families(&theirs), families(&ours));
        let missing: BTreeSet<&str> = all.difference(&own).copied().collect();
        assert_eq!(missing, expected, "families that are missing, and those that may be");
        for (name, value) in [
            ("redis_keyspace_hits_total", 1.0),
            ("redis_keyspace_misses_total", 1.0),
            ("redis_db_keys{db=\"db0\"}", 2.0),
            ("redis_db_keys_expiring{db=\"db0\"}", 1.0),
            ("redis_commands_total{cmd=\"get\"}", 2.0),
            ("redis_commands_failed_calls_total{cmd=\"incr\"}", 1.0),
            ("redis_exporter_last_scrape_error{err=\"\"}", 0.0),
        ] {
            assert_eq!(ours.sample(name), Some(value), "{name} in\n{}", ours.body);
            assert_eq!(theirs.sample(name), Some(value), "{name} in\n{}", theirs.body);
        }
    });
}
