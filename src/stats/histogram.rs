//! A latency histogram that one thread writes without a lock and others read: 16 buckets for each doubling, as in
//! HdrHistogram (G. Tene), so a percentile is true to one part in 16 at any scale.

use super::add;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets for each doubling.
const STEPS: u64 = 16;
/// Doublings: up to 2^37 ns, over two minutes; what is longer counts there.
const BUCKETS: usize = (STEPS * 35) as usize;

/// Counts of durations in nanoseconds.
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Histogram {
    /// An empty one.
    pub const fn new() -> Self {
        Histogram { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }

    /// Counts a duration; only ever called by one thread.
    pub fn record(&self, ns: u64) {
        self.record_alike(1, ns);
    }

    /// Counts `count` durations, at least one, that are alike and are `ns` together; only ever called by the same thread.
    pub fn record_alike(&self, count: u64, ns: u64) {
        add(&self.counts[bucket(ns / count)], count);
        add(&self.sum, ns);
    }

    /// All durations together, in nanoseconds.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// Forgets everything.
    pub fn reset(&self) {
        self.counts.iter().for_each(|count| count.store(0, Relaxed));
        self.sum.store(0, Relaxed);
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let doubling = u64::from(ns.ilog2()) - 4;
    let step = (ns >> doubling) - STEPS;
    ((doubling + 1) * STEPS + step).min(BUCKETS as u64 - 1) as usize
}

/// The largest duration that counts in a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let doubling = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS + 1) << doubling) - 1
}

/// Histograms added up. As JSON it is pairs: a bucket's number and its count, where that is not 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(usize, u64)>", into = "Vec<(usize, u64)>")]
pub struct Snapshot {
    /// By bucket; empty or all of them.
    counts: Vec<u64>,
    total: u64,
}

impl From<Vec<(usize, u64)>> for Snapshot {
    fn from(pairs: Vec<(usize, u64)>) -> Self {
        let mut snapshot = Snapshot::default();
        for (bucket, count) in pairs.into_iter().filter(|&(bucket, _)| bucket < BUCKETS) {
            snapshot.add_to(bucket, count);
        }
        snapshot
    }
}

impl From<Snapshot> for Vec<(usize, u64)> {
    fn from(snapshot: Snapshot) -> Self {
        snapshot.counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect()
    }
}

impl Snapshot {
    /// The sum of histograms: exact, as each bucket is added to itself.
    pub fn of<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut counts = vec![0; BUCKETS];
        for histogram in histograms {
            for (sum, count) in counts.iter_mut().zip(&histogram.counts) {
                *sum += count.load(Relaxed);
            }
        }
        let total = counts.iter().sum();
        Snapshot { counts, total }
    }

    /// Counts a duration.
    pub fn record(&mut self, ns: u64) {
        self.add_to(bucket(ns), 1);
    }

    /// Adds another one: exact, as each bucket is added to itself.
    pub fn add(&mut self, other: &Snapshot) {
        for (bucket, count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.add_to(bucket, *count);
        }
    }

    /// What was counted since an earlier one; all of it, if counting has begun anew meanwhile.
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        let mut since = self.clone();
        for (count, before) in since.counts.iter_mut().zip(&earlier.counts) {
            let Some(more) = count.checked_sub(*before) else { return self.clone() };
            *count = more;
        }
        since.total = since.counts.iter().fold(0, |sum, count| sum.saturating_add(*count));
        since
    }

    /// A peer may send any count: what would overflow stays at the most.
    fn add_to(&mut self, bucket: usize, count: u64) {
        if self.counts.is_empty() {
            self.counts.resize(BUCKETS, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(count);
        self.total = self.total.saturating_add(count);
    }

    /// Buckets that have counted something: the longest duration in nanoseconds that counts there, and how many did.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (upper(bucket), *count))
    }

    /// Durations counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration in microseconds that `percent` of all are not longer than; 0 if there are none.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        let rank = ((percent / 100.0 * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0u64;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return upper(bucket) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// How many durations were not longer than so many microseconds, for each doubling that has some: as Redis gives
    /// it, which names a doubling by the upper end of the first of its own buckets.
    pub fn by_doubling_us(&self) -> Vec<(u64, u64)> {
        let (mut found, mut seen, mut begin) = (Vec::new(), 0, 0);
        for doubling in 0.. {
            if seen == self.total {
                break;
            }
            // The last bucket has no upper end.
            let end = bucket(1024 << doubling);
            let end = if end == BUCKETS - 1 { BUCKETS } else { end };
            let more: u64 = self.counts[begin..end].iter().sum();
            if more > 0 {
                seen += more;
                found.push((((1032 << doubling) - 1) / 1000, seen));
            }
            begin = end;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        for ns in (0..10_000).chain([1 << 20, (1 << 30) + 12345, 60_000_000_000]) {
            let bucket = bucket(ns);
            assert!(upper(bucket) >= ns, "{ns}");
            assert!(bucket == 0 || upper(bucket - 1) < ns, "{ns}");
            assert!(upper(bucket) as f64 <= ns as f64 * (1.0 + 1.0 / 16.0), "{ns}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn counts_by_doubling_are_cumulative() {
        let histogram = Histogram::new();
        for us in [0, 0, 1, 3, 3, 30, 30_000, 1 << 40] {
            histogram.record(us * 1000 + 500);
        }
        let counts = Snapshot::of([&histogram].into_iter()).by_doubling_us();
        assert_eq!(counts[..5], [(1, 2), (2, 3), (4, 5), (33, 6), (33_816, 7)]);
        assert_eq!((counts.len(), counts[5].1), (6, 8));
        assert_eq!(Snapshot::of([].into_iter()).by_doubling_us(), []);
    }

    #[test]
    fn percentiles_are_those_of_all_workers_together() {
        let (fast, slow) = (Histogram::new(), Histogram::new());
        (0..990).for_each(|_| fast.record(1_000));
        (0..10).for_each(|_| slow.record(1_000_000));
        let sum = Snapshot::of([&fast, &slow].into_iter());
        assert_eq!(sum.count(), 1000);
        assert!((sum.percentile_us(50.0) - 1.0).abs() < 0.07);
        assert!((sum.percentile_us(99.0) - 1.0).abs() < 0.07);
        assert!((sum.percentile_us(99.9) - 1000.0).abs() < 70.0);
        assert_eq!(Snapshot::of([].into_iter()).percentile_us(99.0), 0.0);
    }

    #[test]
    fn what_came_since_is_what_was_added() {
        let mut earlier = Snapshot::default();
        (0..10).for_each(|_| earlier.record(1_000_000));
        let mut later = earlier.clone();
        (0..100).for_each(|_| later.record(1_000));
        let since = later.since(&earlier);
        assert_eq!(since.count(), 100);
        assert!((since.percentile_us(99.9) - 1.0).abs() < 0.07);
        assert_eq!(later.since(&Snapshot::default()), later);
        assert_eq!(earlier.since(&later), earlier, "it was reset");
    }
}
