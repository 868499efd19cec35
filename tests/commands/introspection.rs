//! Cases of COMMAND and its subcommands.

use super::{Cx, SYNTAX, Value, array, bulk, bulks, cases, simple};

cases!(run_shared: count_and_all, info, info_subcommands, docs, getkeys, getkeys_flags, list, help);

fn count_and_all(cx: &mut Cx) {
    let count = cx.within("COMMAND COUNT", 60..=400);
    let all = cx.get("COMMAND");
    cx.check(all.items().len() as i64 == count, "COMMAND", all.items().len());
    let all = cx.get("COMMAND INFO");
    cx.check(all.items().len() as i64 == count, "COMMAND INFO", all.items().len());
    let list = cx.get("COMMAND LIST");
    cx.check(list.items().len() as i64 >= count, "COMMAND LIST", list.items().len());
    let docs = cx.get("COMMAND DOCS").pairs();
    cx.check(docs.len() as i64 == count, "COMMAND DOCS", docs.len());
    cx.arity("command|count", &["COMMAND COUNT x"]);
    cx.error("COMMAND NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.");
}

fn set(items: &[&str]) -> Value {
    Value::Set(items.iter().map(|item| simple(item)).collect())
}

/// The elements of a set or array of simple strings, sorted.
fn sorted(value: &Value) -> Vec<String> {
    let mut items: Vec<String> = value.items().iter().map(Value::text).collect();
    items.sort();
    items
}

fn info(cx: &mut Cx) {
    // Name, arity, flags, first, last, step.
    let table: [(&str, i64, &[&str], [i64; 3]); 12] = [
        ("get", 2, &["readonly", "fast"], [1, 1, 1]),
        ("set", -3, &["write", "denyoom"], [1, 1, 1]),
        ("mget", -2, &["readonly", "fast"], [1, -1, 1]),
        ("mset", -3, &["write", "denyoom"], [1, -1, 2]),
        ("del", -2, &["write"], [1, -1, 1]),
        ("rename", 3, &["write"], [1, 2, 1]),
        ("incr", 2, &["write", "denyoom", "fast"], [1, 1, 1]),
        ("expire", -3, &["write", "fast"], [1, 1, 1]),
        ("keys", 2, &["readonly"], [0, 0, 0]),
        ("dbsize", 1, &["readonly", "fast"], [0, 0, 0]),
        ("ping", -1, &["fast"], [0, 0, 0]),
        ("bitcount", -2, &["readonly"], [1, 1, 1]),
    ];
    for (name, arity, flags, keys) in table {
        let reply = cx.get(&format!("COMMAND INFO {}", name.to_uppercase()));
        let [Value::Array(row)] = reply.items() else {
            cx.fail(name, reply, "one row");
            continue;
        };
        cx.check(row.len() == 10, "a row has ten parts", row);
        cx.check(row[0] == bulk(name) && row[1] == Value::Int(arity), name, row);
        let mut wanted: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        wanted.sort();
        cx.check(sorted(&row[2]) == wanted, name, &row[2]);
        let is_set = matches!((&row[2], cx.proto), (Value::Set(_), 3) | (Value::Array(_), 2));
        cx.check(is_set, "flags are a set", &row[2]);
        cx.check(row[3..6] == keys.map(Value::Int), name, &row[3..6]);
    }
    let get = cx.get("COMMAND INFO get");
    let categories = sorted(&get.items()[0].items()[6]);
    cx.check(categories == ["@fast", "@read", "@string"], "categories of GET", categories);
    let reply = cx.get("COMMAND INFO nosuch get nosuch");
    let items = reply.items();
    let right = items.len() == 3 && items[0] == Value::Null && items[2] == Value::Null;
    cx.check(right, "COMMAND INFO nosuch get nosuch", items);
}

fn info_subcommands(cx: &mut Cx) {
    let reply = cx.get("COMMAND INFO config");
    let row = reply.items()[0].items().to_vec();
    cx.check(row[0] == bulk("config") && row[1] == Value::Int(-2), "CONFIG", &row);
    let names: Vec<String> = row[9].items().iter().map(|row| row.items()[0].text()).collect();
    for name in ["config|get", "config|set", "config|resetstat"] {
        cx.check(names.iter().any(|has| has == name), name, &names);
    }
    let reply = cx.get("COMMAND INFO config|get client|SETNAME config|nosuch get|x");
    let row = reply.items()[0].items();
    cx.check(row[0] == bulk("config|get") && row[1] == Value::Int(-3), "config|get", row);
    let row = reply.items()[1].items();
    cx.check(row[0] == bulk("client|setname") && row[1] == Value::Int(3), "client|setname", row);
    let rest = &reply.items()[2..];
    cx.check(rest == [Value::Null, Value::Null], "unknown ones", rest);
}

fn docs(cx: &mut Cx) {
    let reply = cx.get("COMMAND DOCS get CONFIG nosuch");
    let is_map = matches!((&reply, cx.proto), (Value::Map(_), 3) | (Value::Array(_), 2));
    cx.check(is_map, "COMMAND DOCS is a map", &reply);
    let names: Vec<String> = reply.pairs().iter().map(|(name, _)| name.text()).collect();
    cx.check(names == ["get", "config"], "COMMAND DOCS", &names);
    let get = reply.field("get").expect("GET");
    for (name, want) in [("since", "1.0.0"), ("group", "string")] {
        let got = get.field(name);
        cx.check(got == Some(bulk(want)), name, got);
    }
    cx.check(get.field("summary").is_some(), "summary", &get);
    let config = reply.field("config").expect("CONFIG");
    let subcommands = config.field("subcommands").expect("subcommands");
    cx.check(subcommands.field("config|get").is_some(), "config|get", &subcommands);
    cx.expect("COMMAND DOCS nosuch", Value::Map(Vec::new()));
    let reply = cx.get("COMMAND DOCS config|get");
    cx.check(reply.field("config|get").is_some(), "COMMAND DOCS config|get", reply);
}

fn getkeys(cx: &mut Cx) {
    for (line, want) in [
        ("get a", &["a"][..]),
        ("GET a", &["a"]),
        ("set a b EX 100", &["a"]),
        ("mset a 1 b 2", &["a", "b"]),
        ("mget a b c", &["a", "b", "c"]),
        ("del a b a", &["a", "b", "a"]),
        ("rename a b", &["a", "b"]),
        ("copy a b replace", &["a", "b"]),
        ("object encoding a", &["a"]),
        ("memory usage a", &["a"]),
    ] {
        cx.expect(&format!("COMMAND GETKEYS {line}"), bulks(want));
    }
    let none = "ERR The command has no key arguments";
    cx.errors(
        none,
        &["COMMAND GETKEYS ping x", "COMMAND GETKEYS config get a", "COMMAND GETKEYS keys *"],
    );
    cx.error("COMMAND GETKEYS nosuch a", "ERR Invalid command specified");
    cx.errors(
        "ERR Invalid number of arguments specified for command",
        &["COMMAND GETKEYS get a b", "COMMAND GETKEYS set a", "COMMAND GETKEYS mset a"],
    );
    cx.arity("command|getkeys", &["COMMAND GETKEYS", "COMMAND GETKEYS get"]);
}

fn getkeys_flags(cx: &mut Cx) {
    let key = |name: &str, flags: &[&str]| array([bulk(name), set(flags)]);
    cx.expect("COMMAND GETKEYSANDFLAGS get a", array([key("a", &["RO", "access"])]));
    cx.expect("COMMAND GETKEYSANDFLAGS del a", array([key("a", &["RW", "access"])]));
    let both = [key("a", &["RW", "access"]), key("b", &["RW", "access"])];
    cx.expect("COMMAND GETKEYSANDFLAGS mset a 1 b 2", array(both));
    let both = [key("a", &["RW", "access"]), key("b", &["RW", "access"])];
    cx.expect("COMMAND GETKEYSANDFLAGS rename a b", array(both));
    cx.error("COMMAND GETKEYSANDFLAGS nosuch a", "ERR Invalid command specified");
    cx.error("COMMAND GETKEYSANDFLAGS ping x", "ERR The command has no key arguments");
    cx.arity("command|getkeysandflags", &["COMMAND GETKEYSANDFLAGS"]);
}

fn list(cx: &mut Cx) {
    let all: Vec<String> = cx.get("COMMAND LIST").items().iter().map(Value::text).collect();
    for name in ["get", "set", "config", "config|get", "client|setname", "object|encoding"] {
        cx.check(all.iter().any(|has| has == name), name, &all);
    }
    let want = [
        "expire",
        "pexpire",
        "expireat",
        "pexpireat",
        "expiretime",
        "pexpiretime",
        // Redis does not list the subcommands of DEBUG.
        "debug|set-active-expire",
    ];
    cx.unordered("COMMAND LIST FILTERBY PATTERN *expire*", &want);
    cx.unordered("command list filterby pattern nosuch*", &[]);
    cx.unordered("COMMAND LIST FILTERBY MODULE nosuch", &[]);
    cx.unordered("COMMAND LIST FILTERBY ACLCAT nosuch", &[]);
    let found = cx.get("COMMAND LIST FILTERBY ACLCAT keyspace");
    let found: Vec<String> = found.items().iter().map(Value::text).collect();
    for name in ["del", "expire", "rename", "dbsize"] {
        cx.check(found.iter().any(|has| has == name), name, &found);
    }
    cx.check(!found.iter().any(|has| has == "get"), "GET is not of @keyspace", &found);
    let lines = ["COMMAND LIST FOO", "COMMAND LIST FILTERBY", "COMMAND LIST FILTERBY FOO x"];
    cx.errors(SYNTAX, &lines);
    cx.error("COMMAND LIST FILTERBY PATTERN a b", SYNTAX);
}

fn help(cx: &mut Cx) {
    let help = cx.get("COMMAND HELP");
    let lines: Vec<String> = help.items().iter().map(Value::text).collect();
    let first = "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    cx.check(lines[0] == first, "COMMAND HELP", lines);
    cx.arity("command|help", &["COMMAND HELP x"]);
}
