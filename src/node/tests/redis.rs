//! What Redis Cluster's clients ask.

use super::{ALL, Peer, table};
use crate::cluster::{Member, NodeId, View};
use std::sync::Arc;

#[test]
fn addresses_are_written_as_redis_does() {
    let one = Peer::start(1, 1, &[]);
    one.serve(0..0, u64::MAX);
    let mut table = table(&[(&one, 0..0)]);
    let owner = Member { id: NodeId([2; 20]), address: "[::1]:70".into(), capacity: 1 };
    let number = table.admit(owner);
    table.set_owner(ALL, Some(number));
    one.tell(&table);
    one.conn().expect(&[("GET foo", "-MOVED 12182 ::1:70")]);
    let text = one.conn().text("CLUSTER NODES");
    assert!(text.contains(" ::1:70@10070 master - 0 0 7 connected 0-16383\n"), "{text}");
}

#[test]
fn the_cluster_as_redis_clusters_clients_see_it() {
    let (one, two) = (Peer::start(1, 2, &[]), Peer::start(2, 1, &[]));
    let mut conn = one.conn();
    let myself = "01".repeat(20);
    let info = conn.text("CLUSTER INFO");
    assert!(info.starts_with("cluster_state:fail\r\ncluster_slots_assigned:0\r\n"), "{info}");
    assert!(info.contains("\r\ncluster_known_nodes:1\r\ncluster_size:0\r\n"), "{info}");
    let nodes = conn.text("CLUSTER NODES");
    assert!(nodes.contains(" myself,master - 0 0 0 connected\n"), "{nodes}");
    let mut shared = table(&[(&one, 0..8000), (&two, 8001..16_384)]);
    shared.epoch = 9;
    // Of another epoch, but of the same owner.
    shared.set_owner(100..200, Some(0));
    shared.set_owner(8000..8001, Some(0));
    shared.set_owner(9000..9001, Some(0));
    one.tell(&shared);
    one.serve(0..8001, u64::MAX);
    let info = one.conn().text("CLUSTER INFO");
    assert!(info.starts_with("cluster_state:ok\r\ncluster_slots_assigned:16384\r\n"), "{info}");
    assert!(info.contains("\r\ncluster_current_epoch:9\r\ncluster_my_epoch:9\r\n"), "{info}");
    let view = View { table: shared, down: vec![two.local.id], status: None };
    one.local.view.send_replace(Arc::new(view));
    let nodes = one.conn().text("CLUSTER NODES");
    let (first, second) = (&one.local.address, &two.local.address);
    let bus = |address: &str| address.rsplit_once(':').unwrap().1.parse::<u32>().unwrap() + 10_000;
    let want = format!(
        "{myself} {first}@{} myself,master - 0 0 9 connected 0-8000 9000\n{} {second}@{} master,fail - 0 0 7 \
         disconnected 8001-8999 9001-16383\n",
        bus(first),
        "02".repeat(20),
        bus(second),
    );
    assert_eq!(nodes, want);
    let mut conn = one.conn();
    let info = conn.text("CLUSTER INFO");
    assert!(info.contains("\r\ncluster_slots_ok:8002\r\n"), "{info}");
    assert!(info.contains("\r\ncluster_slots_fail:8382\r\n"), "{info}");
    conn.send(&["CLUSTER SLOTS", "PING"]);
    let lines = conn.until("+PONG");
    let port = first.rsplit_once(':').unwrap().1;
    let slots = format!("*4 *3 :0 :8000 *4 $9 127.0.0.1 :{port} $40 {myself} *0 *3 :8001 :8999 *4");
    assert!(lines.starts_with(&slots), "{lines}");
    conn.send(&["CLUSTER SHARDS", "PING"]);
    let lines = conn.until("+PONG");
    let shards = format!(
        "*2 *4 $5 slots *4 :0 :8000 :9000 :9000 $5 nodes *1 *14 $2 id $40 {myself} $4 port :{port} $2 ip $9 127.0.0.1 \
         $8 endpoint $9 127.0.0.1 $4 role $6 master $18 replication-offset :0 $6 health $6 online *4 $5 slots"
    );
    assert!(lines.starts_with(&shards), "{lines}");
    assert!(lines.ends_with("$6 health $4 fail +PONG"), "{lines}");
    conn.expect(&[
        ("READONLY", "+OK"),
        ("READWRITE", "+OK"),
        ("CLUSTER LINKS", "*0"),
        ("CLUSTER KEYSLOT {bar}x", ":5061"),
        (&format!("CLUSTER COUNT-FAILURE-REPORTS {myself}"), ":0"),
        ("CLUSTER COUNT-FAILURE-REPORTS x", "-ERR Unknown node x"),
        ("CLUSTER NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP."),
    ]);
    assert_eq!(conn.cmd("CLUSTER HELP"), "*23");
    let mut conn = one.conn();
    assert_eq!((conn.cmd("CLUSTER MYID").as_str(), conn.line()), ("$40", Some(myself)));
    let info = one.conn().text("INFO");
    assert!(info.contains("\r\nredis_mode:cluster\r\n"), "{info}");
    assert!(info.contains("\r\ncluster_enabled:1\r\n"), "{info}");
    // Also where the fence is held.
    let mut conn = one.conn();
    conn.send(&["MULTI", "SET bar 1", "CLUSTER INFO", "EXEC"]);
    let replies: Vec<String> = (0..7).map(|_| conn.line().unwrap()).collect();
    assert_eq!(replies[3..5], ["*2", "+OK"]);
    assert_eq!(replies[6], "cluster_state:ok");
}

#[test]
fn keys_of_a_slot() {
    let member = Peer::alone();
    let mut conn = member.conn();
    for number in 0..300 {
        conn.expect(&[
            (&format!("SET {{bar}}{number} 1"), "+OK"),
            (&format!("SET k{number} 1"), "+OK"),
        ]);
    }
    conn.expect(&[
        ("CLUSTER COUNTKEYSINSLOT 5061", ":300"),
        ("CLUSTER COUNTKEYSINSLOT 5060", ":0"),
        ("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot"),
        ("CLUSTER COUNTKEYSINSLOT -1", "-ERR Invalid slot"),
        ("CLUSTER COUNTKEYSINSLOT x", "-ERR value is not an integer or out of range"),
        ("CLUSTER GETKEYSINSLOT 5061 0", "*0"),
        ("CLUSTER GETKEYSINSLOT 5060 10", "*0"),
        ("CLUSTER GETKEYSINSLOT 5061 -1", "-ERR Invalid slot or number of keys"),
        ("CLUSTER GETKEYSINSLOT 20000 1", "-ERR Invalid slot or number of keys"),
        ("CLUSTER GETKEYSINSLOT 5061 x", "-ERR value is not an integer or out of range"),
        ("CLUSTER GETKEYSINSLOT 5061 7", "*7"),
    ]);
    for _ in 0..7 {
        conn.line();
        assert!(conn.line().unwrap().starts_with("{bar}"));
    }
    conn.expect(&[("PING", "+PONG")]);
}
