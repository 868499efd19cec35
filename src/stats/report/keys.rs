//! The part of a node's report that is about its keys: what their uses tell, and what a census finds.

use super::{
    Ages, BigKey, Curve, CurvePoint, Form, HotKey, Latency, PrefixReport, Prefixes, Report,
};
use crate::server::Server;
use crate::store::usage::{CURVE_TIMES, OTHER, PrefixUse};
use crate::store::{self, Policy, Store};
use std::collections::HashMap;
use std::fmt::Write;

/// Prefixes that are told of: those with most memory, and as many of those that are used most.
const PREFIXES_MAX: usize = 64;
/// Hot and big keys that are told of.
pub(super) const KEYS_MAX: usize = 16;
/// Bytes of a key that are shown.
const KEY_BYTES_MAX: usize = 128;

impl Report {
    /// Adds what a node knows of its keys.
    pub(super) fn add_keys(
        &mut self,
        server: &Server,
        form: &Form,
        store: &Store,
        ages: &store::Ages,
    ) {
        self.ages = Ages::new(ages.buckets().collect(), ages.sum);
        let limit = store.budget.limit();
        self.curve = curve(store, if limit > 0 { limit } else { store.budget.used() as u64 });
        let (hot, uses) = store.usage.hot_keys();
        self.cache.recent_uses = uses;
        let hot = hot.into_iter().take(KEYS_MAX).map(|hot| HotKey {
            key: shown(&hot.key),
            uses: hot.uses,
            share: hot.share,
            ..HotKey::default()
        });
        self.hot_keys = hot.collect();
        if !form.wants(&["prefixes", "big-keys"]) {
            return;
        }
        let census = store.census(server.now_us() / 1000);
        let big = census.biggest.iter().take(KEYS_MAX).map(|big| BigKey {
            key: shown(&big.key),
            db: big.db,
            bytes: big.bytes,
            ..BigKey::default()
        });
        self.big_keys = big.collect();

        let mut prefixes: HashMap<Vec<u8>, PrefixReport> = HashMap::new();
        let sizes = census.prefixes.into_iter().chain([(OTHER.to_vec(), census.other)]);
        for (prefix, (keys, bytes)) in sizes.filter(|(_, (keys, _))| *keys > 0.0) {
            let report = prefixes.entry(prefix).or_default();
            (report.keys, report.bytes) = (keys.round() as u64, bytes.round() as u64);
        }
        for (prefix, PrefixUse { hits, misses, writes, evicted }) in store.usage.prefixes() {
            let report = prefixes.entry(prefix).or_default();
            (report.hits, report.misses) = (hits, misses);
            (report.writes, report.evicted) = (writes, evicted);
        }
        for (prefix, histogram) in server.stats.prefixes() {
            prefixes.entry(prefix).or_default().latency = Latency::new(histogram, 0);
        }
        let sampled = u64::from(store.usage.sampled());
        let list = prefixes
            .into_iter()
            .map(|(prefix, report)| PrefixReport { prefix: shown(&prefix), ..report })
            .collect();
        self.prefixes = Prefixes { sampled, exact: census.exact, list };
        self.prefixes.bound();
    }
}

impl Prefixes {
    /// Puts the prefixes into order, and adds up those that are too many.
    pub(super) fn bound(&mut self) {
        let uses = |p: &PrefixReport| p.hits.saturating_add(p.misses).saturating_add(p.writes);
        self.list.sort_by(|a, b| uses(b).cmp(&uses(a)).then_with(|| a.prefix.cmp(&b.prefix)));
        let rest = self.list.split_off(self.list.len().min(PREFIXES_MAX));
        let mut rest = Prefixes { list: rest, ..Prefixes::default() };
        rest.list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.prefix.cmp(&b.prefix)));
        let last = rest.list.split_off(rest.list.len().min(PREFIXES_MAX));
        self.list.append(&mut rest.list);
        last.into_iter()
            .for_each(|report| self.add(PrefixReport { prefix: shown(OTHER), ..report }));
        self.list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.prefix.cmp(&b.prefix)));
    }

    /// Adds a report to that of the same prefix.
    pub(super) fn add(&mut self, other: PrefixReport) {
        let Some(known) = self.list.iter_mut().find(|known| known.prefix == other.prefix) else {
            return self.list.push(other);
        };
        known.keys = known.keys.saturating_add(other.keys);
        known.bytes = known.bytes.saturating_add(other.bytes);
        known.hits = known.hits.saturating_add(other.hits);
        known.misses = known.misses.saturating_add(other.misses);
        known.writes = known.writes.saturating_add(other.writes);
        known.evicted = known.evicted.saturating_add(other.evicted);
        known.latency.add(&other.latency);
    }
}

impl Ages {
    /// From keys by the longest age of their bucket, in its order, and the sum of the ages.
    pub(super) fn new(buckets: Vec<(u64, u64)>, sum_s: u64) -> Self {
        let count = buckets.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
        let at = |percent: u128| {
            let (rank, mut seen) = ((u128::from(count) * percent).div_ceil(100), 0);
            let mut upto = buckets.iter().filter(|(_, count)| {
                seen += u128::from(*count);
                seen >= rank
            });
            upto.next().map_or(0, |(age, _)| *age)
        };
        let (p10_s, p50_s, p90_s) = (at(10), at(50), at(90));
        Ages { count, p10_s, p50_s, p90_s, sum_s, buckets }
    }
}

fn curve(store: &Store, memory: u64) -> Curve {
    let as_now = store.budget.policy() == Policy::AllkeysLru;
    let curve = store.usage.curve(memory, as_now);
    let points = curve.points.into_iter().zip(CURVE_TIMES).map(|((bytes, hits), times)| {
        CurvePoint { times, bytes, hits, hit_ratio: ratio(hits, curve.reads) }
    });
    Curve { reads: curve.reads, tracked: curve.tracked as u64, points: points.collect() }
}

/// A part of a whole; 0 of nothing.
pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// A key as text: what is neither text nor printable as `\xff`.
fn shown(key: &[u8]) -> String {
    let mut out = String::new();
    let escape = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a string cannot fail.
            let written = write!(out, "\\x{byte:02x}");
            debug_assert!(written.is_ok());
        }
    };
    for chunk in key[..key.len().min(KEY_BYTES_MAX)].utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if c.is_control() => escape(&mut out, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.push(c),
            }
        }
        escape(&mut out, chunk.invalid());
    }
    if key.len() > KEY_BYTES_MAX {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_text() {
        assert_eq!(shown("gr\u{fc}n:\u{2713}\\".as_bytes()), "gr\u{fc}n:\u{2713}\\\\");
        assert_eq!(shown(b"a\xff\n\0b"), "a\\xff\\x0a\\x00b");
        assert_eq!(shown(&[b'x'; 129]), format!("{}…", "x".repeat(128)));
    }

    #[test]
    fn many_prefixes_are_bounded_and_nothing_is_lost() {
        let list = (0..1000u64).map(|number| PrefixReport {
            prefix: number.to_string(),
            keys: 1,
            bytes: number,
            hits: 1000 - number,
            ..PrefixReport::default()
        });
        let mut prefixes = Prefixes { list: list.collect(), ..Prefixes::default() };
        prefixes.bound();
        assert_eq!(prefixes.list.len(), 2 * PREFIXES_MAX + 1);
        let has = |name: &str| prefixes.list.iter().any(|report| report.prefix == name);
        assert!(has("0") && has("999") && has("(other)") && !has("500"));
        for _ in 0..2 {
            let sum = |of: fn(&PrefixReport) -> u64| prefixes.list.iter().map(of).sum::<u64>();
            let sums = (sum(|p| p.keys), sum(|p| p.bytes), sum(|p| p.hits));
            assert_eq!(sums, (1000, 499_500, 500_500));
            prefixes.bound();
        }
    }

    #[test]
    fn ages_have_percentiles() {
        let ages = Ages::new(vec![(1, 10), (7, 40), (100, 45), (200, 5)], 9);
        assert_eq!((ages.count, ages.p10_s, ages.p50_s, ages.p90_s), (100, 1, 7, 100));
        assert_eq!(Ages::new(Vec::new(), 0), Ages::default());
    }
}
