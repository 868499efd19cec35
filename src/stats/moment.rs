//! Moments of the clock that never goes back, and the time of day at them.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How close together two readings of different clocks must be, and how often that is tried.
const CLOSE: Duration = Duration::from_micros(20);
const TRIES: usize = 5;

/// Nanoseconds of the monotonic clock: cheaper to read and to subtract than `Instant`, of which a request needs two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(u64);

impl Moment {
    /// The start of the machine: before every other one.
    pub const START: Moment = Moment(0);

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

/// The time of day at a [`Moment`], without another reading of a clock.
#[derive(Debug, Default)]
pub struct WallClock(AtomicU64);

impl WallClock {
    /// One that is right.
    pub fn new() -> Self {
        let clock = WallClock::default();
        clock.set();
        clock
    }

    /// Follows the system's clock, which somebody may have set: to be called every now and then, as until then the time is
    /// what it was.
    pub fn set(&self) {
        let read = || {
            let before = Moment::now();
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            (before.elapsed(), (since_1970.as_nanos() as u64).wrapping_sub(before.0))
        };
        // Whoever is interrupted between the two readings has them wrong.
        let mut best = read();
        for _ in 1..TRIES {
            if best.0 < CLOSE {
                break;
            }
            best = best.min(read());
        }
        self.0.store(best.1, Relaxed);
    }

    /// Milliseconds since 1970.
    #[inline]
    pub fn ms(&self, moment: Moment) -> u64 {
        self.0.load(Relaxed).wrapping_add(moment.0) / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_agrees_with_the_system() {
        let clock = WallClock::new();
        std::thread::sleep(Duration::from_millis(5));
        let system = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let (before, ms, after) = (system(), clock.ms(Moment::now()), system());
        assert!((before - 1..=after + 1).contains(&ms), "{ms} is not within {before} to {after}");
    }

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
