//! The miss-ratio curve of LRU, online: the hit ratio that other memory sizes would give to the reads that come.
//!
//! **SHARDS** (Waldspurger et al., FAST 2015) of fixed size: only keys whose hash lies below a threshold are tracked, in
//! the order of their use. A read of a tracked key would hit in every memory that is larger than what was used since its
//! last use: the bytes of the tracked keys used since, divided by the part of keys that is tracked. When there are too
//! many the threshold is lowered; a read counts as many as the keys it stands for at that time. What is farther away than
//! [`REACH`] times the memory is forgotten.
//!
//! A write renews a key and a deletion forgets it, but neither is a read: a client that misses and then sets the key
//! would not set it where it hits.

use crate::store::DATABASES;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// Keys tracked at most, in 40 bytes or so each.
const KEYS_MAX: usize = 4096;
/// The bits of a hash by which keys are chosen: its upper ones.
const CHOICE_BITS: u32 = 24;
/// One key in 32 is tracked at most.
const THRESHOLD_MAX: u32 = 1 << CHOICE_BITS >> 5;
/// Uses of tracked keys a second, at some half a microsecond each, beyond which fewer keys are tracked; and how many keys
/// are tracked however often they are used.
const USES_PER_SECOND_MAX: u64 = 10_000;
const KEYS_MIN: usize = 512;
/// How many times the memory is looked at.
pub(super) const REACH: u64 = 8;
/// Bytes of the index for a key, beside what it is charged.
const INDEX_BYTES: u64 = 9;
/// Steps of the histogram for each doubling, and the distance where it begins.
const STEPS: u32 = 16;
const FIRST_BYTES: u64 = 1 << 10;
const BUCKETS: usize = (STEPS * 40) as usize;

/// Whether a key with this hash is tracked below a threshold.
#[inline]
pub(super) fn is_below(hash: u64, threshold: u32) -> bool {
    ((hash >> (64 - CHOICE_BITS)) as u32) < threshold
}

/// A key that is tracked.
struct Tracked {
    /// Its place in the order of use.
    place: u32,
    bytes: u64,
    /// 0: never.
    expires_at: u64,
}

/// What a read has found.
pub(in super::super) struct Found {
    /// What the key is charged.
    pub(in super::super) bytes: usize,
    /// When it expires; 0: never.
    pub(in super::super) expires_at: u64,
}

/// Tracked keys and what was learnt of them.
pub(super) struct Curve {
    /// Keys are tracked whose hash lies below, by [`is_below`].
    threshold: u32,
    /// By hash, its remainder by [`DATABASES`] replaced by the database's number.
    keys: HashMap<u64, Tracked, BuildHasherDefault<Spread>>,
    order: Order,
    /// Those that expire, by when.
    expiring: BTreeSet<(u64, u64)>,
    /// Uses since the last [`Curve::relieve`].
    uses: u64,
    /// Keys have been forgotten because they were out of reach.
    overflowed: bool,
    /// Reads by the memory from which on they hit, each counted as those it stands for.
    hits: Vec<f64>,
    reads: f64,
}

impl Default for Curve {
    fn default() -> Self {
        Curve {
            threshold: THRESHOLD_MAX,
            keys: HashMap::default(),
            order: Order::default(),
            expiring: BTreeSet::new(),
            uses: 0,
            overflowed: false,
            hits: vec![0.0; BUCKETS],
            reads: 0.0,
        }
    }
}

impl Curve {
    /// Keys are tracked whose hash lies below this.
    pub(super) fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Keys that are tracked.
    pub(super) fn tracked(&self) -> usize {
        self.keys.len()
    }

    /// Reads of tracked keys that were counted, about.
    pub(super) fn sampled(&self) -> f64 {
        self.reads / self.weight()
    }

    /// How many keys one tracked key stands for.
    fn weight(&self) -> f64 {
        f64::from(1u32 << CHOICE_BITS) / f64::from(self.threshold)
    }

    /// Counts a read, of a memory of `limit` bytes.
    pub(super) fn read(&mut self, id: u64, found: Option<Found>, now: u64, limit: u64) {
        let weight = self.weight();
        self.uses += 1;
        self.drop_due(now);
        let Some(key) = self.keys.get(&id) else {
            // One that was there before it was tracked says nothing; one that was forgotten was out of reach.
            if found.is_none() || self.overflowed {
                self.reads += weight;
            }
            if let Some(found) = found {
                self.renew(id, &found, now, limit);
            }
            return;
        };
        self.reads += weight;
        let distance = self.order.bytes_from(key.place) as f64 * weight;
        self.hits[bucket(distance as u64)] += weight;
        let same = |found: &Found| key.bytes == found.bytes as u64 + INDEX_BYTES;
        if self.order.is_newest(key.place) && found.as_ref().is_none_or(same) {
            return;
        }
        // Evicted here, it is as it was where there is more memory.
        let (bytes, expires_at) = ((key.bytes - INDEX_BYTES) as usize, key.expires_at);
        self.renew(id, &found.unwrap_or(Found { bytes, expires_at }), now, limit);
    }

    /// Forgets what has expired: it takes no memory any more, whoever else is read.
    fn drop_due(&mut self, now: u64) {
        while let Some(&(at, id)) = self.expiring.first()
            && at <= now
        {
            self.forget(id);
        }
    }

    /// Puts a key at the front of the order.
    pub(super) fn renew(&mut self, id: u64, found: &Found, now: u64, limit: u64) {
        self.uses += 1;
        self.drop_due(now);
        let (bytes, expires_at) = (found.bytes as u64 + INDEX_BYTES, found.expires_at);
        if self.order.is_full() {
            self.order.compact(|id, place| {
                if let Some(key) = self.keys.get_mut(&id) {
                    key.place = place;
                }
            });
        }
        let place = self.order.push(id, bytes);
        if let Some(old) = self.keys.insert(id, Tracked { place, bytes, expires_at }) {
            self.order.take(old.place, old.bytes);
            self.expiring.remove(&(old.expires_at, id));
        }
        if expires_at != 0 {
            self.expiring.insert((expires_at, id));
        }
        if self.keys.len() > KEYS_MAX {
            self.narrow();
        }
        let reach = limit as f64 * REACH as f64;
        while self.keys.len() > KEYS_MAX
            || (limit > 0 && self.order.total as f64 * self.weight() > reach)
        {
            let Some(oldest) = self.order.oldest() else { break };
            self.forget(oldest);
            self.overflowed = true;
        }
    }

    /// Notes when a key expires.
    pub(super) fn expire(&mut self, id: u64, expires_at: u64) {
        if let Some(key) = self.keys.get_mut(&id) {
            self.expiring.remove(&(key.expires_at, id));
            key.expires_at = expires_at;
            if expires_at != 0 {
                self.expiring.insert((expires_at, id));
            }
        }
    }

    /// A key is deleted.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(key) = self.keys.remove(&id) {
            self.order.take(key.place, key.bytes);
            self.expiring.remove(&(key.expires_at, id));
        }
    }

    /// All keys of a database, or of all, are deleted.
    pub(super) fn forget_all(&mut self, db: Option<u8>) {
        if let Some(db) = db {
            return self.forget_where(|id| id % DATABASES as u64 == u64::from(db));
        }
        self.keys.clear();
        self.expiring.clear();
        self.order = Order::default();
        (self.threshold, self.overflowed) = (THRESHOLD_MAX, false);
    }

    fn forget_where(&mut self, is_out: impl Fn(u64) -> bool) {
        let out: Vec<u64> = self.keys.keys().copied().filter(|id| is_out(*id)).collect();
        out.into_iter().for_each(|id| self.forget(id));
    }

    /// Tracks fewer keys if they were used too often in the last milliseconds.
    pub(super) fn relieve(&mut self, ms: u64) {
        let uses = std::mem::take(&mut self.uses);
        if uses * 1000 > USES_PER_SECOND_MAX * ms && self.keys.len() > KEYS_MIN {
            self.narrow();
        }
    }

    /// Lowers the threshold by an eighth.
    fn narrow(&mut self) {
        let threshold = (self.threshold - self.threshold / 8).max(2) - 1;
        self.threshold = threshold;
        self.forget_where(|id| !is_below(id, threshold));
    }

    /// Halves what was counted, so that it tells of the present; and tracks more keys again where there are few.
    pub(super) fn fade(&mut self) {
        self.hits.iter_mut().for_each(|hits| *hits /= 2.0);
        self.reads /= 2.0;
        if self.keys.len() < KEYS_MAX / 8 && self.threshold < THRESHOLD_MAX {
            let threshold = (self.threshold * 2).min(THRESHOLD_MAX);
            // Those that were passed over are missing in the order: it begins anew.
            self.forget_all(None);
            self.threshold = threshold;
        }
    }

    /// Forgets what was counted, but not the keys.
    pub(super) fn reset(&mut self) {
        self.hits.fill(0.0);
        self.reads = 0.0;
    }

    /// Of `reads` reads in all how many would have hit, for each of these sizes of memory. Reads that the sample lacks are
    /// mostly those of a few very hot keys that are not in it (or the other way round, of such that are): they count as
    /// reads that hit everywhere, as SHARDS-adj has it.
    pub(super) fn hits(&self, reads: f64, sizes: &[u64]) -> Vec<f64> {
        let missing = reads - self.reads;
        let at = |size: u64| {
            let mut sum = missing;
            for (bucket, hits) in self.hits.iter().enumerate() {
                let (from, to) = (lower(bucket), lower(bucket + 1));
                if to > size as f64 {
                    sum += hits * ((size as f64 - from) / (to - from)).max(0.0);
                    break;
                }
                sum += hits;
            }
            sum.clamp(0.0, reads)
        };
        sizes.iter().map(|&size| at(size)).collect()
    }
}

fn bucket(bytes: u64) -> usize {
    let Some(part) = bytes.checked_div(FIRST_BYTES).filter(|&part| part > 0) else { return 0 };
    let doubling = part.ilog2();
    let step = (bytes / (FIRST_BYTES << doubling >> 4)) as u32 - STEPS;
    ((doubling * STEPS + step) as usize).min(BUCKETS - 1)
}

/// Where a bucket begins, in bytes.
fn lower(bucket: usize) -> f64 {
    let (doubling, step) = (bucket as u32 / STEPS, bucket as u32 % STEPS);
    if bucket == 0 { 0.0 } else { (FIRST_BYTES << doubling >> 4) as f64 * f64::from(STEPS + step) }
}

/// The keys in the order of use, and the bytes of all that were used since any of them: a Fenwick tree over places, which
/// are given out in turn and, when they are used up, anew.
struct Order {
    /// By place: the key, or nobody.
    ids: Vec<Option<u64>>,
    tree: Vec<u64>,
    /// Places before have nobody.
    first: usize,
    total: u64,
}

/// One more than keys, that a key may be put to another place before it leaves its own; twice as many, so that places
/// are not given out anew all the time.
const PLACES: usize = 2 * (KEYS_MAX + 2);

impl Default for Order {
    fn default() -> Self {
        Order { ids: Vec::new(), tree: vec![0; PLACES + 1], first: 0, total: 0 }
    }
}

impl Order {
    fn is_full(&self) -> bool {
        self.ids.len() >= PLACES
    }

    /// Whether nobody is behind this place.
    fn is_newest(&self, place: u32) -> bool {
        self.ids.len() == place as usize + 1
    }

    /// Puts a key behind all others.
    fn push(&mut self, id: u64, bytes: u64) -> u32 {
        let place = self.ids.len();
        self.ids.push(Some(id));
        self.total += bytes;
        self.change(place, bytes);
        place as u32
    }

    fn take(&mut self, place: u32, bytes: u64) {
        self.ids[place as usize] = None;
        self.total -= bytes;
        self.change(place as usize, bytes.wrapping_neg());
    }

    fn change(&mut self, place: usize, bytes: u64) {
        let mut at = place + 1;
        while at <= PLACES {
            self.tree[at] = self.tree[at].wrapping_add(bytes);
            at += at & at.wrapping_neg();
        }
    }

    /// Bytes of the keys at this place and behind.
    fn bytes_from(&self, place: u32) -> u64 {
        let (mut at, mut before) = (place as usize, 0u64);
        while at > 0 {
            before = before.wrapping_add(self.tree[at]);
            at -= at & at.wrapping_neg();
        }
        self.total - before
    }

    fn oldest(&mut self) -> Option<u64> {
        while self.first < self.ids.len() {
            if let Some(id) = self.ids[self.first] {
                return Some(id);
            }
            self.first += 1;
        }
        None
    }

    /// Gives the places out anew, and tells of each.
    fn compact(&mut self, mut moved: impl FnMut(u64, u32)) {
        let place = |tree: &[u64], at: usize| {
            // What a single place holds: a range of the tree less its parts.
            let (mut sum, mut part) = (tree[at], at - 1);
            while part != at & (at - 1) {
                sum = sum.wrapping_sub(tree[part]);
                part &= part - 1;
            }
            sum
        };
        let old = std::mem::take(self);
        for (at, id) in old.ids.iter().enumerate() {
            if let Some(id) = *id {
                let new = self.push(id, place(&old.tree, at + 1));
                moved(id, new);
            }
        }
    }
}

/// Keys are hashed already; the upper bits of those that are tracked are all alike, so they are mixed with the others.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are keys");
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
#[path = "curve_tests.rs"]
mod tests;
