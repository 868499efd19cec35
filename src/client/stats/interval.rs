//! What happened between two reports.

use crate::stats::report::{Cache, CommandReport, Latency, NodeReport, PrefixReport, Report};

/// The time between two reports.
pub(super) struct Interval {
    /// The later report, with what was counted meanwhile instead of all that ever was.
    pub(super) report: Report,
    /// How long it was.
    pub(super) seconds: f64,
}

impl Interval {
    /// Of two reports of the same server; none if it was started anew meanwhile.
    pub(super) fn between(later: &Report, earlier: &Report, seconds: f64) -> Option<Interval> {
        let same = later.server.run_id == earlier.server.run_id;
        (same && seconds > 0.0)
            .then(|| Interval { report: since(later, earlier, seconds), seconds })
    }

    /// So many in this time, a second.
    pub(super) fn rate(&self, number: u64) -> f64 {
        number as f64 / self.seconds
    }
}

/// How far a counter has come; all of it, if it was reset.
fn grown(later: u64, earlier: u64) -> u64 {
    later.checked_sub(earlier).unwrap_or(later)
}

fn since(later: &Report, earlier: &Report, seconds: f64) -> Report {
    let mut since = later.clone();
    let (new, old) = (&mut since.traffic, &earlier.traffic);
    new.connections = grown(new.connections, old.connections);
    new.connections_rejected = grown(new.connections_rejected, old.connections_rejected);
    new.commands = grown(new.commands, old.commands);
    new.commands_per_s = (new.commands as f64 / seconds) as u64;
    new.bytes_in = grown(new.bytes_in, old.bytes_in);
    new.bytes_out = grown(new.bytes_out, old.bytes_out);
    since.latency.forget(&earlier.latency);
    for command in &mut since.commands {
        if let Some(old) = earlier.commands.iter().find(|old| old.name == command.name) {
            command.forget(old);
        }
    }
    since.commands.retain(|command| command.calls + command.rejected > 0);
    for (code, count) in &mut since.errors {
        *count = grown(*count, earlier.errors.get(code).copied().unwrap_or(0));
    }
    since.errors.retain(|_, count| *count > 0);
    for prefix in &mut since.prefixes.list {
        // There is room for so many: when one that enters counted what it did, nobody knows.
        let known = earlier.prefixes.list.iter().find(|old| old.prefix == prefix.prefix).cloned();
        prefix.forget(&known.unwrap_or_else(|| prefix.clone()));
    }
    since.cache.forget(&earlier.cache);
    if since.nodes.is_empty() {
        return since;
    }
    // The sum over the nodes falls and jumps when one goes and comes: it is what each of them counted that counts.
    (since.cache.hits, since.cache.misses) = (0, 0);
    (since.cache.evicted, since.cache.expired) = (0, 0);
    for node in &mut since.nodes {
        // Its commands a second stay those that it tells: its histogram is empty with `latency-tracking no`.
        // When a node that was away counted what it did, nobody knows: not now.
        let known = earlier.nodes.iter().find(|old| old.addr == node.addr && old.up).cloned();
        node.forget(&known.unwrap_or_else(|| node.clone()));
        since.cache.hits = since.cache.hits.saturating_add(node.cache.hits);
        since.cache.misses = since.cache.misses.saturating_add(node.cache.misses);
        since.cache.evicted = since.cache.evicted.saturating_add(node.cache.evicted);
        since.cache.expired = since.cache.expired.saturating_add(node.cache.expired);
    }
    since
}

/// Takes off what had been counted before.
trait Forget {
    fn forget(&mut self, earlier: &Self);
}

impl Forget for Cache {
    fn forget(&mut self, earlier: &Cache) {
        self.hits = grown(self.hits, earlier.hits);
        self.misses = grown(self.misses, earlier.misses);
        self.evicted = grown(self.evicted, earlier.evicted);
        self.expired = grown(self.expired, earlier.expired);
    }
}

impl Forget for Latency {
    fn forget(&mut self, earlier: &Latency) {
        let sum_us = self.sum_us - earlier.sum_us;
        let sum_us = if sum_us < 0.0 { self.sum_us } else { sum_us };
        *self = Latency { sum_us, ..Latency::new(self.histogram.since(&earlier.histogram), 0) };
    }
}

impl Forget for CommandReport {
    fn forget(&mut self, earlier: &CommandReport) {
        self.calls = grown(self.calls, earlier.calls);
        self.rejected = grown(self.rejected, earlier.rejected);
        self.failed = grown(self.failed, earlier.failed);
        self.latency.forget(&earlier.latency);
    }
}

impl Forget for PrefixReport {
    fn forget(&mut self, earlier: &PrefixReport) {
        self.hits = grown(self.hits, earlier.hits);
        self.misses = grown(self.misses, earlier.misses);
        self.writes = grown(self.writes, earlier.writes);
        self.evicted = grown(self.evicted, earlier.evicted);
        self.latency.forget(&earlier.latency);
    }
}

impl Forget for NodeReport {
    fn forget(&mut self, earlier: &NodeReport) {
        self.cache.forget(&earlier.cache);
        self.latency.forget(&earlier.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(addr: &str, up: bool, hits: u64) -> NodeReport {
        let mut node = NodeReport { addr: addr.to_owned(), up, ..NodeReport::default() };
        node.cache.hits = hits;
        node
    }

    fn report(commands: u64, nodes: Vec<NodeReport>) -> Report {
        let mut report = Report { nodes, ..Report::default() };
        report.traffic.commands = commands;
        report.cache.hits = report.nodes.iter().map(|node| node.cache.hits).sum();
        report
    }

    #[test]
    fn counters_are_what_was_counted_meanwhile() {
        let mut earlier = report(100, vec![]);
        earlier.errors.insert("ERR".to_owned(), 3);
        earlier.errors.insert("OOM".to_owned(), 3);
        earlier.cache.hits = 50;
        earlier.cache.keys = 5;
        let get = CommandReport { name: "get".to_owned(), calls: 10, ..CommandReport::default() };
        earlier.commands =
            vec![get.clone(), CommandReport { name: "set".to_owned(), ..get.clone() }];
        let mut later = earlier.clone();
        later.traffic.commands = 150;
        later.errors.insert("ERR".to_owned(), 5);
        later.cache.hits = 60;
        later.cache.keys = 4;
        later.commands[0].calls = 17;
        let interval = Interval::between(&later, &earlier, 2.0).unwrap();
        let since = &interval.report;
        assert_eq!((since.traffic.commands, since.traffic.commands_per_s), (50, 25));
        assert_eq!((since.cache.hits, since.cache.keys), (10, 4), "keys are no counter");
        assert_eq!(since.errors.iter().collect::<Vec<_>>(), [(&"ERR".to_owned(), &2)]);
        assert_eq!(
            since.commands,
            [CommandReport { calls: 7, ..get }],
            "what was not called is left out"
        );
        assert_eq!(interval.rate(since.cache.hits), 5.0);
        assert!(Interval::between(&later, &earlier, 0.0).is_none());
    }

    #[test]
    fn a_reset_and_a_restart_are_no_negative_numbers() {
        let (earlier, mut later) = (report(100, vec![]), report(7, vec![]));
        assert_eq!(Interval::between(&later, &earlier, 1.0).unwrap().report.traffic.commands, 7);
        later.server.run_id = "another".to_owned();
        assert!(Interval::between(&later, &earlier, 1.0).is_none());
    }

    #[test]
    fn nodes_that_come_and_go_make_no_jumps() {
        let earlier =
            report(0, vec![node("a", true, 100), node("b", true, 900), node("c", false, 0)]);
        let mut later =
            report(0, vec![node("a", true, 130), node("b", false, 0), node("c", true, 5000)]);
        later.nodes[0].commands_per_s = 15;
        let since = Interval::between(&later, &earlier, 2.0).unwrap().report;
        assert_eq!(since.cache.hits, 30);
        assert_eq!(since.nodes[0].commands_per_s, 15, "also of a node that has no histogram");
        assert_eq!(since.nodes[2].cache.hits, 0);
    }

    #[test]
    fn what_a_prefix_did_before_it_was_listed_is_not_of_now() {
        let prefix = |prefix: &str, hits| PrefixReport {
            prefix: prefix.to_owned(),
            keys: 7,
            hits,
            ..PrefixReport::default()
        };
        let (mut earlier, mut later) = (report(0, vec![]), report(0, vec![]));
        earlier.prefixes.list = vec![prefix("a", 10)];
        later.prefixes.list = vec![prefix("a", 15), prefix("b", 1_000_000)];
        let since = Interval::between(&later, &earlier, 1.0).unwrap().report;
        assert_eq!(since.prefixes.list, [prefix("a", 5), prefix("b", 0)]);
    }
}
