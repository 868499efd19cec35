//! What node and coordinator share: listener, workers, connections, sessions, the client registry, and the drain at
//! the end. A role is a [`Service`]: what it does with a request that has passed the checks.

mod batch;
mod clients;
mod connection;
mod dispatch;
mod input;
mod late;
mod listener;
mod monitors;
mod replies;
mod session;
mod stream;
mod timers;
mod worker;

pub use clients::{Client, Clients};
pub(crate) use dispatch::DENIED;
pub use dispatch::{Call, Outcome, Service};
pub use listener::Listeners;
pub(crate) use listener::bind_tcp;
pub use monitors::Monitors;
pub use replies::Replies;
pub use session::{Queue, ReplyMode, Session};
pub(crate) use stream::Stream;
pub(crate) use timers::{sleep, timeout};
pub use worker::{Door, Running, start};

/// Whether an address can be made out at all: it has a port, and one that is a number.
///
/// # Errors
/// What is wrong with it. A name that cannot be resolved now may be later: that is no error.
pub fn check_address(addr: &str) -> anyhow::Result<()> {
    let port = addr.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(1..)) => Ok(()),
        _ => anyhow::bail!("the node {addr:?}: write HOST:PORT, for instance 127.0.0.1:5000"),
    }
}

use crate::cluster::{Local, Order};
use crate::command::{self, Found, flag};
use crate::config::{Config, Id};
use crate::resp::Args;
use crate::stats::{Event, Events, Sample, SlowLog, Stats, WallClock, WorkerStats};
use crate::store::Store;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What a server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Holds keys.
    Node,
    /// Shards keys over nodes.
    Coordinator,
}

impl Role {
    /// `node` or `coordinator`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Node => "node",
            Role::Coordinator => "coordinator",
        }
    }
}

/// A `slowlog-log-slower-than` below this has each command timed by itself, in microseconds.
const EXACT_BELOW_US: u64 = 1000;

/// The state of one server that all its workers share; nothing in it is written on the path of a request.
pub struct Server {
    /// What it is.
    pub role: Role,
    /// The parameters in force.
    pub config: Config,
    /// The keys, on a node.
    pub store: Option<Arc<Store>>,
    /// What the store was charged for while it was empty.
    pub startup_bytes: u64,
    /// The connections.
    pub clients: Clients,
    /// Those of them that watch what the others send.
    pub monitors: Monitors,
    /// The counters.
    pub stats: Stats,
    /// The commands that took long, on a node.
    pub slowlog: SlowLog,
    /// The moments that took long, on a node.
    pub events: Events,
    /// When it started.
    pub started: Instant,
    /// The time of day, for requests.
    pub wall: WallClock,
    /// When it started, in seconds since 1970.
    pub started_unix: u64,
    /// A random name of this run: 40 hexadecimal digits.
    pub run_id: String,
    /// Worker threads.
    pub workers: usize,
    /// Whether expired keys are freed without being read (`DEBUG SET-ACTIVE-EXPIRE`).
    pub active_expire: AtomicBool,
    /// Its part in a cluster that forms itself, if it is in one; set before it listens.
    pub cluster: OnceLock<Arc<Local>>,
    addr: OnceLock<SocketAddr>,
    stopping: watch::Sender<bool>,
    failed: AtomicBool,
}

impl Server {
    /// A server that does not listen yet.
    pub fn new(role: Role, config: Config, store: Option<Arc<Store>>, workers: usize) -> Arc<Self> {
        let stats = Stats::new(workers);
        stats.set_tracking(config.is_on(Id::LatencyTracking));
        Arc::new(Server {
            role,
            config,
            startup_bytes: store.as_ref().map_or(0, |store| store.budget.used() as u64),
            store,
            clients: Clients::default(),
            monitors: Monitors::default(),
            stats,
            slowlog: SlowLog::default(),
            events: Events::default(),
            started: Instant::now(),
            wall: WallClock::new(),
            started_unix: now_us() / 1_000_000,
            run_id: (0..40)
                .map(|_| char::from(b"0123456789abcdef"[fastrand::usize(..16)]))
                .collect(),
            workers,
            active_expire: AtomicBool::new(true),
            cluster: OnceLock::new(),
            addr: OnceLock::new(),
            stopping: watch::Sender::new(false),
            failed: AtomicBool::new(false),
        })
    }

    /// The time, in microseconds since 1970.
    pub fn now_us(&self) -> u64 {
        now_us()
    }

    /// Whether each command must be timed by itself, however many of a kind come together: somebody looks for what takes
    /// less than a millisecond, or for the longest of all.
    pub(crate) fn wants_exact_times(&self) -> bool {
        self.config.number(Id::SlowlogLogSlowerThan) < EXACT_BELOW_US
            || self.config.number(Id::LatencyMonitorThreshold) > 0
    }

    /// Notes a command that took `ns` nanoseconds if that is long, and if this is where commands are executed.
    pub(crate) fn note_slow(&self, ns: u64, command: u16, args: Args<'_>, client: &Client) {
        if self.store.is_none() {
            return;
        }
        let least = self.config.number(Id::SlowlogLogSlowerThan) as i64;
        let (us, found) = (ns / 1000, || &command::all()[usize::from(command)]);
        if least >= 0 && us >= least as u64 {
            let most = self.config.number(Id::SlowlogMaxLen) as usize;
            self.slowlog.note(most, (us, now_us() / 1_000_000), found(), args, client);
        }
        if self.is_event(ns) {
            let fast = found().row.has(flag::FAST);
            self.note_event(if fast { Event::FastCommand } else { Event::Command }, ns);
        }
    }

    /// Whether what took `ns` nanoseconds took long enough for LATENCY.
    fn is_event(&self, ns: u64) -> bool {
        let least_ms = self.config.number(Id::LatencyMonitorThreshold);
        least_ms > 0 && ns / 1_000_000 >= least_ms
    }

    fn note_event(&self, event: Event, ns: u64) {
        self.events.note(event, Sample { unix_s: now_us() / 1_000_000, ms: ns / 1_000_000 });
    }

    /// Does something, and notes as an event that it took long. The clock is read only while anybody wants to know.
    pub(crate) fn timed<T>(&self, event: Event, work: impl FnOnce() -> T) -> T {
        if self.config.number(Id::LatencyMonitorThreshold) == 0 {
            return work();
        }
        let start = Instant::now();
        let done = work();
        let ns = start.elapsed().as_nanos() as u64;
        if self.is_event(ns) {
            self.note_event(event, ns);
        }
        done
    }

    /// Its part in a cluster that forms itself, if it is in one.
    pub fn local(&self) -> Option<&Arc<Local>> {
        self.cluster.get()
    }

    /// Its part in a cluster that forms itself if it is a node of one: then clients find there what Redis Cluster has.
    pub fn member(&self) -> Option<&Arc<Local>> {
        self.local().filter(|local| local.fences.is_some())
    }

    /// What clients are told that it is: `cluster` or `standalone`.
    pub fn mode(&self) -> &'static str {
        if self.member().is_some() { "cluster" } else { "standalone" }
    }

    /// Where it listens, once it does.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr.get().copied()
    }

    /// Counts how long a command took for the prefix of its first key: one that is looked at.
    #[cold]
    pub(crate) fn note_prefix(&self, stats: &WorkerStats, ns: u64, command: u16, args: Args<'_>) {
        let Some(store) = &self.store else { return stats.look_again(u32::MAX) };
        stats.look_again(store.usage.stride());
        if store.usage.sampled() > 0 {
            let keys = command::all()[usize::from(command)].row.keys;
            if !keys.is_none() {
                let prefix = store.usage.separator().prefix_of(args.at(keys.first as usize));
                self.stats.note_prefix(prefix, ns);
            }
        }
    }

    /// Shows a command that was executed to those who watch.
    pub(crate) fn show(&self, session: &Session, found: Found, args: Args<'_>) {
        if !self.monitors.is_empty() {
            self.monitors.show(session, found, args, now_us);
        }
    }

    /// The TCP port it listens on; 0 if on none.
    pub fn port(&self) -> u16 {
        self.addr.get().map_or(0, SocketAddr::port)
    }

    /// Asks the cluster to take over the slots of this node, which stops when that is done. False if there is nothing to
    /// ask.
    pub fn leave(&self) -> bool {
        let local = self.local().filter(|_| self.role == Role::Node && !self.is_stopping());
        local.is_some_and(|local| local.order(Order::Leave(local.id)))
    }

    /// Begins to stop: no new connections, replies in flight are sent, then connections close.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        self.clients.wake_all();
    }

    /// Stops, as it cannot do what it was started for.
    pub fn fail(&self) {
        self.failed.store(true, Relaxed);
        self.stop();
    }

    /// Whether it stopped because it cannot do what it was started for.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Whether it is stopping.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until it begins to stop.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        drop(stopping.wait_for(|stopping| *stopping).await);
    }
}

/// The time, in microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
