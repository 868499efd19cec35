//! Cases of what concerns all keys, on servers of their own: DBSIZE, FLUSHALL, FLUSHDB, KEYS, SCAN,
//! RANDOMKEY, and the databases.

use super::{Cx, NOT_INT, SYNTAX, Value, bulk, cases};
use std::collections::BTreeSet;

cases!(run_private: dbsize_flush, keys, globs, scan, scan_filters, scan_while_changing, randomkey,
    databases);

fn fill(cx: &mut Cx, prefix: &str, count: usize) {
    let pairs: Vec<String> = (0..count).map(|i| format!("{prefix}{i} v")).collect();
    for some in pairs.chunks(1000) {
        cx.ok(&format!("MSET {}", some.join(" ")));
    }
}

fn dbsize_flush(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    cx.int("DBSIZE", 0);
    fill(cx, "k", 100);
    cx.int("DBSIZE", 100);
    cx.int("DEL k1 k2", 2);
    cx.int("dbsize", 98);
    cx.ok("SELECT 3");
    cx.int("DBSIZE", 0);
    fill(cx, "k", 10);
    cx.ok("FLUSHDB");
    cx.int("DBSIZE", 0);
    fill(cx, "k", 10);
    for line in ["FLUSHDB SYNC", "FLUSHDB async"] {
        cx.ok("SELECT 3");
        fill(cx, "k", 10);
        cx.ok(line);
        cx.int("DBSIZE", 0);
        cx.ok("SELECT 0");
        cx.int("DBSIZE", 98);
    }
    for line in ["FLUSHALL", "FLUSHALL ASYNC", "flushall sync"] {
        fill(cx, "k", 100);
        cx.ok("SELECT 3");
        fill(cx, "k", 10);
        cx.ok(line);
        cx.int("DBSIZE", 0);
        cx.ok("SELECT 0");
        cx.int("DBSIZE", 0);
    }
    cx.errors(SYNTAX, &["FLUSHALL FOO", "FLUSHALL SYNC ASYNC", "FLUSHDB FOO", "FLUSHDB SYNC SYNC"]);
    cx.arity("dbsize", &["DBSIZE x"]);
}

fn keys(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    cx.unordered("KEYS *", &[]);
    fill(cx, "k", 20);
    cx.ok("SET other 1");
    let all: Vec<String> = (0..20).map(|i| format!("k{i}")).chain(["other".to_owned()]).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    cx.unordered("KEYS *", &all);
    cx.unordered("keys k1?", &all[10..20]);
    cx.unordered("KEYS other", &["other"]);
    cx.unordered("KEYS nosuch*", &[]);
    cx.ok("SET gone 1 PX 1");
    std::thread::sleep(std::time::Duration::from_millis(10));
    cx.unordered("KEYS *o*", &["other"]);
    cx.arity("keys", &["KEYS", "KEYS a b"]);
}

fn globs(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    let names =
        ["hello", "hallo", "hxllo", "hllo", "heello", "h*llo", "h[llo", "HELLO", "a^c", "abc"];
    for name in names {
        cx.ok(&format!("SET {name} 1"));
    }
    for (pattern, want) in [
        ("h?llo", &["hello", "hallo", "hxllo", "h*llo", "h[llo"][..]),
        ("h*llo", &["hello", "hallo", "hxllo", "hllo", "heello", "h*llo", "h[llo"]),
        ("h[ae]llo", &["hello", "hallo"]),
        ("h[^e]llo", &["hallo", "hxllo", "h*llo", "h[llo"]),
        ("h[a-f]llo", &["hello", "hallo"]),
        ("h[f-a]llo", &["hello", "hallo"]),
        ("\"h\\\\*llo\"", &["h*llo"]),
        ("\"h\\\\[llo\"", &["h[llo"]),
        ("h[\"\\\\[\"*]llo", &["h*llo", "h[llo"]),
        ("a[b^]c", &["a^c", "abc"]),
        ("a**c", &["a^c", "abc"]),
        ("???", &["a^c", "abc"]),
        ("\"\"", &[]),
        ("h[ello", &[]),
        ("*[", &[]),
        ("H*", &["HELLO"]),
    ] {
        cx.unordered(&format!("KEYS {pattern}"), want);
    }
}

/// All of a SCAN with these options; a key may come more than once.
fn scan_all(cx: &mut Cx, options: &str) -> BTreeSet<String> {
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    for _ in 0..100_000 {
        let line = format!("SCAN {cursor} {options}");
        let reply = cx.get(&line);
        let [Value::Bulk(_), Value::Array(keys)] = reply.items() else {
            cx.fail(&line, reply, "a cursor and keys");
            return found;
        };
        found.extend(keys.iter().map(Value::text));
        cursor = reply.items()[0].text();
        // node-redis reads it as a double.
        let number: u64 = cursor.parse().unwrap();
        cx.check(super::oracle() || number < 1 << 53, &line, &cursor);
        if cursor == "0" {
            return found;
        }
    }
    cx.fail("SCAN", cursor, "an end");
    found
}

fn scan(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    let found = scan_all(cx, "");
    cx.check(found.is_empty(), "SCAN of nothing", found);
    fill(cx, "k", 3000);
    let want: BTreeSet<String> = (0..3000).map(|i| format!("k{i}")).collect();
    for options in ["", "COUNT 1", "COUNT 7", "count 100", "COUNT 100000", "COUNT 5 COUNT 50"] {
        let found = scan_all(cx, options);
        cx.check(found == want, &format!("SCAN {options}"), found.len());
    }
    let pages = cx.get("SCAN 0 COUNT 100").items()[1].items().len();
    cx.check((50..=400).contains(&pages), "SCAN 0 COUNT 100 gives about 100", pages);
    let pages = cx.get("SCAN 0").items()[1].items().len();
    cx.check((5..=40).contains(&pages), "SCAN 0 gives about 10", pages);
    cx.errors(
        "ERR invalid cursor",
        &["SCAN abc", "SCAN 1.5", "SCAN 18446744073709551616", "SCAN \"0 \"", "SCAN x COUNT y"],
    );
    cx.errors(
        SYNTAX,
        &["SCAN 0 FOO", "SCAN 0 COUNT", "SCAN 0 COUNT 0", "SCAN 0 MATCH", "SCAN 0 FOO x"],
    );
    cx.errors(NOT_INT, &["SCAN 0 COUNT x", "SCAN 0 COUNT 9223372036854775808"]);
    cx.arity("scan", &["SCAN"]);
}

fn scan_filters(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    fill(cx, "k", 1000);
    fill(cx, "other", 100);
    let others: BTreeSet<String> = (0..100).map(|i| format!("other{i}")).collect();
    for options in ["MATCH other*", "match oth[e]r* COUNT 3", "COUNT 1000 MATCH *r* TYPE string"] {
        let found = scan_all(cx, options);
        cx.check(found == others, &format!("SCAN {options}"), found.len());
    }
    for options in ["TYPE list", "TYPE nosuch COUNT 100", "MATCH nosuch*"] {
        let found = scan_all(cx, options);
        cx.check(found.is_empty(), &format!("SCAN {options}"), found);
    }
    let found = scan_all(cx, "TYPE STRING COUNT 500");
    cx.check(found.len() == 1100, "SCAN TYPE STRING", found.len());
    cx.ok("SELECT 1");
    let found = scan_all(cx, "");
    cx.check(found.is_empty(), "SCAN of another database", found);
    cx.ok("SET lone 1");
    let found = scan_all(cx, "COUNT 3");
    cx.check(found == BTreeSet::from(["lone".to_owned()]), "SCAN of database 1", found);
    cx.ok("SET gone 1 PX 1");
    std::thread::sleep(std::time::Duration::from_millis(10));
    let found = scan_all(cx, "");
    cx.check(found.len() == 1, "SCAN shows no overdue key", found);
}

/// A key that is there all the time is found, whatever comes and goes meanwhile.
fn scan_while_changing(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    fill(cx, "stays", 500);
    let mut other = cx.connect();
    let (mut found, mut cursor, mut step) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let reply = cx.get(&format!("SCAN {cursor} COUNT 10"));
        found.extend(reply.items()[1].items().iter().map(Value::text));
        cursor = reply.items()[0].text();
        if cursor == "0" {
            break;
        }
        // First it grows eightfold, then it shrinks again: the table is rehashed both ways.
        let line = if step < 20 { "MSET" } else { "DEL" };
        let keys = (0..200).map(|i| format!("goes{}", step % 20 * 200 + i));
        let words: Vec<String> =
            keys.map(|key| if line == "DEL" { key } else { format!("{key} v") }).collect();
        other.cmd(&format!("{line} {}", words.join(" ")));
        step += 1;
        assert!(step < 10_000, "SCAN does not end");
    }
    let missing: Vec<String> =
        (0..500).map(|i| format!("stays{i}")).filter(|key| !found.contains(key)).collect();
    cx.check(missing.is_empty(), "SCAN misses no key that stays", missing);
}

fn randomkey(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    cx.nil("RANDOMKEY");
    cx.ok("SET one 1");
    cx.expect("RANDOMKEY", bulk("one"));
    fill(cx, "k", 30);
    let seen: BTreeSet<String> = (0..400).map(|_| cx.get("RANDOMKEY").text()).collect();
    cx.check(seen.len() > 20, "RANDOMKEY gives many keys", seen);
    cx.ok("SELECT 1");
    cx.nil("RANDOMKEY");
    cx.arity("randomkey", &["RANDOMKEY x"]);
}

fn databases(cx: &mut Cx) {
    cx.ok("FLUSHALL");
    for db in [0, 1, 15] {
        cx.ok(&format!("SELECT {db}"));
        cx.nil("GET k");
        cx.ok(&format!("SET k {db}"));
        cx.ok(&format!("MSET a{db} 1 b{db} 1 c{db} 1"));
    }
    for db in [0, 1, 15] {
        cx.ok(&format!("SELECT {db}"));
        cx.bulk("GET k", &db.to_string());
        cx.unordered("KEYS *", &["k", &format!("a{db}"), &format!("b{db}"), &format!("c{db}")]);
        cx.int("DBSIZE", 4);
    }
    // Another connection is in database 0, and requests of both keep apart in a pipeline.
    let mut other = cx.connect();
    for _ in 0..50 {
        cx.conn.send("GET k");
        other.send("GET k");
        other.send("EXISTS a0 b0 c0");
        cx.conn.send("EXISTS a15 b15 c15");
    }
    for _ in 0..50 {
        let replies = [cx.conn.read(), cx.conn.read(), other.read(), other.read()];
        let want = [bulk("15"), Value::Int(3), bulk("0"), Value::Int(3)];
        cx.check(replies == want, "databases of two connections", replies.clone());
    }
    cx.errors("ERR DB index is out of range", &["SELECT 16", "SELECT -1"]);
    cx.errors(NOT_INT, &["SELECT x", "SELECT \"\"", "SELECT 1.0"]);
    cx.bulk("GET k", "15");
    cx.arity("select", &["SELECT", "SELECT 1 2"]);
}
