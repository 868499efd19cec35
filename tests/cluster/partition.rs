//! A network that is cut in two, by network namespaces: the side with the authority goes on, the other one stops.
//!
//! Two processes that do nothing hold a namespace each, and a pair of virtual network cards is the wire between them.
//! All of it ends with these processes. Not every system lets everybody do that; then the test is skipped.

use super::harness::{AGREE, Home};
use crate::tools::run;
use crate::util::{Server, larder, wait_for};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// 5 times what a lease lasts, and what lost slots may take to be served again.
const LEASE: Duration = Duration::from_millis(5 * 1500);
const SERVED: Duration = Duration::from_millis(5 * 3000);

/// A network of its own.
pub struct Side {
    holder: Child,
    pub host: &'static str,
}

impl Drop for Side {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}

impl Side {
    /// None where namespaces are not allowed.
    fn new(host: &'static str) -> Option<Side> {
        let mut holder = Command::new("unshare");
        // Ends with its input, that is, with the test.
        holder.args(["--net", "sh", "-c", "echo ready; read -r _"]);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = holder.spawn().ok()?;
        let mut word = [0; 6];
        let is_ready = std::io::Read::read_exact(holder.stdout.as_mut()?, &mut word).is_ok();
        let side = Side { holder, host };
        is_ready.then_some(side)
    }

    /// A program that runs on this side.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.holder.id().to_string(), program]).args(args);
        command
    }

    /// What a thread needs to [`enter`] this side.
    pub fn door(&self) -> Arc<File> {
        Arc::new(File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap())
    }

    /// Runs `ip` on this side: whether it succeeds.
    pub fn ip(&self, args: &[&str]) -> bool {
        let output = self.command("ip", args).output();
        output.is_ok_and(|output| output.status.success())
    }

    /// A member that listens on this side.
    pub fn member(&self, home: &Home, role: &str, number: usize, join: Option<&str>) -> Server {
        let addr = |port: usize| format!("{}:{}", self.host, port + number);
        let (resp, control) = (addr(7000), addr(17000));
        let (key, data) = (home.key(), home.path(&format!("{role}-{number}")));
        let mut args = vec![role, &resp, "--cluster-addr", &control, "--cluster-key-file", &key];
        args.extend(["--data-dir", &data, "--protected-mode", "no"]);
        if role == "node" {
            args.extend(["--maxmemory", "100mb"]);
        }
        if let Some(join) = join {
            args.extend(["--join", join]);
        }
        // Its environment is made free of settings by `larder`.
        let clean = larder(&args);
        let mut command = self.command(env!("CARGO_BIN_EXE_larder"), &args);
        for (name, value) in clean.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Server::spawn_command(command)
    }

    /// What a server answers a client on this side.
    fn ask(&self, server: &Server, args: &[&str]) -> String {
        let port = server.port.to_string();
        let all = [&["-h", &server.host, "-p", &port], args].concat();
        let output = run(&mut self.command("redis-cli", &all), b"");
        output.out.trim_end().to_owned()
    }
}

/// From now on this thread opens its sockets on the side that has this door.
pub fn enter(door: &File) {
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(door.as_fd(), kind).unwrap();
}

/// Two networks with a wire between them; None where namespaces are not allowed.
pub fn networks() -> Option<(Side, Side)> {
    let (here, there) = (Side::new("10.77.0.1")?, Side::new("10.77.0.2")?);
    let peer = there.holder.id().to_string();
    let is_made = here
        .ip(&["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &peer])
        && [&here, &there].iter().all(|side| {
            side.ip(&["addr", "add", &format!("{}/24", side.host), "dev", "wire"])
                && side.ip(&["link", "set", "wire", "up"])
                && side.ip(&["link", "set", "lo", "up"])
        });
    is_made.then_some((here, there))
}

#[test]
fn the_side_without_the_authority_stops() {
    let Some((here, there)) = networks() else {
        println!("SKIPPED: this system allows no network namespaces here");
        return;
    };
    let home = Home::new();
    let authority = here.member(&home, "coordinator", 0, None);
    let join = Some("10.77.0.1:17000");
    let near = here.member(&home, "node", 1, join);
    let far = there.member(&home, "node", 2, join);
    let follower = there.member(&home, "coordinator", 3, join);
    let keys: Vec<String> = (0..20).map(|number| format!("key:{number}")).collect();
    let all = |side: &Side, server: &Server| -> Vec<String> {
        let line: String = keys.iter().map(|key| format!("GET {key}\n")).collect();
        let port = server.port.to_string();
        let mut command = side.command("redis-cli", &["-h", &server.host, "-p", &port]);
        run(&mut command, line.as_bytes())
            .out
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let is_shared = || {
        let told = here.ask(&authority, &["LARDER", "CLUSTER"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        super::harness::is_settled(&told, 2)
    };
    wait_for("both nodes share the slots", AGREE, is_shared);
    for key in &keys {
        wait_for("it is written", AGREE, || there.ask(&follower, &["SET", key, "old"]) == "OK");
    }
    let old = |replies: &[String]| replies.iter().filter(|reply| *reply == "old").count();
    assert_eq!(old(&all(&here, &authority)), keys.len());
    let on_far = old(&all(&there, &far));
    assert!((1..keys.len()).contains(&on_far), "{on_far} keys are on the far side");

    // The cards fall silent; no connection is closed by that.
    assert!(here.ip(&["link", "set", "wire", "down"]));
    let is_down = |replies: &[String]| replies.iter().all(|reply| reply.starts_with("CLUSTERDOWN"));
    wait_for("the far node stops", LEASE, || old(&all(&there, &far)) == 0);
    wait_for("the far coordinator says so", LEASE, || is_down(&all(&there, &follower)));
    for key in &keys {
        wait_for("the near side goes on", SERVED, || {
            here.ask(&authority, &["SET", key, "new"]) == "OK"
        });
    }
    assert!(is_down(&all(&there, &follower)));
    assert_eq!(old(&all(&here, &authority)), 0);
    assert_eq!(here.ask(&near, &["DBSIZE"]), keys.len().to_string());

    assert!(here.ip(&["link", "set", "wire", "up"]));
    wait_for("both nodes share the slots again", AGREE, || {
        assert_eq!(old(&all(&there, &far)) + old(&all(&there, &follower)), 0);
        is_shared()
    });
    assert_eq!(old(&all(&there, &far)) + old(&all(&there, &follower)), 0);
}
