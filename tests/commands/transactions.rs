//! Cases of MULTI, EXEC and DISCARD.

use super::{Cx, NOT_INT, Value, array, bulk, bulks, cases, simple};

cases!(run_shared: exec, discard, aborts, errors_inside, spread, inside, pipelined, state, many);

const ABORT: &str = "EXECABORT Transaction discarded because of previous errors.";

/// Queues these lines, and returns what EXEC answers.
fn transaction(cx: &mut Cx, lines: &[&str]) -> Value {
    cx.ok("MULTI");
    for line in lines {
        cx.expect(line, simple("QUEUED"));
    }
    cx.get("EXEC")
}

fn exec(cx: &mut Cx) {
    let got =
        transaction(cx, &["SET {t}a 1", "INCR {t}a", "GET {t}a", "GET {t}b", "DEL {t}a {t}b"]);
    let want = array([simple("OK"), Value::Int(2), bulk("2"), Value::Null, Value::Int(1)]);
    cx.check(got == want, "EXEC", got);
    let got = transaction(cx, &[]);
    cx.check(got == array([]), "an empty EXEC", got);
    cx.error("EXEC", "ERR EXEC without MULTI");
    cx.arity("multi", &["MULTI x"]);
    cx.error(
        "EXEC x",
        "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
    );
}

fn discard(cx: &mut Cx) {
    cx.ok("SET {p}a 1");
    cx.ok("MULTI");
    cx.expect("SET {p}a 2", simple("QUEUED"));
    cx.ok("DISCARD");
    cx.bulk("GET {p}a", "1");
    cx.error("DISCARD", "ERR DISCARD without MULTI");
    cx.error("EXEC", "ERR EXEC without MULTI");
    cx.arity("discard", &["DISCARD x"]);
    cx.ok("MULTI");
    cx.error("NOSUCH", "ERR unknown command 'NOSUCH', with args beginning with: ");
    cx.ok("DISCARD");
    let got = transaction(cx, &["GET {p}a"]);
    cx.check(got == bulks(&["1"]), "DISCARD forgets errors too", got);
}

/// An error while queueing refuses the whole.
fn aborts(cx: &mut Cx) {
    let wrong = [
        ("NOSUCH a", "ERR unknown command 'NOSUCH', with args beginning with: 'a' "),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("SET {p}a", "ERR wrong number of arguments for 'set' command"),
        ("CONFIG NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP."),
        ("CONFIG GET", "ERR wrong number of arguments for 'config|get' command"),
        ("SHUTDOWN", "ERR Command not allowed inside a transaction"),
    ];
    for (line, error) in wrong {
        cx.ok("MULTI");
        cx.expect("SET {p}a 1", simple("QUEUED"));
        cx.error(line, error);
        cx.expect("SET {p}b 1", simple("QUEUED"));
        cx.error("EXEC", ABORT);
        cx.int("EXISTS {p}a {p}b", 0);
    }
    cx.ok("MULTI");
    cx.error("MULTI", "ERR MULTI calls can not be nested");
    cx.expect("SET {p}a 1", simple("QUEUED"));
    // Nesting is refused, but does not abort.
    cx.expect("EXEC", array([simple("OK")]));
    cx.ok("MULTI");
    cx.error(
        "EXEC x",
        "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
    );
    cx.error("EXEC", "ERR EXEC without MULTI");
    cx.ok("MULTI");
    cx.arity("discard", &["DISCARD x"]);
    cx.error("EXEC", ABORT);
}

/// An error while executing is one of the replies, the others are done.
fn errors_inside(cx: &mut Cx) {
    let not_int = Value::Error(NOT_INT.to_owned());
    let got = transaction(cx, &["SET {p}a abc", "INCR {p}a", "SET {p}b 1 EX 0", "APPEND {p}a d"]);
    let want = array([
        simple("OK"),
        not_int,
        Value::Error("ERR invalid expire time in 'set' command".to_owned()),
        Value::Int(4),
    ]);
    cx.check(got == want, "errors in EXEC", got);
    cx.bulk("GET {p}a", "abcd");
}

/// Keys of many slots: through a coordinator the nodes' parts, in the order of the requests.
fn spread(cx: &mut Cx) {
    let lines: Vec<String> = (0..30)
        .flat_map(|i| [format!("SET {{p}}{i} {i}"), format!("MGET {{p}}{i} {{p}}no {{p}}{i}")])
        .chain(["ECHO middle".to_owned(), "PING".to_owned()])
        .chain((0..30).map(|i| format!("INCR {{p}}{i}")))
        .chain(["DEL {p}1 {p}2 {p}3 {p}4".to_owned(), "EXISTS {p}1 {p}5 {p}6".to_owned()])
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let got = transaction(cx, &lines);
    let mut want = Vec::new();
    for i in 0..30 {
        want.push(simple("OK"));
        want.push(array([bulk(&i.to_string()), Value::Null, bulk(&i.to_string())]));
    }
    want.push(bulk("middle"));
    want.push(simple("PONG"));
    want.extend((0..30).map(|i| Value::Int(i + 1)));
    want.extend([Value::Int(4), Value::Int(2)]);
    cx.check(got == array(want), "a transaction over many slots", got);
    // What Django's set_many sends.
    let got = transaction(cx, &["MSET {p}x 1 {p}y 2", "EXPIRE {p}x 300", "EXPIRE {p}y 300"]);
    let want = array([simple("OK"), Value::Int(1), Value::Int(1)]);
    cx.check(got == want, "set_many of Django", got);
    cx.within("TTL {p}y", 290..=300);
}

/// Commands about the connection within a transaction.
fn inside(cx: &mut Cx) {
    let lines = ["SELECT 2", "SET {p}a 1", "CLIENT SETNAME {p}n", "CLIENT GETNAME", "SELECT 99"];
    let got = transaction(cx, &lines);
    let name = cx.key("{p}n");
    let bad = Value::Error("ERR DB index is out of range".to_owned());
    let want = array([simple("OK"), simple("OK"), simple("OK"), bulk(&name), bad]);
    cx.check(got == want, "SELECT in a transaction", got);
    cx.bulk("GET {p}a", "1");
    cx.ok("SELECT 0");
    cx.nil("GET {p}a");
    let info = transaction(cx, &["CLIENT INFO"]);
    let info = info.items()[0].text();
    cx.check(info.starts_with("id="), "CLIENT INFO in a transaction", info);
    cx.ok("MULTI");
    cx.expect("COMMAND COUNT", simple("QUEUED"));
    cx.expect("CONFIG GET databases", simple("QUEUED"));
    cx.expect("TIME", simple("QUEUED"));
    cx.expect("WAIT 0 0", simple("QUEUED"));
    cx.expect("TYPE {p}a", simple("QUEUED"));
    let got = cx.get("EXEC");
    let items = got.items();
    cx.check(items.len() == 5 && items[4] == simple("none"), "EXEC of many kinds", &got);
    let databases = items[1].field("databases");
    cx.check(databases == Some(bulk("16")), "CONFIG GET in a transaction", databases);
}

fn pipelined(cx: &mut Cx) {
    for i in 0..50 {
        for line in ["MULTI", "INCR {p}a", "INCR {p}b", "EXEC"] {
            let line = cx.key(line);
            cx.conn.send(&line);
        }
        let line = cx.key(&format!("INCRBY {{p}}a {i}"));
        cx.conn.send(&line);
    }
    let (mut a, mut b) = (0, 0);
    for i in 0..50 {
        a += 1;
        b += 1;
        let want = [
            simple("OK"),
            simple("QUEUED"),
            simple("QUEUED"),
            array([Value::Int(a), Value::Int(b)]),
            Value::Int(a + i),
        ];
        a += i;
        for want in want {
            let got = cx.conn.read();
            cx.check(got == want, "pipelined transactions", (got.clone(), want));
        }
    }
}

/// What a connection leaves behind is not done.
fn state(cx: &mut Cx) {
    let mut conn = cx.connect();
    conn.cmd("MULTI");
    conn.cmd(&cx.key("SET {p}a 1"));
    drop(conn);
    cx.int("EXISTS {p}a", 0);
    let mut conn = cx.connect();
    conn.cmd("MULTI");
    conn.cmd(&cx.key("SET {p}a 1"));
    let reply = conn.cmd("QUIT");
    cx.check(reply == simple("OK") && conn.closed(), "QUIT in a transaction", reply);
    cx.int("EXISTS {p}a", 0);
    cx.ok("MULTI");
    cx.expect("INCR {p}a", simple("QUEUED"));
    let mut other = cx.connect();
    let multi = cx.get("CLIENT INFO");
    cx.check(multi == simple("QUEUED"), "CLIENT INFO is queued", multi);
    let got = other.cmd(&cx.key("GET {p}a"));
    cx.check(got == Value::Null, "nothing is done before EXEC", got);
    let got = cx.get("EXEC");
    cx.check(got.items()[0] == Value::Int(1), "EXEC", got);
}

fn many(cx: &mut Cx) {
    cx.conn.send("MULTI");
    let line = cx.key("INCR {p}a");
    for _ in 0..5000 {
        cx.conn.send(&line);
    }
    cx.conn.send("EXEC");
    let got = cx.conn.read();
    cx.check(got == simple("OK"), "MULTI", got);
    for _ in 0..5000 {
        let got = cx.conn.read();
        cx.check(got == simple("QUEUED"), "a long transaction", got);
    }
    let got = cx.conn.read();
    let want = array((1..=5000).map(Value::Int));
    cx.check(got == want, "EXEC of 5000", got.items().len());
}
