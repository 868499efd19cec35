//! A server's report of itself.

use super::{Answering, Cache, CommandReport, Form, Latency, Report, Traffic};
use crate::config::Id;
use crate::server::Server;
use crate::stats::{Snapshot, process};
use std::sync::atomic::Ordering::Relaxed;

/// The sections that the store is asked for.
const OF_KEYS: [&str; 6] = ["cache", "prefixes", "ages", "curve", "hot-keys", "big-keys"];

impl Report {
    /// What a server knows of itself, without what this form does not want of its keys. On a node this locks one shard of
    /// the store after another, each for a moment.
    pub fn of(server: &Server, form: &Form) -> Self {
        let commands: Vec<CommandReport> = server
            .stats
            .commands()
            .into_iter()
            .map(|command| CommandReport {
                name: command.name.to_owned(),
                calls: command.calls,
                rejected: command.rejected,
                failed: command.failed,
                latency: Latency::new(command.latency, command.latency_ns),
            })
            .collect();
        let sum_us = commands.iter().map(|command| command.latency.sum_us).sum();
        let mut report = Report {
            server: answering(server),
            traffic: traffic(server),
            latency: Latency { sum_us, ..Latency::new(server.stats.latency(), 0) },
            commands,
            errors: server.stats.errors(),
            ..Report::default()
        };
        if let Some(store) = server.store.as_ref().filter(|_| form.wants(&OF_KEYS)) {
            let budget = &store.budget;
            let mut keyspace = store.lock_all(0, server.now_us() / 1000);
            keyspace.tell_reads();
            let (stats, dbs, ages) = (keyspace.stats(), keyspace.db_stats(), keyspace.ages());
            drop(keyspace);
            report.cache = Cache {
                keys: dbs.iter().map(|db| db.keys).sum(),
                expires: dbs.iter().map(|db| db.expires).sum(),
                used_bytes: budget.used() as u64,
                max_bytes: budget.limit(),
                policy: budget.policy().name().to_owned(),
                hits: stats.hits,
                misses: stats.misses,
                evicted: stats.evicted,
                expired: stats.expired,
                recent_uses: 0,
            };
            report.add_keys(server, form, store, &ages);
        }
        report
    }
}

impl Latency {
    /// From a histogram, and nanoseconds in all.
    pub fn new(histogram: Snapshot, ns: u64) -> Self {
        let mut latency = Latency { sum_us: ns as f64 / 1000.0, histogram, ..Latency::default() };
        latency.work_out();
        latency
    }

    /// Works the percentiles out of the histogram.
    pub(super) fn work_out(&mut self) {
        let at = |percent| self.histogram.percentile_us(percent);
        (self.p50_us, self.p99_us, self.p999_us) = (at(50.0), at(99.0), at(99.9));
    }
}

fn answering(server: &Server) -> Answering {
    let (cpu_user_s, cpu_system_s) = process::cpu_seconds();
    Answering {
        role: server.role.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        addr: server.addr().map(|addr| addr.to_string()).unwrap_or_default(),
        run_id: server.run_id.clone(),
        process_id: u64::from(std::process::id()),
        uptime_s: server.started.elapsed().as_secs(),
        workers: server.workers as u64,
        resident_bytes: process::resident_bytes(),
        cpu_user_s,
        cpu_system_s,
    }
}

fn traffic(server: &Server) -> Traffic {
    let [commands, bytes_in, bytes_out] = server.stats.traffic();
    Traffic {
        clients: server.clients.len() as u64,
        clients_max: server.config.number(Id::Maxclients),
        connections: server.stats.connections.load(Relaxed),
        connections_rejected: server.stats.rejected_connections.load(Relaxed),
        commands,
        commands_per_s: server.stats.rates()[0],
        bytes_in,
        bytes_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::resp::ArgsBuf;
    use crate::server::Role;
    use crate::store::{Expiry, Policy, Store};
    use std::sync::Arc;

    #[test]
    fn keys_are_counted_for_those_who_ask() {
        let store = Arc::new(Store::new(0, Policy::AllkeysLru));
        let value = [b'v'; 5000];
        store.lock_all(0, 1000).put(b"user:1", value[..].into(), Expiry::Never).unwrap();
        let server = Server::new(Role::Node, Config::default(), Some(store), 1);
        let counted = |sections: &[&[u8]]| {
            let form = Form::parse(ArgsBuf::build(sections).args(), 0).unwrap();
            let report = Report::of(&server, &form);
            (report.cache.keys, report.prefixes.list.len(), report.big_keys.len())
        };
        assert_eq!(counted(&[]), (1, 1, 1));
        assert_eq!(counted(&[b"prefixes"]), (1, 1, 1));
        assert_eq!(counted(&[b"cache", b"hot-keys"]), (1, 0, 0));
        assert_eq!(counted(&[b"server", b"nodes"]), (0, 0, 0));
    }
}
