//! What the locked shards count, added up.

use super::Keyspace;
use crate::store::{Ages, Cells, DATABASES, DbStats, ShardStats};

impl Keyspace<'_> {
    /// The memory of entries and index, large values left out; needs all shards.
    pub fn cells(&self) -> Cells {
        let used = self.guards.iter().map(|shard| shard.cell_bytes()).sum();
        Cells { used, committed: self.store.map_or(0, |store| store.pool.committed()) }
    }

    /// Bytes of the locked shards that are neither keys nor values.
    pub fn overhead(&self) -> usize {
        self.guards.iter().map(|shard| shard.overhead()).sum()
    }

    /// Counters of each database over the locked shards.
    pub fn db_stats(&self) -> [DbStats; DATABASES] {
        let mut sum = [DbStats::default(); DATABASES];
        for shard in &self.guards {
            for (total, db) in sum.iter_mut().zip(&shard.dbs) {
                total.keys += db.keys;
                total.expires += db.expires;
                total.expires_at_sum += db.expires_at_sum;
            }
        }
        sum
    }

    /// Counters over the locked shards.
    pub fn stats(&self) -> ShardStats {
        let mut sum = ShardStats::default();
        for shard in &self.guards {
            sum.hits += shard.stats.hits;
            sum.misses += shard.stats.misses;
            sum.expired += shard.stats.expired;
            sum.evicted += shard.stats.evicted;
            sum.changes += shard.stats.changes;
            sum.moved += shard.stats.moved;
        }
        sum
    }

    /// How old evicted keys were, over the locked shards.
    pub fn ages(&self) -> Ages {
        let mut sum = Ages::default();
        self.guards.iter().for_each(|shard| sum.add(&shard.ages));
        sum
    }

    #[cfg(test)]
    pub(in crate::store) fn stats_of(&mut self, hash: u64) -> ShardStats {
        self.shard(hash).stats
    }

    /// Tells the curve of the reads in the locked shards up to now.
    pub fn tell_reads(&mut self) {
        self.guards.iter_mut().for_each(|shard| shard.tell_reads());
    }

    /// Sets the counters of the locked shards to zero.
    pub fn reset_stats(&mut self) {
        for shard in &mut self.guards {
            shard.stats = ShardStats { changes: shard.stats.changes, ..ShardStats::default() };
            (shard.ages, shard.told_reads) = (Ages::default(), (0, 0));
        }
        if let Some(store) = self.store {
            store.usage.reset();
        }
    }
}
