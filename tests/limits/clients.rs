//! Clients: how many, how long idle, how greedy; and closing those of others.

use super::resident;
use crate::commands::Cluster;
use crate::tools::failed;
use crate::util::{Conn, Server, Value, request, wait_for};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A server of each role that takes these arguments.
fn on_both(args: &[&str], case: impl Fn(&Server)) {
    println!("on a node");
    case(&Server::node(args));
    println!("on a coordinator");
    let cluster = Cluster::start(args);
    case(&cluster.coordinator);
}

#[test]
fn maxclients() {
    on_both(&["--maxclients", "3"], |server| {
        let mut conns: Vec<Conn> = (0..3).map(|_| server.conn()).collect();
        for conn in &mut conns {
            assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
        }
        let mut fourth = server.conn();
        assert_eq!(fourth.read(), Value::Error("ERR max number of clients reached".into()));
        assert!(fourth.closed());
        conns.pop();
        wait_for("a free place", Duration::from_secs(5), || {
            let mut conn = server.conn();
            conn.send("PING");
            conn.read() == Value::Simple("PONG".into())
        });
        let info = conns[0].cmd("INFO stats").text();
        let rejected = info.lines().find_map(|line| line.strip_prefix("rejected_connections:"));
        assert!(rejected.unwrap().parse::<u64>().unwrap() >= 1, "{info}");
        // At run time, too.
        assert_eq!(conns[0].cmd("CONFIG SET maxclients 100"), Value::Simple("OK".into()));
        let more: Vec<Value> = (0..10).map(|_| server.conn().cmd("PING")).collect();
        assert!(!more.iter().any(failed), "{more:?}");
    });
}

#[test]
fn idle_clients_are_closed() {
    on_both(&["--timeout", "1"], |server| {
        let (mut idle, mut busy) = (server.conn(), server.conn());
        assert_eq!(idle.cmd("PING"), Value::Simple("PONG".into()));
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(2600) {
            assert_eq!(busy.cmd("PING"), Value::Simple("PONG".into()));
            std::thread::sleep(Duration::from_millis(200));
        }
        assert!(idle.closed(), "after {:?}", began.elapsed());
        assert_eq!(busy.cmd("CONFIG SET timeout 0"), Value::Simple("OK".into()));
        std::thread::sleep(Duration::from_millis(2200));
        assert_eq!(busy.cmd("PING"), Value::Simple("PONG".into()));
    });
}

#[test]
fn clients_are_closed_by_others() {
    on_both(&[], |server| {
        let (mut killer, mut victim) = (server.conn(), server.conn());
        let id = victim.cmd("CLIENT ID").int();
        assert_eq!(killer.cmd(&format!("CLIENT KILL ID {id}")), Value::Int(1));
        assert!(victim.closed());
        assert_eq!(killer.cmd(&format!("CLIENT KILL ID {id}")), Value::Int(0));

        let mut victim = server.conn();
        let info = victim.cmd("CLIENT INFO").text();
        let addr = info.split(' ').find_map(|field| field.strip_prefix("addr=")).unwrap();
        let killed = killer.cmd(&format!("CLIENT KILL {addr}"));
        assert_eq!(killed, Value::Simple("OK".into()));
        assert!(victim.closed());

        // All but itself, in whatever state they are.
        let mut others: Vec<Conn> = (0..20).map(|_| server.conn()).collect();
        for (number, conn) in others.iter_mut().enumerate() {
            let line = ["PING", "MULTI", "CLIENT ID", "SELECT 3"][number % 4];
            assert!(!failed(&conn.cmd(line)));
        }
        assert!(killer.cmd("CLIENT KILL SKIPME yes").int() >= 20);
        for conn in &mut others {
            assert!(conn.closed());
        }
        assert_eq!(killer.cmd("PING"), Value::Simple("PONG".into()));
    });
}

/// The descriptors that this process may have, as many as it is allowed.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

#[test]
fn a_thousand_idle_clients() {
    raise_descriptor_limit();
    on_both(&[], |server| {
        let before = resident(server);
        let mut conns: Vec<Conn> = (0..1000).map(|_| server.conn()).collect();
        for (number, conn) in conns.iter_mut().enumerate() {
            let set = conn.cmd(&format!("SET client:{number} x"));
            assert_eq!(set, Value::Simple("OK".into()));
        }
        let mut conn = server.conn();
        let info = conn.cmd("INFO clients").text();
        let connected = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        assert_eq!(connected, Some("1001"), "{info}");
        assert_eq!(conn.cmd("CLIENT LIST").text().lines().count(), 1001);
        let grown = resident(server).saturating_sub(before);
        assert!(grown < 64 << 20, "{grown} bytes for a thousand idle clients");
        let began = Instant::now();
        for _ in 0..100 {
            assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        for conn in &mut conns {
            assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
        }
        drop(conns);
        wait_for("the server to notice", Duration::from_secs(5), || {
            conn.cmd("CLIENT LIST").text().lines().count() == 1
        });
    });
}

/// Sends a request over and over and reads nothing, until the server takes no more (or closes)
/// or `limit` bytes are sent.
fn never_read(server: &Server, request: &[u8], limit: usize) -> TcpStream {
    let mut stream = TcpStream::connect(&server.addr).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let chunk = request.repeat((64 << 10) / request.len() + 1);
    let (mut sent, mut at) = (0, 0);
    while sent < limit {
        match stream.write(&chunk[at..]) {
            Ok(count) => {
                sent += count;
                at = (at + count) % chunk.len();
            }
            Err(error) => match error.kind() {
                // It waits for its replies to be read, or has enough of this client.
                ErrorKind::WouldBlock | ErrorKind::TimedOut => break,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => break,
                _ => panic!("{error}"),
            },
        }
    }
    println!("{sent} bytes were taken");
    stream
}

#[test]
fn a_client_that_never_reads_costs_little() {
    on_both(&[], |server| {
        let mut conn = server.conn();
        let value = vec![b'x'; 100_000];
        assert_eq!(conn.args(&[b"SET", b"large", &value]), Value::Simple("OK".into()));
        let requests = [
            request(&[b"GET", b"large"]),
            request(&[b"GET", b"nosuch"]),
            request(&[b"ECHO", &[b'x'; 5000]]),
            b"PING\r\n".to_vec(),
            request(&[b"MGET", b"large", b"nosuch", b"large"]),
            request(&[b"SET", b"k", b"v"]),
        ];
        for request in &requests {
            let what = request.escape_ascii().to_string();
            let before = resident(server);
            let greedy = never_read(server, request, 16 << 20);
            let began = Instant::now();
            assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
            assert_eq!(conn.cmd("STRLEN large"), Value::Int(100_000));
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
            let grown = resident(server).saturating_sub(before);
            println!("{grown} bytes more for {what:.60}");
            assert!(grown < 64 << 20, "{grown} bytes more for {what:.60}");
            drop(greedy);
        }
        wait_for("the greedy ones are gone", Duration::from_secs(20), || {
            conn.cmd("CLIENT LIST").text().lines().count() == 1
        });
    });
}

#[test]
fn the_nodes_of_a_coordinator_are_safe_from_a_client_that_never_reads() {
    let cluster = Cluster::start(&[]);
    let mut conn = cluster.coordinator.conn();
    let value = vec![b'x'; 100_000];
    assert_eq!(conn.args(&[b"SET", b"large", &value]), Value::Simple("OK".into()));
    let before: Vec<u64> = cluster.nodes.iter().map(resident).collect();
    let greedy: Vec<TcpStream> = (0..4)
        .map(|_| never_read(&cluster.coordinator, &request(&[b"GET", b"large"]), 8 << 20))
        .collect();
    for (node, before) in cluster.nodes.iter().zip(before) {
        let grown = resident(node).saturating_sub(before);
        assert!(grown < 200 << 20, "{grown}");
    }
    // They share the nodes' connections with everybody, and hold nobody up.
    for number in 0..100 {
        let began = Instant::now();
        assert_eq!(conn.cmd(&format!("SET key:{number} x")), Value::Simple("OK".into()));
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    assert_eq!(conn.cmd("STRLEN large"), Value::Int(100_000));
    drop(greedy);
}

/// Requests for a node that takes none wait at the coordinator: a bounded part of them, the rest unread.
#[test]
fn large_writes_for_a_frozen_node_do_not_pile_up() {
    let cluster = Cluster::start(&["--backend-timeout-ms", "4000"]);
    let mut conn = cluster.coordinator.conn();
    assert_eq!(conn.cmd("SET key x"), Value::Simple("OK".into()));
    let before = resident(&cluster.coordinator);
    cluster.nodes.iter().for_each(Server::freeze);
    let set = request(&[b"SET", b"key", &[b'x'; 100_000]]);
    let greedy: Vec<TcpStream> =
        (0..4).map(|_| never_read(&cluster.coordinator, &set, 64 << 20)).collect();
    let grown = resident(&cluster.coordinator).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for four clients");
    cluster.nodes.iter().for_each(Server::thaw);
    drop(greedy);
}

#[test]
fn a_client_that_owes_too_much_is_closed() {
    on_both(&[], |server| {
        let mut conn = server.conn();
        assert_eq!(conn.args(&[b"SET", b"large", &[b'x'; 300_000]]), Value::Simple("OK".into()));
        let clients = |conn: &mut Conn| conn.cmd("CLIENT LIST").text().lines().count();
        // At once, and after a second: the first would be owed about 1 MB.
        for (limits, patience) in [("normal 500kb 0 0", 1), ("normal 0 500kb 1", 2)] {
            let set =
                conn.args(&[b"CONFIG", b"SET", b"client-output-buffer-limit", limits.as_bytes()]);
            assert_eq!(set, Value::Simple("OK".into()));
            let began = Instant::now();
            let greedy = never_read(server, &request(&[b"GET", b"large"]), 1 << 20);
            wait_for("the greedy one is closed", Duration::from_secs(10), || {
                clients(&mut conn) == 1
            });
            let least = Duration::from_secs(patience - 1);
            assert!(began.elapsed() >= least, "{limits}: {:?}", began.elapsed());
            drop(greedy);
        }
        // One that reads is left alone.
        let mut reader = server.conn();
        for _ in 0..20 {
            assert_eq!(reader.cmd("GET large").text().len(), 300_000);
        }
        assert_eq!(clients(&mut conn), 2);
        let get = conn.cmd("CONFIG GET client-output-buffer-limit");
        assert!(get.items()[1].text().starts_with("normal 0 512000 1 slave "), "{get:?}");
        for wrong in ["normal 1", "nobody 0 0 0", "normal x 0 0"] {
            let reply =
                conn.args(&[b"CONFIG", b"SET", b"client-output-buffer-limit", wrong.as_bytes()]);
            assert!(matches!(reply, Value::Error(_)), "{wrong}: {reply:?}");
        }
    });
}

/// What it is owed is bounded, and nobody else waits for it.
#[test]
fn a_monitor_that_never_reads_is_closed() {
    on_both(&["--workers", "2"], |server| {
        let (mut conn, mut monitor) = (server.conn(), server.conn());
        assert_eq!(monitor.cmd("MONITOR"), Value::Simple("OK".into()));
        let monitors = |conn: &mut Conn| {
            let list = conn.cmd("CLIENT LIST").text();
            list.lines().filter(|line| line.contains(" flags=O ")).count()
        };
        assert_eq!(monitors(&mut conn), 1);
        let before = resident(server);
        let message = vec![b'x'; 1 << 20];
        let mut sent = 0;
        // Its socket takes some megabytes, too.
        while monitors(&mut conn) == 1 {
            assert!(sent < 200, "{sent} MB, and still not closed");
            let began = Instant::now();
            let echo = conn.args(&[b"ECHO", &message]);
            assert_eq!(echo.text().len(), message.len());
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
            sent += 1;
        }
        assert!(sent >= 60, "closed after {sent} MB");
        wait_for("a warning in the log", Duration::from_secs(5), || {
            server.stderr().contains("client does not take what it is sent unasked")
        });
        // One that reads goes on.
        let mut monitor = server.conn();
        assert_eq!(monitor.cmd("MONITOR"), Value::Simple("OK".into()));
        for _ in 0..100 {
            assert_eq!(conn.args(&[b"ECHO", &message]).text().len(), message.len());
            assert!(monitor.read().text().ends_with("xxx\""));
        }
        assert_eq!(monitors(&mut conn), 1);
        let grown = resident(server).saturating_sub(before);
        assert!(grown < 100 << 20, "{grown} bytes more");
    });
}
