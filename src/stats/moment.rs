//! A moment of the clock that never goes back.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Nanoseconds of the monotonic clock: cheaper to read and to subtract than `Instant`, of which a request needs two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(u64);

impl Moment {
    /// The present one.
    #[inline]
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        // Since the start of the machine, so both are positive.
        Moment((time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64))
    }

    /// Nanoseconds since an earlier one; 0 if it was not earlier.
    #[inline]
    pub fn ns_since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(Moment::now().ns_since(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_follow_one_another() {
        let (first, instant) = (Moment::now(), std::time::Instant::now());
        std::thread::sleep(Duration::from_millis(5));
        let (second, elapsed) = (Moment::now(), instant.elapsed());
        assert!(second > first && second.ns_since(first) >= 5_000_000);
        assert_eq!(first.ns_since(second), 0);
        assert!(first.elapsed() >= elapsed);
    }
}
