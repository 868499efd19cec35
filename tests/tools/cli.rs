//! redis-cli in every mode that works without data types beyond strings.

use super::{cli, first_lines, on_both, redis_cli, run};
use crate::util::{Server, Value, request};
use std::collections::BTreeSet;

/// `count` keys `prefix:0`..., each with its number as value.
fn fill(server: &Server, prefix: &str, count: usize) {
    let mut conn = server.conn();
    let mut batch = Vec::new();
    for number in 0..count {
        let (key, value) = (format!("{prefix}:{number}"), number.to_string());
        batch.extend(request(&[b"SET", key.as_bytes(), value.as_bytes()]));
    }
    conn.send_raw(&batch);
    for _ in 0..count {
        assert_eq!(conn.read(), Value::Simple("OK".into()));
    }
}

#[test]
fn commands_as_arguments() {
    on_both(|server| {
        assert_eq!(cli(server, &["set", "greeting", "hello world"]), "OK\n");
        assert_eq!(cli(server, &["get", "greeting"]), "hello world\n");
        assert_eq!(cli(server, &["--no-raw", "get", "nosuch"]), "(nil)\n");
        assert_eq!(cli(server, &["-r", "3", "incr", "counter"]), "1\n2\n3\n");
        assert_eq!(
            cli(server, &["--csv", "mget", "greeting", "counter"]),
            "\"hello world\",\"3\"\n"
        );
        let piped = run(&mut redis_cli(server, &["-x", "set", "from-stdin"]), b"a\0b\r\nc").ok();
        assert_eq!(piped, "OK\n");
        assert_eq!(cli(server, &["strlen", "from-stdin"]), "6\n");
        let failed = run(&mut redis_cli(server, &["-e", "incr", "greeting"]), b"");
        assert_eq!(failed.code, Some(1), "{failed:?}");
        assert!(failed.err.contains("value is not an integer"), "{failed:?}");
    });
}

#[test]
fn resp3() {
    on_both(|server| {
        assert_eq!(cli(server, &["-3", "set", "k", "v"]), "OK\n");
        assert_eq!(cli(server, &["-3", "get", "k"]), "v\n");
        let settings = cli(server, &["-3", "--no-raw", "config", "get", "maxmemory-policy"]);
        assert_eq!(settings, "1# \"maxmemory-policy\" => \"allkeys-lru\"\n");
        assert!(cli(server, &["-3", "info", "server"]).contains("redis_mode:standalone"));
        let json = cli(server, &["--json", "mget", "k", "nosuch"]);
        assert_eq!(json.trim(), "[\"v\",null]");
    });
}

#[test]
fn databases() {
    on_both(|server| {
        assert_eq!(cli(server, &["-n", "5", "set", "k", "five"]), "OK\n");
        assert_eq!(cli(server, &["set", "k", "zero"]), "OK\n");
        assert_eq!(cli(server, &["-n", "5", "get", "k"]), "five\n");
        assert_eq!(cli(server, &["get", "k"]), "zero\n");
        assert_eq!(cli(server, &["-n", "5", "flushdb"]), "OK\n");
        assert_eq!(cli(server, &["dbsize"]), "1\n");
        assert_eq!(cli(server, &["-n", "5", "dbsize"]), "0\n");
    });
}

#[test]
fn piped_standard_input() {
    on_both(|server| {
        let script = b"set a 1\nincr a\nget a\nmget a nosuch\nping\n\nset b \"two words\"\nget b\n\
            multi\nincr a\nincr c\nexec\nselect 3\ndbsize\n";
        let printed = run(&mut redis_cli(server, &[]), script).ok();
        let expected = "OK\n2\n2\n2\n\nPONG\n\nOK\ntwo words\nOK\nQUEUED\nQUEUED\n3\n1\nOK\n0\n";
        let squeeze = |text: &str| text.replace("\n\n", "\n");
        assert_eq!(squeeze(&printed), squeeze(expected));
    });
}

#[test]
fn stat() {
    on_both(|server| {
        fill(server, "key", 123);
        let lines = first_lines(redis_cli(server, &["--stat", "-i", "0.1"]), 6);
        assert!(lines[1].starts_with("keys "), "{lines:#?}");
        for line in &lines[2..] {
            assert!(line.starts_with("123 "), "{lines:#?}");
            // What redis-cli prints for a field of INFO that is not there.
            assert!(!line.contains("-9223372036854775808"), "{lines:#?}");
            assert!(line.contains('(') && line.split_whitespace().count() >= 6, "{lines:#?}");
        }
    });
}

#[test]
fn bigkeys_and_memkeys() {
    on_both(|server| {
        fill(server, "key", 500);
        let big = "x".repeat(100_000);
        assert_eq!(cli(server, &["set", "the-big-one", &big]), "OK\n");

        let report = cli(server, &["--bigkeys"]);
        assert!(report.contains("Sampled 501 keys in the keyspace!"), "{report}");
        let found = "Biggest string found '\"the-big-one\"' has 100000 bytes";
        assert!(report.contains(found), "{report}");
        assert!(report.contains("501 strings with"), "{report}");

        let report = cli(server, &["--memkeys"]);
        assert!(report.contains("Sampled 501 keys in the keyspace!"), "{report}");
        let found = report.lines().find(|line| line.starts_with("Biggest string found"));
        let found = found.unwrap_or_else(|| panic!("{report}"));
        assert!(found.contains("'\"the-big-one\"'"), "{report}");
        let bytes = found.split_whitespace().rev().nth(1).unwrap();
        let bytes: u64 = bytes.parse().unwrap_or_else(|_| panic!("{found}"));
        assert!((100_000..150_000).contains(&bytes), "{found}");
    });
}

#[test]
fn scan() {
    on_both(|server| {
        fill(server, "user", 3000);
        fill(server, "other", 1000);
        let users: BTreeSet<String> = (0..3000).map(|number| format!("user:{number}")).collect();
        let printed = cli(server, &["--scan", "--pattern", "user:*"]);
        assert_eq!(printed.lines().map(str::to_owned).collect::<BTreeSet<_>>(), users);
        let printed = cli(server, &["--scan"]);
        assert_eq!(printed.lines().collect::<BTreeSet<_>>().len(), 4000);
        assert_eq!(cli(server, &["--scan", "--pattern", "none:*"]), "");
    });
}

#[test]
fn latency() {
    on_both(|server| {
        // Least, most and mean milliseconds, and the number of PINGs.
        let printed = cli(server, &["--latency", "-i", "0.3", "--raw"]);
        let figures: Vec<f64> =
            printed.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(figures.len(), 4, "{printed}");
        assert!(figures[3] >= 5.0, "{printed}");
    });
}

#[test]
fn pipe() {
    on_both(|server| {
        let mut script = Vec::new();
        for number in 0..10_000 {
            let (key, value) = (format!("pipe:{number}"), format!("value of {number}"));
            script.extend(request(&[b"SET", key.as_bytes(), value.as_bytes()]));
        }
        let output = run(&mut redis_cli(server, &["--pipe"]), &script);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert!(output.out.contains("errors: 0, replies: 10000"), "{output:#?}");
        assert_eq!(cli(server, &["dbsize"]), "10000\n");
        assert_eq!(cli(server, &["get", "pipe:7777"]), "value of 7777\n");

        // Errors are counted, and end nothing.
        let script = b"SET n text\r\nINCR n\r\nSET after 1\r\n";
        let output = run(&mut redis_cli(server, &["--pipe"]), script);
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.out.contains("errors: 1, replies: 3"), "{output:#?}");
        assert_eq!(cli(server, &["get", "after"]), "1\n");
    });
}
