//! Cases of LATENCY and of `latency-tracking`, on servers of their own.

use super::{Cx, Role, Value, bulk, cases, oracle};
use crate::util::wait_for;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

cases!(run_private: spikes, graph, only_while_wanted, cycles, histogram, tracking, doctor, errors);

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The entries of LATENCY LATEST that are about commands: `command` on a node, `command@ADDRESS` of each node on a
/// coordinator. A round of upkeep that had to wait for one is an event, too.
fn latest(cx: &mut Cx) -> Vec<Vec<Value>> {
    let all = cx.get("LATENCY LATEST");
    let all = all.items().iter().map(|entry| entry.items().to_vec());
    all.filter(|entry| entry[0].text().split('@').next() == Some("command")).collect()
}

fn names(cx: &mut Cx) -> Vec<String> {
    latest(cx).iter().map(|entry| entry[0].text()).collect()
}

/// Expects that there are none.
fn no_events(cx: &mut Cx) {
    let names = names(cx);
    cx.check(names.is_empty(), "no event of commands", names);
}

/// How many nodes there are.
fn nodes(cx: &Cx) -> usize {
    if cx.role == Role::Coordinator { 3 } else { 1 }
}

/// Forgets all events: each node has that of commands, and maybe of upkeep that had to wait for one.
fn reset(cx: &mut Cx) {
    let nodes = nodes(cx) as i64;
    cx.within("latency reset", nodes..=2 * nodes);
}

/// LATEST, HISTORY and RESET of what DEBUG SLEEP makes.
fn spikes(cx: &mut Cx) {
    cx.ok("CONFIG SET latency-monitor-threshold 50");
    let value = cx.get("CONFIG GET latency-monitor-threshold");
    cx.check(value.field("latency-monitor-threshold") == Some(bulk("50")), "CONFIG GET", value);
    no_events(cx);
    let began = now_s();
    cx.ok("DEBUG SLEEP 0.4");
    // In a second of its own.
    wait_for("the next second", Duration::from_secs(3), || now_s() >= began + 2);
    cx.ok("DEBUG SLEEP 0.06");
    cx.ok("SET {t}a 1");
    let all = latest(cx);
    cx.check(all.len() == nodes(cx), "an event of each node", &all);
    for entry in &all {
        let [name, time, ms, max] = &entry[..] else { panic!("{entry:?}") };
        let of_node = name.text().starts_with("command@127.0.0.1:");
        cx.check(if nodes(cx) == 3 { of_node } else { name.text() == "command" }, "name", name);
        cx.check((began + 1..=now_s()).contains(&time.int()), "the time", time);
        cx.check((60..400).contains(&ms.int()), "the latest", ms);
        cx.check((400..5000).contains(&max.int()), "the longest", max);
    }
    let history = cx.get("LATENCY HISTORY command");
    let samples = history.items();
    cx.check(samples.len() == 2 * nodes(cx), "the samples", samples);
    let times: Vec<i64> = samples.iter().map(|sample| sample.items()[0].int()).collect();
    cx.check(times.is_sorted(), "the oldest first", &times);
    let long = samples.iter().filter(|sample| sample.items()[1].int() >= 400).count();
    cx.check(long == nodes(cx), "the long ones", samples);
    for name in names(cx) {
        let history = cx.get(&format!("LATENCY HISTORY {name}"));
        cx.check(history.items().len() == 2, "the samples of a node", history);
    }
    cx.expect("LATENCY HISTORY nosuch", Value::Array(Vec::new()));
    cx.expect("LATENCY HISTORY COMMAND", Value::Array(Vec::new()));

    cx.int("LATENCY RESET nosuch fast-command", 0);
    let first = names(cx)[0].clone();
    cx.int(&format!("LATENCY RESET {first} nosuch"), 1);
    let left = names(cx);
    cx.check(!left.contains(&first), "LATENCY RESET event", left);
    cx.int("LATENCY RESET command", nodes(cx) as i64 - 1);
    no_events(cx);
    cx.ok("DEBUG SLEEP 0.06");
    reset(cx);
    no_events(cx);
    cx.expect("LATENCY HISTORY command", Value::Array(Vec::new()));
    cx.ok("CONFIG SET latency-monitor-threshold 0");
}

/// A sample of a single height, as wide as there are nodes.
fn graph(cx: &mut Cx) {
    cx.ok("CONFIG SET latency-monitor-threshold 50");
    cx.ok("DEBUG SLEEP 0.1");
    let all = cx.get("LATENCY GRAPH command");
    let right = matches!((&all, cx.proto), (Value::Verbatim(..), 3) | (Value::Bulk(_), 2));
    cx.check(right, "LATENCY GRAPH's type", &all);
    for name in names(cx) {
        let text = cx.get(&format!("LATENCY GRAPH {name}")).text();
        let lines: Vec<&str> = text.lines().collect();
        let ms = text.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap_or(0);
        let title = format!("command - high {ms} ms, low {ms} ms (all time high {ms} ms)");
        cx.check(ms >= 100 && lines[0] == title, "the title", &text);
        cx.check(lines[1] == "-".repeat(80), "the rule", &text);
        cx.check(lines[2..7] == [" ", " ", " ", "_", " "], "the line", &text);
        let age = lines[7..].concat();
        let seconds = age.strip_suffix('s').and_then(|age| age.parse::<u64>().ok());
        cx.check(seconds.is_some(), "how long ago", &text);
    }
    let lines = all.text().lines().map(str::to_owned).collect::<Vec<_>>();
    cx.check(lines[5].len() == nodes(cx), "all nodes", &lines);
    let want = "ERR No samples available for event 'nosuch'";
    cx.error("LATENCY GRAPH nosuch", want);
    reset(cx);
    cx.error("LATENCY GRAPH command", "ERR No samples available for event 'command'");
    cx.ok("CONFIG SET latency-monitor-threshold 0");
}

/// Nothing is noted while the threshold is 0, nor what is quicker.
fn only_while_wanted(cx: &mut Cx) {
    cx.ok("DEBUG SLEEP 0.06");
    cx.ok("CONFIG SET latency-monitor-threshold 5000");
    cx.ok("DEBUG SLEEP 0.06");
    no_events(cx);
    // In a transaction, too: the command and EXEC, which lasts as long, are one event.
    cx.ok("CONFIG SET latency-monitor-threshold 50");
    cx.ok("MULTI");
    cx.expect("DEBUG SLEEP 0.06", Value::Simple("QUEUED".to_owned()));
    cx.expect("EXEC", Value::Array(vec![Value::Simple("OK".to_owned())]));
    let all = names(cx);
    cx.check(all.len() == nodes(cx), "in a transaction", all);
    cx.ok("CONFIG SET latency-monitor-threshold 0");
    cx.get("LATENCY RESET");
}

/// Evicting many keys for a large value takes a while.
fn cycles(cx: &mut Cx) {
    if oracle() {
        return;
    }
    cx.ok("FLUSHALL");
    cx.ok("CONFIG SET latency-monitor-threshold 1 maxmemory 0");
    let batch: Vec<u8> = (0..60_000)
        .flat_map(|number| {
            let key = format!("{{cycles}}{number}");
            crate::util::request(&[b"SET", key.as_bytes(), b"value"])
        })
        .collect();
    cx.conn.send_raw(&batch);
    for _ in 0..60_000 {
        assert_eq!(cx.conn.read(), Value::Simple("OK".to_owned()));
    }
    let usage = cx.get("MEMORY USAGE {cycles}1").int();
    // Room for the keys, and for nothing else: the value has to take the place of most.
    cx.ok(&format!("CONFIG SET maxmemory {}", 60_000 * usage * 3 / 2));
    let value = "x".repeat(60_000 * usage as usize);
    cx.ok(&format!("SET {{cycles}}large {value}"));
    let all = cx.get("LATENCY LATEST");
    let mut kinds = all.items().iter().map(|entry| entry.items()[0].text());
    let evicted = kinds.any(|name| name.starts_with("eviction-cycle"));
    cx.check(evicted, "eviction-cycle", all);
    cx.ok("CONFIG SET maxmemory 0 latency-monitor-threshold 0");
    cx.ok("FLUSHALL");
    cx.get("LATENCY RESET");
}

/// LATENCY HISTOGRAM: of what clients of this server have called.
fn histogram(cx: &mut Cx) {
    cx.ok("CONFIG RESETSTAT");
    for number in 0..20 {
        cx.ok(&format!("SET {{t}}{number} value"));
    }
    cx.bulk("GET {t}1", "value");
    let both = cx.get("LATENCY HISTOGRAM get nosuch SET mget");
    let right = matches!((&both, cx.proto), (Value::Map(_), 3) | (Value::Array(_), 2));
    cx.check(right, "LATENCY HISTOGRAM's type", &both);
    let shown: Vec<String> = both.pairs().iter().map(|(name, _)| name.text()).collect();
    cx.check(shown == ["get", "set"], "in the order of the arguments", shown);
    for (name, calls) in [("set", 20), ("get", 1)] {
        let of = both.field(name).unwrap();
        let fields: Vec<String> = of.pairs().iter().map(|(field, _)| field.text()).collect();
        cx.check(fields == ["calls", "histogram_usec"], "the fields", fields);
        cx.check(of.field("calls") == Some(Value::Int(calls)), "calls", &of);
        let counts = of.field("histogram_usec").unwrap().pairs();
        let counts: Vec<(i64, i64)> = counts.iter().map(|(us, n)| (us.int(), n.int())).collect();
        // A doubling of 1024 ns as Redis names it.
        let bounds: Vec<i64> = (0..30).map(|doubling| ((1032 << doubling) - 1) / 1000).collect();
        let right = counts.iter().all(|(us, _)| bounds.contains(us))
            && counts.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1)
            && counts.last().is_some_and(|last| last.1 == calls);
        cx.check(right, "cumulative counts", counts);
    }
    cx.get("CONFIG GET timeout");
    let config = cx.get("LATENCY HISTOGRAM config").pairs();
    let mut shown: Vec<String> = config.iter().map(|(name, _)| name.text()).collect();
    shown.sort();
    cx.check(shown == ["config|get", "config|resetstat"], "subcommands", shown);
    let one = cx.get("LATENCY HISTOGRAM config|get").pairs();
    cx.check(one.len() == 1, "a subcommand", one);
    cx.expect("LATENCY HISTOGRAM nosuch", Value::Map(Vec::new()));
    let all = cx.get("LATENCY HISTOGRAM");
    cx.check(all.field("latency|histogram").is_some(), "LATENCY HISTOGRAM", all);
    cx.ok("CONFIG RESETSTAT");
    let all = cx.get("LATENCY HISTOGRAM").pairs();
    cx.check(all.len() == 1, "after CONFIG RESETSTAT", all);
}

/// Without `latency-tracking` nothing is recorded, and nothing shown.
fn tracking(cx: &mut Cx) {
    let value = cx.get("CONFIG GET latency-tracking");
    cx.check(value.field("latency-tracking") == Some(bulk("yes")), "the default", value);
    let shown = |cx: &mut Cx| cx.get("INFO latencystats").text();
    cx.ok("SET {t}a 1");
    let text = shown(cx);
    cx.check(text.contains("latency_percentiles_usec_set:p50="), "INFO latencystats", text);
    cx.ok("CONFIG SET latency-tracking no");
    cx.ok("CONFIG RESETSTAT");
    cx.ok("SET {t}a 1");
    let text = shown(cx);
    cx.check(!text.contains("latency_percentiles"), "INFO latencystats", text);
    cx.expect("LATENCY HISTOGRAM", Value::Map(Vec::new()));
    let counted = cx.get("INFO commandstats").text();
    cx.check(counted.contains("cmdstat_set:calls=1,"), "INFO commandstats", counted);
    cx.ok("CONFIG SET latency-tracking yes");
    cx.ok("SET {t}a 1");
    let all = cx.get("LATENCY HISTOGRAM set");
    let calls = all.field("set").and_then(|of| of.field("calls"));
    cx.check(calls == Some(Value::Int(1)), "LATENCY HISTOGRAM", all);
}

fn doctor(cx: &mut Cx) {
    let reply = cx.get("LATENCY DOCTOR");
    let right = matches!((&reply, cx.proto), (Value::Verbatim(..), 3) | (Value::Bulk(_), 2));
    cx.check(right, "LATENCY DOCTOR's type", &reply);
    let count = |text: &str, words: &str| text.matches(words).count();
    let off = count(&reply.text(), "I'm sorry, Dave, I can't do that.");
    cx.check(off == nodes(cx), "while it is off", reply);
    cx.ok("CONFIG SET latency-monitor-threshold 50");
    let text = cx.get("LATENCY DOCTOR").text();
    let quiet = count(&text, "Dave, no latency spike was observed during the lifetime of this");
    cx.check(quiet == nodes(cx) || oracle(), "without spikes", text);
    cx.ok("DEBUG SLEEP 0.06");
    let text = cx.get("LATENCY DOCTOR").text();
    for words in [
        "Dave, I have observed latency spikes in this",
        ". command: 1 latency spikes (average ",
        "I have a few advices for you:",
        "- Check your Slow Log",
    ] {
        cx.check(count(&text, words) == nodes(cx), words, &text);
    }
    let headings = text.lines().filter(|line| line.starts_with("# 127.0.0.1:")).count();
    cx.check(headings == if nodes(cx) == 3 { 3 } else { 0 }, "the nodes", &text);
    cx.ok("CONFIG SET latency-monitor-threshold 0");
    cx.get("LATENCY RESET");
}

fn errors(cx: &mut Cx) {
    cx.arity("latency", &["LATENCY"]);
    cx.arity("latency|doctor", &["LATENCY DOCTOR x"]);
    cx.arity("latency|graph", &["LATENCY GRAPH", "LATENCY GRAPH a b"]);
    cx.arity("latency|history", &["LATENCY HISTORY", "LATENCY HISTORY a b"]);
    cx.arity("latency|latest", &["LATENCY LATEST x"]);
    cx.arity("latency|help", &["LATENCY HELP x"]);
    cx.error("LATENCY NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try LATENCY HELP.");
    for (name, value, reason) in [
        ("latency-monitor-threshold", "-1", "must be between 0 and 9223372036854775807 inclusive"),
        ("latency-monitor-threshold", "x", "couldn't be parsed into an integer"),
        ("latency-tracking", "maybe", "must be 'yes' or 'no'"),
    ] {
        let want = format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - argument {reason}"
        );
        cx.error(&format!("CONFIG SET {name} {value}"), &want);
    }
    let help = cx.get("LATENCY HELP");
    cx.check(help.items().len() >= 15, "LATENCY HELP", help);
}
