//! Cases of APPEND, STRLEN, GETRANGE, SETRANGE and SUBSTR.

use super::{Cx, NOT_INT, cases};

cases!(run_shared: append, strlen, getrange, setrange);

fn append(cx: &mut Cx) {
    cx.int("APPEND {p}a Hello", 5);
    cx.int("APPEND {p}a \" World\"", 11);
    cx.bulk("GET {p}a", "Hello World");
    cx.int("APPEND {p}a \"\"", 11);
    cx.int("APPEND {p}b \"\"", 0);
    cx.int("EXISTS {p}b", 1);
    cx.ok("SET {p}c 1 EX 100");
    cx.int("APPEND {p}c 2", 2);
    cx.int("INCR {p}c", 13);
    cx.within("TTL {p}c", 90..=100);
    cx.arity("append", &["APPEND", "APPEND a", "APPEND a b c"]);
}

fn strlen(cx: &mut Cx) {
    cx.int("STRLEN {p}a", 0);
    cx.ok("SET {p}a \"\"");
    cx.int("STRLEN {p}a", 0);
    cx.ok("SET {p}a \"a\\x00b\\r\\n\"");
    cx.int("STRLEN {p}a", 5);
    cx.ok("SET {p}a -12345");
    cx.int("STRLEN {p}a", 6);
    cx.arity("strlen", &["STRLEN", "STRLEN a b"]);
}

fn getrange(cx: &mut Cx) {
    for command in ["GETRANGE", "SUBSTR"] {
        cx.ok("SET {p}a \"Hello World\"");
        for (range, want) in [
            ("0 3", "Hell"),
            ("0 -1", "Hello World"),
            ("-4 -1", "orld"),
            ("5 3", ""),
            ("5 5000", " World"),
            ("-5000 10000", "Hello World"),
            ("0 -100", "H"),
            ("-100 -90", "H"),
            ("-1 -5", ""),
            ("11 20", ""),
            ("10 10", "d"),
            ("9223372036854775807 9223372036854775807", ""),
            ("-9223372036854775808 9223372036854775807", "Hello World"),
            ("-9223372036854775808 -9223372036854775808", "H"),
        ] {
            cx.bulk(&format!("{command} {{p}}a {range}"), want);
        }
        cx.ok("SET {p}a 12345");
        cx.bulk(&format!("{command} {{p}}a 1 -2"), "234");
        cx.bulk(&format!("{command} {{p}}nosuch 0 -1"), "");
        cx.int("EXISTS {p}nosuch", 0);
        for range in ["a 1", "1 b", "1.0 2", "9223372036854775808 0"] {
            cx.error(&format!("{command} {{p}}a {range}"), NOT_INT);
        }
    }
    cx.arity("getrange", &["GETRANGE", "GETRANGE a", "GETRANGE a 1", "GETRANGE a 1 2 3"]);
    cx.arity("substr", &["SUBSTR", "SUBSTR a", "SUBSTR a 1", "SUBSTR a 1 2 3"]);
}

fn setrange(cx: &mut Cx) {
    cx.ok("SET {p}a \"Hello World\"");
    cx.int("SETRANGE {p}a 6 Redis", 11);
    cx.bulk("GET {p}a", "Hello Redis");
    cx.int("SETRANGE {p}a 10 ty!", 13);
    cx.bulk("GET {p}a", "Hello Redity!");
    cx.int("SETRANGE {p}a 15 x", 16);
    cx.bytes("GET {p}a", b"Hello Redity!\0\0x");
    cx.int("SETRANGE {p}b 3 x", 4);
    cx.bytes("GET {p}b", b"\0\0\0x");
    cx.int("SETRANGE {p}c 0 \"\"", 0);
    cx.int("EXISTS {p}c", 0);
    cx.int("SETRANGE {p}c 5 \"\"", 0);
    cx.int("SETRANGE {p}a 100 \"\"", 16);
    cx.ok("SET {p}d 1234 EX 100");
    cx.int("SETRANGE {p}d 1 9", 4);
    cx.int("INCR {p}d", 1935);
    cx.within("TTL {p}d", 90..=100);
    cx.errors("ERR offset is out of range", &["SETRANGE {p}a -1 x", "SETRANGE {p}e -1 \"\""]);
    cx.errors(
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        &[
            "SETRANGE {p}a 536870912 x",
            "SETRANGE {p}e 536870911 xx",
            "SETRANGE {p}e 9223372036854775807 x",
        ],
    );
    cx.errors(NOT_INT, &["SETRANGE {p}a x y", "SETRANGE {p}a 1.0 y"]);
    cx.int("EXISTS {p}e", 0);
    cx.arity("setrange", &["SETRANGE", "SETRANGE a", "SETRANGE a 1", "SETRANGE a 1 b c"]);
}
