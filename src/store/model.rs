//! Holds the store against a plain model: a list of keys in order of use, with value and expiry. After each operation
//! the invariants of all shards are checked, every key is compared, and under the exact policies the order of eviction.
//!
//! For property tests and for the fuzz target.

use super::*;
use std::collections::HashMap;

/// What can be done to a store: with a database, a key, and what else it takes.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named after what they do")]
pub enum Op {
    Put(u8, u8, usize, Option<u64>),
    Append(u8, u8, usize),
    Get(u8, u8),
    Peek(u8, u8),
    Remove(u8, u8),
    Expire(u8, u8, Option<u64>),
    Flush(Option<u8>),
    Tick(u64),
    Switch(u64),
}

/// Keys there are.
pub const KEYS: u8 = 40;

/// Operations out of a fuzzer's bytes, four each.
pub fn decode(bytes: &[u8]) -> Vec<Op> {
    let decode_one = |&[kind, key, size, more]: &[u8; 4]| {
        let (db, key) = (kind >> 7, key % KEYS);
        let size = usize::from(size) * [1, 1, 1, 40][usize::from(more & 3)];
        // Whole ticks of the wheel, so that what is overdue is also due there.
        let ticks = u64::from(more >> 2) * wheel::TICK_MS;
        let time = (ticks > 0).then_some(ticks);
        match kind & 0x7F {
            0..40 => Op::Put(db, key, size, time),
            40..55 => Op::Append(db, key, size),
            55..80 => Op::Get(db, key),
            80..85 => Op::Peek(db, key),
            85..95 => Op::Remove(db, key),
            95..105 => Op::Expire(db, key, time),
            105..107 => Op::Flush((more & 1 == 0).then_some(db)),
            107..120 => Op::Tick(ticks.max(wheel::TICK_MS)),
            _ => Op::Switch(u64::from(more) % Policy::NAMES.len() as u64),
        }
    };
    bytes.as_chunks().0.iter().map(decode_one).collect()
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    db: u8,
    key: Vec<u8>,
    value: Vec<u8>,
    expires_at: u64,
}

impl Known {
    fn is_due(&self, now: u64) -> bool {
        self.expires_at != 0 && self.expires_at <= now
    }
}

type Present = HashMap<(u8, Vec<u8>), (Vec<u8>, u64)>;

/// Keys from the least to the most recently used one.
struct Model {
    keys: Vec<Known>,
    policy: Policy,
    /// Whether the store's order is known: the policy has one, and has not been changed.
    exact: bool,
    /// By shard.
    evicted: [u64; SHARDS],
}

impl Model {
    fn new(policy: Policy) -> Self {
        let exact = matches!(
            policy,
            Policy::AllkeysLru
                | Policy::AllkeysLrm
                | Policy::VolatileLru
                | Policy::VolatileLrm
                | Policy::NoEviction
        );
        Model { keys: Vec::new(), policy, exact, evicted: [0; SHARDS] }
    }

    fn find(&mut self, db: u8, key: &[u8], now: u64) -> Option<usize> {
        let at = self.keys.iter().position(|known| known.db == db && known.key == key)?;
        if self.keys[at].is_due(now) {
            self.keys.remove(at);
            return None;
        }
        Some(at)
    }

    /// Forgets the keys of a shard that the store has evicted since the last time, which must be the right ones.
    fn follow(&mut self, store: &Store, shard: usize, evicted: u64, present: &Present, now: u64) {
        let in_shard = |known: &Known| shard_index(store.hash(&known.key)) == shard;
        let gone = |known: &Known| {
            in_shard(known) && !present.contains_key(&(known.db, known.key.clone()))
        };
        // What is overdue goes first, and is not evicted.
        self.keys.retain(|known| !(known.is_due(now) && gone(known)));
        let count = evicted - std::mem::replace(&mut self.evicted[shard], evicted);
        let mut missing: Vec<Known> = Vec::new();
        self.keys.retain(|known| {
            let gone = gone(known);
            missing.extend(gone.then(|| known.clone()));
            !gone
        });
        assert_eq!(missing.len() as u64, count, "only evictions lose keys");
        if self.policy.is_volatile() && self.exact {
            assert!(missing.iter().all(|known| known.expires_at != 0), "only keys that expire");
        }
    }

    /// Whether the keys that are left are the ones an exact policy leaves: no key that is gone was used later than one
    /// that stays. Checked by comparing the order that is left, and what went by `oldest`.
    fn oldest(&self, store: &Store, shard: usize) -> Option<(u8, Vec<u8>)> {
        let eligible = |known: &&Known| {
            shard_index(store.hash(&known.key)) == shard
                && (!self.policy.is_volatile() || known.expires_at != 0)
        };
        self.keys.iter().find(eligible).map(|known| (known.db, known.key.clone()))
    }

    fn touch(&mut self, at: usize, write: bool) -> &mut Known {
        let moves = write || self.policy.renews_on_read();
        if !moves {
            return &mut self.keys[at];
        }
        self.keys[at..].rotate_left(1);
        let newest = self.keys.len() - 1;
        &mut self.keys[newest]
    }
}

fn key_bytes(key: u8) -> Vec<u8> {
    // One is too long for any cell.
    let padding = if key == 39 { 3000 } else { usize::from(key % 7) * 3 };
    format!("key:{key}:{}", "x".repeat(padding)).into_bytes()
}

/// Compares every key, its value, its expiry and its order within its shard, and the bytes charged.
fn compare(store: &Store, model: &mut Model, now: u64) {
    let mut charged = 0;
    for index in 0..SHARDS {
        let shard = store.lock(index);
        let (order, present) = shard.check();
        charged += shard.charged;
        let evicted = shard.stats.evicted;
        drop(shard);
        model.follow(store, index, evicted, &present, now);
        let expected: Vec<&Known> = model
            .keys
            .iter()
            .filter(|known| shard_index(store.hash(&known.key)) == index)
            .collect();
        assert_eq!(present.len(), expected.len(), "keys of shard {index}");
        for known in &expected {
            let (value, expires_at) = &present[&(known.db, known.key.clone())];
            assert_eq!((value, *expires_at), (&known.value, known.expires_at));
        }
        if model.exact {
            let expected: Vec<(u8, Vec<u8>)> = expected
                .iter()
                .filter(|known| !model.policy.orders_volatile() || known.expires_at != 0)
                .map(|known| (known.db, known.key.clone()))
                .collect();
            assert_eq!(order, expected, "order of eviction in shard {index}");
        }
    }
    assert_eq!(charged, store.budget.used(), "used_memory");
}

/// Evicts one key after another from a copy of what is left, in the order that the model expects.
fn drain(store: &Store, model: &mut Model, now: u64) {
    if !model.exact || model.policy == Policy::NoEviction {
        return;
    }
    for index in 0..SHARDS {
        let mut shard = store.lock(index);
        while shard.expire_due(now, 100, &store.budget) {}
        drop(shard);
        compare(store, model, now);
        while let Some(oldest) = model.oldest(store, index) {
            assert!(store.lock(index).evict(now, &store.budget));
            let (_, present) = store.lock(index).check();
            assert!(!present.contains_key(&oldest), "the oldest one goes first");
            compare(store, model, now);
        }
        assert!(!store.lock(index).evict(now, &store.budget));
    }
}

/// Does all this to a store and to the model.
///
/// # Panics
/// If they differ, or the store is not whole.
#[allow(clippy::unwrap_used, reason = "this is a test")]
pub fn run(limit: u64, policy: Policy, ops: Vec<Op>) {
    let store = Store::new(limit, policy);
    let (mut model, mut now) = (Model::new(policy), 1_763_000_000_000u64);
    for op in ops {
        match op {
            Op::Put(db, key, size, ttl) => {
                let (key, value) = (key_bytes(key), vec![key; size]);
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let room = keyspace.make_room(key.len() + size);
                drop(keyspace);
                compare(&store, &mut model, now);
                if room.is_err() {
                    assert!(policy_may_refuse(&store, key.len() + size));
                    continue;
                }
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let expires_at = ttl.map_or(0, |ttl| now + ttl);
                let expiry = ttl.map_or(Expiry::Never, |_| Expiry::At(expires_at));
                keyspace.put(&key, value.as_slice().into(), expiry).unwrap();
                drop(keyspace);
                if let Some(at) = model.find(db, &key, now) {
                    model.keys.remove(at);
                }
                model.keys.push(Known { db, key, value, expires_at });
            }
            Op::Append(db, key, size) => {
                let (key, value) = (key_bytes(key), vec![b'a'; size]);
                let old = model.find(db, &key, now).map_or(0, |at| model.keys[at].value.len());
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let room = keyspace.make_room(key.len() + old + size);
                drop(keyspace);
                compare(&store, &mut model, now);
                if room.is_err() {
                    assert!(policy_may_refuse(&store, key.len() + old + size));
                    continue;
                }
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let done = keyspace.modify(&key, old + size, |bytes| {
                    bytes.extend_from_slice(&value);
                    bytes.to_vec()
                });
                drop(keyspace);
                let at = model.find(db, &key, now).unwrap_or_else(|| {
                    model.keys.push(Known { db, key, value: vec![], expires_at: 0 });
                    model.keys.len() - 1
                });
                let known = model.touch(at, true);
                known.value.extend_from_slice(&value);
                assert_eq!(done.unwrap(), known.value);
            }
            Op::Get(db, key) => {
                let key = key_bytes(key);
                // As a batch of requests does; it must be harmless whatever is there.
                let hash = store.hash(&key);
                Ahead::STEPS.iter().all(|&step| store.prefetch(hash, step));
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let got = keyspace.get(&key).map(|Value::Str(string)| string.to_vec());
                let at = model.find(db, &key, now);
                assert_eq!(got, at.map(|at| model.touch(at, false).value.clone()));
            }
            Op::Peek(db, key) => {
                let key = key_bytes(key);
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let got = keyspace.view(&key, Access::Peek).map(|view| view.expires_at);
                let at = model.find(db, &key, now);
                let expected = at.map(|at| Some(model.keys[at].expires_at).filter(|&at| at != 0));
                assert_eq!(got, expected);
            }
            Op::Remove(db, key) => {
                let key = key_bytes(key);
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let removed = keyspace.remove(&key);
                let at = model.find(db, &key, now);
                assert_eq!(removed, at.map(|at| model.keys.remove(at)).is_some());
            }
            Op::Expire(db, key, ttl) => {
                let key = key_bytes(key);
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let expires_at = ttl.map_or(0, |ttl| now + ttl);
                let expiry = ttl.map_or(Expiry::Never, |_| Expiry::At(expires_at));
                let done = keyspace.expire(&key, expiry);
                let at = model.find(db, &key, now);
                assert_eq!(done, at.is_some());
                if let Some(at) = at {
                    let joins = model.policy.orders_volatile() && model.keys[at].expires_at == 0;
                    model.keys[at].expires_at = expires_at;
                    if joins && expires_at != 0 {
                        // It joins the keys that may be evicted as the newest of them.
                        model.touch(at, true);
                    }
                }
            }
            Op::Flush(db) => {
                store.lock_all(0, now).flush(db);
                model.keys.retain(|known| db.is_some_and(|db| db != known.db));
            }
            Op::Tick(step) => {
                now += step;
                while store.tick(now, true) {}
                for index in 0..SHARDS {
                    let shard = store.lock(index);
                    let (evicted, (_, present)) = (shard.stats.evicted, shard.check());
                    drop(shard);
                    model.follow(&store, index, evicted, &present, now);
                }
                assert!(model.keys.iter().all(|known| !known.is_due(now)), "freed in time");
                let volatile = store.budget.policy().is_volatile();
                let bounded =
                    limit != 0 && store.budget.policy() != Policy::NoEviction && !volatile;
                assert!(!bounded || store.budget.used() as u64 <= limit.max(empty_bytes(&store)));
            }
            Op::Switch(index) => {
                model.exact = false;
                store.budget.configure(limit, Policy::from_index(index));
            }
        }
        compare(&store, &mut model, now);
    }
    drain(&store, &mut model, now);
}

/// What no eviction frees: the index with a bucket a shard, its overflow buckets, the blocks for large values.
fn empty_bytes(store: &Store) -> u64 {
    (0..SHARDS).map(|index| store.lock(index).fixed_bytes() as u64).sum()
}

/// Whether a write may be refused: it can never fit, or nothing may be evicted for it.
fn policy_may_refuse(store: &Store, bytes: usize) -> bool {
    let policy = store.budget.policy();
    let stuck = policy == Policy::NoEviction || policy.is_volatile();
    !store.budget.could_hold(bytes) || (stuck && store.budget.excess(needed(bytes)) > 0)
}
