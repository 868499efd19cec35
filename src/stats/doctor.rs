//! What LATENCY DOCTOR and MEMORY DOCTOR find, in the manner of Redis's.

use super::events::{Event, Series};
use super::{info, process};
use crate::config::Id;
use crate::server::Server;
use crate::store::{Keyspace, Policy};

/// Advice about what took long.
const SCHEDULER: &str = "- The system is slow to execute code paths that need no system calls. This usually means \
    that it does not give the server CPU time for long periods. You should try to:\n\
    \x20 1) Lower the system load.\n\
    \x20 2) Use a computer / VM just for the cache if you are running other software in the same system.\n\
    \x20 3) Give it no more worker threads than there are processors for them (`--workers`).\n\
    \x20 4) Check if you have a \"noisy neighbour\" problem.\n\
    \x20 5) Check with 'redis-cli --intrinsic-latency 100' what is the intrinsic latency in your system.\n";
const SLOWLOG: &str = "- Check your Slow Log (SLOWLOG GET) to understand what are the commands you are running which \
    are too slow to execute.\n";
const EVICTION: &str = "- A value that is much larger than the others evicts many keys at once before it is stored. If \
    you have very large values, try to break them into smaller ones, or give the node more memory (maxmemory).\n";
const EXPIRY: &str = "- Many keys expire at the same time, or the memory limit was lowered, or a slow command kept \
    others from the keys meanwhile. If you set the same time to live for many keys at once, try to spread it a \
    little.\n";

/// What is known of an event.
struct Analysis {
    spikes: u64,
    mean_ms: u64,
    deviation_ms: u64,
    period_s: f64,
}

fn analyze(series: &Series, now_s: u64) -> Analysis {
    let spikes = (series.samples.len() as u64).max(1);
    let durations = || series.samples.iter().map(|sample| sample.ms);
    let mean_ms = durations().sum::<u64>() / spikes;
    let deviation_ms = durations().map(|ms| ms.abs_diff(mean_ms)).sum::<u64>() / spikes;
    let oldest = series.samples.front().map_or(now_s, |sample| sample.unix_s);
    let period_s = now_s.saturating_sub(oldest).max(1) as f64 / spikes as f64;
    Analysis { spikes, mean_ms, deviation_ms, period_s }
}

/// The report of LATENCY DOCTOR.
pub fn latency(server: &Server, now_s: u64) -> String {
    let threshold_ms = server.config.number(Id::LatencyMonitorThreshold);
    let events = server.events.latest();
    if events.is_empty() {
        return match threshold_ms {
            0 => "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Larder node. You may use \
                 \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it.\n"
                .to_owned(),
            _ => "Dave, no latency spike was observed during the lifetime of this Larder node, not in the slightest \
                 bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n"
                .to_owned(),
        };
    }
    let mut report = "Dave, I have observed latency spikes in this Larder node. You don't mind talking about it, do \
                      you Dave?\n\n"
        .to_owned();
    let mut advice = Vec::new();
    for (number, (event, series)) in (1..).zip(&events) {
        let Analysis { spikes, mean_ms, deviation_ms, period_s } = analyze(series, now_s);
        report += &format!(
            "{number}. {}: {spikes} latency spikes (average {mean_ms}ms, mean deviation {deviation_ms}ms, period \
             {period_s:.2} sec). Worst all time event {}ms.\n",
            event.name(),
            series.max_ms
        );
        match event {
            Event::Command => {
                advice.extend(slowlog_setting(server, threshold_ms));
                advice.push(SLOWLOG.to_owned());
            }
            Event::FastCommand => advice.push(SCHEDULER.to_owned()),
            Event::EvictionCycle => advice.push(EVICTION.to_owned()),
            Event::ExpireCycle => advice.push(EXPIRY.to_owned()),
        }
    }
    report + "\nI have a few advices for you:\n\n" + &advice.concat()
}

/// What keeps the slow log from showing what LATENCY counts.
fn slowlog_setting(server: &Server, threshold_ms: u64) -> Option<String> {
    let slower_us = server.config.number(Id::SlowlogLogSlowerThan) as i64;
    let want = format!("CONFIG SET slowlog-log-slower-than {}", threshold_ms.saturating_mul(1000));
    if slower_us < 0 || server.config.number(Id::SlowlogMaxLen) == 0 {
        return Some(format!(
            "- There are latency issues with potentially slow commands you are using. Try to enable the Slow Log \
             using the command '{want}'. If the Slow Log is disabled, slow commands are not logged for you.\n"
        ));
    }
    let hides = slower_us as u64 / 1000 > threshold_ms;
    hides.then(|| {
        format!(
            "- Your current Slow Log configuration only logs events that are slower than your configured latency \
             monitor threshold. Please use '{want}'.\n"
        )
    })
}

/// Bytes in use below which there is nothing to be said, and bytes of waste that matter: Redis's figures.
const EMPTY_BELOW: u64 = 5 << 20;
const WASTE_MIN: u64 = 10 << 20;
/// Bytes of buffers of a client, in the mean, that are many: Redis's figure.
const CLIENT_BYTES_MAX: u64 = 200 << 10;

/// What MEMORY DOCTOR looks at, in bytes.
struct Memory {
    used: u64,
    peak: u64,
    /// 0 is none.
    limit: u64,
    policy: Policy,
    machine: u64,
    /// Handed out by the allocator, in pages with something of that, and resident.
    allocator: (u64, u64, u64),
    /// Of buffers of a client, in the mean.
    per_client: u64,
}

/// The report of MEMORY DOCTOR.
pub fn memory(server: &Server, keyspace: &Keyspace<'_>) -> String {
    let Some(budget) = keyspace.store().map(|store| &store.budget) else { return String::new() };
    let clients = server.clients.all();
    let buffered: u64 = clients.iter().map(|client| client.buffered()).sum();
    diagnose(&Memory {
        used: budget.used() as u64,
        peak: budget.peak() as u64,
        limit: budget.limit(),
        policy: budget.policy(),
        machine: process::total_memory(),
        allocator: info::allocator(keyspace),
        per_client: buffered / (clients.len() as u64).max(1),
    })
}

fn diagnose(memory: &Memory) -> String {
    let Memory { used, peak, limit, policy, machine, allocator, per_client } = *memory;
    if used < EMPTY_BELOW {
        return "Hi Sam, this instance is empty or is using very little memory, my issue detector can't be used in \
                these conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and \
                I will be back to our programming as soon as I finished rebooting.\n"
            .to_owned();
    }
    let (allocated, active, resident) = allocator;
    let wasted = |whole: u64, part: u64| {
        whole.saturating_sub(part) > WASTE_MIN && whole as f64 > 1.1 * part as f64
    };
    let found = [
        (
            peak as f64 > 1.5 * used as f64,
            "Peak memory: In the past this instance used more than 150% the memory that is currently using. What is \
             free as a whole goes back to the system; holes between what is in use are filled first when the instance \
             is filled with more data, so this is harmless. To make the allocator give back what it keeps, please try \
             the MEMORY PURGE command.",
        ),
        (
            wasted(active, allocated),
            "High fragmentation: The pages in use are more than 1.1 times what lies in them. This is usually due to a \
             large peak memory (check if there is a peak memory entry above in the report) or to values whose sizes \
             change. Holes are taken off the memory limit, and filled again by what comes.",
        ),
        (
            wasted(resident, active),
            "High allocator RSS overhead: More than 1.1 times the pages in use are resident, as the allocator keeps \
             free pages for a while. This is usually due to a large peak memory. Please try the MEMORY PURGE command.",
        ),
        (
            per_client > CLIENT_BYTES_MAX,
            "Big client buffers: The buffers of clients in this instance are greater than 200K per client (on \
             average). This may result from clients that do not take their replies, or monitors that do not read fast \
             enough, or clients sending commands with large replies or very large sequences of commands in the same \
             pipeline. Please use the CLIENT LIST command in order to investigate the issue.",
        ),
        (
            limit > 0 && policy == Policy::NoEviction && used as f64 > 0.9 * limit as f64,
            "Nearly full: More than 90% of maxmemory are used, and the policy is noeviction: when memory is full, \
             commands that need more are refused. Raise maxmemory, or choose a maxmemory-policy that evicts.",
        ),
        (
            machine > 0 && (limit > machine || limit == 0 && used as f64 > 0.5 * machine as f64),
            "No useful limit: maxmemory is not set, or is more than the memory of the machine. Before it is reached \
             the system will swap, or end the process. Set maxmemory to what the machine can spare.",
        ),
    ];
    let found: Vec<&str> =
        found.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text).collect();
    if found.is_empty() {
        return "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this \
                base.\n"
            .to_owned();
    }
    let items: String = found.iter().map(|text| format!(" * {text}\n\n")).collect();
    format!(
        "Sam, I detected a few issues in this Larder instance memory implants:\n\n{items}I'm here to keep you safe, \
         Sam. I want to help you.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::events::Sample;
    use super::*;
    use crate::config::{Config, find};
    use crate::server::Role;

    #[test]
    fn spikes_are_analyzed() {
        let server = Server::new(Role::Node, Config::default(), None, 1);
        assert!(latency(&server, 100).contains("Latency monitoring is disabled"));
        let set = |name: &str, value: &str| {
            server.config.set(find(name.as_bytes()).unwrap(), value).unwrap();
        };
        set("latency-monitor-threshold", "5");
        assert!(latency(&server, 100).contains("no latency spike was observed"));
        for (unix_s, ms) in [(80, 10), (90, 30)] {
            server.events.note(Event::Command, Sample { unix_s, ms });
        }
        let report = latency(&server, 100);
        let line = "1. command: 2 latency spikes (average 20ms, mean deviation 10ms, period 10.00 sec). Worst all \
                    time event 30ms.\n";
        assert!(report.contains(line), "{report}");
        assert!(report.contains("'CONFIG SET slowlog-log-slower-than 5000'"), "{report}");
        set("slowlog-log-slower-than", "5000");
        let report = latency(&server, 100);
        assert!(!report.contains("CONFIG SET") && report.contains(SLOWLOG), "{report}");
        server.events.note(Event::FastCommand, Sample { unix_s: 100, ms: 7 });
        let report = latency(&server, 100);
        assert!(report.contains("1. fast-command: 1 latency spikes"), "{report}");
        assert!(report.contains("2. command: ") && report.contains(SCHEDULER), "{report}");
    }

    #[test]
    fn memory_is_diagnosed() {
        const MB: u64 = 1 << 20;
        let well = || Memory {
            used: 100 * MB,
            peak: 120 * MB,
            limit: 200 * MB,
            policy: Policy::NoEviction,
            machine: 1000 * MB,
            allocator: (100 * MB, 105 * MB, 108 * MB),
            per_client: 1000,
        };
        let none = "can't find any memory issue";
        for (memory, expected) in [
            (well(), none),
            (Memory { used: MB, ..well() }, "is empty or is using very little memory"),
            (Memory { peak: 151 * MB, ..well() }, " * Peak memory: "),
            (
                Memory { allocator: (80 * MB, 95 * MB, 96 * MB), ..well() },
                " * High fragmentation: ",
            ),
            (Memory { allocator: (80 * MB, 81 * MB, 96 * MB), ..well() }, " * High allocator RSS "),
            (Memory { per_client: 300 << 10, ..well() }, " * Big client buffers: "),
            (Memory { limit: 105 * MB, ..well() }, " * Nearly full: "),
            (Memory { limit: 2000 * MB, ..well() }, " * No useful limit: "),
            (Memory { limit: 0, ..well() }, none),
            (Memory { limit: 0, used: 501 * MB, ..well() }, " * No useful limit: "),
        ] {
            let report = diagnose(&memory);
            assert!(report.contains(expected), "{report}");
            assert!(report.matches(" * ").count() <= 1, "{report}");
        }
    }
}
