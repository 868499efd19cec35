//! Clean ends: signals and SHUTDOWN, on every role, idle and under load.

use crate::commands::Cluster;
use crate::util::{Conn, Server, Value, request, wait_for};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn signals() {
    for signal in ["TERM", "INT"] {
        let mut cluster = Cluster::start(&[]);
        let mut idle = cluster.coordinator.conn();
        assert_eq!(idle.cmd("SET k v"), Value::Simple("OK".into()));
        cluster.coordinator.signal(signal);
        assert_eq!(cluster.coordinator.wait_exit(LIMIT).code(), Some(0), "{signal}");
        assert!(idle.closed());
        for node in &mut cluster.nodes {
            assert!(node.alive());
            node.signal(signal);
            assert_eq!(node.wait_exit(LIMIT).code(), Some(0), "{signal}");
        }
        let mut up = Server::up(&[]);
        up.signal(signal);
        assert_eq!(up.wait_exit(LIMIT).code(), Some(0), "{signal}");
    }
}

#[test]
fn shutdown_stops_its_own_role() {
    let mut cluster = Cluster::start(&[]);
    let mut conn = cluster.coordinator.conn();
    conn.send("SHUTDOWN");
    assert!(conn.closed(), "SHUTDOWN answers nothing when it works");
    assert_eq!(cluster.coordinator.wait_exit(LIMIT).code(), Some(0));
    for node in &mut cluster.nodes {
        assert!(node.alive(), "the nodes go on");
        let mut conn = node.conn();
        conn.send("SHUTDOWN NOSAVE");
        assert!(conn.closed());
        assert_eq!(node.wait_exit(LIMIT).code(), Some(0));
    }
}

#[test]
fn shutdown_of_up() {
    let mut up = Server::up(&["--fixed"]);
    let mut conn = up.conn();
    for number in 0..100 {
        assert_eq!(conn.cmd(&format!("SET key:{number} x")), Value::Simple("OK".into()));
    }
    // A node stops alone.
    let mut node = Conn::tcp(&up.nodes[1]);
    let keys: Vec<String> = node.cmd("KEYS *").items().iter().map(Value::text).collect();
    assert!(!keys.is_empty());
    node.send("SHUTDOWN");
    assert!(node.closed());
    wait_for("CLUSTERDOWN for the keys of the node that stopped", LIMIT, || {
        conn.cmd(&format!("GET {}", keys[0])).text().starts_with("CLUSTERDOWN")
    });
    assert!(std::net::TcpStream::connect(&up.nodes[1]).is_err(), "nobody listens there any more");
    let working = (0..100).filter(|number| {
        let reply = conn.cmd(&format!("GET key:{number}"));
        assert!(reply.text() == "x" || reply.text().starts_with("CLUSTERDOWN"), "{reply:?}");
        reply.text() == "x"
    });
    assert_eq!(working.count(), 100 - keys.len());
    assert!(up.alive());

    // The coordinator stops everything.
    conn.send("SHUTDOWN");
    assert!(conn.closed());
    assert_eq!(up.wait_exit(LIMIT).code(), Some(0));
    assert!(std::net::TcpStream::connect(&up.nodes[0]).is_err());
}

#[test]
fn shutdown_of_a_node_of_up_moves_its_slots() {
    let mut up = Server::up(&[]);
    let mut conn = up.conn();
    for number in 0..100 {
        assert_eq!(conn.cmd(&format!("SET key:{number} x")), Value::Simple("OK".into()));
    }
    let mut node = Conn::tcp(&up.nodes[1]);
    let moved = node.cmd("KEYS *").items().len();
    assert!(moved > 0);
    node.send("SHUTDOWN");
    assert!(node.closed());
    // All the time every key is served; those of the node are gone in the end.
    let mut missing = 0;
    wait_for("the slots of the node at others, and the node gone", LIMIT, || {
        let replies = (0..100).map(|number| conn.cmd(&format!("GET key:{number}")));
        let replies: Vec<Value> = replies.collect();
        let served = |reply: &Value| *reply == Value::Null || *reply == Value::Bulk(b"x".to_vec());
        assert!(replies.iter().all(served), "{replies:?}");
        missing = replies.iter().filter(|&reply| *reply == Value::Null).count();
        std::net::TcpStream::connect(&up.nodes[1]).is_err()
    });
    assert_eq!(missing, moved);
    assert!(up.alive());
}

/// Connections that each have sent a batch of INCRs of their own counter.
fn loaded(addr: &str, batch: usize) -> Vec<Conn> {
    (0..8)
        .map(|number| {
            let mut conn = Conn::tcp(addr);
            let key = format!("counter:{number}");
            conn.send_raw(&request(&[b"INCR", key.as_bytes()]).repeat(batch));
            conn
        })
        .collect()
}

/// The replies until the close: each complete, in order, counting up from 1. How many there were.
fn replies(conn: &mut Conn) -> usize {
    let (bytes, closed) = conn.drain_raw(Duration::from_secs(5));
    assert!(closed, "the connection is closed");
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        let reply = Value::parse(&bytes[at..]);
        let (reply, length) = reply.expect("the connection is closed between replies");
        count += 1;
        assert_eq!(reply, Value::Int(count));
        at += length;
    }
    count as usize
}

#[test]
fn a_node_under_load_answers_what_it_took() {
    for _ in 0..3 {
        let mut node = Server::node(&[]);
        let mut conns = loaded(&node.addr, 3000);
        // The first reply is here, so requests are being served.
        assert_eq!(conns[0].read(), Value::Int(1));
        let mut counted = node.conn();
        assert_eq!(counted.cmd("PING"), Value::Simple("PONG".into()));
        assert_eq!(node.terminate().code(), Some(0));
        conns.remove(0);
        for mut conn in conns {
            assert!(replies(&mut conn) <= 3000);
        }
    }
}

#[test]
fn a_coordinator_under_load_loses_no_reply() {
    for _ in 0..3 {
        let mut cluster = Cluster::start(&[]);
        let mut conns = loaded(&cluster.coordinator.addr, 3000);
        wait_for("the load's beginning", LIMIT, || {
            cluster.nodes.iter().any(|node| node.conn().cmd("DBSIZE").int() > 0)
        });
        assert_eq!(cluster.coordinator.terminate().code(), Some(0));
        for (number, conn) in conns.iter_mut().enumerate() {
            let answered = replies(conn);
            // What a node has executed was answered: the nodes still know.
            let key = format!("counter:{number}");
            let executed: Vec<usize> = cluster
                .nodes
                .iter()
                .filter_map(|node| match node.conn().cmd(&format!("GET {key}")) {
                    Value::Null => None,
                    value => value.text().parse().ok(),
                })
                .collect();
            assert_eq!(executed.first().copied().unwrap_or(0), answered, "{key}");
        }
    }
}

#[test]
fn a_batch_that_was_taken_is_answered_whole() {
    for server in [Server::node(&[]), Server::up(&[])] {
        let mut server = server;
        let mut conn = server.conn();
        let value = vec![b'x'; 100_000];
        assert_eq!(conn.args(&[b"SET", b"big", &value]), Value::Simple("OK".into()));
        // More than fits into the socket's buffers, and the client reads nothing yet.
        conn.send_raw(&request(&[b"GET", b"big"]).repeat(200));
        std::thread::sleep(Duration::from_millis(300));
        server.signal("TERM");
        let (bytes, closed) = conn.drain_raw(LIMIT);
        assert!(closed);
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            let reply = Value::parse(&bytes[at..]);
            let (reply, length) = reply.expect("the connection is closed between replies");
            assert_eq!(reply, Value::Bulk(value.clone()));
            (at, count) = (at + length, count + 1);
        }
        assert!(count >= 1, "{count} of 200");
        assert_eq!(server.wait_exit(LIMIT).code(), Some(0));
    }
}

/// One that takes nothing does not use up the time that is left for replies.
#[test]
fn a_monitor_does_not_hold_up_the_end() {
    for server in [Server::node(&[]), Server::up(&[])] {
        let mut server = server;
        let (mut conn, mut reader, mut lazy) = (server.conn(), server.conn(), server.conn());
        for monitor in [&mut reader, &mut lazy] {
            assert_eq!(monitor.cmd("MONITOR"), Value::Simple("OK".into()));
        }
        // More than fits into its socket's buffers.
        let message = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            assert_eq!(conn.args(&[b"ECHO", &message]).text().len(), message.len());
            assert!(reader.read().text().ends_with("xxx\""));
        }
        let began = Instant::now();
        server.signal("TERM");
        assert_eq!(server.wait_exit(LIMIT).code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert!(reader.closed());
        drop(lazy);
    }
}
