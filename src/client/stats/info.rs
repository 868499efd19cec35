//! A report made of the text of INFO, which any redis-server gives, and a Larder that is too old for reports.

use std::collections::HashMap;
use std::str::FromStr;

use crate::stats::report::{Answering, Cache, CommandReport, Latency, Report, Traffic};

/// What INFO tells, as far as a report has a place for it.
pub(super) fn report(addr: &str, info: &str) -> Report {
    let lines = info.lines().filter_map(|line| line.split_once(':'));
    let fields = Fields(lines.clone().collect());
    let is_larder = fields.0.contains_key("larder_version");
    let (mut keys, mut expires) = (0, 0);
    for (_, line) in lines.clone().filter(|(name, _)| is_database(name)) {
        let database = pairs(line);
        keys += database.number::<u64>("keys");
        expires += database.number::<u64>("expires");
    }
    let errors = lines.clone().filter_map(|(name, line)| {
        Some((name.strip_prefix("errorstat_")?.to_owned(), pairs(line).number("count")))
    });
    Report {
        server: Answering {
            role: fields.0.get("larder_role").unwrap_or(&"redis-server").trim().to_owned(),
            version: fields.text(if is_larder { "larder_version" } else { "redis_version" }),
            addr: addr.to_owned(),
            run_id: fields.text("run_id"),
            process_id: fields.number("process_id"),
            uptime_s: fields.number("uptime_in_seconds"),
            resident_bytes: fields.number("used_memory_rss"),
            cpu_user_s: fields.number("used_cpu_user"),
            cpu_system_s: fields.number("used_cpu_sys"),
            ..Answering::default()
        },
        traffic: Traffic {
            clients: fields.number("connected_clients"),
            clients_max: fields.number("maxclients"),
            connections: fields.number("total_connections_received"),
            connections_rejected: fields.number("rejected_connections"),
            commands: fields.number("total_commands_processed"),
            commands_per_s: fields.number("instantaneous_ops_per_sec"),
            bytes_in: fields.number("total_net_input_bytes"),
            bytes_out: fields.number("total_net_output_bytes"),
        },
        cache: Cache {
            keys,
            expires,
            used_bytes: fields.number("used_memory"),
            max_bytes: fields.number("maxmemory"),
            policy: fields.text("maxmemory_policy"),
            hits: fields.number("keyspace_hits"),
            misses: fields.number("keyspace_misses"),
            evicted: fields.number("evicted_keys"),
            expired: fields.number("expired_keys"),
            recent_uses: 0,
        },
        commands: lines.clone().filter_map(|(name, line)| command(name, line, &fields)).collect(),
        errors: errors.collect(),
        ..Report::default()
    }
}

/// `db0`, `db15`.
fn is_database(name: &str) -> bool {
    name.strip_prefix("db").is_some_and(|number| number.parse::<u32>().is_ok())
}

/// `cmdstat_get:calls=5,usec=9,...`, with the percentiles of another line.
fn command(name: &str, line: &str, fields: &Fields<'_>) -> Option<CommandReport> {
    let name = name.strip_prefix("cmdstat_")?;
    let counts = pairs(line);
    let percentiles = format!("latency_percentiles_usec_{name}");
    let percentiles = pairs(fields.0.get(percentiles.as_str()).unwrap_or(&""));
    Some(CommandReport {
        name: name.to_owned(),
        calls: counts.number("calls"),
        rejected: counts.number("rejected_calls"),
        failed: counts.number("failed_calls"),
        latency: Latency {
            p50_us: percentiles.number("p50"),
            p99_us: percentiles.number("p99"),
            p999_us: percentiles.number("p99.9"),
            sum_us: counts.number("usec"),
            ..Latency::default()
        },
    })
}

struct Fields<'a>(HashMap<&'a str, &'a str>);

impl Fields<'_> {
    fn text(&self, name: &str) -> String {
        self.0.get(name).unwrap_or(&"").trim().to_owned()
    }

    /// 0 where it is not told.
    fn number<T: FromStr + Default>(&self, name: &str) -> T {
        self.0.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }
}

/// `a=1,b=2`.
fn pairs(line: &str) -> Fields<'_> {
    Fields(line.split(',').filter_map(|pair| pair.split_once('=')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nuptime_in_seconds:7500\r\n\
        # Clients\r\nconnected_clients:3\r\n# Memory\r\nused_memory:1000\r\nused_memory_human:1000B\r\n\
        maxmemory:2000\r\nmaxmemory_policy:noeviction\r\n# Stats\r\ntotal_commands_processed:120\r\n\
        keyspace_hits:75\r\nkeyspace_misses:25\r\nevicted_keys:1\r\nexpired_keys:2\r\n\
        # Commandstats\r\ncmdstat_config|get:calls=2,usec=31,usec_per_call=15.50,rejected_calls=1,failed_calls=0\r\n\
        cmdstat_get:calls=100,usec=250,usec_per_call=2.50,rejected_calls=0,failed_calls=4\r\n\
        # Errorstats\r\nerrorstat_ERR:count=1\r\nerrorstat_WRONGTYPE:count=4\r\n\
        # Latencystats\r\nlatency_percentiles_usec_get:p50=1.003,p99=9.023,p99.9=20.095\r\n\
        # Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=9\r\ndb3:keys=6,expires=0,avg_ttl=0\r\n";

    #[test]
    fn what_redis_tells() {
        let report = report("h:1", REDIS);
        let server = &report.server;
        assert_eq!((server.role.as_str(), server.version.as_str()), ("redis-server", "7.0.15"));
        assert_eq!((server.addr.as_str(), server.uptime_s), ("h:1", 7500));
        assert_eq!((report.traffic.clients, report.traffic.commands), (3, 120));
        let cache = Cache {
            keys: 11,
            expires: 1,
            used_bytes: 1000,
            max_bytes: 2000,
            policy: "noeviction".to_owned(),
            hits: 75,
            misses: 25,
            evicted: 1,
            expired: 2,
            recent_uses: 0,
        };
        assert_eq!(report.cache, cache);
        let names: Vec<&str> = report.commands.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["config|get", "get"]);
        let get = &report.commands[1];
        assert_eq!((get.calls, get.failed, get.latency.sum_us), (100, 4, 250.0));
        assert_eq!((get.latency.p50_us, get.latency.p999_us), (1.003, 20.095));
        assert_eq!(report.errors["WRONGTYPE"], 4);
    }

    #[test]
    fn an_old_larder_says_what_it_is() {
        let server =
            report("h:1", &format!("{REDIS}larder_version:0.1.0\r\nlarder_role:node\r\n")).server;
        assert_eq!((server.role.as_str(), server.version.as_str()), ("node", "0.1.0"));
    }

    #[test]
    fn nonsense_is_not_fatal() {
        let report =
            report("h:1", "what?\r\ndb0:\r\ndbase:keys=1\r\ncmdstat_:x\r\nused_memory:-1\r\n");
        assert_eq!((report.cache.keys, report.cache.used_bytes), (0, 0));
        assert_eq!(report.commands.len(), 1);
    }
}
