//! Cases of SETBIT, GETBIT and BITCOUNT.

use super::{Cx, NOT_INT, SYNTAX, cases};

cases!(run_shared: setbit_getbit, bit_errors, bitcount, bitcount_units);

const OFFSET: &str = "ERR bit offset is not an integer or out of range";
const BIT: &str = "ERR bit is not an integer or out of range";

fn setbit_getbit(cx: &mut Cx) {
    cx.int("GETBIT {p}a 0", 0);
    cx.int("EXISTS {p}a", 0);
    cx.int("SETBIT {p}a 7 1", 0);
    cx.bytes("GET {p}a", b"\x01");
    cx.int("SETBIT {p}a 7 1", 1);
    cx.int("SETBIT {p}a 0 1", 0);
    cx.bytes("GET {p}a", b"\x81");
    cx.int("SETBIT {p}a 0 0", 1);
    cx.int("GETBIT {p}a 0", 0);
    cx.int("GETBIT {p}a 7", 1);
    cx.int("GETBIT {p}a 8", 0);
    cx.int("GETBIT {p}a 4294967295", 0);
    cx.int("SETBIT {p}a 23 0", 0);
    cx.int("STRLEN {p}a", 3);
    cx.bytes("GET {p}a", b"\x01\0\0");
    // `1` is the byte 0x31.
    cx.ok("SET {p}b 1 EX 100");
    cx.int("GETBIT {p}b 2", 1);
    cx.int("SETBIT {p}b 6 1", 0);
    cx.bulk("GET {p}b", "3");
    cx.within("TTL {p}b", 90..=100);
}

fn bit_errors(cx: &mut Cx) {
    for offset in ["-1", "abc", "1.0", "\"\"", "4294967296", "9223372036854775808"] {
        cx.error(&format!("SETBIT {{p}}a {offset} 1"), OFFSET);
        cx.error(&format!("GETBIT {{p}}a {offset}"), OFFSET);
    }
    for bit in ["2", "-1", "abc", "\"\"", "10"] {
        cx.error(&format!("SETBIT {{p}}a 0 {bit}"), BIT);
    }
    cx.error("SETBIT {p}a abc abc", OFFSET);
    cx.int("EXISTS {p}a", 0);
    cx.arity("setbit", &["SETBIT", "SETBIT a", "SETBIT a 0", "SETBIT a 0 1 2"]);
    cx.arity("getbit", &["GETBIT", "GETBIT a", "GETBIT a 0 1"]);
}

fn bitcount(cx: &mut Cx) {
    cx.int("BITCOUNT {p}a", 0);
    cx.int("BITCOUNT {p}a 0 -1", 0);
    cx.ok("SET {p}a foobar");
    for (range, want) in [
        ("", 26),
        (" 0 0", 4),
        (" 1 1", 6),
        (" 0 -1", 26),
        (" 1 -2", 18),
        (" -2 -1", 7),
        (" 0 100", 26),
        (" -100 100", 26),
        (" 4 2", 0),
        (" -1 -3", 0),
        (" 6 10", 0),
    ] {
        cx.int(&format!("BITCOUNT {{p}}a{range}"), want);
    }
    cx.ok("SET {p}a 12");
    cx.int("BITCOUNT {p}a", 6);
    cx.error("BITCOUNT {p}a 0", SYNTAX);
    cx.error("BITCOUNT {p}a 0 1 2", SYNTAX);
    cx.error("BITCOUNT {p}a 0 1 BYTE 2", SYNTAX);
    cx.errors(NOT_INT, &["BITCOUNT {p}a a 1", "BITCOUNT {p}a 0 b", "BITCOUNT {p}a 0 1.0"]);
    cx.arity("bitcount", &["BITCOUNT"]);
}

fn bitcount_units(cx: &mut Cx) {
    cx.ok("SET {p}a foobar");
    cx.int("BITCOUNT {p}a 1 1 BYTE", 6);
    cx.int("BITCOUNT {p}a 0 -1 byte", 26);
    cx.int("BITCOUNT {p}a 5 30 BIT", 17);
    cx.int("BITCOUNT {p}a 0 -1 bit", 26);
    cx.int("BITCOUNT {p}a 1 1 BIT", 1);
    cx.int("BITCOUNT {p}a 0 0 BIT", 0);
    cx.int("BITCOUNT {p}a -8 -1 BIT", 4);
    cx.int("BITCOUNT {p}a -7 -1 BIT", 4);
    cx.int("BITCOUNT {p}a 5 3 BIT", 0);
    cx.error("BITCOUNT {p}a 0 1 hello", SYNTAX);
    cx.error("BITCOUNT {p}a 0 BIT", NOT_INT);
}
