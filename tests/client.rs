//! `larder client` as a process: one command, a script from standard input, the prompt on a pty.

use crate::util::{Server, free_port, larder};
use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Plays a dialogue on a pseudo-terminal: waits for a text, types another, and so on.
/// Arguments: texts to wait for and to type in turns, `--`, the command.
const DIALOGUE: &str = r#"
import fcntl, os, pty, re, select, struct, sys, termios, time
cut = sys.argv.index("--")
steps, command = sys.argv[1:cut], sys.argv[cut + 1:]
child, fd = pty.fork()
if child == 0:
    os.execv(command[0], command)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
raw, mark = b"", 0

def plain():
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw.decode("utf8", "replace"))

def read_on():
    global raw
    if not select.select([fd], [], [], 0.1)[0]:
        return True
    try:
        chunk = os.read(fd, 65536)
    except OSError:
        return False
    raw += chunk
    return bool(chunk)

for expected, typed in zip(steps[::2], steps[1::2]):
    deadline = time.time() + 10
    while (found := plain().find(expected, mark)) < 0:
        if not read_on() or time.time() > deadline:
            sys.exit("waited in vain for %r in:\n%s" % (expected, plain()))
    mark = found + len(expected)
    os.write(fd, typed.encode().decode("unicode_escape").encode("latin1"))
deadline = time.time() + 10
while read_on() and time.time() < deadline:
    pass
sys.stdout.write(plain())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

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

/// Types at the prompt of a client for `addr`, see [`DIALOGUE`]; what the terminal showed.
fn dialogue(addr: &str, history: &std::path::Path, steps: &[(&str, &str)]) -> String {
    let client = larder(&["client", addr]);
    let mut command = Command::new("python3");
    command.args(["-c", DIALOGUE]);
    command.args(steps.iter().flat_map(|(expected, typed)| [expected, typed]));
    command.arg("--").arg(client.get_program()).args(client.get_args());
    command.env("TERM", "xterm").env("LARDER_HISTFILE", history).env_remove("NO_COLOR");
    let output = command.output().expect("python3 is there");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out
}

/// The words of the line of a table that begins with this one.
fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(first));
    line.unwrap_or_else(|| panic!("no {first} in:\n{table}")).split_whitespace().collect()
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
fn stats_of_a_node() {
    let node = Server::node(&["--maxmemory", "64mb"]);
    answer(&[&node.addr, "mset", "a", "1", "b", "2", "c", "3"]);
    answer(&[&node.addr, "mget", "a", "b", "c", "none"]);
    let table = answer(&[&node.addr, "stats"]);
    let total = row(&table, "TOTAL");
    assert_eq!(total[1..4], ["1/1", "up", "3"], "{table}");
    assert_eq!(total[5..10], ["/", "64M", "3", "1", "75.0%"], "{table}");
    assert!(total.last().unwrap().ends_with('s'), "a latency with its unit: {table}");
    assert_eq!(row(&table, &node.addr)[1..3], ["up", "3"], "{table}");
}

#[test]
fn stats_of_a_coordinator_show_every_node() {
    let up = Server::up(&[]);
    for key in 0..30 {
        answer(&[&up.addr, "set", &format!("key:{key}"), "v"]);
    }
    let table = answer(&[&up.addr, "stats"]);
    assert_eq!(row(&table, "TOTAL")[1..4], ["3/3", "up", "30"], "{table}");
    let keys = up.nodes.iter().map(|node| row(&table, node)[2].parse::<u32>().unwrap());
    assert_eq!(keys.sum::<u32>(), 30, "{table}");
}

#[test]
fn stats_show_a_node_that_is_down() {
    let (mut first, second) = (Server::node(&[]), Server::node(&[]));
    let coordinator = Server::coordinator(&[&first, &second], &[]);
    first.kill();
    crate::util::wait_for(
        "the node is known to be down",
        std::time::Duration::from_secs(5),
        || row(&answer(&[&coordinator.addr, "stats"]), &first.addr)[1] == "down",
    );
    let table = answer(&[&coordinator.addr, "stats"]);
    assert_eq!(row(&table, &second.addr)[1], "up", "{table}");
    assert_eq!(row(&table, "TOTAL")[1..3], ["1/2", "up"], "{table}");
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
    assert_eq!(row(&text(&output.stdout), "TOTAL")[3], "2");
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
