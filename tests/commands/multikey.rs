//! Cases of the commands over several keys: MGET, MSET, MSETNX, DEL, UNLINK, EXISTS, TOUCH.

use super::{Cx, Value, array, bulk, bulks, cases};

cases!(run_shared: mset_mget, msetnx, del, exists_touch, many_keys, order);

fn mset_mget(cx: &mut Cx) {
    cx.ok("MSET {p}a 1 {p}b 2 {p}c 3");
    cx.expect("MGET {p}a {p}b {p}c", bulks(&["1", "2", "3"]));
    let some = array([bulk("3"), Value::Null, bulk("1"), bulk("3")]);
    cx.expect("MGET {p}c {p}nosuch {p}a {p}c", some);
    cx.expect("MGET {p}nosuch", array([Value::Null]));
    // The last value of a key given twice counts.
    cx.ok("MSET {p}a 1 {p}b 5 {p}a 2");
    cx.expect("MGET {p}a {p}b", bulks(&["2", "5"]));
    cx.int("EXPIRE {p}a 100", 1);
    cx.ok("MSET {p}a 3");
    cx.int("TTL {p}a", -1);
    cx.arity("mset", &["MSET", "MSET a", "MSET {p}a 1 {p}b"]);
    cx.arity("mget", &["MGET"]);
}

fn msetnx(cx: &mut Cx) {
    cx.int("MSETNX {t}a 1 {t}b 2", 1);
    cx.int("MSETNX {t}b 3 {t}c 4", 0);
    cx.expect("MGET {t}a {t}b {t}c", array([bulk("1"), bulk("2"), Value::Null]));
    cx.int("MSETNX {t}d 1 {t}d 2", 1);
    cx.bulk("GET {t}d", "2");
    cx.int("MSETNX {t}e 1", 1);
    cx.arity("msetnx", &["MSETNX", "MSETNX a", "MSETNX {t}a 1 {t}b"]);
}

fn del(cx: &mut Cx) {
    for (command, name) in [("DEL", "del"), ("UNLINK", "unlink")] {
        cx.int(&format!("{command} {{p}}a"), 0);
        cx.ok("MSET {p}a 1 {p}b 2 {p}c 3 {p}d 4");
        cx.int(&format!("{command} {{p}}a"), 1);
        cx.int(&format!("{command} {{p}}a {{p}}b {{p}}nosuch {{p}}c"), 2);
        cx.int(&format!("{command} {{p}}d {{p}}d"), 1);
        cx.int("EXISTS {p}a {p}b {p}c {p}d", 0);
        cx.arity(name, &[command]);
    }
    cx.int("DEL {p}a", 0);
    cx.int("UNLINK {p}a", 0);
}

fn exists_touch(cx: &mut Cx) {
    for (command, name) in [("EXISTS", "exists"), ("TOUCH", "touch")] {
        cx.int("DEL {p}a {p}b", if name == "exists" { 0 } else { 2 });
        cx.int(&format!("{command} {{p}}a"), 0);
        cx.ok("MSET {p}a 1 {p}b 2");
        cx.int(&format!("{command} {{p}}a"), 1);
        cx.int(&format!("{command} {{p}}a {{p}}b {{p}}nosuch"), 2);
        // A key counts as often as it is given.
        cx.int(&format!("{command} {{p}}a {{p}}a {{p}}b {{p}}a"), 4);
        cx.arity(name, &[command]);
    }
    cx.int("EXISTS {p}a", 1);
    cx.int("TOUCH {p}a", 1);
}

fn many_keys(cx: &mut Cx) {
    let keys: Vec<String> = (0..1000).map(|i| cx.key(&format!("{{p}}{i}"))).collect();
    let pairs: Vec<String> =
        keys.iter().enumerate().map(|(i, key)| format!("{key} v{i}")).collect();
    cx.ok(&format!("MSET {}", pairs.join(" ")));
    let values: Vec<String> = (0..1000).map(|i| format!("v{i}")).collect();
    let keys = keys.join(" ");
    cx.expect(&format!("MGET {keys}"), array(values.iter().map(|value| bulk(value))));
    cx.int(&format!("EXISTS {keys}"), 1000);
    cx.int(&format!("TOUCH {keys}"), 1000);
    cx.int(&format!("UNLINK {keys}"), 1000);
    cx.int(&format!("DEL {keys}"), 0);
}

/// Replies of a pipeline come in the order of its requests, whichever node answers first.
fn order(cx: &mut Cx) {
    for i in 0..200 {
        let line = cx.key(&format!("SET {{p}}{i} {i}"));
        cx.conn.send(&line);
        let line = cx.key(&format!("MGET {{p}}{i} {{p}}{}", i.max(1) - 1));
        cx.conn.send(&line);
        cx.conn.send("ECHO between");
        let line = cx.key(&format!("INCR {{p}}{i}"));
        cx.conn.send(&line);
    }
    for i in 0..200 {
        let replies: Vec<Value> = (0..4).map(|_| cx.conn.read()).collect();
        let before = if i == 0 { "0".to_owned() } else { i.to_string() };
        let want = [
            super::simple("OK"),
            bulks(&[&i.to_string(), &before]),
            bulk("between"),
            Value::Int(i + 1),
        ];
        cx.check(replies == want, "a pipeline's replies", (i, replies.clone()));
    }
}
