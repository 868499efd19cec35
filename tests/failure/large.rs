//! Large values, and what a refused transaction leaves behind: cases that once hung a connection, took a healthy node
//! for dead, or mixed up the databases of a link.

use crate::failure::Cluster;
use crate::util::{Server, Value, request};
use std::time::{Duration, Instant};

#[test]
fn replies_larger_than_the_bound_arrive_though_nothing_more_is_sent() {
    let cluster = Cluster::start(&[]);
    let node = Server::node(&[]);
    for server in [&cluster.coordinator, &node] {
        let mut conn = server.conn();
        let value = vec![b'x'; 5_000_000];
        assert_eq!(conn.args(&[b"SET", b"v", &value]), Value::Simple("OK".into()));
        let get = request(&[b"GET", b"v"]);
        conn.send_raw(&get.repeat(4));
        // Long enough that the first reply fills every buffer on its way.
        assert!(conn.try_read(Duration::from_secs(10)).is_some());
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..3 {
            let reply = conn.try_read(Duration::from_secs(10)).expect("a reply");
            assert!(reply == Value::Bulk(value.clone()));
        }
    }
}

#[test]
fn a_value_that_takes_longer_than_the_timeout_does_not_bring_its_node_down() {
    let cluster = Cluster::start(&["--backend-timeout-ms", "1000"]);
    let mut conn = cluster.coordinator.conn();
    let value = vec![b'x'; 256 << 20];
    let began = Instant::now();
    assert_eq!(conn.args(&[b"SET", b"v", &value]), Value::Simple("OK".into()));
    println!("{:?} for 256 MB", began.elapsed());
    assert_eq!(conn.cmd("STRLEN v"), Value::Int(256 << 20));
}

#[test]
fn a_refused_transaction_leaves_the_database_of_the_link_alone() {
    let node = Server::node(&["--maxmemory", "2mb", "--maxmemory-policy", "noeviction"]);
    let coordinator = Server::coordinator(&[&node], &["--workers", "1"]);
    let (mut one, mut two) = (coordinator.conn(), coordinator.conn());
    let ok = || Value::Simple("OK".into());
    assert_eq!(one.cmd("SET here 0"), ok());
    while one.args(&[b"APPEND", b"fill", &[b'x'; 50_000]]) != Value::Error(OOM.into()) {}
    for line in ["MULTI", "GET here", "SELECT 5", "SET there 5"] {
        one.cmd(line);
    }
    assert!(matches!(one.cmd("EXEC"), Value::Error(text) if text.starts_with("EXECABORT")));
    assert_eq!(two.cmd("SELECT 5"), ok());
    assert_eq!(two.cmd("GET here"), Value::Null);
    assert_eq!(two.cmd("FLUSHDB"), ok());
    assert_eq!(two.cmd("SELECT 0"), ok());
    assert_eq!(two.cmd("GET here"), Value::Bulk(b"0".to_vec()));
}

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
