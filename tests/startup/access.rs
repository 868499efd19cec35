//! Who may use a server: passwords, and protected mode beyond loopback.

use crate::tools::{redis_cli, run};
use crate::util::{Server, Value, larder, wait_for};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NOAUTH: &str = "NOAUTH Authentication required.";
const NOAUTH_HELLO: &str =
    "NOAUTH HELLO must be called with the client already authenticated, otherwise";
const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// The server wants this password, and nothing else does.
fn check_password(server: &Server, password: &str) {
    let error = |text: &str| Value::Error(text.into());
    let ok = Value::Simple("OK".into());
    let mut conn = server.conn();
    for line in ["PING", "GET k", "INFO", "CONFIG GET *", "SHUTDOWN", "MULTI"] {
        assert_eq!(conn.cmd(line), error(NOAUTH), "{line}");
    }
    assert!(conn.cmd("HELLO 3").text().starts_with(NOAUTH_HELLO));
    assert_eq!(conn.cmd("AUTH wrong"), error(WRONGPASS));
    assert_eq!(conn.cmd("AUTH someone password"), error(WRONGPASS));
    assert_eq!(conn.cmd("PING"), error(NOAUTH));
    assert_eq!(conn.cmd(&format!("AUTH {password}")), ok);
    assert_eq!(conn.cmd("PING"), Value::Simple("PONG".into()));
    let mut conn = server.conn();
    let hello = conn.cmd(&format!("HELLO 3 AUTH default {password}"));
    assert!(matches!(hello, Value::Map(_)), "{hello:?}");
    assert_eq!(conn.cmd("SET k v"), ok);

    let with_password = run(&mut redis_cli(server, &["-a", password, "get", "k"]), b"");
    assert_eq!(with_password.out, "v\n", "{with_password:?}");
    let without = run(&mut redis_cli(server, &["get", "k"]), b"");
    assert!(without.out.starts_with("NOAUTH"), "{without:?}");
}

#[test]
fn password_by_flag() {
    check_password(&Server::node(&["--requirepass", "secret"]), "secret");
    let node = Server::node(&[]);
    check_password(&Server::coordinator(&[&node], &["--requirepass", "secret"]), "secret");
}

#[test]
fn password_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    // The line's end does not belong to it.
    std::fs::write(&path, "from-a-file\n").unwrap();
    let path = path.to_str().unwrap();
    let node = Server::node(&["--requirepass-file", path]);
    check_password(&node, "from-a-file");
    let coordinator =
        Server::coordinator(&[&node], &["--requirepass-file", path, "--node-password-file", path]);
    check_password(&coordinator, "from-a-file");
    let missing = folder.path().join("nosuch");
    let missing = missing.to_str().unwrap();
    super::assert_refused(&["node", "127.0.0.1:0", "--requirepass-file", missing], 1, &[missing]);
}

#[test]
fn password_by_environment() {
    let mut command = larder(&["node", "127.0.0.1:0"]);
    command.env("LARDER_REQUIREPASS", "from-the-environment");
    check_password(&Server::spawn_command(command), "from-the-environment");
}

#[test]
fn password_of_up_is_that_of_every_server() {
    let up = Server::up(&["--requirepass", "secret"]);
    check_password(&up, "secret");
    for node in &up.nodes {
        let reply = crate::util::Conn::tcp(node).cmd("PING");
        assert_eq!(reply, Value::Error(NOAUTH.into()), "{node}");
    }
}

#[test]
fn password_at_run_time() {
    let node = Server::node(&[]);
    let mut before = node.conn();
    assert_eq!(
        before.cmd("AUTH secret").text(),
        "ERR AUTH <password> called without any password configured for the default user. \
         Are you sure your configuration is correct?"
    );
    assert_eq!(before.cmd("CONFIG SET requirepass secret"), Value::Simple("OK".into()));
    assert_eq!(before.cmd("PING"), Value::Simple("PONG".into()), "who is in stays in");
    check_password(&node, "secret");
    let shown = before.cmd("CONFIG GET requirepass");
    assert!(!format!("{shown:?}").contains("\"secret\""), "{shown:?}");
    assert_eq!(before.cmd("CONFIG SET requirepass \"\""), Value::Simple("OK".into()));
    assert_eq!(node.conn().cmd("PING"), Value::Simple("PONG".into()));
}

#[test]
fn the_password_is_nowhere_in_the_log() {
    let mut node = Server::node(&["--requirepass", "very-secret", "--log-level", "trace"]);
    check_password(&node, "very-secret");
    node.terminate();
    let told = node.stderr() + &node.stdout.join("\n");
    assert!(!told.contains("very-secret"), "{told}");
}

/// A network of its own with two hosts: a server on one, clients on the other.
struct Network {
    server: Server,
    client: Child,
}

const SERVER_ADDR: &str = "10.83.1.1";

impl Network {
    /// `None` where the test may not make networks (that takes root, or user namespaces).
    fn start() -> Option<Network> {
        let allowed = Command::new("unshare").args(["-n", "true"]).output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]);
        let server = larder(&["node", "0.0.0.0:0"]);
        command.arg(server.get_program()).args(server.get_args());
        let server = Server::spawn_command(command);
        let client = Command::new("unshare")
            .args(["-n", "sleep", "60"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let network = Network { server, client };
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        wait_for("the client's network", Duration::from_secs(5), || {
            std::fs::read_link(format!("/proc/{}/ns/net", network.client.id()))
                .is_ok_and(|link| link != own)
        });
        let (server, client) = (network.server.pid(), network.client.id());
        let steps = [
            (server, format!("ip link add s0 type veth peer name c0 netns {client}")),
            (server, format!("ip addr add {SERVER_ADDR}/30 dev s0")),
            (server, "ip link set s0 up".to_owned()),
            (client, "ip addr add 10.83.1.2/30 dev c0".to_owned()),
            (client, "ip link set c0 up".to_owned()),
        ];
        for (host, step) in steps {
            let output = run(on_host(host, "sh").args(["-c", &step]), b"");
            if output.code != Some(0) {
                return None;
            }
        }
        Some(network)
    }

    /// redis-cli on the server's own host, over loopback.
    fn near(&self, args: &[&str]) -> String {
        self.cli(self.server.pid(), "127.0.0.1", args)
    }

    /// redis-cli on the other host.
    fn far(&self, args: &[&str]) -> String {
        self.cli(self.client.id(), SERVER_ADDR, args)
    }

    fn cli(&self, host: u32, addr: &str, args: &[&str]) -> String {
        let mut command = on_host(host, "redis-cli");
        command.args(["-h", addr, "-p", &self.server.port.to_string()]).args(args);
        let output = run(&mut command, b"");
        output.out + &output.err
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.client.kill());
        drop(self.client.wait());
    }
}

/// A command in the network of a process.
fn on_host(pid: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid.to_string(), "-n", program]);
    command
}

#[test]
fn protected_mode() {
    let Some(network) = Network::start() else {
        crate::limits::say(
            "startup::access::protected_mode: needs root and network namespaces, \
             refusing foreign clients was NOT tested",
        );
        let server = Server::spawn(&["node", "0.0.0.0:0"]);
        let loopback = format!("127.0.0.1:{}", server.port);
        let reply = crate::util::Conn::tcp(&loopback).cmd("PING");
        assert_eq!(reply, Value::Simple("PONG".into()));
        return;
    };
    assert_eq!(network.near(&["set", "k", "v"]), "OK\n");
    let refused = network.far(&["get", "k"]);
    assert!(refused.contains("DENIED"), "{refused}");
    assert!(refused.contains("requirepass") || refused.contains("protected-mode"), "{refused}");

    assert_eq!(network.near(&["config", "set", "requirepass", "secret"]), "OK\n");
    let with_password = ["--no-auth-warning", "-a", "secret", "get", "k"];
    assert_eq!(network.far(&with_password), "v\n", "a password opens it");
    assert!(network.far(&["get", "k"]).starts_with("NOAUTH"));

    let near = ["--no-auth-warning", "-a", "secret", "config", "set", "requirepass", ""];
    assert_eq!(network.near(&near), "OK\n");
    assert!(network.far(&["get", "k"]).contains("DENIED"));
    assert_eq!(network.near(&["config", "set", "protected-mode", "no"]), "OK\n");
    assert_eq!(network.far(&["get", "k"]), "v\n");
}
