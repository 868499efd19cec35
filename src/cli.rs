//! The command line: `larder up | node | coordinator | client | stats`. The flags of a server are its parameters in
//! [`crate::config::PARAMS`].

use crate::client::{self, cluster, stats};
use crate::config::{Access, Config, Id, Kind, PARAMS, Param, Scope};
use crate::membership::ClusterKey;
use crate::start::{self, text};
use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::process::ExitCode;
use std::time::Duration;

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
        .arg(
            Arg::new("fixed")
                .long("fixed")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["cluster-key-file", "join", "cluster-addr", "data-dir"])
                .help("A fixed list of nodes, instead of a cluster that forms itself"),
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
                .required_unless_present("cluster-key-file")
                .conflicts_with_all(["cluster-key-file", "join", "authority"])
                .num_args(1..)
                .help("Addresses of the nodes, as HOST:PORT; none in a cluster that forms itself"),
        )
        .arg(
            Arg::new("authority")
                .long("authority")
                .action(ArgAction::SetTrue)
                .help("Decide on the slot table: what a coordinator does by default that joins nobody; one in a cluster"),
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
        .about("A Redis-compatible cache cluster: nodes, coordinators, a client and statistics, in one binary")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([up, node, coordinator, cluster_command(), client_command(), stats_command()])
}

fn cluster_command() -> Command {
    let keygen = Command::new("keygen")
        .about("Make the key that all members of a cluster share")
        .after_help("Example:\n  larder cluster keygen larder.key\n\nWhoever has the file can join: copy it to the other machines by a safe way.")
        .arg(Arg::new("file").value_name("FILE").help("File to make; without it the key is printed"));
    let status = Command::new("status")
        .about("Show the members of a cluster, and what is being changed")
        .arg(server())
        .arg(
            Arg::new("json").long("json").action(ArgAction::SetTrue).help("As the server gives it"),
        )
        .args(login());
    let leave = Command::new("leave")
        .about("Have a node give its slots to others, and end")
        .arg(
            Arg::new("id")
                .value_name("ID")
                .required(true)
                .help("The node, as `status` names it; the beginning is enough"),
        )
        .arg(server())
        .args(login());
    Command::new("cluster")
        .about("Make a cluster's key, look at its members, send one of them away")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([keygen, status, leave])
}

fn client_command() -> Command {
    let text = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Command::new("client")
        .about("Talk to a node, a coordinator or any Redis server: a prompt, or one command")
        .after_help(
            "Examples:\n  larder client                        a prompt on 127.0.0.1:6379\n  larder client \
             127.0.0.1:4000 get k   one command",
        )
        .arg(server())
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .help("A command with its arguments; without one, a prompt"),
        )
        .args(login())
        .arg(
            text("db", "Database, 0 to 15")
                .short('n')
                .default_value("0")
                .value_parser(value_parser!(u32)),
        )
        .arg(text("resp3", "Speak RESP3").short('3').action(ArgAction::SetTrue))
}

fn stats_command() -> Command {
    let text = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    Command::new("stats")
        .about("Show what a node, a coordinator or any Redis server tells of itself")
        .after_help(
            "Examples:\n  larder stats                         127.0.0.1:6379 at a glance\n  larder stats \
             127.0.0.1:4000 --watch  live; q leaves\n  larder stats --by prefix             which keys take the \
             memory, and which miss\n  larder stats --watch 5 --count 12    a minute in twelve samples\n  larder \
             stats --json                  everything, for programs",
        )
        .arg(server())
        .arg(
            text("by", "A table by what keys begin with, or by command")
                .value_name("WHAT")
                .value_parser(stats::By::NAMES),
        )
        .arg(
            text("watch", "Again every SECONDS [default: 1]: what happened meanwhile, live in a terminal, else a line")
                .value_name("SECONDS")
                .num_args(0..=1)
                .default_missing_value("1"),
        )
        .arg(
            text("count", "End after so many samples")
                .value_name("NUMBER")
                .requires("watch")
                .value_parser(value_parser!(u64).range(1..)),
        )
        .arg(
            text("json", "As the server gives it; with --watch a line each time")
                .action(ArgAction::SetTrue)
                .conflicts_with("by"),
        )
        .args(login())
}

/// The server to talk to.
fn server() -> Arg {
    Arg::new("addr")
        .value_name("ADDR")
        .default_value(client::DEFAULT_ADDR)
        .help("Server, as HOST:PORT or the path of a Unix socket")
}

/// How to connect to it.
fn login() -> [Arg; 3] {
    let text = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help);
    [
        text("user", "User to authenticate as"),
        text("password", "Password; rather by environment, which other users cannot see")
            .short('a')
            .env("LARDER_PASSWORD")
            .hide_env_values(true),
        text(
            "timeout-ms",
            "Longest wait for a connection, a login and statistics, in milliseconds",
        )
        .default_value("5000")
        .value_parser(value_parser!(u64)),
    ]
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
        Kind::Text | Kind::Separator => "TEXT",
        Kind::OutputLimits => "LIMITS",
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
        Some(("stats", matches)) => {
            let (addr, view) = stats_view(matches)?;
            stats::run(&login_options(addr, matches), &view)
        }
        Some(("cluster", matches)) => match matches.subcommand() {
            Some(("keygen", matches)) => keygen(matches.get_one::<String>("file")),
            Some(("status", matches)) => {
                let login = login_options(text(matches, "addr"), matches);
                cluster::status(&login, matches.get_flag("json"))
            }
            Some(("leave", matches)) => {
                let login = login_options(text(matches, "addr"), matches);
                cluster::leave(&login, &text(matches, "id"))
            }
            _ => bail!("no command"),
        },
        Some((role, matches)) => start::run(role, matches),
        None => bail!("no command"),
    }
}

/// Makes a cluster's key: in a file, or for standard output.
fn keygen(file: Option<&String>) -> Result<ExitCode> {
    let key = ClusterKey::generate()?;
    match file {
        Some(path) => {
            key.write(path)?;
            println!("{path}: a new cluster key, fingerprint {}", key.fingerprint());
        }
        None => print!("{}", key.to_text()),
    }
    Ok(ExitCode::SUCCESS)
}

fn client_options(matches: &ArgMatches) -> client::Options {
    let (addr, command) = client::split_target(
        text(matches, "addr"),
        is_given(matches, "addr"),
        matches.get_many::<String>("command").unwrap_or_default().cloned().collect(),
    );
    client::Options {
        command,
        db: matches.get_one("db").copied().unwrap_or(0),
        resp3: matches.get_flag("resp3"),
        ..login_options(addr, matches)
    }
}

/// The address of the server, and what of its statistics is wanted.
fn stats_view(matches: &ArgMatches) -> Result<(String, stats::View)> {
    let mut addr = text(matches, "addr");
    let mut watch = None;
    if let Some(given) = matches.get_one::<String>("watch") {
        let mut seconds = given.as_str();
        // `larder stats --watch 127.0.0.1:4000`: clap took the address for the seconds.
        if seconds.contains([':', '/']) && !is_given(matches, "addr") {
            (addr, seconds) = (given.clone(), "1");
        }
        let parsed = seconds.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
        let Some(seconds) = parsed else {
            bail!("--watch {seconds:?}: expected seconds, from 0.1 to 86400");
        };
        watch = Some(Duration::from_secs_f64(seconds));
    }
    let by = matches.get_one::<String>("by").and_then(|name| stats::By::named(name));
    let count = matches.get_one("count").copied();
    Ok((addr, stats::View { by, watch, count, json: matches.get_flag("json") }))
}

fn is_given(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine)
}

/// What `client` and `stats` have in common.
fn login_options(addr: String, matches: &ArgMatches) -> client::Options {
    client::Options {
        addr,
        command: Vec::new(),
        user: matches.get_one::<String>("user").cloned(),
        password: matches.get_one::<String>("password").cloned(),
        db: 0,
        resp3: false,
        timeout: Duration::from_millis(matches.get_one("timeout-ms").copied().unwrap_or(5000)),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
