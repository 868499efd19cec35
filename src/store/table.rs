//! The hash table of a shard: entries in a slab, found through chained buckets that grow and shrink by linear
//! hashing (Litwin 1980): one insert splits at most two buckets, so no operation ever waits for a rehash.
//!
//! Scanning is by position in the *bit-reversed* hash space. A bucket holds the entries whose low hash bits
//! equal its number, which is one interval of that space however many buckets there are; an entry's
//! position never changes. So a scan that moves through the positions in order meets every key that
//! stays, while the table grows, shrinks and evicts.

use super::key::Key;
use super::prefetch::prefetch;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;
/// Entries in one block of the slab, and buckets in one block of the directory: growth allocates
/// a block and copies nothing.
const BLOCK: usize = 1024;

/// An entry's links and what identifies it.
pub(super) struct Entry<T> {
    /// The low half of the key's hash; the whole hash decides the shard.
    pub(super) hash: u32,
    /// The next entry of the same bucket, or of the free list.
    chain: u32,
    pub(super) db: u8,
    pub(super) key: Key,
    pub(super) data: T,
}

/// A hash table whose entries keep their handle while they live.
pub(super) struct Table<T> {
    blocks: Vec<Vec<Entry<T>>>,
    free: u32,
    len: usize,
    directory: Vec<Box<[u32; BLOCK]>>,
    /// Buckets in use, a power of two plus those already split in this round.
    buckets: u32,
}

impl<T: Default> Table<T> {
    pub(super) fn new() -> Self {
        Table {
            blocks: Vec::new(),
            free: NONE,
            len: 0,
            directory: vec![Box::new([NONE; BLOCK])],
            buckets: 1,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the directory. Entries are charged one by one.
    pub(super) fn directory_bytes(&self) -> usize {
        self.directory.len() * size_of::<[u32; BLOCK]>()
    }

    pub(super) fn find(&self, hash: u32, db: u8, key: &[u8]) -> Option<u32> {
        let mut handle = self.head(self.bucket(hash));
        while handle != NONE {
            let entry = self.entry(handle);
            if entry.hash == hash && entry.db == db && *entry.key == *key {
                return Some(handle);
            }
            handle = entry.chain;
        }
        None
    }

    /// Adds an entry; the caller knows that there is none of this key.
    pub(super) fn insert(&mut self, hash: u32, db: u8, key: &[u8], data: T) -> u32 {
        // One entry to two buckets: most chains have one entry, and a look-up meets few others.
        if self.len as u64 * 2 >= u64::from(self.buckets) {
            self.split();
            self.split();
        }
        let bucket = self.bucket(hash);
        let entry = Entry { hash, chain: self.head(bucket), db, key: key.into(), data };
        let handle = if self.free != NONE {
            let handle = self.free;
            self.free = self.entry(handle).chain;
            *self.entry_mut(handle) = entry;
            handle
        } else {
            if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
                self.blocks.push(Vec::with_capacity(BLOCK));
            }
            let block = self.blocks.len() - 1;
            self.blocks[block].push(entry);
            (block * BLOCK + self.blocks[block].len() - 1) as u32
        };
        *self.head_mut(bucket) = handle;
        self.len += 1;
        handle
    }

    /// Takes an entry out; its handle may be given to another key from now on.
    pub(super) fn remove(&mut self, handle: u32) -> T {
        let (hash, next) = (self.entry(handle).hash, self.entry(handle).chain);
        let bucket = self.bucket(hash);
        if self.head(bucket) == handle {
            *self.head_mut(bucket) = next;
        } else {
            let mut before = self.head(bucket);
            while self.entry(before).chain != handle {
                before = self.entry(before).chain;
            }
            self.entry_mut(before).chain = next;
        }
        let free = self.free;
        let entry = self.entry_mut(handle);
        entry.chain = free;
        entry.key = Key::default();
        let taken = std::mem::take(&mut entry.data);
        self.free = handle;
        self.len -= 1;
        // Merging only far below that keeps a table that hovers from splitting and merging in turns.
        for _ in 0..2 {
            if (self.len as u64) * 4 < u64::from(self.buckets) && self.buckets > 1 {
                self.merge();
            }
        }
        taken
    }

    pub(super) fn entry(&self, handle: u32) -> &Entry<T> {
        &self.blocks[handle as usize / BLOCK][handle as usize % BLOCK]
    }

    pub(super) fn entry_mut(&mut self, handle: u32) -> &mut Entry<T> {
        &mut self.blocks[handle as usize / BLOCK][handle as usize % BLOCK]
    }

    /// Fetches the bucket that a hash falls into.
    pub(super) fn prefetch_bucket(&self, hash: u32) {
        let bucket = self.bucket(hash) as usize;
        prefetch(&self.directory[bucket / BLOCK][bucket % BLOCK]);
    }

    /// Fetches the first entry of that bucket: both ends, as it is longer than a cache line.
    pub(super) fn prefetch_entry(&self, hash: u32) {
        let handle = self.head(self.bucket(hash));
        if handle != NONE {
            let entry = self.entry(handle);
            prefetch(entry);
            prefetch(&entry.data);
            prefetch(&entry.key);
        }
    }

    /// The first entry of that bucket with this hash, if any.
    pub(super) fn likely(&self, hash: u32) -> Option<&Entry<T>> {
        let mut handle = self.head(self.bucket(hash));
        while handle != NONE {
            let entry = self.entry(handle);
            if entry.hash == hash {
                return Some(entry);
            }
            handle = entry.chain;
        }
        None
    }

    /// Visits the entries of the bucket at `position`, those that lie before it left out; answers the
    /// position where the scan goes on, or `None` at the end.
    pub(super) fn scan(&self, position: u32, mut visit: impl FnMut(u32)) -> Option<u32> {
        let bucket = self.bucket(position.reverse_bits());
        let depth = self.depth(bucket);
        let mut handle = self.head(bucket);
        while handle != NONE {
            let entry = self.entry(handle);
            if entry.hash.reverse_bits() >= position {
                visit(handle);
            }
            handle = entry.chain;
        }
        let width = 1u64 << (32 - depth);
        let next = (u64::from(position) & !(width - 1)) + width;
        u32::try_from(next).ok()
    }

    /// Any entry of the first bucket from a random one on that is not empty.
    pub(super) fn random(&self, mut number: impl FnMut(u32) -> u32) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        // A bucket holds a quarter of an entry or more on average, so this ends soon.
        loop {
            let first = self.head(number(self.buckets));
            let (mut count, mut handle) = (0, first);
            while handle != NONE {
                count += 1;
                handle = self.entry(handle).chain;
            }
            if count > 0 {
                let mut handle = first;
                for _ in 0..number(count) {
                    handle = self.entry(handle).chain;
                }
                return Some(handle);
            }
        }
    }

    /// All entries, in no order.
    pub(super) fn handles(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.buckets).flat_map(move |bucket| {
            let there = |handle: u32| (handle != NONE).then_some(handle);
            std::iter::successors(there(self.head(bucket)), move |&h| there(self.entry(h).chain))
        })
    }

    /// The number of buckets at the start of the current round of splits.
    fn round(&self) -> u32 {
        1 << self.buckets.ilog2()
    }

    fn bucket(&self, hash: u32) -> u32 {
        let round = self.round();
        let bucket = hash & (2 * u64::from(round) - 1) as u32;
        if bucket < self.buckets { bucket } else { bucket & (round - 1) }
    }

    /// How many low bits of the hash the entries of a bucket share.
    fn depth(&self, bucket: u32) -> u32 {
        let round = self.round();
        let split = bucket >= round || bucket < self.buckets - round;
        round.ilog2() + u32::from(split)
    }

    /// Splits the next bucket of the round in two.
    fn split(&mut self) {
        if self.buckets == 1 << 31 {
            return;
        }
        let new = self.buckets;
        if new as usize == self.directory.len() * BLOCK {
            self.directory.push(Box::new([NONE; BLOCK]));
        }
        let old = new - self.round();
        self.buckets += 1;
        let mut handle = std::mem::replace(self.head_mut(old), NONE);
        *self.head_mut(new) = NONE;
        while handle != NONE {
            let next = self.entry(handle).chain;
            let bucket = self.bucket(self.entry(handle).hash);
            self.entry_mut(handle).chain = self.head(bucket);
            *self.head_mut(bucket) = handle;
            handle = next;
        }
    }

    /// Undoes the last split.
    fn merge(&mut self) {
        let last = self.buckets - 1;
        let mut handle = std::mem::replace(self.head_mut(last), NONE);
        self.buckets -= 1;
        while handle != NONE {
            let next = self.entry(handle).chain;
            let bucket = self.bucket(self.entry(handle).hash);
            self.entry_mut(handle).chain = self.head(bucket);
            *self.head_mut(bucket) = handle;
            handle = next;
        }
        // One spare block is kept, so that a table at the edge does not allocate again and again.
        if self.directory.len() * BLOCK > self.buckets as usize + 2 * BLOCK {
            self.directory.pop();
        }
    }

    fn head(&self, bucket: u32) -> u32 {
        self.directory[bucket as usize / BLOCK][bucket as usize % BLOCK]
    }

    fn head_mut(&mut self, bucket: u32) -> &mut u32 {
        &mut self.directory[bucket as usize / BLOCK][bucket as usize % BLOCK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// A hash that puts some keys into the same bucket at every size.
    fn hash(key: u16) -> u32 {
        u32::from(key / 3).wrapping_mul(0x9E37_79B1)
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(operations in prop::collection::vec((any::<bool>(), 0u16..400), 0..2000)) {
            let (mut table, mut model) = (Table::<u16>::new(), HashMap::new());
            for (insert, key) in operations {
                let found = table.find(hash(key), 0, &key.to_be_bytes());
                prop_assert_eq!(found, model.get(&key).copied());
                match found {
                    None if insert => {
                        let handle = table.insert(hash(key), 0, &key.to_be_bytes(), key);
                        model.insert(key, handle);
                    }
                    Some(handle) if !insert => {
                        prop_assert_eq!(table.remove(handle), key);
                        model.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let mut handles: Vec<u32> = table.handles().collect();
            let mut expected: Vec<u32> = model.values().copied().collect();
            handles.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(handles, expected);
        }

        /// A scan meets every key that stays and none twice, whatever comes and goes meanwhile.
        #[test]
        fn a_scan_misses_no_key_that_stays(
            stay in prop::collection::hash_set(0u16..500, 0..200),
            churn in prop::collection::vec((any::<bool>(), 500u16..3000), 0..3000),
            steps in 1usize..40,
        ) {
            let mut table = Table::<u16>::new();
            for &key in &stay {
                table.insert(hash(key), 0, &key.to_be_bytes(), key);
            }
            let (mut seen, mut position, mut churn) = (HashSet::new(), Some(0), churn.into_iter());
            while let Some(at) = position {
                position = table.scan(at, |handle| {
                    let key = table.entry(handle).data;
                    if key < 500 {
                        assert!(seen.insert(key), "{key} twice");
                    }
                });
                for (insert, key) in churn.by_ref().take(steps) {
                    match table.find(hash(key), 0, &key.to_be_bytes()) {
                        None if insert => drop(table.insert(hash(key), 0, &key.to_be_bytes(), key)),
                        Some(handle) if !insert => drop(table.remove(handle)),
                        _ => {}
                    }
                }
            }
            prop_assert_eq!(seen, stay);
        }
    }
}
