//! Walks all keys of a store a few at a time, locking a shard for each step only: to remove those that are no longer
//! wanted, or to look at them.

use super::usage::Key;
use super::{SHARDS, Shard, Store};
use smallvec::SmallVec;
use std::ops::ControlFlow;

/// Buckets of a step, some twelve keys each: while they are visited a shard is locked, for less than 0.1 ms even if all
/// of the keys are removed.
const BUCKETS_PER_STEP: usize = 12;

/// Where a walk goes on. What it has passed does not come again, and it meets every key that is there from its beginning
/// until it comes to it, however the index grows and shrinks meanwhile: a position is one of hashes, not of buckets.
#[derive(Default)]
struct Place {
    shard: usize,
    position: u32,
}

impl Place {
    /// Visits the entries of a few buckets, in the shard that it has come to. Answers whether there are more.
    fn step(
        &mut self,
        store: &Store,
        mut visit: impl FnMut(&mut Shard, u32) -> ControlFlow<()>,
    ) -> bool {
        if self.shard >= SHARDS {
            return false;
        }
        let mut shard = store.lock_current(self.shard);
        for _ in 0..BUCKETS_PER_STEP {
            let mut handles: SmallVec<[u32; 32]> = SmallVec::new();
            let next =
                shard.index.scan(self.position, &shard.entries, |handle| handles.push(handle));
            // All of a bucket are fetched at once: their waits for memory overlap.
            for &handle in &handles {
                shard.entries.arena.prefetch(handle);
            }
            for handle in handles {
                if visit(&mut shard, handle).is_break() {
                    self.shard = SHARDS;
                    return false;
                }
            }
            match next {
                Some(next) => self.position = next,
                None => {
                    *self = Place { shard: self.shard + 1, position: 0 };
                    break;
                }
            }
        }
        self.shard < SHARDS
    }
}

/// Removes all keys of a store that are chosen by their names, in whichever database, a few in each step. What is removed
/// has neither expired nor been evicted.
///
/// It misses no key that was there when it began. Of keys that come while it is under way it removes some.
///
/// ```
/// use larder::store::{Policy, Store, Sweep};
/// let store = Store::new(0, Policy::AllkeysLru);
/// let mut sweep = Sweep::new(|key| key.starts_with(b"old:"));
/// while sweep.step(&store) {
///     std::thread::yield_now();
/// }
/// assert_eq!(sweep.removed(), 0);
/// ```
pub struct Sweep<F> {
    is_unwanted: F,
    place: Place,
    removed: u64,
}

impl<F: FnMut(&[u8]) -> bool> Sweep<F> {
    /// One that has not begun yet.
    pub fn new(is_unwanted: F) -> Self {
        Sweep { is_unwanted, place: Place::default(), removed: 0 }
    }

    /// Goes on for less than 0.1 ms, with one shard locked. Answers whether there is more to do. Who calls must have no
    /// shard locked.
    pub fn step(&mut self, store: &Store) -> bool {
        let Sweep { is_unwanted, place, removed } = self;
        place.step(store, |shard, handle| {
            let name = shard.entries.key(handle);
            if is_unwanted(name) {
                let hash = store.hash(name);
                if store.usage.is_tracked(hash) {
                    let db = shard.entries.meta(handle).db();
                    store.usage.track_removal(Key { db, name, hash });
                }
                shard.remove(handle, Some(hash as u32), &store.budget);
                *removed += 1;
            }
            ControlFlow::Continue(())
        })
    }

    /// Keys removed so far.
    pub fn removed(&self) -> u64 {
        self.removed
    }
}

impl Store {
    /// Visits the names of all keys of a database that have not expired, until `visit` answers that it wants no more. It
    /// takes a time in proportion to the keys of all databases, but locks a shard for a moment only; who calls must have
    /// none locked.
    pub fn walk(&self, db: u8, now: u64, mut visit: impl FnMut(&[u8]) -> bool) {
        let mut place = Place::default();
        let mut look = |shard: &mut Shard, handle| {
            let wanted = shard.entries.meta(handle).db() == db && shard.is_live(handle, now);
            if wanted && !visit(shard.entries.key(handle)) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        while place.step(self, &mut look) {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Expiry, Keyspace, Policy};
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn name(number: u32) -> Vec<u8> {
        format!("key:{number}").into_bytes()
    }

    fn with_key<T>(
        store: &Store,
        db: u8,
        key: &[u8],
        run: impl FnOnce(&mut Keyspace<'_>) -> T,
    ) -> T {
        run(&mut store.lock_keys(db, 0, std::iter::once(key)))
    }

    fn put(store: &Store, db: u8, number: u32) {
        let key = name(number);
        let expiry = if number.is_multiple_of(3) { Expiry::At(1 << 40) } else { Expiry::Never };
        // Some are too long for a cell.
        let value = vec![b'x'; if number.is_multiple_of(50) { 5000 } else { 20 }];
        with_key(store, db, &key, |keyspace| {
            keyspace.put(&key, value.as_slice().into(), expiry).unwrap();
        });
    }

    fn is_there(store: &Store, db: u8, number: u32) -> bool {
        let key = name(number);
        with_key(store, db, &key, |keyspace| keyspace.contains(&key))
    }

    /// Checks every shard, and the budget.
    fn check(store: &Store) {
        let charged = (0..SHARDS).map(|index| {
            let shard = store.lock(index);
            shard.check();
            assert_eq!((shard.stats.evicted, shard.stats.expired), (0, 0));
            shard.charged
        });
        assert_eq!(charged.sum::<usize>(), store.budget.used());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Keys that are there from the beginning are gone if they are not wanted, and stay if they are, whatever comes and
        /// goes meanwhile.
        #[test]
        fn a_sweep_misses_nothing(
            first in prop::collection::hash_set((0u8..16, 0u32..6000), 0..4000),
            churn in prop::collection::vec((any::<bool>(), 0u8..16, 6000u32..30_000), 0..4000),
            each in 1usize..400,
            share in 1u32..5,
            policy in (0..Policy::NAMES.len() as u64).prop_map(Policy::from_index),
        ) {
            let store = Store::new(0, policy);
            first.iter().for_each(|&(db, number)| put(&store, db, number));
            let is_unwanted = |key: &[u8]| {
                let digits = std::str::from_utf8(&key[4..]).unwrap();
                digits.parse::<u32>().unwrap().is_multiple_of(share)
            };
            let mut sweep = Sweep::new(is_unwanted);
            let mut churn = churn.into_iter();
            while sweep.step(&store) {
                for (insert, db, number) in churn.by_ref().take(each) {
                    if insert {
                        put(&store, db, number);
                    } else {
                        let key = name(number);
                        with_key(&store, db, &key, |keyspace| keyspace.remove(&key));
                    }
                }
            }
            prop_assert!(!sweep.step(&store), "it stays at its end");
            check(&store);
            for &(db, number) in &first {
                prop_assert_eq!(is_there(&store, db, number), !number.is_multiple_of(share));
            }
        }
    }

    #[test]
    fn keys_that_come_behind_it_stay() {
        let store = Store::new(0, Policy::AllkeysLru);
        (0..20_000).for_each(|number| put(&store, 0, number));
        let mut sweep = Sweep::new(|_| true);
        let (mut steps, mut next) = (0, 20_000);
        while sweep.step(&store) {
            steps += 1;
            put(&store, 1, next);
            next += 1;
        }
        check(&store);
        assert!(steps > 100, "{steps}");
        assert!((0..20_000).all(|number| !is_there(&store, 0, number)));
        let stay = (20_000..next).filter(|&number| is_there(&store, 1, number)).count() as u64;
        assert!(stay > 0 && sweep.removed() == 20_000 + u64::from(next - 20_000) - stay);
    }

    #[test]
    fn a_walk_meets_each_key_of_its_database_once() {
        let store = Store::new(0, Policy::AllkeysLru);
        for number in 0..3000 {
            put(&store, 0, number);
            put(&store, 1, number);
        }
        let mut seen = HashSet::new();
        store.walk(1, 0, |key| {
            assert!(seen.insert(key.to_vec()));
            true
        });
        assert_eq!(seen, (0..3000).map(name).collect());
        let mut count = 0;
        store.walk(0, 0, |_| {
            count += 1;
            count < 10
        });
        assert_eq!(count, 10);
        // A third of them expires.
        let mut live = 0;
        store.walk(0, 1 << 40, |_| {
            live += 1;
            true
        });
        assert_eq!(live, 2000);
    }
}
