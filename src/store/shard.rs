//! One shard: a table, the order of use of its keys, the order in which they expire, and the bytes they take.

use super::prefetch::prefetch;
use super::table::{NONE, Table};
use super::{Ahead, Budget, DATABASES, Value, allocated};
use bytes::Bytes;
use std::collections::BTreeSet;

/// What the store keeps for an entry beside its key.
pub(super) struct Item {
    pub(super) value: Value,
    /// When it expires, in milliseconds since 1970; 0 means never.
    pub(super) expires_at: u64,
    /// When it was last used, in seconds since 1970.
    pub(super) used_at: u32,
    newer: u32,
    older: u32,
    /// Bytes that the value's memory is larger than the value, after it was changed in place.
    slack: u32,
    /// Bytes charged for the whole entry; a value is at most 1 GB long.
    charged: u32,
}

impl Default for Item {
    fn default() -> Self {
        Item {
            value: Value::Str(Bytes::new()),
            expires_at: 0,
            used_at: 0,
            newer: NONE,
            older: NONE,
            slack: 0,
            charged: 0,
        }
    }
}

/// Bytes of an entry beside its key and value.
const ENTRY_BYTES: usize = size_of::<super::table::Entry<Item>>();
/// Bytes of a place in the order of expiry: 16 in a B-tree node that is two thirds full on average.
const EXPIRY_BYTES: usize = 24;

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
}

/// A part of the keyspace with one writer at a time.
pub struct Shard {
    pub(super) table: Table<Item>,
    newest: u32,
    oldest: u32,
    /// (expires_at, handle) of every key that expires, the next one first.
    expiry: BTreeSet<(u64, u32)>,
    directory_charged: usize,
    /// Since start or `CONFIG RESETSTAT`.
    pub stats: ShardStats,
    pub(super) dbs: [DbStats; DATABASES],
}

impl Shard {
    pub(super) fn new() -> Self {
        Shard {
            table: Table::new(),
            newest: NONE,
            oldest: NONE,
            expiry: BTreeSet::new(),
            directory_charged: 0,
            stats: ShardStats::default(),
            dbs: [DbStats::default(); DATABASES],
        }
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
        let handle = self.table.find(hash, db, key)?;
        if is_due(self.item(handle).expires_at, now) {
            self.stats.expired += 1;
            self.remove(handle, budget);
            return None;
        }
        Some(handle)
    }

    /// Fetches what a look-up of a key with this hash will need.
    pub(super) fn prefetch(&self, hash: u32, what: Ahead) {
        match what {
            Ahead::Bucket => self.table.prefetch_bucket(hash),
            Ahead::Entry => self.table.prefetch_entry(hash),
            Ahead::Value => {
                let Some(entry) = self.table.likely(hash) else { return };
                let Value::Str(bytes) = &entry.data.value;
                if let Some(first) = bytes.first() {
                    prefetch(first);
                }
                for neighbour in [entry.data.newer, entry.data.older] {
                    if neighbour != NONE {
                        prefetch(&self.item(neighbour).newer);
                    }
                }
            }
        }
    }

    pub(super) fn item(&self, handle: u32) -> &Item {
        &self.table.entry(handle).data
    }

    /// Bytes charged for an entry.
    pub(super) fn charged(&self, handle: u32) -> usize {
        self.item(handle).charged as usize
    }

    /// Makes a key the most recently used one.
    pub(super) fn touch(&mut self, handle: u32, now: u64) {
        self.table.entry_mut(handle).data.used_at = seconds(now);
        if self.newest != handle {
            self.unlink(handle);
            self.link_newest(handle);
        }
    }

    /// Adds a key that is not there.
    pub(super) fn insert(
        &mut self,
        hash: u32,
        db: u8,
        key: &[u8],
        value: Value,
        now: u64,
        budget: &Budget,
    ) -> u32 {
        let item = Item { value, used_at: seconds(now), ..Item::default() };
        let handle = self.table.insert(hash, db, key, item);
        self.link_newest(handle);
        self.dbs[db as usize].keys += 1;
        self.stats.changes += 1;
        self.recharge(handle, budget);
        handle
    }

    /// Exchanges a key's value, whose memory has room for `slack` more bytes; the expiry stays.
    pub(super) fn replace(
        &mut self,
        handle: u32,
        value: Value,
        slack: usize,
        budget: &Budget,
    ) -> Value {
        let item = &mut self.table.entry_mut(handle).data;
        item.slack = slack as u32;
        let old = std::mem::replace(&mut item.value, value);
        self.stats.changes += 1;
        self.recharge(handle, budget);
        old
    }

    /// Sets when a key expires, 0 meaning never.
    pub(super) fn set_expiry(&mut self, handle: u32, expires_at: u64, budget: &Budget) {
        let entry = self.table.entry_mut(handle);
        let old = std::mem::replace(&mut entry.data.expires_at, expires_at);
        if old == expires_at {
            return;
        }
        let db = &mut self.dbs[entry.db as usize];
        if old != 0 {
            db.expires -= 1;
            db.expires_at_sum -= u128::from(old);
            self.expiry.remove(&(old, handle));
        }
        if expires_at != 0 {
            db.expires += 1;
            db.expires_at_sum += u128::from(expires_at);
            self.expiry.insert((expires_at, handle));
        }
        self.stats.changes += 1;
        self.recharge(handle, budget);
    }

    /// Removes a key and gives back its value and expiry.
    pub(super) fn remove(&mut self, handle: u32, budget: &Budget) -> (Value, u64) {
        self.unlink(handle);
        let db = self.table.entry(handle).db as usize;
        let item = self.table.remove(handle);
        self.dbs[db].keys -= 1;
        if item.expires_at != 0 {
            self.dbs[db].expires -= 1;
            self.dbs[db].expires_at_sum -= u128::from(item.expires_at);
            self.expiry.remove(&(item.expires_at, handle));
        }
        self.stats.changes += 1;
        budget.release(item.charged as usize);
        self.charge_directory(budget);
        (item.value, item.expires_at)
    }

    /// Evicts the least recently used key. Answers whether there was one.
    pub(super) fn evict(&mut self, budget: &Budget) -> bool {
        if self.oldest == NONE {
            return false;
        }
        self.stats.evicted += 1;
        self.remove(self.oldest, budget);
        true
    }

    /// Frees at most `most` keys that are due, and answers how many it freed.
    pub(super) fn expire_due(&mut self, now: u64, most: usize, budget: &Budget) -> usize {
        let mut freed = 0;
        while freed < most {
            match self.expiry.first() {
                Some(&(at, handle)) if is_due(at, now) => {
                    self.stats.expired += 1;
                    self.remove(handle, budget);
                    freed += 1;
                }
                _ => break,
            }
        }
        freed
    }

    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.expiry.first().map(|&(at, _)| at)
    }

    /// Removes all keys of one database, or of all. What was there is freed off the worker.
    pub(super) fn flush(&mut self, db: Option<u8>, budget: &Budget) {
        match db {
            Some(db) if self.dbs[db as usize].keys as usize != self.table.len() => {
                let table = &self.table;
                let handles: Vec<u32> =
                    table.handles().filter(|&handle| table.entry(handle).db == db).collect();
                for handle in handles {
                    self.remove(handle, budget);
                }
            }
            _ => {
                let stats = ShardStats {
                    changes: self.stats.changes + self.table.len() as u64,
                    ..self.stats
                };
                let old = std::mem::replace(self, Shard { stats, ..Shard::new() });
                let charged: usize = old.table.handles().map(|handle| old.charged(handle)).sum();
                budget.release(charged + old.directory_charged);
                self.charge_directory(budget);
                if old.table.len() > 1000 {
                    std::thread::spawn(move || drop(old));
                }
            }
        }
    }

    /// Charges an entry for what it takes now.
    fn recharge(&mut self, handle: u32, budget: &Budget) {
        let entry = self.table.entry_mut(handle);
        let Value::Str(bytes) = &entry.data.value;
        let expiry = if entry.data.expires_at == 0 { 0 } else { EXPIRY_BYTES };
        let value = allocated(bytes.len() + entry.data.slack as usize);
        let charge = ENTRY_BYTES + entry.key.allocated() + value + expiry;
        let old = std::mem::replace(&mut entry.data.charged, charge as u32) as usize;
        if charge > old {
            budget.charge(charge - old);
        } else {
            budget.release(old - charge);
        }
        self.charge_directory(budget);
    }

    fn charge_directory(&mut self, budget: &Budget) {
        let now = self.table.directory_bytes();
        let before = std::mem::replace(&mut self.directory_charged, now);
        if now > before {
            budget.charge(now - before);
        } else if now < before {
            budget.release(before - now);
        }
    }

    fn link_newest(&mut self, handle: u32) {
        let older = std::mem::replace(&mut self.newest, handle);
        let item = &mut self.table.entry_mut(handle).data;
        item.older = older;
        item.newer = NONE;
        if older == NONE {
            self.oldest = handle;
        } else {
            self.table.entry_mut(older).data.newer = handle;
        }
    }

    fn unlink(&mut self, handle: u32) {
        let Item { newer, older, .. } = *self.item(handle);
        if newer == NONE {
            self.newest = older;
        } else {
            self.table.entry_mut(newer).data.older = older;
        }
        if older == NONE {
            self.oldest = newer;
        } else {
            self.table.entry_mut(older).data.newer = newer;
        }
    }

    /// Checks everything that must hold between the parts, and answers the keys from the least to the most
    /// recently used one.
    #[cfg(test)]
    pub(super) fn check(&self) -> (Vec<(u8, Vec<u8>)>, usize) {
        let (mut order, mut charged, mut before) = (Vec::new(), 0, NONE);
        let mut handle = self.oldest;
        let mut dbs = [DbStats::default(); DATABASES];
        while handle != NONE {
            let entry = self.table.entry(handle);
            assert_eq!(entry.data.older, before, "LRU links");
            assert_eq!(self.table.find(entry.hash, entry.db, &entry.key), Some(handle), "index");
            let Value::Str(bytes) = &entry.data.value;
            let value = allocated(bytes.len() + entry.data.slack as usize);
            let mut expected = ENTRY_BYTES + entry.key.allocated() + value;
            dbs[entry.db as usize].keys += 1;
            if entry.data.expires_at != 0 {
                expected += EXPIRY_BYTES;
                dbs[entry.db as usize].expires += 1;
                dbs[entry.db as usize].expires_at_sum += u128::from(entry.data.expires_at);
                assert!(self.expiry.contains(&(entry.data.expires_at, handle)), "expiry");
            }
            assert_eq!(entry.data.charged as usize, expected, "charge of {:?}", &*entry.key);
            charged += expected;
            order.push((entry.db, entry.key.to_vec()));
            before = handle;
            handle = entry.data.newer;
        }
        assert_eq!(before, self.newest, "newest");
        assert_eq!(order.len(), self.table.len(), "every entry is in the LRU order");
        assert_eq!(dbs, self.dbs, "counters of the databases");
        assert_eq!(self.expiry.len() as u64, dbs.iter().map(|db| db.expires).sum::<u64>());
        (order, charged + self.directory_charged)
    }
}

fn is_due(expires_at: u64, now: u64) -> bool {
    expires_at != 0 && expires_at <= now
}

fn seconds(now: u64) -> u32 {
    (now / 1000) as u32
}
