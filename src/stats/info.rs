//! The text of INFO: the sections and fields that tools read.

use super::process;
use crate::config::Id;
use crate::server::Server;
use crate::store::{Keyspace, Policy};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

/// The version of Redis whose behaviour is shown: the first one that clients let use client-side caching.
pub const REDIS_VERSION: &str = "7.4.0";

/// The sections in their order, and whether `INFO` without an argument shows them. Own sections come last: some tools
/// look for the first occurrence of a field's name.
pub const SECTIONS: &[(&str, bool)] = &[
    ("server", true),
    ("clients", true),
    ("memory", true),
    ("persistence", true),
    ("stats", true),
    ("replication", true),
    ("cpu", true),
    ("modules", true),
    ("commandstats", false),
    ("errorstats", true),
    ("latencystats", false),
    ("cluster", true),
    ("keyspace", true),
    ("larder", true),
    ("nodes", true),
];

/// The sections that the arguments of INFO ask for.
pub fn wanted<'a>(names: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<&'static str> {
    let asked = |word: &str| names.clone().any(|name| name.eq_ignore_ascii_case(word.as_bytes()));
    let default = names.clone().next().is_none() || asked("default");
    let all = asked("all") || asked("everything");
    let sections =
        SECTIONS.iter().filter(|(name, shown)| all || asked(name) || (default && *shown));
    sections.map(|(name, _)| *name).collect()
}

/// The sections of this server; `# Nodes` of a coordinator is added where its nodes are asked.
pub fn render(server: &Server, keyspace: &Keyspace<'_>, sections: &[&str]) -> String {
    let mut out = String::new();
    for section in sections {
        let mut body = String::new();
        let known = match *section {
            "server" => server_section(server, &mut body),
            "clients" => clients_section(server, &mut body),
            "memory" => memory_section(server, keyspace, &mut body),
            "persistence" => persistence_section(server, keyspace, &mut body),
            "stats" => stats_section(server, keyspace, &mut body),
            "replication" => replication_section(&server.run_id, &mut body),
            "cpu" => cpu_section(&mut body),
            "modules" => Ok(()),
            "commandstats" => commandstats_section(server, &mut body),
            "errorstats" => errorstats_section(server, &mut body),
            "latencystats" => latencystats_section(server, &mut body),
            "cluster" => {
                writeln!(body, "cluster_enabled:{}\r", u8::from(server.member().is_some()))
            }
            "keyspace" => keyspace_section(keyspace, &mut body),
            "larder" => larder_section(server, &mut body),
            _ => continue,
        };
        // Writing to a string cannot fail.
        if known.is_ok() {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            let (first, rest) = section.split_at(1);
            let title =
                if *section == "cpu" { "CPU".to_owned() } else { first.to_uppercase() + rest };
            out.push_str(&format!("# {title}\r\n{body}"));
        }
    }
    out
}

/// What is nothing where there are no scripts and functions, no persistence and no replication.
const NO_SCRIPTS: &str = "used_memory_vm_eval:0\r\nused_memory_scripts_eval:0\r\nnumber_of_cached_scripts:0\r\n\
    number_of_functions:0\r\nnumber_of_libraries:0\r\nused_memory_vm_functions:0\r\nused_memory_vm_total:0\r\n\
    used_memory_vm_total_human:0B\r\nused_memory_functions:0\r\nused_memory_scripts:0\r\n\
    used_memory_scripts_human:0B\r\n";
const NO_PERSISTENCE: &str = "rdb_last_bgsave_status:ok\r\nrdb_last_bgsave_time_sec:-1\r\n\
    rdb_current_bgsave_time_sec:-1\r\nrdb_saves:0\r\nrdb_last_cow_size:0\r\naof_enabled:0\r\n\
    aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\naof_last_rewrite_time_sec:-1\r\n\
    aof_current_rewrite_time_sec:-1\r\naof_last_bgrewrite_status:ok\r\naof_rewrites:0\r\n\
    aof_last_write_status:ok\r\naof_last_cow_size:0\r\nmodule_fork_in_progress:0\r\nmodule_fork_last_cow_size:0\r\n";
const NO_REPLICATION: &str = "second_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:0\r\n\
    repl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n";

type Written = std::fmt::Result;

fn server_section(server: &Server, out: &mut String) -> Written {
    let uptime = server.started.elapsed().as_secs();
    writeln!(out, "redis_version:{REDIS_VERSION}\r")?;
    writeln!(out, "redis_git_sha1:00000000\r\nredis_git_dirty:0\r")?;
    writeln!(out, "redis_build_id:larder-{}\r", env!("CARGO_PKG_VERSION"))?;
    writeln!(
        out,
        "redis_mode:{}\r\nos:{} {}\r",
        server.mode(),
        std::env::consts::OS,
        std::env::consts::ARCH
    )?;
    writeln!(out, "arch_bits:{}\r\nmonotonic_clock:POSIX clock_gettime\r", usize::BITS)?;
    writeln!(out, "multiplexing_api:epoll\r\nprocess_id:{}\r", std::process::id())?;
    writeln!(
        out,
        "process_supervised:no\r\nrun_id:{}\r\ntcp_port:{}\r",
        server.run_id,
        server.port()
    )?;
    writeln!(out, "server_time_usec:{}\r", server.now_us())?;
    writeln!(out, "uptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r", uptime / 86_400)?;
    writeln!(
        out,
        "hz:10\r\nconfigured_hz:10\r\nconfig_file:\r\nio_threads_active:{}\r",
        u8::from(server.workers > 1)
    )
}

/// Bytes allocated, bytes of the pages these lie in, and bytes of pages that are resident: what the allocator says, and
/// the store's cells, which do not come from it.
pub fn allocator(keyspace: &Keyspace<'_>) -> (u64, u64, u64) {
    let (allocated, active, resident) = process::allocator();
    let cells = keyspace.cells();
    let (used, committed) = (cells.used as u64, cells.committed as u64);
    (allocated + used, active + committed, resident + committed)
}

/// What each client has in its buffers: requests, replies.
fn buffers(server: &Server) -> impl Iterator<Item = (u64, u64)> {
    server.clients.all().into_iter().map(|client| client.buffers())
}

/// What memory is used for beside keys and values, in bytes: by the empty store, by it and all its entries since, and by
/// the buffers of clients, which no limit counts.
pub fn overhead(server: &Server, keyspace: &Keyspace<'_>) -> (u64, u64, u64) {
    let clients = buffers(server).map(|(query, output)| query + output).sum();
    (server.startup_bytes, keyspace.overhead() as u64, clients)
}

fn clients_section(server: &Server, out: &mut String) -> Written {
    let max = server.config.number(Id::Maxclients);
    let (query, output) = buffers(server)
        .fold((0, 0), |most, (query, output)| (query.max(most.0), output.max(most.1)));
    writeln!(out, "connected_clients:{}\r\ncluster_connections:0\r", server.clients.len())?;
    writeln!(out, "maxclients:{max}\r\nclient_recent_max_input_buffer:{query}\r")?;
    writeln!(out, "client_recent_max_output_buffer:{output}\r")?;
    // No command blocks, and no client is told of changes.
    writeln!(out, "blocked_clients:0\r\ntracking_clients:0\r")?;
    writeln!(out, "clients_in_timeout_table:0\r")
}

fn memory_section(server: &Server, keyspace: &Keyspace<'_>, out: &mut String) -> Written {
    let (allocated, active, resident) = allocator(keyspace);
    let rss = process::resident_bytes();
    let (mut used, mut peak, mut max, mut policy) = (0, 0, 0, Policy::default());
    if let Some(store) = &server.store {
        let budget = &store.budget;
        (used, peak) = (budget.used() as u64, budget.peak() as u64);
        (max, policy) = (budget.limit(), budget.policy());
    }
    let policy = policy.name();
    let total = process::total_memory();
    let (startup, overhead, clients) = overhead(server, keyspace);
    let dataset = used.saturating_sub(overhead);
    for (name, value) in [
        ("used_memory", used),
        ("used_memory_rss", rss),
        ("used_memory_peak", peak),
        ("total_system_memory", total),
        ("used_memory_lua", 0),
        ("maxmemory", max),
    ] {
        writeln!(out, "{name}:{value}\r\n{name}_human:{}\r", human(value))?;
    }
    writeln!(out, "used_memory_peak_perc:{:.2}%\r", ratio(used * 100, peak))?;
    writeln!(
        out,
        "used_memory_overhead:{overhead}\r\nused_memory_startup:{startup}\r\nused_memory_dataset:{dataset}\r"
    )?;
    let filled = used.saturating_sub(startup);
    writeln!(out, "used_memory_dataset_perc:{:.2}%\r", ratio(dataset * 100, filled))?;
    out.push_str(NO_SCRIPTS);
    writeln!(out, "maxmemory_policy:{policy}\r\nallocator_allocated:{allocated}\r")?;
    writeln!(out, "allocator_active:{active}\r\nallocator_resident:{resident}\r")?;
    writeln!(out, "allocator_frag_ratio:{:.2}\r", ratio(active, allocated))?;
    writeln!(out, "allocator_frag_bytes:{}\r", active.saturating_sub(allocated))?;
    writeln!(out, "allocator_rss_ratio:{:.2}\r", ratio(resident, active))?;
    writeln!(out, "allocator_rss_bytes:{}\r", resident.saturating_sub(active))?;
    writeln!(out, "rss_overhead_ratio:{:.2}\r", ratio(rss, resident))?;
    writeln!(out, "rss_overhead_bytes:{}\r", rss as i64 - resident as i64)?;
    writeln!(out, "mem_fragmentation_ratio:{:.2}\r", ratio(rss, used))?;
    writeln!(out, "mem_fragmentation_bytes:{}\r", rss as i64 - used as i64)?;
    writeln!(out, "mem_not_counted_for_evict:0\r\nmem_replication_backlog:0\r")?;
    writeln!(out, "mem_total_replication_buffers:0\r\nmem_clients_slaves:0\r")?;
    writeln!(out, "mem_clients_normal:{clients}\r\nmem_cluster_links:0\r\nmem_aof_buffer:0\r")?;
    writeln!(out, "mem_allocator:jemalloc\r\nactive_defrag_running:0\r")?;
    writeln!(out, "lazyfree_pending_objects:0\r\nlazyfreed_objects:0\r")
}

fn persistence_section(server: &Server, keyspace: &Keyspace<'_>, out: &mut String) -> Written {
    writeln!(out, "loading:0\r\nasync_loading:0\r\ncurrent_cow_size:0\r")?;
    writeln!(out, "rdb_changes_since_last_save:{}\r", keyspace.stats().changes)?;
    writeln!(out, "rdb_bgsave_in_progress:0\r\nrdb_last_save_time:{}\r", server.started_unix)?;
    out.push_str(NO_PERSISTENCE);
    Ok(())
}

fn stats_section(server: &Server, keyspace: &Keyspace<'_>, out: &mut String) -> Written {
    let ([commands, net_in, net_out], rates) = (server.stats.traffic(), server.stats.rates());
    let shard = keyspace.stats();
    let errors: u64 = server.stats.errors().values().sum();
    for (name, value) in [
        ("total_connections_received", server.stats.connections.load(Relaxed)),
        ("total_commands_processed", commands),
        ("instantaneous_ops_per_sec", rates[0]),
        ("total_net_input_bytes", net_in),
        ("total_net_output_bytes", net_out),
    ] {
        writeln!(out, "{name}:{value}\r")?;
    }
    writeln!(out, "instantaneous_input_kbps:{:.2}\r", rates[1] as f64 / 1024.0)?;
    writeln!(out, "instantaneous_output_kbps:{:.2}\r", rates[2] as f64 / 1024.0)?;
    for (name, value) in [
        ("rejected_connections", server.stats.rejected_connections.load(Relaxed)),
        ("expired_keys", shard.expired),
        ("evicted_keys", shard.evicted),
        ("evicted_clients", 0),
        ("keyspace_hits", shard.hits),
        ("keyspace_misses", shard.misses),
        ("pubsub_channels", 0),
        ("pubsub_patterns", 0),
        ("pubsubshard_channels", 0),
        ("latest_fork_usec", 0),
        ("total_forks", 0),
        ("sync_full", 0),
        ("sync_partial_ok", 0),
        ("sync_partial_err", 0),
        ("slave_expires_tracked_keys", 0),
        ("migrate_cached_sockets", 0),
        ("dump_payload_sanitizations", 0),
        // Entries moved together: each is a key with its value.
        ("active_defrag_hits", shard.moved),
        ("active_defrag_misses", 0),
        ("active_defrag_key_hits", shard.moved),
        ("active_defrag_key_misses", 0),
        ("tracking_total_keys", 0),
        ("tracking_total_items", 0),
        ("tracking_total_prefixes", 0),
        ("unexpected_error_replies", 0),
        ("total_error_replies", errors),
    ] {
        writeln!(out, "{name}:{value}\r")?;
    }
    Ok(())
}

fn replication_section(run_id: &str, out: &mut String) -> Written {
    writeln!(out, "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r")?;
    writeln!(out, "master_replid:{run_id}\r\nmaster_repl_offset:0\r")?;
    out.push_str(NO_REPLICATION);
    Ok(())
}

fn cpu_section(out: &mut String) -> Written {
    let (user, system) = process::cpu_seconds();
    writeln!(out, "used_cpu_sys:{system:.6}\r\nused_cpu_user:{user:.6}\r")?;
    writeln!(out, "used_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r")
}

fn commandstats_section(server: &Server, out: &mut String) -> Written {
    for command in server.stats.commands() {
        let usec = command.ns as f64 / 1000.0;
        let each = if command.calls == 0 { 0.0 } else { usec / command.calls as f64 };
        writeln!(
            out,
            "cmdstat_{}:calls={},usec={usec:.0},usec_per_call={each:.2},rejected_calls={},failed_calls={}\r",
            command.name, command.calls, command.rejected, command.failed
        )?;
    }
    Ok(())
}

fn errorstats_section(server: &Server, out: &mut String) -> Written {
    for (code, count) in server.stats.errors() {
        writeln!(out, "errorstat_{code}:count={count}\r")?;
    }
    Ok(())
}

fn latencystats_section(server: &Server, out: &mut String) -> Written {
    if !server.config.is_on(Id::LatencyTracking) {
        return Ok(());
    }
    for command in server.stats.commands().iter().filter(|command| command.calls > 0) {
        let at = |percent| command.latency.percentile_us(percent);
        let (p50, p99, p999) = (at(50.0), at(99.0), at(99.9));
        let name = command.name;
        writeln!(
            out,
            "latency_percentiles_usec_{name}:p50={p50:.3},p99={p99:.3},p99.9={p999:.3}\r"
        )?;
    }
    Ok(())
}

fn keyspace_section(keyspace: &Keyspace<'_>, out: &mut String) -> Written {
    for (db, stats) in keyspace.db_stats().iter().enumerate().filter(|(_, stats)| stats.keys > 0) {
        let mean = stats.expires_at_sum.checked_div(u128::from(stats.expires)).unwrap_or(0) as u64;
        let ttl = if stats.expires == 0 { 0 } else { mean.saturating_sub(keyspace.now) };
        writeln!(out, "db{db}:keys={},expires={},avg_ttl={ttl}\r", stats.keys, stats.expires)?;
    }
    Ok(())
}

fn larder_section(server: &Server, out: &mut String) -> Written {
    let role = server.role.name();
    let latency = server.stats.latency();
    writeln!(out, "larder_version:{}\r\nlarder_role:{role}\r", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "workers:{}\r", server.workers)?;
    writeln!(out, "latency_p50_us:{:.1}\r", latency.percentile_us(50.0))?;
    writeln!(out, "latency_p99_us:{:.1}\r", latency.percentile_us(99.0))
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A number of bytes as Redis's `_human` fields write it.
pub fn human(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{:.2}K", value / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.2}M", value / 1_048_576.0),
        _ => format!("{:.2}G", value / 1_073_741_824.0),
    }
}
