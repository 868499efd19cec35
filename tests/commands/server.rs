//! Cases of commands about the server: INFO, ROLE, TIME, WAIT, MODULE, ACL, CLUSTER, DEBUG, SHUTDOWN.

use super::{Cx, SYNTAX, Value, array, bulk, cases, simple};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

cases!(run_shared: info, info_sections, role_time_wait, module_acl_cluster, debug, debug_protocol,
    debug_object, shutdown_errors, shutdown, helps);

/// The value of `name:` in an INFO text.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.split("\r\n").find(|line| line.starts_with(&format!("{name}:")))?;
    Some(line[name.len() + 1..].to_owned())
}

fn sections(text: &str) -> Vec<&str> {
    text.split("\r\n").filter_map(|line| line.strip_prefix("# ")).collect()
}

fn info(cx: &mut Cx) {
    cx.ok("SET {p}a 1");
    let reply = cx.get("INFO");
    let right = matches!((&reply, cx.proto), (Value::Verbatim(..), 3) | (Value::Bulk(_), 2));
    cx.check(right, "INFO's type", &reply);
    let text = reply.text();
    cx.check(!text.replace("\r\n", "").contains(['\r', '\n']), "lines end with CRLF", &text);
    let version = if super::oracle() { "7.0.15" } else { "7.4.0" };
    let port = cx.server.port.to_string();
    for (name, want) in [
        ("redis_version", version),
        ("redis_mode", "standalone"),
        ("tcp_port", &port),
        ("role", "master"),
        ("connected_slaves", "0"),
        ("loading", "0"),
        ("cluster_enabled", "0"),
        ("blocked_clients", "0"),
        ("rdb_bgsave_in_progress", "0"),
        ("aof_rewrite_in_progress", "0"),
        ("aof_enabled", "0"),
    ] {
        let got = field(&text, name);
        cx.check(got.as_deref() == Some(want), name, got);
    }
    let numbers = "process_id arch_bits uptime_in_seconds uptime_in_days connected_clients maxclients \
        used_memory used_memory_rss used_memory_peak maxmemory total_connections_received \
        total_commands_processed instantaneous_ops_per_sec total_net_input_bytes \
        total_net_output_bytes rejected_connections expired_keys evicted_keys keyspace_hits \
        keyspace_misses pubsub_channels pubsub_patterns total_error_replies master_repl_offset \
        used_cpu_sys used_cpu_user mem_fragmentation_ratio rdb_changes_since_last_save";
    for name in numbers.split_whitespace() {
        let got = field(&text, name);
        let number = got.as_ref().is_some_and(|text| text.parse::<f64>().is_ok());
        cx.check(number, name, got);
    }
    for name in ["run_id", "os", "used_memory_human", "maxmemory_policy", "redis_build_id"] {
        let got = field(&text, name);
        cx.check(got.as_ref().is_some_and(|text| !text.is_empty()), name, got);
    }
    // `db0:keys=1,expires=0,avg_ttl=0`
    let db = field(&text, "db0").unwrap_or_default();
    let names: Vec<&str> = db.split(',').filter_map(|part| Some(part.split_once('=')?.0)).collect();
    cx.check(names.starts_with(&["keys", "expires", "avg_ttl"]), "db0", db);
}

fn info_sections(cx: &mut Cx) {
    let all = [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "CPU",
        "Cluster",
        "Keyspace",
    ];
    let text = cx.get("INFO").text();
    let got = sections(&text);
    let mut at = 0;
    for section in all {
        let found = got.iter().skip(at).position(|name| *name == section);
        cx.check(found.is_some(), section, &got);
        at += found.unwrap_or(0);
    }
    for name in ["Commandstats", "Latencystats"] {
        cx.check(!got.contains(&name), "not by default", &got);
    }
    for line in ["INFO default", "info DEFAULT"] {
        let text = cx.get(line).text();
        cx.check(sections(&text) == got, line, sections(&text));
    }
    for line in ["INFO all", "INFO everything"] {
        let text = cx.get(line).text();
        cx.check(sections(&text).contains(&"Commandstats"), line, sections(&text));
    }
    let stats = cx.get("INFO commandstats").text();
    let line = field(&stats, "cmdstat_info").unwrap_or_default();
    let names: Vec<&str> =
        line.split(',').filter_map(|part| Some(part.split_once('=')?.0)).collect();
    let want = ["calls", "usec", "usec_per_call", "rejected_calls", "failed_calls"];
    cx.check(names == want, "cmdstat_info", line);
    for (line, want) in [
        ("INFO server", &["Server"][..]),
        ("INFO KEYSPACE", &["Keyspace"]),
        ("INFO clients memory", &["Clients", "Memory"]),
        ("INFO memory clients nosuch memory", &["Clients", "Memory"]),
    ] {
        let text = cx.get(line).text();
        cx.check(sections(&text) == want, line, sections(&text));
    }
    let nothing = Value::Verbatim("txt".to_owned(), Vec::new());
    cx.expect("INFO nosuch", nothing.clone());
    cx.expect("INFO nosuch other third", nothing);
}

fn role_time_wait(cx: &mut Cx) {
    cx.expect("ROLE", array([bulk("master"), Value::Int(0), array([])]));
    cx.arity("role", &["ROLE x"]);
    let reply = cx.get("TIME");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let parts: Vec<u64> = reply.items().iter().map(|part| part.text().parse().unwrap()).collect();
    let right = parts.len() == 2 && parts[0].abs_diff(now) < 10 && parts[1] < 1_000_000;
    cx.check(right, "TIME", parts);
    cx.arity("time", &["TIME x"]);
    cx.int("WAIT 0 0", 0);
    cx.int("WAIT 0 10", 0);
    let start = Instant::now();
    cx.int("WAIT 1 10", 0);
    let took = start.elapsed();
    cx.check(took < Duration::from_secs(5), "WAIT 1 10", took);
    cx.error("WAIT a 0", super::NOT_INT);
    cx.error("WAIT 0 a", "ERR timeout is not an integer or out of range");
    cx.error("WAIT 0 -1", "ERR timeout is negative");
    cx.arity("wait", &["WAIT", "WAIT 1", "WAIT 1 2 3"]);
}

fn module_acl_cluster(cx: &mut Cx) {
    cx.expect("MODULE LIST", array([]));
    cx.arity("module", &["MODULE"]);
    cx.arity("module|list", &["MODULE LIST x"]);
    cx.error("MODULE NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try MODULE HELP.");
    cx.bulk("ACL WHOAMI", "default");
    cx.arity("acl", &["ACL"]);
    cx.arity("acl|whoami", &["ACL WHOAMI x"]);
    cx.error("ACL NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try ACL HELP.");
    cx.errors(
        "ERR This instance has cluster support disabled",
        &[
            "CLUSTER COUNT-FAILURE-REPORTS x",
            "CLUSTER COUNTKEYSINSLOT x",
            "CLUSTER GETKEYSINSLOT x y",
            "CLUSTER HELP",
            "CLUSTER INFO",
            "CLUSTER KEYSLOT x",
            "CLUSTER LINKS",
            "CLUSTER MYID",
            "CLUSTER NODES",
            "CLUSTER SHARDS",
            "CLUSTER SLOTS",
            "cluster slots",
            "ASKING",
            "READONLY",
            "READWRITE",
        ],
    );
    cx.error("CLUSTER NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP.");
    cx.arity("cluster", &["CLUSTER"]);
    cx.arity("cluster|keyslot", &["CLUSTER KEYSLOT", "CLUSTER KEYSLOT a b"]);
    cx.arity("cluster|info", &["CLUSTER INFO x"]);
    cx.arity("readonly", &["READONLY x"]);
}

fn debug(cx: &mut Cx) {
    let start = Instant::now();
    cx.ok("DEBUG SLEEP 0.05");
    let took = start.elapsed();
    let right = (Duration::from_millis(50)..Duration::from_secs(5)).contains(&took);
    cx.check(right, "DEBUG SLEEP", took);
    cx.ok("DEBUG SLEEP 0");
    cx.ok("DEBUG SET-ACTIVE-EXPIRE 1");
    cx.arity("debug", &["DEBUG"]);
    for name in ["NOSUCH", "SLEEP", "SET-ACTIVE-EXPIRE", "OBJECT", "PROTOCOL"] {
        cx.error(
            &format!("DEBUG {name}"),
            &format!(
                "ERR unknown subcommand or wrong number of arguments for '{name}'. Try DEBUG HELP."
            ),
        );
    }
    if cx.proto == 3 {
        return;
    }
    // Without the cycle that looks for overdue keys they are counted until they are asked for.
    let target = cx.fresh(&[]);
    let mut conn = target.server().conn();
    conn.cmd("DEBUG SET-ACTIVE-EXPIRE 0");
    conn.cmd("SET a 1 PX 10");
    std::thread::sleep(Duration::from_millis(400));
    let got = (conn.cmd("DBSIZE"), conn.cmd("GET a"), conn.cmd("DBSIZE"));
    cx.check(got == (Value::Int(1), Value::Null, Value::Int(0)), "lazy expiry", got);
    conn.cmd("SET a 1 PX 10");
    conn.cmd("DEBUG SET-ACTIVE-EXPIRE 1");
    crate::util::wait_for("active expiry", Duration::from_secs(5), || {
        conn.cmd("DBSIZE") == Value::Int(0)
    });
}

fn debug_protocol(cx: &mut Cx) {
    let numbers = || vec![Value::Int(0), Value::Int(1), Value::Int(2)];
    cx.bulk("DEBUG PROTOCOL string", "Hello World");
    cx.int("DEBUG PROTOCOL integer", 12345);
    cx.nil("DEBUG PROTOCOL null");
    cx.expect("DEBUG PROTOCOL array", Value::Array(numbers()));
    cx.expect("debug protocol SET", Value::Set(numbers()));
    let map = numbers().into_iter().zip([false, true, false].map(Value::Bool)).collect();
    cx.expect("DEBUG PROTOCOL map", Value::Map(map));
    cx.expect("DEBUG PROTOCOL double", Value::Double("3.141".parse().unwrap()));
    cx.expect("DEBUG PROTOCOL true", Value::Bool(true));
    cx.expect("DEBUG PROTOCOL false", Value::Bool(false));
    let digits = "1234567999999999999999999999999999999";
    cx.expect("DEBUG PROTOCOL bignum", Value::BigNumber(digits.to_owned()));
    let text = b"This is a verbatim\nstring".to_vec();
    cx.expect("DEBUG PROTOCOL verbatim", Value::Verbatim("txt".to_owned(), text));
    if cx.proto == 2 {
        cx.error("DEBUG PROTOCOL push", "ERR RESP2 is not supported by this command");
    }
    cx.error(
        "DEBUG PROTOCOL nosuch",
        "ERR Wrong protocol type name. Please use one of the following: \
         string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
    );
}

fn debug_object(cx: &mut Cx) {
    cx.error("DEBUG OBJECT {p}nosuch", "ERR no such key");
    cx.ok("SET {p}a 12345");
    let reply = cx.get("DEBUG OBJECT {p}a");
    let Value::Simple(text) = &reply else {
        return cx.fail("DEBUG OBJECT", reply, "a simple");
    };
    cx.check(text.starts_with("Value at:"), "DEBUG OBJECT", text);
    let names =
        [" refcount:", " encoding:int ", " serializedlength:", " lru:", " lru_seconds_idle:"];
    for name in names {
        cx.check(text.contains(name), name, text);
    }
}

fn shutdown_errors(cx: &mut Cx) {
    cx.errors(SYNTAX, &["SHUTDOWN FOO", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN ABORT NOW"]);
    cx.error("SHUTDOWN ABORT", "ERR No shutdown in progress.");
    cx.expect("PING", simple("PONG"));
}

fn shutdown(cx: &mut Cx) {
    let lines: &[&str] = match cx.proto {
        2 => &["SHUTDOWN", "SHUTDOWN NOSAVE NOW FORCE"],
        _ => &["shutdown nosave"],
    };
    for line in lines {
        let mut target = cx.fresh(&[]);
        let mut conn = target.server().conn();
        let mut other = target.server().conn();
        other.cmd("SET a 1");
        conn.send(line);
        cx.check(conn.closed() && other.closed(), "no reply, all connections close", line);
        let server = match &mut target {
            super::Target::One(server) => server,
            super::Target::Many(cluster) => &mut cluster.coordinator,
        };
        let status = server.wait_exit(Duration::from_secs(10));
        cx.check(status.success(), line, status);
        // A coordinator leaves its nodes alone.
        if let super::Target::Many(cluster) = &target {
            for node in &cluster.nodes {
                let pong = node.conn().cmd("PING");
                cx.check(pong == simple("PONG"), "a node lives on", pong);
            }
        }
    }
}

fn helps(cx: &mut Cx) {
    for line in [
        "CLIENT HELP",
        "COMMAND HELP",
        "CONFIG HELP",
        "OBJECT HELP",
        "MEMORY HELP",
        "MODULE HELP",
        "DEBUG HELP",
        "ACL HELP",
    ] {
        let name = &line[..line.len() - " HELP".len()];
        let reply = cx.get(line);
        let first = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
        let lines = reply.items();
        let simple = lines.iter().all(|line| matches!(line, Value::Simple(_)));
        let own = lines.iter().any(|line| line.text() == "HELP");
        cx.check(simple && own && lines[0].text() == first, line, lines);
    }
}
