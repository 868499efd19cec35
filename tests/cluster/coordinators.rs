//! Several coordinators, one of which decides: what each serves, and what happens when one is gone.

use super::harness::{AGREE, Cluster, cluster_command, overview, shares};
use crate::util::{Conn, Value, wait_for};
use std::time::Duration;

/// 5 times what a lease lasts.
const LEASE: Duration = Duration::from_millis(5 * 1500);

fn is_down(reply: &Value) -> bool {
    matches!(reply, Value::Error(text) if text.starts_with("CLUSTERDOWN"))
}

/// Waits until none of these keys is served here.
#[track_caller]
fn wait_down(conn: &mut Conn, keys: &[String], limit: Duration) {
    wait_for("nothing is served", limit, || {
        keys.iter().all(|key| is_down(&conn.cmd(&format!("GET {key}"))))
    });
}

#[test]
fn killing_a_follower_costs_its_clients_only() {
    let mut cluster = Cluster::start_with(2, 1);
    let keys: Vec<String> = cluster.owned_keys("key", 20).concat();
    let mut follower = cluster.coordinators[1].server.conn();
    for key in &keys {
        assert_eq!(follower.cmd(&format!("GET {key}")).text(), *key);
        assert_eq!(follower.cmd(&format!("SET {key} again")).text(), "OK");
    }
    let (one, other) = (cluster.authority().overview(), cluster.coordinators[1].overview());
    assert_eq!(shares(&one), shares(&other));
    assert_eq!(one["epoch"], other["epoch"]);
    let members =
        |overview: &serde_json::Value| overview["status"]["members"].as_array().unwrap().len();
    assert_eq!((members(&one), members(&other)), (4, 4));
    let page = cluster_command(&["status", &cluster.coordinators[1].server.addr]);
    assert!(page.contains("authority") && page.contains("coordinator"), "{page}");

    let mut conn = cluster.conn();
    cluster.coordinators[1].server.kill();
    for _ in 0..20 {
        for key in &keys {
            assert_eq!(conn.cmd(&format!("GET {key}")).text(), "again");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(cluster.authority().overview()["epoch"], one["epoch"]);
    cluster.coordinators[1].restart();
    cluster.wait_settled(2);
    let mut follower = cluster.coordinators[1].server.conn();
    assert_eq!(follower.cmd(&format!("GET {}", keys[0])).text(), "again");
}

#[test]
fn without_the_authority_all_is_served_for_a_lease() {
    let mut cluster = Cluster::start_with(2, 1);
    let by_node = cluster.owned_keys("key", 20);
    let keys: Vec<String> = by_node.concat();
    let mut follower = cluster.coordinators[1].server.conn();
    let mut direct: Vec<Conn> = cluster.nodes.iter().map(|node| node.server.conn()).collect();
    assert_eq!(direct[0].cmd(&format!("GET {}", by_node[0][0])).text(), by_node[0][0]);
    cluster.coordinators[0].server.kill();
    // Leases were given half a second ago at most, and last for 1.5 s.
    assert_eq!(follower.cmd(&format!("GET {}", keys[0])).text(), keys[0]);
    wait_down(&mut follower, &keys, LEASE);
    for (conn, keys) in direct.iter_mut().zip(&by_node) {
        wait_down(conn, keys, LEASE);
    }
    assert_eq!(cluster.nodes[0].overview()["has_lease"], false);
    assert_eq!(follower.cmd("PING"), Value::Simple("PONG".into()));

    // It is the same member with the same table when it is back: what the nodes hold counts still.
    cluster.coordinators[0].restart();
    cluster.wait_settled(2);
    let mut conn = cluster.conn();
    for key in &keys {
        assert_eq!(conn.cmd(&format!("GET {key}")).text(), *key);
        assert_eq!(follower.cmd(&format!("GET {key}")).text(), *key);
    }
}

#[test]
fn a_follower_takes_no_authority_to_start() {
    let mut cluster = Cluster::start_with(1, 1);
    cluster.coordinators[0].server.kill();
    cluster.coordinators[1].server.kill();
    cluster.coordinators[1].restart();
    let mut follower = cluster.coordinators[1].server.conn();
    assert!(is_down(&follower.cmd("GET k")));
    cluster.coordinators[0].restart();
    cluster.wait_settled(1);
    assert_eq!(follower.cmd("SET k v"), Value::Simple("OK".into()));
}

#[test]
fn a_table_of_yesterday_is_refused() {
    let mut cluster = Cluster::start_with(2, 1);
    let file = format!("{}/table.json", cluster.authority().data);
    let (old, epoch) =
        (std::fs::read(&file).unwrap(), cluster.authority().overview()["epoch"].clone());
    cluster.add_node();
    cluster.wait_settled(3);
    let newest = cluster.authority().overview()["epoch"].clone();
    assert_ne!(newest, epoch);
    cluster.coordinators[0].server.kill();
    let right = std::fs::read(&file).unwrap();
    std::fs::write(&file, old).unwrap();
    cluster.coordinators[0].restart();
    let why = format!("a slot table of epoch {newest}");
    cluster.authority().wait_logged(&["ERROR", &why, "--data-dir"]);
    let mut conn = cluster.conn();
    wait_for("the status says why", AGREE, || {
        overview(&mut conn)["status"]["refused"].as_str().is_some_and(|text| text.contains(&why))
    });
    let page = cluster_command(&["status", &cluster.authority().server.addr]);
    assert!(page.replace('\n', " ").contains("that this coordinator never decided on"), "{page}");
    for coordinator in &cluster.coordinators {
        let mut conn = coordinator.server.conn();
        wait_for("nothing is served", LEASE, || is_down(&conn.cmd("GET k")));
    }
    let down = |node: &super::Member| is_down(&node.server.conn().cmd("GET k"));
    wait_for("no node serves", LEASE, || cluster.nodes.iter().all(down));

    // As it says: with the right table all is well.
    cluster.coordinators[0].server.kill();
    std::fs::write(&file, right).unwrap();
    cluster.coordinators[0].restart();
    cluster.wait_settled(3);
    assert_eq!(cluster.conn().cmd("SET k v"), Value::Simple("OK".into()));
}

#[test]
fn two_that_decide_are_one_too_many() {
    let cluster = Cluster::start(2);
    let keys: Vec<String> = cluster.owned_keys("key", 20).concat();
    let join = cluster.nodes[0].control.clone();
    let second = cluster.home.coordinator(&[&join], &["--authority"]);
    second.wait_logged(&["ERROR"]);
    assert!(is_down(&second.server.conn().cmd("GET k")));
    assert!(second.overview()["status"]["refused"].is_string(), "{:#}", second.overview());
    // The first one goes on as if nothing had happened.
    let mut conn = cluster.conn();
    for key in &keys {
        assert_eq!(conn.cmd(&format!("GET {key}")).text(), *key);
    }
    cluster.wait_settled(2);
}
