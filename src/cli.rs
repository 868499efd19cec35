//! The command line: `larder up | node | coordinator | client`. The flags of a server are its parameters in
//! [`crate::config::PARAMS`].

use crate::cluster::SlotTable;
use crate::config::{Access, Config, Id, Kind, PARAMS, Param, Scope, format_size};
use crate::coordinator::{Coordinator, Settings};
use crate::node::Node;
use crate::server::{self, Listeners, Role, Running, Server};
use crate::stats::process;
use crate::store::{Policy, Store};
use crate::{client, logging};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Memory of each node of `up`, in bytes.
const UP_MAXMEMORY: u64 = 256 << 20;
/// Descriptors a server needs beside its clients: listeners, links, logs.
const SPARE_DESCRIPTORS: u64 = 64;

/// The whole command line.
pub fn command() -> Command {
    let servers = [Scope::Server, Scope::Node, Scope::Coordinator];
    let up = Command::new("up")
        .about("Start a whole local cluster in one process: three nodes and a coordinator")
        .after_help(
            "Connect any Redis client to the coordinator:\n  redis-cli -p 6379\n\nThe nodes listen on the ports behind \
             the coordinator's. Ctrl-C, SIGTERM or SHUTDOWN on the coordinator stops everything.",
        )
        .arg(Arg::new("host").long("host").default_value("127.0.0.1").help("Address to listen on"))
        .arg(
            Arg::new("port")
                .long("port")
                .default_value("6379")
                .value_parser(value_parser!(u16))
                .help("Port of the coordinator; the nodes take the next ones; 0 = any free ports"),
        )
        .arg(
            Arg::new("nodes-count")
                .long("nodes")
                .value_name("COUNT")
                .default_value("3")
                .value_parser(value_parser!(u16).range(1..=64))
                .help("Number of nodes"),
        )
        .args(flags(&servers));
    let node = Command::new("node")
        .about("Start a node: a cache server that holds keys")
        .after_help("Example:\n  larder node 127.0.0.1:5000 --maxmemory 256mb")
        .arg(listen())
        .args(flags(&servers[..2]));
    let coordinator = Command::new("coordinator")
        .about("Start a coordinator: a proxy that shards keys over nodes")
        .after_help(
            "Example:\n  larder coordinator 127.0.0.1:4000 127.0.0.1:5000 127.0.0.1:5001\n\nEvery coordinator of the same \
             nodes must be given all of them, in any order. When the list changes, FLUSHALL: keys do not move.",
        )
        .arg(listen())
        .arg(
            Arg::new("nodes")
                .value_name("NODE")
                .required(true)
                .num_args(1..)
                .help("Addresses of the nodes, as HOST:PORT"),
        )
        .arg(
            Arg::new("node-password-file")
                .long("node-password-file")
                .value_name("FILE")
                .env("LARDER_NODE_PASSWORD_FILE")
                .help("File with the nodes' password (their requirepass)"),
        )
        .args(flags(&[Scope::Server, Scope::Coordinator]));
    Command::new("larder")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Redis-compatible cache cluster: nodes, coordinators, and a client, in one binary")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([up, node, coordinator, client_command()])
}

fn client_command() -> Command {
    let text = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Command::new("client")
        .about("Talk to a node, a coordinator or any Redis server: a prompt, or one command")
        .after_help(
            "Examples:\n  larder client                        a prompt on 127.0.0.1:6379\n  larder client \
             127.0.0.1:4000 get k   one command\n  larder client 127.0.0.1:4000 stats   the cluster at a glance",
        )
        .arg(Arg::new("addr").value_name("ADDR").default_value(client::DEFAULT_ADDR).help(
            "Server, as HOST:PORT or the path of a Unix socket",
        ))
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .help("A command with its arguments; without one, a prompt"),
        )
        .arg(text("user", "User to authenticate as"))
        .arg(
            text("password", "Password; rather by environment, which other users cannot see")
                .short('a')
                .env("LARDER_PASSWORD")
                .hide_env_values(true),
        )
        .arg(
            text("db", "Database, 0 to 15")
                .short('n')
                .default_value("0")
                .value_parser(value_parser!(u32)),
        )
        .arg(text("resp3", "Speak RESP3").short('3').action(ArgAction::SetTrue))
        .arg(
            text("timeout-ms", "Longest wait for a connection and a login, in milliseconds")
                .default_value("5000")
                .value_parser(value_parser!(u64)),
        )
}

fn listen() -> Arg {
    Arg::new("addr").value_name("ADDR").required(true).help(
        "Address to listen on: 127.0.0.1:5000, [::1]:5000 or NAME:5000; port 0 picks a free one",
    )
}

/// The flags of the parameters that belong to these servers, and those of the log.
fn flags(scopes: &[Scope]) -> Vec<Arg> {
    let of_scope = |param: &&Param| scopes.contains(&param.scope) && param.access != Access::Fixed;
    let mut args: Vec<Arg> = PARAMS.iter().filter(of_scope).map(flag).collect();
    args.push(
        Arg::new("requirepass-file")
            .long("requirepass-file")
            .value_name("FILE")
            .conflicts_with("requirepass")
            .help("File with the password that clients must give"),
    );
    args.push(
        Arg::new("log-level")
            .long("log-level")
            .env("LARDER_LOG_LEVEL")
            .default_value("info")
            .value_parser(["error", "warn", "info", "debug", "trace"])
            .help("What is logged, to standard error"),
    );
    args.push(
        Arg::new("log-format")
            .long("log-format")
            .env("LARDER_LOG_FORMAT")
            .default_value("text")
            .value_parser(["text", "json"])
            .help("Log for people, or a JSON object a line"),
    );
    args
}

fn flag(param: &'static Param) -> Arg {
    let value_name = match &param.kind {
        Kind::Number { .. } => "NUMBER",
        Kind::Size { .. } => "SIZE",
        Kind::Bool => "yes|no",
        Kind::Choice(_) => "NAME",
        Kind::Text => "TEXT",
        Kind::Secret => "PASSWORD",
    };
    // Defaults that are worked out at start are told in words.
    let worked_out = matches!(param.id, Id::Maxmemory | Id::Workers) || param.default.is_empty();
    let help = if worked_out {
        param.help.to_owned()
    } else {
        format!("{} [default: {}]", param.help, param.default)
    };
    let env = format!("LARDER_{}", param.name.to_uppercase().replace('-', "_"));
    Arg::new(param.name)
        .long(param.name)
        .value_name(value_name)
        .env(env)
        .hide_env_values(true)
        .allow_hyphen_values(true)
        .value_parser(move |text: &str| {
            Config::default().check(param, text).map(|()| text.to_owned())
        })
        .help(help)
}

/// Does what the command line asks for.
///
/// # Errors
/// What went wrong at start, in words for the person who started it.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    match matches.subcommand() {
        Some(("client", matches)) => client::run(client_options(matches)),
        Some((role, matches)) => {
            logging::init(&text(matches, "log-level"), &text(matches, "log-format"))?;
            raise_descriptor_limit();
            let (main, others) = match role {
                "up" => start_up(matches)?,
                "node" => (start_node(&text(matches, "addr"), matches, None, None)?.0, Vec::new()),
                _ => start_coordinator_alone(matches)?,
            };
            println!("Ready. Stop with Ctrl-C, SIGTERM or SHUTDOWN.");
            wait(main, others)?;
            Ok(ExitCode::SUCCESS)
        }
        None => bail!("no command"),
    }
}

fn text(matches: &ArgMatches, name: &str) -> String {
    matches.get_one::<String>(name).cloned().unwrap_or_default()
}

fn client_options(matches: &ArgMatches) -> client::Options {
    let (addr, command) = client::split_target(
        text(matches, "addr"),
        matches.value_source("addr") == Some(clap::parser::ValueSource::CommandLine),
        matches.get_many::<String>("command").unwrap_or_default().cloned().collect(),
    );
    client::Options {
        addr,
        command,
        user: matches.get_one::<String>("user").cloned(),
        password: matches.get_one::<String>("password").cloned(),
        db: matches.get_one("db").copied().unwrap_or(0),
        resp3: matches.get_flag("resp3"),
        timeout: Duration::from_millis(matches.get_one("timeout-ms").copied().unwrap_or(5000)),
    }
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

/// Starts a node; `maxmemory` and `default_workers` are those of `up`.
fn start_node(
    addr: &str,
    matches: &ArgMatches,
    maxmemory: Option<u64>,
    default_workers: Option<usize>,
) -> Result<(Running, SocketAddr)> {
    let config = configure(matches)?;
    let given = matches.get_one::<String>("maxmemory").is_some();
    let (limit, why) = match maxmemory {
        _ if given => (config.number(Id::Maxmemory), String::new()),
        Some(limit) => (limit, String::new()),
        None => {
            let (limit, why) = process::default_maxmemory();
            (limit, format!(" ({why})"))
        }
    };
    config.set_number(Id::Maxmemory, limit);
    if default_workers.is_some() {
        // In `up` the one Unix socket is the coordinator's.
        config.set(&PARAMS[Id::Unixsocket as usize], "").map_err(|reason| anyhow!(reason))?;
    }
    let workers = workers(&config, default_workers.unwrap_or_else(cores));
    let listeners = Listeners::bind(addr, &config)?;
    let addr = listeners.addr;
    note_address(&config, addr, workers)?;
    let policy = Policy::from_index(config.number(Id::MaxmemoryPolicy));
    let policy_name = Policy::NAMES[policy as usize];
    let memory = match limit {
        0 => "no memory limit".to_owned(),
        limit => format!("maxmemory {}{why}", format_size(limit)),
    };
    println!("node {addr}  {memory}, policy {policy_name}, workers {workers}");
    let store = Arc::new(Store::new(limit, policy));
    let server = Server::new(Role::Node, config, Some(store.clone()), workers);
    warn_if_open(&server, addr);
    let running = server::start(server, listeners, move |_| Node::new(store.clone()))?;
    tracing::info!(%addr, memory, policy = policy_name, workers, "node started");
    Ok((running, addr))
}

fn start_coordinator(
    addr: &str,
    nodes: Vec<String>,
    matches: &ArgMatches,
    node_password: Option<String>,
    default_workers: usize,
) -> Result<Running> {
    for node in &nodes {
        server::check_address(node)?;
    }
    let config = configure(matches)?;
    let workers = workers(&config, default_workers);
    let table = SlotTable::even(nodes).map_err(|reason| anyhow!("the list of nodes: {reason}"))?;
    let listeners = Listeners::bind(addr, &config)?;
    let addr = listeners.addr;
    note_address(&config, addr, workers)?;
    println!("coordinator {addr}  over {} nodes, workers {workers}", table.nodes().len());
    let server = Server::new(Role::Coordinator, config, None, workers);
    let settings = Arc::new(Settings {
        password: node_password,
        table: table.fingerprint(),
        name: format!("{addr}/{}", &server.run_id[..8]),
    });
    warn_if_open(&server, addr);
    let (table, shared) = (Arc::new(table), server.clone());
    let nodes = table.nodes().join(" ");
    let running = server::start(server, listeners, move |worker| {
        Coordinator::new(table.clone(), &settings, &shared, worker)
    })?;
    tracing::info!(%addr, nodes, workers, "coordinator started");
    Ok(running)
}

fn start_coordinator_alone(matches: &ArgMatches) -> Result<(Running, Vec<Running>)> {
    let nodes = matches.get_many::<String>("nodes").unwrap_or_default().cloned().collect();
    let password = match matches.get_one::<String>("node-password-file") {
        Some(path) => Some(read_secret(path)?),
        None => None,
    };
    let running = start_coordinator(&text(matches, "addr"), nodes, matches, password, cores())?;
    Ok((running, Vec::new()))
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
    // Where clients must give a password, so must the coordinator at the nodes.
    let password = match matches.get_one::<String>("requirepass-file") {
        Some(path) => Some(read_secret(path)?),
        None => matches.get_one::<String>("requirepass").cloned(),
    };
    println!(
        "Larder {}, a cluster in one process (pid {})",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    let (mut nodes, mut addrs) = (Vec::new(), Vec::new());
    for number in 1..=count {
        let port = if port == 0 { 0 } else { port + number };
        let (running, addr) =
            start_node(&format!("{host}:{port}"), matches, Some(UP_MAXMEMORY), Some(1))?;
        addrs.push(addr);
        nodes.push(running);
    }
    // The coordinator reaches them over loopback where they listen everywhere.
    let reach = |addr: &SocketAddr| match addr.ip() {
        ip if !ip.is_unspecified() => addr.to_string(),
        std::net::IpAddr::V4(_) => format!("127.0.0.1:{}", addr.port()),
        std::net::IpAddr::V6(_) => format!("[::1]:{}", addr.port()),
    };
    let addrs = addrs.iter().map(reach).collect();
    let coordinator = start_coordinator(&format!("{host}:{port}"), addrs, matches, password, 1)?;
    println!("Connect with: redis-cli -p {}", coordinator.server.port());
    Ok((coordinator, nodes))
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

/// Runs until a signal comes or the main server stops, then stops everything.
fn wait(main: Running, others: Vec<Running>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("interrupted: stopping"),
            () = main.server.stopped() => {}
        }
        anyhow::Ok(())
    })?;
    // The coordinator first: what is in flight still needs the nodes.
    main.server.stop();
    main.join();
    for running in others {
        running.server.stop();
        running.join();
    }
    tracing::info!("stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
