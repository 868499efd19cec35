//! The shards that one command, or one transaction, has locked: the operations handlers are written in.

mod sums;

use super::entry::Content;
use super::large::drop_elsewhere;
use super::usage::{Key, Use};
use super::value::{Str, Value};
use super::{Ahead, Policy, SHARDS, Shard, Store, shard_index};
use crate::resp::Error;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::sync::MutexGuard;

/// Keys that one write evicts, if need be, although fewer would make room for it.
const EVICTIONS_MIN: usize = 32;

/// Keys of a shard that FLUSHALL frees itself.
const KEYS_DROPPED_MAX: usize = 100;

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
    pub value: Value<'a>,
    /// When it expires, in milliseconds since 1970.
    pub expires_at: Option<u64>,
    /// Seconds since it was last used.
    pub idle_s: u64,
    /// How often it was used, as the policy counts it, if it does.
    pub frequency: Option<u8>,
    /// Bytes it takes, bookkeeping included.
    pub charged: usize,
}

/// Locked shards of a store, one database of it, and the time.
pub struct Keyspace<'a> {
    store: Option<&'a Store>,
    /// In index order, those of the shards whose bits are set in `locked`.
    guards: SmallVec<[MutexGuard<'a, Shard>; 1]>,
    locked: u32,
    /// Where the guard of each locked shard is: quicker to look up than to count bits.
    places: [u8; SHARDS],
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
        guards: SmallVec<[MutexGuard<'a, Shard>; 1]>,
        locked: u32,
        db: u8,
        now: u64,
    ) -> Self {
        let (mut places, mut rest) = ([0; SHARDS], locked);
        for place in 0..guards.len() {
            places[rest.trailing_zeros() as usize % SHARDS] = place as u8;
            rest &= rest.wrapping_sub(1);
        }
        Keyspace { store, guards, locked, places, known: (std::ptr::null(), 0, 0), db, now }
    }

    /// Whether the shard of the key with this hash is locked.
    pub fn holds(&self, hash: u64) -> bool {
        self.locked >> shard_index(hash) & 1 == 1
    }

    /// Turns to another request, about one key whose shard is locked and whose hash is known.
    pub fn turn_to(&mut self, db: u8, now: u64, key: &[u8], hash: u64) {
        (self.db, self.now) = (db, now);
        self.remember(key, hash);
    }

    /// Unlocks everything.
    pub fn release(&mut self) {
        self.guards.clear();
        self.locked = 0;
    }

    /// Fetches ahead what a look-up of the key with this hash will need, if its shard is locked. Answers whether another
    /// step is of use.
    pub fn prefetch(&self, hash: u64, what: Ahead) -> bool {
        self.holds(hash) && self.guards[self.rank(shard_index(hash))].prefetch(hash as u32, what)
    }

    /// The place of a locked shard among the guards.
    fn rank(&self, index: usize) -> usize {
        self.places[index].into()
    }

    /// Remembers the hash of a key for as long as the key stays where it is.
    pub(super) fn remember(&mut self, key: &[u8], hash: u64) {
        self.known = (key.as_ptr(), key.len(), hash);
    }

    /// The keyspace of a server that holds no keys: a coordinator.
    pub fn nowhere(db: u8, now: u64) -> Self {
        Keyspace::new(None, SmallVec::new(), 0, db, now)
    }

    /// The store these shards belong to, if this server has one.
    pub fn store(&self) -> Option<&'a Store> {
        self.store
    }

    /// What there is of a key.
    pub fn view(&mut self, key: &[u8], access: Access) -> Option<View<'_>> {
        let (store, hash, db, now) = self.prepare(key);
        let budget = &store.budget;
        let shard = self.shard(hash);
        let found = shard.find(hash as u32, db, key, now, budget);
        if access != Access::Write {
            let what = if found.is_some() { Use::Hit } else { Use::Miss };
            *match what {
                Use::Hit => &mut shard.stats.hits,
                _ => &mut shard.stats.misses,
            } += 1;
            let key = Key { db, name: key, hash };
            match access {
                Access::Read => shard.note_use(key, what, found, now, budget),
                _ => shard.note_peek(key, what),
            }
        }
        let handle = found?;
        if access != Access::Peek {
            shard.touch(handle, false, now, budget);
        }
        Some(shard.view(handle, now, budget))
    }

    /// The value of a key that is read.
    pub fn get(&mut self, key: &[u8]) -> Option<Value<'_>> {
        let (store, hash, db, now) = self.prepare(key);
        let shard = self.shard(hash);
        let Some(handle) = shard.find(hash as u32, db, key, now, &store.budget) else {
            shard.stats.misses += 1;
            shard.note_use(Key { db, name: key, hash }, Use::Miss, None, now, &store.budget);
            return None;
        };
        shard.stats.hits += 1;
        shard.note_use(Key { db, name: key, hash }, Use::Hit, Some(handle), now, &store.budget);
        shard.touch(handle, false, now, &store.budget);
        Some(Value::Str(shard.entries.value(handle)))
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
    pub fn put(&mut self, key: &[u8], value: Str<'_>, expiry: Expiry) -> Result<(), Error> {
        let (store, hash, db, now) = self.prepare(key);
        let budget = &store.budget;
        if !budget.could_hold(value.len() + key.len()) {
            return Err(Error::OOM);
        }
        let shard = self.shard(hash);
        let found = shard.find(hash as u32, db, key, now, budget);
        let expires_at = match (expiry, found) {
            (Expiry::At(at), _) => at,
            (Expiry::Keep, Some(handle)) => shard.entries.expires_at(handle),
            (Expiry::Keep | Expiry::Never, _) => 0,
        };
        let content = Content { db, key, value, slack: 0, expires_at };
        match found {
            Some(handle) => {
                shard.touch(handle, true, now, budget);
                shard.replace(hash as u32, handle, content, now, budget);
            }
            None => shard.insert(hash as u32, content, now, budget),
        }
        shard.note_write(Key { db, name: key, hash }, key.len() + value.len(), now, budget);
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
        let budget = &store.budget;
        if !budget.could_hold(new_len + key.len()) {
            return Err(Error::OOM);
        }
        let shard = self.shard(hash);
        if let Some(handle) = shard.find(hash as u32, db, key, now, budget) {
            shard.touch(handle, true, now, budget);
            let answer = shard.modify(hash as u32, handle, new_len, now, budget, change);
            shard.note_write(Key { db, name: key, hash }, key.len() + new_len, now, budget);
            return Ok(answer);
        }
        let mut bytes = BytesMut::new();
        let answer = change(&mut bytes);
        let slack = bytes.capacity() - bytes.len();
        let bytes = bytes.freeze();
        let content = Content { db, key, value: (&bytes).into(), slack, expires_at: 0 };
        shard.insert(hash as u32, content, now, budget);
        shard.note_write(Key { db, name: key, hash }, key.len() + new_len, now, budget);
        Ok(answer)
    }

    /// Sets when a key expires. Answers whether the key is there.
    pub fn expire(&mut self, key: &[u8], expiry: Expiry) -> bool {
        let (store, hash, db, now) = self.prepare(key);
        let budget = &store.budget;
        let shard = self.shard(hash);
        let Some(handle) = shard.find(hash as u32, db, key, now, budget) else { return false };
        match expiry {
            Expiry::Keep => {}
            Expiry::Never => shard.set_expiry(hash as u32, handle, 0, now, budget),
            Expiry::At(at) if at <= now => shard.remove(handle, Some(hash as u32), budget),
            Expiry::At(at) => shard.set_expiry(hash as u32, handle, at, now, budget),
        }
        if store.usage.is_tracked(hash) {
            let key = Key { db, name: key, hash };
            match expiry {
                Expiry::Keep => {}
                Expiry::Never => store.usage.track_expiry(key, 0),
                Expiry::At(at) if at <= now => store.usage.track_removal(key),
                Expiry::At(at) => store.usage.track_expiry(key, at),
            }
        }
        true
    }

    /// Removes a key and gives back its value and when it would have expired.
    pub fn take(&mut self, key: &[u8]) -> Option<(Bytes, Expiry)> {
        let (store, hash, db, now) = self.prepare(key);
        let shard = self.shard(hash);
        let handle = shard.find(hash as u32, db, key, now, &store.budget)?;
        let value = match shard.entries.slack(handle) {
            0 => shard.entries.value(handle).to_bytes(),
            // Whoever has it next is not told what its memory is larger than itself.
            _ => Bytes::copy_from_slice(&shard.entries.value(handle)),
        };
        let expiry = match shard.entries.expires_at(handle) {
            0 => Expiry::Never,
            at => Expiry::At(at),
        };
        shard.remove(handle, Some(hash as u32), &store.budget);
        if store.usage.is_tracked(hash) {
            store.usage.track_removal(Key { db, name: key, hash });
        }
        Some((value, expiry))
    }

    /// Removes a key. Answers whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let (store, hash, db, now) = self.prepare(key);
        let shard = self.shard(hash);
        let found = shard.find(hash as u32, db, key, now, &store.budget);
        if let Some(handle) = found {
            shard.remove(handle, Some(hash as u32), &store.budget);
        }
        // Evicted before, it is deleted all the same.
        if store.usage.is_tracked(hash) {
            store.usage.track_removal(Key { db, name: key, hash });
        }
        found.is_some()
    }

    /// Removes all keys of a database, or of all; needs all shards.
    pub fn flush(&mut self, db: Option<u8>) {
        let Some(store) = self.store else { return };
        let (policy, budget) = (store.budget.policy(), &store.budget);
        store.usage.flushed(db);
        let guards = self.guards.iter_mut();
        let old: Vec<Shard> = guards.filter_map(|shard| shard.flush(db, policy, budget)).collect();
        if old.iter().any(|shard| shard.index.len() > KEYS_DROPPED_MAX) {
            drop_elsewhere(old);
        }
    }

    /// Visits keys of the database from a cursor on, about `count` of them, and answers where to go on (0 at the
    /// end); needs all shards. Every key that stays is met by a scan from 0 to 0, whatever happens meanwhile.
    /// A cursor is the shard's number and a position in its table, below 2^36.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], Value<'_>)) -> u64 {
        let (mut index, mut position) = ((cursor >> 32) as usize, cursor as u32);
        // Keys of other databases are passed over: bounds the work of one call where they are many.
        let (mut met, mut passed) = (0, 0);
        while let Some(shard) = self.guards.get(index) {
            let entries = &shard.entries;
            let next = shard.index.scan(position, entries, |handle| {
                if entries.meta(handle).db() == self.db && shard.is_live(handle, self.now) {
                    visit(entries.key(handle), Value::Str(entries.value(handle)));
                    met += 1;
                }
                passed += 1;
            });
            passed += 1;
            (index, position) = match next {
                Some(next) => (index, next),
                None => (index + 1, 0),
            };
            if met >= count || passed >= count.saturating_mul(10).max(100) {
                break;
            }
        }
        if index >= SHARDS { 0 } else { (index as u64) << 32 | u64::from(position) }
    }

    /// A random key of the database that has not expired; needs all shards.
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        let (db, now) = (self.db, self.now);
        let total: u64 = self.guards.iter().map(|shard| shard.dbs[db as usize].keys).sum();
        if total == 0 {
            return None;
        }
        // Draws until a key of this database is met; a database that is a small part of the store is listed.
        for _ in 0..100 {
            let mut number = fastrand::u64(..total);
            let shard = self.guards.iter().find(|shard| {
                let keys = shard.dbs[db as usize].keys;
                let here = number < keys;
                number = number.wrapping_sub(if here { 0 } else { keys });
                here
            })?;
            let mut bucket: SmallVec<[u32; 16]> = SmallVec::new();
            shard.index.visit_random(|bound| fastrand::u32(..bound), |handle| bucket.push(handle));
            let found = fastrand::choice(bucket);
            let fits =
                |&handle: &u32| shard.entries.meta(handle).db() == db && shard.is_live(handle, now);
            if let Some(handle) = found.filter(fits) {
                return Some(shard.entries.key(handle).to_vec());
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

    /// Evicts until a write of so many bytes fits: from a locked shard, and where that is not enough from all shards
    /// in turn, so that one large value does not empty the shard that it goes to. After the limit was lowered it
    /// evicts more than the write needs, but not all there is to evict: [`Store::tick`] does that.
    ///
    /// # Errors
    /// `OOM` if they cannot fit, or the policy frees nothing; then nothing is evicted.
    pub fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        let Some(store) = self.store else { return Ok(()) };
        let (budget, need) = (&store.budget, super::needed(bytes));
        if budget.excess(need) == 0 {
            return Ok(());
        }
        let policy = budget.policy();
        if !budget.could_hold(bytes) || policy == Policy::NoEviction {
            return Err(Error::OOM);
        }
        let (before, mut evicted) = (budget.used(), 0);
        // Where the key is known its shard comes first; what else is locked is for other requests.
        let home =
            if self.known.0.is_null() { self.locked } else { 1 << shard_index(self.known.2) };
        loop {
            let own = self.evict_from(home, need);
            let elsewhere = self.evict_from(!home, need);
            if own + elsewhere == 0 {
                // Nothing is left here; what others hold locked at this moment they bring under the limit.
                let hopeless = policy.is_volatile() && budget.excess(need) > 0;
                return if hopeless { Err(Error::OOM) } else { Ok(()) };
            }
            evicted += own + elsewhere;
            if evicted >= EVICTIONS_MIN && before.saturating_sub(budget.used()) >= 2 * need {
                return Ok(());
            }
        }
    }

    /// Evicts a key from each of these shards, one after another from a random one on, until `need` bytes fit; passes
    /// over those that others have locked. Answers from how many.
    pub(super) fn evict_from(&mut self, wanted: u32, need: usize) -> usize {
        let Some(store) = self.store else { return 0 };
        let (budget, now, first) = (&store.budget, self.now, fastrand::usize(..SHARDS));
        let mut evicted = 0;
        for index in (0..SHARDS).map(|offset| (first + offset) % SHARDS) {
            if budget.excess(need) == 0 {
                break;
            }
            if wanted >> index & 1 == 0 {
                continue;
            }
            evicted += if self.locked >> index & 1 == 1 {
                let place = self.rank(index);
                usize::from(self.guards[place].evict(now, budget))
            } else {
                let shard = store.shards[index].try_lock();
                shard.map_or(0, |mut shard| usize::from(shard.evict(now, budget)))
            };
        }
        evicted
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
        assert!(self.holds(hash), "the shard of every declared key is locked");
        let place = self.rank(shard_index(hash));
        &mut self.guards[place]
    }
}
