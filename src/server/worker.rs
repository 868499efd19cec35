//! The workers of a server: threads with a current-thread runtime each, which share nothing on the path of a
//! request. The first one also accepts connections, and does what is due from time to time.

use super::connection::{Worker, serve};
use super::listener::prepare;
use super::stream::Accepted;
use super::timers::{self, interval, sleep, timeout};
use super::{Client, DENIED, Listeners, Server, Service, Session};
use crate::config::Id;
use crate::resp::Error;
use crate::stats::{Event, SAMPLE_MS, process};
use anyhow::{Context, Result};
use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

/// Connections that may wait for a worker to take them over.
const HANDOVER_MAX: usize = 1024;
/// How long the replies in flight may take to be sent when the server stops.
const DRAIN: Duration = Duration::from_secs(5);
/// Longest pause between two rounds of the store's upkeep: while memory is taken and freed, and while it is not.
const TICK_MS: u64 = 10;
const IDLE_TICK_MS: u64 = 100;

const TOO_MANY: Error = Error::new("ERR max number of clients reached");
/// A server that runs.
pub struct Running {
    /// Its shared state.
    pub server: Arc<Server>,
    /// How it asks itself.
    pub door: Door,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Has [`Running::join`] wait for another thread, which ends when the server stops.
    pub fn adopt(&mut self, thread: JoinHandle<()>) {
        self.threads.push(thread);
    }

    /// Waits until all its threads have ended.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the server has panicked");
            }
        }
    }
}

struct Handover {
    stream: Accepted,
    client: Arc<Client>,
    /// Only a coordinator of the cluster may use it.
    restricted: bool,
}

/// Where a worker gets its connections from, and how many it has.
#[derive(Clone)]
struct Seat {
    sender: mpsc::Sender<Handover>,
    load: Arc<AtomicUsize>,
}

impl Seat {
    /// Gives the worker a connection.
    fn take(&self, handover: Handover) -> std::io::Result<()> {
        self.load.fetch_add(1, Relaxed);
        self.sender.try_send(handover).map_err(|refused| {
            self.load.fetch_sub(1, Relaxed);
            std::io::Error::other(refused.to_string())
        })
    }
}

/// Connections to a server from within its process: logged in, in no list of clients, and in none of the statistics.
#[derive(Clone)]
pub struct Door {
    server: Arc<Server>,
    seat: Seat,
}

impl Door {
    /// A new connection, served by the first worker.
    ///
    /// # Errors
    /// There are no descriptors left, or the server stops.
    pub fn open(&self) -> std::io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let client = Client::inner(self.server.now_us() / 1000);
        let stream = Accepted::Unix(theirs);
        self.seat.take(Handover { stream, client, restricted: false })?;
        Ok(ours)
    }
}

/// Starts the workers of a server; `make` makes the service of each, on its thread.
///
/// # Errors
/// Threads or their runtimes cannot be had.
pub fn start<S, F>(server: Arc<Server>, listeners: Listeners, make: F) -> Result<Running>
where
    S: Service,
    F: Fn(usize) -> S + Clone + Send + 'static,
{
    server.addr.get_or_init(|| listeners.addr);
    timers::start().context("cannot start the timers' thread")?;
    let (mut seats, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..server.workers {
        let (sender, receiver) = mpsc::channel(HANDOVER_MAX);
        let load = Arc::new(AtomicUsize::new(0));
        seats.push(Seat { sender, load: load.clone() });
        ends.push((receiver, load));
    }
    let door = Door { server: server.clone(), seat: seats[0].clone() };
    let mut acceptor = Some((listeners, seats));
    let mut threads = Vec::new();
    let (failed, failures) = sync_channel(server.workers);
    for (index, (receiver, load)) in ends.into_iter().enumerate() {
        let (server, make, acceptor) = (server.clone(), make.clone(), acceptor.take());
        let failed = failed.clone();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            // A runtime for tasks that stay on its thread must be made there.
            let runtime =
                Builder::new_current_thread().enable_io().build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                // If nobody waits for it any more, another one has failed before.
                Err(error) => return drop(failed.send(error)),
            };
            drop(failed);
            runtime.block_on(async move {
                let worker = Rc::new(Worker {
                    stats: server.stats.worker(index),
                    service: make(index),
                    server,
                    read_buffer: RefCell::default(),
                    late: Rc::default(),
                    batch: RefCell::default(),
                });
                tokio::task::spawn_local(worker.late.clone().tend());
                if let Some((listeners, seats)) = acceptor {
                    tokio::task::spawn_local(accept(worker.server.clone(), listeners, seats));
                    tokio::task::spawn_local(upkeep(worker.server.clone()));
                    tokio::task::spawn_local(tend(worker.server.clone()));
                }
                work(worker, receiver, load).await;
            });
        });
        threads.push(thread.context("cannot start a worker's thread")?);
    }
    drop(failed);
    // Ends when all have dropped theirs.
    if let Ok(error) = failures.recv() {
        return Err(error).context("cannot start a worker's runtime");
    }
    Ok(Running { server, door, threads })
}

/// Serves the connections it is given until the server stops and they are over.
async fn work<S: Service>(
    worker: Rc<Worker<S>>,
    mut receiver: mpsc::Receiver<Handover>,
    load: Arc<AtomicUsize>,
) {
    loop {
        let handover = tokio::select! {
            () = worker.server.stopped() => break,
            handover = receiver.recv() => handover,
        };
        let Some(Handover { stream, client, restricted }) = handover else { break };
        let (worker, load) = (worker.clone(), load.clone());
        match stream.register() {
            Ok(stream) => {
                let mut session = Session::new(client, &worker.server);
                if restricted {
                    session.restrict();
                }
                tokio::task::spawn_local(async move {
                    serve(worker, stream, session).await;
                    load.fetch_sub(1, Relaxed);
                });
            }
            Err(error) => {
                tracing::warn!(client = client.addr, %error, "cannot serve a connection");
                worker.server.clients.remove(&client);
                load.fetch_sub(1, Relaxed);
            }
        }
    }
    receiver.close();
    while let Ok(Handover { client, .. }) = receiver.try_recv() {
        worker.server.clients.remove(&client);
        load.fetch_sub(1, Relaxed);
    }
    let drained = timeout(DRAIN, async {
        while load.load(Relaxed) > 0 {
            worker.server.clients.wake_all();
            sleep(Duration::from_millis(2)).await;
        }
    });
    if drained.await.is_err() {
        tracing::warn!(
            connections = load.load(Relaxed),
            "clients did not take their replies: closed"
        );
    }
}

/// Accepts connections and gives each to the worker that has the fewest.
async fn accept(server: Arc<Server>, listeners: Listeners, seats: Vec<Seat>) {
    let tcp = listeners.tcp.try_clone().and_then(TcpListener::from_std);
    let unix =
        listeners.unix.as_ref().map(|unix| unix.try_clone().and_then(UnixListener::from_std));
    let (Ok(tcp), Ok(unix)) = (tcp, unix.transpose()) else {
        tracing::error!("cannot register the listening sockets: stopping");
        return server.stop();
    };
    loop {
        let accepted = tokio::select! {
            () = server.stopped() => return,
            accepted = tcp.accept() => accepted.and_then(|(stream, peer)| {
                let stream = stream.into_std()?;
                prepare(&stream, server.config.number(Id::TcpKeepalive))?;
                let local = stream.local_addr()?.to_string();
                let near = peer.ip().to_canonical().is_loopback();
                Ok((Accepted::Tcp(stream), peer.to_string(), local, near))
            }),
            accepted = accept_unix(unix.as_ref()) => accepted.and_then(|stream| {
                let path = server.config.text(Id::Unixsocket);
                Ok((Accepted::Unix(stream.into_std()?), format!("{path}:0"), format!("{path}:0"), true))
            }),
        };
        match accepted {
            Ok((stream, peer, local, near)) => admit(&server, &seats, stream, peer, local, near),
            Err(error) => {
                // Mostly: no descriptors left. Some connection will close.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn accept_unix(unix: Option<&UnixListener>) -> std::io::Result<tokio::net::UnixStream> {
    match unix {
        Some(unix) => unix.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

fn admit(
    server: &Server,
    seats: &[Seat],
    mut stream: Accepted,
    peer: String,
    local: String,
    near: bool,
) {
    let foreign = !near && server.config.is_on(Id::ProtectedMode) && !server.config.has_password();
    // Those of the cluster's coordinators that are elsewhere must get as far as their login.
    let restricted = foreign && server.member().is_some();
    let refusal = if server.clients.len() as u64 >= server.config.number(Id::Maxclients) {
        server.stats.rejected_connections.fetch_add(1, Relaxed);
        Some(TOO_MANY)
    } else if foreign && !restricted {
        Some(DENIED)
    } else {
        None
    };
    if let Some(error) = refusal {
        let text = format!("-{}\r\n", error.text());
        // As much as the socket takes at once; the client is sent away in any case.
        let written = match &mut stream {
            Accepted::Tcp(stream) => stream.write(text.as_bytes()),
            Accepted::Unix(stream) => stream.write(text.as_bytes()),
        };
        tracing::debug!(peer, ?written, "refused a connection");
        return;
    }
    server.stats.connections.fetch_add(1, Relaxed);
    let client = server.clients.register(peer, local, server.now_us() / 1000);
    let Some(seat) = seats.iter().min_by_key(|seat| seat.load.load(Relaxed)) else { return };
    if let Err(refused) = seat.take(Handover { stream, client: client.clone(), restricted }) {
        tracing::warn!(client = client.addr, %refused, "no worker takes a connection");
        server.clients.remove(&client);
    }
}

/// Samples the traffic and closes idle clients.
async fn upkeep(server: Arc<Server>) {
    let mut ticks = interval(Duration::from_millis(SAMPLE_MS));
    for round in 0u64.. {
        ticks.tick().await;
        server.wall.set();
        server.stats.sample();
        let (timeout_ms, limit) =
            (server.config.number(Id::Timeout) * 1000, server.config.output_limit());
        if (timeout_ms > 0 || limit.soft > 0) && round % 5 == 0 {
            let now = server.now_us() / 1000;
            for client in server.clients.all() {
                client.check_owed(limit, now);
                let idle = timeout_ms > 0 && client.idle_ms(now) > timeout_ms;
                // A monitor need not send anything.
                if idle && !client.is_monitor() {
                    client.kill();
                }
            }
        }
    }
}

/// Frees expired keys when they are due, evicts after the limit was lowered, and does what operations have put off.
async fn tend(server: Arc<Server>) {
    let Some(store) = server.store.clone() else { return };
    let (mut used, mut looked_at) = (0, Instant::now());
    loop {
        let now = server.now_us() / 1000;
        if looked_at.elapsed().as_millis() as u64 >= TICK_MS {
            looked_at = Instant::now();
            // What is free as a whole goes back to the system soon; holes between what is in use do not.
            let full = store.budget.is_nearly_full();
            let (allocated, active, _) = if full { process::allocator() } else { (0, 0, 0) };
            store.budget.hold_back(active.saturating_sub(allocated));
        }
        let active = server.active_expire.load(Relaxed);
        let more = server.timed(Event::ExpireCycle, || store.tick(now, active));
        let before = std::mem::replace(&mut used, store.budget.used());
        let longest = if used == before { IDLE_TICK_MS } else { TICK_MS };
        let pause = match store.next_expiry() {
            _ if more => 0,
            Some(at) if active => at.saturating_sub(now).clamp(1, longest),
            _ => longest,
        };
        if pause == 0 {
            tokio::task::yield_now().await;
        } else {
            sleep(Duration::from_millis(pause)).await;
        }
    }
}
