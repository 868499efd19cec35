//! Property tests of the store against [`super::model`], and what single scenarios show.

use super::model::{KEYS, Op, run};
use super::*;
use proptest::prelude::*;

/// Times in whole ticks of the wheel, so that what is overdue is also due there.
fn ttl() -> impl Strategy<Value = u64> {
    (1u64..250).prop_map(|ticks| ticks * wheel::TICK_MS)
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..400, 1 => 1900usize..2100, 1 => 2100usize..9000]
}

fn op(switches: bool) -> impl Strategy<Value = Op> {
    let db = 0u8..2;
    let key = 0u8..KEYS;
    prop_oneof![
        6 => (db.clone(), key.clone(), size(), prop::option::of(ttl()))
            .prop_map(|(d, k, n, e)| Op::Put(d, k, n, e)),
        2 => (db.clone(), key.clone(), size()).prop_map(|(d, k, n)| Op::Append(d, k, n)),
        5 => (db.clone(), key.clone()).prop_map(|(d, k)| Op::Get(d, k)),
        1 => (db.clone(), key.clone()).prop_map(|(d, k)| Op::Peek(d, k)),
        2 => (db.clone(), key.clone()).prop_map(|(d, k)| Op::Remove(d, k)),
        2 => (db.clone(), key, prop::option::of(ttl())).prop_map(|(d, k, e)| Op::Expire(d, k, e)),
        1 => prop::option::weighted(0.8, db).prop_map(Op::Flush),
        3 => (1u64..60).prop_map(|ticks| Op::Tick(ticks * wheel::TICK_MS)),
        u32::from(switches) => (0..Policy::NAMES.len() as u64).prop_map(Op::Switch),
    ]
}

fn limits() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0u64), Just(300), Just(4000), Just(12_000), Just(60_000)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn matches_the_model(
        limit in limits(),
        policy in (0..Policy::NAMES.len() as u64).prop_map(Policy::from_index),
        ops in prop::collection::vec(op(false), 1..200),
    ) {
        run(limit, policy, ops);
    }

    #[test]
    fn matches_the_model_while_the_policy_changes(
        limit in limits(),
        policy in (0..Policy::NAMES.len() as u64).prop_map(Policy::from_index),
        ops in prop::collection::vec(op(true), 1..200),
    ) {
        run(limit, policy, ops);
    }
}

#[test]
fn the_least_recently_used_key_goes_first() {
    let store = Store::new(0, Policy::AllkeysLru);
    let mut keyspace = store.lock_all(0, 1000);
    for key in 0u32..2000 {
        keyspace.put(&key.to_be_bytes(), b"v".as_slice().into(), Expiry::Never).unwrap();
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
            shard.evict(1000, &store.budget);
        }
        let left = shard.check().0.len();
        assert!(left > 0 && left < total, "{left} of {total}");
    }
    let left: usize = (0..SHARDS).map(|index| store.lock(index).check().0.len()).sum();
    assert_eq!(left, 1000);
}

/// A batch locks the shards of all its keys: what makes room for one of them is still the oldest key of its own shard, and
/// where that is not enough no other shard gives more than its part.
#[test]
fn requests_that_share_their_locks_evict_where_they_write() {
    let store = Store::new(0, Policy::AllkeysLru);
    let mut random = fastrand::Rng::with_seed(5);
    let value = [b'v'; 1000];
    let (mut at_home, mut batch) = (0, store.lock_hashes(0..0));
    for number in 0u32..30_000 {
        if number % 16 == 0 {
            batch.release();
            batch = store.lock_hashes((number..number + 16).map(|n| store.hash(&n.to_be_bytes())));
        }
        if number == 3000 {
            store.budget.configure(store.budget.used() as u64, Policy::AllkeysLru);
        }
        let (key, len) = (number.to_be_bytes(), random.usize(50..1000));
        let hash = store.hash(&key);
        assert!(batch.holds(hash));
        let before = batch.stats_of(hash).evicted;
        batch.turn_to(0, 1000, &key, hash);
        batch.make_room(key.len() + len).unwrap();
        at_home += batch.stats_of(hash).evicted - before;
        batch.put(&key, value[..len].into(), Expiry::Never).unwrap();
    }
    batch.release();
    assert!(!batch.holds(store.hash(&[])));
    let evicted = store.lock_all(0, 1000).stats().evicted;
    assert!(at_home * 2 > evicted, "{at_home} of {evicted} at home");
    let kept: Vec<usize> = (0..SHARDS).map(|index| store.lock(index).check().0.len()).collect();
    let mean = kept.iter().sum::<usize>() / SHARDS;
    // The keys' hashes are random: with some of them a shard has just under half of the mean.
    assert!(kept.iter().all(|&keys| keys > mean / 3 && keys < 3 * mean), "{kept:?}");
}

/// Many keys of few sizes that change all the time: sparse runs are emptied while everything goes on.
#[test]
fn entries_are_moved_together_and_stay_whole() {
    for policy in [Policy::AllkeysLru, Policy::AllkeysS3fifo, Policy::VolatileLru] {
        let store = Store::new(6 << 20, policy);
        let mut random = fastrand::Rng::with_seed(3);
        let mut known = std::collections::HashMap::new();
        let mut now = 1_763_000_000_000;
        for step in 0..100_000 {
            // What is wanted drifts from one size to another.
            let size = [120, 700, 300, 1500][(step / 5000 + random.usize(..2)) % 4];
            let key = random.u32(..16_000).to_be_bytes();
            let mut keyspace = store.lock_keys(0, now, [&key[..]].into_iter());
            let value = vec![step as u8; size];
            match random.u8(..10) {
                0 => {
                    let there = keyspace.remove(&key);
                    assert!(!there || known.contains_key(&key));
                    known.remove(&key);
                }
                1 if keyspace.make_room(2 * size).is_ok() => {
                    let appended = keyspace.modify(&key, 2 * size, |bytes| {
                        bytes.truncate(size);
                        bytes.extend_from_slice(&value[..100]);
                        bytes.to_vec()
                    });
                    known.insert(key, appended.unwrap());
                }
                2 => {
                    if let Some(Value::Str(found)) = keyspace.get(&key) {
                        assert_eq!(known.get(&key).map(Vec::as_slice), Some(&*found));
                    }
                }
                3 => drop(keyspace.expire(&key, Expiry::Never)),
                4 => drop(keyspace.expire(&key, Expiry::At(now + 5000))),
                _ if keyspace.make_room(size).is_ok() => {
                    let expiry = if step % 2 == 0 { Expiry::At(now + 3000) } else { Expiry::Never };
                    keyspace.put(&key, value.as_slice().into(), expiry).unwrap();
                    known.insert(key, value);
                }
                _ => {}
            }
            drop(keyspace);
            if step % 2500 == 0 {
                now += 100;
                store.tick(now, true);
                for index in 0..SHARDS {
                    for ((_, key), (value, _)) in store.lock(index).check().1 {
                        assert_eq!(known[&key[..]], value);
                    }
                }
            }
        }
        let moved = (0..SHARDS).map(|index| store.lock(index).stats.moved).sum::<u64>();
        assert!(moved > 1000, "{policy:?}: {moved} entries were moved");
    }
}

#[test]
fn lowering_the_limit_evicts_down_to_it() {
    let store = Store::new(0, Policy::AllkeysLru);
    let mut keyspace = store.lock_all(0, 1000);
    for key in 0u32..20_000 {
        keyspace.put(&key.to_be_bytes(), b"v".as_slice().into(), Expiry::Never).unwrap();
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
    keyspace.put(b"a", b"v".as_slice().into(), Expiry::Never).unwrap();
    let big = vec![0; 2 << 20];
    assert!(keyspace.make_room(2 << 20).is_err());
    assert!(keyspace.put(b"b", big.as_slice().into(), Expiry::Never).is_err());
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
        keyspace.put(&key, vec![0; 1000].as_slice().into(), Expiry::Never).unwrap();
    }
    let keys = |index: usize| store.lock(index).check().0.len();
    let before: Vec<usize> = (0..SHARDS).map(keys).collect();
    store.lock_keys(0, 1000, [&b"large"[..]].into_iter()).make_room(2 << 20).unwrap();
    for (index, before) in before.into_iter().enumerate() {
        let lost = before - keys(index);
        assert!((50..250).contains(&lost), "shard {index} lost {lost} of {before}");
    }
}
