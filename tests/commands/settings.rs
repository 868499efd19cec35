//! Cases of CONFIG, on servers of their own.

use super::{Cx, SYNTAX, Value, bulk, bulks, cases};

cases!(run_private: get, get_globs, set, set_errors, resetstat, memory_units);

fn pairs(items: &[(&str, &str)]) -> Value {
    Value::Map(items.iter().map(|(name, value)| (bulk(name), bulk(value))).collect())
}

fn get(cx: &mut Cx) {
    cx.expect("CONFIG GET nosuch", Value::Map(Vec::new()));
    cx.expect("CONFIG GET databases", pairs(&[("databases", "16")]));
    let reply = cx.get("config get DATABASES").pairs();
    cx.check(reply.len() == 1 && reply[0].1 == bulk("16"), "config get DATABASES", reply);
    cx.expect("CONFIG GET appendonly", pairs(&[("appendonly", "no")]));
    cx.expect("CONFIG GET save", pairs(&[("save", "")]));
    // What tools ask for.
    let known = "maxmemory maxmemory-policy maxclients timeout io-threads replica-read-only \
        slowlog-log-slower-than slowlog-max-len latency-monitor-threshold notify-keyspace-events \
        proto-max-bulk-len tcp-keepalive port bind hash-max-listpack-entries \
        list-max-listpack-size set-max-intset-entries zset-max-listpack-entries";
    for name in known.split_whitespace() {
        let reply = cx.get(&format!("CONFIG GET {name}"));
        cx.check(reply.field(name).is_some(), name, reply);
    }
    let port = cx.server.port.to_string();
    cx.expect("CONFIG GET port", pairs(&[("port", &port)]));
    cx.expect("CONFIG GET proto-max-bulk-len", pairs(&[("proto-max-bulk-len", "536870912")]));
    cx.arity("config|get", &["CONFIG GET"]);
    cx.arity("config", &["CONFIG"]);
    cx.error("CONFIG NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.");
}

fn get_globs(cx: &mut Cx) {
    let all = cx.get("CONFIG GET *");
    let names: Vec<String> = all.pairs().iter().map(|(name, _)| name.text()).collect();
    cx.check(names.len() > 20, "CONFIG GET *", &names);
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    cx.check(unique.len() == names.len(), "each once", &names);
    let reply = cx.get("CONFIG GET maxmem*");
    let found = reply.field("maxmemory").is_some() && reply.field("maxmemory-policy").is_some();
    cx.check(found, "CONFIG GET maxmem*", reply);
    let reply = cx.get("CONFIG GET timeout maxclients time*t nosuch");
    let mut names: Vec<String> = reply.pairs().iter().map(|(name, _)| name.text()).collect();
    names.sort();
    cx.check(names == ["maxclients", "timeout"], "CONFIG GET of several", names);
    cx.expect("CONFIG GET d[a]tabase?", pairs(&[("databases", "16")]));
}

fn set(cx: &mut Cx) {
    cx.ok("CONFIG SET maxmemory 100mb");
    cx.expect("CONFIG GET maxmemory", pairs(&[("maxmemory", "104857600")]));
    cx.ok("CONFIG SET maxmemory 200mb timeout 100");
    cx.expect("CONFIG GET maxmemory", pairs(&[("maxmemory", "209715200")]));
    cx.expect("CONFIG GET timeout", pairs(&[("timeout", "100")]));
    cx.ok("config set TIMEOUT 0");
    cx.expect("CONFIG GET timeout", pairs(&[("timeout", "0")]));
    for policy in ["noeviction", "allkeys-lru"] {
        cx.ok(&format!("CONFIG SET maxmemory-policy {policy}"));
        cx.expect("CONFIG GET maxmemory-policy", pairs(&[("maxmemory-policy", policy)]));
        let info = cx.get("INFO memory").text();
        let line = format!("maxmemory_policy:{policy}\r\n");
        cx.check(info.contains(&line), "the policy in INFO", info);
    }
    cx.ok("CONFIG SET maxclients 500");
    cx.expect("CONFIG GET maxclients", pairs(&[("maxclients", "500")]));
    cx.ok("CONFIG SET maxmemory 0");
    cx.ok("CONFIG SET tcp-keepalive 100");
    cx.arity("config|set", &["CONFIG SET", "CONFIG SET timeout"]);
}

fn failed(name: &str, why: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
}

fn set_errors(cx: &mut Cx) {
    let before = cx.get("CONFIG GET timeout");
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'";
    cx.errors(unknown, &["CONFIG SET nosuch 1", "CONFIG SET timeout 77 nosuch 1"]);
    cx.error("CONFIG SET timeout 77 maxmemory", SYNTAX);
    for value in ["abc", "-1", "1tb", "1.5mb"] {
        let error = failed("maxmemory", "argument must be a memory value");
        cx.error(&format!("CONFIG SET maxmemory {value}"), &error);
    }
    let error = failed("maxmemory", "argument must be a memory value");
    cx.error("CONFIG SET timeout 77 maxmemory abc", &error);
    let integer = "argument couldn't be parsed into an integer";
    for value in ["abc", "1.5", "\"\""] {
        cx.error(&format!("CONFIG SET timeout {value}"), &failed("timeout", integer));
    }
    cx.error(
        "CONFIG SET timeout -1",
        &failed("timeout", "argument must be between 0 and 2147483647 inclusive"),
    );
    cx.error(
        "CONFIG SET maxclients 0",
        &failed("maxclients", "argument must be between 1 and 4294967295 inclusive"),
    );
    cx.error(
        "CONFIG SET protected-mode maybe",
        &failed("protected-mode", "argument must be 'yes' or 'no'"),
    );
    cx.error("CONFIG SET databases 3", &failed("databases", "can't set immutable config"));
    cx.error("CONFIG SET timeout 1 timeout 2", &failed("timeout", "duplicate parameter"));
    // Nothing of a refused CONFIG SET is done.
    let after = cx.get("CONFIG GET timeout");
    cx.check(before == after, "a refused CONFIG SET changes nothing", after);
    let reply = cx.get("CONFIG SET maxmemory-policy nosuch");
    let text = reply.text();
    let start = failed("maxmemory-policy", "argument(s) must be one of the following: ");
    cx.check(text.starts_with(&start) && text.contains("allkeys-lru"), "a wrong policy", text);
}

fn resetstat(cx: &mut Cx) {
    cx.ok("SET a 1");
    for _ in 0..5 {
        cx.bulk("GET a", "1");
        cx.nil("GET nosuch");
    }
    let hits = |cx: &mut Cx| {
        let text = cx.get("INFO stats").text();
        let line = |name: &str| {
            let line = text.split("\r\n").find(|line| line.starts_with(name)).unwrap_or(name);
            line[name.len()..].to_owned()
        };
        (line("keyspace_hits:"), line("keyspace_misses:"))
    };
    let before = hits(cx);
    cx.check(before == ("5".to_owned(), "5".to_owned()), "hits and misses", before);
    cx.ok("CONFIG RESETSTAT");
    let after = hits(cx);
    cx.check(after == ("0".to_owned(), "0".to_owned()), "CONFIG RESETSTAT", after);
    cx.arity("config|resetstat", &["CONFIG RESETSTAT x"]);
    cx.int("DEL a", 1);
}

fn memory_units(cx: &mut Cx) {
    for (value, bytes) in [
        ("1073741824", "1073741824"),
        ("100000000b", "100000000"),
        ("100000k", "100000000"),
        ("100000KB", "102400000"),
        ("100m", "100000000"),
        ("100Mb", "104857600"),
        ("1g", "1000000000"),
        ("1GB", "1073741824"),
        ("0", "0"),
    ] {
        cx.ok(&format!("CONFIG SET maxmemory {value}"));
        let want = if cx.proto == 2 {
            bulks(&["maxmemory", bytes])
        } else {
            pairs(&[("maxmemory", bytes)])
        };
        let got = cx.get("CONFIG GET maxmemory");
        cx.check(got == want, value, got);
    }
}
