//! Starts servers as the command line asks, and stops them.

mod member;

use crate::cluster::SlotTable;
use crate::config::{Access, Config, Id, PARAMS, format_size};
use crate::coordinator::{Coordinator, Settings};
use crate::logging;
use crate::membership::ClusterKey;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::server::{self, Listeners, Role, Running, Server};
use crate::stats::process;
use crate::store::{Policy, Store};
use anyhow::{Context, Result, anyhow, bail};
use clap::ArgMatches;
use member::{InUp, Part};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Memory of each node of `up`, in bytes.
const UP_MAXMEMORY: u64 = 256 << 20;
/// Descriptors a server needs beside its clients: listeners, links, logs.
const SPARE_DESCRIPTORS: u64 = 64;

/// Starts the servers of a role and runs until they stop.
///
/// # Errors
/// What went wrong at start, in words for the person who started it.
pub(crate) fn run(role: &str, matches: &ArgMatches) -> Result<ExitCode> {
    logging::init(&text(matches, "log-level"), &text(matches, "log-format"))?;
    raise_descriptor_limit();
    let signals = Signals::catch()?;
    let (main, others) = match role {
        "up" => start_up(matches)?,
        "node" => (start_node(&text(matches, "addr"), matches, None, None)?.0, Vec::new()),
        _ => (start_coordinator_alone(matches)?, Vec::new()),
    };
    println!("Ready. Stop with Ctrl-C, SIGTERM or SHUTDOWN.");
    Ok(if signals.wait(main, others) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An argument, empty if it was not given.
pub(crate) fn text(matches: &ArgMatches, name: &str) -> String {
    matches.get_one::<String>(name).cloned().unwrap_or_default()
}

/// The parameters as the command line and the environment give them.
fn configure(matches: &ArgMatches) -> Result<Config> {
    let config = Config::default();
    for param in PARAMS.iter().filter(|param| param.access != Access::Fixed) {
        let given = matches.try_get_one::<String>(param.name).ok().flatten();
        if let Some(value) = given {
            config
                .set(param, value)
                .map_err(|reason| anyhow!("--{} {value:?}: {reason}", param.name))?;
        }
    }
    if let Some(path) = matches.get_one::<String>("requirepass-file") {
        config
            .set(&PARAMS[Id::Requirepass as usize], &read_secret(path)?)
            .map_err(|reason| anyhow!("--requirepass-file {path}: {reason}"))?;
    }
    Ok(config)
}

/// The password in a file: its first line.
fn read_secret(path: &str) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the password file {path}"))?;
    match text.lines().next().map(str::trim) {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        _ => bail!("the password file {path} is empty: write the password into its first line"),
    }
}

fn workers(config: &Config, default: usize) -> usize {
    let workers = match config.number(Id::Workers) as usize {
        0 => default,
        given => given,
    };
    config.set_number(Id::Workers, workers as u64);
    workers
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What CONFIG GET tells of where a server listens.
fn note_address(config: &Config, addr: SocketAddr, workers: usize) -> Result<()> {
    for (id, value) in [
        (Id::Port, addr.port().to_string()),
        (Id::Bind, addr.ip().to_string()),
        (Id::IoThreads, workers.to_string()),
    ] {
        config.set(&PARAMS[id as usize], &value).map_err(|reason| anyhow!(reason))?;
    }
    Ok(())
}

/// Serves the metrics of a server, if that is asked for.
fn serve_metrics(metrics: Option<Metrics>, running: &mut Running) -> Result<()> {
    let Some(metrics) = metrics else { return Ok(()) };
    let server = &running.server;
    let of = server.addr().map(|addr| addr.to_string()).unwrap_or_default();
    println!("metrics http://{}/metrics  of {} {of}", metrics.addr, server.role.name());
    metrics.serve(running)
}

/// Binds the address of `--metrics`, with the port so many higher as that of a node of `up` is.
fn bind_metrics(config: &Config, offset: u16) -> Result<Option<Metrics>> {
    let mut addr = config.text(Id::Metrics);
    if addr.is_empty() {
        return Ok(None);
    }
    if let Some((host, port)) = addr.rsplit_once(':').filter(|_| offset > 0)
        && let Ok(port @ 1..) = port.parse::<u16>()
    {
        let Some(port) = port.checked_add(offset) else {
            bail!("--metrics {addr}: the nodes take the ports behind it, and there are not so many")
        };
        addr = format!("{host}:{port}");
    }
    let metrics = Metrics::bind(&addr)?;
    config
        .set(&PARAMS[Id::Metrics as usize], &metrics.addr.to_string())
        .map_err(|reason| anyhow!(reason))?;
    Ok(Some(metrics))
}

/// Starts a node; `number` is its number in `up`, counted from 1, and `up` its place in the cluster there.
fn start_node(
    addr: &str,
    matches: &ArgMatches,
    number: Option<u16>,
    up: Option<&InUp>,
) -> Result<(Running, SocketAddr)> {
    let config = configure(matches)?;
    let given = matches.get_one::<String>("maxmemory").is_some();
    let (limit, why) = match number {
        _ if given => (config.number(Id::Maxmemory), String::new()),
        Some(_) => (UP_MAXMEMORY, String::new()),
        None => {
            let (limit, why) = process::default_maxmemory();
            (limit, format!(" ({why})"))
        }
    };
    config.set_number(Id::Maxmemory, limit);
    if number.is_some() {
        // In `up` the one Unix socket is the coordinator's.
        config.set(&PARAMS[Id::Unixsocket as usize], "").map_err(|reason| anyhow!(reason))?;
    }
    let workers = workers(&config, if number.is_some() { 1 } else { cores() });
    let listeners = Listeners::bind(addr, &config)?;
    let metrics = bind_metrics(&config, number.unwrap_or(0))?;
    let addr = listeners.addr;
    note_address(&config, addr, workers)?;
    let policy = Policy::from_index(config.number(Id::MaxmemoryPolicy));
    let policy_name = policy.name();
    let memory = match limit {
        0 => "no memory limit".to_owned(),
        limit => format!("maxmemory {}{why}", format_size(limit)),
    };
    println!("node {addr}  {memory}, policy {policy_name}, workers {workers}");
    let store = Arc::new(Store::new(limit, policy));
    config.apply_to(&store);
    let part = if number.is_some() && up.is_none() {
        None
    } else {
        Part::of(&config, Role::Node, addr, workers, false, up)?
    };
    let server = Server::new(Role::Node, config, Some(store.clone()), workers);
    if let Some(part) = &part {
        part.tell(&server);
    }
    warn_if_open(&server, addr);
    let shared = server.clone();
    let mut running = server::start(server, listeners, move |worker| {
        Node::new(store.clone(), workers, worker, shared.local())
    })?;
    serve_metrics(metrics, &mut running)?;
    if let Some(part) = part {
        part.begin(&mut running)?;
    }
    tracing::info!(%addr, memory, policy = policy_name, workers, "node started");
    Ok((running, addr))
}

/// What a coordinator routes over.
enum Over<'a> {
    /// A list of nodes, and their password.
    Nodes(Vec<String>, Option<String>),
    /// The cluster that it is a member of.
    Cluster(Option<&'a InUp>),
}

/// Starts a coordinator; answers also where it listens for other members, if it does.
fn start_coordinator(
    addr: &str,
    over: Over<'_>,
    matches: &ArgMatches,
    default_workers: usize,
) -> Result<(Running, Option<SocketAddr>)> {
    if let Over::Nodes(nodes, _) = &over {
        nodes.iter().try_for_each(|node| server::check_address(node))?;
    }
    let config = configure(matches)?;
    let workers = workers(&config, default_workers);
    let (table, password, in_cluster) = match over {
        Over::Nodes(nodes, password) => (SlotTable::even(nodes), password, None),
        Over::Cluster(up) => (Ok(SlotTable::nothing()), None, Some(up)),
    };
    let table = table.map_err(|reason| anyhow!("the list of nodes: {reason}"))?;
    let listeners = Listeners::bind(addr, &config)?;
    let metrics = bind_metrics(&config, 0)?;
    let addr = listeners.addr;
    note_address(&config, addr, workers)?;
    let part = match in_cluster {
        Some(up) => {
            let decides = matches.try_get_one::<bool>("authority").ok().flatten();
            let decides = decides.copied().unwrap_or(false);
            Part::of(&config, Role::Coordinator, addr, workers, decides, up)?
        }
        None => None,
    };
    match table.nodes().len() {
        0 => println!("coordinator {addr}  of a cluster, workers {workers}"),
        count => println!("coordinator {addr}  over {count} nodes, workers {workers}"),
    }
    let server = Server::new(Role::Coordinator, config, None, workers);
    if let Some(part) = &part {
        part.tell(&server);
    }
    let settings = Arc::new(Settings::List {
        password,
        table: table.fingerprint(),
        name: format!("{addr}/{}", &server.run_id[..8]),
    });
    warn_if_open(&server, addr);
    let (table, shared) = (Arc::new(table), server.clone());
    let nodes = table.nodes().join(" ");
    let mut running = server::start(server, listeners, move |worker| match shared.local() {
        Some(local) => Coordinator::of_cluster(local, &shared, worker),
        None => Coordinator::new(table.clone(), &settings, &shared, worker),
    })?;
    serve_metrics(metrics, &mut running)?;
    let control = part.map(|part| part.begin(&mut running)).transpose()?;
    tracing::info!(%addr, nodes, workers, "coordinator started");
    Ok((running, control))
}

fn start_coordinator_alone(matches: &ArgMatches) -> Result<Running> {
    let nodes: Vec<String> =
        matches.get_many::<String>("nodes").unwrap_or_default().cloned().collect();
    let over = if nodes.is_empty() {
        Over::Cluster(None)
    } else {
        let password = matches.get_one::<String>("node-password-file");
        Over::Nodes(nodes, password.map(|path| read_secret(path)).transpose()?)
    };
    Ok(start_coordinator(&text(matches, "addr"), over, matches, cores())?.0)
}

/// Starts nodes and a coordinator in this process.
fn start_up(matches: &ArgMatches) -> Result<(Running, Vec<Running>)> {
    let host = text(matches, "host");
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let port: u16 = matches.get_one("port").copied().unwrap_or(6379);
    let count: u16 = matches.get_one("nodes-count").copied().unwrap_or(3);
    if u32::from(port) + u32::from(count) > u32::from(u16::MAX) {
        bail!(
            "--port {port}: the {count} nodes take the ports behind it, and there are not so many"
        );
    }
    println!(
        "Larder {}, a cluster in one process (pid {})",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    let main = format!("{host}:{port}");
    let start_nodes = |up: Option<&InUp>| -> Result<(Vec<Running>, Vec<String>)> {
        let (mut nodes, mut addrs) = (Vec::new(), Vec::new());
        for number in 1..=count {
            let port = if port == 0 { 0 } else { port + number };
            let up = up.map(|up| InUp { number, ..up.clone() });
            let (running, addr) =
                start_node(&format!("{host}:{port}"), matches, Some(number), up.as_ref())?;
            addrs.push(reachable(&addr));
            nodes.push(running);
        }
        Ok((nodes, addrs))
    };
    let (coordinator, nodes) = if matches.get_flag("fixed") {
        let (nodes, addrs) = start_nodes(None)?;
        // Where clients must give a password, so must the coordinator at the nodes.
        let password = match matches.get_one::<String>("requirepass-file") {
            Some(path) => Some(read_secret(path)?),
            None => matches.get_one::<String>("requirepass").cloned(),
        };
        (start_coordinator(&main, Over::Nodes(addrs, password), matches, 1)?.0, nodes)
    } else {
        let file = text(matches, "cluster-key-file");
        let key = if file.is_empty() { ClusterKey::generate() } else { ClusterKey::read(&file) }?;
        let mut up = InUp { key, is_new: file.is_empty(), join: None, number: 0 };
        let (coordinator, control) =
            start_coordinator(&main, Over::Cluster(Some(&up)), matches, 1)?;
        up.join = control;
        let (nodes, _) = start_nodes(Some(&up))?;
        member::wait_until_formed(&coordinator.server);
        (coordinator, nodes)
    };
    println!("Connect with: redis-cli -p {}", coordinator.server.port());
    Ok((coordinator, nodes))
}

/// Where servers of this machine reach one that listens there, everywhere perhaps.
fn reachable(addr: &SocketAddr) -> String {
    match addr.ip() {
        ip if !ip.is_unspecified() => addr.to_string(),
        std::net::IpAddr::V4(_) => format!("127.0.0.1:{}", addr.port()),
        std::net::IpAddr::V6(_) => format!("[::1]:{}", addr.port()),
    }
}

fn warn_if_open(server: &Server, addr: SocketAddr) {
    if addr.ip().is_loopback() || server.config.has_password() {
        return;
    }
    if server.config.is_on(Id::ProtectedMode) {
        tracing::warn!(%addr, "no password: clients of other machines are refused (protected mode)");
    } else {
        tracing::warn!(%addr, "no password and no protected mode: everybody who reaches this port can use it");
    }
}

/// Raises the limit of open descriptors as far as the system allows, as each client takes one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        tracing::warn!(limit = limit.current, "cannot raise the limit of open descriptors");
    }
    let now = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if now < 10_000 + SPARE_DESCRIPTORS {
        tracing::warn!(
            limit = now,
            "few descriptors: maxclients cannot be reached; raise `ulimit -n`"
        );
    }
}

/// The signals that stop a server. Caught from before it says that it is ready.
struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let (terminate, interrupt) = {
            let _entered = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        Ok(Signals { runtime, terminate, interrupt })
    }

    /// Runs until a signal comes or the main server stops, then stops everything. A node of a cluster gives its slots to
    /// others first; another signal ends that.
    /// Answers whether all went well.
    fn wait(mut self, main: Running, others: Vec<Running>) -> bool {
        self.runtime.block_on(async {
            let mut is_leaving = false;
            loop {
                tokio::select! {
                    _ = self.terminate.recv() => tracing::info!("SIGTERM: stopping"),
                    _ = self.interrupt.recv() => tracing::info!("interrupted: stopping"),
                    () = main.server.stopped() => break,
                }
                if is_leaving || !main.server.leave() {
                    break;
                }
                is_leaving = true;
            }
        });
        // The coordinator first: what is in flight still needs the nodes.
        let mut is_well = true;
        for running in std::iter::once(main).chain(others) {
            running.server.stop();
            is_well &= !running.server.has_failed();
            running.join();
        }
        tracing::info!("stopped");
        is_well
    }
}
