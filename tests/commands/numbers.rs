//! Cases of INCR, DECR and their kin.

use super::{Cx, NOT_INT, cases};

cases!(run_shared: incr, incrby, not_numbers, number_arguments, incrbyfloat, incrbyfloat_errors);

const OVERFLOW: &str = "ERR increment or decrement would overflow";
const NOT_FLOAT: &str = "ERR value is not a valid float";

fn incr(cx: &mut Cx) {
    cx.int("INCR {p}a", 1);
    cx.int("INCR {p}a", 2);
    cx.bulk("GET {p}a", "2");
    cx.int("DECR {p}a", 1);
    cx.int("DECR {p}b", -1);
    cx.ok("SET {p}c -7");
    cx.int("INCR {p}c", -6);
    cx.ok("SET {p}c 9223372036854775806");
    cx.int("INCR {p}c", i64::MAX);
    cx.error("INCR {p}c", OVERFLOW);
    cx.bulk("GET {p}c", "9223372036854775807");
    cx.ok("SET {p}c -9223372036854775807");
    cx.int("DECR {p}c", i64::MIN);
    cx.error("DECR {p}c", OVERFLOW);
    cx.int("EXPIRE {p}a 100", 1);
    cx.int("INCR {p}a", 2);
    cx.within("TTL {p}a", 90..=100);
    cx.arity("incr", &["INCR", "INCR a b"]);
    cx.arity("decr", &["DECR", "DECR a b"]);
}

fn incrby(cx: &mut Cx) {
    cx.int("INCRBY {p}a 5", 5);
    cx.int("INCRBY {p}a -7", -2);
    cx.int("INCRBY {p}a 0", -2);
    cx.int("DECRBY {p}a 5", -7);
    cx.int("DECRBY {p}a -7", 0);
    cx.int("INCRBY {p}a 17179869184", 17_179_869_184);
    cx.int("DECRBY {p}a 17179869185", -1);
    cx.error("INCRBY {p}a -9223372036854775808", OVERFLOW);
    cx.int("INCRBY {p}b -9223372036854775808", i64::MIN);
    cx.error("DECRBY {p}b 1", OVERFLOW);
    cx.error("DECRBY {p}a -9223372036854775808", "ERR decrement would overflow");
    cx.bulk("GET {p}a", "-1");
    cx.arity("incrby", &["INCRBY", "INCRBY a", "INCRBY a 1 2"]);
    cx.arity("decrby", &["DECRBY", "DECRBY a", "DECRBY a 1 2"]);
}

fn not_numbers(cx: &mut Cx) {
    let values = [
        "abc",
        "\"\"",
        "\" 1\"",
        "\"1 \"",
        "1.0",
        "1e3",
        "+1",
        "01",
        "-0",
        "--1",
        "-",
        "0x10",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "\"1\\x00\"",
    ];
    for value in values {
        cx.ok(&format!("SET {{p}}a {value}"));
        for line in ["INCR {p}a", "DECR {p}a", "INCRBY {p}a 1", "DECRBY {p}a 1"] {
            cx.error(line, NOT_INT);
        }
    }
}

fn number_arguments(cx: &mut Cx) {
    for number in ["abc", "\"\"", "1.0", "\" 1\"", "+1", "01", "-0", "9223372036854775808"] {
        cx.error(&format!("INCRBY {{p}}a {number}"), NOT_INT);
        cx.error(&format!("DECRBY {{p}}a {number}"), NOT_INT);
    }
    cx.int("EXISTS {p}a", 0);
}

fn incrbyfloat(cx: &mut Cx) {
    cx.bulk("INCRBYFLOAT {p}a 1", "1");
    cx.bulk("INCRBYFLOAT {p}a 0.25", "1.25");
    cx.bulk("GET {p}a", "1.25");
    cx.bulk("INCRBYFLOAT {p}a 1.75", "3");
    cx.bulk("INCRBYFLOAT {p}a -1.1", "1.9");
    cx.bulk("INCRBYFLOAT {p}a +0.1", "2");
    cx.bulk("INCRBYFLOAT {p}a 1e3", "1002");
    cx.ok("SET {p}b 3.0e3");
    cx.bulk("INCRBYFLOAT {p}b 200", "3200");
    cx.ok("SET {p}b 10.50");
    cx.bulk("INCRBYFLOAT {p}b 0.1", "10.6");
    cx.ok("SET {p}b 3");
    cx.bulk("INCRBYFLOAT {p}b 1.1", "4.1");
    cx.ok("SET {p}b 17179869184");
    cx.bulk("INCRBYFLOAT {p}b 1.5", "17179869185.5");
    cx.bulk("INCRBYFLOAT {p}c -0.5", "-0.5");
    cx.bulk("INCRBYFLOAT {p}c 0.5", "0");
    cx.bulk("INCRBYFLOAT {p}d 1e18", "1000000000000000000");
    cx.bulk("INCRBYFLOAT {p}e 0.000001", "0.000001");
    cx.bulk("INCRBYFLOAT {p}f .5", "0.5");
    cx.bulk("INCRBYFLOAT {p}f 5.", "5.5");
    cx.int("EXPIRE {p}f 100", 1);
    cx.bulk("INCRBYFLOAT {p}f 1", "6.5");
    cx.within("TTL {p}f", 90..=100);
    cx.arity("incrbyfloat", &["INCRBYFLOAT", "INCRBYFLOAT a", "INCRBYFLOAT a 1 2"]);
}

fn incrbyfloat_errors(cx: &mut Cx) {
    for number in ["abc", "\"\"", "\" 1\"", "\"1 \"", "1.0x", "nan", "1e", "1,5", "--1"] {
        cx.error(&format!("INCRBYFLOAT {{p}}a {number}"), NOT_FLOAT);
        cx.ok(&format!("SET {{p}}b {number}"));
        cx.error("INCRBYFLOAT {p}b 1", NOT_FLOAT);
    }
    cx.int("EXISTS {p}a", 0);
    cx.errors(
        "ERR increment would produce NaN or Infinity",
        &["INCRBYFLOAT {p}a inf", "INCRBYFLOAT {p}a -inf", "INCRBYFLOAT {p}a +inf"],
    );
    cx.int("EXISTS {p}a", 0);
}
