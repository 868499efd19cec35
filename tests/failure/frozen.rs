//! A frozen node (SIGSTOP) accepts connections and answers nothing: nobody may hang on it.

use super::{NOTICE, Owned, assert_down, assert_node_error, down};
use crate::tools::failed;
use crate::util::{Conn, Value, request, wait_for};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The coordinator's backend timeout here, and what a busy machine may make of it.
const TIMEOUT_MS: &str = "400";
const PATIENCE: Duration = Duration::from_millis(5 * 400);

/// Runs GETs of these keys until told to stop: the time of each.
fn watch(
    addr: String,
    keys: Vec<String>,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<Vec<Duration>> {
    std::thread::spawn(move || {
        let (mut conn, mut times) = (Conn::tcp(&addr), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            for key in &keys {
                let began = Instant::now();
                assert_eq!(conn.cmd(&format!("GET {key}")).text(), *key);
                times.push(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        times
    })
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

#[test]
fn nobody_hangs_on_a_frozen_node() {
    let owned = Owned::start(&["--backend-timeout-ms", TIMEOUT_MS]);
    let addr = owned.cluster.coordinator.addr.clone();
    let frozen = owned.cluster.nodes[0].addr.clone();
    let others: Vec<String> = owned.keys_without(0).cloned().collect();

    // The others, for comparison, before.
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch(addr.clone(), others.clone(), Arc::clone(&stop));
    std::thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    let mut before = watcher.join().unwrap();

    owned.cluster.nodes[0].freeze();
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch(addr.clone(), others, Arc::clone(&stop));
    // Several clients at once, each with a pipeline of its keys.
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (addr, keys, frozen) = (addr.clone(), owned.keys[0].clone(), frozen.clone());
            std::thread::spawn(move || {
                let mut conn = Conn::tcp(&addr);
                let began = Instant::now();
                let batch = keys.iter().flat_map(|key| request(&[b"GET", key.as_bytes()]));
                conn.send_raw(&batch.collect::<Vec<u8>>());
                let replies: Vec<Value> = keys.iter().map(|_| conn.read()).collect();
                let waited = began.elapsed();
                for reply in &replies {
                    assert_node_error(reply, &frozen);
                }
                (waited, replies)
            })
        })
        .collect();
    let mut late = 0;
    for client in clients {
        let (waited, replies) = client.join().unwrap();
        assert!(waited < PATIENCE, "waited {waited:?}");
        let timeout = format!("ERR node {frozen} did not answer within {TIMEOUT_MS} ms");
        late += replies.iter().filter(|reply| reply.text().starts_with(&timeout)).count();
    }
    assert!(late > 0, "somebody waited for the whole timeout and was told so");

    // From now on it fails fast.
    let mut conn = owned.conn();
    for _ in 0..5 {
        for key in &owned.keys[0][..5] {
            let began = Instant::now();
            assert_down(&conn.cmd(&format!("GET {key}")));
            assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let began = Instant::now();
    let (first, last) = (&owned.keys[1][0], &owned.keys[0][0]);
    assert_down(&conn.cmd(&format!("MGET {first} {last}")));
    assert!(failed(&conn.cmd("DBSIZE")));
    assert_eq!(down(&mut conn), [&*frozen]);
    assert!(conn.cmd("CONFIG GET maxmemory").field("nodes-down").is_some());
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());

    stop.store(true, Ordering::Relaxed);
    let mut during = watcher.join().unwrap();
    let (usual, then) = (percentile(&mut before, 50), percentile(&mut during, 50));
    println!("GET of other keys, median: {usual:?} before, {then:?} with a frozen node");
    assert!(then < usual * 5 + Duration::from_millis(5), "{usual:?} before, {then:?} then");
    let worst = percentile(&mut during, 99);
    assert!(worst < Duration::from_millis(200), "the 99th percentile of other keys: {worst:?}");

    // It wakes with late replies to requests that were given up: nobody may get those.
    owned.cluster.nodes[0].thaw();
    wait_for("the node is back", NOTICE, || !failed(&conn.cmd(&format!("GET {last}"))));
    for _ in 0..3 {
        for key in owned.keys.iter().flatten() {
            assert_eq!(conn.cmd(&format!("GET {key}")).text(), *key);
        }
    }
    assert_eq!(conn.cmd("DBSIZE"), Value::Int(300));
    assert_eq!(down(&mut conn), [""; 0]);
}

#[test]
fn frozen_before_anybody_asked() {
    let owned = Owned::start(&["--backend-timeout-ms", TIMEOUT_MS]);
    let key = &owned.keys[2][0];
    owned.cluster.nodes[2].freeze();
    let frozen = &owned.cluster.nodes[2].addr;
    for line in ["DBSIZE", "KEYS *", "INFO", "CONFIG GET maxmemory", "FLUSHALL", "CONFIG RESETSTAT"]
    {
        // A connection each: none may wait because of another.
        let began = Instant::now();
        let reply = owned.conn().cmd(line);
        assert!(began.elapsed() < PATIENCE, "{line} took {:?}", began.elapsed());
        match line {
            "INFO" | "CONFIG GET maxmemory" => assert!(!failed(&reply), "{line}: {reply:?}"),
            _ => assert!(failed(&reply), "{line}: {reply:?}"),
        }
    }
    let began = Instant::now();
    assert_node_error(&owned.conn().cmd(&format!("GET {key}")), frozen);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn frozen_at_the_coordinators_start() {
    let owned = Owned::start(&[]);
    owned.cluster.nodes[0].freeze();
    let nodes: Vec<_> = owned.cluster.nodes.iter().collect();
    let began = Instant::now();
    let second = crate::util::Server::coordinator(
        &nodes,
        &["--connect-timeout-ms", "300", "--backend-timeout-ms", TIMEOUT_MS],
    );
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let mut conn = second.conn();
    let began = Instant::now();
    assert!(failed(&conn.cmd(&format!("GET {}", owned.keys[0][0]))));
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(conn.cmd(&format!("GET {}", owned.keys[1][0])).text(), owned.keys[1][0]);
    owned.cluster.nodes[0].thaw();
    let key = &owned.keys[0][0];
    wait_for("the node is served", NOTICE, || !failed(&conn.cmd(&format!("GET {key}"))));
    assert_eq!(conn.cmd(&format!("GET {key}")).text(), *key);
}
