//! Counters, latency histograms, what took long, what the process itself uses, and the text of INFO.
//!
//! Each worker counts for itself, in atomics that only it writes, so that counting shares nothing; whoever asks adds
//! them up.

pub mod doctor;
mod events;
mod histogram;
pub mod info;
mod moment;
pub mod process;
pub mod report;
mod slowlog;
mod sparkline;

pub use events::{Event, Events, Sample, Series};
pub use histogram::{Histogram, Snapshot};
pub use moment::{Moment, WallClock};
pub use slowlog::SlowLog;
pub(crate) use slowlog::redacted;

use crate::command;
use crate::store::usage::{ByPrefix, OTHER};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Different error codes that are counted at most; further ones count as `OTHER`.
const ERROR_CODES_MAX: usize = 128;
/// Samples of the traffic, from which the rates of INFO are worked out, and how far apart they are.
const SAMPLES: usize = 16;
/// Milliseconds between samples of the traffic.
pub const SAMPLE_MS: u64 = 100;

/// Adds to a counter that only this thread writes: no locked instruction.
pub fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// What one command has cost on one worker.
#[derive(Default)]
pub struct CommandStats {
    calls: AtomicU64,
    ns: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    latency: OnceLock<Box<Histogram>>,
}

/// The counters of one worker.
pub struct WorkerStats {
    /// Bytes read from clients.
    pub net_in: AtomicU64,
    /// Bytes written to clients.
    pub net_out: AtomicU64,
    commands: AtomicU64,
    /// Whether the latency of each command is recorded.
    tracking: AtomicBool,
    by_command: Box<[CommandStats]>,
    errors: Mutex<BTreeMap<String, u64>>,
    /// Commands until one is looked at for its prefix.
    until: AtomicU32,
}

impl WorkerStats {
    /// All at zero.
    pub(crate) fn new() -> Self {
        WorkerStats {
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            tracking: AtomicBool::new(true),
            by_command: command::all().iter().map(|_| CommandStats::default()).collect(),
            errors: Mutex::default(),
            until: AtomicU32::new(1),
        }
    }

    /// Counts a command that was executed so many times, taking `ns` nanoseconds in all: each is said to have taken as
    /// long as the others. So many of them have failed.
    pub fn executed(&self, id: u16, count: u64, ns: u64, failed: u64) {
        let stats = &self.by_command[id as usize];
        add(&self.commands, count);
        add(&stats.calls, count);
        add(&stats.ns, ns);
        if failed > 0 {
            add(&stats.failed, failed);
        }
        if self.tracking.load(Relaxed) {
            stats.latency.get_or_init(|| Box::new(Histogram::new())).record_alike(count, ns);
        }
    }

    /// Counts down to the next command that is looked at for its prefix: whether it is this one. Then the worker says by
    /// [`WorkerStats::look_again`] which one follows.
    #[inline]
    pub fn is_looked_at(&self) -> bool {
        let until = self.until.load(Relaxed) - 1;
        self.until.store(until, Relaxed);
        until == 0
    }

    /// Looks again at the command that comes after so many.
    pub fn look_again(&self, after: u32) {
        self.until.store(after, Relaxed);
    }

    /// Counts a command that was refused before it ran.
    pub fn rejected(&self, id: u16) {
        add(&self.by_command[id as usize].rejected, 1);
    }

    /// Counts an error reply by its code, the first word of its text.
    pub fn error(&self, code: &str) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let known = errors.contains_key(code) || errors.len() < ERROR_CODES_MAX;
        *errors.entry(if known { code } else { "OTHER" }.to_owned()).or_default() += 1;
    }

    fn reset(&self) {
        for counter in [&self.net_in, &self.net_out, &self.commands] {
            counter.store(0, Relaxed);
        }
        for stats in &self.by_command {
            for counter in [&stats.calls, &stats.ns, &stats.rejected, &stats.failed] {
                counter.store(0, Relaxed);
            }
            if let Some(latency) = stats.latency.get() {
                latency.reset();
            }
        }
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// One command's counters, added up over the workers.
pub struct CommandTotals {
    /// `get`, `config|get`.
    pub name: &'static str,
    /// Times it ran.
    pub calls: u64,
    /// Nanoseconds it ran, in all.
    pub ns: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
    /// Times it answered an error.
    pub failed: u64,
    /// How long it took, while that was recorded.
    pub latency: Snapshot,
    /// Nanoseconds it ran, while that was recorded.
    pub latency_ns: u64,
}

/// The counters of a server.
pub struct Stats {
    workers: Vec<Arc<WorkerStats>>,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused because there were too many.
    pub rejected_connections: AtomicU64,
    samples: Mutex<VecDeque<[u64; 3]>>,
    /// How long commands took, by the prefix of their first key: those that were looked at; and those of further prefixes.
    prefixes: Mutex<(ByPrefix<Snapshot>, Snapshot)>,
}

impl Stats {
    /// Counters for so many workers.
    pub fn new(workers: usize) -> Self {
        Stats {
            workers: (0..workers).map(|_| Arc::new(WorkerStats::new())).collect(),
            connections: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            samples: Mutex::default(),
            prefixes: Mutex::default(),
        }
    }

    /// The counters of one worker.
    pub fn worker(&self, index: usize) -> Arc<WorkerStats> {
        self.workers[index].clone()
    }

    /// Whether the latency of each command is to be recorded (`latency-tracking`).
    pub fn set_tracking(&self, on: bool) {
        self.workers.iter().for_each(|worker| worker.tracking.store(on, Relaxed));
    }

    /// Commands executed, bytes read, bytes written.
    pub fn traffic(&self) -> [u64; 3] {
        let sum = |counter: fn(&WorkerStats) -> &AtomicU64| {
            self.workers.iter().map(|worker| counter(worker).load(Relaxed)).sum()
        };
        [sum(|w| &w.commands), sum(|w| &w.net_in), sum(|w| &w.net_out)]
    }

    /// Takes a sample of the traffic; called every [`SAMPLE_MS`].
    pub fn sample(&self) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
        samples.push_back(self.traffic());
    }

    /// Commands, bytes read and bytes written a second, over the last samples.
    pub fn rates(&self) -> [u64; 3] {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else { return [0; 3] };
        let ms = (samples.len() as u64 - 1) * SAMPLE_MS;
        std::array::from_fn(|i| {
            (last[i].saturating_sub(first[i]) * 1000).checked_div(ms).unwrap_or(0)
        })
    }

    /// Counts how long a command took for the prefix of its key.
    #[cold]
    pub fn note_prefix(&self, prefix: &[u8], ns: u64) {
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, other) = &mut *prefixes;
        known.find(prefix, Snapshot::count, |took| other.add(&took)).record(ns);
    }

    /// Begins anew to count commands up to one that is looked at for its prefix.
    pub fn rearm(&self) {
        self.workers.iter().for_each(|worker| worker.look_again(1));
    }

    /// How long commands took by the prefix of their key.
    pub fn prefixes(&self) -> Vec<(Vec<u8>, Snapshot)> {
        let prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = prefixes.0.iter().map(|(prefix, took)| (prefix.to_vec(), took.clone()));
        let other = (prefixes.1.count() > 0).then(|| (OTHER.to_vec(), prefixes.1.clone()));
        known.chain(other).collect()
    }

    /// How long commands took, all together.
    pub fn latency(&self) -> Snapshot {
        let all = self.workers.iter().flat_map(|worker| &worker.by_command);
        Snapshot::of(all.filter_map(|stats| stats.latency.get()).map(Box::as_ref))
    }

    /// The commands that were called or refused.
    pub fn commands(&self) -> Vec<CommandTotals> {
        let all = command::all().iter().map(|found| {
            let each = || self.workers.iter().map(|worker| &worker.by_command[found.id as usize]);
            let sum = |counter: fn(&CommandStats) -> &AtomicU64| {
                each().map(|stats| counter(stats).load(Relaxed)).sum()
            };
            let histograms = || each().filter_map(|s| s.latency.get()).map(Box::as_ref);
            CommandTotals {
                name: found.full_name,
                calls: sum(|s| &s.calls),
                ns: sum(|s| &s.ns),
                rejected: sum(|s| &s.rejected),
                failed: sum(|s| &s.failed),
                latency: Snapshot::of(histograms()),
                latency_ns: histograms().map(Histogram::sum).sum(),
            }
        });
        all.filter(|totals| totals.calls + totals.rejected > 0).collect()
    }

    /// Error replies by code.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for worker in &self.workers {
            let errors = worker.errors.lock().unwrap_or_else(PoisonError::into_inner);
            for (code, count) in errors.iter() {
                *sum.entry(code.clone()).or_default() += count;
            }
        }
        sum
    }

    /// Sets everything to zero (`CONFIG RESETSTAT`).
    pub fn reset(&self) {
        self.workers.iter().for_each(|worker| worker.reset());
        self.connections.store(0, Relaxed);
        self.rejected_connections.store(0, Relaxed);
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.prefixes.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }
}
