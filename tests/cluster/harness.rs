//! Starts members of a cluster, each a process with a directory of its own, and waits for what they agree on.

use crate::util::{Conn, Server, Value, larder};
use serde_json::Value as Json;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a cluster may take to agree on something, on a busy machine: 5 times what it needs at worst.
pub const AGREE: Duration = Duration::from_secs(20);
/// All slots that there are.
const SLOTS: u64 = 16384;

/// What all members of a cluster share: a key, and a place for their directories.
pub struct Home {
    pub dir: TempDir,
}

impl Home {
    pub fn new() -> Home {
        let home = Home { dir: tempfile::tempdir().unwrap() };
        let made = larder(&["cluster", "keygen", &home.key()]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        home
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn key(&self) -> String {
        self.path("key")
    }

    /// The command line of a member; `role` also names its directory, with a number of its own.
    fn args(&self, role: &str, join: &[&str], extra: &[&str]) -> Vec<String> {
        let number = std::fs::read_dir(self.dir.path()).unwrap().count();
        let data = self.path(&format!("{role}-{number}"));
        std::fs::create_dir(&data).unwrap();
        let (key, join) = (self.key(), join.join(","));
        let mut args = vec![role, "127.0.0.1:0", "--cluster-addr", "127.0.0.1:0"];
        args.extend(["--cluster-key-file", &key, "--data-dir", &data]);
        if !join.is_empty() {
            args.extend(["--join", &join]);
        }
        // Else it depends on what the machine has free just then.
        if role == "node" && !extra.contains(&"--maxmemory") {
            args.extend(["--maxmemory", "100mb"]);
        }
        args.extend(extra);
        args.into_iter().map(str::to_owned).collect()
    }

    /// A coordinator that joins at these addresses; without any it is the authority.
    pub fn coordinator(&self, join: &[&str], extra: &[&str]) -> Member {
        Member::start(self.args("coordinator", join, extra))
    }

    pub fn node(&self, join: &[&str], extra: &[&str]) -> Member {
        Member::start(self.args("node", join, extra))
    }
}

/// A process of a cluster, which can be started again as the same member.
pub struct Member {
    pub server: Server,
    /// Where it listens for other members.
    pub control: String,
    pub id: String,
    pub fingerprint: String,
    pub data: String,
    args: Vec<String>,
}

impl Member {
    fn start(mut args: Vec<String>) -> Member {
        let server = spawn(&args);
        let line = server.stdout.iter().find(|line| line.starts_with("member "));
        let line = line.unwrap_or_else(|| panic!("no line of a member: {:?}", server.stdout));
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let [_, control, _, id, _, _, fingerprint] = words[..] else { panic!("{line}") };
        let (control, id) = (control.to_owned(), id.to_owned());
        let fingerprint = fingerprint.to_owned();
        // The next life is where others know it.
        args[1].clone_from(&server.addr);
        args[3].clone_from(&control);
        let data = args[7].clone();
        Member { server, control, id, fingerprint, data, args }
    }

    /// Another life of the same member, at the same addresses, after the last one has ended.
    pub fn restart(&mut self) {
        self.server = spawn(&self.args);
        let line = self.server.stdout.iter().find(|line| line.starts_with("member ")).unwrap();
        assert!(line.contains(&self.control) && line.contains(&self.id), "{line}");
    }

    /// What `LARDER CLUSTER` says.
    pub fn overview(&self) -> Json {
        overview(&mut self.server.conn())
    }

    /// Waits until a line is logged that has all these words in it.
    #[track_caller]
    pub fn wait_logged(&self, words: &[&str]) {
        let deadline = Instant::now() + AGREE;
        loop {
            let logged = self.server.stderr();
            if logged.lines().any(|line| words.iter().all(|word| line.contains(word))) {
                return;
            }
            assert!(Instant::now() < deadline, "no line with {words:?} in:\n{logged}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn spawn(args: &[String]) -> Server {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Server::spawn(&args)
}

/// What `LARDER CLUSTER` says here.
pub fn overview(conn: &mut Conn) -> Json {
    let reply = conn.cmd("LARDER CLUSTER");
    serde_json::from_str(&reply.text()).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

/// How many slots each node has by this table; of those nodes only that are in it.
pub fn shares(overview: &Json) -> Vec<(String, u64)> {
    let nodes = overview["nodes"].as_array().unwrap();
    let share =
        |node: &Json| (node[0]["id"].as_str().unwrap().to_owned(), node[1].as_u64().unwrap());
    nodes.iter().map(share).collect()
}

/// Whether all slots are evenly owned by so many nodes, all of which are up, and nothing changes.
pub fn is_settled(overview: &Json, nodes: usize) -> bool {
    let shares = shares(overview);
    let slots: Vec<u64> = shares.iter().map(|(_, slots)| *slots).collect();
    let status = &overview["status"];
    let is_quiet = ["releasing", "unowned", "joining"].iter().all(|name| status[name] == 0);
    slots.len() == nodes
        && slots.iter().sum::<u64>() == SLOTS
        && slots.iter().max().unwrap() - slots.iter().min().unwrap() <= 1
        && overview["down"].as_array().unwrap().is_empty()
        && is_quiet
}

/// A cluster of one coordinator, the authority, and nodes; others may join.
pub struct Cluster {
    /// The authority is first.
    pub coordinators: Vec<Member>,
    pub nodes: Vec<Member>,
    pub home: Home,
}

impl Cluster {
    /// Waits until all slots are served.
    pub fn start(nodes: usize) -> Cluster {
        Cluster::start_with(nodes, 0)
    }

    /// The same with coordinators that follow.
    pub fn start_with(nodes: usize, followers: usize) -> Cluster {
        let home = Home::new();
        let authority = home.coordinator(&[], &[]);
        let mut cluster = Cluster { coordinators: vec![authority], nodes: Vec::new(), home };
        for _ in 0..nodes {
            cluster.add_node();
        }
        for _ in 0..followers {
            let join = cluster.authority().control.clone();
            let follower = cluster.home.coordinator(&[&join], &[]);
            cluster.coordinators.push(follower);
        }
        cluster.wait_settled(nodes);
        cluster
    }

    pub fn authority(&self) -> &Member {
        &self.coordinators[0]
    }

    /// A connection to the authority.
    pub fn conn(&self) -> Conn {
        self.authority().server.conn()
    }

    /// Another node, which joins at the authority.
    pub fn add_node(&mut self) {
        let join = self.authority().control.clone();
        self.nodes.push(self.home.node(&[&join], &[]));
    }

    /// Waits until so many nodes share all slots and every coordinator serves them.
    #[track_caller]
    pub fn wait_settled(&self, nodes: usize) {
        for coordinator in &self.coordinators {
            coordinator.wait_settled(nodes);
        }
    }

    /// Stores keys, each with its name as value, until each node has so many of them. By node.
    pub fn owned_keys(&self, prefix: &str, count: usize) -> Vec<Vec<String>> {
        let mut conn = self.conn();
        let all = (0..100 * count).map(|number| format!("{prefix}:{number}"));
        let all: Vec<String> = all.collect();
        for keys in all.chunks(100) {
            let pairs: Vec<String> = keys.iter().map(|key| format!("{key} {key}")).collect();
            assert_eq!(conn.cmd(&format!("MSET {}", pairs.join(" "))), Value::Simple("OK".into()));
        }
        let keys_of = |node: &Member| {
            let held = node.server.conn().cmd(&format!("KEYS {prefix}:*"));
            let mut keys: Vec<String> = held.items().iter().map(Value::text).collect();
            assert!(keys.len() >= count, "an even table: {}", keys.len());
            keys.truncate(count);
            keys
        };
        self.nodes.iter().map(keys_of).collect()
    }
}

impl Member {
    /// Waits until this coordinator sees so many nodes share all slots, and serves them.
    #[track_caller]
    pub fn wait_settled(&self, nodes: usize) {
        wait_settled(&self.server, nodes);
    }
}

/// The same of a coordinator that was started in another way.
#[track_caller]
pub fn wait_settled(coordinator: &Server, nodes: usize) {
    let mut conn = coordinator.conn();
    let mut last = overview(&mut conn);
    let deadline = Instant::now() + AGREE;
    // Keys of all nodes, who serve them if they have a lease.
    let probe: Vec<String> = (0..200).map(|number| format!("probe:{number}")).collect();
    let probe = format!("MGET {}", probe.join(" "));
    while !is_settled(&last, nodes) || !matches!(conn.cmd(&probe), Value::Array(_)) {
        assert!(
            Instant::now() < deadline,
            "{nodes} nodes do not settle: {last:#}\n{}",
            coordinator.stderr()
        );
        std::thread::sleep(Duration::from_millis(10));
        last = overview(&mut conn);
    }
}

/// `larder cluster args...`, which is to succeed: what it prints.
#[track_caller]
pub fn cluster_command(args: &[&str]) -> String {
    let mut command: Command = larder(&[&["cluster"], args].concat());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
