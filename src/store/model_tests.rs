//! Holds the store against a plain model: a list of keys in order of use, with value and expiry.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Op {
    Put(u8, u8, usize, Option<u64>),
    Append(u8, u8, usize),
    Get(u8, u8),
    Peek(u8, u8),
    Remove(u8, u8),
    Expire(u8, u8, Option<u64>),
    Flush(Option<u8>),
    Tick(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let db = 0u8..2;
    let key = 0u8..40;
    prop_oneof![
        6 => (db.clone(), key.clone(), 0usize..400, prop::option::of(1u64..2000))
            .prop_map(|(d, k, n, e)| Op::Put(d, k, n, e)),
        2 => (db.clone(), key.clone(), 0usize..100).prop_map(|(d, k, n)| Op::Append(d, k, n)),
        5 => (db.clone(), key.clone()).prop_map(|(d, k)| Op::Get(d, k)),
        1 => (db.clone(), key.clone()).prop_map(|(d, k)| Op::Peek(d, k)),
        2 => (db.clone(), key.clone()).prop_map(|(d, k)| Op::Remove(d, k)),
        2 => (db.clone(), key, prop::option::of(1u64..2000)).prop_map(|(d, k, e)| Op::Expire(d, k, e)),
        1 => prop::option::weighted(0.8, db).prop_map(Op::Flush),
        3 => (1u64..500).prop_map(Op::Tick),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    db: u8,
    key: Vec<u8>,
    value: Vec<u8>,
    expires_at: u64,
}

/// Keys from the least to the most recently used one.
#[derive(Default)]
struct Model {
    keys: Vec<Known>,
    /// By shard.
    evicted: [u64; SHARDS],
}

impl Model {
    fn find(&mut self, db: u8, key: &[u8], now: u64) -> Option<usize> {
        let at = self.keys.iter().position(|known| known.db == db && known.key == key)?;
        let expires_at = self.keys[at].expires_at;
        if expires_at != 0 && expires_at <= now {
            self.keys.remove(at);
            return None;
        }
        Some(at)
    }

    /// Evicts the least recently used keys of a shard until as many are gone as there.
    fn follow(&mut self, store: &Store, shard: usize, evicted: u64) {
        while self.evicted[shard] < evicted {
            let in_shard = |known: &Known| shard_index(store.hash(&known.key)) == shard;
            let oldest = self.keys.iter().position(in_shard);
            self.keys.remove(oldest.expect("only keys that are there are evicted"));
            self.evicted[shard] += 1;
        }
    }

    fn touch(&mut self, at: usize) -> &mut Known {
        let known = self.keys.remove(at);
        self.keys.push(known);
        self.keys.last_mut().unwrap()
    }
}

fn key_bytes(key: u8) -> Vec<u8> {
    format!("key:{key}:{}", "x".repeat(usize::from(key % 7) * 3)).into_bytes()
}

/// Compares every key, its order within its shard, every expiry, and the bytes charged.
fn compare(store: &Store, model: &Model) {
    let mut charged = 0;
    for index in 0..SHARDS {
        let (order, bytes) = store.lock(index).check();
        charged += bytes;
        let expected: Vec<(u8, Vec<u8>)> = model
            .keys
            .iter()
            .filter(|known| shard_index(store.hash(&known.key)) == index)
            .map(|known| (known.db, known.key.clone()))
            .collect();
        assert_eq!(order, expected, "order of use in shard {index}");
    }
    assert_eq!(charged, store.budget.used(), "used_memory");
    assert_eq!(std::array::from_fn(|index| store.lock(index).stats.evicted), model.evicted);
}

fn run(limit: u64, ops: Vec<Op>) {
    let store = Store::new(limit, Policy::AllkeysLru);
    let (mut model, mut now) = (Model::default(), 1_000_000u64);
    for op in ops {
        match op {
            Op::Put(db, key, size, ttl) => {
                let (key, value) = (key_bytes(key), vec![key; size]);
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                make_room(&store, &mut model, &mut keyspace, &key, size);
                let expires_at = ttl.map(|ttl| now + ttl);
                let expiry = expires_at.map_or(Expiry::Never, Expiry::At);
                let put = keyspace.put(&key, Value::Str(value.clone().into()), expiry);
                if limit != 0 && (size + key.len()) as u64 > limit {
                    assert_eq!(put, Err(crate::resp::Error::OOM));
                } else {
                    put.unwrap();
                    if let Some(at) = model.find(db, &key, now) {
                        model.keys.remove(at);
                    }
                    let expires_at = expires_at.unwrap_or(0);
                    model.keys.push(Known { db, key, value, expires_at });
                }
            }
            Op::Append(db, key, size) => {
                let (key, value) = (key_bytes(key), vec![b'a'; size]);
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                make_room(&store, &mut model, &mut keyspace, &key, size);
                let old = model.find(db, &key, now);
                let old_len = old.map_or(0, |at| model.keys[at].value.len());
                let done = keyspace.modify(&key, old_len + size, |bytes| {
                    bytes.extend_from_slice(&value);
                    bytes.to_vec()
                });
                if limit != 0 && (old_len + size + key.len()) as u64 > limit {
                    assert_eq!(done, Err(crate::resp::Error::OOM));
                } else {
                    if old.is_none() {
                        model.keys.push(Known { db, key, value: vec![], expires_at: 0 });
                    }
                    let at = old.unwrap_or(model.keys.len() - 1);
                    let known = model.touch(at);
                    known.value.extend_from_slice(&value);
                    assert_eq!(done.unwrap(), known.value);
                }
            }
            Op::Get(db, key) => {
                let key = key_bytes(key);
                let mut keyspace = store.lock_keys(db, now, [key.as_slice()].into_iter());
                let got = keyspace.get(&key).map(|Value::Str(bytes)| bytes.to_vec());
                let at = model.find(db, &key, now);
                assert_eq!(got, at.map(|at| model.touch(at).value.clone()));
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
                let expires_at = ttl.map(|ttl| now + ttl);
                let done = keyspace.expire(&key, expires_at.map_or(Expiry::Never, Expiry::At));
                let at = model.find(db, &key, now);
                assert_eq!(done, at.is_some());
                if let Some(at) = at {
                    model.keys[at].expires_at = expires_at.unwrap_or(0);
                }
            }
            Op::Flush(db) => {
                store.lock_all(0, now).flush(db);
                model.keys.retain(|known| db.is_some_and(|db| db != known.db));
            }
            Op::Tick(step) => {
                now += step;
                while store.tick(now, true) {}
                model.keys.retain(|known| known.expires_at == 0 || known.expires_at > now);
                assert!(limit == 0 || store.budget.used() as u64 <= limit.max(EMPTY_BYTES));
                for index in 0..SHARDS {
                    let evicted = store.lock(index).stats.evicted;
                    model.follow(&store, index, evicted);
                }
            }
        }
        compare(&store, &model);
    }
}

/// The directories of all shards, which no eviction frees.
const EMPTY_BYTES: u64 = (SHARDS * 4096) as u64;

/// Evicts in the store, and in the model what the store must have evicted.
fn make_room(
    store: &Store,
    model: &mut Model,
    keyspace: &mut Keyspace<'_>,
    key: &[u8],
    need: usize,
) {
    if keyspace.make_room(need).is_ok() {
        let own = shard_index(store.hash(key));
        model.follow(store, own, keyspace.stats().evicted);
        for index in (0..SHARDS).filter(|&index| index != own) {
            let evicted = store.lock(index).stats.evicted;
            model.follow(store, index, evicted);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn matches_the_model(
        limit in prop_oneof![Just(0u64), Just(300), Just(EMPTY_BYTES + 1500), Just(EMPTY_BYTES + 8000)],
        ops in prop::collection::vec(op(), 1..250),
    ) {
        run(limit, ops);
    }
}

#[test]
fn the_least_recently_used_key_goes_first() {
    let store = Store::new(0, Policy::AllkeysLru);
    let mut keyspace = store.lock_all(0, 1000);
    for key in 0u32..2000 {
        keyspace.put(&key.to_be_bytes(), Value::Str("v".into()), Expiry::Never).unwrap();
    }
    // The first thousand become the newest, whatever shard they are in.
    for key in 0u32..1000 {
        assert!(keyspace.get(&key.to_be_bytes()).is_some());
    }
    drop(keyspace);
    for index in 0..SHARDS {
        let mut shard = store.lock(index);
        let total = shard.check().0.len();
        let newest = |shard: &Shard| {
            shard
                .check()
                .0
                .iter()
                .all(|(_, k)| u32::from_be_bytes(k[..].try_into().unwrap()) < 1000)
        };
        while !newest(&shard) {
            shard.evict(&store.budget);
        }
        let left = shard.check().0.len();
        assert!(left > 0 && left < total, "{left} of {total}");
    }
    let left: usize = (0..SHARDS).map(|index| store.lock(index).check().0.len()).sum();
    assert_eq!(left, 1000);
}

#[test]
fn lowering_the_limit_evicts_down_to_it() {
    let store = Store::new(0, Policy::AllkeysLru);
    let mut keyspace = store.lock_all(0, 1000);
    for key in 0u32..20_000 {
        keyspace.put(&key.to_be_bytes(), Value::Str("v".into()), Expiry::Never).unwrap();
    }
    drop(keyspace);
    let limit = store.budget.used() as u64 / 2;
    store.budget.configure(limit, Policy::AllkeysLru);
    while store.tick(1000, true) {}
    assert!(store.budget.used() as u64 <= limit);
    assert!(store.budget.used() as u64 > limit * 9 / 10);
}

#[test]
fn a_value_that_cannot_fit_evicts_nothing() {
    let store = Store::new(1 << 20, Policy::AllkeysLru);
    let mut keyspace = store.lock_all(0, 1000);
    keyspace.put(b"a", Value::Str("v".into()), Expiry::Never).unwrap();
    let big = Value::Str(vec![0; 2 << 20].into());
    assert!(keyspace.make_room(2 << 20).is_err());
    assert!(keyspace.put(b"b", big, Expiry::Never).is_err());
    assert!(keyspace.contains(b"a") && !keyspace.contains(b"b"));
}

/// Once, the shard of the new key was emptied, its newest keys too, before others lost any.
#[test]
fn one_large_value_takes_from_all_shards_alike() {
    let store = Store::new(8 << 20, Policy::AllkeysLru);
    for key in 0u32..20_000 {
        let key = key.to_be_bytes();
        let mut keyspace = store.lock_keys(0, 1000, [&key[..]].into_iter());
        keyspace.make_room(1200).unwrap();
        keyspace.put(&key, Value::Str(vec![0; 1000].into()), Expiry::Never).unwrap();
    }
    let keys = |index: usize| store.lock(index).check().0.len();
    let before: Vec<usize> = (0..SHARDS).map(keys).collect();
    store.lock_keys(0, 1000, [&b"large"[..]].into_iter()).make_room(2 << 20).unwrap();
    for (index, before) in before.into_iter().enumerate() {
        let lost = before - keys(index);
        assert!((50..250).contains(&lost), "shard {index} lost {lost} of {before}");
    }
}
