//! Adds the reports of nodes to a coordinator's own. A peer may send any number: what would overflow stays at the most.

use super::keys::{KEYS_MAX, ratio};
use super::{Ages, BigKey, Cache, Curve, HotKey, Latency, NodeReport, Prefixes, Report};
use std::collections::BTreeMap;

impl Report {
    /// The report of a cluster: the coordinator's own one, with each of its nodes: the address, whether it answers, and what
    /// it tells. What clients see stays the coordinator's: its connections, its commands and how long these took.
    pub fn of_cluster(mut own: Report, nodes: Vec<(String, bool, Option<Report>)>) -> Self {
        for (addr, up, report) in nodes {
            let Some(report) = report else {
                own.nodes.push(NodeReport { addr, up, ..NodeReport::default() });
                continue;
            };
            own.cache.add(&report.cache);
            own.prefixes.merge(report.prefixes);
            own.ages.add(&report.ages);
            own.curve.add(&report.curve);
            let named = |key: HotKey| HotKey { node: addr.clone(), ..key };
            own.hot_keys.extend(report.hot_keys.into_iter().map(named));
            let named = |key: BigKey| BigKey { node: addr.clone(), ..key };
            own.big_keys.extend(report.big_keys.into_iter().map(named));
            own.nodes.push(NodeReport {
                addr,
                up,
                cache: report.cache,
                commands_per_s: report.traffic.commands_per_s,
                latency: report.latency,
                uptime_s: report.server.uptime_s,
            });
        }
        own.prefixes.bound();
        own.hot_keys.sort_by_key(|key| std::cmp::Reverse(key.uses));
        own.hot_keys.truncate(KEYS_MAX);
        for key in &mut own.hot_keys {
            key.share = ratio(key.uses as f64, own.cache.recent_uses as f64);
        }
        own.big_keys.sort_by_key(|key| std::cmp::Reverse(key.bytes));
        own.big_keys.truncate(KEYS_MAX);
        own
    }
}

impl Prefixes {
    /// Adds those of another node.
    fn merge(&mut self, other: Prefixes) {
        let first = self.list.is_empty() && self.sampled == 0;
        self.exact = other.exact && (self.exact || first);
        // Nodes may be told apart; the coarsest is what can be relied on.
        self.sampled = self.sampled.max(other.sampled);
        other.list.into_iter().for_each(|report| self.add(report));
    }
}

impl Ages {
    fn add(&mut self, other: &Ages) {
        let mut buckets: BTreeMap<u64, u64> = self.buckets.iter().copied().collect();
        for (age, count) in &other.buckets {
            let sum = buckets.entry(*age).or_default();
            *sum = sum.saturating_add(*count);
        }
        let sum_s = self.sum_s.saturating_add(other.sum_s);
        *self = Ages::new(buckets.into_iter().collect(), sum_s);
    }
}

impl Curve {
    /// Adds that of another node: each memory so many times as large.
    fn add(&mut self, other: &Curve) {
        self.reads += other.reads;
        self.tracked = self.tracked.saturating_add(other.tracked);
        for point in &other.points {
            match self.points.iter_mut().find(|known| known.times == point.times) {
                Some(known) => {
                    known.bytes = known.bytes.saturating_add(point.bytes);
                    known.hits += point.hits;
                }
                None => self.points.push(point.clone()),
            }
        }
        for point in &mut self.points {
            point.hit_ratio = ratio(point.hits, self.reads);
        }
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
            keys: self.keys.saturating_add(other.keys),
            expires: self.expires.saturating_add(other.expires),
            used_bytes: self.used_bytes.saturating_add(other.used_bytes),
            max_bytes: self.max_bytes.saturating_add(other.max_bytes),
            policy,
            hits: self.hits.saturating_add(other.hits),
            misses: self.misses.saturating_add(other.misses),
            evicted: self.evicted.saturating_add(other.evicted),
            expired: self.expired.saturating_add(other.expired),
            recent_uses: self.recent_uses.saturating_add(other.recent_uses),
        };
    }
}

impl Latency {
    /// Adds another one: the sum of the histograms is exact, the percentiles follow from it.
    pub fn add(&mut self, other: &Latency) {
        self.histogram.add(&other.histogram);
        self.sum_us += other.sum_us;
        self.work_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_peers_overflow_nothing() {
        let most = u64::MAX;
        let text = format!(
            r#"{{"cache": {{"keys": {most}, "expires": {most}, "used_bytes": {most}, "max_bytes": {most},
                 "hits": {most}, "misses": {most}, "evicted": {most}, "expired": {most}, "recent_uses": {most}}},
                "latency": {{"histogram": [[3, {most}], [3, {most}], [559, {most}]]}},
                "prefixes": {{"list": [{{"prefix": "a", "keys": {most}, "bytes": {most}, "hits": {most},
                    "misses": {most}, "writes": {most}, "evicted": {most},
                    "latency": {{"histogram": [[3, {most}], [9, {most}]]}}}}]}},
                "ages": {{"sum_s": {most}, "buckets": [[1, {most}], [7, {most}]]}},
                "curve": {{"tracked": {most}, "points": [{{"times": 1.0, "bytes": {most}}}]}}}}"#
        );
        let node = || Some(serde_json::from_str::<Report>(&text).unwrap());
        let nodes = vec![("a:1".to_owned(), true, node()), ("b:1".to_owned(), true, node())];
        let sum = Report::of_cluster(Report::default(), nodes);
        assert_eq!((sum.cache.keys, sum.cache.recent_uses, sum.ages.sum_s), (most, most, most));
        assert_eq!((sum.ages.count, sum.ages.p10_s, sum.curve.points[0].bytes), (most, 1, most));
        let prefix = &sum.prefixes.list[0];
        assert_eq!(
            (prefix.keys, prefix.hits, prefix.latency.histogram.count()),
            (most, most, most)
        );
        let histogram = &sum.nodes[0].latency.histogram;
        assert_eq!(histogram.since(histogram).count(), 0);
        assert_eq!(histogram.since(&Default::default()).count(), most);
    }
}
