//! A coordinator of which a test is the membership, its nodes, and its clients.

use super::fake::{Fake, World};
use crate::cluster::{Local, Member, NodeId, Order, Route, Secret, SlotTable, Table};
use crate::config::{Config, Id, PARAMS};
use crate::coordinator::Coordinator;
use crate::resp::Framer;
use crate::server::{self, Listeners, Role, Running, Server};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long nodes may be silent, and requests may wait.
pub(super) const PATIENCE: Duration = Duration::from_millis(400);

pub(super) struct Bench {
    pub(super) world: Arc<World>,
    pub(super) fakes: Vec<Arc<Fake>>,
    /// The table of which a part is published.
    pub(super) table: Table,
    local: Arc<Local>,
    _orders: mpsc::Receiver<Order>,
    running: Option<Running>,
}

pub(super) fn id(number: usize) -> NodeId {
    NodeId([number as u8; 20])
}

impl Bench {
    /// So many nodes, none of them a member, and a coordinator with so many workers.
    pub(super) fn start(nodes: usize, workers: usize) -> Self {
        let world = Arc::<World>::default();
        let fakes = (0..nodes).map(|number| Fake::start(number, &world)).collect();
        let config = Config::default();
        for (id, value) in
            [(Id::BackendTimeoutMs, PATIENCE.as_millis()), (Id::ConnectTimeoutMs, 10_000)]
        {
            config.set(&PARAMS[id as usize], &value.to_string()).unwrap();
        }
        let listeners = Listeners::bind("127.0.0.1:0", &config).unwrap();
        let server = Server::new(Role::Coordinator, config, None, workers);
        let (local, orders) =
            Local::new(id(99), listeners.addr.to_string(), Secret::of(b"key"), None);
        server.cluster.set(local.clone()).ok().unwrap();
        let (part, shared) = (local.clone(), server.clone());
        let make = move |worker| Coordinator::of_cluster(&part, &shared, worker);
        let running = Some(server::start(server, listeners, make).unwrap());
        Bench { world, fakes, table: Table::default(), local, _orders: orders, running }
    }

    /// From now on nodes may be silent, and requests may wait, as long as this.
    pub(super) fn allow(&self, patience: Duration) {
        let server = &self.running.as_ref().unwrap().server;
        let param = &PARAMS[Id::BackendTimeoutMs as usize];
        server.config.set(param, &patience.as_millis().to_string()).unwrap();
    }

    /// All nodes are members, and the first one owns everything.
    pub(super) fn with_members(nodes: usize, workers: usize) -> Self {
        let mut bench = Bench::start(nodes, workers);
        for fake in &bench.fakes {
            let (id, address) = (id(bench.table.members.len()), fake.addr.clone());
            bench.table.admit(Member { id, address, capacity: 1 });
        }
        bench.publish(&[(0..16384, Some(0))]);
        bench.fakes.iter().for_each(|fake| drop(fake.link(workers - 1)));
        bench
    }

    /// Waits until the coordinator goes by the table.
    pub(super) fn settle(&self) {
        self.fakes.iter().for_each(|fake| fake.all_links_at(self.table.epoch));
    }

    /// Publishes the next table, in which these slots have other owners.
    pub(super) fn publish(&mut self, slots: &[(std::ops::Range<u16>, Option<u16>)]) {
        self.table.epoch += 1;
        for (range, owner) in slots {
            self.table.set_owner(range.clone(), *owner);
        }
        self.publish_with(&[]);
    }

    /// Publishes the table once more; these nodes are down.
    pub(super) fn publish_with(&self, down: &[NodeId]) {
        let route = |slot| match self.table.slots.get(slot).owner {
            Some(number) => Route::To(number),
            None if self.table.members.is_empty() => Route::Down,
            None => Route::Wait,
        };
        let table = SlotTable::of(&self.table, |id| down.contains(&id), route);
        self.local.routes.send_replace(Arc::new(table));
    }

    /// Publishes a table in which the slot of a key has another owner.
    pub(super) fn give(&mut self, key: &str, owner: Option<u16>) {
        let slot = crate::cluster::slot_of(key.as_bytes());
        self.publish(&[(slot..slot + 1, owner)]);
    }

    /// The table's epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.table.epoch
    }

    pub(super) fn client(&self) -> Client {
        let addr = self.running.as_ref().unwrap().server.addr().unwrap();
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buf: Vec::new(), framer: Framer::default() }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.server.stop();
            running.join();
        }
    }
}

/// A client.
pub(super) struct Client {
    stream: TcpStream,
    buf: Vec<u8>,
    framer: Framer,
}

impl Client {
    /// Sends lines, each a request.
    pub(super) fn send(&mut self, lines: &[&str]) {
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// The next reply, with spaces for line ends.
    pub(super) fn reply(&mut self) -> String {
        self.reply_within(Duration::from_secs(20)).expect("a reply")
    }

    /// The next reply, if it comes so soon.
    pub(super) fn reply_within(&mut self, patience: Duration) -> Option<String> {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        loop {
            if let Some(length) = self.framer.frame(&self.buf).unwrap() {
                let reply: Vec<u8> = self.buf.drain(..length).collect();
                return Some(String::from_utf8(reply).unwrap().trim_end().replace("\r\n", " "));
            }
            let mut bytes = [0; 65536];
            match self.stream.read(&mut bytes) {
                Ok(0) => panic!("the connection is closed"),
                Ok(read) => self.buf.extend_from_slice(&bytes[..read]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends a request and answers the reply to it.
    pub(super) fn ask(&mut self, line: &str) -> String {
        self.send(&[line]);
        self.reply()
    }
}
