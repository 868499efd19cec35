//! Nodes that fail: killed, frozen, not there, not to be trusted; and what the others notice.

mod frozen;
mod large;
mod links;

use crate::commands::Cluster;
use crate::tools::failed;
use crate::util::{Conn, Server, Value, request, wait_for};
use std::time::{Duration, Instant};

/// How long the cluster may take to notice something, on a busy machine.
const NOTICE: Duration = Duration::from_secs(5);
/// What "at once" may mean on a busy machine: less than any timeout.
const AT_ONCE: Duration = Duration::from_millis(400);

/// Three nodes and a coordinator, and 20 keys that each node owns; a key's value is its name.
struct Owned {
    cluster: Cluster,
    /// By node, in the order of the nodes.
    keys: Vec<Vec<String>>,
}

impl Owned {
    fn start(args: &[&str]) -> Owned {
        let cluster = Cluster::start(args);
        let mut conn = cluster.coordinator.conn();
        let all: Vec<String> = (0..300).map(|number| format!("key:{number}")).collect();
        for key in &all {
            assert_eq!(conn.cmd(&format!("SET {key} {key}")), Value::Simple("OK".into()));
        }
        let keys = cluster
            .nodes
            .iter()
            .map(|node| {
                let held = node.conn().cmd("KEYS *");
                let mut keys: Vec<String> = held.items().iter().map(Value::text).collect();
                assert!(keys.len() >= 20, "an even slot table: {keys:?}");
                keys.truncate(20);
                keys
            })
            .collect();
        Owned { cluster, keys }
    }

    fn conn(&self) -> Conn {
        self.cluster.coordinator.conn()
    }

    /// The keys of all nodes but one.
    fn keys_without(&self, node: usize) -> impl Iterator<Item = &String> {
        let others = self.keys.iter().enumerate().filter(move |(number, _)| *number != node);
        others.flat_map(|(_, keys)| keys)
    }

    /// The same process again, empty, on the same address.
    fn restart(&mut self, node: usize) {
        let addr = self.cluster.nodes[node].addr.clone();
        self.cluster.nodes[node] = Server::spawn(&["node", &addr]);
    }
}

/// The error of a key that nobody serves.
#[track_caller]
fn assert_down(reply: &Value) {
    assert_eq!(reply, &Value::Error("CLUSTERDOWN Hash slot not served".into()));
}

/// Any of the errors that a request may get that was under way when its node failed.
#[track_caller]
fn assert_node_error(reply: &Value, addr: &str) {
    let Value::Error(text) = reply else { panic!("no error: {reply:?}") };
    let lost = text.contains(addr)
        && ["closed the connection", "broke the connection", "did not answer within"]
            .iter()
            .any(|reason| text.contains(reason));
    assert!(lost || text == "CLUSTERDOWN Hash slot not served", "{text}");
}

/// Waits until a key's node is known to be down.
fn wait_down(conn: &mut Conn, key: &str) {
    wait_for("the node counts as down", NOTICE, || {
        conn.cmd(&format!("GET {key}")).text().starts_with("CLUSTERDOWN")
    });
}

/// What the coordinator's INFO says of the nodes that are not up: their addresses.
fn down(conn: &mut Conn) -> Vec<String> {
    let info = conn.cmd("INFO").text();
    let mut down = Vec::new();
    for line in info.lines().filter(|line| line.starts_with("node")) {
        let Some((_, fields)) = line.split_once(":addr=") else { continue };
        let (addr, fields) = fields.split_once(',').unwrap();
        match fields.split(',').next().unwrap() {
            "state=up" => {}
            "state=down" => down.push(addr.to_owned()),
            other => panic!("{other} in {line}"),
        }
    }
    down
}

#[test]
fn a_killed_node_takes_only_its_own_keys_along() {
    let mut owned = Owned::start(&[]);
    let mut conn = owned.conn();
    assert_eq!(down(&mut conn), [""; 0]);
    owned.cluster.nodes[1].kill();
    let dead = owned.cluster.nodes[1].addr.clone();
    wait_down(&mut conn, &owned.keys[1][0]);

    for key in &owned.keys[1] {
        for line in [format!("GET {key}"), format!("SET {key} x"), format!("INCR {key}")] {
            let began = Instant::now();
            assert_down(&conn.cmd(&line));
            assert!(began.elapsed() < AT_ONCE, "{line} took {:?}", began.elapsed());
        }
    }
    for key in owned.keys_without(1) {
        assert_eq!(conn.cmd(&format!("GET {key}")).text(), *key);
    }

    // With one of its keys among others.
    let [here, gone, there] = [0, 1, 2].map(|node| owned.keys[node][0].clone());
    for name in ["MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"] {
        assert_down(&conn.cmd(&format!("{name} {here} {gone} {there}")));
    }
    assert_down(&conn.cmd(&format!("MSET {here} {here} {gone} x {there} {there}")));
    // Without.
    let set = conn.cmd(&format!("MSET {here} {here} {there} {there}"));
    assert_eq!(set, Value::Simple("OK".into()));
    let found = conn.cmd(&format!("MGET {here} {there}"));
    assert_eq!(found.items().iter().map(Value::text).collect::<Vec<_>>(), [&*here, &there]);
    assert_eq!(conn.cmd(&format!("EXISTS {here} {there}")), Value::Int(2));

    // What concerns all nodes.
    for line in ["DBSIZE", "KEYS *", "FLUSHALL", "FLUSHDB"] {
        let reply = conn.cmd(line);
        assert!(failed(&reply), "{line}: {reply:?}");
    }
    assert!(scan(&mut conn).is_err(), "SCAN must not pretend that it saw everything");
    assert_eq!(down(&mut conn), [&*dead]);
    let settings = conn.cmd("CONFIG GET maxmemory*");
    assert!(settings.field("maxmemory").is_some(), "{settings:?}");
    assert_eq!(settings.field("nodes-down").map(|value| value.text()), Some(dead));
    assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));

    owned.restart(1);
    wait_for("the node is back", NOTICE, || {
        conn.cmd(&format!("SET {gone} again")) == Value::Simple("OK".into())
    });
    assert_eq!(conn.cmd(&format!("GET {gone}")).text(), "again");
    assert_eq!(conn.cmd(&format!("GET {}", owned.keys[1][1])), Value::Null);
    assert!(conn.cmd("DBSIZE").int() > 0);
    assert_eq!(down(&mut conn), [""; 0]);
    assert_eq!(conn.cmd("CONFIG GET maxmemory").field("nodes-down"), None);
    assert!(scan(&mut conn).is_ok());
    assert_eq!(conn.cmd("FLUSHALL"), Value::Simple("OK".into()));
}

/// A whole walk; the error that ended it.
fn scan(conn: &mut Conn) -> Result<usize, String> {
    let (mut cursor, mut seen) = ("0".to_owned(), 0);
    loop {
        match conn.cmd(&format!("SCAN {cursor}")) {
            Value::Error(text) => return Err(text),
            page => {
                cursor = page.items()[0].text();
                seen += page.items()[1].items().len();
            }
        }
        if cursor == "0" {
            return Ok(seen);
        }
    }
}

#[test]
fn a_transaction_over_a_killed_node() {
    let mut owned = Owned::start(&[]);
    let mut conn = owned.conn();
    owned.cluster.nodes[2].kill();
    wait_down(&mut conn, &owned.keys[2][0]);
    let (here, gone) = (owned.keys[0][0].clone(), owned.keys[2][0].clone());
    assert_eq!(conn.cmd("MULTI"), Value::Simple("OK".into()));
    for key in [&here, &gone] {
        let queued = conn.cmd(&format!("GET {key}"));
        assert!(queued == Value::Simple("QUEUED".into()) || failed(&queued), "{queued:?}");
    }
    match conn.cmd("EXEC") {
        Value::Array(replies) => {
            assert_eq!(replies[0].text(), here);
            assert_down(&replies[1]);
        }
        Value::Error(text) => {
            assert!(text.starts_with("EXECABORT") || text.starts_with("CLUSTERDOWN"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(conn.cmd(&format!("GET {here}")).text(), here);
}

#[test]
fn every_node_killed_and_back() {
    let mut owned = Owned::start(&[]);
    let mut conn = owned.conn();
    for node in &mut owned.cluster.nodes {
        node.kill();
    }
    for keys in &owned.keys {
        wait_down(&mut conn, &keys[0]);
    }
    assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
    assert_eq!(down(&mut conn).len(), 3);
    let settings = conn.cmd("CONFIG GET *");
    let named = settings.field("nodes-down").map(|value| value.text()).unwrap_or_default();
    assert_eq!(named.split_whitespace().count(), 3, "{named}");
    for node in 0..3 {
        owned.restart(node);
    }
    wait_for("all nodes are back", NOTICE, || conn.cmd("DBSIZE") == Value::Int(0));
    for key in owned.keys.iter().flatten() {
        assert_eq!(conn.cmd(&format!("SET {key} x")), Value::Simple("OK".into()));
    }
}

#[test]
fn replies_keep_their_order_while_a_node_dies() {
    for _ in 0..3 {
        let mut owned = Owned::start(&[]);
        let dead = owned.cluster.nodes[0].addr.clone();
        let all: Vec<String> = (0..300).map(|number| format!("key:{number}")).collect();
        let mortal = owned.cluster.nodes[0].conn().cmd("KEYS *");
        let mortal: Vec<String> = mortal.items().iter().map(Value::text).collect();
        // Every client asks for all keys, over and over; ECHO is answered by the coordinator.
        let mut batch = Vec::new();
        for key in &all {
            batch.extend(request(&[b"GET", key.as_bytes()]));
            batch.extend(request(&[b"ECHO", key.as_bytes()]));
        }
        let rounds = 40;
        let addr = owned.cluster.coordinator.addr.clone();
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let (batch, all, mortal) = (batch.clone(), all.clone(), mortal.clone());
                let (addr, dead) = (addr.clone(), dead.clone());
                std::thread::spawn(move || {
                    let (mut conn, mut errors) = (Conn::tcp(&addr), 0);
                    for _ in 0..rounds {
                        conn.send_raw(&batch);
                        for key in &all {
                            let reply = conn.read();
                            if mortal.contains(key) && failed(&reply) {
                                assert_node_error(&reply, &dead);
                                errors += 1;
                            } else {
                                assert_eq!(reply.text(), *key);
                            }
                            assert_eq!(conn.read().text(), *key, "ECHO");
                        }
                    }
                    errors
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(60));
        owned.cluster.nodes[0].kill();
        for client in clients {
            client.join().unwrap();
        }
        let mut conn = owned.conn();
        wait_down(&mut conn, &mortal[0]);
        assert_eq!(conn.cmd(&format!("GET {}", owned.keys[1][0])).text(), owned.keys[1][0]);
    }
}

#[test]
fn writes_under_way_when_a_node_dies_are_not_sent_twice() {
    // Counters at the node that dies are gone with it; those elsewhere are exact.
    let mut owned = Owned::start(&[]);
    let addr = owned.cluster.coordinator.addr.clone();
    let counters: Vec<String> = (0..30).map(|number| format!("counter:{number}")).collect();
    let batch: Vec<u8> =
        counters.iter().flat_map(|key| request(&[b"INCR", key.as_bytes()])).collect();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (addr, batch, count) = (addr.clone(), batch.clone(), counters.len());
            std::thread::spawn(move || {
                let (mut conn, mut counted) = (Conn::tcp(&addr), vec![0; count]);
                for _ in 0..200 {
                    conn.send_raw(&batch);
                    for counted in &mut counted {
                        *counted += i64::from(!failed(&conn.read()));
                    }
                }
                counted
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    owned.cluster.nodes[1].kill();
    let mut sums = vec![0; counters.len()];
    for client in clients {
        for (sum, counted) in sums.iter_mut().zip(client.join().unwrap()) {
            *sum += counted;
        }
    }
    let mut conn = owned.conn();
    let mut exact = 0;
    for (key, sum) in counters.iter().zip(sums) {
        let reply = conn.cmd(&format!("GET {key}"));
        if !failed(&reply) {
            assert_eq!(reply.text(), sum.to_string(), "{key}");
            assert_eq!(sum, 800, "a node that lives fails nothing");
            exact += 1;
        }
    }
    assert!(exact >= 10, "{exact} counters on living nodes");
}
