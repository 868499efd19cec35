//! INFO beside redis-server's: the same fields, and values that are true.

use super::Cluster;
use crate::tools::on_both;
use crate::util::{Server, Value, request, wait_for};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Fields of redis-server 7.0 that Larder does not have, and why.
const MISSING: &[(&str, &str)] = &[
    ("how redis-server was compiled", "atomicvar_api gcc_version"),
    ("a path before other fields could contain what redis-cli looks for", "executable"),
    ("times of use are exact, there is no clock beside", "lru_clock"),
    (
        "nothing is saved, so nothing forks",
        "current_cow_peak current_cow_size_age current_fork_perc current_save_keys_processed \
         current_save_keys_total rdb_last_load_keys_expired rdb_last_load_keys_loaded \
         aof_rewrites_consecutive_failures",
    ),
    (
        "no replicas",
        "master_replid2 total_net_repl_input_bytes total_net_repl_output_bytes \
         instantaneous_input_repl_kbps instantaneous_output_repl_kbps",
    ),
    (
        "a timing wheel knows what is due, there are no rounds that look for it",
        "expired_stale_perc expired_time_cap_reached_count expire_cycle_cpu_milliseconds",
    ),
    (
        "room is made before memory is taken",
        "total_eviction_exceeded_time current_eviction_exceeded_time",
    ),
    (
        "entries are moved together by the way, a few an operation",
        "total_active_defrag_time current_active_defrag_time",
    ),
    (
        "calls of the system are not counted",
        "total_reads_processed total_writes_processed io_threaded_reads_processed \
         io_threaded_writes_processed reply_buffer_shrinks reply_buffer_expands",
    ),
    (
        "the main thread only waits for signals",
        "used_cpu_sys_main_thread used_cpu_user_main_thread",
    ),
];

type Fields = BTreeMap<String, String>;

fn info(server: &Server, section: &str) -> Fields {
    let text = server.conn().cmd(&format!("INFO {section}")).text();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn number(fields: &Fields, name: &str) -> i64 {
    let value = fields.get(name).unwrap_or_else(|| panic!("no {name} in {fields:?}"));
    value.parse().unwrap_or_else(|_| panic!("{name}:{value}"))
}

/// Something of everything: calls, an error, keys with and without expiry.
fn use_it(server: &Server) {
    let mut conn = server.conn();
    for line in ["SET a 1", "SET b 1 EX 1000", "GET a", "GET nosuch", "INCR a", "SET c x", "INCR c"]
    {
        conn.cmd(line);
    }
}

#[test]
fn fields_of_redis_server() {
    let redis = Server::redis(&[]);
    use_it(&redis);
    let theirs = info(&redis, "everything");
    assert!(theirs.len() > 150, "{theirs:?}");
    let missing = MISSING.iter().flat_map(|(_, names)| names.split_whitespace());
    let expected: BTreeSet<&str> = missing.collect();
    on_both(|server| {
        use_it(server);
        let ours = info(server, "everything");
        let missing: BTreeSet<&str> =
            theirs.keys().filter(|name| !ours.contains_key(*name)).map(String::as_str).collect();
        assert_eq!(missing, expected, "fields that are missing, and those that may be");
        // What is shown has the same form.
        for (name, value) in &theirs {
            let Some(own) = ours.get(name) else { continue };
            let is_number = |text: &str| {
                text.trim_end_matches(['%', 'B', 'K', 'M', 'G']).parse::<f64>().is_ok()
            };
            if is_number(value) && name != "redis_build_id" {
                assert!(is_number(own), "{name}:{own} is no number; theirs is {value}");
            }
            assert_eq!(
                value.matches('=').count(),
                own.matches('=').count(),
                "{name}:{own} is not like {value}"
            );
        }
        assert_eq!(ours["errorstat_ERR"], "count=1");
        assert_eq!(ours["total_error_replies"], "1");
        assert_eq!((&*ours["keyspace_hits"], &*ours["keyspace_misses"]), ("1", "1"));
    });
}

#[test]
fn memory_adds_up() {
    const KEYS: i64 = 1000;
    on_both(|server| {
        let empty = info(server, "memory");
        let startup = number(&empty, "used_memory_startup");
        assert!(startup > 0);
        for name in ["used_memory", "used_memory_overhead"] {
            assert_eq!(number(&empty, name), startup, "{name} of an empty cache");
        }
        assert_eq!(number(&empty, "used_memory_dataset"), 0);
        let mut conn = server.conn();
        let value = "x".repeat(100);
        for key in 0..KEYS {
            let expiry = if key % 2 == 0 { "" } else { " EX 1000" };
            assert_eq!(
                conn.cmd(&format!("SET key:{key:04} {value}{expiry}")),
                Value::Simple("OK".into())
            );
        }
        let full = info(server, "memory");
        let [used, overhead, dataset] =
            ["used_memory", "used_memory_overhead", "used_memory_dataset"]
                .map(|name| number(&full, name));
        assert_eq!(used, overhead + dataset);
        // 8 bytes of key, 100 of value, and what cells are larger.
        assert!((KEYS * 108..KEYS * 120).contains(&dataset), "{dataset}");
        // 16 bytes of header, 16 of expiry for every other key, and the index.
        let of_keys = overhead - startup;
        assert!((KEYS * 26..KEYS * 40).contains(&of_keys), "{of_keys}");
        let percent =
            full["used_memory_dataset_perc"].trim_end_matches('%').parse::<f64>().unwrap();
        assert!((percent - 100.0 * dataset as f64 / (used - startup) as f64).abs() < 0.02);
        for (bytes, more, less) in [
            ("mem_fragmentation_bytes", "used_memory_rss", "used_memory"),
            ("rss_overhead_bytes", "used_memory_rss", "allocator_resident"),
            ("allocator_frag_bytes", "allocator_active", "allocator_allocated"),
            ("allocator_rss_bytes", "allocator_resident", "allocator_active"),
        ] {
            let difference = number(&full, more) - number(&full, less);
            assert_eq!(number(&full, bytes), difference, "{bytes}: {full:?}");
        }
        let stats = conn.cmd("MEMORY STATS");
        for (name, field) in [
            ("startup.allocated", "used_memory_startup"),
            ("overhead.total", "used_memory_overhead"),
            ("dataset.bytes", "used_memory_dataset"),
        ] {
            assert_eq!(stats.field(name), Some(Value::Int(number(&full, field))), "{name}");
        }
    });
}

#[test]
fn buffers_of_clients() {
    on_both(|server| {
        let mut conn = server.conn();
        let half = &request(&[b"SET", b"k", &[b'x'; 50_000]])[..40_000];
        conn.send_raw(&[&request(&[b"PING"]), half].concat());
        assert_eq!(conn.read(), Value::Simple("PONG".into()));
        wait_for("half a request is seen", Duration::from_secs(5), || {
            let fields = info(server, "everything");
            let least = number(&fields, "client_recent_max_input_buffer");
            least > 30_000 && number(&fields, "mem_clients_normal") >= least
        });
    });
}

#[test]
fn entries_that_are_moved_count_as_defragmented() {
    let cluster = Cluster::start(&[]);
    let mut conn = cluster.coordinator.conn();
    let value = [b'x'; 200];
    let keys: Vec<String> = (0..50_000).map(|key| key.to_string()).collect();
    // Seven of eight are deleted again, all over the cells.
    for batch in keys.chunks(1000) {
        let set = |key: &String| request(&[b"SET", key.as_bytes(), &value]);
        conn.send_raw(&batch.iter().flat_map(set).collect::<Vec<u8>>());
        batch.iter().for_each(|_| drop(conn.read()));
    }
    for batch in keys.chunks(8) {
        conn.cmd(&format!("DEL {}", batch[1..].join(" ")));
    }
    let hits = |server: &Server| number(&info(server, "stats"), "active_defrag_hits");
    wait_for("entries are moved together", Duration::from_secs(10), || {
        hits(&cluster.coordinator) > 0
    });
    wait_for("the coordinator's is the sum", Duration::from_secs(5), || {
        cluster.nodes.iter().map(hits).sum::<i64>() == hits(&cluster.coordinator)
    });
}
