//! Clients that know Redis Cluster go to the nodes themselves, and are redirected to the right one.

use super::harness::{AGREE, Cluster};
use crate::tools::{cli, interpreter, redis_cli, run};
use crate::util::{Value, wait_for};
use redis::Commands;
use redis::cluster::{ClusterClient, ClusterConnection};
use std::path::Path;
use std::process::Command;

#[test]
fn a_node_redirects() {
    let cluster = Cluster::start(3);
    let keys = cluster.owned_keys("key", 10);
    for (asked, node) in cluster.nodes.iter().enumerate() {
        let mut conn = node.server.conn();
        for (owner, keys) in keys.iter().enumerate() {
            for key in keys {
                let reply = conn.cmd(&format!("GET {key}"));
                if owner == asked {
                    assert_eq!(reply.text(), *key);
                } else {
                    let slot = conn.cmd(&format!("CLUSTER KEYSLOT {key}")).int();
                    let addr = &cluster.nodes[owner].server.addr;
                    assert_eq!(reply, Value::Error(format!("MOVED {slot} {addr}")));
                }
            }
        }
        let info = conn.cmd("CLUSTER INFO").text();
        assert!(
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3"),
            "{info}"
        );
        assert_eq!(conn.cmd("CLUSTER MYID").text(), node.id);
        // Its connection to the coordinator, from here or from there.
        let links = conn.cmd("CLUSTER LINKS").items().to_vec();
        let authority = cluster.authority().id.clone();
        let to_authority = links.iter().any(|link| link.items()[3].text() == authority);
        assert!(to_authority, "{links:?}");
        // One that shows a table of three with itself in it.
        let nodes = conn.cmd("CLUSTER NODES").text();
        assert_eq!(nodes.lines().count(), 3, "{nodes}");
        assert!(nodes.lines().any(|line| line.starts_with(&node.id) && line.contains("myself")));
    }
}

#[test]
fn redis_cli_follows() {
    let cluster = Cluster::start(3);
    let node = &cluster.nodes[0].server;
    for number in 0..30 {
        let (key, value) = (format!("key:{number}"), number.to_string());
        assert_eq!(cli(node, &["-c", "set", &key, &value]), "OK\n");
        assert_eq!(cluster.conn().cmd(&format!("GET {key}")).text(), value);
    }
    let addr = &cluster.nodes[1].server.addr;
    let mut check = Command::new("redis-cli");
    check.args(["--cluster", "check", addr]);
    let said = run(&mut check, b"").ok();
    for words in [
        "[OK] All nodes agree about slots configuration",
        "[OK] All 16384 slots covered",
        "30 keys in 3 masters",
    ] {
        assert!(said.contains(words), "{said}");
    }
    // Several keys of one slot, wherever that is.
    let printed = run(&mut redis_cli(node, &["-c", "mget", "{t}a", "{t}b"]), b"").ok();
    assert_eq!(printed, "\n\n");
}

#[test]
fn redis_benchmark_for_clusters() {
    let cluster = Cluster::start(3);
    let node = &cluster.nodes[0].server;
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", &node.host, "-p", &node.port.to_string(), "--cluster", "-q"]);
    command.args(["-t", "set,get,incr", "-n", "10000", "-r", "1000", "-P", "4"]);
    let output = run(&mut command, b"");
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.out.contains("Cluster has 3 master nodes"), "{output:#?}");
    assert!(!output.out.contains("Error") && !output.err.contains("Error"), "{output:#?}");
    assert!(output.out.matches("requests per second").count() >= 3, "{output:#?}");
    let size = cluster.conn().cmd("DBSIZE").int();
    assert!(size > 1000, "{size} keys");
}

#[test]
fn redis_rs_for_clusters() {
    let mut cluster = Cluster::start(2);
    let node = &cluster.nodes[0].server;
    let client = ClusterClient::new([format!("redis://{}/", node.addr)]).unwrap();
    let mut conn = client.get_connection().unwrap();
    let everything_works = |conn: &mut ClusterConnection, round: usize| {
        for number in 0..200 {
            let (key, value) = (format!("key:{number}"), format!("{round}:{number}"));
            let (): () = conn.set(&key, &value).unwrap();
            assert_eq!(conn.get::<_, String>(&key).unwrap(), value);
        }
    };
    everything_works(&mut conn, 0);
    // Slots move: it is redirected, and learns the new table.
    cluster.add_node();
    cluster.wait_settled(3);
    everything_works(&mut conn, 1);
    assert!(cluster.nodes[2].server.conn().cmd("DBSIZE").int() > 20);
    let mut leaver = cluster.nodes.remove(1);
    assert!(leaver.server.terminate().success());
    cluster.wait_settled(2);
    // This client does not get over a node that is gone, of which nobody told it: another connection.
    everything_works(&mut client.get_connection().unwrap(), 2);
}

#[test]
fn redis_py_for_clusters() {
    let mut cluster = Cluster::start(3);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/test_redis_py_cluster.py");
    let node = &cluster.nodes[2].server;
    let mut command = Command::new(interpreter());
    command.arg("-B").arg(&path).arg("-v");
    command.env("LARDER_TEST_HOST", &node.host).env("LARDER_TEST_PORT", node.port.to_string());
    let output = run(&mut command, b"");
    assert_eq!(output.code, Some(0), "\n{}\n{}", output.out, output.err);
    let ran = output.err.lines().rev().find(|line| line.starts_with("Ran "));
    assert!(ran.is_some_and(|line| !line.starts_with("Ran 0 ")), "{}", output.err);
    // A node more: who asks the wrong one is told the right one.
    cluster.add_node();
    cluster.wait_settled(4);
    let mut conn = cluster.nodes[0].server.conn();
    let new = cluster.nodes[3].server.addr.clone();
    wait_for("a slot of the new node", AGREE, || {
        (0..50).any(|number| conn.cmd(&format!("SET k:{number} v")).text().ends_with(&new))
    });
}
