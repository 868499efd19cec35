//! The index of a shard: from the hash of a key to the handle of its entry, by linear hashing (Litwin 1980) over
//! buckets of one cache line. One insert splits at most two buckets, so no operation ever waits for a rehash.
//!
//! ```text
//! 0                                    48                   60     64
//! | 12 handles of 4 bytes              | 12 tags of 1 byte  | next |
//! ```
//!
//! A tag is 8 bits of the hash that the bucket's number does not use: a look-up visits an entry it does not want once
//! in twenty times. A bucket that is full goes on in an overflow bucket; all but the last of such a chain are full.
//! With twelve entries to a bucket on average the index takes 8 bytes an entry.
//!
//! Scanning is by position in the *bit-reversed* hash space. A bucket holds the entries whose low hash bits equal its
//! number, which is one interval of that space however many buckets there are; an entry's position never changes. So
//! a scan that moves through the positions in order meets every key that stays, while the index grows and shrinks.

use super::arena::NONE;
use super::pool::{Pool, RUN_BYTES, Run};
use super::prefetch::prefetch;
use smallvec::SmallVec;
use std::sync::Arc;

const BUCKET_BYTES: usize = 64;
const PER_RUN: usize = RUN_BYTES / BUCKET_BYTES;
/// Entries of a bucket.
const SLOTS: usize = 12;
const TAGS: usize = SLOTS * 4;
const NEXT: usize = TAGS + SLOTS;
/// Entries to a bucket on average: measured, from 9 to 12 the memory falls by 10 % and the chains grow by 20 %; from 10 to
/// 12 a look-up takes 5 ns longer.
const LOAD: u64 = 12;
/// Below this many the last split is undone: far enough that a table which hovers does not split and merge in turns.
const LOAD_MIN: u64 = 5;
/// Marks the number of an overflow bucket.
const OVERFLOW: u32 = 1 << 31;

type Bucket = [u8; BUCKET_BYTES];
type Gathered = SmallVec<[(u32, u8); 32]>;

/// What the index asks about the entries it has the handles of.
pub(super) trait Hashes {
    /// The hash that the entry was inserted with.
    fn hash(&self, handle: u32) -> u32;
    /// Fetches what `hash` will need.
    fn prefetch(&self, handle: u32);
}

/// Handles by hash.
pub(super) struct Index {
    pool: Arc<Pool>,
    primary: Vec<Run>,
    overflow: Vec<Run>,
    /// Overflow buckets that were ever used, and the first free one among them plus one; it names the next.
    overflow_used: u32,
    overflow_free: u32,
    /// Primary buckets, a power of two plus those already split in this round.
    buckets: u32,
    len: usize,
}

impl Index {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        let mut first = pool.take();
        first[..BUCKET_BYTES].fill(0);
        Index {
            primary: vec![first],
            pool,
            overflow: Vec::new(),
            overflow_used: 0,
            overflow_free: 0,
            buckets: 1,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of buckets.
    pub(super) fn bytes(&self) -> usize {
        (self.buckets as usize + self.overflow_used as usize) * BUCKET_BYTES
    }

    /// The entry with this hash that `is_it` tells from others.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut number = self.number(hash);
        loop {
            let bucket = self.bucket(number);
            for handle in matches(bucket, tag) {
                if handle != NONE && is_it(handle) {
                    return Some(handle);
                }
            }
            number = next(bucket)?;
        }
    }

    /// Adds an entry that is not there.
    pub(super) fn insert(&mut self, hash: u32, handle: u32, hashes: &impl Hashes) {
        for _ in 0..2 {
            if self.len as u64 >= u64::from(self.buckets) * LOAD && self.buckets < OVERFLOW {
                self.split(hashes);
            }
        }
        self.add(self.number(hash), handle, tag(hash));
        self.len += 1;
    }

    /// Takes an entry out.
    ///
    /// # Panics
    /// If it is not there: the index would be broken.
    pub(super) fn remove(&mut self, hash: u32, handle: u32) {
        let (number, slot) = self.place(hash, handle);
        // The last entry of the chain fills the gap.
        let (mut last, mut before) = (number, None);
        while let Some(next) = next(self.bucket(last)) {
            before = Some(last);
            last = next;
        }
        // If the gap is in the last bucket itself, what is before it in the chain is not known yet.
        if last == number && number & OVERFLOW != 0 {
            before = Some(self.before(self.number(hash), number));
        }
        let from = (0..SLOTS).rev().find(|&slot| self::handle(self.bucket(last), slot) != NONE);
        if let Some(from) = from {
            let moved = self::handle(self.bucket(last), from);
            let moved_tag = self.bucket(last)[TAGS + from];
            set(self.bucket_mut(number), slot, moved, moved_tag);
            set(self.bucket_mut(last), from, NONE, 0);
            if from == 0
                && let Some(before) = before
            {
                set_next(self.bucket_mut(before), 0);
                self.free_overflow(last);
            }
        }
        self.len -= 1;
        for _ in 0..2 {
            if (self.len as u64) < u64::from(self.buckets) * LOAD_MIN && self.buckets > 1 {
                self.merge();
            }
        }
    }

    /// Gives an entry that has moved its new handle.
    ///
    /// # Panics
    /// As `remove`.
    pub(super) fn replace(&mut self, hash: u32, old: u32, new: u32) {
        let (number, slot) = self.place(hash, old);
        set(self.bucket_mut(number), slot, new, tag(hash));
    }

    /// Fetches the bucket that a hash falls into.
    pub(super) fn prefetch(&self, hash: u32) {
        prefetch(self.bucket(self.number(hash)));
    }

    /// Fetches the bucket in which the one that a hash falls into goes on. Answers whether it does.
    pub(super) fn prefetch_overflow(&self, hash: u32) -> bool {
        let next = next(self.bucket(self.number(hash)));
        next.inspect(|&next| prefetch(self.bucket(next))).is_some()
    }

    /// An entry of the first bucket that probably has this hash, by its tag.
    pub(super) fn likely(&self, hash: u32) -> Option<u32> {
        likely(self.bucket(self.number(hash)), tag(hash))
    }

    /// The same of the second bucket.
    pub(super) fn likely_in_overflow(&self, hash: u32) -> Option<u32> {
        next(self.bucket(self.number(hash))).and_then(|next| likely(self.bucket(next), tag(hash)))
    }

    /// Visits the entries of the bucket at `position`, those that lie before it left out; answers the position where
    /// the scan goes on, or `None` at the end.
    pub(super) fn scan(
        &self,
        position: u32,
        hashes: &impl Hashes,
        mut visit: impl FnMut(u32),
    ) -> Option<u32> {
        let number = self.number(position.reverse_bits());
        let width = 1u64 << (32 - self.depth(number));
        let start = u64::from(position) & !(width - 1);
        self.visit(number, |handle| {
            // In the middle of a bucket stands only who was there before it was merged.
            let all = start == u64::from(position);
            if all || hashes.hash(handle).reverse_bits() >= position {
                visit(handle);
            }
        });
        u32::try_from(start + width).ok()
    }

    /// Visits the entries of a bucket that `number` chooses below a bound.
    pub(super) fn visit_random(&self, number: impl FnOnce(u32) -> u32, visit: impl FnMut(u32)) {
        self.visit(number(self.buckets), visit);
    }

    /// Visits all entries, in no order.
    pub(super) fn visit_all(&self, mut visit: impl FnMut(u32)) {
        (0..self.buckets).for_each(|number| self.visit(number, &mut visit));
    }

    fn visit(&self, number: u32, mut visit: impl FnMut(u32)) {
        let mut at = Some(number);
        while let Some(number) = at {
            let bucket = self.bucket(number);
            let handles = (0..SLOTS).map(|slot| handle(bucket, slot));
            handles.filter(|&handle| handle != NONE).for_each(&mut visit);
            at = next(bucket);
        }
    }

    /// The number of buckets at the start of the current round of splits.
    fn round(&self) -> u32 {
        1 << self.buckets.ilog2()
    }

    #[inline]
    fn number(&self, hash: u32) -> u32 {
        let round = self.round();
        let number = hash & (2 * round - 1);
        if number < self.buckets { number } else { number & (round - 1) }
    }

    /// How many low bits of the hash the entries of a bucket share.
    fn depth(&self, number: u32) -> u32 {
        let round = self.round();
        let split = number >= round || number < self.buckets - round;
        round.ilog2() + u32::from(split)
    }

    #[inline]
    fn bucket(&self, number: u32) -> &Bucket {
        let at = (number & !OVERFLOW) as usize;
        let runs = if number & OVERFLOW == 0 { &self.primary } else { &self.overflow };
        &runs[at / PER_RUN].as_chunks().0[at % PER_RUN]
    }

    fn bucket_mut(&mut self, number: u32) -> &mut Bucket {
        let at = (number & !OVERFLOW) as usize;
        let runs = if number & OVERFLOW == 0 { &mut self.primary } else { &mut self.overflow };
        &mut runs[at / PER_RUN].as_chunks_mut().0[at % PER_RUN]
    }

    /// Bucket and slot of an entry.
    fn place(&self, hash: u32, handle: u32) -> (u32, usize) {
        let mut number = self.number(hash);
        loop {
            let bucket = self.bucket(number);
            if let Some(slot) = (0..SLOTS).find(|&slot| self::handle(bucket, slot) == handle) {
                return (number, slot);
            }
            #[allow(clippy::expect_used, reason = "an entry that is not in the index is a bug")]
            let next = next(bucket).expect("every entry is in the index");
            number = next;
        }
    }

    fn before(&self, mut number: u32, wanted: u32) -> u32 {
        while let Some(next) = next(self.bucket(number)).filter(|&next| next != wanted) {
            number = next;
        }
        number
    }

    /// Appends an entry to a chain.
    fn add(&mut self, mut number: u32, handle: u32, tag: u8) {
        while let Some(next) = next(self.bucket(number)) {
            number = next;
        }
        let free = (0..SLOTS).find(|&slot| self::handle(self.bucket(number), slot) == NONE);
        let slot = free.unwrap_or_else(|| {
            let new = self.take_overflow();
            set_next(self.bucket_mut(number), new);
            number = new;
            0
        });
        set(self.bucket_mut(number), slot, handle, tag);
    }

    /// Empties a chain, its overflow buckets are free afterwards.
    fn gather(&mut self, number: u32) -> Gathered {
        let mut gathered = Gathered::new();
        let mut at = Some(number);
        while let Some(number) = at {
            let bucket = self.bucket(number);
            for slot in 0..SLOTS {
                let handle = handle(bucket, slot);
                if handle != NONE {
                    gathered.push((handle, bucket[TAGS + slot]));
                }
            }
            at = next(bucket);
            if number & OVERFLOW == 0 {
                self.bucket_mut(number).fill(0);
            } else {
                self.free_overflow(number);
            }
        }
        gathered
    }

    /// Splits the next bucket of the round in two.
    fn split(&mut self, hashes: &impl Hashes) {
        let (new, old) = (self.buckets, self.buckets - self.round());
        if new as usize == self.primary.len() * PER_RUN {
            self.primary.push(self.pool.take());
        }
        self.bucket_mut(new).fill(0);
        let gathered = self.gather(old);
        self.buckets += 1;
        // All entries are fetched at once: their waits for memory overlap.
        gathered.iter().for_each(|&(handle, _)| hashes.prefetch(handle));
        for (handle, tag) in gathered {
            self.add(self.number(hashes.hash(handle)), handle, tag);
        }
    }

    /// Undoes the last split.
    fn merge(&mut self) {
        let gathered = self.gather(self.buckets - 1);
        self.buckets -= 1;
        let into = self.buckets - self.round();
        for (handle, tag) in gathered {
            self.add(into, handle, tag);
        }
        // One run is kept for a while: the table may grow again.
        if self.primary.len() > (self.buckets as usize).div_ceil(PER_RUN) + 1 {
            self.primary.pop();
        }
    }

    fn take_overflow(&mut self) -> u32 {
        let number = match self.overflow_free.checked_sub(1) {
            Some(free) => {
                self.overflow_free = handle(self.bucket(OVERFLOW | free), 0);
                free
            }
            None => {
                if self.overflow_used as usize == self.overflow.len() * PER_RUN {
                    self.overflow.push(self.pool.take());
                }
                self.overflow_used += 1;
                self.overflow_used - 1
            }
        };
        self.bucket_mut(OVERFLOW | number).fill(0);
        OVERFLOW | number
    }

    fn free_overflow(&mut self, number: u32) {
        let free = std::mem::replace(&mut self.overflow_free, (number & !OVERFLOW) + 1);
        set(self.bucket_mut(number), 0, free, 0);
    }
}

/// The bits of a hash that a bucket keeps: those that its number uses last.
fn tag(hash: u32) -> u8 {
    (hash >> 24) as u8
}

#[inline]
fn handle(bucket: &Bucket, slot: usize) -> u32 {
    let (handles, _) = bucket.as_chunks::<4>();
    u32::from_le_bytes(handles[slot])
}

fn set(bucket: &mut Bucket, slot: usize, handle: u32, tag: u8) {
    bucket.as_chunks_mut::<4>().0[slot] = handle.to_le_bytes();
    bucket[TAGS + slot] = tag;
}

/// The overflow bucket that a bucket goes on in.
#[inline]
fn next(bucket: &Bucket) -> Option<u32> {
    Some(handle(bucket, NEXT / 4)).filter(|&next| next != 0)
}

fn set_next(bucket: &mut Bucket, next: u32) {
    bucket[NEXT..].copy_from_slice(&next.to_le_bytes());
}

/// The handles whose tag is this one, and maybe others behind them; free slots are among them for tag 0.
#[inline]
fn matches(bucket: &Bucket, tag: u8) -> impl Iterator<Item = u32> {
    const ONES: u128 = u128::MAX / 0xFF;
    let tags = u128::from_le_bytes(bucket.as_chunks().0[TAGS / 16]);
    let differences = tags ^ (ONES * u128::from(tag));
    let mut found = differences.wrapping_sub(ONES) & !differences & (ONES << 7);
    found &= (1 << (8 * SLOTS)) - 1;
    std::iter::from_fn(move || {
        let slot = (found != 0).then(|| found.trailing_zeros() as usize / 8)?;
        found &= found - 1;
        Some(handle(bucket, slot))
    })
}

/// The first entry with this tag.
#[inline]
fn likely(bucket: &Bucket, tag: u8) -> Option<u32> {
    matches(bucket, tag).next().filter(|&handle| handle != NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// Entries that are numbers, whose hashes collide at every size of the table.
    struct Numbers;

    impl Hashes for Numbers {
        fn hash(&self, handle: u32) -> u32 {
            let mixed = (handle / 3).wrapping_mul(0x9E37_79B1);
            (mixed ^ mixed >> 15).wrapping_mul(0x85EB_CA6B)
        }

        fn prefetch(&self, _: u32) {}
    }

    fn find(index: &Index, number: u32) -> Option<u32> {
        index.find(Numbers.hash(number), |handle| handle == number)
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(operations in prop::collection::vec((any::<bool>(), 1u32..4000), 0..6000)) {
            let (mut index, mut model) = (Index::new(Pool::new()), HashMap::new());
            for (insert, number) in operations {
                prop_assert_eq!(find(&index, number), model.get(&number).copied());
                if insert && model.insert(number, number).is_none() {
                    index.insert(Numbers.hash(number), number, &Numbers);
                } else if !insert && model.remove(&number).is_some() {
                    index.remove(Numbers.hash(number), number);
                }
                prop_assert_eq!(index.len(), model.len());
            }
            let mut all = HashSet::new();
            index.visit_all(|handle| assert!(all.insert(handle)));
            prop_assert_eq!(all, model.keys().copied().collect());
        }

        /// A scan meets every key that stays and none twice, whatever comes and goes meanwhile.
        #[test]
        fn a_scan_misses_no_key_that_stays(
            stay in prop::collection::hash_set(1u32..2000, 0..500),
            churn in prop::collection::vec((any::<bool>(), 2000u32..12_000), 0..6000),
            steps in 1usize..200,
        ) {
            let mut index = Index::new(Pool::new());
            for &number in &stay {
                index.insert(Numbers.hash(number), number, &Numbers);
            }
            let (mut seen, mut position, mut churn) = (HashSet::new(), Some(0), churn.into_iter());
            while let Some(at) = position {
                position = index.scan(at, &Numbers, |handle| {
                    if handle < 2000 {
                        assert!(seen.insert(handle), "{handle} twice");
                    }
                });
                for (insert, number) in churn.by_ref().take(steps) {
                    match find(&index, number) {
                        None if insert => index.insert(Numbers.hash(number), number, &Numbers),
                        Some(_) if !insert => index.remove(Numbers.hash(number), number),
                        _ => {}
                    }
                }
            }
            prop_assert_eq!(seen, stay);
        }
    }

    #[test]
    fn grows_and_shrinks_smoothly_and_gives_memory_back() {
        let pool = Pool::new();
        let mut index = Index::new(pool.clone());
        for number in 3..300_000 {
            let before = index.bytes();
            index.insert(Numbers.hash(number * 3), number * 3, &Numbers);
            assert!(index.bytes() - before <= 6 * BUCKET_BYTES);
            let each = index.bytes() as f64 / index.len() as f64;
            assert!(number < 10_000 || (7.0..8.8).contains(&each), "{each} bytes an entry");
        }
        for number in 3..300_000 {
            index.remove(Numbers.hash(number * 3), number * 3);
        }
        assert_eq!((index.len(), index.buckets), (0, 1));
        assert!(index.primary.len() <= 2 && pool.taken() < 80, "{} runs", pool.taken());
    }
}
