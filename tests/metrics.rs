//! `--metrics`: what is served, what is counted and what is not, and who cannot disturb it.

use crate::tools::{redis_cli, run, run_within};
use crate::util::http::{Page, exchange, get, get_with};
use crate::util::{Server, Value, free_port, larder, wait_for};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// The argument of a server that serves metrics on a free port.
pub const ON: [&str; 2] = ["--metrics", "127.0.0.1:0"];
const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";

/// Where a server serves its metrics: `up` its nodes' first, then its coordinator's.
pub fn addrs(server: &Server) -> Vec<String> {
    let lines = server.stdout.iter().filter_map(|line| line.strip_prefix("metrics http://"));
    lines.map(|line| line.split('/').next().unwrap().to_owned()).collect()
}

fn metrics(server: &Server) -> Page {
    get(&addrs(server)[0], "/metrics")
}

#[track_caller]
fn assert_sample(page: &Page, name: &str, value: f64) {
    assert_eq!(page.sample(name), Some(value), "{name} in\n{}", page.body);
}

/// A node, and a coordinator over it.
fn pair() -> [Server; 2] {
    let node = Server::node(&ON);
    let coordinator = Server::coordinator(&[&node], &ON);
    [node, coordinator]
}

#[test]
fn pages() {
    for server in &pair() {
        let addr = &addrs(server)[0];
        let page = get(addr, "/metrics");
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        assert!(page.body.contains("# TYPE larder_connections_total counter\n"), "{}", page.body);

        let page = get_with(addr, "/metrics", OPEN);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!((page.status, page.header("content-type")), (200, kind));
        assert!(page.body.ends_with("\n# EOF\n"), "{}", page.body);
        let types = page.body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for counter in types.filter_map(|line| line.strip_suffix(" counter")) {
            assert!(page.body.contains(&format!("\n{counter}_total")), "{counter}");
        }

        let page = get(addr, "/stats.json");
        assert_eq!((page.status, page.header("content-type")), (200, "application/json"));
        assert_eq!(get(addr, "/healthz").body, "ok\n");
        let index = get(addr, "/").body;
        for path in ["/metrics", "/stats.json", "/healthz", "/dashboard.json"] {
            assert!(index.contains(path), "{index}");
        }
        let dashboard = get(addr, "/dashboard.json");
        assert!(dashboard.body.contains("larder_keyspace_hits_total"), "{dashboard:?}");

        assert_eq!(get(addr, "/nosuch").status, 404);
        let head = exchange(addr, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert!(head.header("content-length").parse::<u64>().unwrap() > 1000, "{head:?}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let request = format!("{method} /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
            let refused = exchange(addr, request.as_bytes());
            assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"));
        }
    }
}

#[test]
fn figures_are_those_of_the_traffic() {
    let [node, coordinator] = pair();
    let mut conn = coordinator.conn();
    for number in 0..30 {
        conn.cmd(&format!("SET key:{number} value"));
    }
    conn.cmd("EXPIRE key:0 1000");
    for number in 0..50 {
        conn.cmd(&format!("GET key:{number}"));
    }
    conn.cmd("INCR key:1");
    conn.cmd("GET");
    let page = metrics(&node);
    for (name, value) in [
        ("larder_build_info{role=\"node\",version=\"0.1.0\"}", 1.0),
        ("larder_keyspace_hits_total", 30.0),
        ("larder_keyspace_misses_total", 20.0),
        ("larder_keys", 30.0),
        ("larder_keys_expiring", 1.0),
        ("larder_commands_total{command=\"get\"}", 50.0),
        ("larder_command_failures_total{command=\"incr\"}", 1.0),
        ("larder_command_duration_seconds_count{command=\"set\"}", 30.0),
        ("larder_command_duration_seconds_bucket{command=\"set\",le=\"+Inf\"}", 30.0),
        ("larder_errors_total{code=\"ERR\"}", 1.0),
    ] {
        assert_sample(&page, name, value);
    }
    let info = node.conn().cmd("INFO memory").text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    assert_sample(&page, "larder_memory_used_bytes", used.parse().unwrap());
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"]
    {
        assert!(page.sample(name).unwrap() > 0.0, "{name} in\n{}", page.body);
    }

    let page = metrics(&coordinator);
    for (name, value) in [
        ("larder_build_info{role=\"coordinator\",version=\"0.1.0\"}", 1.0),
        ("larder_commands_total{command=\"get\"}", 50.0),
        ("larder_commands_rejected_total{command=\"get\"}", 0.0),
        ("larder_errors_total{code=\"ERR\"}", 2.0),
        ("larder_connected_clients", 1.0),
        ("larder_connections_total", 1.0),
        (&format!("larder_node_up{{node=\"{}\"}}", node.addr), 1.0),
    ] {
        assert_sample(&page, name, value);
    }
    // Told by nodes alone, lest it be counted twice.
    assert_eq!(page.sample("larder_keys"), None);
    assert_eq!(page.sample("larder_keyspace_hits_total"), None);
}

#[test]
fn durations_are_told_of_commands_that_were_timed() {
    let node = Server::node(&ON);
    let mut conn = node.conn();
    let duration = |what: &str, command: &str| {
        let name = format!("larder_command_duration_seconds_{what}{{command=\"{command}\"}}");
        metrics(&node).sample(&name)
    };
    conn.cmd("GET k");
    conn.cmd("CONFIG SET latency-tracking no");
    let [count, sum] = ["count", "sum"].map(|what| duration(what, "get"));
    assert_eq!(count, Some(1.0));
    assert!(sum > Some(0.0));
    conn.cmd("GET k");
    conn.cmd("SET k v");
    assert_eq!(["count", "sum"].map(|what| duration(what, "get")), [count, sum]);
    assert_eq!(duration("sum", "set"), None);
    assert_sample(&metrics(&node), "larder_commands_total{command=\"set\"}", 1.0);
    conn.cmd("CONFIG SET latency-tracking yes");
    conn.cmd("SET k v");
    assert_eq!(duration("count", "set"), Some(1.0));
}

#[test]
fn the_report_as_json_is_the_one_that_clients_get() {
    for server in &pair() {
        let mut conn = server.conn();
        conn.cmd("SET k v");
        conn.cmd("GET k");
        let served = get(&addrs(server)[0], "/stats.json").body;
        let answered = conn.cmd("LARDER STATS JSON").text();
        let part = |text: &str, name: &str| {
            let start = text.find(&format!("\"{name}\":{{")).unwrap();
            text[start..start + text[start..].find('}').unwrap()].to_owned()
        };
        assert_eq!(part(&served, "cache"), part(&answered, "cache"));
        let addr = format!("\"addr\":\"{}\"", server.addr);
        assert!(served.contains(&addr) && answered.contains(&addr), "{served}");
    }
}

#[test]
fn asking_leaves_no_trace_and_needs_no_login() {
    let node = Server::node(&[]);
    let coordinator = &Server::coordinator(&[&node], &[&ON, &["--maxclients", "1"][..]].concat());
    let mut conn = coordinator.conn();
    conn.cmd("CONFIG SET requirepass secret");
    conn.cmd("AUTH secret");
    let traces = |page: &Page| {
        let names = ["connections_total", "connections_rejected_total", "connected_clients"];
        let bytes = ["network_received_bytes_total", "network_sent_bytes_total"];
        let all = names.iter().chain(&bytes);
        all.map(|name| page.sample(&format!("larder_{name}"))).collect::<Vec<_>>()
    };
    let first = metrics(coordinator);
    for _ in 0..20 {
        assert_eq!(get(&addrs(coordinator)[0], "/stats.json").status, 200);
    }
    let last = metrics(coordinator);
    assert_eq!(traces(&first), traces(&last));
    assert!(!last.body.contains("larder|stats"), "{}", last.body);
    assert_sample(&last, &format!("larder_node_up{{node=\"{}\"}}", node.addr), 1.0);
    assert_eq!(conn.cmd("CLIENT LIST").text().lines().count(), 1);
    assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
}

#[test]
fn nodes_that_are_down_or_frozen() {
    let nodes = [Server::node(&[]), Server::node(&[])];
    let coordinator = Server::coordinator(&[&nodes[0], &nodes[1]], &ON);
    let addr = &addrs(&coordinator)[0];
    let up = |node: &Server| {
        let page = get(addr, "/metrics");
        page.sample(&format!("larder_node_up{{node=\"{}\"}}", node.addr)).unwrap() == 1.0
    };
    let [mut one, mut two] = nodes;
    wait_for("both are up", Duration::from_secs(5), || up(&one) && up(&two));
    one.freeze();
    let began = Instant::now();
    assert!(!up(&one), "a node that does not answer is not up");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    one.thaw();
    wait_for("it is up again", Duration::from_secs(5), || up(&one));
    one.kill();
    wait_for("one is down", Duration::from_secs(5), || !up(&one) && up(&two));
    assert_eq!(get(addr, "/healthz").status, 200, "the other one serves");
    two.kill();
    wait_for("none is healthy", Duration::from_secs(5), || get(addr, "/healthz").status == 503);
    let page = get(addr, "/metrics");
    assert_eq!(page.status, 200);
    assert!(page.sample("larder_uptime_seconds").is_some(), "{}", page.body);
}

/// A redis-server tells nothing of itself, but it serves; and asking it makes no errors in its statistics.
#[test]
fn nodes_that_are_not_larders() {
    let redis = Server::redis(&[]);
    let args = [&ON, &["--workers", "1"][..]].concat();
    let coordinator = Server::coordinator(&[&redis], &args);
    let addr = &addrs(&coordinator)[0];
    wait_for("it is up", Duration::from_secs(5), || get(addr, "/healthz").status == 200);
    let mut conn = redis.conn();
    let mut errors = || {
        let info = conn.cmd("INFO stats").text();
        let line = info.lines().find_map(|line| line.strip_prefix("total_error_replies:"));
        line.unwrap().to_owned()
    };
    let before = errors();
    for _ in 0..3 {
        let name = format!("larder_node_up{{node=\"{}\"}}", redis.addr);
        assert_sample(&get(addr, "/metrics"), &name, 1.0);
        let report = get(addr, "/stats.json").body;
        assert!(
            report.contains(&format!("{{\"addr\":\"{}\",\"up\":true,", redis.addr)),
            "{report}"
        );
        assert_eq!(get(addr, "/healthz").body, "ok\n");
    }
    assert_eq!(errors(), before);
}

#[test]
fn slow_and_bad_clients_disturb_nobody() {
    let node = Server::node(&ON);
    let addr = &addrs(&node)[0];
    // All places are taken by clients that say nothing, and one that says half.
    let began = Instant::now();
    let mut idle: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(addr).unwrap()).collect();
    std::io::Write::write_all(&mut idle[0], b"GET /metrics HT").unwrap();
    assert_eq!(node.conn().cmd("PING"), Value::Simple("PONG".into()));
    assert_eq!(get(addr, "/healthz").body, "ok\n");
    let waited = began.elapsed();
    assert!((1..10).contains(&waited.as_secs()), "they were closed after {waited:?}");
    // More than a head may have.
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(15_000));
    assert_eq!(exchange(addr, long.as_bytes()).status, 200);
    let longer = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(17_000));
    assert_eq!(exchange(addr, longer.as_bytes()).status, 431);
    assert_eq!(exchange(addr, b"\x16\x03\x01\x00nonsense\r\n\r\n").status, 400);
    assert_eq!(get(addr, "/healthz").body, "ok\n");
}

#[test]
fn it_ends_with_the_server() {
    for mut server in pair() {
        let addr = addrs(&server)[0].clone();
        let idle = TcpStream::connect(&addr).unwrap();
        let began = Instant::now();
        assert_eq!(server.terminate().code(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(TcpStream::connect(&addr).is_err());
        drop(idle);
    }
}

#[test]
fn addresses_that_cannot_be_had() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let node = Server::node(&[]);
    let command_lines: [&[&str]; 3] = [
        &["node", "127.0.0.1:0"],
        &["coordinator", "127.0.0.1:0", &node.addr],
        &["up", "--port", "0", "--nodes", "1"],
    ];
    for args in command_lines {
        for (addr, why) in [(taken.as_str(), "in use"), ("9121", "port"), ("127.0.0.1:x", "port")] {
            let args = [args, &["--metrics", addr]].concat();
            let output = run_within(&mut larder(&args), b"", Duration::from_secs(10));
            assert_eq!(output.code, Some(1), "{args:?}: {output:#?}");
            for word in ["--metrics", addr, why] {
                assert!(output.err.contains(word), "{args:?}: no {word} in {output:#?}");
            }
        }
    }
}

#[test]
fn up_serves_the_coordinator_and_behind_it_the_nodes() {
    let up = (0..20).find_map(|_| {
        let port = free_port();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let found = port < u16::MAX - 2 && free(port + 1) && free(port + 2);
        found.then(|| {
            let metrics = format!("127.0.0.1:{port}");
            (port, Server::up(&["--nodes", "2", "--metrics", &metrics]))
        })
    });
    let (port, up) = up.expect("three free ports in a row");
    run(&mut redis_cli(&up, &["mset", "a", "1", "b", "2", "c", "3"]), b"").ok();
    let page = |offset: u16| get(&format!("127.0.0.1:{}", port + offset), "/metrics");
    let coordinator = page(0);
    for node in &up.nodes {
        assert_sample(&coordinator, &format!("larder_node_up{{node=\"{node}\"}}"), 1.0);
    }
    assert_sample(&coordinator, "larder_commands_total{command=\"mset\"}", 1.0);
    let keys = |page: Page| page.sample("larder_keys").unwrap();
    assert_eq!(keys(page(1)) + keys(page(2)), 3.0);
    assert_eq!(addrs(&up).len(), 3);
}
