//! The LRU hash table: shards of keys under one memory budget, with exact LRU eviction within a shard, or another policy,
//! and expiry by a timing wheel. No I/O, no protocol and no clock: time is passed in, in milliseconds since 1970.
//!
//! A [`Store`] is an array of shards, each behind a mutex. A command locks the shards of its keys, in index
//! order, as a [`Keyspace`], and works on that; nothing here waits while it holds a lock.

mod ages;
mod arena;
mod budget;
mod census;
#[cfg(any(test, fuzzing))]
mod check;
mod classes;
mod entry;
mod evict;
mod ghost;
mod hash;
mod index;
mod keyspace;
mod large;
mod order;
mod policy;
mod pool;
mod prefetch;
mod reclaim;
mod shard;
mod stamp;
mod sweep;
pub mod usage;
mod value;
mod wheel;

pub use ages::Ages;
pub use budget::Budget;
pub use census::Census;
pub use keyspace::{Access, Expiry, Keyspace, View};
pub(crate) use large::allocated;
pub use policy::Policy;
use shard::Parts;
pub use shard::{DbStats, Shard, ShardStats};
pub use sweep::Sweep;
pub use value::{Str, Value};

use hash::KeyHasher;
use pool::Pool;
use reclaim::Reclaim;
pub(crate) use reclaim::purge;
use smallvec::SmallVec;
use usage::Usage;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Databases of a store, as many as cache configurations use.
pub const DATABASES: usize = 16;
/// Shards of a store. More than one so that workers rarely meet; few, since each keeps its own LRU order
/// (simulated on a busy trace, 16 cost 0.0002 of hit ratio against one global order).
pub const SHARDS: usize = 16;
/// Keys whose memory one tick of expiry frees in one shard at most: bounds the time the shard is locked.
const EXPIRED_PER_TICK: usize = 64;
/// Keys that one tick evicts from each shard at most, after `maxmemory` was lowered.
const EVICTED_PER_TICK: usize = 16;
/// What a new entry may take beside its key and value: its header, and what its cell is larger.
const ENTRY_BYTES_MAX: usize = 192;

/// What can be fetched ahead for a look-up, in this order: each tells where the next one lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ahead {
    /// The bucket of the key.
    Bucket,
    /// The entry, or the bucket in which that one goes on.
    Entry,
    /// The entry in that one.
    Overflow,
}

impl Ahead {
    /// The steps, in order.
    pub const STEPS: [Ahead; 3] = [Ahead::Bucket, Ahead::Entry, Ahead::Overflow];
}

/// Bytes of the memory that entries and index lie in.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cells {
    /// Taken by them.
    pub used: usize,
    /// Taken from the system: the rest is free for others of their size, until it is moved together.
    pub committed: usize,
}

/// A node's keys.
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    hasher: KeyHasher,
    pool: Arc<Pool>,
    reclaim: Mutex<Reclaim>,
    /// The memory limit, what is used of it, and what to do when it is reached.
    pub budget: Budget,
    /// What the uses of keys tell of them.
    pub usage: Arc<Usage>,
}

impl Store {
    /// An empty store that holds at most `maxmemory` bytes, 0 meaning no limit.
    pub fn new(maxmemory: u64, policy: Policy) -> Self {
        let (hasher, pool) = (KeyHasher::new(), Pool::new());
        let budget = Budget::new(maxmemory, policy);
        let usage = Arc::new(Usage::new());
        let shard = |_| {
            Mutex::new(Shard::new(
                Parts { pool: pool.clone(), hasher: hasher.clone(), usage: usage.clone() },
                policy,
                &budget,
            ))
        };
        let shards = (0..SHARDS).map(shard).collect();
        Store { shards, hasher, pool, reclaim: Mutex::default(), budget, usage }
    }

    /// The shards of `keys`, locked.
    pub fn lock_keys<'a, 'k>(
        &'a self,
        db: u8,
        now: u64,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Keyspace<'a> {
        let mut wanted = 0u32;
        for key in keys {
            wanted |= 1 << shard_index(self.hash(key));
        }
        self.lock_set(db, now, wanted)
    }

    /// The shard of one key, whose hash is known.
    pub fn lock_key(&self, db: u8, now: u64, key: &[u8], hash: u64) -> Keyspace<'_> {
        let index = shard_index(hash);
        let guards = SmallVec::from_buf([self.lock_current(index)]);
        let mut keyspace = Keyspace::new(Some(self), guards, 1 << index, db, now);
        keyspace.remember(key, hash);
        keyspace
    }

    /// Fetches ahead what a look-up of the key with this hash will need, unless somebody has its shard locked. Answers
    /// whether another step is of use.
    pub fn prefetch(&self, hash: u64, what: Ahead) -> bool {
        self.shards[shard_index(hash)]
            .try_lock()
            .is_ok_and(|shard| shard.prefetch(hash as u32, what))
    }

    /// The shards of keys with these hashes, locked for several requests one after another: each turns to its key by
    /// [`Keyspace::turn_to`].
    pub fn lock_hashes(&self, hashes: impl Iterator<Item = u64>) -> Keyspace<'_> {
        let wanted = hashes.fold(0, |wanted, hash| wanted | 1 << shard_index(hash));
        self.lock_set(0, 0, wanted)
    }

    /// All shards, locked.
    pub fn lock_all(&self, db: u8, now: u64) -> Keyspace<'_> {
        self.lock_set(db, now, (1 << SHARDS) - 1)
    }

    /// No shard, for a command that has no keys.
    pub fn lock_none(&self, db: u8, now: u64) -> Keyspace<'_> {
        self.lock_set(db, now, 0)
    }

    fn lock_set(&self, db: u8, now: u64, locked: u32) -> Keyspace<'_> {
        let mut guards = SmallVec::with_capacity(locked.count_ones() as usize);
        let mut wanted = locked;
        // Always in index order: two commands can never wait for each other.
        while wanted != 0 {
            let index = wanted.trailing_zeros() as usize;
            wanted &= wanted - 1;
            guards.push(self.lock_current(index));
        }
        Keyspace::new(Some(self), guards, locked, db, now)
    }

    /// A shard, under the policy in force.
    fn lock_current(&self, index: usize) -> MutexGuard<'_, Shard> {
        let mut shard = self.lock(index);
        shard.follow(self.budget.policy(), &self.budget);
        shard
    }

    fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hash of a key, the same in every database: COPY finds both of its keys behind the locks of one.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// Frees what has expired, a bounded number of keys at a time, evicts down to a limit that was lowered, and does a
    /// part of what operations have put off. Answers whether there is more to do at once.
    pub fn tick(&self, now: u64, expire: bool) -> bool {
        let (mut more, mut large, policy) = (false, 0, self.budget.policy());
        let rearm = self.usage.take_rearm();
        for index in 0..SHARDS {
            let mut shard = self.lock(index);
            shard.follow(policy, &self.budget);
            if expire {
                more |= shard.expire_due(now, EXPIRED_PER_TICK, &self.budget);
            }
            more |= shard.tidy(&self.budget);
            large += shard.large_bytes();
            shard.tell_reads();
            if rearm >> index & 1 == 1 {
                shard.rearm();
            }
        }
        self.reclaim.lock().unwrap_or_else(PoisonError::into_inner).note(large);
        self.usage.fade(now);
        if self.usage.is_confirmation_due(now) {
            self.confirm_big_keys(now);
        }
        if policy != Policy::NoEviction {
            // From all shards alike, so that none loses keys that are newer than what others keep.
            for _ in 0..EVICTED_PER_TICK {
                if self.budget.excess(0) == 0 || self.lock_none(0, now).evict_from(u32::MAX, 0) == 0
                {
                    return more;
                }
            }
            more = true;
        }
        more
    }

    /// Sets what is looked at in the uses of keys.
    pub fn watch(&self, settings: usage::Settings) {
        if !self.usage.configure(settings) {
            return;
        }
        for index in 0..SHARDS {
            // In a transaction some are locked by who comes here.
            match self.shards[index].try_lock() {
                Ok(mut shard) => shard.rearm(),
                Err(_) => self.usage.leave_rearm(1 << index),
            }
        }
    }

    /// When the next key expires, if any does.
    pub fn next_expiry(&self) -> Option<u64> {
        (0..SHARDS).filter_map(|index| self.lock(index).next_expiry()).min()
    }
}

/// The shard of a key by its hash; the table within uses the other end of the hash.
fn shard_index(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

/// What a write of so many bytes of key and value may take.
fn needed(bytes: usize) -> usize {
    let outside = bytes > classes::CELL_BYTES_MAX / 2;
    ENTRY_BYTES_MAX + if outside { large::needed(bytes) } else { bytes }
}

#[cfg(any(test, fuzzing))]
pub mod model;
#[cfg(test)]
mod model_tests;
