//! INFO as a node, a coordinator and redis-server give it.

use super::*;

const COORDINATOR: &str = "# Server\r\nredis_version:7.4.0\r\nuptime_in_seconds:7500\r\n\r\n\
    # Clients\r\nconnected_clients:3\r\n\r\n# Memory\r\nused_memory:2468\r\n\r\n\
    # Stats\r\nkeyspace_hits:2\r\ninstantaneous_ops_per_sec:99\r\n\r\n\
    # Keyspace\r\ndb0:keys=30,expires=0,avg_ttl=0\r\n\r\n\
    # Larder\r\nlarder_version:0.1.0\r\nlarder_role:coordinator\r\nworkers:2\r\n\
    latency_p50_us:50.5\r\nlatency_p99_us:999.9\r\n\r\n# Nodes\r\n\
    node0:addr=127.0.0.1:5000,state=up,keys=10,memory=1234,maxmemory=268435456,hits=1,misses=2,\
    evictions=3,expirations=4,ops_per_sec=12,p50_us=1.2,p99_us=9.9\r\n\
    node1:addr=[::1]:5001,state=down\r\n\
    node2:addr=127.0.0.1:5002,state=up,keys=20,memory=1234,maxmemory=268435456,hits=1,misses=2,\
    evictions=3,expirations=4,ops_per_sec=30,p50_us=2.2,p99_us=8.8,later=field\r\n";

const NODE: &str = "# Server\r\nredis_version:7.4.0\r\n\r\n# Memory\r\nused_memory:1000\r\n\
    used_memory_human:1000B\r\nmaxmemory:2000\r\n\r\n# Stats\r\nkeyspace_hits:75\r\n\
    keyspace_misses:25\r\nevicted_keys:1\r\nexpired_keys:2\r\ninstantaneous_ops_per_sec:7\r\n\r\n\
    # Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=9\r\ndb3:keys=6,expires=0,avg_ttl=0\r\n\r\n\
    # Larder\r\nlarder_version:0.1.0\r\nlarder_role:node\r\nlatency_p50_us:1.5\r\n\
    latency_p99_us:20\r\n";

#[test]
fn coordinator_with_a_node_down() {
    let stats = parse("127.0.0.1:6379", COORDINATOR);
    assert!(stats.is_coordinator);
    assert_eq!(stats.title, "coordinator 127.0.0.1:6379, larder 0.1.0, up 2 h 5 min, 3 clients");
    assert_eq!(stats.nodes.len(), 3);
    let first = &stats.nodes[0];
    assert_eq!((first.addr.as_str(), first.state.as_str()), ("127.0.0.1:5000", "up"));
    assert_eq!((first.keys, first.memory), (Some(10), Some(1234)));
    assert_eq!((first.evictions, first.expirations), (Some(3), Some(4)));
    assert_eq!((first.p50_us, first.p99_us), (Some(1.2), Some(9.9)));
    let down = Row { addr: "[::1]:5001".into(), state: "down".into(), ..Row::default() };
    assert_eq!(stats.nodes[1], down);
    let total = &stats.total;
    assert_eq!(total.state, "2/3 up");
    assert_eq!((total.keys, total.hits, total.misses), (Some(30), Some(2), Some(4)));
    assert_eq!((total.memory, total.maxmemory), (Some(2468), Some(536_870_912)));
    assert_eq!(total.ops_per_sec, Some(42));
    assert_eq!((total.p50_us, total.p99_us), (Some(50.5), Some(999.9)), "its own, no average");
}

#[test]
fn one_node() {
    let stats = parse("127.0.0.1:5000", NODE);
    assert!(!stats.is_coordinator);
    assert_eq!(stats.title, "node 127.0.0.1:5000, larder 0.1.0");
    assert_eq!(stats.nodes.len(), 1);
    let node = &stats.nodes[0];
    assert_eq!(node.keys, Some(11), "of all databases");
    assert_eq!((node.memory, node.maxmemory), (Some(1000), Some(2000)));
    assert_eq!((node.hits, node.misses), (Some(75), Some(25)));
    let expected = Row { addr: "TOTAL".into(), state: "1/1 up".into(), ..node.clone() };
    assert_eq!(stats.total, expected);
}

#[test]
fn redis_server_has_no_percentiles() {
    let info = "# Server\r\nredis_version:7.0.15\r\n# Memory\r\nused_memory:5\r\nmaxmemory:0\r\n\
        # Keyspace\r\n";
    let stats = parse("h:1", info);
    assert_eq!(stats.title, "server h:1, redis 7.0.15");
    assert_eq!(stats.nodes[0].keys, Some(0));
    assert_eq!(stats.nodes[0].p50_us, None);
    assert_eq!(stats.total.maxmemory, Some(0));
}

#[test]
fn nonsense_is_not_fatal() {
    let stats = parse("h:1", "what?\n# Nodes\r\nnode0:\r\nnode1:addr\r\n");
    assert_eq!(stats.nodes.len(), 2);
    assert_eq!(stats.nodes[0].addr, "-");
    assert_eq!(stats.total.keys, None);
    assert_eq!(parse("h:1", "").nodes[0].memory, None);
}
