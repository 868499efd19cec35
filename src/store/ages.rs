//! For how long evicted keys had not been used: how long the memory lets a key live.

/// Steps for each doubling of the age.
const STEPS: u64 = 4;
/// Up to the longest time that a stamp can tell, 194 days.
const BUCKETS: usize = (STEPS * 23) as usize;

/// Evicted keys by their age in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ages {
    counts: [u64; BUCKETS],
    /// The sum of the ages, in seconds.
    pub sum: u64,
}

impl Default for Ages {
    fn default() -> Self {
        Ages { counts: [0; BUCKETS], sum: 0 }
    }
}

impl Ages {
    /// Counts a key that had not been used for so many seconds.
    pub(super) fn record(&mut self, seconds: u64) {
        self.counts[bucket(seconds)] += 1;
        self.sum += seconds;
    }

    /// Adds those of another shard.
    pub(super) fn add(&mut self, other: &Ages) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.sum += other.sum;
    }

    /// Keys counted, by the longest age in seconds that counts with theirs; only where there are any.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (upper(bucket), *count))
    }
}

fn bucket(seconds: u64) -> usize {
    if seconds < STEPS {
        return seconds as usize;
    }
    let doubling = u64::from(seconds.ilog2()) - 2;
    ((doubling * STEPS + (seconds >> doubling)) as usize).min(BUCKETS - 1)
}

fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let doubling = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_true_to_a_quarter() {
        for seconds in 0..100_000 {
            let at = bucket(seconds);
            assert!(upper(at) >= seconds && (at == 0 || upper(at - 1) < seconds), "{seconds}");
            assert!(upper(at) <= seconds + seconds / 4, "{seconds}");
        }
        let mut ages = Ages::default();
        for seconds in [0, 7, 7, 1 << 24] {
            ages.record(seconds);
        }
        let mut sum = Ages::default();
        sum.add(&ages);
        sum.add(&ages);
        let buckets: Vec<_> = sum.buckets().collect();
        assert_eq!((buckets.len(), buckets[0], buckets[1]), (3, (0, 2), (7, 4)));
        assert_eq!(sum.sum, 2 * (14 + (1 << 24)));
    }
}
