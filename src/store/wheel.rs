//! When entries expire: a hierarchical timing wheel (Varghese and Lauck 1987) whose slots are lists linked through the
//! entries themselves. Seven levels of 64 slots, each 64 times as coarse as the one before, in ticks of 8 ms: the place
//! of an entry is the highest digit in which its tick differs from the present one, so it moves down at most six
//! times.

use super::arena::{NONE, RESERVED};
use super::entry::Entries;

/// Milliseconds of a tick: how late memory comes back at least.
pub(super) const TICK_MS: u64 = 8;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 7;
/// The last tick there is, in the year 3084: what expires later is asked then.
const TICK_MAX: u64 = (1 << (DIGIT_BITS as usize * LEVELS)) - 1;

/// The entries that expire, by time.
pub(super) struct Wheel {
    /// The first entry of each slot, level by level.
    slots: [u32; SLOTS * LEVELS],
    /// Which slots are not empty.
    occupied: [u64; LEVELS],
    /// The tick at hand: what was due before is gone.
    now: u64,
    len: usize,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Wheel { slots: [NONE; SLOTS * LEVELS], occupied: [0; LEVELS], now: 0, len: 0 }
    }

    /// Adds an entry that is in no slot, at the time `now` in milliseconds.
    pub(super) fn insert(&mut self, entries: &mut Entries, handle: u32, now: u64) {
        if self.len == 0 {
            // Nothing is due between: there is no need to go through the slots.
            self.now = self.now.max(now / TICK_MS);
        }
        self.len += 1;
        self.place(entries, handle);
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, entries: &mut Entries, handle: u32) {
        self.len -= 1;
        self.unlink(entries, handle);
    }

    /// Tells an entry's neighbours that it has moved to another cell.
    pub(super) fn moved(&mut self, entries: &mut Entries, new: u32) {
        let (before, next) = (entries.wheel_before(new), entries.wheel_next(new));
        if before >= RESERVED {
            self.slots[(before - RESERVED) as usize] = new;
        } else {
            entries.set_wheel_next(before, new);
        }
        if next != NONE {
            entries.set_wheel_before(next, new);
        }
    }

    /// An entry that is due at the time `now`, in milliseconds; it stays where it is. `steps` bounds how many entries
    /// are moved down to find it, and is reduced by as many.
    pub(super) fn due(
        &mut self,
        entries: &mut Entries,
        now: u64,
        steps: &mut usize,
    ) -> Option<u32> {
        let now = now / TICK_MS;
        while self.len > 0 && *steps > 0 {
            let (level, slot, tick) = self.next_slot()?;
            if tick > now {
                return None;
            }
            self.now = self.now.max(tick);
            let handle = self.slots[level * SLOTS + slot];
            if level == 0 && entries.expires_at(handle).div_ceil(TICK_MS) <= now {
                return Some(handle);
            }
            if level == 0 {
                // Beyond the last tick: it stays for good.
                return None;
            }
            self.unlink(entries, handle);
            self.place(entries, handle);
            *steps -= 1;
        }
        None
    }

    /// Of up to `most` entries of the first slot that is not empty, the one that expires first.
    pub(super) fn soonest(&self, entries: &Entries, most: usize) -> Option<u32> {
        let (level, slot, _) = self.next_slot()?;
        let first = self.slots[level * SLOTS + slot];
        let next = |&handle: &u32| Some(entries.wheel_next(handle)).filter(|&next| next != NONE);
        let slot = std::iter::successors(Some(first), next);
        slot.take(most).min_by_key(|&handle| entries.expires_at(handle))
    }

    /// When there will be something to do, in milliseconds.
    pub(super) fn next_time(&self) -> Option<u64> {
        self.next_slot().map(|(_, _, tick)| tick * TICK_MS)
    }

    /// The first slot that is not empty, and the tick at which it begins.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        // A slot that the time has reached on a higher level must be emptied first: what is in it may be due before
        // all others.
        for level in (1..LEVELS).rev() {
            let digit = digit(self.now, level);
            if self.occupied[level] >> digit & 1 == 1 {
                return Some((level, digit, self.now));
            }
        }
        for level in 0..LEVELS {
            let ahead = self.occupied[level] >> digit(self.now, level);
            if ahead != 0 {
                let slot = digit(self.now, level) + ahead.trailing_zeros() as usize;
                let shift = DIGIT_BITS * level as u32;
                let start = (self.now >> (shift + DIGIT_BITS) << DIGIT_BITS | slot as u64) << shift;
                return Some((level, slot, start));
            }
        }
        None
    }

    /// Checks the links and answers which entries there are.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self, entries: &Entries) -> std::collections::HashSet<u32> {
        let mut found = std::collections::HashSet::new();
        for (at, &first) in self.slots.iter().enumerate() {
            let occupied = self.occupied[at / SLOTS] >> (at % SLOTS) & 1 == 1;
            assert_eq!(occupied, first != NONE, "occupied slots");
            let (mut handle, mut before) = (first, RESERVED + at as u32);
            while handle != NONE {
                assert_eq!(entries.wheel_before(handle), before, "links of a slot");
                assert!(found.insert(handle), "an entry is in one slot");
                (before, handle) = (handle, entries.wheel_next(handle));
            }
        }
        assert_eq!(found.len(), self.len);
        found
    }

    fn place(&mut self, entries: &mut Entries, handle: u32) {
        let tick = entries.expires_at(handle).div_ceil(TICK_MS).clamp(self.now, TICK_MAX);
        let differing = (self.now ^ tick) | 1;
        let level = (differing.ilog2() / DIGIT_BITS) as usize;
        let slot = digit(tick, level);
        let at = level * SLOTS + slot;
        let next = std::mem::replace(&mut self.slots[at], handle);
        if next != NONE {
            entries.set_wheel_before(next, handle);
        }
        entries.set_wheel_next(handle, next);
        entries.set_wheel_before(handle, RESERVED + at as u32);
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, entries: &mut Entries, handle: u32) {
        let (before, next) = (entries.wheel_before(handle), entries.wheel_next(handle));
        if next != NONE {
            entries.set_wheel_before(next, before);
        }
        if before < RESERVED {
            entries.set_wheel_next(before, next);
            return;
        }
        let at = (before - RESERVED) as usize;
        self.slots[at] = next;
        if next == NONE {
            self.occupied[at / SLOTS] &= !(1 << (at % SLOTS));
        }
    }
}

fn digit(tick: u64, level: usize) -> usize {
    (tick >> (DIGIT_BITS as usize * level)) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::super::entry::Content;
    use super::super::hash::KeyHasher;
    use super::super::pool::Pool;
    use super::super::value::Str;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entry(entries: &mut Entries, number: u32, expires_at: u64) -> u32 {
        let (key, value) = (number.to_be_bytes(), Str::Slice(&[]));
        let content = Content { db: 0, key: &key, value, slack: 0, expires_at };
        entries.create(content, 0)
    }

    proptest! {
        /// Entries with times near and far, some taken out again: what is due is met within a tick of its time and never
        /// before, whatever steps the time takes and however little is done at once.
        #[test]
        fn what_is_due_is_met_in_time(
            ttls in prop::collection::vec(
                prop_oneof![1u64..100, 1u64..10_000, 1u64..10_000_000, 1u64..20_000_000_000, any::<u64>()], 1..150),
            removed in prop::collection::vec(any::<bool>(), 150),
            times in prop::collection::vec(prop_oneof![1u64..20, 1u64..2000, 1u64..3_000_000, 1u64..u64::from(u32::MAX)], 1..60),
            work in 1usize..10,
        ) {
            let mut now = 1_763_000_000_123u64;
            let mut entries = Entries::new(Pool::new(), KeyHasher::new());
            let (mut wheel, mut model) = (Wheel::new(), BTreeMap::new());
            for (number, ttl) in ttls.into_iter().enumerate() {
                let at = now.saturating_add(ttl);
                let handle = entry(&mut entries, number as u32, at);
                wheel.insert(&mut entries, handle, now);
                model.insert(handle, at);
                if removed[number] {
                    wheel.remove(&mut entries, handle);
                    model.remove(&handle);
                }
                if number % 3 == 0 {
                    now += 1;
                }
            }
            for step in times {
                now += step;
                loop {
                    let mut steps = work;
                    match wheel.due(&mut entries, now, &mut steps) {
                        Some(handle) => {
                            wheel.remove(&mut entries, handle);
                            let at = model.remove(&handle);
                            prop_assert!(at.is_some_and(|at| at <= now), "{at:?} at {now}");
                        }
                        None if steps == 0 => {}
                        None => break,
                    }
                }
                let late = model.values().find(|&&at| at.div_ceil(TICK_MS) <= now / TICK_MS);
                prop_assert_eq!(late, None);
                prop_assert_eq!(wheel.check(&entries).len(), model.len());
                let soonest = model.values().min().copied();
                prop_assert!(wheel.next_time().is_none_or(|at| soonest.is_some_and(|s| at <= s.next_multiple_of(8))));
            }
        }
    }

    #[test]
    fn the_soonest_is_known_to_within_a_slot() {
        let mut entries = Entries::new(Pool::new(), KeyHasher::new());
        let (mut wheel, now) = (Wheel::new(), 1_763_000_000_000);
        for number in 0..2000u32 {
            let ttl = 1000 + u64::from(number.wrapping_mul(0x9E37_79B1)) % 5_000_000;
            let handle = entry(&mut entries, number, now + ttl);
            wheel.insert(&mut entries, handle, now);
        }
        while let Some(handle) = wheel.soonest(&entries, 64) {
            let at = entries.expires_at(handle);
            let first =
                wheel.check(&entries).into_iter().map(|h| entries.expires_at(h)).min().unwrap();
            let level = (((now / TICK_MS) ^ first.div_ceil(TICK_MS)) | 1).ilog2() / DIGIT_BITS;
            let width = TICK_MS << (DIGIT_BITS * level);
            assert!(at - first <= width, "{} after {}", at - first, first - now);
            wheel.remove(&mut entries, handle);
            if wheel.len < 1500 {
                break;
            }
        }
    }
}
