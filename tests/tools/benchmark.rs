//! redis-benchmark: it ends without an error, and everything that it wrote is there.

use super::{on_both, run};
use crate::util::{Conn, Server, Value};
use std::process::Command;

/// Runs its tests with these options too, each `requests` times, and checks what they left.
fn benchmark(server: &Server, requests: i64, options: &[&str]) {
    let mut conn = server.conn();
    assert_eq!(conn.cmd("FLUSHALL"), Value::Simple("OK".into()));
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", &server.host, "-p", &server.port.to_string()]);
    command.args(["-t", "ping,set,get,incr,mset", "-q", "-r", "100000"]);
    command.args(["-n", &requests.to_string()]).args(options);
    let printed = run(&mut command, b"").ok();
    for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"] {
        let done = printed
            .split(['\r', '\n'])
            .any(|line| line.starts_with(test) && line.contains("requests per second"));
        assert!(done, "no result of {test}:\n{printed}");
    }
    check(&mut conn, requests);
}

/// Every INCR was counted exactly once, and every value is one of those that were set.
fn check(conn: &mut Conn, requests: i64) {
    let (mut cursor, mut counted, mut keys) = ("0".to_owned(), 0, 0);
    loop {
        let page = conn.cmd(&format!("SCAN {cursor} COUNT 1000"));
        let names = page.items()[1].items();
        cursor = page.items()[0].text();
        let names: Vec<String> = names.iter().map(Value::text).collect();
        if !names.is_empty() {
            let values = conn.cmd(&format!("MGET {}", names.join(" ")));
            for (name, value) in names.iter().zip(values.items()) {
                match name.starts_with("counter:") {
                    true => counted += value.text().parse::<i64>().unwrap(),
                    false => assert_eq!(value.text(), "VXK", "{name}"),
                }
            }
        }
        keys += names.len() as i64;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(counted, requests, "the sum of all counters");
    let size = conn.cmd("DBSIZE").int();
    assert!(keys >= size && size > requests, "{keys} keys scanned of {size}");
}

#[test]
fn with_a_pipeline() {
    on_both(|server| benchmark(server, 50_000, &["-P", "16"]));
}

#[test]
fn without_a_pipeline() {
    on_both(|server| benchmark(server, 10_000, &[]));
}

#[test]
fn with_resp3() {
    on_both(|server| benchmark(server, 20_000, &["-3", "-P", "16"]));
}

#[test]
fn with_threads_and_another_database() {
    on_both(|server| {
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", &server.host, "-p", &server.port.to_string(), "--threads", "2"]);
        command.args(["--dbnum", "3", "-t", "set", "-q", "-P", "8", "-r", "1000", "-n", "20000"]);
        run(&mut command, b"").ok();
        let mut conn = server.conn();
        assert_eq!(conn.cmd("DBSIZE"), Value::Int(0));
        assert_eq!(conn.cmd("SELECT 3"), Value::Simple("OK".into()));
        assert_eq!(conn.cmd("DBSIZE"), Value::Int(1000));
    });
}
