//! The clock of leases.

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_BOOTTIME` in milliseconds: it counts on while the machine sleeps, and nobody sets it.
pub fn now_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}
