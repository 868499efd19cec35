//! A report as a page: what the cache is worth and where it hurts first, then the details that there are.

use super::super::human::{bytes, count, duration, long_count, percent, ratio, thousands};
use super::super::paint::{Line, Style, wrap};
use super::By;
use super::gauge::{self, Gauge, Picture};
use super::tables::{self, time};
use crate::stats::report::{Cache, Curve, CurvePoint, Report};

/// The page for one look.
pub(super) fn whole(report: &Report, by: Option<By>, width: usize) -> Vec<Line> {
    let mut top = head(report);
    if by.is_none() {
        top.push(Line::default());
        top.extend(gauge::lines(&gauges(report), width));
    }
    page(top, details(report, by, width))
}

/// A page of parts with a line between them; empty ones are left out.
pub(super) fn page(top: Vec<Line>, parts: Vec<Vec<Line>>) -> Vec<Line> {
    let mut lines = top;
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        lines.push(Line::default());
        lines.extend(part);
    }
    lines
}

/// Who answers, and which nodes do not.
pub(super) fn head(report: &Report) -> Vec<Line> {
    let (server, clients) = (&report.server, report.traffic.clients);
    let clients = if clients == 1 {
        "1 client".to_owned()
    } else {
        format!("{} clients", thousands(clients))
    };
    let rest = format!(", version {}, up {}, {clients}", server.version, duration(server.uptime_s));
    let mut lines = vec![
        Line::of(Style::Strong, &format!("{} {}", server.role, server.addr))
            .add(Style::Plain, &rest),
    ];
    let down: Vec<&str> =
        report.nodes.iter().filter(|node| !node.up).map(|node| node.addr.as_str()).collect();
    if !down.is_empty() {
        let verb = if down.len() == 1 { "is" } else { "are" };
        let (down, names) = (down.len(), down.join(", "));
        let text = format!("{down} of {} nodes {verb} DOWN: {names}", report.nodes.len());
        lines.push(Line::of(Style::Bad, &text));
    }
    lines
}

fn gauges(report: &Report) -> Vec<Gauge> {
    let (cache, latency) = (&report.cache, &report.latency);
    let reads = cache.hits.saturating_add(cache.misses);
    let hits = match reads {
        0 => {
            Gauge::new("hit ratio", "-".to_owned(), Picture::None, "no key was read yet".to_owned())
        }
        _ => Gauge::new(
            "hit ratio",
            ratio(cache.hits, reads),
            Picture::Bar(cache.hits as f64 / reads as f64),
            format!("{} hits, {} misses", count(cache.hits), count(cache.misses)),
        ),
    };
    let expire = match cache.expires {
        0 => String::new(),
        expires => format!("{} of them expire", count(expires)),
    };
    let times = [("p50", latency.p50_us), ("p99", latency.p99_us), ("p99.9", latency.p999_us)];
    let times =
        times.iter().filter(|(_, us)| *us > 0.0).map(|(name, us)| format!("{name} {}", time(*us)));
    let times: Vec<String> = times.collect();
    let mut gauges = vec![
        hits,
        memory(cache),
        Gauge::new("keys", long_count(cache.keys), Picture::None, expire),
        Gauge::new("ops/s", count(report.traffic.commands_per_s), Picture::None, times.join(", ")),
        Gauge::new(
            "evicted",
            count(cache.evicted),
            Picture::None,
            format!("{} expired", count(cache.expired)),
        ),
    ];
    gauges.extend(troubles(report));
    gauges
}

fn memory(cache: &Cache) -> Gauge {
    let (part, note) = limit(cache);
    Gauge::new("memory", bytes(cache.used_bytes), part.map_or(Picture::None, Picture::Bar), note)
}

/// What part of the limit is used, and what the limit is.
pub(super) fn limit(cache: &Cache) -> (Option<f64>, String) {
    if cache.max_bytes == 0 {
        return (None, "no limit".to_owned());
    }
    let part = cache.used_bytes as f64 / cache.max_bytes as f64;
    let note = format!("{} of {}, {}", percent(part), bytes(cache.max_bytes), cache.policy);
    (Some(part), note)
}

/// Errors and refused connections, if any.
pub(super) fn troubles(report: &Report) -> Vec<Gauge> {
    let mut gauges = Vec::new();
    let mut errors: Vec<_> = report.errors.iter().collect();
    errors.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    if !errors.is_empty() {
        let total = errors.iter().fold(0_u64, |sum, (_, number)| sum.saturating_add(**number));
        let codes: Vec<String> =
            errors.iter().map(|(code, number)| format!("{code} {}", count(**number))).collect();
        gauges.push(Gauge {
            style: Style::Bad,
            ..Gauge::new("errors", count(total), Picture::None, codes.join(", "))
        });
    }
    let traffic = &report.traffic;
    if traffic.connections_rejected > 0 {
        let note = format!("clients, as there may be {}", thousands(traffic.clients_max));
        gauges.push(Gauge {
            style: Style::Bad,
            ..Gauge::new("refused", count(traffic.connections_rejected), Picture::None, note)
        });
    }
    gauges
}

/// What follows the gauges.
pub(super) fn details(report: &Report, by: Option<By>, width: usize) -> Vec<Vec<Line>> {
    match by {
        Some(By::Prefix) => vec![tables::prefixes(report, width)],
        Some(By::Command) => vec![tables::commands(report, width)],
        None => vec![
            tables::nodes(report, width),
            ages(report, width),
            curve(&report.curve, width),
            tables::hot_keys(report, width),
            tables::big_keys(report, width),
        ],
    }
}

fn ages(report: &Report, width: usize) -> Vec<Line> {
    let ages = &report.ages;
    if ages.count == 0 {
        return Vec::new();
    }
    let age =
        |seconds| if seconds == 0 { "less than a second".to_owned() } else { duration(seconds) };
    let [p10, p50, p90] = [ages.p10_s, ages.p50_s, ages.p90_s].map(age);
    let text = format!("Evicted keys had not been used for {p50} (median; p10 {p10}, p90 {p90}).");
    wrap(Style::Plain, &text, width)
}

fn curve(curve: &Curve, width: usize) -> Vec<Line> {
    if curve.points.is_empty() {
        return Vec::new();
    }
    let gauge = |point: &CurvePoint| {
        let (now, style) =
            if point.times == 1.0 { (", as now", Style::Strong) } else { ("", Style::Plain) };
        let (ratio, note) = (format!("{:.3}", point.hit_ratio), bytes(point.bytes) + now);
        Gauge {
            style,
            ..Gauge::new(&format!("{}x", point.times), ratio, Picture::Bar(point.hit_ratio), note)
        }
    };
    let gauges: Vec<Gauge> = curve.points.iter().map(gauge).collect();
    let mut lines = vec![Line::of(Style::Faint, "with other memory the hit ratio would be")];
    lines.extend(gauge::lines(&gauges, width));
    lines
}
