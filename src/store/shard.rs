//! One shard: entries, the index that finds them, the order in which they are evicted and the wheel by which they
//! expire, kept in agreement.

use super::ages::Ages;
use super::entry::{Content, Entries, header_bytes};
use super::evict::Eviction;
use super::hash::KeyHasher;
use super::index::{Hashes, Index};
use super::keyspace::View;
use super::large::Large;
use super::pool::Pool;
use super::usage::{Key, Usage, Use};
use super::value::{Str, Value};
use super::wheel::Wheel;
use super::{Ahead, Budget, DATABASES, Policy};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Entries that one operation moves at most to empty a sparse run.
const MOVES_PER_OPERATION: usize = 16;
/// How many times as many it moves where that does not keep up: a large value has evicted many small ones, say.
const HURRY: usize = 8;
/// Entries that one tick moves, and that it puts into other lists after a change of policy.
const MOVES_PER_TICK: usize = 64;
/// Entries that a search for what is due moves within the wheel at most.
const WHEEL_STEPS: usize = 256;

/// Counters of one database in one shard.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct DbStats {
    /// Keys.
    pub keys: u64,
    /// Keys with an expiry.
    pub expires: u64,
    /// Sum of the times at which those expire, in milliseconds since 1970.
    pub expires_at_sum: u128,
}

/// Counters of one shard.
#[derive(Clone, Copy, Default, Debug)]
pub struct ShardStats {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys that expired.
    pub expired: u64,
    /// Keys evicted to make room.
    pub evicted: u64,
    /// Changes of keys and values.
    pub changes: u64,
    /// Entries moved so that the memory of sparse runs could be given back.
    pub moved: u64,
}

/// A part of the keyspace with one writer at a time.
pub struct Shard {
    pub(super) entries: Entries,
    pub(super) index: Index,
    pub(super) eviction: Eviction,
    pub(super) wheel: Wheel,
    /// Bytes charged to the budget.
    pub(super) charged: usize,
    /// Since start or `CONFIG RESETSTAT`.
    pub stats: ShardStats,
    pub(super) dbs: [DbStats; DATABASES],
    /// How old evicted keys were, since start or `CONFIG RESETSTAT`.
    pub(super) ages: Ages,
    /// Uses until one is looked at.
    pub(super) until: u32,
    /// Reads that the curve was told of, or need not be: those that found their key, those that did not.
    pub(super) told_reads: (u64, u64),
    pub(super) parts: Parts,
}

/// What the shards of a store have in common.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) pool: Arc<Pool>,
    pub(super) hasher: KeyHasher,
    pub(super) usage: Arc<Usage>,
}

impl Hashes for Entries {
    fn hash(&self, handle: u32) -> u32 {
        Entries::hash(self, handle)
    }

    fn prefetch(&self, handle: u32) {
        self.arena.prefetch(handle);
    }
}

impl Shard {
    pub(super) fn new(parts: Parts, policy: Policy, budget: &Budget) -> Self {
        let mut shard = Shard {
            entries: Entries::new(parts.pool.clone(), parts.hasher.clone()),
            index: Index::new(parts.pool.clone()),
            eviction: Eviction::new(policy),
            wheel: Wheel::new(),
            charged: 0,
            stats: ShardStats::default(),
            dbs: [DbStats::default(); DATABASES],
            ages: Ages::default(),
            until: parts.usage.stride(),
            told_reads: (0, 0),
            parts,
        };
        shard.charge(budget);
        shard
    }

    /// The entry of a key. One that is overdue is removed here and not found.
    pub(super) fn find(
        &mut self,
        hash: u32,
        db: u8,
        key: &[u8],
        now: u64,
        budget: &Budget,
    ) -> Option<u32> {
        let handle = self.index.find(hash, |handle| self.entries.is(handle, db, key))?;
        if is_due(self.entries.expires_at(handle), now) {
            self.stats.expired += 1;
            self.remove(handle, Some(hash), budget);
            return None;
        }
        Some(handle)
    }

    /// What there is of an entry.
    pub(super) fn view(&self, handle: u32, now: u64, budget: &Budget) -> View<'_> {
        let expires_at = self.entries.expires_at(handle);
        let stamp = self.entries.stamp(handle);
        View {
            value: Value::Str(self.entries.value(handle)),
            expires_at: (expires_at != 0).then_some(expires_at),
            idle_s: super::stamp::idle_s(stamp, now),
            frequency: match budget.policy() {
                Policy::AllkeysS3fifo => Some(self.entries.meta(handle).uses()),
                policy if policy.is_lfu() => Some(super::stamp::count(stamp, now, budget.decay())),
                _ => None,
            },
            charged: self.entries.charge(handle),
        }
    }

    /// Whether an entry is not overdue.
    pub(super) fn is_live(&self, handle: u32, now: u64) -> bool {
        !is_due(self.entries.expires_at(handle), now)
    }

    /// Fetches what a look-up of a key with this hash will need. Answers whether another step is of use.
    pub(super) fn prefetch(&self, hash: u32, what: Ahead) -> bool {
        match what {
            Ahead::Bucket => {
                self.index.prefetch(hash);
                true
            }
            Ahead::Entry => match self.index.likely(hash) {
                Some(handle) => {
                    self.entries.arena.prefetch(handle);
                    false
                }
                None => self.index.prefetch_overflow(hash),
            },
            Ahead::Overflow => {
                if let Some(handle) = self.index.likely_in_overflow(hash) {
                    self.entries.arena.prefetch(handle);
                }
                false
            }
        }
    }

    /// Notes that a key was used.
    pub(super) fn touch(&mut self, handle: u32, write: bool, now: u64, budget: &Budget) {
        self.eviction.used(&mut self.entries, handle, write, now, budget);
    }

    /// Adds a key that is not there. Other entries may move, so handles from before do not hold any more.
    pub(super) fn insert(&mut self, hash: u32, content: Content<'_>, now: u64, budget: &Budget) {
        let handle = self.entries.create(content, super::stamp::new(now));
        self.index.insert(hash, handle, &self.entries);
        self.eviction.inserted(&mut self.entries, handle, hash);
        self.dbs[content.db as usize].keys += 1;
        if content.expires_at != 0 {
            self.schedule(handle, content.db, content.expires_at, now);
        }
        self.stats.changes += 1;
        self.settle(budget);
    }

    /// Gives a key that is there another value or another time to expire; it and other entries may move.
    pub(super) fn replace(
        &mut self,
        hash: u32,
        handle: u32,
        content: Content<'_>,
        now: u64,
        budget: &Budget,
    ) {
        let (old_expiry, old_charge) =
            (self.entries.expires_at(handle), self.entries.charge(handle));
        if old_expiry != 0 {
            self.unschedule(handle, content.db, old_expiry);
        }
        let handle = match self.entries.rewrite(handle, content) {
            Ok(freed) => {
                freed.into_iter().for_each(Large::free);
                handle
            }
            Err(_) => {
                self.eviction.order.settle(&mut self.entries);
                let new = self.entries.create(content, self.entries.stamp(handle));
                self.entries.inherit(handle, new);
                self.index.replace(hash, handle, new);
                self.eviction.order.moved(&mut self.entries, handle, new);
                self.entries.destroy(handle).into_iter().for_each(Large::free);
                new
            }
        };
        let list = self.entries.meta(handle).list();
        self.eviction.order.recharge(list, old_charge, self.entries.charge(handle));
        if content.expires_at != 0 {
            self.schedule(handle, content.db, content.expires_at, now);
        }
        if (old_expiry == 0) != (content.expires_at == 0) {
            self.eviction.expiry_changed(&mut self.entries, handle);
        }
        self.stats.changes += 1;
        self.settle(budget);
    }

    /// Sets when a key expires, 0 meaning never.
    pub(super) fn set_expiry(
        &mut self,
        hash: u32,
        handle: u32,
        expires_at: u64,
        now: u64,
        budget: &Budget,
    ) {
        let (old, db) = (self.entries.expires_at(handle), self.entries.meta(handle).db());
        if old == expires_at {
            return;
        }
        if old != 0 && expires_at != 0 {
            self.unschedule(handle, db, old);
            self.entries.set_expires_at(handle, expires_at);
            self.schedule(handle, db, expires_at, now);
            self.stats.changes += 1;
            return;
        }
        // The cell gets another size, or the value another place.
        let (key, slack) = (self.entries.key(handle).to_vec(), self.entries.slack(handle));
        let value = self.entries.value(handle).to_bytes();
        let content = Content { db, key: &key, value: (&value).into(), slack, expires_at };
        self.replace(hash, handle, content, now, budget);
    }

    /// Changes a value, in place if it is large and no reply holds it. It will be as long as `new_len` at most.
    pub(super) fn modify<T>(
        &mut self,
        hash: u32,
        handle: u32,
        new_len: usize,
        now: u64,
        budget: &Budget,
        change: impl FnOnce(&mut BytesMut) -> T,
    ) -> T {
        let (db, expires_at) = (self.entries.meta(handle).db(), self.entries.expires_at(handle));
        let key = self.entries.key(handle).to_vec();
        let (list, charge) = (self.entries.meta(handle).list(), self.entries.charge(handle));
        let taken = self.entries.take_value(handle);
        self.eviction.order.recharge(list, charge, self.entries.charge(handle));
        let mut bytes = match taken {
            Some(large) => match large.try_into_mut() {
                // Before one that was kept where it was read lies what came before it. Growth must not carry that along.
                Ok(bytes) if new_len > bytes.capacity() => Bytes::from(Vec::from(bytes)).into(),
                Ok(bytes) => bytes,
                Err(shared) => BytesMut::from(&shared[..]),
            },
            None => BytesMut::from(&*self.entries.value(handle)),
        };
        let answer = change(&mut bytes);
        // What growth by doubling leaves unused is kept for the next change, and charged; more is given back.
        let slack = bytes.capacity() - bytes.len();
        let (bytes, slack) = if slack > bytes.len() + 64 {
            (Bytes::copy_from_slice(&bytes), 0)
        } else {
            (bytes.freeze(), slack)
        };
        let content = Content { db, key: &key, value: Str::Shared(&bytes), slack, expires_at };
        self.replace(hash, handle, content, now, budget);
        answer
    }

    /// Removes a key; `hash` saves computing it again.
    pub(super) fn remove(&mut self, handle: u32, hash: Option<u32>, budget: &Budget) {
        let hash = hash.unwrap_or_else(|| self.entries.hash(handle));
        let (db, expires_at) = (self.entries.meta(handle).db(), self.entries.expires_at(handle));
        self.index.remove(hash, handle);
        self.eviction.order.unlink(&mut self.entries, handle);
        if expires_at != 0 {
            self.unschedule(handle, db, expires_at);
        }
        self.dbs[db as usize].keys -= 1;
        self.stats.changes += 1;
        self.entries.destroy(handle).into_iter().for_each(Large::free);
        self.charge(budget);
    }

    /// Removes a key that is overdue, or else evicts one. Answers whether there was any that the policy may evict.
    pub(super) fn evict(&mut self, now: u64, budget: &Budget) -> bool {
        if let Some(handle) = self.wheel.due(&mut self.entries, now, &mut { WHEEL_STEPS }) {
            self.stats.expired += 1;
            self.remove(handle, None, budget);
            return true;
        }
        let Shard { entries, index, eviction, wheel, .. } = self;
        let Some(handle) = eviction.victim(entries, index, wheel, now, budget) else {
            return false;
        };
        let hash = entries.hash(handle);
        eviction.evicted(entries, handle, hash);
        self.stats.evicted += 1;
        self.ages.record(super::stamp::idle_s(self.entries.stamp(handle), now));
        if self.is_looked_at() {
            let (db, name) = (self.entries.meta(handle).db(), self.entries.key(handle));
            self.parts.usage.count(Key { db, name, hash: hash.into() }, Use::Evicted);
        }
        self.remove(handle, Some(hash), budget);
        true
    }

    /// Frees at most `most` keys that are due, and answers whether there may be more.
    pub(super) fn expire_due(&mut self, now: u64, most: usize, budget: &Budget) -> bool {
        let mut steps = WHEEL_STEPS;
        for _ in 0..most {
            let Some(handle) = self.wheel.due(&mut self.entries, now, &mut steps) else {
                return steps == 0;
            };
            self.stats.expired += 1;
            self.remove(handle, None, budget);
        }
        true
    }

    /// When there will be something for `expire_due`, in milliseconds.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.wheel.next_time()
    }

    /// Follows a change of the policy.
    pub(super) fn follow(&mut self, policy: Policy, budget: &Budget) {
        if self.eviction.follow(policy) {
            self.charge(budget);
        }
    }

    /// Does a part of what was put off: moving entries together, and into the lists that a new policy wants. Answers
    /// whether there is more.
    pub(super) fn tidy(&mut self, budget: &Budget) -> bool {
        let more = self.eviction.proceed(&mut self.entries, &self.index, MOVES_PER_TICK);
        let moved = self.compact(MOVES_PER_TICK);
        self.charge(budget);
        // A policy that was changed again meanwhile is followed next.
        more || moved == MOVES_PER_TICK || self.eviction.policy() != budget.policy()
    }

    /// Removes all keys of one database, or of all; answers what is left to be dropped, which may take long.
    pub(super) fn flush(
        &mut self,
        db: Option<u8>,
        policy: Policy,
        budget: &Budget,
    ) -> Option<Shard> {
        match db {
            Some(db) if self.dbs[db as usize].keys as usize != self.index.len() => {
                let mut handles = Vec::new();
                self.index.visit_all(|handle| {
                    if self.entries.meta(handle).db() == db {
                        handles.push(handle);
                    }
                });
                handles.into_iter().for_each(|handle| self.remove(handle, None, budget));
                None
            }
            _ => {
                let new = Shard::new(self.parts.clone(), policy, budget);
                let old = std::mem::replace(self, new);
                budget.release(old.charged);
                self.stats = old.stats;
                self.ages = old.ages.clone();
                self.told_reads = old.told_reads;
                self.stats.changes += old.index.len() as u64;
                Some(old)
            }
        }
    }

    /// Bytes of entries and index, large values left out.
    pub(super) fn cell_bytes(&self) -> usize {
        self.entries.arena.live() + self.index.bytes()
    }

    /// Bytes of large values.
    pub(super) fn large_bytes(&self) -> usize {
        self.entries.bytes() - self.entries.arena.live()
    }

    /// Bytes the shard takes.
    pub(super) fn footprint(&self) -> usize {
        self.entries.bytes() + self.index.bytes() + self.eviction.bytes()
    }

    /// Bytes that are neither keys nor values: the index, headers of entries, what the policy remembers.
    pub(super) fn overhead(&self) -> usize {
        let expiring: u64 = self.dbs.iter().map(|db| db.expires).sum();
        let headers = header_bytes(self.index.len(), expiring as usize);
        self.index.bytes() + self.eviction.bytes() + headers
    }

    /// Charges the budget for what the shard takes now.
    fn charge(&mut self, budget: &Budget) {
        let now = self.footprint();
        let before = std::mem::replace(&mut self.charged, now);
        if now > before {
            budget.charge(now - before);
        } else if now < before {
            budget.release(before - now);
        }
    }

    /// Ends an operation that may have taken memory: goes on with a change of policy, moves a few entries together where too
    /// many cells are free, and charges the budget.
    fn settle(&mut self, budget: &Budget) {
        // Ticks do this too, but where there is much to write they may be late, and the next change would wait.
        self.eviction.proceed(&mut self.entries, &self.index, MOVES_PER_OPERATION);
        let arena = &self.entries.arena;
        if arena.is_wasteful() {
            let hurry = if arena.is_very_wasteful() { HURRY } else { 1 };
            self.compact(MOVES_PER_OPERATION * hurry);
        }
        self.charge(budget);
    }

    /// Moves up to `most` entries out of sparse runs, and answers how many.
    fn compact(&mut self, most: usize) -> usize {
        for moved in 0..most {
            if !self.entries.arena.is_wasteful() {
                return moved;
            }
            let Some(old) = self.entries.arena.next_to_move() else { return moved };
            self.eviction.order.settle(&mut self.entries);
            let new = self.entries.duplicate(old);
            self.index.replace(self.entries.hash(old), old, new);
            self.eviction.order.moved(&mut self.entries, old, new);
            if self.entries.meta(new).expires() {
                self.wheel.moved(&mut self.entries, new);
            }
            self.entries.arena.free(old);
            self.stats.moved += 1;
        }
        most
    }

    fn schedule(&mut self, handle: u32, db: u8, expires_at: u64, now: u64) {
        let db = &mut self.dbs[db as usize];
        db.expires += 1;
        db.expires_at_sum += u128::from(expires_at);
        self.wheel.insert(&mut self.entries, handle, now);
    }

    fn unschedule(&mut self, handle: u32, db: u8, expires_at: u64) {
        let db = &mut self.dbs[db as usize];
        db.expires -= 1;
        db.expires_at_sum -= u128::from(expires_at);
        self.wheel.remove(&mut self.entries, handle);
    }
}

fn is_due(expires_at: u64, now: u64) -> bool {
    expires_at != 0 && expires_at <= now
}
