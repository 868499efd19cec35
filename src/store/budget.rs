//! The memory limit that all shards of a store share.

use super::policy::Policy;
use super::stamp::Decay;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Bytes used and allowed.
pub struct Budget {
    used: AtomicUsize,
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
        self.limit.store(limit, Relaxed);
        self.policy.store(policy as u8, Relaxed);
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
            limit => ((self.used() + need) as u64).saturating_sub(limit),
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
