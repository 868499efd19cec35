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
    /// Of the upper 16 bits of the hash it depends whether a key is tracked; the database goes into the others.
    fn id(self) -> u64 {
        self.hash ^ u64::from(self.db).wrapping_mul(0x0000_9E37_79B9_7F4B) & 0x0000_FFFF_FFFF_FFFF
    }
}

/// The uses of a store's keys.
pub struct Usage {
    sampled: AtomicU32,
    separator: AtomicU64,
    /// Keys are tracked for the curve whose hash has upper 16 bits below this.
    tracked_below: AtomicU32,
    /// Bytes from which on a key may be one of the biggest.
    big: AtomicU64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    prefixes: Prefixes,
    hot: HotKeys,
    big: BigKeys,
    curve: Curve,
    /// Reads of the store when it was last looked, and reads that the curve is about: halved as it is.
    reads: (u64, f64),
    hot_faded_ms: u64,
    curve_faded_ms: u64,
}

/// What the curve tells: reads, tracked keys, and for each of [`CURVE_TIMES`] the reads that would hit.
#[derive(Clone, Debug, Default)]
pub struct CurvePoints {
    /// Reads it is about, the latest ten minutes counting most.
    pub reads: f64,
    /// Keys that are tracked.
    pub tracked: usize,
    /// Bytes of memory, and reads that would have hit.
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
        };
        usage.configure(Settings { sampled: 64, curve: true, separator: Separator::default() });
        usage
    }

    /// Sets what is to be looked at. Another separator, and whether the curve is wanted, begin anew.
    pub fn configure(&self, settings: Settings) {
        let mut seen = self.seen();
        self.sampled.store(settings.sampled, Relaxed);
        if self.separator.swap(settings.separator.to_bits(), Relaxed)
            != settings.separator.to_bits()
        {
            seen.prefixes = Prefixes::default();
        }
        if settings.curve != (self.tracked_below.load(Relaxed) > 0) {
            seen.curve = Curve::default();
            seen.reads.1 = 0.0;
            self.tracked_below
                .store(if settings.curve { seen.curve.threshold() } else { 0 }, Relaxed);
        }
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
        ((hash >> 48) as u32) < self.tracked_below.load(Relaxed)
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
            (Use::Write, Some(found)) => curve.renew(id, &found, limit),
            // Evicted here, it would stay where there is more memory.
            (Use::Write | Use::Evicted, _) => return,
        }
        // It may have been turned off meanwhile.
        let threshold = curve.threshold();
        if self.tracked_below.load(Relaxed) > threshold {
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

    /// Tells that all keys are deleted.
    pub(super) fn flushed(&self) {
        let mut seen = self.seen();
        seen.curve.forget_all();
        seen.big = BigKeys::default();
        self.big.store(BIG_BYTES_MIN, Relaxed);
    }

    /// Notes a key that may be one of the biggest.
    pub(super) fn note_big(&self, key: Key<'_>, bytes: usize) {
        let mut seen = self.seen();
        seen.big.note(key, bytes as u64);
        self.big.store(seen.big.least().max(BIG_BYTES_MIN), Relaxed);
    }

    /// The biggest keys, as `size_of` confirms them.
    pub(super) fn big_keys(&self, size_of: impl Fn(&BigKey) -> Option<u64>) -> Vec<BigKey> {
        // Not under the lock: whoever writes holds a shard and waits for it.
        let known = self.seen().big.clone();
        let found = known.confirmed(size_of);
        let mut seen = self.seen();
        seen.big = found;
        self.big.store(seen.big.least().max(BIG_BYTES_MIN), Relaxed);
        seen.big.list()
    }

    /// Lets what was seen fade with time; `reads` are those of the store since it began to count. Also to be called before
    /// [`Usage::curve`], which tells of the reads that were known last.
    pub fn fade(&self, now: u64, reads: u64) {
        let mut seen = self.seen();
        let before = std::mem::replace(&mut seen.reads.0, reads);
        // They begin anew after CONFIG RESETSTAT.
        seen.reads.1 += reads.checked_sub(before).unwrap_or(reads) as f64;
        let is_due = |last: &mut u64, half_life: u64| {
            let due = now.saturating_sub(*last) >= half_life;
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
            seen.reads.1 /= 2.0;
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

    /// The curve, for multiples of `memory` bytes.
    pub fn curve(&self, memory: u64) -> CurvePoints {
        let seen = self.seen();
        if self.tracked_below.load(Relaxed) == 0 {
            return CurvePoints::default();
        }
        let sizes = CURVE_TIMES.map(|times| (memory as f64 * times) as u64);
        let hits = seen.curve.hits(seen.reads.1, &sizes);
        CurvePoints {
            reads: seen.reads.1,
            tracked: seen.curve.tracked(),
            points: sizes.into_iter().zip(hits).collect(),
        }
    }

    /// Forgets what was counted (`CONFIG RESETSTAT`).
    pub fn reset(&self) {
        let mut seen = self.seen();
        seen.prefixes = Prefixes::default();
        seen.hot = HotKeys::default();
        seen.curve.reset();
        seen.reads = (0, 0.0);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
