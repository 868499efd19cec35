//! Pages and tables of a report that has everything in it, and of some that have little.

use std::time::{Duration, Instant};

use super::super::paint::{Line, Look};
use super::live::{self, Live};
use super::*;
use crate::stats::report::{BigKey, HotKey, NodeReport, PrefixReport, Report};

fn sample() -> Report {
    serde_json::from_str(include_str!("sample.json")).unwrap()
}

fn node() -> Report {
    let mut report = sample();
    report.nodes.clear();
    report.server.role = "node".to_owned();
    report
}

/// As it is printed without colours.
fn text(lines: Vec<Line>, width: usize) -> String {
    paint::text(lines, Look { width, colour: false })
}

fn page(report: &Report, by: Option<By>, width: usize) -> String {
    text(view::whole(report, by, width), width)
}

#[test]
fn all_of_a_cluster_at_a_glance() {
    let expected = r"coordinator 127.0.0.1:6379, version 0.1.0, up 2 h 5 min, 51 clients
1 of 3 nodes is DOWN: 127.0.0.1:5002

hit ratio      0.872  ████████████████████▉░░░  6.58M hits, 967k misses
memory         403MB  ██████████████████▉░░░░░  79% of 512MB, allkeys-lru
keys         666,534  81,000 of them expire
ops/s         45,012  p50 147µs, p99 410µs, p99.9 1.1ms
evicted        8,227  2,301 expired
errors            19  WRONGTYPE 17, ERR 2

node            state   hit ratio  memory    keys   ops/s     p99  evicted
127.0.0.1:5000  up 2 h      0.872   201MB    333k  22,500   3.3µs    4,115
127.0.0.1:5001  up 2 d      0.872   202MB    333k  22,480   3.6µs    4,112
127.0.0.1:5002  DOWN            -       -       -       -       -        -
total           2/3 up      0.872   403MB    667k  44,980   0.2µs    8,227

Evicted keys had not been used for 12 min (median; p10 40 s, p90 2 h 5 min).

with other memory the hit ratio would be
0.5x           0.782  ██████████████████▊░░░░░  256MB
1x             0.872  ████████████████████▉░░░  512MB, as now
2x             0.928  ██████████████████████▎░  1GB
4x             0.941  ██████████████████████▋░  2GB

hot key                                            share    uses  node
config:flags                                        7.2%    123k  127.0.0.1:5000
session:eyJhbGciOiJIUzI1NiIsInR5…yP4J3jVmNHl0w5N    1.4%  23,456  127.0.0.1:5001
\xde\xad\xbe\xef                                    0.1%     999  127.0.0.1:5000

big key           memory      db  node
page:/index.html   5.3MB       0  127.0.0.1:5001
export:2026-11     900KB       3  127.0.0.1:5000
";
    assert_eq!(page(&sample(), None, 80), expected);
}

#[test]
fn by_prefix() {
    let expected = r"coordinator 127.0.0.1:6379, version 0.1.0, up 2 h 5 min, 51 clients
1 of 3 nodes is DOWN: 127.0.0.1:5002

prefix          keys  memory   share  hit ratio  misses  writes  evicted     p99
session         301k   230MB     57%      0.900    500k    900k    6,123   9.9µs
user            200k   120MB     30%      0.909    200k    300k    2,001   8.8µs
a-servic…nts    150k    50MB     12%      0.231    266k  34,567      103    19µs
\xff\x00bin       12   2.3KB    0.0%      1.000       0      12        0   0.9µs
(none)             1     64B    0.0%          -       0       1        0       -

keys and memory are estimated from a sample; one use in 8 was looked at
";
    assert_eq!(page(&sample(), Some(By::Prefix), 80), expected);
    let mut exact = sample();
    (exact.prefixes.exact, exact.prefixes.sampled) = (true, 1);
    assert!(page(&exact, Some(By::Prefix), 80).ends_with("      -\n"), "nothing to remark");
    let wide = page(&sample(), Some(By::Prefix), 200);
    assert!(wide.contains("\na-service-with-a-rather-long-name.page-fragments    150k "), "{wide}");
}

#[test]
fn by_command() {
    let expected = r"coordinator 127.0.0.1:6379, version 0.1.0, up 2 h 5 min, 51 clients
1 of 3 nodes is DOWN: 127.0.0.1:5002

command      calls    time     p50     p99   p99.9  failed  rejected
get          7.55M     81%   147µs   410µs   1.1ms      17         2
set          1.23M     19%   150µs   520µs   1.9ms       0         0
config get       1    0.0%    32µs    32µs    32µs       0         0
";
    assert_eq!(page(&sample(), Some(By::Command), 80), expected);
}

#[test]
fn narrow_terminals_get_less() {
    let expected = r"coordinator 127.0.0.1:6379, version 0.1…
1 of 3 nodes is DOWN: 127.0.0.1:5002

hit ratio      0.872  ██████████▌░  6.5…
memory         403MB  █████████▌░░  79%…
keys         666,534  81,000 of them ex…
ops/s         45,012  p50 147µs, p99 41…
evicted        8,227  2,301 expired
errors            19  WRONGTYPE 17, ERR…

node            state   hit ratio
127.0.0.1:5000  up 2 h      0.872
127.0.0.1:5001  up 2 d      0.872
127.0.0.1:5002  DOWN            -
total           2/3 up      0.872

Evicted keys had not been used for 12
min (median; p10 40 s, p90 2 h 5 min).

with other memory the hit ratio would be
0.5x           0.782  █████████▍░░  256…
1x             0.872  ██████████▌░  512…
2x             0.928  ███████████▏  1GB
4x             0.941  ███████████▎  2GB

hot key                    share    uses
config:flags                7.2%    123k
session:eyJhbGci…NHl0w5N    1.4%  23,456
\xde\xad\xbe\xef            0.1%     999

big key           memory      db
page:/index.html   5.3MB       0
export:2026-11     900KB       3
";
    assert_eq!(page(&sample(), None, 40), expected);
    for width in [0, 1, 10, 20, 33] {
        for by in [None, Some(By::Prefix), Some(By::Command)] {
            for line in page(&sample(), by, width).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
}

#[test]
fn what_is_not_there_is_not_shown() {
    let expected = r" , version , up 0 s, 0 clients

hit ratio          -  no key was read yet
memory            0B  no limit
keys               0
ops/s              0
evicted            0  0 expired
";
    assert_eq!(page(&Report::default(), None, 80), expected);
    assert!(
        page(&Report::default(), Some(By::Prefix), 80).contains("Nothing is known by key prefix")
    );
    assert!(page(&Report::default(), Some(By::Command), 80).ends_with("No command was called.\n"));
    let node = page(&node(), None, 80);
    assert!(!node.contains("total") && !node.contains("DOWN"), "{node}");
}

#[test]
fn keys_that_are_evicted_at_once() {
    let mut report = sample();
    (report.ages.p10_s, report.ages.p50_s, report.ages.p90_s) = (0, 0, 2);
    let text = page(&report, None, 100);
    let expected = "Evicted keys had not been used for less than a second (median; p10 less than a second, p90 2 s).\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn keys_cannot_control_the_terminal() {
    let mut report = Report::default();
    let key = "\x1b[2J\u{9b}2J\n日本語".repeat(20);
    report.hot_keys =
        vec![HotKey { key: key.clone(), node: "\x07".to_owned(), ..HotKey::default() }];
    report.big_keys = vec![BigKey { key: key.clone(), ..BigKey::default() }];
    report.prefixes.list = vec![PrefixReport { prefix: key.clone(), ..PrefixReport::default() }];
    report.nodes = vec![NodeReport { addr: key.clone(), ..NodeReport::default() }];
    report.errors.insert(key, 1);
    report.server.addr = "\x1b]0;title\x07".to_owned();
    for by in [None, Some(By::Prefix)] {
        let text = page(&report, by, 80);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains('日') && text.contains('…'), "{text}");
    }
}

#[test]
fn big_numbers_fit() {
    let mut report = sample();
    report.cache.hits = u64::MAX;
    report.cache.misses = u64::MAX;
    report.cache.keys = 12_345_678_901;
    report.traffic.clients = 1_000_000;
    report.traffic.commands_per_s = u64::MAX;
    for node in &mut report.nodes {
        node.cache = report.cache.clone();
        node.commands_per_s = u64::MAX;
        node.uptime_s = 59 * 60;
    }
    for prefix in &mut report.prefixes.list {
        (prefix.keys, prefix.bytes) = (999_999, 999 << 20);
        (prefix.hits, prefix.misses) = (u64::MAX, 1_234_567);
        (prefix.writes, prefix.evicted) = (u64::MAX, 123_456_789);
        prefix.latency.p99_us = 99_900.0;
    }
    let text = page(&report, None, 80);
    assert!(text.contains("keys           12.3G  81,000 of them expire\n"), "{text}");
    assert!(text.contains("18.4E hits, 18.4E misses\n"), "{text}");
    let text = page(&report, Some(By::Prefix), 80);
    assert!(text.contains("p99\n") && text.contains("99.9ms\n"), "all columns at 80: {text}");
}

#[test]
fn colours_only_add() {
    let lines = view::whole(&sample(), None, 80);
    let plain = paint::text(lines.clone(), Look { width: 80, colour: false });
    let coloured = paint::text(lines, Look { width: 80, colour: true });
    assert!(
        coloured.contains("\x1b[1;31m1 of 3 nodes is DOWN: 127.0.0.1:5002\x1b[0m"),
        "{coloured}"
    );
    let mut stripped = coloured;
    for code in ["\x1b[1m", "\x1b[90m", "\x1b[36m", "\x1b[1;31m", "\x1b[0m"] {
        stripped = stripped.replace(code, "");
    }
    let trimmed: String = stripped.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert_eq!(trimmed, plain);
}

/// A second later.
fn later() -> Report {
    let mut report = sample();
    report.server.uptime_s += 1;
    report.traffic.commands += 20_000;
    report.traffic.bytes_in += 2 << 20;
    report.traffic.bytes_out += 6 << 20;
    (0..20_000).for_each(|_| report.latency.histogram.record(150_000));
    for node in report.nodes.iter_mut().filter(|node| node.up) {
        node.cache.hits += 6_000;
        node.cache.misses += 2_000;
        node.cache.evicted += 25;
        node.commands_per_s = 5_000;
        (0..10_000).for_each(|_| node.latency.histogram.record(1000));
    }
    report.commands[0].calls += 20_000;
    report.commands[0].latency.sum_us += 3e6;
    (0..20_000).for_each(|_| report.commands[0].latency.histogram.record(150_000));
    report.prefixes.list[1].hits += 9;
    report.prefixes.list[1].misses += 1;
    report
}

#[test]
fn a_live_page_shows_what_happened_meanwhile() {
    let start = Instant::now();
    let mut live = Live::new(sample(), start, Duration::from_secs(2));
    let first = text(live.page(None, 80), 80);
    assert!(first.contains("every 2 s; q leaves\n"), "{first}");
    assert!(first.contains("ops/s              -"), "{first}");
    live.take(start + Duration::from_secs(2), Ok(later()));
    let page = text(live.page(None, 80), 80);
    let (gauges, tables) = page.split_at(page.find("\n\nEvicted keys").unwrap());
    let expected = r"coordinator 127.0.0.1:6379, version 0.1.0, up 2 h 5 min, 51 clients
1 of 3 nodes is DOWN: 127.0.0.1:5002
every 2 s; q leaves

ops/s         10,000                         █  1MB/s in, 3MB/s out
hit ratio      0.750                         ▄  6,000 hits/s, 2,000 misses/s
p99            156µs                         █  p50 156µs, p99.9 156µs
memory         403MB                        ▇▇  79% of 512MB, allkeys-lru
keys         666,534  25 evicted/s, 0 expired/s

node            state   hit ratio  memory    keys   ops/s     p99  evicted
127.0.0.1:5000  up 2 h      0.750   201MB    333k   5,000   1.0µs       25
127.0.0.1:5001  up 2 d      0.750   202MB    333k   5,000   1.0µs       25
127.0.0.1:5002  DOWN            -       -       -       -       -        -
total           2/3 up      0.750   403MB    667k  10,000   1.0µs       50";
    assert_eq!(gauges, expected);
    assert!(tables.contains("\nhot key ") && tables.contains("\nbig key "), "{tables}");
    let commands = text(live.page(Some(By::Command), 80), 80);
    assert!(
        commands.ends_with("\nget      20,000    100%   156µs   156µs   156µs       0         0\n"),
        "{commands}"
    );
    let prefixes = text(live.page(Some(By::Prefix), 80), 80);
    assert!(
        prefixes.contains("\nuser            200k   120MB     30%      0.900       1       0"),
        "{prefixes}"
    );
}

#[test]
fn a_live_page_outlives_the_server() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut live = Live::new(sample(), start, Duration::from_secs(1));
    live.take(at(1), Ok(later()));
    live.take(at(2), Err(anyhow::anyhow!("could not connect to h:1: connection refused")));
    let page = text(live.page(None, 80), 80);
    assert!(page.contains("\ncould not connect to h:1: connection refused\n"), "{page}");
    assert!(page.contains("▁  p50") || page.contains("ops/s              -"), "{page}");
    assert!(live.last().is_err());
    let mut anew = sample();
    anew.server.run_id = "another".to_owned();
    live.take(at(3), Ok(anew.clone()));
    assert_eq!(live.last().err(), Some("127.0.0.1:6379 was started anew"));
    anew.traffic.commands += 5;
    live.take(at(4), Ok(anew));
    assert_eq!(live.last().unwrap().report.traffic.commands, 5);
    for by in [None, Some(By::Prefix)] {
        // More samples than any picture has columns.
        (5..300).for_each(|second| live.take(at(second), Ok(later())));
        assert!(text(live.page(by, 80), 80).contains("every 1 s"));
    }
}

#[test]
fn a_line_for_an_interval() {
    let start = Instant::now();
    let mut live = Live::new(sample(), start, Duration::from_secs(2));
    live.take(start + Duration::from_secs(2), Ok(later()));
    let expected = r"  ops/s  hits/s misses/s hit ratio evicted/s  memory    p50    p99   in/s  out/s
 10,000   6,000    2,000     0.750        25   403MB  156µs  156µs    1MB    3MB
";
    assert_eq!(format!("{}\n{}\n", live::heading(), live::line(live.last().unwrap())), expected);
}
