//! How a cluster comes about: whom a member may join, in which order they start, and what people are shown then.

use super::harness::{AGREE, Cluster, Home, cluster_command, overview, shares};
use crate::util::{Server, Value, free_port, wait_for};
use std::collections::BTreeSet;

#[test]
fn three_nodes_and_a_coordinator() {
    let cluster = Cluster::start(3);
    let authority = cluster.authority();
    let told = authority.overview();
    assert_eq!(told["id"], authority.id.as_str());
    assert_eq!(told["is_coordinator"], true);
    let ids: BTreeSet<String> = cluster.nodes.iter().map(|node| node.id.clone()).collect();
    assert_eq!(shares(&told).into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), ids);

    // The authority shows all members, itself too; which table each goes by, their heartbeats say.
    let mut conn = cluster.conn();
    wait_for("all go by the newest table", AGREE, || {
        let told = overview(&mut conn);
        let members = told["status"]["members"].as_array().unwrap();
        members.iter().all(|member| member["epoch"] == told["epoch"])
    });
    let members = told["status"]["members"].as_array().unwrap();
    assert_eq!(members.len(), 4, "{members:#?}");
    for member in members {
        let id = member["id"].as_str().unwrap();
        assert_eq!(member["is_authority"], id == authority.id);
        assert_eq!(member["is_leaving"], false);
        let node = cluster.nodes.iter().find(|node| node.id == id);
        let address = node.map_or(&authority.server.addr, |node| &node.server.addr);
        assert_eq!(member["address"], address.as_str());
        let lease_ms = member["lease_ms"].as_u64().unwrap();
        assert_eq!(lease_ms > 0, node.is_some(), "{member:#}");
    }

    // So does the command, for people and for programs.
    let page = cluster_command(&["status", &authority.server.addr]);
    for word in ["nothing changes", "authority", "3 nodes with slots", "lease"] {
        assert!(page.contains(word), "{word} in\n{page}");
    }
    for member in cluster.nodes.iter().chain([authority]) {
        assert!(page.contains(&member.server.addr), "{}\n{page}", member.server.addr);
    }
    let json = cluster_command(&["status", &authority.server.addr, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["nodes"], told["nodes"]);

    // Nodes know the table, and that they have a lease.
    for node in &cluster.nodes {
        let told = node.overview();
        assert_eq!((&told["is_coordinator"], &told["has_lease"]), (&false.into(), &true.into()));
        assert_eq!(shares(&told), shares(&authority.overview()));
        let page = cluster_command(&["status", &node.server.addr]);
        assert!(page.contains("this node holds a lease"), "{page}");
    }

    // What is written through the coordinator lies on the nodes, evenly.
    cluster.owned_keys("key", 20);
    let keys: i64 = cluster.nodes.iter().map(|node| node.server.conn().cmd("DBSIZE").int()).sum();
    assert_eq!(Value::Int(keys), cluster.conn().cmd("DBSIZE"));
}

#[test]
fn any_member_will_do_to_join() {
    let mut cluster = Cluster::start(1);
    // Through a node, and through one of several addresses of which the first ones are dead.
    let node = cluster.nodes[0].control.clone();
    cluster.nodes.push(cluster.home.node(&[&node], &[]));
    let dead = format!("127.0.0.1:{}", free_port());
    let last = cluster.nodes[1].control.clone();
    cluster.nodes.push(cluster.home.node(&[&dead, "no-such-host.invalid:7", &last], &[]));
    // A coordinator through a node; it follows, and serves the same.
    cluster.coordinators.push(cluster.home.coordinator(&[&dead, &last], &[]));
    // And a node through the coordinator that follows.
    let follower = cluster.coordinators[1].control.clone();
    cluster.nodes.push(cluster.home.node(&[&follower], &[]));
    cluster.wait_settled(4);
    assert_eq!(cluster.conn().cmd("SET k v"), Value::Simple("OK".into()));
    assert_eq!(cluster.coordinators[1].server.conn().cmd("GET k").text(), "v");
}

#[test]
fn the_first_member_may_be_a_node() {
    let home = Home::new();
    let first = home.node(&[], &[]);
    let mut conn = first.server.conn();
    assert!(conn.cmd("GET k").text().starts_with("CLUSTERDOWN"));
    assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
    let second = home.node(&[&first.control], &[]);
    let authority = home.coordinator(&[&second.control], &["--authority"]);
    authority.wait_settled(2);
    wait_for("the node serves", AGREE, || {
        let reply = conn.cmd("GET k");
        reply == Value::Null || reply.text().starts_with("MOVED")
    });
}

#[test]
fn a_member_waits_for_those_it_is_to_join() {
    // Members are often started all at once, in any order.
    let home = Home::new();
    let control = format!("127.0.0.1:{}", free_port());
    let nodes = [home.node(&[&control], &[]), home.node(&[&control], &[])];
    nodes[0].wait_logged(&["WARN", "nobody listens there", control.rsplit(':').next().unwrap()]);
    // The later flag is the one that counts.
    let data = home.path("authority");
    let authority = Server::spawn(&[
        "coordinator",
        "127.0.0.1:0",
        "--cluster-key-file",
        &home.key(),
        "--cluster-addr",
        &control,
        "--data-dir",
        &data,
    ]);
    let mut conn = authority.conn();
    wait_for("both nodes have slots", AGREE, || shares(&overview(&mut conn)).len() == 2);
}

#[test]
fn up_forms_a_cluster_that_others_can_join() {
    let home = Home::new();
    let data = home.path("up");
    let up = Server::spawn(&[
        "up",
        "--port",
        "0",
        "--nodes",
        "2",
        "--cluster-key-file",
        &home.key(),
        "--cluster-addr",
        "127.0.0.1:0",
        "--data-dir",
        &data,
    ]);
    let mut conn = up.conn();
    assert_eq!(conn.cmd("SET k v"), Value::Simple("OK".into()), "Ready means that it serves");
    let line = up.stdout.iter().find(|line| line.starts_with("member ")).unwrap();
    let control = line.split_whitespace().nth(1).unwrap();
    let joined = home.node(&[control], &[]);
    wait_for("a third node has slots", AGREE, || {
        shares(&overview(&mut conn)).iter().any(|(id, slots)| *id == joined.id && *slots > 0)
    });
    // By default too, though nobody else can join: no key is told.
    let alone = Server::up(&[]);
    let mut conn = alone.conn();
    assert_eq!(conn.cmd("SET k v"), Value::Simple("OK".into()));
    assert_eq!(shares(&overview(&mut conn)).len(), 3);
    let fixed = Server::up(&["--fixed"]);
    assert!(fixed.conn().cmd("LARDER CLUSTER").text().contains("in no cluster that forms itself"));
}

#[test]
fn shares_follow_capacity() {
    let home = Home::new();
    let authority = home.coordinator(&[], &[]);
    let join: &[&str] = &[&authority.control];
    let small = home.node(join, &["--maxmemory", "100mb"]);
    let large = home.node(join, &["--maxmemory", "300mb"]);
    let mut conn = authority.server.conn();
    let mut wait_for_shares = |what: &str, wanted: (_, _)| {
        wait_for(what, AGREE, || {
            let shares = shares(&overview(&mut conn));
            let of =
                |id: &str| shares.iter().find(|(other, _)| other == id).map_or(0, |(_, is)| *is);
            (of(&small.id), of(&large.id)) == wanted
        });
    };
    wait_for_shares("the larger node has three times as much", (4096, 12288));
    // Also when it changes.
    let reply = small.server.conn().cmd("CONFIG SET maxmemory 300mb");
    assert_eq!(reply, Value::Simple("OK".into()));
    wait_for_shares("the nodes have equal shares", (8192, 8192));
}
