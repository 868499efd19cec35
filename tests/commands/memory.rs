//! Cases of MEMORY about the whole server, on servers of their own. MEMORY USAGE is about keys, MEMORY STATS about what
//! INFO shows.

use super::{Cx, Role, Value, cases, oracle};

cases!(run_private: doctor, reports, errors);

/// What the doctor says of the node that has all the keys; the others of a cluster are empty.
fn diagnosis(cx: &mut Cx) -> String {
    let reply = cx.get("MEMORY DOCTOR");
    let right = matches!((&reply, cx.proto), (Value::Verbatim(..), 3) | (Value::Bulk(_), 2));
    cx.check(right, "MEMORY DOCTOR's type", &reply);
    let text = reply.text();
    if cx.role == Role::Node {
        return text;
    }
    let nodes: Vec<&str> = text.split("# 127.0.0.1:").collect();
    cx.check(nodes.len() == 4 && nodes[0].is_empty(), "each under its node", &text);
    let port = |node: &&str| node.lines().next().is_some_and(|line| line.parse::<u16>().is_ok());
    cx.check(nodes[1..].iter().all(port), "each under its node", &text);
    let (empty, full): (Vec<&str>, Vec<&str>) =
        nodes[1..].iter().partition(|node| node.contains(EMPTY));
    cx.check(empty.len() >= 2, "empty nodes", &text);
    full.first().or(empty.first()).map_or(String::new(), |node| (*node).to_owned())
}

const EMPTY: &str = "Hi Sam, this instance is empty or is using very little memory";

fn doctor(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    cx.ok("CONFIG RESETSTAT");
    let text = diagnosis(cx);
    cx.check(text.contains(EMPTY), "an empty one", &text);
    let value = "x".repeat(1_000_000);
    for number in 0..20 {
        cx.ok(&format!("SET {{memory}}{number} {value}"));
    }
    let text = diagnosis(cx);
    cx.check(!text.contains(EMPTY) && !text.contains("* Peak memory:"), "a full one", &text);
    let gone: Vec<String> = (0..8).map(|number| format!("{{memory}}{number}")).collect();
    cx.int(&format!("DEL {}", gone.join(" ")), 8);
    let text = diagnosis(cx);
    let start = "Sam, I detected a few issues in this ";
    let peak = text.contains(start) && text.contains(" * Peak memory: ");
    cx.check(peak, "less than at its peak", &text);
    if !oracle() {
        cx.check(!text.contains(" * Nearly full: "), "a limit that evicts", &text);
        cx.ok("CONFIG SET maxmemory 13mb maxmemory-policy noeviction");
        let text = diagnosis(cx);
        cx.check(text.contains(" * Nearly full: "), "a limit that refuses", &text);
        cx.ok("CONFIG SET maxmemory 100mb maxmemory-policy allkeys-lru");
    }
    cx.ok("FLUSHALL");
}

fn reports(cx: &mut Cx) {
    cx.ok("MEMORY PURGE");
    let reply = cx.get("MEMORY MALLOC-STATS");
    let right = matches!((&reply, cx.proto), (Value::Verbatim(..), 3) | (Value::Bulk(_), 2));
    cx.check(right, "MEMORY MALLOC-STATS's type", &reply);
    let nodes = if cx.role == Role::Coordinator { 3 } else { 1 };
    let text = reply.text();
    let reports = text.matches("___ Begin jemalloc statistics ___").count();
    cx.check(reports == nodes, "MEMORY MALLOC-STATS", reports);
}

fn errors(cx: &mut Cx) {
    cx.arity("memory|doctor", &["MEMORY DOCTOR x"]);
    cx.arity("memory|malloc-stats", &["MEMORY MALLOC-STATS x"]);
    cx.arity("memory|purge", &["MEMORY PURGE x"]);
}
