//! Every command, its options, its errors: each case is written once and run four times, against
//! a node and against a coordinator over three nodes, in RESP2 and in RESP3.
//!
//! With `LARDER_TEST_ORACLE=1` the same cases run against a redis-server 7.0 instead: what they
//! expect is what Redis answers.

mod bits;
mod clients;
mod cluster;
mod connection;
mod expiry;
mod info;
mod introspection;
mod keys;
mod keyspace;
mod larder;
mod latency;
mod memory;
mod monitor;
mod multikey;
mod numbers;
mod ranges;
mod server;
mod settings;
mod slowlog;
mod strings;
mod transactions;

use crate::util::{Conn, Server, Value};
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

/// What a case runs against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    Node,
    Coordinator,
}

/// A coordinator, and the nodes that must live as long.
pub struct Cluster {
    pub coordinator: Server,
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// Three nodes and a coordinator that takes the arguments.
    pub fn start(args: &[&str]) -> Cluster {
        let nodes: Vec<Server> = (0..3).map(|_| Server::node(&[])).collect();
        let coordinator = Server::coordinator(&nodes.iter().collect::<Vec<_>>(), args);
        Cluster { coordinator, nodes }
    }
}

/// Servers of a role, of one case or shared by all that touch only keys of their own.
pub enum Target {
    One(Server),
    Many(Cluster),
}

impl Target {
    fn start(role: Role, args: &[&str]) -> Target {
        match role {
            _ if oracle() => Target::One(Server::redis(args)),
            Role::Node => Target::One(Server::node(args)),
            Role::Coordinator => Target::Many(Cluster::start(args)),
        }
    }

    fn shared(role: Role) -> &'static Target {
        static NODE: OnceLock<Target> = OnceLock::new();
        static COORDINATOR: OnceLock<Target> = OnceLock::new();
        match role {
            Role::Coordinator if !oracle() => &COORDINATOR,
            _ => &NODE,
        }
        .get_or_init(|| Target::start(role, &[]))
    }

    pub fn server(&self) -> &Server {
        match self {
            Target::One(server) => server,
            Target::Many(cluster) => &cluster.coordinator,
        }
    }
}

/// Whether the cases are held against redis-server.
pub fn oracle() -> bool {
    std::env::var_os("LARDER_TEST_ORACLE").is_some()
}

/// A case's connection, with what it expects. In every line `{t}` is a hash tag of this run of
/// the case (keys that share a slot), `{p}` a prefix without one (keys all over the cluster).
pub struct Cx<'a> {
    pub conn: Conn,
    pub server: &'a Server,
    pub role: Role,
    /// 2 or 3.
    pub proto: u8,
    key: String,
    failures: Vec<String>,
}

type Case = fn(&mut Cx);

/// Runs a case on the servers that all share.
fn run_shared(role: Role, name: &str, case: Case) {
    if role == Role::Coordinator && oracle() {
        return;
    }
    run(Target::shared(role).server(), role, name, case);
}

/// Runs a case on servers of its own, for what concerns all keys or settings.
fn run_private(role: Role, name: &str, case: Case) {
    if role == Role::Coordinator && oracle() {
        return;
    }
    run(Target::start(role, &[]).server(), role, name, case);
}

fn run(server: &Server, role: Role, name: &str, case: Case) {
    // From `tests::commands::strings::node` and the case's name.
    let module = name.split("::").filter(|part| !["tests", "commands", "node"].contains(part));
    let name = module.filter(|part| *part != "coordinator").collect::<Vec<_>>().join(".");
    for proto in [2, 3] {
        let mut cx = Cx {
            conn: if proto == 2 { server.conn() } else { server.conn3() },
            server,
            role,
            proto,
            key: format!("{name}.{proto}"),
            failures: Vec::new(),
        };
        case(&mut cx);
        let failures = cx.failures;
        assert!(
            failures.is_empty(),
            "{} differences, {role:?}, RESP{proto}:\n{}",
            failures.len(),
            failures.join("\n")
        );
    }
}

impl Cx<'_> {
    /// The line with `{t}` and `{p}` replaced.
    pub fn key(&self, line: &str) -> String {
        line.replace("{t}", &format!("{{{}}}", self.key)).replace("{p}", &format!("{}:", self.key))
    }

    /// Another connection of the same protocol.
    pub fn connect(&self) -> Conn {
        if self.proto == 2 { self.server.conn() } else { self.server.conn3() }
    }

    /// Servers of this role and of this case's own, with arguments.
    pub fn fresh(&self, args: &[&str]) -> Target {
        Target::start(self.role, args)
    }

    /// Sends a line and returns the reply.
    pub fn get(&mut self, line: &str) -> Value {
        let line = self.key(line);
        self.conn.cmd(&line)
    }

    /// Notes a difference; the case goes on.
    pub fn fail(&mut self, line: &str, got: impl Debug, want: impl Debug) {
        self.failures.push(format!("  {line}\n    got  {got:?}\n    want {want:?}"));
    }

    /// Expects that a condition holds, with what it is about.
    pub fn check(&mut self, holds: bool, line: &str, got: impl Debug) {
        if !holds {
            self.fail(line, got, "(see the case)");
        }
    }

    /// Expects a reply, given as it is in RESP3.
    pub fn expect(&mut self, line: &str, want: Value) {
        let want = self.translate(want);
        let got = self.get(line);
        if got != want {
            self.fail(line, got, want);
        }
    }

    pub fn ok(&mut self, line: &str) {
        self.expect(line, simple("OK"));
    }

    pub fn int(&mut self, line: &str, want: i64) {
        self.expect(line, Value::Int(want));
    }

    pub fn bulk(&mut self, line: &str, want: &str) {
        self.expect(line, bulk(want));
    }

    pub fn nil(&mut self, line: &str) {
        self.expect(line, Value::Null);
    }

    pub fn error(&mut self, line: &str, want: &str) {
        self.expect(line, Value::Error(want.to_owned()));
    }

    /// Expects bytes, which are not text.
    pub fn bytes(&mut self, line: &str, want: &[u8]) {
        self.expect(line, Value::Bulk(want.to_vec()));
    }

    /// Expects an integer in a range, and returns it.
    pub fn within(&mut self, line: &str, want: RangeInclusive<i64>) -> i64 {
        match self.get(line) {
            Value::Int(number) if want.contains(&number) => return number,
            got => self.fail(line, got, want),
        }
        0
    }

    /// Expects that each of these lines has a wrong number of arguments for `name`.
    pub fn arity(&mut self, name: &str, lines: &[&str]) {
        for line in lines {
            self.error(line, &format!("ERR wrong number of arguments for '{name}' command"));
        }
    }

    /// Expects the same error of each of these lines.
    pub fn errors(&mut self, want: &str, lines: &[&str]) {
        for line in lines {
            self.error(line, want);
        }
    }

    /// Expects an array in any order.
    pub fn unordered(&mut self, line: &str, want: &[&str]) {
        let got = self.get(line);
        let Value::Array(items) = &got else {
            return self.fail(line, got, want);
        };
        let mut items: Vec<String> = items.iter().map(Value::text).collect();
        let mut wanted: Vec<String> = want.iter().map(|item| self.key(item)).collect();
        items.sort();
        wanted.sort();
        if items != wanted {
            self.fail(line, items, wanted);
        }
    }

    /// What a RESP3 reply is in this connection's protocol, with the keys of this run.
    fn translate(&self, value: Value) -> Value {
        let all = |items: Vec<Value>| items.into_iter().map(|item| self.translate(item)).collect();
        match (value, self.proto) {
            (Value::Bulk(bytes), _) => match String::from_utf8(bytes) {
                Ok(text) => Value::Bulk(self.key(&text).into_bytes()),
                Err(error) => Value::Bulk(error.into_bytes()),
            },
            (Value::Error(text), _) => Value::Error(self.key(&text)),
            (Value::Array(items), _) => Value::Array(all(items)),
            (Value::NullArray, 3) => Value::Null,
            (Value::Map(pairs), 3) => Value::Map(
                pairs.into_iter().map(|(k, v)| (self.translate(k), self.translate(v))).collect(),
            ),
            (Value::Map(pairs), _) => {
                Value::Array(all(pairs.into_iter().flat_map(|(k, v)| [k, v]).collect()))
            }
            (Value::Set(items), 3) => Value::Set(all(items)),
            (Value::Set(items), _) => Value::Array(all(items)),
            (Value::Verbatim(_, bytes), 2) => Value::Bulk(bytes),
            (Value::Bool(truth), 2) => Value::Int(truth.into()),
            (Value::Double(number), 2) => bulk(&number.to_string()),
            (Value::BigNumber(digits), 2) => bulk(&digits),
            (value, _) => value,
        }
    }
}

fn simple(text: &str) -> Value {
    Value::Simple(text.to_owned())
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

/// An array of these values.
fn array(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

/// An array of these texts.
fn bulks(items: &[&str]) -> Value {
    array(items.iter().map(|item| bulk(item)))
}

const NOT_INT: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";

/// Makes two tests of each case function: `node::NAME` and `coordinator::NAME`.
macro_rules! cases {
    ($run:ident: $($name:ident),* $(,)?) => {
        mod node {
            $(#[test]
            fn $name() {
                let name = concat!(module_path!(), "::", stringify!($name));
                crate::commands::$run(crate::commands::Role::Node, name, super::$name);
            })*
        }
        mod coordinator {
            $(#[test]
            fn $name() {
                let name = concat!(module_path!(), "::", stringify!($name));
                crate::commands::$run(crate::commands::Role::Coordinator, name, super::$name);
            })*
        }
    };
}
use cases;
