//! A report as metric families, named as Prometheus's conventions have it.
//!
//! A coordinator tells what its clients see and which nodes are up. What nodes hold (keys, memory, hits, evictions,
//! prefixes, the curve) they tell themselves: told twice, it would be counted twice by whoever adds up all that is
//! scraped. Names of keys are no labels, as there is no end of them; of prefixes there are the few biggest.

use crate::server::Role;
use crate::stats::process;
use crate::stats::report::{Ages, Latency, PrefixReport, Report};
use hyper::header::{ACCEPT, HeaderMap};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt::{Error, Result};
use std::ops::RangeInclusive;

/// Prefixes that are told, those with most memory.
const PREFIXES_MAX: usize = 32;
/// The bounds of durations: powers of 4 from 1.024 us to 17 s, where buckets of [`crate::stats::Snapshot`] end.
const DURATION_BITS: RangeInclusive<u32> = 10..=34;
/// The bounds of ages in seconds, powers of 4 up to 12 days.
const AGE_BITS: RangeInclusive<u32> = 0..=20;

/// How metrics are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// For those who ask for it, as Prometheus does.
    OpenMetrics,
    /// The older text format of Prometheus, for all others.
    Text,
}

impl Format {
    /// The one that a client takes, by its `Accept` headers.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let mut kinds = headers.get_all(ACCEPT).iter().filter_map(|kinds| kinds.to_str().ok());
        let open = kinds.any(|kinds| kinds.contains("application/openmetrics-text"));
        if open { Format::OpenMetrics } else { Format::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}

/// Writes a report as metrics.
pub(super) fn encode(report: Report, format: Format) -> std::result::Result<String, Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Figures(report)));
    let mut out = String::new();
    match format {
        Format::OpenMetrics => text::encode(&mut out, &registry)?,
        Format::Text => prometheus_text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

#[derive(Debug)]
struct Figures(Report);

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result {
        let mut out = Families(encoder);
        let report = &self.0;
        out.server(report)?;
        out.traffic(report)?;
        if report.server.role == Role::Node.name() {
            out.cache(report)?;
            out.ages(&report.ages)?;
            out.prefixes(&report.prefixes.list)?;
            out.curve(report)?;
            out.extremes(report)?;
        }
        let nodes = report.nodes.iter();
        out.each(
            ("larder_node_up", None, "Whether a node of this coordinator answers"),
            nodes.map(|node| (vec![("node", node.addr.as_str())], gauge(u64::from(node.up)))),
        )?;
        out.process(report)
    }
}

/// A family's name, its unit (which is added to the name, as `_total` is to that of a counter), and what it tells.
type About = (&'static str, Option<Unit>, &'static str);
type Labels<'a> = Vec<(&'static str, &'a str)>;

fn gauge(value: u64) -> ConstGauge<u64> {
    ConstGauge::new(value)
}

fn counter(value: u64) -> ConstCounter<u64> {
    ConstCounter::new(value)
}

struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    /// A family with a sample for each of the labels; without samples there is none.
    fn each<'l, M: EncodeMetric>(
        &mut self,
        (name, unit, help): About,
        samples: impl Iterator<Item = (Labels<'l>, M)>,
    ) -> Result {
        let mut samples = samples.peekable();
        let Some((_, first)) = samples.peek() else { return Ok(()) };
        let kind = first.metric_type();
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, metric) in samples {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A family of one sample.
    fn one(&mut self, about: About, metric: impl EncodeMetric) -> Result {
        self.each(about, std::iter::once((Vec::new(), metric)))
    }

    fn server(&mut self, report: &Report) -> Result {
        let server = &report.server;
        let labels = vec![("role", server.role.as_str()), ("version", server.version.as_str())];
        self.each(
            ("larder_build_info", None, "Which Larder this is"),
            std::iter::once((labels, gauge(1))),
        )?;
        let about = ("larder_uptime", Some(Unit::Seconds), "Time since the server started");
        self.one(about, gauge(server.uptime_s))
    }

    fn traffic(&mut self, report: &Report) -> Result {
        let traffic = &report.traffic;
        let bytes = Some(Unit::Bytes);
        for (name, help, value) in [
            ("larder_connected_clients", "Connected clients", traffic.clients),
            ("larder_clients_max", "The most clients there may be", traffic.clients_max),
        ] {
            self.one((name, None, help), gauge(value))?;
        }
        for (name, unit, help, value) in [
            ("larder_connections", None, "Connections accepted", traffic.connections),
            (
                "larder_connections_rejected",
                None,
                "Connections refused, as there were too many",
                traffic.connections_rejected,
            ),
            ("larder_network_received", bytes.clone(), "Read from clients", traffic.bytes_in),
            ("larder_network_sent", bytes, "Written to clients", traffic.bytes_out),
        ] {
            self.one((name, unit, help), counter(value))?;
        }
        let commands = || report.commands.iter().map(|c| (vec![("command", c.name.as_str())], c));
        self.each(
            ("larder_commands", None, "Commands executed"),
            commands().map(|(labels, command)| (labels, counter(command.calls))),
        )?;
        self.each(
            ("larder_command_failures", None, "Commands that answered an error"),
            commands().map(|(labels, command)| (labels, counter(command.failed))),
        )?;
        self.each(
            ("larder_commands_rejected", None, "Commands refused before they ran"),
            commands().map(|(labels, command)| (labels, counter(command.rejected))),
        )?;
        let timed = commands().filter(|(_, command)| command.latency.histogram.count() > 0);
        self.each(
            ("larder_command_duration", Some(Unit::Seconds), "How long commands took"),
            timed.map(|(labels, command)| (labels, Histogram::of_durations(&command.latency))),
        )?;
        let errors = report.errors.iter();
        self.each(
            ("larder_errors", None, "Error replies by their code"),
            errors.map(|(code, &count)| (vec![("code", code.as_str())], counter(count))),
        )
    }

    fn cache(&mut self, report: &Report) -> Result {
        let cache = &report.cache;
        for (name, unit, help, value) in [
            ("larder_keys", None, "Keys in all databases", cache.keys),
            ("larder_keys_expiring", None, "Keys that expire", cache.expires),
            (
                "larder_memory_used",
                Some(Unit::Bytes),
                "Charged for keys and values",
                cache.used_bytes,
            ),
            (
                "larder_memory_max",
                Some(Unit::Bytes),
                "The limit, 0 if there is none",
                cache.max_bytes,
            ),
        ] {
            self.one((name, unit, help), gauge(value))?;
        }
        for (name, help, value) in [
            ("larder_keyspace_hits", "Reads that found their key", cache.hits),
            ("larder_keyspace_misses", "Reads that did not find their key", cache.misses),
            ("larder_evicted_keys", "Keys evicted to make room", cache.evicted),
            ("larder_expired_keys", "Keys that expired", cache.expired),
        ] {
            self.one((name, None, help), counter(value))?;
        }
        Ok(())
    }

    fn ages(&mut self, ages: &Ages) -> Result {
        let help = "For how long evicted keys had not been used";
        self.one(("larder_eviction_age", Some(Unit::Seconds), help), Histogram::of_ages(ages))
    }

    fn prefixes(&mut self, prefixes: &[PrefixReport]) -> Result {
        type Value = fn(&PrefixReport) -> u64;
        let told = || {
            let told = prefixes.iter().take(PREFIXES_MAX);
            told.map(|prefix| (vec![("prefix", prefix.prefix.as_str())], prefix))
        };
        let gauges: [(About, Value); 2] = [
            (("larder_prefix_keys", None, "Keys by prefix"), |prefix| prefix.keys),
            (("larder_prefix", Some(Unit::Bytes), "Memory by prefix"), |prefix| prefix.bytes),
        ];
        for (about, value) in gauges {
            self.each(about, told().map(|(labels, prefix)| (labels, gauge(value(prefix)))))?;
        }
        let counters: [(About, Value); 4] = [
            (("larder_prefix_hits", None, "Reads that found their key, by prefix"), |p| p.hits),
            (("larder_prefix_misses", None, "Reads that did not, by prefix"), |p| p.misses),
            (("larder_prefix_writes", None, "Writes by prefix"), |p| p.writes),
            (("larder_prefix_evictions", None, "Keys evicted, by prefix"), |p| p.evicted),
        ];
        for (about, value) in counters {
            self.each(about, told().map(|(labels, prefix)| (labels, counter(value(prefix)))))?;
        }
        let timed = told().filter(|(_, prefix)| prefix.latency.histogram.count() > 0);
        let help = "What 99 in 100 commands did not take longer than, by prefix";
        self.each(
            ("larder_prefix_p99", Some(Unit::Seconds), help),
            timed.map(|(labels, prefix)| (labels, ConstGauge::new(prefix.latency.p99_us / 1e6))),
        )
    }

    fn curve(&mut self, report: &Report) -> Result {
        let points = report.curve.points.iter();
        let points: Vec<_> =
            points.map(|point| (format!("{}x", point.times), point.hit_ratio)).collect();
        let help = "The hit ratio that the memory limit, so many times, would give";
        self.each(
            ("larder_hit_ratio_at", None, help),
            points
                .iter()
                .map(|(times, ratio)| (vec![("memory", times.as_str())], ConstGauge::new(*ratio))),
        )
    }

    /// The hottest and the biggest key, without their names: these would be ever new series.
    fn extremes(&mut self, report: &Report) -> Result {
        let share = report.hot_keys.first().map_or(0.0, |key| key.share);
        let help = "Part of all uses that are of the hottest key, of late";
        self.one(("larder_hottest_key_share", None, help), ConstGauge::new(share))?;
        let bytes = report.big_keys.first().map_or(0, |key| key.bytes);
        let help = "What the biggest key that is known takes";
        self.one(("larder_biggest_key", Some(Unit::Bytes), help), gauge(bytes))
    }

    /// What Prometheus's clients tell of a process; those of `larder up` share one.
    fn process(&mut self, report: &Report) -> Result {
        let server = &report.server;
        let cpu_s = server.cpu_user_s + server.cpu_system_s;
        let (bytes, seconds) = (Some(Unit::Bytes), Some(Unit::Seconds));
        let about = ("process_resident_memory", bytes, "Resident memory");
        self.one(about, gauge(server.resident_bytes))?;
        let about = ("process_cpu", seconds.clone(), "Processor time");
        self.one(about, ConstCounter::new(cpu_s))?;
        let about = ("process_open_fds", None, "Open file descriptors");
        self.one(about, gauge(process::open_descriptors()))?;
        let about = ("process_start_time", seconds, "When the process started, since 1970");
        self.one(about, ConstGauge::new(process::started_s()))
    }
}

/// A histogram by bounds, each with what lies between it and the one before.
struct Histogram {
    sum: f64,
    count: u64,
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Puts values, each with how many there are of it, between bounds: powers of 4 in the values' unit, so many of which
    /// are one of the metric's.
    fn of(
        values: impl Iterator<Item = (u64, u64)>,
        bits: RangeInclusive<u32>,
        scale: f64,
        sum: f64,
    ) -> Self {
        let bounds: Vec<u64> = bits.step_by(2).map(|bits| 1 << bits).collect();
        let mut buckets: Vec<(f64, u64)> =
            bounds.iter().map(|&bound| (bound as f64 / scale, 0)).collect();
        buckets.push((f64::INFINITY, 0));
        let mut total = 0;
        for (value, count) in values {
            buckets[bounds.partition_point(|&bound| bound < value)].1 += count;
            total += count;
        }
        Histogram { sum, count: total, buckets }
    }

    fn of_durations(latency: &Latency) -> Self {
        Self::of(latency.histogram.buckets(), DURATION_BITS, 1e9, latency.sum_us / 1e6)
    }

    fn of_ages(ages: &Ages) -> Self {
        Self::of(ages.buckets.iter().copied(), AGE_BITS, 1.0, ages.sum_s as f64)
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result {
        encoder.encode_histogram::<NoLabelSet>(self.sum, self.count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Snapshot;
    use crate::stats::report::{CommandReport, Curve, CurvePoint, NodeReport, Prefixes};
    use std::collections::BTreeSet;

    /// A server that has something of everything.
    fn report(role: Role) -> Report {
        let mut histogram = Snapshot::default();
        [900, 1_100, 5_000_000, 30_000_000_000].iter().for_each(|&ns| histogram.record(ns));
        let latency = Latency::new(histogram, 35_000_002_000);
        let mut report = Report::default();
        report.server.role = role.name().to_owned();
        report.commands = vec![CommandReport {
            name: "config|get".to_owned(),
            calls: 4,
            latency: latency.clone(),
            ..CommandReport::default()
        }];
        report.errors.insert("ERR".to_owned(), 3);
        let prefix = |number| PrefixReport {
            prefix: format!("a \"b\\\n{number}"),
            keys: number,
            bytes: 1000 - number,
            latency: latency.clone(),
            ..PrefixReport::default()
        };
        report.prefixes = Prefixes { list: (0..40).map(prefix).collect(), ..Prefixes::default() };
        report.ages =
            Ages { count: 6, sum_s: 99, buckets: vec![(1, 1), (5, 2), (16, 3)], ..Ages::default() };
        let point = |times, hit_ratio| CurvePoint { times, hit_ratio, ..CurvePoint::default() };
        report.curve =
            Curve { points: vec![point(0.5, 0.25), point(2.0, 0.75)], ..Curve::default() };
        if role == Role::Coordinator {
            report.nodes = vec![
                NodeReport { addr: "a:1".to_owned(), up: true, ..NodeReport::default() },
                NodeReport { addr: "b:1".to_owned(), ..NodeReport::default() },
            ];
        }
        report
    }

    fn shown(role: Role, format: Format) -> String {
        encode(report(role), format).unwrap()
    }

    #[track_caller]
    fn assert_lines(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn figures_of_a_node() {
        let text = shown(Role::Node, Format::OpenMetrics);
        assert_lines(
            &text,
            &[
                "# TYPE larder_commands counter",
                "larder_commands_total{command=\"config|get\"} 4",
                "larder_errors_total{code=\"ERR\"} 3",
                "# TYPE larder_command_duration_seconds histogram",
                "# UNIT larder_command_duration_seconds seconds",
                "larder_command_duration_seconds_bucket{le=\"0.000001024\",command=\"config|get\"} 1",
                "larder_command_duration_seconds_bucket{le=\"0.000004096\",command=\"config|get\"} 2",
                "larder_command_duration_seconds_bucket{le=\"17.179869184\",command=\"config|get\"} 3",
                "larder_command_duration_seconds_bucket{le=\"+Inf\",command=\"config|get\"} 4",
                "larder_command_duration_seconds_count{command=\"config|get\"} 4",
                "larder_command_duration_seconds_sum{command=\"config|get\"} 35.000002",
                "larder_eviction_age_seconds_bucket{le=\"1.0\"} 1",
                "larder_eviction_age_seconds_bucket{le=\"4.0\"} 1",
                "larder_eviction_age_seconds_bucket{le=\"16.0\"} 6",
                "larder_eviction_age_seconds_sum 99.0",
                "larder_hit_ratio_at{memory=\"0.5x\"} 0.25",
                "larder_hit_ratio_at{memory=\"2x\"} 0.75",
                "larder_hottest_key_share 0.0",
                "larder_biggest_key_bytes 0",
                "larder_prefix_bytes{prefix=\"a \\\"b\\\\\\n7\"} 993",
            ],
        );
        assert_eq!(text.matches("\nlarder_prefix_bytes{").count(), PREFIXES_MAX);
        assert!(text.ends_with("# EOF\n"));
        let older = shown(Role::Node, Format::Text);
        assert_lines(&older, &["# TYPE larder_commands_total counter"]);
        assert!(!older.contains("# UNIT") && !older.contains("# EOF"));
    }

    #[test]
    fn a_coordinator_leaves_to_nodes_what_is_theirs() {
        let text = shown(Role::Coordinator, Format::OpenMetrics);
        assert_lines(
            &text,
            &[
                "larder_node_up{node=\"a:1\"} 1",
                "larder_node_up{node=\"b:1\"} 0",
                "larder_commands_total{command=\"config|get\"} 4",
            ],
        );
        for of_nodes in
            ["_keys", "keyspace", "memory_used", "prefix", "hit_ratio", "age", "hottest"]
        {
            assert!(!text.contains(&format!("larder_{of_nodes}")), "{of_nodes} in\n{text}");
        }
    }

    #[test]
    fn the_dashboard_shows_what_there_is() {
        let told: BTreeSet<String> = [Role::Node, Role::Coordinator]
            .iter()
            .flat_map(|&role| {
                let text = shown(role, Format::Text);
                let samples = text.lines().filter(|line| !line.starts_with('#'));
                let names = samples.filter_map(|line| line.split(['{', ' ']).next());
                names.map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        let dashboard: serde_json::Value = serde_json::from_str(super::super::DASHBOARD).unwrap();
        let text = dashboard.to_string();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: BTreeSet<&str> = words
            .filter(|word| word.starts_with("larder_") || word.starts_with("process_"))
            .collect();
        assert!(named.len() > 20, "{named:?}");
        for name in named {
            assert!(told.contains(name), "the dashboard names {name}; there are {told:#?}");
        }
    }
}
