//! A cluster that grows and shrinks under load: no request fails, and none gets a value that is not the last one.

use super::harness::{AGREE, Cluster, cluster_command};
use super::history;
use super::load::{Done, Load, Target};
use std::time::{Duration, Instant};

/// What a busy machine may make of the 15 s that a node waits at most for its slots to be taken over.
const LEAVE: Duration = Duration::from_secs(30);

fn assert_perfect(done: &Done) {
    assert!(done.replies > 1000, "{} replies", done.replies);
    let some: Vec<&String> = done.errors.iter().take(20).collect();
    assert!(some.is_empty(), "{} errors of {}: {some:#?}", done.errors.len(), done.replies);
    let wrong = history::check(&done.events);
    assert!(wrong.is_empty(), "{} wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

#[test]
fn no_request_fails_while_nodes_come_and_go() {
    let mut cluster = Cluster::start_with(2, 1);
    let addresses = cluster.coordinators.iter().map(|one| one.server.addr.clone());
    let targets: Vec<Target> = addresses.map(Target::Coordinator).cycle().take(4).collect();
    let load = Load::start(&targets, 5);

    // A node joins and has its share, not sooner than it is known.
    let began = Instant::now();
    cluster.add_node();
    cluster.wait_settled(3);
    println!("joined after {:?}", began.elapsed());
    cluster.add_node();
    cluster.wait_settled(4);

    // One is asked to go by a signal, one by the command, with the beginning of its name only.
    let mut first = cluster.nodes.remove(0);
    first.server.signal("TERM");
    assert!(first.server.wait_exit(LEAVE).success(), "{}", first.server.stderr());
    assert!(first.server.stderr().contains("the cluster has taken over all slots"));
    cluster.wait_settled(3);
    let mut second = cluster.nodes.remove(1);
    let addr = cluster.coordinators[1].server.addr.clone();
    cluster_command(&["leave", &second.id[..12], &addr]);
    assert!(second.server.wait_exit(LEAVE).success(), "{}", second.server.stderr());
    cluster.wait_settled(2);

    let done = load.stop();
    println!("{} replies", done.replies);
    assert_perfect(&done);
}

#[test]
fn a_value_that_did_not_move_is_still_there() {
    let mut cluster = Cluster::start(3);
    let keys = cluster.owned_keys("key", 100);
    let all: usize = keys.iter().map(Vec::len).sum();
    cluster.add_node();
    cluster.wait_settled(4);
    // A quarter of the slots moved, no more than that; those begin empty.
    let mut conn = cluster.conn();
    let found = keys.iter().flatten().filter(|key| {
        let reply = conn.cmd(&format!("GET {key}"));
        assert!(reply == crate::util::Value::Null || reply.text() == **key, "{reply:?}");
        reply != crate::util::Value::Null
    });
    let found = found.count();
    assert!((all * 60 / 100..all * 90 / 100).contains(&found), "{found} of {all}");
}

#[test]
fn the_last_node_just_goes() {
    let mut cluster = Cluster::start(1);
    let mut node = cluster.nodes.remove(0);
    let began = Instant::now();
    assert!(node.server.terminate().success());
    // There is nobody to wait for.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let mut conn = cluster.conn();
    assert!(conn.cmd("GET k").text().starts_with("CLUSTERDOWN"));
    cluster.add_node();
    let down = || conn.cmd("GET k") != crate::util::Value::Null;
    let mut down = down;
    crate::util::wait_for("another one has all slots", AGREE, || !down());
}

#[test]
fn leaving_wants_a_name_that_is_clear() {
    let cluster = Cluster::start(2);
    let mut conn = cluster.conn();
    assert!(conn.cmd("LARDER LEAVE nosuch").text().contains("no node of the cluster"));
    assert!(conn.cmd("LARDER LEAVE \"\"").text().contains("no node of the cluster"));
    let (one, other) = (&cluster.nodes[0], &cluster.nodes[1]);
    let refused = one.server.conn().cmd(&format!("LARDER LEAVE {}", other.id)).text();
    assert!(refused.contains("ask a coordinator"), "{refused}");
    // By itself it may.
    assert_eq!(one.server.conn().cmd(&format!("LARDER LEAVE {}", one.id)).text(), "OK");
    cluster.wait_settled(1);
}
