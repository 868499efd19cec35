//! Odd requests, answered byte for byte as redis-server answers them: inline requests, quotes, empty
//! lines, negative and huge counts, garbage, wrong subcommands, requests cut anywhere.
//!
//! `conformance/requests.txt` holds the inputs and redis-server 7.0.15's recorded answers; how it
//! is written is said in its head. `LARDER_RECORD=1` asks the redis-server at hand and rewrites the
//! answers; a new case is a new `>` line and a run with it.

use crate::commands::Cluster;
use crate::util::{Conn, Server, Value, request};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PASSWORD: &str = "conformance";

/// Longer inputs are not sent byte by byte.
const BYTEWISE_MAX: usize = 300;

struct Case {
    input: Vec<u8>,
    /// The input as it is written in the file.
    source: String,
    output: Vec<u8>,
    closes: bool,
    /// Whether the server asks for a password.
    password: bool,
}

/// A line of the file: what is no case is kept as it is.
enum Line {
    Case(Case),
    Other(String),
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/requests.txt")
}

fn read_file() -> Vec<Line> {
    let text = std::fs::read_to_string(path()).unwrap();
    let mut lines: Vec<Line> = Vec::new();
    let mut password = false;
    for line in text.lines() {
        if let Some(source) = line.strip_prefix("> ") {
            lines.push(Line::Case(Case {
                input: unescape(source),
                source: source.to_owned(),
                output: Vec::new(),
                closes: false,
                password,
            }));
            continue;
        }
        match lines.last_mut() {
            Some(Line::Case(case)) if line.starts_with("< ") => {
                case.output.extend(unescape(&line[2..]));
            }
            Some(Line::Case(case)) if line == "closes" => case.closes = true,
            _ => {
                password |= line == "[password]";
                lines.push(Line::Other(line.to_owned()));
            }
        }
    }
    lines
}

fn cases() -> Vec<Case> {
    let lines = read_file().into_iter();
    lines
        .filter_map(|line| match line {
            Line::Case(case) => Some(case),
            Line::Other(_) => None,
        })
        .collect()
}

/// `\r \n \t \\ \xHH` are bytes, `\(N text)` is the text N times.
fn unescape(source: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (byte, length) = match escape.as_bytes()[0] {
            b'r' => (b'\r', 1),
            b'n' => (b'\n', 1),
            b't' => (b'\t', 1),
            b'\\' => (b'\\', 1),
            b'x' => (u8::from_str_radix(&escape[1..3], 16).unwrap(), 3),
            b'(' => {
                let (repeat, after) = escape[1..].split_once(')').unwrap();
                let (count, text) = repeat.split_once(' ').unwrap();
                bytes.extend(unescape(text).repeat(count.parse().unwrap()));
                rest = after;
                continue;
            }
            _ => panic!("unknown escape in {source}"),
        };
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (i, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            // A space at the end of a line would be lost in an editor.
            b' ' if i + 1 == bytes.len() => text.push_str("\\x20"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").unwrap(),
        }
    }
    text
}

/// Sends each case on a connection of its own, and returns what came and whether it was closed.
fn ask(cases: &[Case], open: &str, guarded: &str, bytewise: bool) -> Vec<(Vec<u8>, bool)> {
    let mut conns: Vec<Conn> = cases
        .iter()
        .map(|case| {
            let mut conn = Conn::tcp(if case.password { guarded } else { open });
            if bytewise && case.input.len() <= BYTEWISE_MAX {
                for byte in &case.input {
                    conn.send_raw(&[*byte]);
                    // So that most bytes come alone.
                    std::thread::sleep(Duration::from_micros(200));
                }
            } else {
                conn.send_raw(&case.input);
            }
            conn
        })
        .collect();
    // The last connection may be silent rightly; all have had the time when this is over.
    std::thread::sleep(Duration::from_millis(300));
    conns
        .iter_mut()
        .zip(cases)
        .map(|(conn, case)| {
            let deadline = Instant::now() + Duration::from_secs(5);
            let (mut output, mut closed) = (Vec::new(), false);
            loop {
                let (more, eof) = conn.drain_raw(Duration::from_millis(5));
                output.extend(more);
                closed |= eof;
                // A slow machine gets the time for what is still missing.
                let done = output.len() >= case.output.len() && (closed || !case.closes);
                if done || closed || Instant::now() > deadline {
                    return (output, closed);
                }
            }
        })
        .collect()
}

/// Compares with the recorded answers.
fn replay(open: &Server, guarded: &Server, bytewise: bool) {
    let cases = cases();
    assert!(cases.len() > 100, "only {} cases", cases.len());
    let answers = ask(&cases, &open.addr, &guarded.addr, bytewise);
    let mut differences = String::new();
    for (case, (output, closed)) in cases.iter().zip(answers) {
        if output != case.output || closed != case.closes {
            let ends = |closes| if closes { "closes" } else { "stays open" };
            writeln!(
                differences,
                "> {}\n  got  {} ({})\n  want {} ({})",
                case.source,
                escape(&output),
                ends(closed),
                escape(&case.output),
                ends(case.closes)
            )
            .unwrap();
        }
    }
    assert!(differences.is_empty(), "different from redis-server:\n{differences}");
}

fn replay_node(bytewise: bool) {
    let (open, guarded) = (Server::node(&[]), Server::node(&["--requirepass", PASSWORD]));
    replay(&open, &guarded, bytewise);
}

fn replay_coordinator(bytewise: bool) {
    let cluster = Cluster::start(&[]);
    let nodes: Vec<&Server> = cluster.nodes.iter().collect();
    let guarded = Server::coordinator(&nodes, &["--requirepass", PASSWORD]);
    replay(&cluster.coordinator, &guarded, bytewise);
}

#[test]
fn node_answers_as_recorded() {
    replay_node(false);
}

#[test]
fn node_answers_as_recorded_byte_by_byte() {
    replay_node(true);
}

#[test]
fn coordinator_answers_as_recorded() {
    replay_coordinator(false);
}

#[test]
fn coordinator_answers_as_recorded_byte_by_byte() {
    replay_coordinator(true);
}

/// With `LARDER_RECORD=1` writes redis-server's answers into the file; else it only checks that
/// the file is well-formed.
#[test]
fn recording() {
    let mut lines = read_file();
    for line in &lines {
        if let Line::Case(case) = line {
            assert!(!case.input.is_empty(), "an empty input");
        }
    }
    if std::env::var_os("LARDER_RECORD").is_none() {
        return;
    }
    let (open, guarded) = (Server::redis(&[]), Server::redis(&["--requirepass", PASSWORD]));
    let answers = ask(&cases(), &open.addr, &guarded.addr, false);
    let again = ask(&cases(), &open.addr, &guarded.addr, true);
    for ((case, one), other) in cases().iter().zip(&answers).zip(&again) {
        let same = one == other;
        let (one, other) = (escape(&one.0), escape(&other.0));
        assert!(same, "byte by byte {} answers {other}, not {one}", case.source);
    }
    let mut answers = answers.into_iter();
    let mut text = String::new();
    for line in &mut lines {
        match line {
            Line::Other(line) => writeln!(text, "{line}").unwrap(),
            Line::Case(case) => {
                let (output, closes) = answers.next().unwrap();
                writeln!(text, "> {}", case.source).unwrap();
                for reply in output.split_inclusive(|byte| *byte == b'\n') {
                    writeln!(text, "< {}", escape(reply)).unwrap();
                }
                if closes {
                    writeln!(text, "closes").unwrap();
                }
            }
        }
    }
    std::fs::write(path(), text).unwrap();
}

/// Requests that fill what is read at once to the last byte, and clients that send nothing more: by TCP and by a Unix
/// socket, to a node and to a coordinator.
#[test]
fn nothing_is_waited_for_that_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["node", "coordinator"].map(|name| folder.path().join(name));
    let node = Server::node(&["--unixsocket", one.to_str().unwrap()]);
    let coordinator = Server::coordinator(&[&node], &["--unixsocket", two.to_str().unwrap()]);
    let all: [&dyn Fn() -> Conn; 4] =
        [&|| node.conn(), &|| Conn::unix(&one), &|| coordinator.conn(), &|| Conn::unix(&two)];
    for connect in all {
        let pong = || Value::Simple("PONG".into());
        let ping = request(&[b"PING"]);
        for bytes in [1 << 14, 1 << 16, 1 << 17, 1 << 18, 1 << 20] {
            let mut conn = connect();
            let longer = request(&[b"SET", b"k", &vec![b'x'; bytes]]).len() - bytes;
            for _ in 0..3 {
                conn.send_raw(&request(&[b"SET", b"k", &vec![b'x'; bytes - longer]]));
                assert_eq!(conn.read(), Value::Simple("OK".into()), "{bytes}");
                assert_eq!(conn.cmd("PING"), pong(), "{bytes}");
            }
            // What comes with the end is answered, and so is what was sent long before it.
            conn.send_raw(&ping.repeat(3));
            conn.finish();
            assert!((0..3).all(|_| conn.read() == pong()) && conn.closed(), "{bytes}");
            let mut conn = connect();
            assert_eq!(conn.cmd("PING"), pong());
            conn.finish();
            assert!(conn.closed(), "{bytes}");
            // A part of a request is none.
            let mut conn = connect();
            conn.send_raw(
                &[&ping[..], &request(&[b"SET", b"k", &vec![b'x'; bytes]])[..bytes - 1]].concat(),
            );
            assert_eq!(conn.read(), pong());
            conn.finish();
            assert!(conn.closed(), "{bytes}");
        }
    }
}
