//! `larder client` as a process: one command, a script from standard input, the prompt on a pty.

use crate::util::{Server, free_port, larder, terminal};
use std::io::Write;
use std::process::{Output, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `larder client ARGS...` with this on standard input.
fn client(args: &[&str], input: &[u8]) -> Output {
    let mut command = larder(&[&["client"], args].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The client may have ended already, without reading.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

/// What it prints, when all went well.
fn answer(args: &[&str]) -> String {
    let output = client(args, b"");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}

/// What it prints on standard output, when it ends with exit code 1.
fn refusal(args: &[&str]) -> String {
    let output = client(args, b"");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
    text(&output.stdout)
}

/// Types at the prompt of a client for `addr`; what the terminal showed.
fn dialogue(addr: &str, history: &std::path::Path, steps: &[(&str, &str)]) -> String {
    let mut client = larder(&["client", addr]);
    client.env("LARDER_HISTFILE", history);
    terminal::dialogue(&client, steps).text
}

fn one_shot(addr: &str) {
    assert_eq!(answer(&[addr, "set", "client:k", "a \"b\"\n"]), "OK\n");
    assert_eq!(answer(&[addr, "get", "client:k"]), "a \"b\"\n\n", "raw when not on a terminal");
    assert_eq!(answer(&[addr, "get", "client:none"]), "\n");
    assert_eq!(answer(&[addr, "strlen", "client:k"]), "6\n");
    assert_eq!(answer(&[addr, "mget", "client:k", "client:none"]), "a \"b\"\n\n\n");
    assert!(answer(&[addr, "info", "server"]).starts_with("# Server\r\n"));
    assert!(refusal(&[addr, "nosuch"]).starts_with("ERR unknown command 'nosuch'"));
    assert!(refusal(&[addr, "get"]).starts_with("ERR wrong number of arguments"));
    assert!(refusal(&[addr, "incr", "client:k"]).starts_with("ERR value is not an integer"));
}

#[test]
fn one_shot_on_a_node() {
    one_shot(&Server::node(&[]).addr);
}

#[test]
fn one_shot_on_a_coordinator() {
    one_shot(&Server::up(&[]).addr);
}

#[test]
fn script_from_standard_input() {
    let node = Server::node(&[]);
    let script =
        b"set s 'x y'\n\n  get s  \r\nappend s \"\\x21\\n\"\nget \"s\nget s\nquit\nset s no\n";
    let output = client(&[&node.addr], script);
    assert_eq!(text(&output.stdout), "OK\nx y\n5\nInvalid argument(s)\nx y!\n\n");
    assert_eq!(output.status.code(), Some(1), "one line was wrong");
    let output = client(&[&node.addr], b"select 3\nset db three\nget db");
    assert_eq!(text(&output.stdout), "OK\nOK\nthree\n");
    assert_eq!(output.status.code(), Some(0));
    let output = client(&[&node.addr], b"stats\n");
    let page = text(&output.stdout);
    assert!(page.starts_with(&format!("node {}, version ", node.addr)), "{page}");
    assert_eq!(answer(&[&node.addr, "stats"]).lines().next(), page.lines().next(), "the same");
    assert_eq!(client(&[&node.addr], b"").status.code(), Some(0));
}

#[test]
fn nobody_listens() {
    let addr = format!("127.0.0.1:{}", free_port());
    for args in [&[addr.as_str(), "get", "k"][..], &[&addr]] {
        let output = client(args, b"get k\n");
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let message = text(&output.stderr);
        assert!(
            message.contains(&format!("could not connect to {addr}: connection refused")),
            "{message}"
        );
        assert!(message.contains("larder up"), "{message}");
    }
    let output = client(&["nonsense", "get", "k"], b"");
    assert!(!output.status.success());
}

#[test]
fn password() {
    let node = Server::node(&["--requirepass", "secret"]);
    assert!(refusal(&[&node.addr, "get", "k"]).starts_with("NOAUTH"));
    let output = client(&[&node.addr], b"auth secret\nset k v\nget k\n");
    assert_eq!(text(&output.stdout), "OK\nOK\nv\n");
    assert_eq!(answer(&["--password", "secret", &node.addr, "get", "k"]), "v\n");
    let output = client(&["--password", "wrong", &node.addr, "get", "k"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("WRONGPASS"), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("wrong\""), "it does not repeat the password");
}

#[test]
fn shutdown_is_no_failure() {
    let mut node = Server::node(&[]);
    assert_eq!(answer(&[&node.addr, "shutdown"]), "");
    assert!(node.wait_exit(std::time::Duration::from_secs(10)).success());
}

#[test]
fn prompt() {
    let up = Server::up(&[]);
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("history");
    let at = format!("{}> ", up.addr);
    let at_3 = format!("{}[3]> ", up.addr);
    let seen = dialogue(
        &up.addr,
        &history,
        &[
            (&at, "set greeting \"hello \\\\x00\"\\r"),
            ("OK", ""),
            (&at, "get greeting\\r"),
            ("\"hello \\x00\"", ""),
            (&at, "get \"open\\r"),
            ("Invalid argument(s)", ""),
            (&at, "getra\\t"),
            ("getrange", " greeting 0 1\\r"),
            ("\"he\"", ""),
            (&at, "mget greeting none\\r"),
            ("2) (nil)", ""),
            (&at, "abandoned\\x03"),
            (&at, "help set\\r"),
            ("group:", ""),
            (&at, "stats\\r"),
            ("3/3 up", ""),
            (&at, "auth hidden\\r"),
            ("(error) ERR", ""),
            (&at, "select 3\\r"),
            (&at_3, "dbsize\\r"),
            ("(integer) 0", ""),
            (&at_3, "\\x04"),
        ],
    );
    assert!(seen.contains("SET key value"), "help shows the syntax: {seen}");
    let kept = std::fs::read_to_string(&history).unwrap();
    assert!(kept.contains("getrange greeting 0 1") && kept.contains("select 3"), "{kept}");
    assert!(!kept.contains("hidden") && !kept.contains("abandoned"), "{kept}");
}

#[test]
fn prompt_outlives_the_connection() {
    let node = Server::node(&[]);
    let folder = tempfile::tempdir().unwrap();
    let at = format!("{}> ", node.addr);
    dialogue(
        &node.addr,
        &folder.path().join("history"),
        &[
            (&at, "set k v\\r"),
            ("OK", ""),
            (&at, "client kill type normal skipme no\\r"),
            // What is typed before the prompt is there may be lost.
            ("(integer)", ""),
            (&at, "get k\\r"),
            ("\"v\"", ""),
            (&at, "shutdown\\r"),
            ("not connected> ", "get k\\r"),
            // Refused; or, while the server is still closing its socket, closed before an answer.
            ("connection", ""),
            ("not connected> ", "exit\\r"),
        ],
    );
}
