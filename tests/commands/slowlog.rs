//! Cases of SLOWLOG, on servers of their own.

use super::{Cx, Role, Value, bulk, bulks, cases, oracle};
use std::time::{SystemTime, UNIX_EPOCH};

cases!(run_private: entries, together, what_is_kept, only_what_takes_long, transactions, errors);

/// What comes together shares a clock reading, unless somebody wants to know of each.
fn together(cx: &mut Cx) {
    let mixed = b"SET {p}a 1\r\nSET {p}b x\r\nGET {p}a\r\nGET {p}a\r\nINCR {p}b\r\nINCR {p}a\r\nGET {p}a\r\n";
    for (threshold, entries) in [("0", 70), ("10000000", 0)] {
        cx.ok("CONFIG RESETSTAT");
        cx.ok(&format!("CONFIG SET slowlog-log-slower-than {threshold}"));
        cx.ok("SLOWLOG RESET");
        cx.conn.send_raw(&mixed.repeat(10));
        for _ in 0..70 {
            cx.conn.read();
        }
        let stats = cx.get("INFO commandstats").text();
        for (command, calls, failed) in [("get", 30, 0), ("set", 20, 0), ("incr", 20, 10)] {
            let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
            let line = line.unwrap_or_default();
            cx.check(line.contains(&format!("calls={calls},")), "calls", line);
            cx.check(line.ends_with(&format!("failed_calls={failed}")), "failed calls", line);
        }
        let kept = log(cx, "SLOWLOG GET -1");
        let kept = kept.iter().filter(|entry| {
            let name = entry.items()[3].items()[0].text().to_lowercase();
            ["get", "set", "incr"].contains(&&*name)
        });
        let kept = kept.count();
        cx.check(kept == entries, "an entry for each, or none", kept);
    }
}

/// The entries, newest first.
fn entries(cx: &mut Cx) {
    cx.ok("CONFIG SET slowlog-log-slower-than 0");
    cx.ok("SLOWLOG RESET");
    cx.ok("CLIENT SETNAME tester");
    for number in 0..20 {
        cx.ok(&format!("SET {{p}}{number} value"));
    }
    let all = log(cx, "SLOWLOG GET -1");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let sets: Vec<&[Value]> = all
        .iter()
        .map(|entry| entry.items())
        .filter(|entry| entry[3].items()[0] == bulk("SET"))
        .collect();
    cx.check(sets.len() == 20, "an entry for each SET", sets.len());
    let mut ids = Vec::new();
    for entry in &sets {
        let [id, time, us, args, addr, name] = entry else {
            cx.fail("SLOWLOG GET", entry, "six parts");
            continue;
        };
        ids.push(id.int());
        cx.check((now - 60..=now).contains(&time.int()), "the time", time);
        cx.check((0..1_000_000).contains(&us.int()), "microseconds", us);
        cx.check(args.items()[2] == bulk("value"), "the arguments", args);
        cx.check(addr.text().contains(':'), "the client's address", addr);
        // Of a coordinator's nodes the coordinator is the client; the node is told.
        let named = match cx.role {
            Role::Coordinator => name.text().starts_with("larder-coordinator@127.0.0.1:"),
            Role::Node => name.text() == "tester",
        };
        cx.check(named, "the client's name", name);
    }
    ids.sort_unstable();
    ids.dedup();
    cx.check(ids.len() == sets.len(), "numbers are unique", &ids);
    let times: Vec<i64> = all.iter().map(|entry| entry.items()[1].int()).collect();
    cx.check(times.is_sorted_by(|a, b| a >= b), "the newest first", times);

    let length = log(cx, "SLOWLOG GET").len();
    cx.check(length == 10, "SLOWLOG GET", length);
    let length = log(cx, "SLOWLOG GET 3").len();
    cx.check(length == 3, "SLOWLOG GET 3", length);
    cx.expect("SLOWLOG GET 0", Value::Array(Vec::new()));
    cx.within("SLOWLOG LEN", 20..=1000);
    // Nothing any more: the last command that is kept is this one, maybe.
    cx.ok("CONFIG SET slowlog-log-slower-than -1");
    cx.ok("SLOWLOG RESET");
    cx.ok("SET {p}a b");
    cx.int("SLOWLOG LEN", 0);
    cx.ok("CONFIG SET slowlog-log-slower-than 0");
    cx.ok("CONFIG SET slowlog-max-len 4");
    for _ in 0..60 {
        cx.ok("SET {t}a b");
    }
    // Each node keeps so many.
    cx.within("SLOWLOG LEN", 4..=12);
    let args = cx.get("SLOWLOG GET -1");
    cx.check(args.items().len() <= 12, "slowlog-max-len", args);
    cx.ok("CONFIG SET slowlog-max-len 128 slowlog-log-slower-than 10000");
}

/// Long arguments are cut, passwords are not kept.
fn what_is_kept(cx: &mut Cx) {
    cx.ok("CONFIG SET slowlog-log-slower-than 0");
    cx.ok("SLOWLOG RESET");
    let long = "x".repeat(200);
    cx.ok(&format!("SET {{t}}long {long}"));
    let many: Vec<String> = (0..40).map(|number| format!("{{t}}{number}")).collect();
    cx.int(&format!("DEL {}", many.join(" ")), 0);
    let _ = cx.get("AUTH some secret");
    let all = log(cx, "SLOWLOG GET -1");
    let args = |name: &str| {
        let found = all.iter().find(|entry| entry.items()[3].items()[0] == bulk(name));
        found.map(|entry| entry.items()[3].items().iter().map(Value::text).collect::<Vec<_>>())
    };
    let set = args("SET").unwrap_or_default();
    let cut = format!("{}... (72 more bytes)", "x".repeat(128));
    cx.check(set.last() == Some(&cut), "a long argument", set);
    let del = args("DEL").unwrap_or_default();
    let more = Some("... (10 more arguments)".to_owned());
    cx.check(del.len() == 32 && del.last() == more.as_ref(), "many arguments", del);
    let auth = args("AUTH");
    // A coordinator answers AUTH itself, and logs what its nodes do.
    let right = match (cx.role, &auth) {
        (Role::Node, Some(words)) => words[1..] == ["(redacted)", "(redacted)"],
        (role, None) => role == Role::Coordinator,
        _ => false,
    };
    cx.check(right, "a password", auth);
    cx.ok("CONFIG SET slowlog-log-slower-than 10000");
}

fn only_what_takes_long(cx: &mut Cx) {
    if oracle() {
        return;
    }
    cx.ok("CONFIG SET slowlog-log-slower-than 10000");
    cx.ok("SLOWLOG RESET");
    cx.ok("SET {p}a b");
    cx.ok("DEBUG SLEEP 0.05");
    let slept = log(cx, "SLOWLOG GET -1")
        .iter()
        .filter(|entry| entry.items()[3] == bulks(&["DEBUG", "SLEEP", "0.05"]))
        .filter(|entry| entry.items()[2].int() >= 50_000)
        .count();
    let nodes = if cx.role == Role::Coordinator { 3 } else { 1 };
    cx.check(slept == nodes, "one for each node", slept);
    let set = log(cx, "SLOWLOG GET -1");
    let set = set.iter().find(|entry| entry.items()[3].items()[0] == bulk("SET"));
    cx.check(set.is_none_or(|entry| entry.items()[2].int() >= 10_000), "a quick one", set);
}

/// The commands of a transaction, and not EXEC.
fn transactions(cx: &mut Cx) {
    cx.ok("CONFIG SET slowlog-log-slower-than 0");
    cx.ok("SLOWLOG RESET");
    cx.ok("MULTI");
    cx.expect("SET {t}a b", Value::Simple("QUEUED".to_owned()));
    cx.expect("EXEC", Value::Array(vec![Value::Simple("OK".to_owned())]));
    let names: Vec<String> = log(cx, "SLOWLOG GET -1")
        .iter()
        .map(|entry| entry.items()[3].items()[0].text().to_uppercase())
        .collect();
    cx.check(names.iter().any(|name| name == "SET"), "SET", &names);
    cx.check(!names.iter().any(|name| name == "EXEC"), "EXEC", &names);
    cx.ok("CONFIG SET slowlog-log-slower-than 10000");
}

fn errors(cx: &mut Cx) {
    cx.arity("slowlog", &["SLOWLOG"]);
    cx.arity("slowlog|len", &["SLOWLOG LEN 1"]);
    cx.arity("slowlog|reset", &["SLOWLOG RESET 1"]);
    cx.errors(
        "ERR count should be greater than or equal to -1",
        &["SLOWLOG GET x", "SLOWLOG GET -2", "SLOWLOG GET 1.5"],
    );
    cx.error(
        "SLOWLOG GET 1 2",
        "ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.",
    );
    cx.error("SLOWLOG NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP.");
    cx.error(
        "CONFIG SET slowlog-log-slower-than -2",
        "ERR CONFIG SET failed (possibly related to argument 'slowlog-log-slower-than') - \
         argument must be between -1 and 9223372036854775807 inclusive",
    );
    let help = cx.get("SLOWLOG HELP");
    cx.check(help.items().len() >= 9, "SLOWLOG HELP", help);
}

fn log(cx: &mut Cx, line: &str) -> Vec<Value> {
    cx.get(line).items().to_vec()
}
