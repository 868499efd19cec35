//! A census of the keys: what there is, by prefix, and which are the biggest. Of a large store only a sample is visited.

use super::usage::{BigKey, Key};
use super::{SHARDS, Shard, Store};
use std::collections::HashMap;

/// Keys that are visited in each shard at most: bounds the time it is locked, to some 0.1 ms.
const KEYS_PER_SHARD: usize = 512;
/// Prefixes that are told apart; the rest is added up.
const PREFIXES_MAX: usize = 1024;

/// What a census has found.
#[derive(Default, Debug)]
pub struct Census {
    /// Whether every key was visited.
    pub exact: bool,
    /// By prefix: keys and the bytes they are charged, estimated from the sample.
    pub prefixes: HashMap<Vec<u8>, (f64, f64)>,
    /// Keys of prefixes beyond those that are told apart, and their bytes.
    pub other: (f64, f64),
    /// The biggest keys that are known, the biggest first.
    pub biggest: Vec<BigKey>,
}

impl Store {
    /// Takes a census; locks one shard after another, so that nobody who has one locked may call it. `now` is in milliseconds
    /// since 1970.
    pub fn census(&self, now: u64) -> Census {
        let separator = self.usage.separator();
        let mut census = Census { exact: true, ..Census::default() };
        // First, lest what is gone keep others out.
        self.confirm_big_keys(now);
        let mut big: Vec<(u64, u8, Vec<u8>)> = Vec::new();
        for index in 0..SHARDS {
            let shard = self.lock(index);
            let (visited, whole) = sample(&shard);
            census.exact &= whole;
            let each = if whole { 1.0 } else { shard.index.len() as f64 / visited.len() as f64 };
            for handle in visited.into_iter().filter(|handle| shard.is_live(*handle, now)) {
                let (key, bytes) = (shard.entries.key(handle), shard.entries.charge(handle));
                let prefix = separator.prefix_of(key);
                let known =
                    census.prefixes.len() < PREFIXES_MAX || census.prefixes.contains_key(prefix);
                let sum = if !known {
                    &mut census.other
                } else if let Some(sum) = census.prefixes.get_mut(prefix) {
                    sum
                } else {
                    census.prefixes.entry(prefix.to_vec()).or_default()
                };
                sum.0 += each;
                sum.1 += each * bytes as f64;
                if self.usage.is_big(bytes) {
                    big.push((bytes as u64, shard.entries.meta(handle).db(), key.to_vec()));
                }
            }
        }
        for (bytes, db, name) in big {
            // The list may have filled with bigger ones meanwhile.
            if self.usage.is_big(bytes as usize) {
                let hash = self.hash(&name);
                self.usage.note_big(Key { db, name: &name, hash }, bytes as usize);
            }
        }
        census.biggest = self.usage.big_keys();
        census
    }

    /// Strikes out big keys that are not there any more, and notes how big the others are.
    pub(super) fn confirm_big_keys(&self, now: u64) {
        self.usage.confirm_big_keys(|key| self.size_of(key, now));
    }

    /// What a key is charged, if it is there; leaves no trace of the question.
    fn size_of(&self, key: &BigKey, now: u64) -> Option<u64> {
        let hash = self.hash(&key.key);
        let shard = self.lock(super::shard_index(hash));
        let handle =
            shard.index.find(hash as u32, |handle| shard.entries.is(handle, key.db, &key.key))?;
        shard.is_live(handle, now).then(|| shard.entries.charge(handle) as u64)
    }
}

/// Entries of a shard, overdue ones too, and whether these are all: from a random bucket on, as hashes have them, which is
/// by chance.
fn sample(shard: &Shard) -> (Vec<u32>, bool) {
    let whole = shard.index.len() <= KEYS_PER_SHARD;
    let start = if whole { 0 } else { fastrand::u32(..) };
    let (mut found, mut position, mut wrapped) = (Vec::new(), start, false);
    loop {
        let next = shard.index.scan(position, &shard.entries, |handle| found.push(handle));
        position = match next {
            Some(next) => next,
            None if wrapped || whole => break,
            None => {
                wrapped = true;
                0
            }
        };
        if !whole && (found.len() >= KEYS_PER_SHARD || (wrapped && position >= start)) {
            break;
        }
    }
    (found, whole)
}
