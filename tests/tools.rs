//! Stock tools as people use them: redis-cli, redis-benchmark, Python's clients, redis_exporter and Prometheus.

mod benchmark;
mod cli;
mod exporter;
mod prometheus;
mod python;

pub(crate) use python::interpreter;

use crate::commands::Cluster;
use crate::util::{Server, Value};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a tool may run.
const LIMIT: Duration = Duration::from_secs(180);

/// What a tool that ended has said.
#[derive(Debug)]
pub struct Output {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Output {
    /// The standard output of a tool that succeeded and complained about nothing.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        // redis-cli says what went wrong in words and ends with 0 all the same.
        let complaints = ["ERR", "Error", "error:", "WARNING", "Could not", "failed", "refused"];
        for complaint in complaints {
            assert!(!self.out.contains(complaint), "{complaint} in {self:#?}");
            assert!(!self.err.contains(complaint), "{complaint} in {self:#?}");
        }
        self.out
    }
}

/// Runs a command to its end, with this on its standard input.
pub fn run(command: &mut Command, stdin: &[u8]) -> Output {
    run_within(command, stdin, LIMIT)
}

/// The same with a limit of its own; it is killed and the test fails when it takes longer.
pub fn run_within(command: &mut Command, stdin: &[u8], limit: Duration) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs what is missing"));
    let mut pipe = child.stdin.take().unwrap();
    let input = stdin.to_vec();
    // A tool that ends without having read everything is no failure here: its exit code counts.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let out = collect(child.stdout.take().unwrap());
    let err = collect(child.stderr.take().unwrap());
    let deadline = Instant::now() + limit;
    let mut late = false;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if !late && Instant::now() > deadline {
            late = true;
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    writer.join().unwrap();
    let output = Output { code, out: out.join().unwrap(), err: err.join().unwrap() };
    assert!(!late, "{command:?} was not done in {limit:?}: {output:#?}");
    output
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The first lines of a tool that goes on for ever; it is stopped then.
fn first_lines(mut command: Command, count: usize) -> Vec<String> {
    let mut child: Child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs what is missing"));
    let pipe = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        pipe.lines().map_while(Result::ok).take(count).collect::<Vec<_>>()
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reader.is_finished() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = reader.join().unwrap();
    assert_eq!(lines.len(), count, "{command:?} wrote only {lines:#?}");
    lines
}

/// `redis-cli -h HOST -p PORT args...` for this server.
pub fn redis_cli(server: &Server, args: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-h", &server.host, "-p", &server.port.to_string()]).args(args);
    command.env_remove("REDISCLI_AUTH");
    command
}

/// What `redis-cli args...` prints, when all goes well.
#[track_caller]
pub fn cli(server: &Server, args: &[&str]) -> String {
    run(&mut redis_cli(server, args), b"").ok()
}

/// Runs a case on a node, then on a coordinator over three nodes.
pub fn on_both(case: impl Fn(&Server)) {
    println!("on a node");
    case(&Server::node(&[]));
    println!("on a coordinator");
    let cluster = Cluster::start(&[]);
    case(&cluster.coordinator);
}

/// Whether a reply is an error.
pub fn failed(reply: &Value) -> bool {
    matches!(reply, Value::Error(_))
}
