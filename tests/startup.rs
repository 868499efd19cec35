//! Starting and stopping: addresses, mistakes on the command line, help, logs, clean ends.

mod access;
mod stopping;

use crate::tools::{Output, cli, redis_cli, run, run_within};
use crate::util::{Conn, Server, Value, free_port, larder, wait_for};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// What a command line answers that must not start a server.
fn refused(args: &[&str]) -> Output {
    run_within(&mut larder(args), b"", Duration::from_secs(10))
}

#[track_caller]
fn assert_refused(args: &[&str], code: i32, words: &[&str]) {
    let output = refused(args);
    assert_eq!(output.code, Some(code), "{args:?}: {output:#?}");
    for word in words {
        assert!(output.err.contains(word), "{args:?}: no {word:?} in {output:#?}");
    }
    assert!(!output.err.contains("panicked"), "{output:#?}");
}

#[test]
fn a_port_that_is_taken() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    let port = holder.local_addr().unwrap().port().to_string();
    let node = Server::node(&[]);
    let command_lines: [&[&str]; 3] =
        [&["node", &addr], &["coordinator", &addr, &node.addr], &["up", "--port", &port]];
    for args in command_lines {
        let output = refused(args);
        assert_eq!(output.code, Some(1), "{args:?}: {output:#?}");
        // With `up` it may be a node's that somebody else has: they are on the ports behind.
        let named = if args[0] == "up" { "127.0.0.1:" } else { addr.as_str() };
        assert!(output.err.contains(named), "{args:?} does not name the address: {output:#?}");
        assert!(output.err.contains("in use"), "{args:?} does not say why: {output:#?}");
        let helps = ["--port", "port 0", "another", "stop"];
        assert!(helps.iter().any(|help| output.err.contains(help)), "what to do: {output:#?}");
        assert!(!output.out.contains("Ready"), "{output:#?}");
    }
}

#[test]
fn mistakes_on_the_command_line() {
    assert_refused(&["node", "127.0.0.1:0", "--nosuch"], 2, &["--nosuch", "--help"]);
    assert_refused(&["nosuch"], 2, &["nosuch"]);
    assert_refused(&["node"], 2, &["Usage"]);
    assert_refused(&["up", "--port", "65536"], 2, &["65536"]);
    assert_refused(&["up", "--nodes", "0", "--port", "0"], 2, &["--nodes"]);
    for size in ["12xx", "-5", "", "mb"] {
        assert_refused(&["node", "127.0.0.1:0", &format!("--maxmemory={size}")], 2, &["maxmemory"]);
    }
    let bad = &["node", "127.0.0.1:0", "--maxmemory-policy", "random"];
    assert_refused(bad, 2, &["maxmemory-policy", "allkeys-lru"]);
    assert_refused(&["node", "127.0.0.1:0", "--log-format", "xml"], 2, &["text", "json"]);
    assert_refused(&["node", "127.0.0.1:0", "--timeout", "x"], 2, &["timeout"]);
}

#[test]
fn addresses_that_are_none() {
    for addr in ["127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", ":5000", "", "[::1:5000"] {
        let output = refused(&["node", addr]);
        assert!(matches!(output.code, Some(1 | 2)), "{addr:?}: {output:#?}");
        assert!(output.err.contains(addr), "{addr:?} is not named: {output:#?}");
    }
    let unknown = refused(&["node", "no-such-host.invalid:0"]);
    assert_eq!(unknown.code, Some(1), "{unknown:#?}");
    assert!(unknown.err.contains("no-such-host.invalid"), "{unknown:#?}");
    let node = refused(&["coordinator", "127.0.0.1:0", "127.0.0.1"]);
    assert!(matches!(node.code, Some(1 | 2)), "{node:#?}");
}

#[test]
fn coordinators_need_different_nodes() {
    assert_refused(&["coordinator", "127.0.0.1:0"], 2, &["NODE"]);
    let twice = &["coordinator", "127.0.0.1:0", "127.0.0.1:5000", "127.0.0.1:5000"];
    let output = refused(twice);
    assert!(matches!(output.code, Some(1 | 2)), "{output:#?}");
    assert!(output.err.contains("127.0.0.1:5000"), "{output:#?}");
}

#[test]
fn an_environment_variable_with_a_mistake() {
    let output = run(larder(&["node", "127.0.0.1:0"]).env("LARDER_MAXMEMORY", "12xx"), b"");
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.err.to_lowercase().contains("maxmemory"), "{output:#?}");
}

#[test]
fn parameters_from_the_environment() {
    let mut command = larder(&["node", "127.0.0.1:0", "--timeout", "7"]);
    command.envs([("LARDER_MAXMEMORY", "64mb"), ("LARDER_MAXMEMORY_POLICY", "noeviction")]);
    command.env("LARDER_TIMEOUT", "9");
    let server = Server::spawn_command(command);
    let setting = |name: &str| cli(&server, &["--csv", "config", "get", name]);
    assert_eq!(setting("maxmemory").trim(), "\"maxmemory\",\"67108864\"");
    assert_eq!(setting("maxmemory-policy").trim(), "\"maxmemory-policy\",\"noeviction\"");
    assert_eq!(setting("timeout").trim(), "\"timeout\",\"7\"", "the flag comes first");
    assert!(server.stdout.join("\n").contains("noeviction"), "{:?}", server.stdout);
}

#[test]
fn help_of_each_role() {
    for (role, words) in [
        ("up", &["--host", "--port", "--nodes", "--maxmemory", "--requirepass", "6379"][..]),
        ("node", &["ADDR", "--maxmemory", "--maxmemory-policy", "--unixsocket", "--maxclients"]),
        ("coordinator", &["NODE", "--backend-timeout-ms", "--node-password-file", "--timeout"]),
        ("client", &["ADDR", "6379"]),
    ] {
        let help = run(&mut larder(&[role, "--help"]), b"");
        assert_eq!(help.code, Some(0), "{help:#?}");
        for word in words {
            assert!(help.out.contains(word), "no {word} in the help of {role}:\n{}", help.out);
        }
        if role != "client" {
            for word in ["--log-level", "--log-format", "--protected-mode", "--metrics", "LARDER_"]
            {
                assert!(help.out.contains(word), "no {word} in the help of {role}:\n{}", help.out);
            }
        }
    }
    let help = run(&mut larder(&["--help"]), b"");
    for role in ["up", "node", "coordinator", "client"] {
        assert!(help.out.contains(role), "{help:#?}");
    }
    let version = run(&mut larder(&["--version"]), b"").ok();
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
}

#[test]
fn the_first_lines_say_what_runs() {
    let up = Server::up(&["--nodes", "2"]);
    let text = up.stdout.join("\n");
    assert_eq!(up.nodes.len(), 2, "{text}");
    assert_eq!(text.matches("allkeys-lru").count().min(1), 1, "the policy: {text}");
    assert!(text.to_lowercase().contains("256"), "the memory of a node: {text}");
    assert!(text.contains(&up.addr) && text.contains("redis-cli"), "how to connect: {text}");
    for addr in [&up.addr, &up.nodes[0], &up.nodes[1]] {
        assert!(!addr.ends_with(":0"), "{text}");
        assert_eq!(Conn::tcp(addr).cmd("PING"), Value::Simple("PONG".into()));
    }
    let one_gb = Server::node(&["--maxmemory", "1gb"]);
    assert_eq!(
        cli(&one_gb, &["--csv", "config", "get", "maxmemory"]).trim(),
        "\"maxmemory\",\"1073741824\""
    );
}

#[test]
fn a_cache_without_a_limit_has_one() {
    let node = Server::node(&[]);
    let limit = node.conn().cmd("CONFIG GET maxmemory").items()[1].text();
    assert!(limit.parse::<u64>().unwrap() > 0, "{limit}");
    let unlimited = Server::node(&["--maxmemory", "0"]);
    let limit = unlimited.conn().cmd("CONFIG GET maxmemory").items()[1].text();
    assert_eq!(limit, "0");
}

#[test]
fn ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        crate::limits::say("startup::ipv6: this machine has no IPv6 loopback, nothing was tested");
        return;
    }
    let node = Server::spawn(&["node", "[::1]:0"]);
    let coordinator = Server::spawn(&["coordinator", "[::1]:0", &node.addr]);
    assert!(node.addr.starts_with("[::1]:"), "{}", node.addr);
    for server in [&node, &coordinator] {
        assert_eq!(server.conn().cmd("SET k v"), Value::Simple("OK".into()));
        assert_eq!(cli(server, &["get", "k"]), "v\n");
    }
}

#[test]
fn names() {
    let node = Server::spawn(&["node", "localhost:0"]);
    let by_name = format!("localhost:{}", node.port);
    let coordinator = Server::spawn(&["coordinator", "localhost:0", &by_name]);
    let answered = run(
        std::process::Command::new("redis-cli").args([
            "-h",
            "localhost",
            "-p",
            &coordinator.port.to_string(),
            "set",
            "k",
            "v",
        ]),
        b"",
    );
    assert_eq!(answered.ok(), "OK\n");
    assert_eq!(node.conn().cmd("GET k").text(), "v");
}

#[test]
fn unix_sockets() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let node_path = folder.path().join("node.sock");
    let path = folder.path().join("coordinator.sock");
    let node =
        Server::node(&["--unixsocket", node_path.to_str().unwrap(), "--unixsocketperm", "700"]);
    let mut coordinator = Server::coordinator(&[&node], &["--unixsocket", path.to_str().unwrap()]);
    let mode = std::fs::metadata(&node_path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for path in [&node_path, &path] {
        let mut command = std::process::Command::new("redis-cli");
        let printed = run(command.args(["-s", path.to_str().unwrap(), "set", "k", "v"]), b"");
        assert_eq!(printed.ok(), "OK\n");
        let mut monitor = Conn::unix(path);
        assert_eq!(monitor.cmd("MONITOR"), Value::Simple("OK".into()));
        assert_eq!(Conn::unix(path).cmd("GET k").text(), "v");
        let line = monitor.read().text();
        let expected = format!(" [0 unix:{}] \"GET\" \"k\"", path.display());
        assert!(line.ends_with(&expected), "{line}");
    }
    assert_eq!(cli(&node, &["get", "k"]), "v\n");
    assert_eq!(coordinator.terminate().code(), Some(0));
    assert!(!path.exists(), "the socket is removed at the end");
    // One that a killed process left behind is no obstacle.
    drop(node);
    assert!(node_path.exists());
    let node = Server::node(&["--unixsocket", node_path.to_str().unwrap()]);
    assert_eq!(Conn::unix(&node_path).cmd("PING"), Value::Simple("PONG".into()));
    // But one that is served is not taken away.
    let output = refused(&["node", "127.0.0.1:0", "--unixsocket", node_path.to_str().unwrap()]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.err.contains("node.sock"), "{output:#?}");
    assert_eq!(Conn::unix(&node_path).cmd("PING"), Value::Simple("PONG".into()));
    drop(node);
}

#[test]
fn an_unreachable_node_is_no_obstacle() {
    let addr = format!("127.0.0.1:{}", free_port());
    let began = Instant::now();
    let coordinator = Server::spawn(&["coordinator", "127.0.0.1:0", &addr]);
    assert!(began.elapsed() < Duration::from_secs(10));
    wait_for("a warning that names the node", Duration::from_secs(5), || {
        let logged = coordinator.stderr();
        logged.lines().any(|line| line.contains(&addr) && line.contains("WARN"))
    });
    let reply = coordinator.conn().cmd("GET k");
    assert!(reply.text().starts_with("CLUSTERDOWN"), "{reply:?}");
}

#[test]
fn log_levels_and_formats() {
    let quiet = Server::node(&["--log-level", "error"]);
    let talkative = Server::node(&["--log-level", "debug"]);
    let plain = Server::node(&[]);
    for server in [&quiet, &talkative, &plain] {
        cli(server, &["set", "k", "v"]);
    }
    assert_eq!(quiet.stderr(), "");
    assert!(talkative.stderr().len() >= plain.stderr().len());
    let before = plain.stderr();
    cli(&plain, &["-r", "100", "get", "k"]);
    assert_eq!(plain.stderr(), before, "nothing is logged per request at the default level");

    let dead = format!("127.0.0.1:{}", free_port());
    let mut json = Server::spawn(&[
        "coordinator",
        "127.0.0.1:0",
        &dead,
        &plain.addr,
        "--log-format",
        "json",
        "--log-level",
        "debug",
    ]);
    cli(&json, &["ping"]);
    let unanswered = run(&mut redis_cli(&json, &["mget", "a", "b", "c", "d"]), b"");
    assert!(unanswered.out.contains("CLUSTERDOWN"), "{unanswered:?}");
    wait_for("something logged", Duration::from_secs(5), || json.stderr().contains(&dead));
    assert_eq!(json.terminate().code(), Some(0));
    std::thread::sleep(Duration::from_millis(50));
    let check = "import json, sys\nfor line in sys.stdin:\n  entry = json.loads(line)\n  assert 'level' in entry, entry";
    let mut python = std::process::Command::new(crate::tools::interpreter());
    run(python.args(["-c", check]), json.stderr().as_bytes()).ok();
}
