//! What makes room when memory is full.

/// The policies (`maxmemory-policy`): Redis's, with Redis's meaning, and one of our own.
///
/// "Exact" is meant of the shard of the key that needs room: the shards of a store each keep an order of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// The least recently used key; exact.
    #[default]
    AllkeysLru,
    /// The key least frequently used, by Redis's logarithmic counter that decays with time; the lowest of
    /// `maxmemory-samples` keys.
    AllkeysLfu,
    /// The least recently modified key: reading does not count; exact.
    AllkeysLrm,
    /// Any key.
    AllkeysRandom,
    /// S3-FIFO (Yang et al., SOSP 2023), which a scan cannot flush; `store/evict.rs` says how and why this one.
    AllkeysS3fifo,
    /// As `AllkeysLru`, among the keys that expire.
    VolatileLru,
    /// As `AllkeysLfu`, among the keys that expire.
    VolatileLfu,
    /// As `AllkeysLrm`, among the keys that expire.
    VolatileLrm,
    /// As `AllkeysRandom`, among the keys that expire.
    VolatileRandom,
    /// The key that expires first, to within a slot of the timing wheel: 8 ms of those due in half a second, half a
    /// second of those due in half a minute, and so on.
    VolatileTtl,
    /// Commands that need memory answer `-OOM`.
    NoEviction,
}

use Policy::{
    AllkeysLfu, AllkeysLrm, AllkeysLru, AllkeysRandom, AllkeysS3fifo, NoEviction, VolatileLfu,
    VolatileLrm, VolatileLru, VolatileRandom, VolatileTtl,
};

impl Policy {
    const ALL: [Policy; 11] = [
        AllkeysLru,
        AllkeysLfu,
        AllkeysLrm,
        AllkeysRandom,
        AllkeysS3fifo,
        VolatileLru,
        VolatileLfu,
        VolatileLrm,
        VolatileRandom,
        VolatileTtl,
        NoEviction,
    ];

    /// The names that `maxmemory-policy` takes, in the order of [`Policy::from_index`].
    pub const NAMES: &'static [&'static str] = &[
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-lrm",
        "allkeys-random",
        "allkeys-s3fifo",
        "volatile-lru",
        "volatile-lfu",
        "volatile-lrm",
        "volatile-random",
        "volatile-ttl",
        "noeviction",
    ];

    /// The policy by its place in [`Policy::NAMES`], the default for numbers beyond.
    pub fn from_index(index: u64) -> Self {
        Self::ALL.get(index as usize).copied().unwrap_or(AllkeysLru)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Whether it counts how often keys are used.
    pub fn is_lfu(self) -> bool {
        matches!(self, AllkeysLfu | VolatileLfu)
    }

    /// Whether it evicts only keys that expire.
    pub fn is_volatile(self) -> bool {
        matches!(self, VolatileLru | VolatileLfu | VolatileLrm | VolatileRandom | VolatileTtl)
    }

    /// Whether its order of eviction is one of the keys that expire alone.
    pub(super) fn orders_volatile(self) -> bool {
        matches!(self, VolatileLru | VolatileLrm)
    }

    /// Whether reading a key moves it in the order of eviction.
    pub(super) fn renews_on_read(self) -> bool {
        !matches!(self, AllkeysLrm | VolatileLrm | AllkeysS3fifo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        assert_eq!(Policy::ALL.len(), Policy::NAMES.len());
        for (index, policy) in Policy::ALL.into_iter().enumerate() {
            assert_eq!(policy as usize, index);
            assert_eq!(Policy::from_index(index as u64), policy);
            let words: String = policy.name().split('-').collect();
            assert_eq!(format!("{policy:?}").to_lowercase(), words);
            assert_eq!(policy.is_volatile(), policy.name().starts_with("volatile"));
        }
    }
}
