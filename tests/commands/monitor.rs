//! Cases of MONITOR, on servers of their own.

use super::{Cx, Role, Value, bulk, cases, oracle};
use crate::util::{Conn, request};
use std::time::{SystemTime, UNIX_EPOCH};

cases!(run_private: lines, refusals, transactions, a_monitor_itself, reset, two_workers, errors);

/// Asks for what all clients send, and checks that it comes.
fn watch(cx: &Cx) -> Conn {
    let mut monitor = cx.connect();
    assert_eq!(monitor.cmd("MONITOR"), Value::Simple("OK".to_owned()));
    monitor
}

/// A line's time in microseconds, database, client, and the rest.
fn parts(line: &Value) -> (u64, String, String, String) {
    let Value::Simple(line) = line else { panic!("not a line: {line:?}") };
    let (time, rest) = line.split_once(" [").unwrap();
    let (client, words) = rest.split_once("] ").unwrap();
    let (db, addr) = client.split_once(' ').unwrap();
    let (s, us) = time.split_once('.').unwrap();
    assert_eq!(us.len(), 6, "{line}");
    let us: u64 = s.parse::<u64>().unwrap() * 1_000_000 + us.parse::<u64>().unwrap();
    (us, db.to_owned(), addr.to_owned(), words.to_owned())
}

/// The lines before the one of `ECHO end`, which this sends: `DATABASE WORDS`.
fn shown(cx: &mut Cx, monitor: &mut Conn) -> Vec<String> {
    let addr = cx.get("CLIENT INFO").text();
    let addr = addr.split(' ').find_map(|field| field.strip_prefix("addr=")).unwrap().to_owned();
    cx.bulk("ECHO end", "end");
    let (mut lines, mut last) = (Vec::new(), 0);
    loop {
        let line = monitor.read();
        let (us, db, from, words) = parts(&line);
        cx.check(us >= last, "times rise", &line);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        cx.check(now.abs_diff(us) < 60_000_000, "the time", &line);
        cx.check(from == addr, "the client's address", &line);
        last = us;
        if words == "\"ECHO\" \"end\"" {
            break;
        }
        lines.push(format!("{db} {words}"));
    }
    lines.pop_if(|line| line.ends_with("\"CLIENT\" \"INFO\""));
    lines
}

/// In the order of execution, quoted, without what is for operators, and without passwords.
fn lines(cx: &mut Cx) {
    // HELLO 3 would be shown, too.
    let (mut monitor, mut second) = (cx.connect(), cx.connect());
    for monitor in [&mut monitor, &mut second] {
        assert_eq!(monitor.cmd("MONITOR"), Value::Simple("OK".to_owned()));
    }
    let _ = cx.get("set {t}a \"\\x01 \\\"\\\\ \\xff\\n\\r\\t\\x07\\x08 ~\\x7f\"");
    cx.ok("SELECT 3");
    cx.nil("GET {t}a");
    cx.error("INCRBY {t}b x", super::NOT_INT);
    let _ = cx.get("NOSUCH");
    let _ = cx.get("GET");
    let _ = cx.get("CONFIG GET timeout");
    let _ = cx.get("CONFIG HELP");
    let _ = cx.get("SLOWLOG LEN");
    let _ = cx.get("CLIENT LIST");
    let _ = cx.get("AUTH user secret");
    let _ = cx.get(&format!("HELLO {} AUTH default secret", cx.proto));
    cx.ok("SET requirepass x");
    let long = "y".repeat(300);
    let _ = cx.get(&format!("DEL {{t}}{long}"));
    cx.ok("SELECT 0");
    let tag = cx.key("{t}");
    let hello = format!("3 \"HELLO\" \"{}\" \"AUTH\" \"(redacted)\" \"(redacted)\"", cx.proto);
    let want = [
        format!("0 \"set\" \"{tag}a\" \"\\x01 \\\"\\\\ \\xff\\n\\r\\t\\a\\b ~\\x7f\""),
        "3 \"SELECT\" \"3\"".to_owned(),
        format!("3 \"GET\" \"{tag}a\""),
        format!("3 \"INCRBY\" \"{tag}b\" \"x\""),
        "3 \"CONFIG\" \"HELP\"".to_owned(),
        "3 \"AUTH\" \"(redacted)\" \"(redacted)\"".to_owned(),
        hello,
        "3 \"SET\" \"requirepass\" \"x\"".to_owned(),
        format!("3 \"DEL\" \"{tag}{long}\""),
        "0 \"SELECT\" \"0\"".to_owned(),
    ];
    let got = shown(cx, &mut monitor);
    cx.check(got == want, "lines", &got);
    let others = (0..want.len()).map(|_| parts(&second.read()).3).collect::<Vec<_>>();
    let same = others.iter().zip(&want).all(|(other, line)| line[2..] == *other);
    cx.check(same, "another monitor", others);
}

/// What is refused for lack of memory is not shown, and counts as rejected; what fails is.
fn refusals(cx: &mut Cx) {
    cx.ok("CONFIG RESETSTAT");
    cx.ok("SET {t}a x");
    cx.ok("CONFIG SET maxmemory 1 maxmemory-policy noeviction");
    let mut monitor = watch(cx);
    cx.error("SET {t}b 1", "OOM command not allowed when used memory > 'maxmemory'.");
    cx.bulk("GET {t}a", "x");
    cx.error("EXPIRE {t}a x", super::NOT_INT);
    cx.ok("CONFIG SET maxmemory 0");
    let tag = cx.key("{t}");
    let want = [format!("0 \"GET\" \"{tag}a\""), format!("0 \"EXPIRE\" \"{tag}a\" \"x\"")];
    let got = shown(cx, &mut monitor);
    // A coordinator shows what it sends to its nodes: these refuse it.
    let right = match cx.role {
        Role::Node => got == want,
        Role::Coordinator => got.len() == 3 && got[1..] == want,
    };
    cx.check(right, "lines", &got);
    if cx.role == Role::Node {
        let stats = cx.get("INFO commandstats").text();
        let set = stats.lines().find(|line| line.starts_with("cmdstat_set:")).unwrap_or_default();
        let right = set.contains("calls=1,") && set.contains("rejected_calls=1,failed_calls=0");
        cx.check(right, "INFO commandstats", set);
    }
}

/// What EXEC executes, then EXEC; what is only queued, or refused, is not shown.
fn transactions(cx: &mut Cx) {
    let mut monitor = watch(cx);
    let queued = Value::Simple("QUEUED".to_owned());
    cx.ok("MULTI");
    for line in ["SET {t}a 1", "SELECT 2", "INCR {t}b", "SELECT 0", "MONITOR"] {
        cx.expect(line, queued.clone());
    }
    let refused = "ERR MONITOR isn't allowed for DENY BLOCKING client";
    let ok = || Value::Simple("OK".to_owned());
    let reply = [ok(), ok(), Value::Int(1), ok(), Value::Error(refused.to_owned())];
    cx.expect("EXEC", Value::Array(reply.to_vec()));
    cx.ok("MULTI");
    cx.expect("GET {t}a", queued);
    let _ = cx.get("NOSUCH");
    let reply = cx.get("EXEC");
    cx.check(reply.text().starts_with("EXECABORT"), "EXEC", reply);
    let tag = cx.key("{t}");
    let want = [
        "0 \"MULTI\"".to_owned(),
        format!("0 \"SET\" \"{tag}a\" \"1\""),
        "2 \"SELECT\" \"2\"".to_owned(),
        format!("2 \"INCR\" \"{tag}b\""),
        "0 \"SELECT\" \"0\"".to_owned(),
        "0 \"EXEC\"".to_owned(),
        "0 \"MULTI\"".to_owned(),
        "0 \"EXEC\"".to_owned(),
    ];
    let got = shown(cx, &mut monitor);
    cx.check(got == want, "lines", got);
}

/// What a monitor may send: each of its commands is shown right behind the reply.
fn a_monitor_itself(cx: &mut Cx) {
    let mut monitor = watch(cx);
    let mut words = |line: &str| {
        monitor.send_raw(line.as_bytes());
        let mut next = || match monitor.read() {
            Value::Simple(line) if line.contains('[') => {
                line.split_once("] ").unwrap().1.to_owned()
            }
            value => format!("{value:?}"),
        };
        [next(), next(), next(), next()]
    };
    let pong = "Simple(\"PONG\")".to_owned();
    let got = words("PING\r\nPING\r\n");
    cx.check(got == [&pong, "\"PING\"", &pong, "\"PING\""], "PING", got);
    // The second MONITOR is not answered, and keys are out of reach.
    let got = words("MONITOR\r\nGET x\r\nFLUSHALL\r\nDISCARD\r\n");
    let refused = "Error(\"ERR Replica can't interact with the keyspace\")";
    let discard = "Error(\"ERR DISCARD without MULTI\")";
    cx.check(got == [refused, refused, discard, "\"DISCARD\""], "GET", got);
    let own = cx.get("CLIENT ID").int();
    assert!(parts(&monitor.read()).3.starts_with("\"CLIENT\""));
    let list = cx.get("CLIENT LIST").text();
    let watching: Vec<&str> = list.lines().filter(|line| line.contains(" flags=O ")).collect();
    cx.check(watching.len() == 1, "CLIENT LIST", &list);
    cx.check(!watching[0].starts_with(&format!("id={own} ")), "CLIENT LIST", &list);
    monitor.send_raw(b"CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\n");
    let got = monitor.read();
    cx.check(got == Value::Simple("OK".to_owned()), "CLIENT REPLY", got);
    let got = parts(&monitor.read()).3;
    cx.check(got == "\"CLIENT\" \"REPLY\" \"ON\"", "CLIENT REPLY", got);
    let got = monitor.cmd("QUIT");
    cx.check(got == Value::Simple("OK".to_owned()), "QUIT", got);
    assert!(monitor.drain_raw(std::time::Duration::from_secs(5)).1, "QUIT closes the connection");
    cx.ok("SET {t}a 1");
}

/// RESET leaves the mode: nothing more is shown.
fn reset(cx: &mut Cx) {
    let mut monitor = watch(cx);
    cx.ok("SET {t}a 1");
    let line = monitor.read();
    cx.check(parts(&line).3.starts_with("\"SET\""), "SET", line);
    assert_eq!(monitor.cmd("RESET"), Value::Simple("RESET".to_owned()));
    cx.ok("SET {t}a 2");
    assert_eq!(monitor.cmd(&cx.key("GET {t}a")), bulk("2"));
    let info = monitor.cmd("CLIENT INFO").text();
    cx.check(info.contains(" flags=N "), "CLIENT INFO", info);
    // And again.
    assert_eq!(monitor.cmd("MONITOR"), Value::Simple("OK".to_owned()));
    cx.ok("SET {t}a 3");
    let line = monitor.read();
    cx.check(parts(&line).3.ends_with("\"3\""), "SET", line);
}

/// Clients of two workers at once: each one's commands in its order, the times rising.
fn two_workers(cx: &mut Cx) {
    if oracle() {
        return;
    }
    const CLIENTS: usize = 4;
    const EACH: usize = 500;
    let target = cx.fresh(&["--workers", "2"]);
    let server = target.server();
    let mut monitors = [server.conn(), server.conn()];
    for monitor in &mut monitors {
        assert_eq!(monitor.cmd("MONITOR"), Value::Simple("OK".to_owned()));
    }
    let mut clients: Vec<Conn> = (0..CLIENTS).map(|_| server.conn()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let key = format!("client:{number}");
        let batch: Vec<u8> = (0..EACH)
            .flat_map(|step| request(&[b"SET", key.as_bytes(), step.to_string().as_bytes()]))
            .collect();
        client.send_raw(&batch);
    }
    for client in &mut clients {
        for _ in 0..EACH {
            assert_eq!(client.read(), Value::Simple("OK".to_owned()));
        }
    }
    for monitor in &mut monitors {
        let (mut next, mut last) = ([0; CLIENTS], 0);
        for _ in 0..CLIENTS * EACH {
            let (us, _, _, words) = parts(&monitor.read());
            let words: Vec<&str> = words.split(' ').map(|word| word.trim_matches('"')).collect();
            let client: usize = words[1].strip_prefix("client:").unwrap().parse().unwrap();
            assert_eq!(words[2].parse::<usize>().unwrap(), next[client], "client {client}");
            next[client] += 1;
            assert!(us >= last, "{us} after {last}");
            last = us;
        }
        assert_eq!(next, [EACH; CLIENTS]);
    }
}

fn errors(cx: &mut Cx) {
    cx.arity("monitor", &["MONITOR x"]);
}
