//! Cases of CLIENT and its subcommands.

use super::{Cx, SYNTAX, Value, bulk, cases};
use crate::util::wait_for;
use std::time::Duration;

cases!(run_shared: id, names, info, list, kill, kill_many, kill_errors, no_evict, reply, help);

const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

fn id(cx: &mut Cx) {
    let first = cx.within("CLIENT ID", 1..=i64::MAX);
    cx.int("CLIENT ID", first);
    let second = cx.connect().cmd("client id").int();
    cx.check(second > first, "ids grow", (first, second));
    cx.arity("client|id", &["CLIENT ID x"]);
    cx.arity("client", &["CLIENT"]);
    cx.error("CLIENT NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.");
    cx.error("client nosuch a", "ERR unknown subcommand 'nosuch'. Try CLIENT HELP.");
}

fn names(cx: &mut Cx) {
    cx.nil("CLIENT GETNAME");
    cx.ok("CLIENT SETNAME {p}a");
    cx.bulk("CLIENT GETNAME", "{p}a");
    cx.errors(BAD_NAME, &["CLIENT SETNAME \"a b\"", "CLIENT SETNAME \"a\\n\"", "CLIENT SETNAME é"]);
    cx.bulk("CLIENT GETNAME", "{p}a");
    cx.ok("CLIENT SETNAME \"\"");
    cx.nil("CLIENT GETNAME");
    cx.arity("client|setname", &["CLIENT SETNAME", "CLIENT SETNAME a b"]);
    cx.arity("client|getname", &["CLIENT GETNAME a"]);
    // 7.0 has no CLIENT SETINFO yet.
    if super::oracle() {
        return;
    }
    cx.ok("CLIENT SETINFO LIB-NAME redis-py");
    cx.ok("client setinfo lib-ver 5.2.1");
    let info = cx.get("CLIENT INFO").text();
    cx.check(info.contains(" lib-name=redis-py lib-ver=5.2.1"), "CLIENT SETINFO", info);
    cx.ok("CLIENT SETINFO LIB-NAME \"\"");
    cx.error("CLIENT SETINFO FOO x", "ERR Unrecognized option 'FOO'");
    cx.error(
        "CLIENT SETINFO LIB-NAME \"a b\"",
        "ERR LIB-NAME cannot contain spaces, newlines or special characters.",
    );
    cx.error(
        "CLIENT SETINFO lib-ver \"a\\n\"",
        "ERR lib-ver cannot contain spaces, newlines or special characters.",
    );
    cx.arity("client|setinfo", &["CLIENT SETINFO", "CLIENT SETINFO LIB-NAME"]);
}

/// The value of `name=` in a line of CLIENT LIST.
fn field(line: &str, name: &str) -> Option<String> {
    let word = line.split_whitespace().find(|word| word.starts_with(&format!("{name}=")))?;
    Some(word[name.len() + 1..].to_owned())
}

fn info(cx: &mut Cx) {
    cx.ok("CLIENT SETNAME {p}me");
    cx.ok("SELECT 9");
    let reply = cx.get("CLIENT INFO");
    let right = matches!(
        (&reply, cx.proto),
        (Value::Verbatim(format, _), 3) if format == "txt"
    ) || matches!((&reply, cx.proto), (Value::Bulk(_), 2));
    cx.check(right, "CLIENT INFO's type", &reply);
    let line = reply.text();
    let id = cx.get("CLIENT ID").int().to_string();
    cx.check(line.ends_with('\n') && line.lines().count() == 1, "one line", &line);
    for (name, want) in [
        ("id", id),
        ("name", cx.key("{p}me")),
        ("db", "9".to_owned()),
        ("multi", "-1".to_owned()),
        ("sub", "0".to_owned()),
        ("psub", "0".to_owned()),
        ("cmd", "client|info".to_owned()),
        ("user", "default".to_owned()),
        ("resp", cx.proto.to_string()),
        ("flags", "N".to_owned()),
        ("laddr", cx.server.addr.clone()),
    ] {
        let got = field(&line, name);
        cx.check(got.as_ref() == Some(&want), name, (got, want));
    }
    for name in ["age", "idle", "qbuf", "obl", "oll", "omem", "tot-mem"] {
        let got = field(&line, name);
        let number = got.as_ref().is_some_and(|text| text.parse::<u64>().is_ok());
        cx.check(number, name, got);
    }
    cx.arity("client|info", &["CLIENT INFO x"]);
}

fn list(cx: &mut Cx) {
    let mut other = cx.connect();
    let other_id = other.cmd("CLIENT ID").int();
    let name = cx.key("{p}other");
    other.cmd(&format!("CLIENT SETNAME {name}"));
    let id = cx.get("CLIENT ID").int();
    for line in ["CLIENT LIST", "client list type normal"] {
        let text = cx.get(line).text();
        let found: Vec<_> = text.lines().filter(|line| line.contains(&name)).collect();
        cx.check(found.len() == 1, line, &text);
        cx.check(field(found[0], "id") == Some(other_id.to_string()), line, &found);
        cx.check(field(found[0], "cmd").as_deref() == Some("client|setname"), line, &found);
        let own = text.lines().find(|line| field(line, "id") == Some(id.to_string()));
        let own = own.and_then(|line| field(line, "cmd"));
        cx.check(own.as_deref() == Some("client|list"), line, own);
    }
    let text = cx.get(&format!("CLIENT LIST ID {id} {other_id} 999999999")).text();
    let ids: Vec<_> = text.lines().filter_map(|line| field(line, "id")).collect();
    cx.check(ids == [id.to_string(), other_id.to_string()], "CLIENT LIST ID", ids);
    let none = Value::Verbatim("txt".to_owned(), Vec::new());
    cx.expect("CLIENT LIST ID 999999999", none.clone());
    cx.expect("CLIENT LIST TYPE replica", none.clone());
    cx.expect("CLIENT LIST TYPE pubsub", none.clone());
    cx.expect("CLIENT LIST TYPE master", none);
    cx.error("CLIENT LIST TYPE nosuch", "ERR Unknown client type 'nosuch'");
    cx.errors("ERR Invalid client ID", &["CLIENT LIST ID abc", "CLIENT LIST ID 1 x"]);
    cx.errors(
        SYNTAX,
        &["CLIENT LIST FOO", "CLIENT LIST TYPE", "CLIENT LIST ID", "CLIENT LIST TYPE normal x"],
    );
    drop(other);
    let me = id.to_string();
    wait_for("a closed connection leaves the list", Duration::from_secs(5), || {
        let text = cx.conn.cmd(&format!("CLIENT LIST ID {me} {other_id}")).text();
        text.lines().count() == 1
    });
}

/// A connection with its address as the server sees it, and its id.
fn victim(cx: &Cx) -> (crate::util::Conn, String, i64) {
    let mut conn = cx.connect();
    let line = conn.cmd("CLIENT INFO").text();
    let addr = field(&line, "addr").expect("an address");
    let id = conn.cmd("CLIENT ID").int();
    (conn, addr, id)
}

fn kill(cx: &mut Cx) {
    let (mut conn, addr, _) = victim(cx);
    cx.ok(&format!("CLIENT KILL {addr}"));
    cx.check(conn.closed(), "CLIENT KILL addr", ());
    cx.error(&format!("CLIENT KILL {addr}"), "ERR No such client");
    let (mut conn, addr, id) = victim(cx);
    cx.int(&format!("CLIENT KILL ADDR {addr} ID {}", id + 1_000_000), 0);
    cx.int(&format!("CLIENT KILL ADDR {addr}"), 1);
    cx.check(conn.closed(), "CLIENT KILL ADDR", ());
    let (mut conn, addr, id) = victim(cx);
    cx.int(&format!("client kill id {id} addr {addr} type normal user default skipme yes"), 1);
    cx.check(conn.closed(), "CLIENT KILL ID", ());
    cx.int(&format!("CLIENT KILL ID {id}"), 0);
    // Oneself: spared unless told otherwise; then the reply still comes.
    let me = cx.get("CLIENT ID").int();
    cx.int(&format!("CLIENT KILL ID {me}"), 0);
    let (mut conn, _, id) = victim(cx);
    let reply = conn.cmd(&format!("CLIENT KILL ID {id} SKIPME no"));
    cx.check(reply == Value::Int(1) && conn.closed(), "CLIENT KILL of oneself", reply);
    let (mut conn, addr, _) = victim(cx);
    let reply = conn.cmd(&format!("CLIENT KILL {addr}"));
    cx.check(reply == super::simple("OK") && conn.closed(), "old CLIENT KILL of oneself", reply);
    for line in ["ID 999999999", "ADDR 1.1.1.1:1", "LADDR 1.1.1.1:1", "TYPE pubsub", "TYPE REPLICA"]
    {
        cx.int(&format!("CLIENT KILL {line}"), 0);
    }
}

fn kill_many(cx: &mut Cx) {
    if cx.proto == 3 {
        return;
    }
    let target = cx.fresh(&[]);
    let mut conn = target.server().conn();
    let mut victims: Vec<_> = (0..5).map(|_| target.server().conn()).collect();
    for victim in &mut victims {
        victim.cmd("PING");
    }
    let killed = conn.cmd("CLIENT KILL TYPE normal").int();
    cx.check(killed == 5, "CLIENT KILL TYPE normal", killed);
    cx.check(victims.iter_mut().all(|victim| victim.closed()), "all closed", ());
    let pong = conn.cmd("PING");
    cx.check(pong == super::simple("PONG"), "the killer lives", pong);
    let mut victim = target.server().conn();
    victim.cmd("PING");
    let line = format!("CLIENT KILL LADDR {} SKIPME yes", target.server().addr);
    let killed = conn.cmd(&line);
    cx.check(killed == Value::Int(1) && victim.closed(), &line, killed);
    let killed = conn.cmd("CLIENT KILL USER default SKIPME no");
    cx.check(killed == Value::Int(1) && conn.closed(), "CLIENT KILL USER", killed);
}

fn kill_errors(cx: &mut Cx) {
    cx.arity("client|kill", &["CLIENT KILL"]);
    cx.errors(
        "ERR client-id should be greater than 0",
        &["CLIENT KILL ID abc", "CLIENT KILL ID 0", "CLIENT KILL ID -1"],
    );
    cx.error("CLIENT KILL TYPE nosuch", "ERR Unknown client type 'nosuch'");
    cx.error("CLIENT KILL USER nosuch", "ERR No such user 'nosuch'");
    cx.errors("ERR No such client", &["CLIENT KILL 1.1.1.1:1", "CLIENT KILL ID", "CLIENT KILL x"]);
    cx.errors(
        SYNTAX,
        &[
            "CLIENT KILL SKIPME maybe",
            "CLIENT KILL FOO bar",
            "CLIENT KILL ID 1 ADDR",
            "CLIENT KILL ID 1 x y",
        ],
    );
}

fn no_evict(cx: &mut Cx) {
    cx.ok("CLIENT NO-EVICT on");
    let info = cx.get("CLIENT INFO").text();
    cx.check(field(&info, "flags").as_deref() == Some("e"), "flags", &info);
    cx.ok("client no-evict OFF");
    cx.error("CLIENT NO-EVICT maybe", SYNTAX);
    cx.arity("client|no-evict", &["CLIENT NO-EVICT", "CLIENT NO-EVICT on off"]);
}

fn reply(cx: &mut Cx) {
    cx.ok("CLIENT REPLY ON");
    let lines: Vec<String> = [
        "SET {p}a 1",
        "CLIENT REPLY SKIP",
        "INCR {p}a",
        "INCR {p}a",
        "CLIENT REPLY OFF",
        "INCR {p}a",
        "nosuch",
        "MGET {p}a {p}b",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY ON",
        "GET {p}a",
        // A skipped error, a SKIP after a SKIP, and what MULTI queues.
        "CLIENT REPLY SKIP",
        "CLIENT REPLY maybe",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY SKIP",
        "INCR {p}a",
        "CLIENT REPLY OFF",
        "MULTI",
        "INCR {p}a",
        "EXEC",
        "CLIENT REPLY ON",
        "GET {p}a",
    ]
    .map(|line| cx.key(line))
    .to_vec();
    for line in &lines {
        cx.conn.send(line);
    }
    let replies: Vec<Value> = (0..6).map(|_| cx.conn.read()).collect();
    let ok = || super::simple("OK");
    let want = [ok(), Value::Int(3), ok(), bulk("4"), ok(), bulk("6")];
    cx.check(replies == want, "CLIENT REPLY OFF and SKIP", replies);
    cx.expect("PING", super::simple("PONG"));
    cx.error("CLIENT REPLY maybe", SYNTAX);
    cx.arity("client|reply", &["CLIENT REPLY", "CLIENT REPLY ON x"]);
}

fn help(cx: &mut Cx) {
    let help = cx.get("CLIENT HELP");
    let first = help.items()[0].text();
    let want = "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    cx.check(first == want, "CLIENT HELP", help);
    cx.arity("client|help", &["CLIENT HELP x"]);
}
