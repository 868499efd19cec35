//! What every integration test uses: real server processes, and connections that speak RESP to them.
//!
//! A [`Server`] is a process of the real binary (or of redis-server, the oracle) that dies with its
//! handle, and also with the test process, however that ends. A [`Conn`] is a blocking connection;
//! its parser is its own, so that the tests share no code with what they test.

mod conn;
pub mod http;
pub mod terminal;
mod value;

pub use conn::{Conn, request};
pub use value::Value;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a server may take until it says that it is ready.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running server process, stopped when this is dropped.
pub struct Server {
    /// `host:port` of the first server line; of the coordinator for `up`.
    pub addr: String,
    pub host: String,
    pub port: u16,
    /// Addresses of the `node` lines (several for `up`).
    pub nodes: Vec<String>,
    /// What it printed until it was ready, a line each.
    pub stdout: Vec<String>,
    child: Child,
    watchdog: Child,
    logged: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    /// `larder node 127.0.0.1:0 args...`
    pub fn node(args: &[&str]) -> Server {
        Server::spawn(&[&["node", "127.0.0.1:0"], args].concat())
    }

    /// `larder coordinator 127.0.0.1:0 NODE... args...`
    pub fn coordinator(nodes: &[&Server], args: &[&str]) -> Server {
        let addresses: Vec<&str> = nodes.iter().map(|node| node.addr.as_str()).collect();
        Server::spawn(&[&["coordinator", "127.0.0.1:0"], &addresses[..], args].concat())
    }

    /// `larder up --port 0 args...`
    pub fn up(args: &[&str]) -> Server {
        Server::spawn(&[&["up", "--port", "0"], args].concat())
    }

    /// Any larder command line that starts a server.
    pub fn spawn(args: &[&str]) -> Server {
        Server::spawn_command(larder(args))
    }

    /// A prepared `larder` command (environment, directory), see [`larder`].
    pub fn spawn_command(mut command: Command) -> Server {
        let (mut server, lines) = Server::launch(&mut command);
        server.read_until(&lines, |line| line.starts_with("Ready"));
        let listening: Vec<(String, String)> = server
            .stdout
            .iter()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                Some((words.next()?.to_owned(), words.next()?.to_owned()))
            })
            .filter(|(role, addr)| {
                matches!(role.as_str(), "node" | "coordinator") && addr.contains(':')
            })
            .collect();
        server.nodes = listening
            .iter()
            .filter(|(role, _)| role == "node")
            .map(|(_, addr)| addr.clone())
            .collect();
        let main = listening
            .iter()
            .find(|(role, _)| role == "coordinator")
            .or(listening.first())
            .unwrap_or_else(|| panic!("no server line among {:?}", server.stdout));
        server.set_addr(main.1.clone());
        server
    }

    /// A real redis-server on a free port, without persistence: the oracle.
    pub fn redis(args: &[&str]) -> Server {
        for _ in 0..20 {
            let port = free_port().to_string();
            let mut command = Command::new("redis-server");
            command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
            command.args(["--appendonly", "no", "--enable-debug-command", "yes"]);
            command.args(args).current_dir(std::env::temp_dir());
            let probe = Command::new("redis-server").arg("--version").output();
            assert!(probe.is_ok(), "redis-server is missing: tests/run installs it");
            let (mut server, lines) = Server::launch(&mut command);
            // A port that somebody took meanwhile ends the process: try another.
            if server.try_read_until(&lines, |line| line.contains("Ready to accept")).is_ok() {
                server.set_addr(format!("127.0.0.1:{port}"));
                return server;
            }
        }
        panic!("redis-server found no free port");
    }

    /// Another program that serves on this address: it is ready when it takes connections.
    pub fn program(mut command: Command, addr: &str) -> Server {
        let (mut server, lines) = Server::launch(&mut command);
        drop(lines);
        server.set_addr(addr.to_owned());
        wait_for(&format!("{command:?} listens"), START_LIMIT, || {
            assert!(server.alive(), "{command:?} ended:\n{}", server.stderr());
            std::net::TcpStream::connect(addr).is_ok()
        });
        server
    }

    fn launch(command: &mut Command) -> (Server, Receiver<String>) {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{command:?} does not start: {error}; tests/run installs what is missing")
            });
        // Holds the other end of a pipe from this process: when this process is gone, however it
        // went, the pipe closes and the server is killed. Statics are never dropped, servers in
        // them would outlive the tests.
        let watchdog = Command::new("sh")
            .args(["-c", "trap '' INT; read -r _; kill -9 \"$0\" 2>/dev/null"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let logged = Arc::new(Mutex::new(Vec::new()));
        let mut stderr = child.stderr.take().unwrap();
        let sink = Arc::clone(&logged);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(16);
        std::thread::spawn(move || {
            // Goes on when nobody listens any more: a full pipe would stop the server.
            for line in stdout.lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        let server = Server {
            addr: String::new(),
            host: String::new(),
            port: 0,
            nodes: Vec::new(),
            stdout: Vec::new(),
            child,
            watchdog,
            logged,
        };
        (server, lines)
    }

    fn set_addr(&mut self, addr: String) {
        let (host, port) = addr.rsplit_once(':').expect("an address has a port");
        self.host = host.trim_matches(['[', ']']).to_owned();
        self.port = port.parse().expect("a port is a number");
        self.addr = addr;
    }

    fn read_until(&mut self, lines: &Receiver<String>, ready: impl Fn(&str) -> bool) {
        if let Err(why) = self.try_read_until(lines, ready) {
            // What it logs last may still be on its way.
            std::thread::sleep(Duration::from_millis(100));
            let (out, err) = (self.stdout.join("\n"), self.stderr());
            panic!("the server {why}\n--- stdout\n{out}\n--- stderr\n{err}");
        }
    }

    fn try_read_until(
        &mut self,
        lines: &Receiver<String>,
        ready: impl Fn(&str) -> bool,
    ) -> Result<(), &'static str> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let done = ready(line.trim());
                    self.stdout.push(line);
                    if done {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err("was not ready in time"),
                Err(RecvTimeoutError::Disconnected) => return Err("ended before it was ready"),
            }
        }
    }

    /// A connection that speaks RESP2.
    pub fn conn(&self) -> Conn {
        Conn::tcp(&self.addr)
    }

    /// A connection after `HELLO 3`.
    pub fn conn3(&self) -> Conn {
        let mut conn = self.conn();
        let hello = conn.cmd("HELLO 3");
        assert!(matches!(hello, Value::Map(_)), "HELLO 3 answered {hello:?}");
        conn
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        // Before the process is reaped: afterwards its id may belong to another.
        self.watchdog.kill().ok();
        self.watchdog.wait().ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
        // One thread takes the signal and stops the others: on a busy machine these go on for a while.
        wait_for("all threads are stopped", Duration::from_secs(10), || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
            tasks.into_iter().flatten().flatten().all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
            })
        });
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Sends a signal by its name, `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("kill is there").success(), "kill -{name} failed");
    }

    /// SIGTERM, then how it ended; panics when it has not after 10 s.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_exit(Duration::from_secs(10))
    }

    /// Waits until the process has ended by itself; panics when it does not in time.
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.watchdog.kill().ok();
                self.watchdog.wait().ok();
                return status;
            }
            assert!(Instant::now() < deadline, "still runs; it logged:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the process still runs.
    pub fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it logged so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.logged.lock().unwrap()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.alive() {
            self.signal("CONT");
        }
        self.kill();
    }
}

/// The real binary with these arguments, free of settings from the caller's environment.
pub fn larder(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LARDER_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// A TCP port of 127.0.0.1 that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Polls every 5 ms until `f` holds; panics with `what` when it does not in time.
pub fn wait_for(what: &str, timeout: Duration, mut f: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !f() {
        assert!(Instant::now() < deadline, "waited {timeout:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
