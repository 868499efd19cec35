//! The shards that one command, or one transaction, has locked: the operations handlers are written in.

use super::{DATABASES, DbStats, SHARDS, Shard, ShardStats, Store, Value, shard_index};
use crate::resp::Error;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::sync::MutexGuard;

/// How a command looks at a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads the value: counts as hit or miss, and as use.
    Read,
    /// Asks about the key without using it (TTL, TYPE, OBJECT): counts as hit or miss only.
    Peek,
    /// Looks in order to write: counts as use only.
    Write,
}

/// What a write does to the time a key expires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It stays.
    Keep,
    /// The key does not expire.
    Never,
    /// It expires at this time, in milliseconds since 1970.
    At(u64),
}

/// What there is to know about a key.
pub struct View<'a> {
    /// Its value.
    pub value: &'a Value,
    /// When it expires, in milliseconds since 1970.
    pub expires_at: Option<u64>,
    /// Seconds since it was last used.
    pub idle_s: u64,
    /// Bytes it takes, bookkeeping included.
    pub charged: usize,
}

/// Locked shards of a store, one database of it, and the time.
pub struct Keyspace<'a> {
    store: Option<&'a Store>,
    guards: SmallVec<[(usize, MutexGuard<'a, Shard>); 1]>,
    /// Where a key lies whose hash is known, and the hash: the same key is often used several times.
    known: (*const u8, usize, u64),
    /// The database that keys are looked up in.
    pub db: u8,
    /// The time, in milliseconds since 1970.
    pub now: u64,
}

impl<'a> Keyspace<'a> {
    pub(super) fn new(
        store: Option<&'a Store>,
        guards: SmallVec<[(usize, MutexGuard<'a, Shard>); 1]>,
        db: u8,
        now: u64,
    ) -> Self {
        Keyspace { store, guards, known: (std::ptr::null(), 0, 0), db, now }
    }

    /// Remembers the hash of a key for as long as the key stays where it is.
    pub(super) fn remember(&mut self, key: &[u8], hash: u64) {
        self.known = (key.as_ptr(), key.len(), hash);
    }

    /// The keyspace of a server that holds no keys: a coordinator.
    pub fn nowhere(db: u8, now: u64) -> Self {
        Keyspace::new(None, SmallVec::new(), db, now)
    }

    /// The store these shards belong to, if this server has one.
    pub fn store(&self) -> Option<&'a Store> {
        self.store
    }

    /// What there is of a key.
    pub fn view(&mut self, key: &[u8], access: Access) -> Option<View<'_>> {
        let now = self.now;
        let (shard, handle) = self.find(key, access);
        let item = shard.item(handle?);
        Some(View {
            value: &item.value,
            expires_at: (item.expires_at != 0).then_some(item.expires_at),
            idle_s: (now / 1000).saturating_sub(u64::from(item.used_at)),
            charged: shard.charged(handle?),
        })
    }

    /// The value of a key that is read.
    pub fn get(&mut self, key: &[u8]) -> Option<&Value> {
        self.view(key, Access::Read).map(|view| view.value)
    }

    /// Whether a key is there, without any trace of the question.
    pub fn contains(&mut self, key: &[u8]) -> bool {
        let (store, hash, db, now) = self.prepare(key);
        let shard = self.shard(hash);
        shard.find(hash as u32, db, key, now, &store.budget).is_some()
    }

    /// Sets a key.
    ///
    /// # Errors
    /// `OOM` if the value alone is larger than the memory limit; then nothing is changed.
    pub fn put(&mut self, key: &[u8], value: Value, expiry: Expiry) -> Result<(), Error> {
        let (store, hash, db, now) = self.prepare(key);
        let Value::Str(bytes) = &value;
        if !store.budget.could_hold(bytes.len() + key.len()) {
            return Err(Error::OOM);
        }
        let shard = self.shard(hash);
        let handle = match shard.find(hash as u32, db, key, now, &store.budget) {
            Some(handle) => {
                shard.touch(handle, now);
                // Large values are freed when the last reply that holds them is sent, not here.
                drop(shard.replace(handle, value, 0, &store.budget));
                handle
            }
            None => shard.insert(hash as u32, db, key, value, now, &store.budget),
        };
        match expiry {
            Expiry::Keep => {}
            Expiry::Never => shard.set_expiry(handle, 0, &store.budget),
            Expiry::At(at) => shard.set_expiry(handle, at, &store.budget),
        }
        Ok(())
    }

    /// Changes a string in place, an absent one being empty; the expiry stays. `new_len` is the length it will
    /// have, at most. Answers what `change` answers.
    ///
    /// # Errors
    /// `OOM` if the new value alone is larger than the memory limit.
    pub fn modify<T>(
        &mut self,
        key: &[u8],
        new_len: usize,
        change: impl FnOnce(&mut BytesMut) -> T,
    ) -> Result<T, Error> {
        let (store, hash, db, now) = self.prepare(key);
        if !store.budget.could_hold(new_len + key.len()) {
            return Err(Error::OOM);
        }
        let shard = self.shard(hash);
        let found = shard.find(hash as u32, db, key, now, &store.budget);
        let handle = match found {
            Some(handle) => handle,
            None => {
                let empty = Value::Str(Bytes::new());
                shard.insert(hash as u32, db, key, empty, now, &store.budget)
            }
        };
        shard.touch(handle, now);
        let Value::Str(old) = shard.replace(handle, Value::Str(Bytes::new()), 0, &store.budget);
        // In place unless a reply still holds the value.
        let mut bytes = old.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let answer = change(&mut bytes);
        // What growth by doubling leaves unused is kept for the next change, and charged; more is given back.
        let slack = bytes.capacity() - bytes.len();
        let (bytes, slack) = if slack > bytes.len() + 64 {
            (Bytes::copy_from_slice(&bytes), 0)
        } else {
            (bytes.freeze(), slack)
        };
        shard.replace(handle, Value::Str(bytes), slack, &store.budget);
        Ok(answer)
    }

    /// Sets when a key expires. Answers whether the key is there.
    pub fn expire(&mut self, key: &[u8], expiry: Expiry) -> bool {
        let (store, hash, db, now) = self.prepare(key);
        let shard = self.shard(hash);
        let Some(handle) = shard.find(hash as u32, db, key, now, &store.budget) else {
            return false;
        };
        match expiry {
            Expiry::Keep => {}
            Expiry::Never => shard.set_expiry(handle, 0, &store.budget),
            Expiry::At(at) if at <= now => drop(shard.remove(handle, &store.budget)),
            Expiry::At(at) => shard.set_expiry(handle, at, &store.budget),
        }
        true
    }

    /// Removes a key and gives back its value and when it would have expired.
    pub fn take(&mut self, key: &[u8]) -> Option<(Value, Expiry)> {
        let (store, hash, db, now) = self.prepare(key);
        let shard = self.shard(hash);
        let handle = shard.find(hash as u32, db, key, now, &store.budget)?;
        let (value, expires_at) = shard.remove(handle, &store.budget);
        let expiry = if expires_at == 0 { Expiry::Never } else { Expiry::At(expires_at) };
        Some((value, expiry))
    }

    /// Removes a key. Answers whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.take(key).is_some()
    }

    /// Removes all keys of a database, or of all; needs all shards.
    pub fn flush(&mut self, db: Option<u8>) {
        let store = self.store;
        for (_, shard) in &mut self.guards {
            if let Some(store) = store {
                shard.flush(db, &store.budget);
            }
        }
    }

    /// Counters of each database over the locked shards.
    pub fn db_stats(&self) -> [DbStats; DATABASES] {
        let mut sum = [DbStats::default(); DATABASES];
        for (_, shard) in &self.guards {
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
        for (_, shard) in &self.guards {
            sum.hits += shard.stats.hits;
            sum.misses += shard.stats.misses;
            sum.expired += shard.stats.expired;
            sum.evicted += shard.stats.evicted;
            sum.changes += shard.stats.changes;
        }
        sum
    }

    /// Sets the counters of the locked shards to zero.
    pub fn reset_stats(&mut self) {
        for (_, shard) in &mut self.guards {
            shard.stats = ShardStats { changes: shard.stats.changes, ..ShardStats::default() };
        }
    }

    /// Visits keys of the database from a cursor on, about `count` of them, and answers where to go on (0 at the
    /// end); needs all shards. Every key that stays is met by a scan from 0 to 0, whatever happens meanwhile.
    /// A cursor is the shard's number and a position in its table, below 2^36.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &Value)) -> u64 {
        let (mut index, mut position) = ((cursor >> 32) as usize, cursor as u32);
        // Keys of other databases are passed over: bounds the work of one call where they are many.
        let (mut met, mut passed) = (0, 0);
        while let Some((_, shard)) = self.guards.get(index) {
            let next = shard.table.scan(position, |handle| {
                let entry = shard.table.entry(handle);
                let item = &entry.data;
                let live = item.expires_at == 0 || item.expires_at > self.now;
                if entry.db == self.db && live {
                    visit(&entry.key, &item.value);
                    met += 1;
                }
            });
            passed += 1;
            (index, position) = match next {
                Some(next) => (index, next),
                None => (index + 1, 0),
            };
            if met >= count || passed >= count.saturating_mul(10).max(10) {
                break;
            }
        }
        if index >= SHARDS { 0 } else { (index as u64) << 32 | u64::from(position) }
    }

    /// A random key of the database that has not expired; needs all shards.
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        let (db, now) = (self.db, self.now);
        let total: u64 = self.guards.iter().map(|(_, shard)| shard.dbs[db as usize].keys).sum();
        if total == 0 {
            return None;
        }
        // Draws until a key of this database is met; a database that is a small part of the store is listed.
        for _ in 0..100 {
            let mut number = fastrand::u64(..total);
            let shard = self.guards.iter().map(|(_, shard)| shard).find(|shard| {
                let keys = shard.dbs[db as usize].keys;
                let here = number < keys;
                number = number.wrapping_sub(if here { 0 } else { keys });
                here
            })?;
            let handle = shard.table.random(|bound| fastrand::u32(..bound))?;
            let entry = shard.table.entry(handle);
            let expires_at = entry.data.expires_at;
            if entry.db == db && (expires_at == 0 || expires_at > now) {
                return Some(entry.key.to_vec());
            }
        }
        let mut keys = Vec::new();
        self.scan_all(|key| keys.push(key.to_vec()));
        fastrand::choice(keys)
    }

    /// Visits every key of the database; needs all shards.
    pub fn scan_all(&self, mut visit: impl FnMut(&[u8])) {
        let mut cursor = 0;
        loop {
            cursor = self.scan(cursor, usize::MAX, |key, _| visit(key));
            if cursor == 0 {
                return;
            }
        }
    }

    /// Evicts until `need` more bytes fit: from a locked shard, and where that is not enough from all shards in
    /// turn, so that one large value does not empty the shard that it goes to.
    ///
    /// # Errors
    /// `OOM` if they cannot fit, or the policy frees nothing; then nothing is evicted.
    pub fn make_room(&mut self, need: usize) -> Result<(), Error> {
        let Some(store) = self.store else { return Ok(()) };
        let budget = &store.budget;
        if budget.excess(need) == 0 {
            return Ok(());
        }
        if !budget.could_hold(need) || budget.policy() == super::Policy::NoEviction {
            return Err(Error::OOM);
        }
        loop {
            let mut own = 0;
            for (_, shard) in &mut self.guards {
                if budget.excess(need) == 0 {
                    return Ok(());
                }
                own += usize::from(shard.evict(budget));
            }
            if store.evict_elsewhere(need) + own == 0 {
                // Nothing is left here; what others hold locked at this moment they bring under the limit.
                return Ok(());
            }
        }
    }

    fn find(&mut self, key: &[u8], access: Access) -> (&mut Shard, Option<u32>) {
        let (store, hash, db, now) = self.prepare(key);
        let shard = self.shard(hash);
        let handle = shard.find(hash as u32, db, key, now, &store.budget);
        if access != Access::Write {
            match handle {
                Some(_) => shard.stats.hits += 1,
                None => shard.stats.misses += 1,
            }
        }
        if let Some(handle) = handle.filter(|_| access != Access::Peek) {
            shard.touch(handle, now);
        }
        (shard, handle)
    }

    /// What an operation on `key` needs.
    ///
    /// # Panics
    /// On a server without a store, whose routes run no handler with keys.
    fn prepare(&self, key: &[u8]) -> (&'a Store, u64, u8, u64) {
        #[allow(clippy::expect_used, reason = "a route that forgot to lock is a bug, not an input")]
        let store = self.store.expect("handlers with keys run only on nodes");
        let (start, len, hash) = self.known;
        let hash = if (start, len) == (key.as_ptr(), key.len()) { hash } else { store.hash(key) };
        (store, hash, self.db, self.now)
    }

    fn shard(&mut self, hash: u64) -> &mut Shard {
        let wanted = shard_index(hash);
        let place = self.guards.iter().position(|&(index, _)| index == wanted);
        #[allow(
            clippy::expect_used,
            reason = "a handler that uses a key it did not declare is a bug"
        )]
        let place = place.expect("the shard of every declared key is locked");
        &mut self.guards[place].1
    }
}
