//! Nodes that crash, freeze and come back: what is served meanwhile, by whom, and that nobody serves what was overwritten.

use super::harness::Cluster;
use crate::tools::failed;
use crate::util::{Conn, Value, request, wait_for};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// 5 times what the slots of a crashed, and of a frozen, node may take to be served again.
const CRASH: Duration = Duration::from_millis(5 * 2500);
const FREEZE: Duration = Duration::from_millis(5 * 3000);
/// 5 times what a crash may take to be noticed.
const NOTICED: Duration = Duration::from_millis(5 * 100);

/// Reads keys, whose values are their names, until it is told to stop: none may be missing or fail.
struct Watch(JoinHandle<usize>, Arc<AtomicBool>);

impl Watch {
    fn start(addr: &str, keys: impl Iterator<Item = String>) -> Watch {
        let (addr, keys) = (addr.to_owned(), keys.collect::<Vec<_>>());
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let thread = std::thread::spawn(move || {
            let (mut conn, mut count) = (Conn::tcp(&addr), 0);
            while !flag.load(Ordering::Relaxed) {
                for key in &keys {
                    assert_eq!(conn.cmd(&format!("GET {key}")).text(), *key);
                    count += 1;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            count
        });
        Watch(thread, stop)
    }

    fn stop(self) {
        self.1.store(true, Ordering::Relaxed);
        assert!(self.0.join().unwrap() > 0);
    }
}

/// Waits until all these keys can be written; how long it took.
#[track_caller]
fn served_again(conn: &mut Conn, keys: &[String], limit: Duration) -> Duration {
    let began = Instant::now();
    wait_for("the lost slots are served again", limit, || {
        keys.iter().all(|key| conn.cmd(&format!("SET {key} new")) == Value::Simple("OK".into()))
    });
    began.elapsed()
}

#[test]
fn a_crashed_node_is_replaced() {
    let mut cluster = Cluster::start_with(3, 1);
    let keys = cluster.owned_keys("key", 20);
    let watches: Vec<Watch> = cluster
        .coordinators
        .iter()
        .map(|one| Watch::start(&one.server.addr, keys[1..].iter().flatten().cloned()))
        .collect();
    let mut conns: Vec<Conn> = cluster.coordinators.iter().map(|one| one.server.conn()).collect();
    cluster.nodes[0].server.kill();
    let began = Instant::now();
    // At once every coordinator answers an error, and waits for nothing.
    for conn in &mut conns {
        wait_for("the node counts as down", NOTICED, || {
            let reply = conn.cmd(&format!("GET {}", keys[0][0]));
            reply == Value::Error("CLUSTERDOWN Hash slot not served".into())
        });
    }
    println!("noticed after {:?}", began.elapsed());
    for key in &keys[0] {
        assert!(failed(&conns[0].cmd(&format!("SET {key} x"))), "its lease is not over yet");
    }
    served_again(&mut conns[0], &keys[0], CRASH);
    println!("served again after {:?}", began.elapsed());
    served_again(&mut conns[1], &keys[0], CRASH);
    cluster.wait_settled(2);
    for watch in watches {
        watch.stop();
    }

    // Back as the same member, empty, it gets slots again.
    cluster.nodes[0].restart();
    cluster.wait_settled(3);
    for key in &keys[0] {
        let reply = conns[0].cmd(&format!("GET {key}"));
        assert!(reply == Value::Null || reply.text() == "new", "{reply:?}");
    }
}

/// Asks a node itself for keys without pause, over one connection after another, until told to stop; all that it
/// answered, errors aside.
fn ask_directly(addr: &str, keys: &[String], stop: &Arc<AtomicBool>) -> JoinHandle<Vec<Value>> {
    let (addr, keys, stop) = (addr.to_owned(), keys.to_vec(), stop.clone());
    std::thread::spawn(move || {
        let batch: Vec<u8> =
            keys.iter().flat_map(|key| request(&[b"GET", key.as_bytes()])).collect();
        let mut values = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(mut conn) = Conn::try_tcp(&addr) else { continue };
            for _ in 0..20 {
                conn.send_raw(&batch);
                let replies = keys.iter().map_while(|_| conn.try_read(FREEZE));
                values.extend(replies.filter(|reply| !failed(reply)));
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
        values
    })
}

#[test]
fn a_thawed_node_serves_nothing_that_was_overwritten() {
    let cluster = Cluster::start(3);
    let keys = cluster.owned_keys("key", 60);
    let others = keys[1..].iter().flatten().cloned();
    let watch = Watch::start(&cluster.authority().server.addr, others);
    let (frozen, mut conn) = (&cluster.nodes[0].server, cluster.conn());
    // Open before, and used again only when the values are others.
    let mut before = frozen.conn();
    assert_eq!(before.cmd(&format!("GET {}", keys[0][0])).text(), keys[0][0]);
    frozen.freeze();
    println!("served again after {:?}", served_again(&mut conn, &keys[0], FREEZE));
    watch.stop();
    // Half of them are removed instead.
    let (removed, changed) = keys[0].split_at(30);
    for key in removed {
        assert_eq!(conn.cmd(&format!("DEL {key}")), Value::Int(1));
    }
    for key in &keys[0] {
        before.send(&format!("GET {key}"));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let askers: Vec<_> = (0..2).map(|_| ask_directly(&frozen.addr, &keys[0], &stop)).collect();
    std::thread::sleep(Duration::from_millis(100));
    frozen.thaw();
    for key in &keys[0] {
        let reply = before.read();
        assert!(
            failed(&reply) || reply == Value::Null || reply.text() == "new",
            "{key}: {reply:?}"
        );
    }
    // Until it is a member again, and has slots again.
    cluster.wait_settled(3);
    std::thread::sleep(Duration::from_millis(100));
    stop.store(true, Ordering::Relaxed);
    for value in askers.into_iter().flat_map(|asker| asker.join().unwrap()) {
        assert!(value == Value::Null || value.text() == "new", "{value:?}");
    }
    for key in removed {
        assert_eq!(conn.cmd(&format!("GET {key}")), Value::Null);
    }
    for key in changed {
        let reply = conn.cmd(&format!("GET {key}"));
        assert!(reply == Value::Null || reply.text() == "new", "{reply:?}");
    }
}

#[test]
fn a_short_freeze_costs_nothing() {
    let cluster = Cluster::start(2);
    let keys = cluster.owned_keys("key", 20);
    let epoch = cluster.authority().overview()["epoch"].clone();
    // Far less than a lease, and than the coordinator's patience with a node.
    cluster.nodes[0].server.freeze();
    std::thread::sleep(Duration::from_millis(200));
    cluster.nodes[0].server.thaw();
    let mut conn = cluster.conn();
    for key in keys.iter().flatten() {
        assert_eq!(conn.cmd(&format!("GET {key}")).text(), *key);
    }
    assert_eq!(cluster.authority().overview()["epoch"], epoch);
}

#[test]
fn all_nodes_crash_and_others_take_over() {
    let mut cluster = Cluster::start(2);
    for node in &mut cluster.nodes {
        node.server.kill();
    }
    let mut conn = cluster.conn();
    wait_for("nothing is served", NOTICED, || {
        conn.cmd("GET k").text() == "CLUSTERDOWN Hash slot not served"
    });
    assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
    cluster.add_node();
    cluster.wait_settled(1);
    assert_eq!(conn.cmd("SET k v"), Value::Simple("OK".into()));
}
