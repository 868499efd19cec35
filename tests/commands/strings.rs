//! Cases of SET with all its options, GET and the commands that are shorthands of them.

use super::{Cx, NOT_INT, SYNTAX, Value, cases};

cases!(run_shared: set_get, set_conditions, set_expiry, set_errors, getset, getdel, getex,
    getex_errors, setnx, setex, any_bytes, large_values);

fn set_get(cx: &mut Cx) {
    cx.nil("GET {p}a");
    cx.ok("SET {p}a 1");
    cx.bulk("GET {p}a", "1");
    cx.ok("set {p}a \"\"");
    cx.bulk("get {p}a", "");
    cx.ok("SeT {p}a \"two words\"");
    cx.bulk("gEt {p}a", "two words");
    cx.ok("SET \"\" {p}");
    cx.bulk("GET \"\"", "{p}");
    cx.arity("set", &["SET", "SET {p}a"]);
    cx.arity("get", &["GET", "GET a b"]);
}

fn set_conditions(cx: &mut Cx) {
    cx.nil("SET {p}a 1 XX");
    cx.nil("GET {p}a");
    cx.ok("SET {p}a 1 NX");
    cx.nil("SET {p}a 2 NX");
    cx.bulk("GET {p}a", "1");
    cx.ok("SET {p}a 3 xx");
    cx.bulk("GET {p}a", "3");
    cx.bulk("SET {p}a 4 GET", "3");
    cx.nil("SET {p}b 1 get");
    cx.bulk("GET {p}b", "1");
    cx.bulk("SET {p}b 2 NX GET", "1");
    cx.bulk("GET {p}b", "1");
    cx.nil("SET {p}c 2 GET NX");
    cx.bulk("GET {p}c", "2");
    cx.nil("SET {p}d 2 XX GET");
    cx.nil("GET {p}d");
    cx.bulk("SET {p}c 3 XX GET EX 100", "2");
    cx.within("TTL {p}c", 90..=100);
    // An option more than once is one option.
    cx.ok("SET {p}e 1 NX NX");
    cx.bulk("SET {p}e 2 GET GET XX", "1");
    cx.nil("SET {p}e 3 NX");
    cx.bulk("GET {p}e", "2");
    for line in ["SET {p}a 1 NX XX", "SET {p}a 1 XX NX", "SET {p}a 1 GET XX NX"] {
        cx.error(line, SYNTAX);
    }
}

fn set_expiry(cx: &mut Cx) {
    cx.ok("SET {p}a 1 EX 100");
    cx.within("TTL {p}a", 90..=100);
    cx.ok("SET {p}a 1 px 100000");
    cx.within("PTTL {p}a", 90_000..=100_000);
    cx.ok("SET {p}a 1 EXAT 4102444800");
    cx.int("EXPIRETIME {p}a", 4_102_444_800);
    cx.ok("SET {p}a 1 PXAT 4102444800123");
    cx.int("PEXPIRETIME {p}a", 4_102_444_800_123);
    cx.ok("SET {p}a 2 KEEPTTL");
    cx.int("PEXPIRETIME {p}a", 4_102_444_800_123);
    cx.bulk("GET {p}a", "2");
    cx.bulk("SET {p}a 3 XX KEEPTTL GET", "2");
    cx.int("PEXPIRETIME {p}a", 4_102_444_800_123);
    cx.ok("SET {p}a 4");
    cx.int("TTL {p}a", -1);
    cx.ok("SET {p}b 1 KEEPTTL");
    cx.ok("SET {p}c 1 EX 10 EX 20");
    cx.int("TTL {p}b", -1);
    // A time in the past is no error: the key is gone at once.
    cx.ok("SET {p}a 5 EXAT 1");
    cx.nil("GET {p}a");
    cx.ok("SET {p}b 5 PXAT 1");
    cx.int("EXISTS {p}b", 0);
    cx.ok("SET {p}c 5 PX 1");
    std::thread::sleep(std::time::Duration::from_millis(20));
    cx.nil("GET {p}c");
    cx.ok("SET {p}c 6 NX");
}

fn set_errors(cx: &mut Cx) {
    cx.errors(
        "ERR invalid expire time in 'set' command",
        &[
            "SET {p}a 1 EX 0",
            "SET {p}a 1 EX -1",
            "SET {p}a 1 PX 0",
            "SET {p}a 1 PX -100",
            "SET {p}a 1 EXAT 0",
            "SET {p}a 1 PXAT -5",
            "SET {p}a 1 EX 9223372036854775807",
            "SET {p}a 1 EX 9223372036854776",
            "SET {p}a 1 EXAT 9223372036854776",
            "SET {p}a 1 PX 9223372036854775807",
        ],
    );
    cx.errors(
        NOT_INT,
        &[
            "SET {p}a 1 EX abc",
            "SET {p}a 1 EX 1.5",
            "SET {p}a 1 PX \"\"",
            "SET {p}a 1 PX \" 1\"",
            "SET {p}a 1 EX 9223372036854775808",
            "SET {p}a 1 EXAT x",
            "SET {p}a 1 PXAT x NX",
        ],
    );
    cx.errors(
        SYNTAX,
        &[
            "SET {p}a 1 foo",
            "SET {p}a 1 \"\"",
            "SET {p}a 1 EX",
            "SET {p}a 1 PX",
            "SET {p}a 1 NX EX",
            "SET {p}a 1 EX 10 PX 10",
            "SET {p}a 1 EX 10 KEEPTTL",
            "SET {p}a 1 KEEPTTL PX 10",
            "SET {p}a 1 EXAT 10 PXAT 10",
            "SET {p}a 1 PERSIST",
            // The order of complaints: syntax comes before values.
            "SET {p}a 1 EX abc foo",
            "SET {p}a 1 EX 0 foo",
        ],
    );
    cx.int("EXISTS {p}a", 0);
}

fn getset(cx: &mut Cx) {
    cx.nil("GETSET {p}a 1");
    cx.bulk("GETSET {p}a 2", "1");
    cx.bulk("GET {p}a", "2");
    cx.int("EXPIRE {p}a 100", 1);
    cx.bulk("GETSET {p}a 3", "2");
    cx.int("TTL {p}a", -1);
    cx.arity("getset", &["GETSET", "GETSET a", "GETSET a b c"]);
}

fn getdel(cx: &mut Cx) {
    cx.nil("GETDEL {p}a");
    cx.ok("SET {p}a 1 EX 100");
    cx.bulk("GETDEL {p}a", "1");
    cx.int("EXISTS {p}a", 0);
    cx.nil("GETDEL {p}a");
    cx.arity("getdel", &["GETDEL", "GETDEL a b"]);
}

fn getex(cx: &mut Cx) {
    cx.nil("GETEX {p}a");
    cx.nil("GETEX {p}a EX 10");
    cx.int("EXISTS {p}a", 0);
    cx.ok("SET {p}a 1");
    cx.bulk("GETEX {p}a", "1");
    cx.int("TTL {p}a", -1);
    cx.bulk("GETEX {p}a EX 100", "1");
    cx.within("TTL {p}a", 90..=100);
    cx.bulk("GETEX {p}a", "1");
    cx.within("TTL {p}a", 90..=100);
    cx.bulk("GETEX {p}a px 200000", "1");
    cx.within("PTTL {p}a", 190_000..=200_000);
    cx.bulk("GETEX {p}a EXAT 4102444800", "1");
    cx.int("EXPIRETIME {p}a", 4_102_444_800);
    cx.bulk("GETEX {p}a PXAT 4102444800123", "1");
    cx.int("PEXPIRETIME {p}a", 4_102_444_800_123);
    cx.bulk("GETEX {p}a PERSIST", "1");
    cx.int("TTL {p}a", -1);
    cx.bulk("GETEX {p}a persist", "1");
    cx.bulk("GETEX {p}a EXAT 1", "1");
    cx.nil("GET {p}a");
    cx.arity("getex", &["GETEX"]);
}

fn getex_errors(cx: &mut Cx) {
    cx.ok("SET {p}a 1");
    cx.errors(
        "ERR invalid expire time in 'getex' command",
        &["GETEX {p}a EX 0", "GETEX {p}a PX -1", "GETEX {p}a EX 9223372036854775807"],
    );
    cx.errors(NOT_INT, &["GETEX {p}a EX abc", "GETEX {p}a PXAT 1.0"]);
    // A missing key is answered before the time is looked at, but not before the syntax.
    cx.nil("GETEX {p}nosuch EX abc");
    cx.errors(
        SYNTAX,
        &[
            "GETEX {p}a foo",
            "GETEX {p}a EX",
            "GETEX {p}a EX 10 PX 10",
            "GETEX {p}a EX 10 PERSIST",
            "GETEX {p}a PERSIST EX 10",
            "GETEX {p}a NX",
            "GETEX {p}a KEEPTTL",
            "GETEX {p}a GET",
            "GETEX {p}nosuch foo",
        ],
    );
    cx.int("TTL {p}a", -1);
}

fn setnx(cx: &mut Cx) {
    cx.int("SETNX {p}a 1", 1);
    cx.int("SETNX {p}a 2", 0);
    cx.bulk("GET {p}a", "1");
    cx.arity("setnx", &["SETNX", "SETNX a", "SETNX a b c"]);
}

fn setex(cx: &mut Cx) {
    cx.ok("SETEX {p}a 100 1");
    cx.within("TTL {p}a", 90..=100);
    cx.bulk("GET {p}a", "1");
    cx.ok("PSETEX {p}a 200000 2");
    cx.within("PTTL {p}a", 190_000..=200_000);
    cx.bulk("GET {p}a", "2");
    for (name, command) in [("setex", "SETEX"), ("psetex", "PSETEX")] {
        for time in ["0", "-1", "9223372036854775807"] {
            let line = format!("{command} {{p}}b {time} x");
            cx.error(&line, &format!("ERR invalid expire time in '{name}' command"));
        }
        cx.error(&format!("{command} {{p}}b x 10"), NOT_INT);
        cx.error(&format!("{command} {{p}}b 1.5 10"), NOT_INT);
        for line in ["", " a", " a 1", " a 1 b c"] {
            cx.arity(name, &[&format!("{command}{line}")]);
        }
    }
    cx.int("EXISTS {p}b", 0);
}

fn any_bytes(cx: &mut Cx) {
    let all: Vec<u8> = (0..=255).collect();
    let key = [cx.key("{p}").as_bytes(), &all].concat();
    for size in [0, 1, 39, 40, 44, 45, 255, 256, 4096, 16383, 16384, 65536, 1_000_000] {
        let value: Vec<u8> = all.iter().copied().cycle().take(size).collect();
        let set = cx.conn.args(&[b"SET", &key, &value]);
        let got = cx.conn.args(&[b"GET", &key]);
        cx.check(set == super::simple("OK"), "SET of all bytes", set);
        cx.check(got == Value::Bulk(value), "GET of all bytes", size);
    }
    let long = [cx.key("{p}").into_bytes(), vec![b'k'; 70_000]].concat();
    let set = cx.conn.args(&[b"SET", &long, b"1"]);
    let got = cx.conn.args(&[b"GET", &long]);
    cx.check(got == super::bulk("1"), "GET of a long key", (set, got.clone()));
}

/// Values that come in several reads, with something before and behind them, in one pipeline.
fn large_values(cx: &mut Cx) {
    let key = |name: &str| cx.key(&format!("{{p}}{name}")).into_bytes();
    let (a, b, other) = (key("large-a"), key("large-b"), key("large-c"));
    let value = |size: usize, first: u8| -> Vec<u8> {
        (0..size).map(|at| (at % 251) as u8 ^ first).collect()
    };
    let ok = || super::simple("OK");
    // 131,072 and 1 MiB are sizes of the allocator: what is read with them makes it take the next larger one.
    for size in [65_536, 99_999, 131_000, 131_072, 1_000_000, 1 << 20, 3_000_001] {
        let (one, two) = (value(size, 1), value(size, 2));
        let mut talk: Vec<(Vec<&[u8]>, Value)> = vec![
            (vec![b"SET", &a, &one], ok()),
            (vec![b"SET", &a, &two, b"EX", b"1000", b"GET"], Value::Bulk(one.clone())),
            (vec![b"SET", &other, b"small"], ok()),
            (vec![b"SET", &a, &one, b"NX"], Value::Null),
            (vec![b"GET", &a], Value::Bulk(two.clone())),
            (vec![b"SETEX", &a, b"1000", &one], ok()),
            (vec![b"PSETEX", &b, b"1000000", &two], ok()),
            (vec![b"GETSET", &b, &one], Value::Bulk(two.clone())),
            (vec![b"MSET", &a, &two, &b, &one, &other, b"1"], ok()),
            (vec![b"MSETNX", &a, &one], Value::Int(0)),
            (vec![b"GET", &b], Value::Bulk(one.clone())),
            // In place, and then with the one that is shared with nobody.
            (vec![b"APPEND", &a, b"end"], Value::Int(size as i64 + 3)),
            (vec![b"SET", &b, &two, b"KEEPTTL"], ok()),
            (vec![b"APPEND", &b, b"end"], Value::Int(size as i64 + 3)),
            (vec![b"GETRANGE", &b, b"-4", b"-1"], Value::Bulk([&two[size - 1..], b"end"].concat())),
            (vec![b"SETRANGE", &b, b"0", b"start"], Value::Int(size as i64 + 3)),
            (vec![b"GETRANGE", &b, b"3", b"6"], Value::Bulk([b"rt", &two[5..7]].concat())),
            (vec![b"MULTI"], ok()),
            (vec![b"SET", &a, &one], super::simple("QUEUED")),
            (vec![b"GET", &a], super::simple("QUEUED")),
            (vec![b"EXEC"], Value::Array(vec![ok(), Value::Bulk(one.clone())])),
        ];
        talk.push((vec![b"DEL", &a, &b, &other], Value::Int(3)));
        let bytes: Vec<u8> = talk.iter().flat_map(|(line, _)| crate::util::request(line)).collect();
        let conn = &mut cx.conn;
        let got: Vec<Value> = std::thread::scope(|scope| {
            let mut writer = conn.sender();
            scope.spawn(move || {
                // Not in step with anything.
                bytes.chunks(77_777).for_each(|piece| writer.send_raw(piece));
            });
            talk.iter().map(|_| conn.read()).collect()
        });
        for ((line, want), got) in talk.iter().zip(got) {
            let name = String::from_utf8_lossy(line[0]).into_owned();
            cx.check(got == *want, &name, size);
        }
    }
}
