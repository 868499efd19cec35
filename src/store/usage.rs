//! What the uses of keys tell of them: use by prefix, the hottest and the biggest keys, the miss-ratio curve.
//!
//! A use costs a count-down and a comparison. One use in [`Settings::sampled`], by chance, is looked at for the prefixes
//! and the hot keys, and counts as so many; all uses of the few keys whose hash is below a threshold go to the curve.

mod big;
mod curve;
mod hot;
mod note;
mod prefix;

pub use big::BigKey;
pub(super) use curve::Found;
pub use hot::HotKey;
pub use prefix::{ByPrefix, OTHER, PrefixUse, Separator};

use super::DATABASES;
use big::BigKeys;
use curve::Curve;
use hot::HotKeys;
use prefix::Prefixes;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// After so long what was seen counts half, so that it tells of the present: of hot keys, and of the curve.
const HOT_HALF_LIFE_MS: u64 = 60_000;
const CURVE_HALF_LIFE_MS: u64 = 600_000;
/// Uses after which a shard looks again whether any are wanted.
const LOOK_AGAIN: u32 = 1 << 16;
/// Reads of tracked keys without which there is no curve.
const SAMPLED_MIN: f64 = 100.0;
/// By how much the misses of the sample are corrected at most.
const CORRECTION_MAX: f64 = 4.0;
/// How often it is confirmed that the biggest keys are still there.
const CONFIRM_MS: u64 = 100;
/// What a key takes at least that is called big, in bytes.
const BIG_BYTES_MIN: u64 = 1024;
/// Multiples of the memory at which the curve is told.
pub const CURVE_TIMES: [f64; 9] = [0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0];

/// What is to be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// One use in so many is looked at; 0 for none.
    pub sampled: u32,
    /// Whether the miss-ratio curve is wanted.
    pub curve: bool,
    /// What ends a key's prefix.
    pub separator: Separator,
}

/// How a key was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// Read, and it was there.
    Hit,
    /// Read, and it was not.
    Miss,
    /// Written.
    Write,
    /// Evicted.
    Evicted,
}

/// A key, as it is looked at.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) db: u8,
    pub(super) name: &'a [u8],
    pub(super) hash: u64,
}

impl Key<'_> {
    /// What the curve knows it by: its upper bits decide whether it is tracked, the lowest tell the database.
    fn id(self) -> u64 {
        const DBS: u64 = DATABASES as u64;
        self.hash / DBS * DBS + u64::from(self.db) % DBS
    }
}

/// The uses of a store's keys.
pub struct Usage {
    sampled: AtomicU32,
    separator: AtomicU64,
    /// Keys are tracked for the curve whose hash lies below this.
    tracked_below: AtomicU32,
    /// Bytes from which on a key may be one of the biggest.
    big: AtomicU64,
    seen: Mutex<Seen>,
    /// The shards that have yet to begin anew to count uses, as bits.
    rearm: AtomicU32,
    /// When the biggest keys were confirmed last.
    confirmed_ms: AtomicU64,
}

#[derive(Default)]
struct Seen {
    prefixes: Prefixes,
    hot: HotKeys,
    big: BigKeys,
    curve: Curve,
    /// Reads that the curve is about, and those of them that did hit: halved as it is.
    reads: f64,
    hits: f64,
    hot_faded_ms: u64,
    curve_faded_ms: u64,
    relieved_ms: u64,
}

/// What the curve tells: reads, tracked keys, and for each of [`CURVE_TIMES`] the reads that would hit.
#[derive(Clone, Debug, Default)]
pub struct CurvePoints {
    /// Reads it is about, the latest ten minutes counting most.
    pub reads: f64,
    /// Keys that are tracked.
    pub tracked: usize,
    /// Bytes of memory, and reads that would have hit; none as long as too little is known.
    pub points: Vec<(u64, f64)>,
}

impl Usage {
    pub(super) fn new() -> Self {
        let usage = Usage {
            sampled: AtomicU32::new(0),
            separator: AtomicU64::new(0),
            tracked_below: AtomicU32::new(0),
            big: AtomicU64::new(BIG_BYTES_MIN),
            seen: Mutex::default(),
            rearm: AtomicU32::new(0),
            confirmed_ms: AtomicU64::new(0),
        };
        usage.configure(Settings { sampled: 256, curve: true, separator: Separator::default() });
        usage
    }

    /// Sets what is to be looked at. What is looked at in another way than before begins anew. Answers whether uses are
    /// to be counted by another number.
    pub(super) fn configure(&self, settings: Settings) -> bool {
        let mut seen = self.seen();
        let other = self.sampled.swap(settings.sampled, Relaxed) != settings.sampled;
        if other {
            seen.hot = HotKeys::default();
        }
        if self.separator.swap(settings.separator.to_bits(), Relaxed)
            != settings.separator.to_bits()
        {
            seen.prefixes = Prefixes::default();
        }
        if settings.curve != (self.tracked_below.load(Relaxed) > 0) {
            seen.curve = Curve::default();
            (seen.reads, seen.hits) = (0.0, 0.0);
            self.tracked_below
                .store(if settings.curve { seen.curve.threshold() } else { 0 }, Relaxed);
        }
        other
    }

    /// The shards that have yet to begin anew to count uses, as bits; whoever takes them sees to it.
    pub(super) fn take_rearm(&self) -> u32 {
        if self.rearm.load(Relaxed) == 0 { 0 } else { self.rearm.swap(0, Relaxed) }
    }

    /// Leaves it to others to have these shards begin anew.
    pub(super) fn leave_rearm(&self, shards: u32) {
        self.rearm.fetch_or(shards, Relaxed);
    }

    /// What ends a key's prefix.
    pub fn separator(&self) -> Separator {
        Separator::from_bits(self.separator.load(Relaxed))
    }

    /// One use in so many is looked at; 0 for none.
    pub fn sampled(&self) -> u32 {
        self.sampled.load(Relaxed)
    }

    /// How many uses to pass over until one is looked at, itself included: by chance, lest it follow a rhythm of the clients.
    pub fn stride(&self) -> u32 {
        match self.sampled() {
            0 => LOOK_AGAIN,
            mean => fastrand::u32(1..mean.saturating_mul(2)),
        }
    }

    /// Whether the uses of the key with this hash go to the curve.
    #[inline]
    pub(super) fn is_tracked(&self, hash: u64) -> bool {
        curve::is_below(hash, self.tracked_below.load(Relaxed))
    }

    /// Whether a key that takes so many bytes may be one of the biggest.
    #[inline]
    pub(super) fn is_big(&self, bytes: usize) -> bool {
        bytes as u64 > self.big.load(Relaxed)
    }

    /// Counts a use that was chosen by chance.
    #[cold]
    pub(super) fn count(&self, key: Key<'_>, what: Use) {
        if self.sampled() == 0 {
            return;
        }
        let prefix = self.separator().prefix_of(key.name);
        let mut seen = self.seen();
        seen.prefixes.count(prefix, what, u64::from(self.sampled()));
        if what != Use::Evicted {
            seen.hot.count(key);
        }
    }

    /// Tells the curve of a use of a tracked key, of a memory of `limit` bytes.
    pub(super) fn track(
        &self,
        key: Key<'_>,
        what: Use,
        found: Option<Found>,
        now: u64,
        limit: u64,
    ) {
        let mut seen = self.seen();
        let (curve, id) = (&mut seen.curve, key.id());
        match (what, found) {
            (Use::Hit | Use::Miss, found) => curve.read(id, found, now, limit),
            (Use::Write, Some(found)) => curve.renew(id, &found, now, limit),
            // Evicted here, it would stay where there is more memory.
            (Use::Write | Use::Evicted, _) => return,
        }
        self.follow(&seen);
    }

    /// Follows the curve's threshold, unless it was turned off meanwhile.
    fn follow(&self, seen: &Seen) {
        let (below, threshold) = (self.tracked_below.load(Relaxed), seen.curve.threshold());
        if below != 0 && below != threshold {
            self.tracked_below.store(threshold, Relaxed);
        }
    }

    /// Tells the curve that a tracked key expires at another time.
    pub(super) fn track_expiry(&self, key: Key<'_>, expires_at: u64) {
        self.seen().curve.expire(key.id(), expires_at);
    }

    /// Tells the curve that a tracked key is deleted.
    pub(super) fn track_removal(&self, key: Key<'_>) {
        self.seen().curve.forget(key.id());
    }

    /// Tells that all keys of a database, or of all, are deleted.
    pub(super) fn flushed(&self, db: Option<u8>) {
        let mut seen = self.seen();
        seen.curve.forget_all(db);
        self.follow(&seen);
        seen.big.flush(db);
        self.big.store(seen.big.least().max(BIG_BYTES_MIN), Relaxed);
    }

    /// Notes a key that may be one of the biggest.
    pub(super) fn note_big(&self, key: Key<'_>, bytes: usize) {
        let mut seen = self.seen();
        seen.big.note(key, bytes as u64);
        self.big.store(seen.big.least().max(BIG_BYTES_MIN), Relaxed);
    }

    /// The biggest keys.
    pub(super) fn big_keys(&self) -> Vec<BigKey> {
        self.seen().big.list()
    }

    /// Whether it is time to confirm the biggest keys again.
    pub(super) fn is_confirmation_due(&self, now: u64) -> bool {
        let last = self.confirmed_ms.load(Relaxed);
        let due = now < last || now - last >= CONFIRM_MS;
        if due {
            self.confirmed_ms.store(now, Relaxed);
        }
        due
    }

    /// Keeps of the biggest keys those that `size_of` confirms.
    pub(super) fn confirm_big_keys(&self, size_of: impl Fn(&BigKey) -> Option<u64>) {
        // Not under the lock: whoever writes holds a shard and waits for it.
        let known = self.seen().big.list();
        if known.is_empty() {
            return;
        }
        let sizes: Vec<Option<u64>> = known.iter().map(size_of).collect();
        let mut seen = self.seen();
        for (key, size) in known.iter().zip(sizes) {
            seen.big.correct(key, size);
        }
        self.big.store(seen.big.least().max(BIG_BYTES_MIN), Relaxed);
    }

    /// Takes note of so many more reads, of all keys, that did hit and that did not.
    pub(super) fn add_reads(&self, hits: u64, misses: u64) {
        if hits + misses > 0 {
            let mut seen = self.seen();
            seen.reads += (hits + misses) as f64;
            seen.hits += hits as f64;
        }
    }

    /// Lets what was seen fade with time.
    pub(super) fn fade(&self, now: u64) {
        let mut seen = self.seen();
        let ms = now.saturating_sub(std::mem::replace(&mut seen.relieved_ms, now));
        seen.curve.relieve(ms);
        self.follow(&seen);
        let is_due = |last: &mut u64, half_life: u64| {
            // The clock may have been set back.
            let due = now < *last || now - *last >= half_life;
            if due {
                *last = now;
            }
            due
        };
        if is_due(&mut seen.hot_faded_ms, HOT_HALF_LIFE_MS) {
            seen.hot.fade();
        }
        if is_due(&mut seen.curve_faded_ms, CURVE_HALF_LIFE_MS) {
            seen.curve.fade();
            seen.reads /= 2.0;
            seen.hits /= 2.0;
            self.follow(&seen);
        }
    }

    /// Use by prefix, in no order.
    pub fn prefixes(&self) -> Vec<(Vec<u8>, PrefixUse)> {
        self.seen().prefixes.list()
    }

    /// The keys that are used most, the hottest first, and how many uses of all keys there were in the same time.
    pub fn hot_keys(&self) -> (Vec<HotKey>, u64) {
        let (seen, each) = (self.seen(), u64::from(self.sampled().max(1)));
        (seen.hot.list(each), seen.hot.all() * each)
    }

    /// The curve, for multiples of `memory` bytes. If it is `as_now`, that is the memory which the reads had, under LRU: what
    /// the sample has wrong there is taken to be wrong everywhere, as a part of the misses.
    pub fn curve(&self, memory: u64, as_now: bool) -> CurvePoints {
        let seen = self.seen();
        if self.tracked_below.load(Relaxed) == 0 {
            return CurvePoints::default();
        }
        if seen.curve.sampled() < SAMPLED_MIN {
            let (reads, tracked) = (seen.reads, seen.curve.tracked());
            return CurvePoints { reads, tracked, points: Vec::new() };
        }
        let sizes = CURVE_TIMES.map(|times| (memory as f64 * times) as u64);
        let mut hits = seen.curve.hits(seen.reads, &sizes);
        let missed = seen.reads - seen.curve.hits(seen.reads, &[memory])[0];
        if as_now && missed > 0.0 {
            let factor =
                ((seen.reads - seen.hits) / missed).clamp(1.0 / CORRECTION_MAX, CORRECTION_MAX);
            for hits in &mut hits {
                *hits = (seen.reads - (seen.reads - *hits) * factor).max(0.0);
            }
        }
        CurvePoints {
            reads: seen.reads,
            tracked: seen.curve.tracked(),
            points: sizes.into_iter().zip(hits).collect(),
        }
    }

    /// Begins anew to count for the curve; keys stay tracked.
    pub fn restart_curve(&self) {
        let mut seen = self.seen();
        seen.curve.reset();
        (seen.reads, seen.hits) = (0.0, 0.0);
    }

    /// Forgets what was counted (`CONFIG RESETSTAT`).
    pub fn reset(&self) {
        self.restart_curve();
        let mut seen = self.seen();
        seen.prefixes = Prefixes::default();
        seen.hot = HotKeys::default();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
