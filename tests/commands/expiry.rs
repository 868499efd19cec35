//! Cases of the times to live: the EXPIRE family, TTL, PTTL, EXPIRETIME, PEXPIRETIME, PERSIST.

use super::{Cx, NOT_INT, cases};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

cases!(run_shared: expire, absolute, conditions, expire_errors, past, ttl, persist, runs_out,
    overwritten);

const FAMILY: [&str; 4] = ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"];

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn expire(cx: &mut Cx) {
    cx.int("EXPIRE {p}a 100", 0);
    cx.int("PEXPIRE {p}a 100", 0);
    cx.ok("SET {p}a 1");
    cx.int("EXPIRE {p}a 100", 1);
    cx.within("TTL {p}a", 90..=100);
    cx.within("PTTL {p}a", 90_000..=100_000);
    cx.int("PEXPIRE {p}a 200000", 1);
    cx.within("TTL {p}a", 190..=200);
    cx.int("expire {p}a 300", 1);
    cx.within("TTL {p}a", 290..=300);
    for name in ["expire", "pexpire", "expireat", "pexpireat"] {
        let command = name.to_uppercase();
        cx.arity(name, &[&command, &format!("{command} a")]);
    }
}

fn absolute(cx: &mut Cx) {
    cx.int("EXPIREAT {p}a 4102444800", 0);
    cx.int("PEXPIREAT {p}a 4102444800123", 0);
    cx.ok("SET {p}a 1");
    cx.int("EXPIREAT {p}a 4102444800", 1);
    cx.int("EXPIRETIME {p}a", 4_102_444_800);
    cx.int("PEXPIRETIME {p}a", 4_102_444_800_000);
    cx.int("PEXPIREAT {p}a 4102444800500", 1);
    cx.int("PEXPIRETIME {p}a", 4_102_444_800_500);
    cx.int("EXPIRETIME {p}a", 4_102_444_801);
    let left = (4_102_444_800_500 - now_ms()) / 1000;
    cx.within("TTL {p}a", left - 10..=left + 1);
    cx.int("PEXPIREAT {p}a 9223372036854775807", 1);
    cx.int("PEXPIRETIME {p}a", i64::MAX);
}

fn conditions(cx: &mut Cx) {
    cx.ok("SET {p}a 1");
    // No time yet counts as an endless one.
    cx.int("EXPIRE {p}a 100 XX", 0);
    cx.int("EXPIRE {p}a 100 GT", 0);
    cx.int("TTL {p}a", -1);
    cx.int("EXPIRE {p}a 100 LT", 1);
    cx.int("EXPIRE {p}a 200 NX", 0);
    cx.within("TTL {p}a", 90..=100);
    cx.int("EXPIRE {p}a 200 XX", 1);
    cx.int("EXPIRE {p}a 100 GT", 0);
    cx.int("EXPIRE {p}a 300 gt", 1);
    cx.int("EXPIRE {p}a 400 LT", 0);
    cx.within("TTL {p}a", 290..=300);
    cx.int("EXPIRE {p}a 50 lt", 1);
    cx.within("TTL {p}a", 40..=50);
    cx.int("PERSIST {p}a", 1);
    cx.int("PEXPIRE {p}a 100000 NX", 1);
    cx.int("PEXPIRE {p}a 200000 XX GT", 1);
    cx.int("PEXPIRE {p}a 300000 LT XX", 0);
    cx.int("EXPIREAT {p}a 4102444800 GT", 1);
    cx.int("EXPIREAT {p}a 4102444800 GT", 0);
    cx.int("EXPIREAT {p}a 4102444800 LT", 0);
    cx.int("PEXPIREAT {p}a 4102444800001 GT", 1);
    cx.int("PEXPIREAT {p}a 4102444800000 XX XX LT", 1);
    for command in FAMILY {
        for option in ["NX", "XX", "GT", "LT"] {
            cx.int(&format!("{command} {{p}}nosuch 100 {option}"), 0);
        }
    }
    // A condition that does not hold keeps the key, even with a time in the past.
    cx.int("EXPIRE {p}a -1 GT", 0);
    cx.int("EXPIRE {p}a -1 NX", 0);
    cx.int("EXISTS {p}a", 1);
    cx.int("EXPIRE {p}a -1 LT", 1);
    cx.int("EXISTS {p}a", 0);
}

fn expire_errors(cx: &mut Cx) {
    cx.ok("SET {p}a 1");
    for command in FAMILY {
        for key in ["a", "nosuch"] {
            let line = |rest: &str| format!("{command} {{p}}{key} {rest}");
            cx.error(&line("abc"), NOT_INT);
            cx.error(&line("1.5"), NOT_INT);
            cx.error(&line("+100"), NOT_INT);
            cx.error(&line("\"\""), NOT_INT);
            cx.error(&line("9223372036854775808"), NOT_INT);
            cx.error(&line("100 FOO"), "ERR Unsupported option FOO");
            cx.error(&line("abc FOO"), "ERR Unsupported option FOO");
            cx.error(
                &line("100 GT LT"),
                "ERR GT and LT options at the same time are not compatible",
            );
            for options in ["NX XX", "NX GT", "LT NX", "XX NX", "NX GT LT"] {
                cx.error(
                    &line(&format!("100 {options}")),
                    "ERR NX and XX, GT or LT options at the same time are not compatible",
                );
            }
        }
    }
    for (name, times) in [
        ("expire", &["9223372036854775807", "-9223372036854775808", "9223372036854776"][..]),
        ("pexpire", &["9223372036854775807"]),
        ("expireat", &["9223372036854775807", "-9223372036854775808", "9223372036854776"]),
    ] {
        for time in times {
            let line = format!("{} {{p}}a {time}", name.to_uppercase());
            cx.error(&line, &format!("ERR invalid expire time in '{name}' command"));
        }
    }
    cx.int("TTL {p}a", -1);
}

fn past(cx: &mut Cx) {
    for line in [
        "EXPIRE {p}a 0",
        "EXPIRE {p}a -1",
        "PEXPIRE {p}a 0",
        "PEXPIRE {p}a -9223372036854775808",
        "EXPIREAT {p}a 0",
        "EXPIREAT {p}a 1000000000",
        "PEXPIREAT {p}a -1",
        "PEXPIREAT {p}a 1000000000000",
    ] {
        cx.ok("SET {p}a 1");
        cx.int(line, 1);
        cx.int("EXISTS {p}a", 0);
        cx.int("TTL {p}a", -2);
        cx.int(line, 0);
    }
}

fn ttl(cx: &mut Cx) {
    for name in ["ttl", "pttl", "expiretime", "pexpiretime"] {
        let command = name.to_uppercase();
        cx.int(&format!("{command} {{p}}a"), -2);
        cx.ok("SET {p}a 1");
        cx.int(&format!("{command} {{p}}a"), -1);
        cx.int("DEL {p}a", 1);
        cx.arity(name, &[&command, &format!("{command} a b")]);
    }
    // TTL rounds to the nearest second.
    cx.ok("SET {p}a 1 PX 100400");
    cx.int("TTL {p}a", 100);
    cx.within("PTTL {p}a", 99_500..=100_400);
    cx.within("EXPIRETIME {p}a", now_ms() / 1000 + 99..=now_ms() / 1000 + 101);
    cx.within("PEXPIRETIME {p}a", now_ms() + 99_000..=now_ms() + 100_400);
}

fn persist(cx: &mut Cx) {
    cx.int("PERSIST {p}a", 0);
    cx.ok("SET {p}a 1");
    cx.int("PERSIST {p}a", 0);
    cx.int("EXPIRE {p}a 100", 1);
    cx.int("PERSIST {p}a", 1);
    cx.int("TTL {p}a", -1);
    cx.arity("persist", &["PERSIST", "PERSIST a b"]);
}

/// Every command finds an overdue key gone.
fn runs_out(cx: &mut Cx) {
    for line in ["MSET {t}a 1 {t}b 1 {t}c 1 {t}d 1 {t}e 5", "SET {t}f 1"] {
        cx.ok(line);
    }
    for key in "abcdef".chars() {
        cx.int(&format!("PEXPIRE {{t}}{key} 30"), 1);
    }
    cx.within("PTTL {t}a", 0..=30);
    std::thread::sleep(Duration::from_millis(60));
    cx.nil("GET {t}a");
    cx.int("EXISTS {t}a {t}b {t}c", 0);
    cx.int("TTL {t}b", -2);
    cx.int("DEL {t}b", 0);
    cx.int("STRLEN {t}c", 0);
    cx.error("RENAME {t}c {t}d", "ERR no such key");
    cx.int("SETNX {t}d 9", 1);
    cx.int("TTL {t}d", -1);
    cx.int("INCR {t}e", 1);
    cx.int("TTL {t}e", -1);
    cx.int("APPEND {t}f xyz", 3);
    cx.int("EXPIRE {t}a 100", 0);
    cx.int("PERSIST {t}a", 0);
    cx.expect("TYPE {t}a", super::simple("none"));
    cx.nil("OBJECT ENCODING {t}a");
}

/// A write of a whole value ends its time, a change of a part does not.
fn overwritten(cx: &mut Cx) {
    let keep = ["APPEND {p}a 1", "INCR {p}a", "SETRANGE {p}a 0 1", "SETBIT {p}a 7 1", "TOUCH {p}a"];
    for line in keep {
        cx.ok("SET {p}a 1 EX 100");
        cx.get(line);
        cx.within("TTL {p}a", 90..=100);
    }
    for line in ["SET {p}a 1", "GETSET {p}a 1", "MSET {p}a 1"] {
        cx.ok("SET {p}a 1 EX 100");
        cx.get(line);
        cx.int("TTL {p}a", -1);
    }
}
