//! Cases of commands about single keys whatever they hold: TYPE, RENAME, COPY, OBJECT, MEMORY.

use super::{Cx, NOT_INT, SYNTAX, Value, cases};

cases!(run_shared: type_of, rename, renamenx, copy, copy_databases, object, object_help, memory,
    memory_stats);

fn type_of(cx: &mut Cx) {
    cx.expect("TYPE {p}a", super::simple("none"));
    cx.ok("SET {p}a 1");
    cx.expect("TYPE {p}a", super::simple("string"));
    cx.arity("type", &["TYPE", "TYPE a b"]);
}

fn rename(cx: &mut Cx) {
    cx.error("RENAME {t}a {t}b", "ERR no such key");
    cx.error("RENAME {t}a {t}a", "ERR no such key");
    cx.ok("SET {t}a 1 PXAT 4102444800123");
    cx.ok("SET {t}b old");
    cx.ok("RENAME {t}a {t}b");
    cx.nil("GET {t}a");
    cx.bulk("GET {t}b", "1");
    cx.int("PEXPIRETIME {t}b", 4_102_444_800_123);
    cx.ok("RENAME {t}b {t}b");
    cx.bulk("GET {t}b", "1");
    // The time of the overwritten key goes with it.
    cx.ok("SET {t}c 2");
    cx.ok("RENAME {t}c {t}b");
    cx.int("TTL {t}b", -1);
    cx.bulk("GET {t}b", "2");
    cx.arity("rename", &["RENAME", "RENAME a", "RENAME a b c"]);
}

fn renamenx(cx: &mut Cx) {
    cx.error("RENAMENX {t}a {t}b", "ERR no such key");
    cx.ok("SET {t}a 1 EX 100");
    cx.int("RENAMENX {t}a {t}a", 0);
    cx.int("RENAMENX {t}a {t}b", 1);
    cx.int("EXISTS {t}a", 0);
    cx.within("TTL {t}b", 90..=100);
    cx.ok("SET {t}a 2");
    cx.int("RENAMENX {t}a {t}b", 0);
    cx.bulk("GET {t}b", "1");
    cx.bulk("GET {t}a", "2");
    cx.arity("renamenx", &["RENAMENX", "RENAMENX a", "RENAMENX a b c"]);
}

fn copy(cx: &mut Cx) {
    cx.int("COPY {t}a {t}b", 0);
    cx.ok("SET {t}a 1 PXAT 4102444800123");
    cx.int("COPY {t}a {t}b", 1);
    cx.bulk("GET {t}a", "1");
    cx.bulk("GET {t}b", "1");
    cx.int("PEXPIRETIME {t}b", 4_102_444_800_123);
    cx.int("INCR {t}b", 2);
    cx.bulk("GET {t}a", "1");
    cx.int("COPY {t}a {t}b", 0);
    cx.bulk("GET {t}b", "2");
    cx.int("COPY {t}a {t}b REPLACE", 1);
    cx.bulk("GET {t}b", "1");
    cx.int("COPY {t}nosuch {t}b replace", 0);
    cx.int("EXISTS {t}b", 1);
    cx.error("COPY {t}a {t}a", "ERR source and destination objects are the same");
    cx.errors(SYNTAX, &["COPY {t}a {t}b FOO", "COPY {t}a {t}b DB", "COPY {t}a {t}b REPLACE DB"]);
    cx.arity("copy", &["COPY", "COPY a"]);
}

fn copy_databases(cx: &mut Cx) {
    cx.ok("SET {t}a 1 EX 100");
    cx.int("COPY {t}a {t}a DB 5", 1);
    cx.int("COPY {t}a {t}a DB 5", 0);
    cx.int("COPY {t}a {t}b db 5 REPLACE", 1);
    cx.int("EXISTS {t}b", 0);
    cx.ok("SET {t}a 2");
    cx.int("COPY {t}a {t}a REPLACE DB 5", 1);
    cx.ok("SELECT 5");
    cx.bulk("GET {t}a", "2");
    cx.int("TTL {t}a", -1);
    cx.bulk("GET {t}b", "1");
    cx.within("TTL {t}b", 90..=100);
    cx.error("COPY {t}a {t}a DB 5", "ERR source and destination objects are the same");
    cx.ok("SELECT 0");
    cx.error("COPY {t}a {t}b DB 16", "ERR DB index is out of range");
    cx.error("COPY {t}a {t}b DB -1", "ERR DB index is out of range");
    cx.error("COPY {t}a {t}b DB x", NOT_INT);
}

fn object(cx: &mut Cx) {
    for line in ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"] {
        cx.nil(&format!("OBJECT {line} {{p}}nosuch"));
        let name = format!("object|{}", line.to_lowercase());
        cx.arity(&name, &[&format!("OBJECT {line}"), &format!("OBJECT {line} a b")]);
    }
    for (value, encoding) in [
        ("1", "int"),
        ("-9223372036854775808", "int"),
        ("9223372036854775807", "int"),
        ("9223372036854775808", "embstr"),
        ("01", "embstr"),
        ("\"\"", "embstr"),
        ("1.5", "embstr"),
        ("12345678901234567890123456789012345678901234", "embstr"),
        ("123456789012345678901234567890123456789012345", "raw"),
    ] {
        cx.ok(&format!("SET {{p}}a {value}"));
        cx.bulk("OBJECT ENCODING {p}a", encoding);
    }
    cx.ok("SET {p}a value");
    cx.int("OBJECT IDLETIME {p}a", 0);
    cx.int("object refcount {p}a", 1);
    cx.error(
        "OBJECT FREQ {p}a",
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
         that when switching between policies at runtime LRU and LFU data will take some time to \
         adjust.",
    );
    cx.error("OBJECT nosuch {p}a", "ERR unknown subcommand 'nosuch'. Try OBJECT HELP.");
    cx.arity("object", &["OBJECT"]);
}

fn object_help(cx: &mut Cx) {
    let help = cx.get("OBJECT HELP");
    let lines: Vec<String> = help.items().iter().map(Value::text).collect();
    let first = "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    cx.check(lines[0] == first, "OBJECT HELP", &lines);
    for line in ["ENCODING <key>", "FREQ <key>", "IDLETIME <key>", "REFCOUNT <key>", "HELP"] {
        cx.check(lines.iter().any(|has| has == line), line, &lines);
    }
    let simple = help.items().iter().all(|line| matches!(line, Value::Simple(_)));
    cx.check(simple, "the lines of HELP are simple strings", &help);
    cx.arity("object|help", &["OBJECT HELP x"]);
}

fn memory(cx: &mut Cx) {
    cx.nil("MEMORY USAGE {p}nosuch");
    cx.ok("SET {p}a value");
    let small = cx.within("MEMORY USAGE {p}a", 1..=500);
    cx.within("MEMORY USAGE {p}a SAMPLES 0", 1..=500);
    cx.within("memory usage {p}a samples 5", 1..=500);
    cx.int("SETRANGE {p}a 99999 x", 100_000);
    cx.within("MEMORY USAGE {p}a", small + 90_000..=small + 250_000);
    cx.errors(
        SYNTAX,
        &["MEMORY USAGE {p}a SAMPLES", "MEMORY USAGE {p}a SAMPLES -1", "MEMORY USAGE {p}a FOO 5"],
    );
    cx.error("MEMORY USAGE {p}a SAMPLES x", NOT_INT);
    cx.arity("memory|usage", &["MEMORY USAGE"]);
    cx.arity("memory", &["MEMORY"]);
    cx.error("MEMORY NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try MEMORY HELP.");
}

fn memory_stats(cx: &mut Cx) {
    cx.ok("SET {p}a 1");
    let stats = cx.get("MEMORY STATS");
    let is_map = matches!((&stats, cx.proto), (Value::Map(_), 3) | (Value::Array(_), 2));
    cx.check(is_map, "MEMORY STATS is a map", &stats);
    for name in ["peak.allocated", "total.allocated", "startup.allocated", "keys.count"] {
        let field = stats.field(name);
        cx.check(matches!(field, Some(Value::Int(0..))), name, field);
    }
    for name in ["dataset.percentage", "peak.percentage", "fragmentation"] {
        let field = stats.field(name);
        let right =
            matches!((&field, cx.proto), (Some(Value::Double(_)), 3) | (Some(Value::Bulk(_)), 2));
        cx.check(right, name, field);
    }
    cx.arity("memory|stats", &["MEMORY STATS x"]);
}
