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
    /// Of the limit, or in bytes.
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
        let (last, cache) = (self.last.as_ref(), &self.report.cache);
        let (hits, reads) = last.map_or((0, 0), |last| reads(&last.report));
        let count = last.map_or(0, |last| last.report.latency.histogram.count());
        self.push(Some(Sample {
            ops: last.map(|last| last.rate(last.report.traffic.commands)),
            hit_ratio: (reads > 0).then(|| hits as f64 / reads as f64),
            memory: view::limit(cache).0.unwrap_or(cache.used_bytes as f64),
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
        top.extend(gauge::lines(&self.gauges(width), width));
        let last = self.last.as_ref();
        view::page(top, last.map_or_else(Vec::new, |last| details(&last.report, by, width)))
    }

    fn gauges(&self, width: usize) -> Vec<Gauge> {
        let cache = &self.report.cache;
        let told = |tell: fn(&Interval) -> String, unknown: &str| {
            self.last.as_ref().map_or_else(|| unknown.to_owned(), tell)
        };
        let (limit, of) = view::limit(cache);
        let memory = self.picture(width, |sample| Some(sample.memory));
        let memory = if limit.is_some() { memory.in_tenths() } else { memory.above_zero() };
        let ratios = self.picture(width, |sample| sample.hit_ratio).in_tenths();
        let ops = self.picture(width, |sample| sample.ops).above_zero();
        let times = self.picture(width, |sample| sample.p99).above_zero();
        let mut gauges = vec![
            Gauge::new("ops/s", told(commands, "-"), ops, told(bytes_moved, "")),
            Gauge::new("hit ratio", told(hit_ratio, "-"), ratios, told(hits_and_misses, "")),
            Gauge::new("p99", told(p99, "-"), times, told(other_times, "")),
            Gauge::new("memory", bytes(cache.used_bytes), memory, of),
            Gauge::new("keys", long_count(cache.keys), Picture::None, told(keys_gone, "")),
        ];
        gauges.extend(self.last.iter().flat_map(|last| view::troubles(&last.report)));
        gauges
    }

    /// The samples that there is room for: what is not seen any more is no measure either.
    fn picture(&self, width: usize, figure: fn(&Sample) -> Option<f64>) -> Samples {
        let old = self.samples.len().saturating_sub(gauge::picture_width(width));
        let shown = self.samples.iter().skip(old);
        Samples(shown.map(|sample| figure(sample.as_ref()?)).collect())
    }
}

/// The samples of a figure, still to be measured.
struct Samples(Vec<Option<f64>>);

impl Samples {
    /// Up to the highest of them.
    fn above_zero(self) -> Picture {
        let top = self.0.iter().flatten().copied().fold(0.0, f64::max);
        Picture::Samples { samples: self.0, from: 0.0, to: top }
    }

    /// From one tenth to another: of a part that moves between 0.8 and 0.9 one wants to see how.
    fn in_tenths(self) -> Picture {
        let known = || self.0.iter().flatten().copied();
        let from = (known().fold(1.0, f64::min) * 10.0).floor().min(9.0) / 10.0;
        let to = (known().fold(0.0, f64::max) * 10.0).ceil() / 10.0;
        Picture::Samples { samples: self.0, from, to }
    }
}

fn commands(last: &Interval) -> String {
    rate(last.rate(last.report.traffic.commands))
}

fn bytes_moved(last: &Interval) -> String {
    let traffic = &last.report.traffic;
    let each_second = |number| bytes(last.rate(number) as u64);
    format!("{}/s in, {}/s out", each_second(traffic.bytes_in), each_second(traffic.bytes_out))
}

fn hit_ratio(last: &Interval) -> String {
    let (hits, reads) = reads(&last.report);
    ratio(hits, reads)
}

fn hits_and_misses(last: &Interval) -> String {
    let cache = &last.report.cache;
    let (hits, misses) = (last.rate(cache.hits), last.rate(cache.misses));
    format!("{} hits/s, {} misses/s", rate(hits), rate(misses))
}

fn p99(last: &Interval) -> String {
    time(last.report.latency.p99_us)
}

fn other_times(last: &Interval) -> String {
    let latency = &last.report.latency;
    format!("p50 {}, p99.9 {}", time(latency.p50_us), time(latency.p999_us))
}

fn keys_gone(last: &Interval) -> String {
    let cache = &last.report.cache;
    let (evicted, expired) = (last.rate(cache.evicted), last.rate(cache.expired));
    format!("{} evicted/s, {} expired/s", rate(evicted), rate(expired))
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

/// The heading above [`line()`]s.
pub(super) fn heading() -> String {
    in_columns(COLUMNS.map(|(title, _)| title.to_owned()))
}

/// An interval in one line, for files and pipes.
pub(super) fn line(last: &Interval) -> String {
    let Report { cache, traffic, latency, .. } = &last.report;
    in_columns([
        commands(last),
        rate(last.rate(cache.hits)),
        rate(last.rate(cache.misses)),
        hit_ratio(last),
        rate(last.rate(cache.evicted)),
        bytes(cache.used_bytes),
        time(latency.p50_us),
        time(latency.p99_us),
        bytes(last.rate(traffic.bytes_in) as u64),
        bytes(last.rate(traffic.bytes_out) as u64),
    ])
}

fn in_columns(cells: [String; COLUMNS.len()]) -> String {
    cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}")).collect()
}
