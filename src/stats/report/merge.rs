//! Adds the reports of nodes to a coordinator's own.

use super::{Cache, Latency, NodeReport, Report};

impl Report {
    /// The report of a cluster: the coordinator's own one, with what each of its nodes (by address) has answered. What
    /// clients see stays the coordinator's: its connections, its commands and how long these took.
    pub fn of_cluster(mut own: Report, nodes: Vec<(String, Option<Report>)>) -> Self {
        for (addr, report) in nodes {
            let Some(report) = report else {
                own.nodes.push(NodeReport { addr, ..NodeReport::default() });
                continue;
            };
            own.cache.add(&report.cache);
            own.nodes.push(NodeReport {
                addr,
                up: true,
                cache: report.cache,
                commands_per_s: report.traffic.commands_per_s,
                latency: report.latency,
                uptime_s: report.server.uptime_s,
            });
        }
        own
    }
}

impl Cache {
    fn add(&mut self, other: &Cache) {
        let policy = match self.policy.as_str() {
            "" => other.policy.clone(),
            same if same == other.policy => other.policy.clone(),
            _ => "mixed".to_owned(),
        };
        *self = Cache {
            keys: self.keys + other.keys,
            expires: self.expires + other.expires,
            used_bytes: self.used_bytes + other.used_bytes,
            max_bytes: self.max_bytes + other.max_bytes,
            policy,
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            evicted: self.evicted + other.evicted,
            expired: self.expired + other.expired,
        };
    }
}

impl Latency {
    /// Adds another one: the sum of the histograms is exact, the percentiles follow from it.
    pub(super) fn add(&mut self, other: &Latency) {
        self.histogram.add(&other.histogram);
        self.sum_us += other.sum_us;
        self.work_out();
    }
}
