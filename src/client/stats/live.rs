//! The page of `--watch`: what goes on now, and how it went before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::super::human::{bytes, long_count, rate, ratio};
use super::super::paint::{Line, Style};
use super::By;
use super::gauge::{self, Gauge, Picture};
use super::interval::Interval;
use super::tables::time;
use super::view::{self, details, head};
use crate::stats::report::Report;

/// Samples that are kept: more than a picture has columns.
const SAMPLES: usize = 128;

/// What is drawn as a curve.
#[derive(Clone, Copy)]
struct Sample {
    ops: Option<f64>,
    hit_ratio: Option<f64>,
    memory: f64,
    p99: Option<f64>,
}

/// What is known so far.
pub(super) struct Live {
    interval: Duration,
    /// The last report that the server gave, and when.
    report: Report,
    when: Instant,
    /// From the one before to it.
    last: Option<Interval>,
    /// One for each time the server was asked; none where it did not answer.
    samples: VecDeque<Option<Sample>>,
    /// What is wrong at the moment, or was.
    remark: Option<String>,
}

impl Live {
    pub(super) fn new(report: Report, when: Instant, interval: Duration) -> Live {
        let samples = VecDeque::new();
        let mut live = Live { interval, report, when, last: None, samples, remark: None };
        live.sample();
        live
    }

    /// Takes the next report, or why there is none.
    pub(super) fn take(&mut self, when: Instant, report: Result<Report>) {
        match report {
            Ok(report) => {
                let seconds = when.saturating_duration_since(self.when).as_secs_f64();
                self.last = Interval::between(&report, &self.report, seconds);
                let anew = self.last.is_none();
                self.remark = anew.then(|| format!("{} was started anew", report.server.addr));
                (self.report, self.when) = (report, when);
                self.sample();
            }
            Err(why) => {
                self.last = None;
                self.remark = Some(format!("{why:#}"));
                self.push(None);
            }
        }
    }

    /// What happened between the last two reports, or why that is not known.
    pub(super) fn last(&self) -> Result<&Interval, &str> {
        self.last.as_ref().ok_or(self.remark.as_deref().unwrap_or_default())
    }

    fn sample(&mut self) {
        let last = self.last.as_ref();
        let (hits, reads) = last.map_or((0, 0), |last| reads(&last.report));
        let count = last.map_or(0, |last| last.report.latency.histogram.count());
        self.push(Some(Sample {
            ops: last.map(|last| last.rate(last.report.traffic.commands)),
            hit_ratio: (reads > 0).then(|| hits as f64 / reads as f64),
            memory: self.report.cache.used_bytes as f64,
            p99: last.filter(|_| count > 0).map(|last| last.report.latency.p99_us),
        }));
    }

    fn push(&mut self, sample: Option<Sample>) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The page, in so many columns.
    pub(super) fn page(&self, by: Option<By>, width: usize) -> Vec<Line> {
        let mut top = head(&self.report);
        top.push(match &self.remark {
            Some(remark) => Line::of(Style::Bad, remark),
            None => {
                let text = format!("every {} s; q leaves", self.interval.as_secs_f64());
                Line::of(Style::Faint, &text)
            }
        });
        top.push(Line::default());
        top.extend(gauge::lines(&self.gauges(), width));
        let last = self.last.as_ref();
        view::page(top, last.map_or_else(Vec::new, |last| details(&last.report, by, width)))
    }

    fn gauges(&self) -> Vec<Gauge> {
        let cache = &self.report.cache;
        let (part, of) = view::limit(cache);
        // Without a limit the most that was used is the measure.
        let top = part.map(|_| cache.max_bytes as f64);
        let used = bytes(cache.used_bytes);
        let memory = self.picture(|sample| Some(sample.memory), top);
        let memory = Gauge::new("memory", used, memory, of);
        let none = || "-".to_owned();
        let Some(last) = &self.last else {
            let picture = |value, top| self.picture(value, top);
            return vec![
                Gauge::new("ops/s", none(), picture(|s| s.ops, None), String::new()),
                Gauge::new("hit ratio", none(), picture(|s| s.hit_ratio, Some(1.0)), String::new()),
                Gauge::new("p99", none(), picture(|s| s.p99, None), String::new()),
                memory,
                Gauge::new("keys", long_count(cache.keys), Picture::None, String::new()),
            ];
        };
        let (now, (hits, reads)) = (&last.report, reads(&last.report));
        let flow = format!(
            "{}/s in, {}/s out",
            bytes(last.rate(now.traffic.bytes_in) as u64),
            bytes(last.rate(now.traffic.bytes_out) as u64)
        );
        let found =
            format!("{} hits/s, {} misses/s", rate(last.rate(hits)), rate(last.rate(reads - hits)));
        let times =
            format!("p50 {}, p99.9 {}", time(now.latency.p50_us), time(now.latency.p999_us));
        let gone = format!(
            "{} evicted/s, {} expired/s",
            rate(last.rate(now.cache.evicted)),
            rate(last.rate(now.cache.expired))
        );
        let ops = rate(last.rate(now.traffic.commands));
        let mut gauges = vec![
            Gauge::new("ops/s", ops, self.picture(|s| s.ops, None), flow),
            Gauge::new(
                "hit ratio",
                ratio(hits, reads),
                self.picture(|s| s.hit_ratio, Some(1.0)),
                found,
            ),
            Gauge::new("p99", time(now.latency.p99_us), self.picture(|s| s.p99, None), times),
            memory,
            Gauge::new("keys", long_count(cache.keys), Picture::None, gone),
        ];
        gauges.extend(view::troubles(now));
        gauges
    }

    /// The samples of a figure; without a measure the highest of them is it.
    fn picture(&self, figure: fn(&Sample) -> Option<f64>, top: Option<f64>) -> Picture {
        let samples: Vec<Option<f64>> =
            self.samples.iter().map(|sample| figure(sample.as_ref()?)).collect();
        let highest = samples.iter().flatten().copied().fold(0.0, f64::max);
        Picture::Samples { samples, top: top.unwrap_or(highest) }
    }
}

/// Reads that found their key, and all of them.
fn reads(report: &Report) -> (u64, u64) {
    (report.cache.hits, report.cache.hits.saturating_add(report.cache.misses))
}

/// The columns of a line, with their widths.
const COLUMNS: [(&str, usize); 10] = [
    ("ops/s", 7),
    ("hits/s", 8),
    ("misses/s", 9),
    ("hit ratio", 10),
    ("evicted/s", 10),
    ("memory", 8),
    ("p50", 7),
    ("p99", 7),
    ("in/s", 7),
    ("out/s", 7),
];

/// The heading above [`line`]s.
pub(super) fn heading() -> String {
    in_columns(COLUMNS.map(|(title, _)| title.to_owned()))
}

/// An interval in one line, for files and pipes.
pub(super) fn line(interval: &Interval) -> String {
    let report = &interval.report;
    let (hits, reads) = reads(report);
    in_columns([
        rate(interval.rate(report.traffic.commands)),
        rate(interval.rate(hits)),
        rate(interval.rate(reads - hits)),
        ratio(hits, reads),
        rate(interval.rate(report.cache.evicted)),
        bytes(report.cache.used_bytes),
        time(report.latency.p50_us),
        time(report.latency.p99_us),
        bytes(interval.rate(report.traffic.bytes_in) as u64),
        bytes(interval.rate(report.traffic.bytes_out) as u64),
    ])
}

fn in_columns(cells: [String; COLUMNS.len()]) -> String {
    cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}")).collect()
}
