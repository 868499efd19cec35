//! What the process uses, from `/proc` (zeros where there is none), and how much memory it may use.

use std::fs;

/// Clock ticks of `/proc/self/stat` a second: 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory in bytes.
pub fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Seconds of processor time used: user, system.
pub fn cpu_seconds() -> (f64, f64) {
    let [user, system, ..] = times();
    (user, system)
}

/// When the process started, in seconds since 1970.
pub fn started_s() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut lines = stat.lines();
    let booted = lines.find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok());
    let [.., started] = times();
    booted.unwrap_or(0.0) + started
}

/// File descriptors that are open.
pub fn open_descriptors() -> u64 {
    // One of them is for looking.
    fs::read_dir("/proc/self/fd").map_or(0, |found| found.count().saturating_sub(1) as u64)
}

/// Of `/proc/self/stat`, in seconds: processor time in user mode and in the system, and the start since the boot.
fn times() -> [f64; 3] {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command's name, in parentheses, may contain anything; the fields are counted behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_whitespace().collect();
    [11, 12, 19].map(|at| {
        let ticks = fields.get(at).and_then(|field| field.parse::<f64>().ok());
        ticks.unwrap_or(0.0) / TICKS_PER_SECOND
    })
}

/// Bytes of memory in the machine.
pub fn total_memory() -> u64 {
    meminfo("MemTotal:")
}

/// The memory limit of a node that was not given one, in bytes, and in words where it comes from.
pub fn default_maxmemory() -> (u64, String) {
    if let Some(limit) = cgroup_limit() {
        return (
            limit / 10 * 6,
            format!("60 % of the cgroup's {}", crate::config::format_size(limit)),
        );
    }
    let available = meminfo("MemAvailable:");
    (available / 4, format!("25 % of the {} available", crate::config::format_size(available)))
}

/// The tightest memory limit of the process's control group and those above it, v2 or v1, if there is one.
fn cgroup_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            other if other.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = Some(path.trim_end_matches('/'));
        while let Some(group) = path {
            let text = fs::read_to_string(format!("{root}{group}/{file}")).unwrap_or_default();
            limits.extend(text.trim().parse::<u64>());
            path = group.rfind('/').map(|end| &group[..end]);
        }
    }
    // "No limit" is a number larger than the machine in version 1.
    limits.into_iter().filter(|&limit| limit < total_memory()).min()
}

fn meminfo(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kb = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kb.unwrap_or(0) * 1024
}

/// Bytes that the allocator has handed out, holds in active pages, and keeps resident.
pub fn allocator() -> (u64, u64, u64) {
    use tikv_jemalloc_ctl::{epoch, stats};
    // The figures are those of the last epoch; advancing it refreshes them.
    if epoch::advance().is_err() {
        return (0, 0, 0);
    }
    let read = |value: tikv_jemalloc_ctl::Result<usize>| value.unwrap_or(0) as u64;
    (read(stats::allocated::read()), read(stats::active::read()), read(stats::resident::read()))
}

/// All that the allocator says of itself.
pub fn allocator_report() -> String {
    use tikv_jemalloc_ctl::stats_print::{Options, stats_print};
    let mut report = Vec::new();
    match stats_print(&mut report, Options::default()) {
        Ok(()) => String::from_utf8_lossy(&report).into_owned(),
        Err(error) => format!("The allocator gives no statistics: {error}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_uses_something() {
        assert!(resident_bytes() > 100_000);
        assert!(total_memory() > resident_bytes());
        let (limit, words) = default_maxmemory();
        assert!(limit > 0 && words.contains('%'), "{limit} {words}");
        let before = cpu_seconds();
        let start = std::time::Instant::now();
        while start.elapsed() < std::time::Duration::from_millis(100) {}
        let after = cpu_seconds();
        assert!(after.0 + after.1 > before.0 + before.1);
    }
}
