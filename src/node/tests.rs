//! Nodes of a cluster, whose fences and table are made by hand, asked over TCP.

mod large;
mod redis;

use super::Node;
use crate::cluster::{Fence, INTERNAL_USER, Local, Member, NodeId, Secret, Table, View, now_ms};
use crate::config::{Config, PARAMS};
use crate::server::{self, Listeners, Role, Running, Server};
use crate::store::{Policy, Store};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const ALL: Range<u16> = 0..16_384;
const BETWEEN_FOO: &str = "-TRYAGAIN Slot 12182 is between two nodes; nothing was executed";
const DOWN: &str = "-CLUSTERDOWN Hash slot not served";
const NO_LEASE: &str = "-CLUSTERDOWN this node holds no lease just now; nothing was executed";

/// A node that is a member of a cluster.
struct Peer {
    running: Option<Running>,
    local: Arc<Local>,
}

impl Peer {
    fn start(id: u8, workers: usize, settings: &[(&str, &str)]) -> Self {
        let config = Config::default();
        for &(name, value) in settings {
            let param = PARAMS.iter().find(|param| param.name == name).unwrap();
            config.set(param, value).unwrap();
        }
        let listeners = Listeners::bind("0.0.0.0:0", &config).unwrap();
        let address = format!("127.0.0.1:{}", listeners.addr.port());
        let secret = Secret::of(b"key");
        let (local, _) = Local::new(NodeId([id; 20]), address, secret, Some(workers));
        let store = Arc::new(Store::new(0, Policy::AllkeysLru));
        let server = Server::new(Role::Node, config, Some(store.clone()), workers);
        server.cluster.set(local.clone()).ok().unwrap();
        let shared = server.clone();
        let make = move |worker| Node::new(store.clone(), workers, worker, shared.local());
        let running = Some(server::start(server, listeners, make).unwrap());
        Peer { running, local }
    }

    /// One of one worker that has all slots, and a lease that does not end.
    fn alone() -> Self {
        let member = Peer::start(1, 1, &[]);
        member.tell(&table(&[(&member, ALL)]));
        member.serve(ALL, u64::MAX);
        member
    }

    fn serve(&self, slots: Range<u16>, until_ms: u64) {
        let fence = Arc::new(Fence::for_tests(7, slots, until_ms));
        self.local.fences.as_ref().unwrap().publish(&fence);
    }

    fn tell(&self, table: &Table) {
        let view = View { table: table.clone(), ..View::default() };
        self.local.view.send_replace(Arc::new(view));
    }

    fn conn(&self) -> Conn {
        Conn::to(&self.local.address)
    }

    /// A coordinator's link.
    fn link(&self) -> Conn {
        let mut conn = self.conn();
        let password = Secret::of(b"key").password().to_owned();
        assert_eq!(conn.cmd(&format!("AUTH {INTERNAL_USER} {password}")), "+OK");
        conn
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.server.stop();
            running.join();
        }
    }
}

fn table(owners: &[(&Peer, Range<u16>)]) -> Table {
    let mut table = Table { epoch: 7, ..Table::default() };
    for (member, slots) in owners {
        let (id, address) = (member.local.id, member.local.address.clone());
        let number = table.admit(Member { id, address, capacity: 1 });
        table.set_owner(slots.clone(), Some(number));
    }
    table
}

struct Conn(TcpStream, Vec<u8>);

impl Conn {
    fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Conn(stream, Vec::new())
    }

    fn send(&mut self, lines: &[&str]) {
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// A line of a reply; nothing when the connection is closed.
    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.1.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            let mut bytes = [0; 4096];
            match self.0.read(&mut bytes) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                read => self.1.extend_from_slice(&bytes[..read.unwrap()]),
            }
        }
    }

    /// The first line of a reply.
    fn cmd(&mut self, line: &str) -> String {
        self.send(&[line]);
        self.line().unwrap_or_else(|| panic!("{line}: closed"))
    }

    /// A reply that is a text.
    fn text(&mut self, line: &str) -> String {
        let length: usize = self.cmd(line)[1..].parse().unwrap();
        while self.1.len() < length + 2 {
            let mut bytes = [0; 4096];
            let read = self.0.read(&mut bytes).unwrap();
            self.1.extend_from_slice(&bytes[..read]);
        }
        let text: Vec<u8> = self.1.drain(..length + 2).collect();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    /// The lines up to this one, with spaces between them.
    fn until(&mut self, last: &str) -> String {
        let mut lines = vec![self.line().unwrap()];
        while lines.last().is_some_and(|line| line != last) {
            lines.push(self.line().unwrap());
        }
        lines.join(" ")
    }

    fn expect(&mut self, pairs: &[(&str, &str)]) {
        for (line, want) in pairs {
            assert_eq!(self.cmd(line), *want, "{line}");
        }
    }
}

#[test]
fn clients_are_told_where_a_slot_is() {
    let (one, two) = (Peer::start(1, 2, &[]), Peer::start(2, 2, &[]));
    let mut conn = one.conn();
    // Nothing is known: there is no lease, nor a table.
    conn.expect(&[("PING", "+PONG"), ("GET bar", DOWN)]);
    let mut shared = table(&[(&one, 0..8000), (&two, 8000..16_384)]);
    one.tell(&shared);
    conn.expect(&[("GET bar", DOWN), ("PING", "+PONG")]);
    one.serve(0..8000, u64::MAX);
    // foo is in slot 12182, bar in 5061.
    let moved = format!("-MOVED 12182 {}", two.local.address);
    let cross = "-CROSSSLOT Keys in request don't hash to the same slot";
    conn.expect(&[
        ("SET bar 1", "+OK"),
        ("GET foo", &moved),
        ("OBJECT ENCODING foo", &moved),
        ("MGET bar foo", cross),
        ("MGET foo bar", cross),
        ("MSET foo 1 {foo}b 2", &moved),
        ("MSET bar 1 {bar}b 2", "+OK"),
        ("DEL bar {bar}b", ":2"),
        ("ASKING", "+OK"),
        ("GET foo", &moved),
    ]);
    // Queueing what belongs to another node spoils the transaction.
    conn.expect(&[
        ("MULTI", "+OK"),
        ("SET bar 1", "+QUEUED"),
        ("SET foo 1", &moved),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("EXISTS bar", ":0"),
        ("MULTI", "+OK"),
        ("SET bar 1", "+QUEUED"),
        ("SET baz 1", "+QUEUED"),
        ("EXEC", cross),
        ("EXISTS bar", ":0"),
    ]);
    // The slot goes away before EXEC: all of it is refused, and the transaction is over.
    conn.expect(&[("MULTI", "+OK"), ("SET bar 1", "+QUEUED"), ("INCR bar", "+QUEUED")]);
    one.serve(6000..8000, u64::MAX);
    let between = "-TRYAGAIN Slot 5061 is between two nodes; nothing was executed";
    conn.expect(&[("EXEC", between), ("EXEC", "-ERR EXEC without MULTI")]);
    shared.epoch += 1;
    shared.set_owner(0..6000, None);
    one.tell(&shared);
    conn.expect(&[("SET bar 1", between), ("PING", "+PONG")]);
    // A table that this node does not yet go by.
    one.tell(&table(&[(&one, ALL)]));
    conn.expect(&[("SET foo 1", BETWEEN_FOO)]);
    one.serve(ALL, 0);
    conn.expect(&[("SET foo 1", DOWN)]);
    one.serve(ALL, u64::MAX);
    conn.expect(&[("SET foo 1", "+OK"), ("MULTI", "+OK"), ("APPEND foo 2", "+QUEUED")]);
    conn.expect(&[("EXEC", "*1"), ("DBSIZE", ":2")]);
}

#[test]
fn clients_have_one_database_and_coordinators_all() {
    let member = Peer::alone();
    let not_allowed = "-ERR SELECT is not allowed in cluster mode";
    let copy = "-ERR Copying to another database is not allowed in cluster mode";
    member.conn().expect(&[
        ("SELECT 0", "+OK"),
        ("SELECT 1", not_allowed),
        ("SELECT 99", not_allowed),
        ("SELECT x", "-ERR value is not an integer or out of range"),
        ("SET a 1", "+OK"),
        ("COPY a {a}b DB 0", ":1"),
        ("COPY a {a}b DB 1", copy),
        ("COPY a {a}b DB 99", "-ERR DB index is out of range"),
        ("MULTI", "+OK"),
        ("SELECT 1", "+QUEUED"),
        ("EXEC", "*1"),
    ]);
    let mut link = member.link();
    link.expect(&[
        ("SELECT 15", "+OK"),
        ("SELECT 16", "-ERR DB index is out of range"),
        ("MSET a 1 b 2 c 3", "+OK"),
        ("COPY a a DB 1", ":1"),
        ("DBSIZE", ":3"),
        // Who becomes an ordinary client again is in the first database.
        ("AUTH default x", "+OK"),
        ("DBSIZE", ":2"),
        ("SELECT 15", not_allowed),
    ]);
}

#[test]
fn coordinators_log_in() {
    let member = Peer::alone();
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    let mut conn = member.conn();
    let password = member.local.secret.password().to_owned();
    let not_internal = "-ERR LARDER EPOCH is for coordinators that joined the cluster of this node";
    conn.expect(&[("ACL WHOAMI", "$7"), ("PING", "default")]);
    assert_eq!(conn.line().unwrap(), "+PONG");
    conn.expect(&[
        (&format!("AUTH {INTERNAL_USER} {password}x"), wrong),
        (&format!("HELLO 3 AUTH {INTERNAL_USER} x"), wrong),
        (&format!("AUTH other {password}"), wrong),
        ("LARDER EPOCH 3", not_internal),
    ]);
    assert!(conn.cmd(&format!("HELLO 3 AUTH {INTERNAL_USER} {password}")).starts_with('%'));
    while conn.line().unwrap() != "modules" {}
    assert_eq!(conn.line().unwrap(), "*0");
    conn.expect(&[("ACL WHOAMI", "$18"), ("LARDER EPOCH 3", INTERNAL_USER)]);
    assert_eq!(conn.line().unwrap(), "+OK");
    conn.expect(&[
        ("LARDER EPOCH x", "-ERR value is not an integer or out of range"),
        ("LARDER EPOCH -1", "-ERR value is not an integer or out of range"),
        // Keys of several slots, on this node.
        ("MSET foo 1 bar 2", "+OK"),
        ("DEL foo bar", ":2"),
    ]);
    let table = conn.cmd("LARDER TABLE hash coordinator");
    assert!(table.starts_with("-ERR this node is a member of a cluster that forms"), "{table}");
    conn.expect(&[("RESET", "+RESET"), ("LARDER EPOCH 3", not_internal)]);
}

#[test]
fn links_are_known_until_they_end() {
    let member = Peer::alone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let wait = |epoch| {
        let limit = Duration::from_millis(50);
        let all = async { tokio::time::timeout(limit, member.local.all_links_at(epoch)).await };
        runtime.block_on(all).is_ok()
    };
    let (mut one, mut two, mut three) = (member.link(), member.link(), member.link());
    one.expect(&[("LARDER EPOCH 3", "+OK")]);
    two.expect(&[("LARDER EPOCH 4", "+OK")]);
    three.expect(&[("LARDER EPOCH 5", "+OK")]);
    assert!(wait(3) && !wait(4));
    one.expect(&[("LARDER EPOCH 5", "+OK")]);
    assert!(wait(4) && !wait(5));
    two.expect(&[("RESET", "+RESET")]);
    assert!(wait(5) && !wait(6));
    drop((one, three));
    let gone = std::time::Instant::now();
    while !wait(6) {
        assert!(gone.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn coordinators_are_told_that_nothing_was_executed() {
    let member = Peer::start(1, 1, &[]);
    let mut link = member.link();
    link.expect(&[("SET foo 1", NO_LEASE)]);
    member.serve(0..8000, u64::MAX);
    let other = Peer::start(2, 1, &[]);
    member.tell(&table(&[(&member, 0..8000), (&other, 8000..16_384)]));
    link.expect(&[
        ("SET foo 1", BETWEEN_FOO),
        ("MSET bar 1 foo 1", BETWEEN_FOO),
        ("EXISTS bar", ":0"),
        // Refused at EXEC only, which is what they look at.
        ("MULTI", "+OK"),
        ("SET bar 1", "+QUEUED"),
        ("SET foo 1", "+QUEUED"),
        ("EXEC", BETWEEN_FOO),
        ("EXISTS bar", ":0"),
    ]);
    member.serve(0..8000, 0);
    link.expect(&[("MULTI", "+OK"), ("SET bar 1", "+QUEUED"), ("EXEC", NO_LEASE)]);
}

/// The lease ends while requests are being executed: the client must not learn what became of them.
#[test]
fn nothing_is_replied_after_the_lease() {
    for workers in [1, 2] {
        let member = Peer::start(1, workers, &[]);
        let mut conn = member.conn();
        // In a transaction nothing leaves the fence; without one, what takes long ends a part of the batch.
        for lines in [
            &["MULTI", "SET a 1", "DEBUG SLEEP 0.4", "GET a", "EXEC", "PING"][..],
            &["SET a 1", "DEBUG SLEEP 0.4", "GET a", "PING"],
        ] {
            member.serve(ALL, now_ms() + 200);
            let mut doomed = member.conn();
            doomed.send(lines);
            let first = doomed.line();
            if lines[0] == "MULTI" {
                assert_eq!(first, None);
            } else {
                // What was executed in time is replied; what comes later is refused.
                assert_eq!(first.as_deref(), Some("+OK"));
                assert_eq!(doomed.line().as_deref(), Some("+OK"));
                assert_eq!(doomed.line().as_deref(), Some(DOWN));
                assert_eq!(doomed.line().as_deref(), Some("+PONG"));
            }
            conn.expect(&[("PING", "+PONG"), ("GET a", DOWN)]);
        }
        // A fence that is published meanwhile waits for what began under the old one.
        member.serve(ALL, u64::MAX);
        conn.send(&["MULTI", "SET a 1", "DEBUG SLEEP 0.2", "SET a 2", "EXEC", "GET a"]);
        std::thread::sleep(Duration::from_millis(50));
        member.serve(0..0, u64::MAX);
        let replies: Vec<String> = (0..10).map(|_| conn.line().unwrap()).collect();
        assert_eq!(replies[4..], ["*3", "+OK", "+OK", "+OK", "$1", "2"]);
        conn.expect(&[("GET a", DOWN)]);
    }
}

/// What takes long and is about no key does not keep another fence from being published.
#[test]
fn long_commands_do_not_hold_the_fence() {
    let member = Peer::alone();
    let mut conn = member.conn();
    conn.send(&["SET a 1", "DEBUG SLEEP 0.5", "GET a"]);
    std::thread::sleep(Duration::from_millis(100));
    let start = std::time::Instant::now();
    member.serve(ALL, u64::MAX);
    assert!(start.elapsed() < Duration::from_millis(300));
    let replies: Vec<String> = (0..4).map(|_| conn.line().unwrap()).collect();
    assert_eq!(replies, ["+OK", "+OK", "$1", "1"]);
}

#[test]
fn clients_of_other_machines_may_log_in_as_coordinators_only() {
    let Some(address) = other_address() else { return };
    let denied = format!("-{}", crate::server::DENIED.text());
    let member = Peer::alone();
    let port = member.local.address.rsplit_once(':').unwrap().1.to_owned();
    let address = format!("{address}:{port}");
    let password = member.local.secret.password().to_owned();
    let mut conn = Conn::to(&address);
    conn.expect(&[
        ("PING", &denied),
        ("GET a", &denied),
        ("CLUSTER NODES", &denied),
        ("HELLO 3", &denied),
        ("AUTH default x", &denied),
        ("HELLO 3 AUTH default x", &denied),
        ("RESET", "+RESET"),
        ("PING", &denied),
        (&format!("AUTH {INTERNAL_USER} {password}"), "+OK"),
        ("PING", "+PONG"),
        ("RESET", "+RESET"),
        ("PING", &denied),
    ]);
    assert!(denied.starts_with("-DENIED this server has no password"));
    // With a password they are clients like others.
    let member = Peer::start(2, 1, &[("requirepass", "sesame")]);
    let port = member.local.address.rsplit_once(':').unwrap().1.to_owned();
    let mut conn = Conn::to(&address.replace(address.rsplit_once(':').unwrap().1, &port));
    conn.expect(&[
        ("PING", "-NOAUTH Authentication required."),
        ("AUTH sesame", "+OK"),
        ("PING", "+PONG"),
        (&format!("AUTH {INTERNAL_USER} {password}"), "+OK"),
        ("LARDER EPOCH 1", "+OK"),
    ]);
}

/// An address of this machine that is not loopback, if it has one.
fn other_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the system chooses the address that it would send from.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().unwrap().ip();
    (!ip.is_loopback()).then(|| ip.to_string())
}
