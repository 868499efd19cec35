//! The world: hosts, the processes on them, a network, a disk, and what happens when.

use super::super::rules::Rules;
use super::super::{
    Authority, FileAuthority, HURRY_MS, Heartbeat, Identity, NodeId, STEP_SLOTS, TICK_MS, Table,
};
use super::Message;
use super::coordinator::Coordinator;
use super::fault::Fault;
use super::history::Op;
use super::node::{Node, Reply, Request};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

/// What kind of world, and what happens in it.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) nodes: usize,
    pub(super) clients: usize,
    pub(super) keys: usize,
    pub(super) duration_us: u64,
    /// So long before the end nothing goes wrong any more.
    pub(super) quiet_us: u64,
    /// How long a client rests between requests.
    pub(super) pause_us: Range<u64>,
    /// How long a message takes when nothing is wrong, at most.
    pub(super) hop_us: u64,
    /// Clocks are so many parts in a million too fast or too slow, at most.
    pub(super) clock_error: u64,
    /// How long after a node that left another process comes.
    pub(super) restart_us: u64,
    /// Messages of membership may be lost, doubled and late, and writing fail.
    pub(super) faults: bool,
    /// How long the disk takes to write a table, at most.
    pub(super) disk_us: u64,
    /// Requests may be held up within a node.
    pub(super) stalls: bool,
    pub(super) rules: Rules,
    /// The lease is looked at again before a reply: a rule that the node's server keeps.
    pub(super) recheck: bool,
    /// A table is on disk before it is in force: a rule that the authority's driver keeps.
    pub(super) durable: bool,
}

/// Something that crosses the network.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    Control(Message),
    Request(Request),
    Reply(usize, Reply),
}

/// Something that happens. To a process that is frozen it happens when it thaws.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Deliver {
        process: usize,
        packet: Packet,
    },
    Closed {
        process: usize,
        host: usize,
    },
    Tick {
        process: usize,
    },
    /// A heartbeat out of turn.
    Wake {
        process: usize,
    },
    Execute {
        process: usize,
        op: usize,
    },
    Finish {
        process: usize,
        op: usize,
    },
    Settle {
        process: usize,
        epoch: u64,
    },
    Written {
        process: usize,
    },
    Route {
        process: usize,
        op: usize,
    },
    Timeout {
        process: usize,
        op: usize,
    },
    Ask {
        client: usize,
    },
    Fault(Fault),
}

impl Event {
    fn process(&self) -> Option<usize> {
        match *self {
            Event::Deliver { process, .. }
            | Event::Closed { process, .. }
            | Event::Tick { process }
            | Event::Wake { process }
            | Event::Execute { process, .. }
            | Event::Finish { process, .. }
            | Event::Settle { process, .. }
            | Event::Written { process }
            | Event::Route { process, .. } => Some(process),
            Event::Timeout { .. } | Event::Ask { .. } | Event::Fault(_) => None,
        }
    }
}

/// One life of a node or a coordinator.
pub(super) struct Process {
    pub(super) host: usize,
    pub(super) is_alive: bool,
    pub(super) frozen_until: u64,
    pub(super) node: Option<Node>,
    pub(super) coordinator: Option<Coordinator>,
}

/// Hosts 0 and 1 have coordinators, 0 the authority also; the others have nodes.
pub(super) struct World {
    pub(super) config: Config,
    pub(super) rng: fastrand::Rng,
    /// Microseconds since the begin.
    pub(super) now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    next_event: u64,
    pub(super) processes: Vec<Process>,
    /// The process of each host.
    pub(super) current: Vec<Option<usize>>,
    /// For each host, how wrong its clock goes, in parts in a million above -1,000,000, and where it began.
    clocks: Vec<(u64, u64)>,
    boots: u64,
    /// Until when nothing gets from one host to another.
    pub(super) cuts: BTreeMap<(usize, usize), u64>,
    /// Until when messages of membership are late, and how much at most.
    pub(super) slow: (u64, u64),
    pub(super) disk_max_us: u64,
    /// Every state of the epoch file, and what is being written.
    pub(super) files: Vec<Table>,
    pub(super) writing: Option<Table>,
    /// The newest table that was in force.
    pub(super) newest: u64,
    pub(super) refused_at: Option<u64>,
    /// Whom nothing happens to any more.
    pub(super) trusted: Option<usize>,
    /// The slot of each key.
    pub(super) slots: Vec<u16>,
    pub(super) ops: Vec<Op>,
    step_slots: u16,
    checks_wire: bool,
}

impl World {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let step_slots = if config.faults { rng.u16(256..4096) } else { STEP_SLOTS };
        let hosts = config.nodes + 2;
        let error = config.clock_error;
        let clock = |rng: &mut fastrand::Rng| {
            (1_000_000 - error + rng.u64(0..=2 * error), rng.u64(0..1 << 40))
        };
        let clocks = (0..hosts).map(|_| clock(&mut rng)).collect();
        let slots = (0..config.keys).map(|_| rng.u16(0..16384)).collect();
        let mut world = World {
            rng,
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next_event: 0,
            processes: Vec::new(),
            current: vec![None; hosts],
            clocks,
            boots: 0,
            cuts: BTreeMap::new(),
            slow: (0, 1),
            disk_max_us: config.disk_us,
            files: vec![Table::default()],
            writing: None,
            newest: 0,
            refused_at: None,
            trusted: None,
            slots,
            ops: Vec::new(),
            step_slots,
            checks_wire: seed.is_multiple_of(16),
            config,
        };
        (0..hosts).for_each(|host| world.start(host));
        // The cluster takes a little more than a second to form.
        let clients = 0..world.config.clients;
        clients.for_each(|client| world.at(1_500_000 + client as u64, Event::Ask { client }));
        world
    }

    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.queue.push(Reverse((time, self.next_event)));
        self.events.insert(self.next_event, event);
        self.next_event += 1;
    }

    pub(super) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Lets time pass until all is over.
    pub(super) fn run(&mut self) {
        while let Some(Reverse((time, number))) = self.queue.pop() {
            if time > self.config.duration_us {
                return;
            }
            self.now = time;
            if let Some(event) = self.events.remove(&number) {
                self.happen(event);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        if let Some(at) = event.process() {
            let process = &self.processes[at];
            if !process.is_alive {
                self.drop_event(&event);
                return;
            }
            if process.frozen_until > self.now {
                self.at(process.frozen_until, event);
                return;
            }
        }
        match event {
            Event::Deliver { process, packet } => match packet {
                Packet::Control(message) if self.processes[process].node.is_none() => {
                    self.control(process, message)
                }
                Packet::Control(Message::Grant(grant)) => {
                    self.with_lease(process, |lease, now_ms| lease.grant(now_ms, &grant));
                }
                Packet::Control(Message::News(epoch)) => {
                    self.with_lease(process, |lease, now_ms| lease.news(now_ms, epoch));
                }
                Packet::Control(Message::Heartbeat(_)) => {}
                Packet::Request(request) => self.request(process, request),
                Packet::Reply(op, reply) => self.replied(process, op, reply),
            },
            Event::Closed { process, host } => self.closed(process, host),
            Event::Tick { process } => {
                self.tick(process);
                self.after(TICK_MS * 1000, Event::Tick { process });
            }
            Event::Wake { process } => self.tick(process),
            Event::Execute { process, op } => self.execute(process, op, 0),
            Event::Finish { process, op } => self.finish(process, op),
            Event::Settle { process, epoch } => self.settle(process, epoch),
            Event::Written { process } => self.written(process),
            Event::Route { process, op } => self.route(process, op),
            Event::Timeout { process, op } => self.timeout(process, op),
            Event::Ask { client } => self.ask(client),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    fn tick(&mut self, process: usize) {
        match self.processes[process].node {
            Some(_) => self.with_lease(process, |lease, now_ms| lease.tick(now_ms)),
            None => self.coordinate(process),
        }
    }

    /// A process wants to be woken at some time by its clock.
    pub(super) fn wake(&mut self, process: usize, next_ms: u64) {
        let wait_ms = next_ms.saturating_sub(self.local_ms(process));
        if (1..=HURRY_MS).contains(&wait_ms) {
            self.after(wait_ms * 1000, Event::Wake { process });
        }
    }

    /// It was for a process that is no more.
    fn drop_event(&mut self, event: &Event) {
        match event {
            Event::Deliver { packet: Packet::Request(request), process } => {
                self.over(request.op);
                // The system says that nobody listens.
                let (process, host) = (request.from, self.processes[*process].host);
                self.after(self.config.hop_us, Event::Closed { process, host });
            }
            Event::Written { .. } => {
                // The last thing that it wrote may be on disk, or not.
                let table = self.writing.take();
                if self.rng.bool() {
                    self.files.extend(table);
                }
            }
            _ => {}
        }
    }

    fn lose(&mut self, packet: &Packet) {
        if let Packet::Request(request) = packet {
            self.over(request.op);
        }
    }

    /// An operation has no effect from now on, other than the one it had.
    pub(super) fn over(&mut self, op: usize) {
        let now = self.now;
        self.ops[op].over = self.ops[op].over.min(now);
    }

    pub(super) fn local_ms(&self, process: usize) -> u64 {
        let (rate, begin) = self.clocks[self.processes[process].host];
        (self.now * rate / 1_000_000 + begin) / 1000
    }

    /// Sends something from one process to another: it may come late, twice, in another order, or not at all.
    pub(super) fn send(&mut self, from: usize, to: usize, packet: Packet) {
        let is_sure = self.trusted == Some(from);
        let (from, to_host) = (self.processes[from].host, self.processes[to].host);
        let mut delay = if from == to_host { 1 } else { self.rng.u64(50..=self.config.hop_us) };
        if let Some(&until) = self.cuts.get(&(from, to_host))
            && until > self.now
            && !is_sure
        {
            // What is sent again when the cut is over, or not because the connection was closed.
            if self.rng.bool() {
                return self.lose(&packet);
            }
            delay += until - self.now;
        }
        let packet = match packet {
            Packet::Control(message) => {
                if self.config.faults && from != to_host && !is_sure {
                    let (until, late) = self.slow;
                    if until > self.now && self.rng.bool() {
                        delay += self.rng.u64(0..late);
                    }
                    match self.rng.u8(..) {
                        0..4 => return,
                        4..12 => delay += self.rng.u64(0..900_000),
                        _ => {}
                    }
                    if self.rng.u8(..) < 4 {
                        let later = delay + self.rng.u64(0..900_000);
                        let packet = Packet::Control(message.clone());
                        self.after(later, Event::Deliver { process: to, packet });
                    }
                }
                Packet::Control(self.by_wire(message))
            }
            other => other,
        };
        self.after(delay, Event::Deliver { process: to, packet });
    }

    /// In some worlds, messages are what comes out of their serialized form.
    fn by_wire(&self, message: Message) -> Message {
        if !self.checks_wire {
            return message;
        }
        let text = serde_json::to_vec(&message).expect("it can be written");
        let back = serde_json::from_slice(&text).expect("it can be read");
        assert_eq!(message, back);
        back
    }

    pub(super) fn tell_coordinators(&mut self, process: usize, heartbeat: Heartbeat) {
        for host in 0..2 {
            if let Some(to) = self.current[host] {
                self.send(process, to, Packet::Control(Message::Heartbeat(heartbeat.clone())));
            }
        }
    }

    pub(super) fn id(&self, host: usize) -> NodeId {
        NodeId([host as u8; 20])
    }

    pub(super) fn host(&self, id: NodeId) -> usize {
        id.0[0].into()
    }

    /// All processes that go by a name.
    pub(super) fn processes_of(&self, id: NodeId) -> Vec<usize> {
        let host = self.host(id);
        let is_one = |&at: &usize| self.processes[at].host == host && self.processes[at].is_alive;
        (0..self.processes.len()).filter(is_one).collect()
    }

    /// A new process on a host.
    pub(super) fn start(&mut self, host: usize) {
        self.boots += 1;
        let (boot, rules, at) = (self.boots, self.config.rules, self.processes.len());
        let (frozen_until, is_alive) = (0, true);
        self.processes.push(Process {
            host,
            is_alive,
            frozen_until,
            node: None,
            coordinator: None,
        });
        let now_ms = self.local_ms(at);
        if host >= 2 {
            self.processes[at].node = Some(Node::new(self.id(host), boot, 1 << 30, now_ms, rules));
        } else {
            let identity = Identity { id: self.id(host), boot, address: "coordinator".to_owned() };
            let authority = (host == 0).then(|| {
                let file = self.files.last().cloned().unwrap_or_default();
                let decider = FileAuthority::new(file, self.rng.u64(..));
                Authority::with_rules(decider, self.step_slots, now_ms, rules)
            });
            self.processes[at].coordinator = Some(Coordinator::new(identity, now_ms, authority));
        }
        self.current[host] = Some(at);
        let delay = self.rng.u64(1..1000);
        self.after(delay, Event::Tick { process: at });
    }

    /// The end of a host's process.
    pub(super) fn kill(&mut self, host: usize) {
        if let Some(at) = self.current[host].filter(|&at| self.trusted != Some(at)) {
            self.current[host] = None;
            self.end(at);
            self.close_connections(host);
        }
    }

    /// The end of a process.
    pub(super) fn end(&mut self, at: usize) {
        match self.processes[at].node {
            Some(_) => self.forget_requests(at),
            None => self.forget_clients(at),
        }
        self.processes[at].is_alive = false;
    }

    /// Coordinators notice that a host's connections are closed, unless they are cut off.
    pub(super) fn close_connections(&mut self, host: usize) {
        for process in [self.current[0], self.current[1]].into_iter().flatten() {
            let is_cut = self
                .cuts
                .get(&(host, self.processes[process].host))
                .is_some_and(|&until| until > self.now);
            if host >= 2 && !is_cut {
                let delay = self.rng.u64(500..25_000);
                self.after(delay, Event::Closed { process, host });
            }
        }
    }

    pub(super) fn freeze(&mut self, process: usize, us: u64) {
        if self.trusted == Some(process) {
            return;
        }
        let until = self.now + us;
        let frozen = &mut self.processes[process].frozen_until;
        *frozen = until.max(*frozen);
        let old_clock_ms = self.rng.bool().then(|| self.local_ms(process));
        if let Some(node) = &mut self.processes[process].node {
            node.old_clock_ms = old_clock_ms;
        }
    }
}
