//! The memory limit that all shards of a store share.

use super::policy::Policy;
use super::stamp::Decay;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Holes between what the allocator has handed out (large values, mostly) that are tolerated: a part of the limit, and
/// anyway. It is promised that resident memory never passes the limit by more than 5 % and 16 MB; the rest is for the free
/// cells of the arenas, for what is not yet given back, and for what a pause between two looks brings.
const HOLES_PART: u64 = 32;
const HOLES_MIN: u64 = 8 << 20;
/// Part of the limit that is held back at most, whatever the process holds.
const HELD_BACK_PART: u64 = 8;

/// Bytes used and allowed.
pub struct Budget {
    used: AtomicUsize,
    held_back: AtomicU64,
    peak: AtomicUsize,
    limit: AtomicU64,
    policy: AtomicU8,
    samples: AtomicU32,
    log_factor: AtomicU32,
    decay_minutes: AtomicU32,
}

impl Budget {
    /// A budget of `limit` bytes, 0 meaning no limit.
    pub fn new(limit: u64, policy: Policy) -> Self {
        let budget = Budget {
            used: AtomicUsize::new(0),
            held_back: AtomicU64::new(0),
            peak: AtomicUsize::new(0),
            limit: AtomicU64::new(0),
            policy: AtomicU8::new(0),
            samples: AtomicU32::new(10),
            log_factor: AtomicU32::new(10),
            decay_minutes: AtomicU32::new(1),
        };
        budget.configure(limit, policy);
        budget
    }

    /// Changes limit and policy at run time; the next ticks evict down to a lower limit.
    pub fn configure(&self, limit: u64, policy: Policy) {
        let before = self.limit.swap(limit, Relaxed);
        let old = self.policy.swap(policy as u8, Relaxed);
        if (before, old) != (limit, policy as u8) {
            self.held_back.store(0, Relaxed);
        }
    }

    /// Whether so much is used that something might be held back for want of room.
    pub fn is_nearly_full(&self) -> bool {
        let limit = self.limit();
        limit != 0 && self.used() as u64 >= limit - limit / HELD_BACK_PART
    }

    /// Takes off the limit what the allocator's holes, of so many bytes, are more than is tolerated, and as much again,
    /// since what is evicted leaves holes itself at first: sizes that change quickly make some for a while, and resident
    /// memory is what there is a limit for. A policy that may find nothing to evict gets all of the limit. Several nodes
    /// in one process see each other's holes.
    pub fn hold_back(&self, holes: u64) {
        let (limit, policy) = (self.limit(), self.policy());
        let tolerated = (limit / HOLES_PART).max(HOLES_MIN);
        let evicts = !policy.is_volatile() && policy != Policy::NoEviction;
        let most = if evicts { limit / HELD_BACK_PART } else { 0 };
        let beyond = holes.saturating_sub(tolerated);
        self.held_back.store(beyond.saturating_mul(2).min(most), Relaxed);
    }

    /// Changes how the policies that count uses do it: keys compared for each eviction, and how fast the counters rise
    /// and fall (`maxmemory-samples`, `lfu-log-factor`, `lfu-decay-time`).
    pub fn configure_lfu(&self, samples: u32, log_factor: u32, decay_minutes: u32) {
        self.samples.store(samples, Relaxed);
        self.log_factor.store(log_factor, Relaxed);
        self.decay_minutes.store(decay_minutes, Relaxed);
    }

    pub(super) fn samples(&self) -> usize {
        self.samples.load(Relaxed) as usize
    }

    pub(super) fn decay(&self) -> Decay {
        Decay {
            log_factor: self.log_factor.load(Relaxed),
            minutes: self.decay_minutes.load(Relaxed),
        }
    }

    /// Bytes that keys, values and their bookkeeping take.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// The most that was ever used.
    pub fn peak(&self) -> usize {
        self.peak.load(Relaxed).max(self.used())
    }

    /// The limit in bytes, 0 meaning none.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        Policy::from_index(u64::from(self.policy.load(Relaxed)))
    }

    /// Whether a single allocation of `bytes` could ever fit.
    pub fn could_hold(&self, bytes: usize) -> bool {
        let limit = self.limit();
        limit == 0 || bytes as u64 <= limit
    }

    /// Bytes that must be freed before `need` more fit.
    pub fn excess(&self, need: usize) -> u64 {
        match self.limit() {
            0 => 0,
            limit => {
                let allowed = limit - self.held_back.load(Relaxed).min(limit / HELD_BACK_PART);
                ((self.used() + need) as u64).saturating_sub(allowed)
            }
        }
    }

    pub(super) fn charge(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Relaxed) + bytes;
        // Read first: the peak moves rarely, and a plain read is not shared between writers' caches.
        if used > self.peak.load(Relaxed) {
            self.peak.fetch_max(used, Relaxed);
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_taken_off_the_limit() {
        const MB: u64 = 1 << 20;
        let budget = Budget::new(200 * MB, Policy::AllkeysLru);
        budget.charge((200 * MB) as usize);
        for (holes, excess) in [(0, 0), (8 * MB, 0), (11 * MB, 6 * MB), (900 * MB, 25 * MB)] {
            budget.hold_back(holes);
            assert_eq!(budget.excess(0), excess, "{holes}");
        }
        for policy in [Policy::NoEviction, Policy::VolatileLru] {
            budget.configure(200 * MB, policy);
            budget.hold_back(100 * MB);
            assert_eq!(budget.excess(0), 0, "{}", policy.name());
        }
    }
}
