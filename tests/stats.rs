//! `larder stats` as a process: at a glance, by prefix and command, as JSON, and live.

use crate::util::{Server, free_port, larder, terminal, wait_for};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

fn run(args: &[&str]) -> Output {
    larder(&[&["stats"], args].concat()).output().unwrap()
}

/// What it prints, when all went well.
fn shown(args: &[&str]) -> String {
    let output = run(args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{args:?}: {out}{err}");
    assert!(!out.contains('\x1b'), "{out:?}");
    let fits = out.lines().all(|line| line.chars().count() <= 80);
    assert!(fits || args.contains(&"--json"), "{out}");
    out
}

/// What it complains of, with exit code 1.
fn complaint(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
    assert!(output.stdout.is_empty(), "{args:?}: {}", text(&output.stdout));
    text(&output.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The words of the line that begins with these.
fn row<'a>(page: &'a str, first: &str) -> Vec<&'a str> {
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("{first} ")));
    line.unwrap_or_else(|| panic!("no {first} in:\n{page}")).split_whitespace().collect()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&shown(&[args, &["--json"]].concat())).unwrap()
}

/// Thirty keys, forty reads of which thirty find theirs, and an error.
fn traffic(server: &Server) {
    let mut conn = server.conn();
    for key in 0..30 {
        conn.cmd(&format!("SET key:{key} value"));
    }
    for key in 0..40 {
        conn.cmd(&format!("GET key:{key}"));
    }
    conn.cmd("INCR key:0");
}

fn adds_up(server: &Server) {
    traffic(server);
    let page = shown(&[&server.addr]);
    assert_eq!(row(&page, "hit ratio")[0], "0.750", "{page}");
    assert_eq!(row(&page, "hit ratio")[2..], ["30", "hits,", "10", "misses"], "{page}");
    assert_eq!(row(&page, "keys")[0], "30", "{page}");
    assert_eq!(row(&page, "errors"), ["1", "ERR", "1"], "{page}");
    assert!(row(&page, "ops/s").contains(&"p99"), "{page}");
    let page = shown(&[&server.addr, "--by", "command"]);
    assert_eq!(row(&page, "set")[0], "30", "{page}");
    assert_eq!(row(&page, "get")[0], "40", "{page}");
    assert_eq!(row(&page, "incr")[5], "1", "it failed: {page}");
    let report = json(&[&server.addr]);
    assert_eq!(report["cache"]["hits"], 30);
    assert_eq!(report["cache"]["misses"], 10);
    assert_eq!(report["cache"]["keys"], 30);
    assert_eq!(report["errors"]["ERR"], 1);
    let commands = report["commands"].as_array().unwrap();
    let get = commands.iter().find(|command| command["name"] == "get").unwrap();
    assert_eq!(get["calls"], 40);
    let histogram = get["latency"]["histogram"].as_array().unwrap();
    assert_eq!(histogram.iter().map(|pair| pair[1].as_u64().unwrap()).sum::<u64>(), 40);
    let all: u64 = commands.iter().map(|command| command["calls"].as_u64().unwrap()).sum();
    assert_eq!(report["traffic"]["commands"], all);
}

#[test]
fn a_node() {
    let node = Server::node(&["--maxmemory", "64mb"]);
    adds_up(&node);
    let page = shown(&[&node.addr]);
    assert!(page.starts_with(&format!("node {}, version ", node.addr)), "{page}");
    assert!(page.contains("of 64MB, allkeys-lru\n"), "{page}");
    assert!(!page.contains("total"), "{page}");
}

#[test]
fn a_coordinator_and_its_nodes() {
    let up = Server::up(&[]);
    adds_up(&up);
    let page = shown(&[&up.addr]);
    let keys = up.nodes.iter().map(|node| row(&page, node)[5].parse::<u32>().unwrap());
    assert_eq!(keys.sum::<u32>(), 30, "{page}");
    assert_eq!(row(&page, "total")[..3], ["3/3", "up", "0.750"], "{page}");
    assert!(!page.contains("DOWN"), "{page}");
    shown(&[&up.addr, "--by", "prefix"]);
}

#[test]
fn a_node_that_is_down() {
    let (mut first, second) = (Server::node(&[]), Server::node(&[]));
    let coordinator = Server::coordinator(&[&first, &second], &[]);
    first.kill();
    wait_for("the node is known to be down", Duration::from_secs(5), || {
        row(&shown(&[&coordinator.addr]), &first.addr)[0] == "DOWN"
    });
    let page = shown(&[&coordinator.addr]);
    assert!(page.contains(&format!("\n1 of 2 nodes is DOWN: {}\n", first.addr)), "{page}");
    assert_eq!(row(&page, &second.addr)[0], "up", "{page}");
    assert_eq!(row(&page, "total")[..2], ["1/2", "up"], "{page}");
}

#[test]
fn any_redis_server() {
    let redis = Server::redis(&[]);
    traffic(&redis);
    let page = shown(&[&redis.addr]);
    assert!(page.starts_with(&format!("redis-server {}, version ", redis.addr)), "{page}");
    assert_eq!(row(&page, "hit ratio")[2..], ["30", "hits,", "10", "misses"], "{page}");
    assert_eq!(row(&shown(&[&redis.addr, "--by", "command"]), "get")[0], "40");
    assert_eq!(json(&[&redis.addr])["cache"]["keys"], 30);
    // That it knows no LARDER is asked once, and is no error of every interval.
    let errors = |report: &Value| report["errors"]["ERR"].as_u64().unwrap();
    let lines = shown(&[&redis.addr, "--json", "--watch", "0.1", "--count", "3"]);
    let reports: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(errors(&reports[0]), errors(&reports[2]), "{lines}");
}

#[test]
fn what_is_wrong_and_what_to_do() {
    let addr = format!("127.0.0.1:{}", free_port());
    for args in [&[addr.as_str()][..], &["--watch", &addr], &[&addr, "--json"]] {
        let message = complaint(args);
        assert!(message.contains(&format!("could not connect to {addr}: ")), "{message}");
        assert!(message.contains("larder up"), "{message}");
    }
    assert!(complaint(&["nonsense"]).contains("expected HOST:PORT"));
    assert!(complaint(&["--watch", "soon"]).contains("expected seconds, from 0.1 to 86400"));
    assert!(complaint(&["--watch", "0"]).contains("expected seconds"));
    for args in [&["--by", "key"][..], &["--count", "3"], &["--by", "prefix", "--json"]] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    let node = Server::node(&["--requirepass", "secret"]);
    let message = complaint(&[&node.addr]);
    assert!(message.contains("NOAUTH") && message.contains("LARDER_PASSWORD"), "{message}");
    let message = complaint(&[&node.addr, "-a", "wrong"]);
    assert!(message.contains("could not log in") && message.contains("WRONGPASS"), "{message}");
    assert!(!message.contains("wrong\""), "it does not repeat the password");
    shown(&[&node.addr, "--password", "secret"]);
    let by_environment = larder(&["stats", &node.addr]).env("LARDER_PASSWORD", "secret").output();
    assert!(by_environment.unwrap().status.success());
}

/// A server that answers this, whatever it is asked.
fn answering(reply: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut request = [0; 1024];
        for mut stream in listener.incoming().flatten() {
            while stream.read(&mut request).is_ok_and(|read| read > 0) {
                if stream.write_all(reply).is_err() {
                    break;
                }
            }
        }
    });
    addr
}

#[test]
fn a_server_cannot_control_the_terminal() {
    let addr = answering(b"-BAD \x1b[2J\xc2\x9b2J\x7f\r\n");
    for args in [&[addr.as_str()][..], &["--watch", &addr], &[&addr, "-a", "x"]] {
        assert!(complaint(args).contains(": BAD ·[2J·2J·\n"), "{}", complaint(args));
    }
    let addr = answering(b"+OK \x1b[2J\xc2\x9b2J\x7f\r\n");
    let seen = terminal::dialogue(&larder(&["client", &addr, "get", "k"]), &[]);
    assert!(seen.raw.contains("OK ·[2J·2J·"), "{:?}", seen.raw);
    let addr = answering(b"$28\r\n{\"server\":{\"version\":\"\xc2\x9b\x7f\"}}\r\n");
    assert!(shown(&[&addr]).contains("version ··,"));
    for args in [&["--json"][..], &["--json", "--watch", "0.1", "--count", "2"]] {
        let out = shown(&[&[addr.as_str()], args].concat());
        assert!(out.contains(r#""\u009b\u007f""#), "{out:?}");
    }
}

#[test]
fn watched_from_a_pipe() {
    let node = Server::node(&[]);
    let out = shown(&[&node.addr, "--watch", "0.1", "--count", "25"]);
    let (headings, lines): (Vec<&str>, Vec<&str>) =
        out.lines().partition(|line| line.contains("ops/s"));
    assert_eq!((headings.len(), lines.len()), (2, 25), "{out}");
    assert!(lines.iter().all(|line| line.split_whitespace().count() == 10), "{out}");
    let out = shown(&["--watch", &node.addr, "--count", "1", "--by", "command"]);
    assert_eq!(row(&out, "larder stats")[0], "1", "only of the interval: {out}");
    let out = shown(&[&node.addr, "--watch", "0.1", "--count", "3", "--json"]);
    let commands = out.lines().map(|line| {
        let report: Value = serde_json::from_str(line).unwrap();
        report["traffic"]["commands"].as_u64().unwrap()
    });
    let commands: Vec<u64> = commands.collect();
    assert_eq!((commands.len(), commands[2] - commands[0]), (3, 2), "each asks once: {out}");
}

#[test]
fn a_server_that_goes_while_it_is_watched() {
    let mut node = Server::node(&[]);
    let addr = node.addr.clone();
    let child = larder(&["stats", &addr, "--watch", "0.1", "--count", "20"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut conn = node.conn();
    wait_for("it is watched", Duration::from_secs(10), || {
        let stats = conn.cmd("INFO commandstats").text();
        stats.contains("cmdstat_larder|stats:") && !stats.contains("cmdstat_larder|stats:calls=1,")
    });
    node.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "the last sample failed");
    let err = text(&output.stderr);
    assert!(err.contains(&format!("larder: could not connect to {addr}: ")), "{err}");
    assert!(text(&output.stdout).lines().count() > 1);
}

/// That the screen of a live page came and went.
fn assert_restored(raw: &str) {
    for (on, off) in [("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h")] {
        let (on, off) = (raw.find(on).unwrap(), raw.rfind(off).unwrap());
        assert!(on < off, "{raw:?}");
    }
}

#[test]
fn watched_on_a_terminal() {
    let up = Server::up(&[]);
    traffic(&up);
    let watch = larder(&["stats", "--watch", "0.1", &up.addr]);
    for key in ["q", "\\x03"] {
        let steps = [("every 0.1 s; q leaves", ""), ("total", ""), ("total", key)];
        let seen = terminal::dialogue(&watch, &steps);
        assert!(seen.raw.contains("\x1b[1m") && seen.text.contains("▁"), "{:?}", seen.raw);
        assert!(seen.raw.matches("\x1b[H").count() > 2, "drawn again in place: {:?}", seen.raw);
        assert_restored(&seen.raw);
    }
    let once = terminal::dialogue(&larder(&["stats", &up.addr]), &[]);
    assert!(once.raw.contains("\x1b[36m") && !once.raw.contains("\x1b[?1049h"), "{:?}", once.raw);
    let count = larder(&["stats", &up.addr, "--watch", "0.1", "--count", "2", "--by", "command"]);
    let seen = terminal::dialogue(&count, &[]);
    assert_restored(&seen.raw);
    let left = &seen.text[seen.text.rfind("coordinator").unwrap()..];
    assert_eq!(row(&left.replace('\r', ""), "larder stats")[0], "1", "the last page stays: {left}");
}

#[test]
fn no_colours_where_they_are_not_wanted() {
    let node = Server::node(&[]);
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let setting = format!("{name}={value}");
        let mut command = Command::new("env");
        let stats = larder(&["stats", &node.addr, "--watch", "0.1", "--count", "1"]);
        command.arg(&setting).arg(stats.get_program()).args(stats.get_args());
        let seen = terminal::dialogue(&command, &[]);
        assert!(!seen.raw.contains("\x1b[1m") && !seen.raw.contains("\x1b[36m"), "{:?}", seen.raw);
        if name == "TERM" {
            assert!(!seen.raw.contains('\x1b') && seen.text.contains("hits/s"), "{:?}", seen.raw);
        }
    }
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let node = Server::node(&[]);
    let stats = larder(&["stats", &node.addr, "--watch", "0.1"]);
    let mut command = Command::new("sh");
    command.args(["-c", "timeout --foreground 2 \"$@\"; echo ended with $?", "sh"]);
    command.arg(stats.get_program()).args(stats.get_args());
    let seen = terminal::dialogue(&command, &[("ops/s", ""), ("ended with 124", "")]);
    assert_restored(&seen.raw);
}

#[test]
fn a_restart_is_outlived() {
    let mut node = Server::node(&[]);
    let addr = node.addr.clone();
    let watch = larder(&["stats", &addr, "--watch", "0.1"]);
    let watcher = std::thread::spawn(move || {
        let steps = [
            ("every 0.1 s; q leaves", ""),
            ("could not connect", ""),
            ("was started anew", ""),
            ("every 0.1 s; q leaves", "q"),
        ];
        terminal::dialogue(&watch, &steps)
    });
    let mut conn = node.conn();
    wait_for("it is watched", Duration::from_secs(10), || {
        conn.cmd("INFO commandstats").text().contains("cmdstat_larder|stats")
    });
    node.kill();
    // Long enough that it is missed.
    std::thread::sleep(Duration::from_secs(1));
    let _node = Server::spawn(&["node", &addr]);
    assert_restored(&watcher.join().unwrap().raw);
}
