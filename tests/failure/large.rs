//! Large values, and what a refused transaction leaves behind: cases that once hung a connection, took a healthy node
//! for dead, or mixed up the databases of a link.

use crate::failure::Cluster;
use crate::util::{Server, Value, request};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn replies_larger_than_the_bound_arrive_though_nothing_more_is_sent() {
    let cluster = Cluster::start(&[]);
    let node = Server::node(&[]);
    for server in [&cluster.coordinator, &node] {
        let mut conn = server.conn();
        let value = vec![b'x'; 5_000_000];
        assert_eq!(conn.args(&[b"SET", b"v", &value]), Value::Simple("OK".into()));
        let get = request(&[b"GET", b"v"]);
        conn.send_raw(&get.repeat(4));
        // Long enough that the first reply fills every buffer on its way.
        assert!(conn.try_read(Duration::from_secs(10)).is_some());
        std::thread::sleep(Duration::from_millis(300));
        for _ in 0..3 {
            let reply = conn.try_read(Duration::from_secs(10)).expect("a reply");
            assert!(reply == Value::Bulk(value.clone()));
        }
    }
}

#[test]
fn a_value_that_takes_longer_than_the_timeout_does_not_bring_its_node_down() {
    let node = Server::node(&[]);
    let way = slow_way_to(&node.addr);
    let options = ["--backend-timeout-ms", "1000"];
    let coordinator =
        Server::spawn(&[&["coordinator", "127.0.0.1:0", &way], &options[..]].concat());
    let mut conn = coordinator.conn();
    let value = vec![b'x'; 30_000_000];
    let began = Instant::now();
    assert_eq!(conn.args(&[b"SET", b"v", &value]), Value::Simple("OK".into()));
    assert!(began.elapsed() > Duration::from_millis(1500), "{:?} for 30 MB", began.elapsed());
    assert_eq!(conn.cmd("STRLEN v"), Value::Int(30_000_000));
}

/// An address from which connections are passed on to this one, whatever is sent there at 12 MB a second at most.
fn slow_way_to(addr: &str) -> String {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // What lies in the system's buffers does not look as if it were on its way.
    listener.set_recv_buffer_size(64 << 10).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(16).unwrap();
    let listener = TcpListener::from(listener);
    let (way, addr) = (listener.local_addr().unwrap().to_string(), addr.to_owned());
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(&addr) else { return };
            for (from, to, rate) in [(&near, &far, 12e6), (&far, &near, f64::INFINITY)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || pass_on(from, to, rate));
            }
        }
    });
    way
}

/// Passes on what comes, so many bytes a second at most, until either side ends.
fn pass_on(mut from: TcpStream, mut to: TcpStream, rate: f64) {
    let (mut buf, mut passed, began) = (vec![0; 64 << 10], 0, Instant::now());
    while let Ok(count @ 1..) = from.read(&mut buf) {
        passed += count;
        let due = began + Duration::from_secs_f64(passed as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&buf[..count]).is_err() {
            break;
        }
    }
    for side in [from, to] {
        // Maybe it has ended already.
        side.shutdown(Shutdown::Both).ok();
    }
}

#[test]
fn a_refused_transaction_leaves_the_database_of_the_link_alone() {
    let node = Server::node(&["--maxmemory", "2mb", "--maxmemory-policy", "noeviction"]);
    let coordinator = Server::coordinator(&[&node], &["--workers", "1"]);
    let (mut one, mut two) = (coordinator.conn(), coordinator.conn());
    let ok = || Value::Simple("OK".into());
    assert_eq!(one.cmd("SET here 0"), ok());
    while one.args(&[b"APPEND", b"fill", &[b'x'; 50_000]]) != Value::Error(OOM.into()) {}
    for line in ["MULTI", "GET here", "SELECT 5", "SET there 5"] {
        one.cmd(line);
    }
    assert!(matches!(one.cmd("EXEC"), Value::Error(text) if text.starts_with("EXECABORT")));
    assert_eq!(two.cmd("SELECT 5"), ok());
    assert_eq!(two.cmd("GET here"), Value::Null);
    assert_eq!(two.cmd("FLUSHDB"), ok());
    assert_eq!(two.cmd("SELECT 0"), ok());
    assert_eq!(two.cmd("GET here"), Value::Bulk(b"0".to_vec()));
}

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
