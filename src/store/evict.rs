//! Which key makes room: the order of eviction as the policies see it.
//!
//! Under most policies one list holds all keys, the least recently used one at its end; under `volatile-lru` and
//! `volatile-lrm` only those that expire. When a policy needs other lists than its predecessor, the old list is moved
//! over from its *newest* end to the *oldest* end of the new one, a few entries at a time: the order stays exact
//! throughout, and what is used meanwhile goes to the newest end of the new one.
//!
//! **S3-FIFO** (Yang et al., SOSP 2023) keeps newcomers in a small queue. Those that are not used again before they come
//! to its end are evicted, and only the hash of their names is remembered; the others, and those that come back while
//! they are remembered, go to the main queue, where a key that was used gets another round. A use costs a write to the
//! key's own header and nothing else.
//!
//! Why this one: simulated over ten loads (Zipf with and without scans, two traces, several sizes; 16 shards, ghosts
//! charged), mean hit ratios were 0.661 for S3-FIFO, 0.657 for W-TinyLFU with its best window (20 %), 0.654 for SIEVE,
//! 0.634 for LRU; S3-FIFO alone was never below LRU. It writes to a header at one hit in five, where LRU relinks at four
//! of five and W-TinyLFU writes to a sketch at each. As simulated best: newcomers take a tenth of the memory, one use
//! saves them, as many hashes are remembered as there are keys (6 bytes each, charged), and setting a key that is there
//! is no use of it.

use super::arena::NONE;
use super::budget::Budget;
use super::entry::Entries;
use super::ghost::Ghosts;
use super::index::Index;
use super::order::{Order, list};
use super::policy::Policy;
use super::stamp;
use super::wheel::Wheel;

/// Part of the memory that newcomers may take under S3-FIFO.
const SMALL_PART: usize = 10;
/// Uses that are remembered of a key.
const USES_MAX: u8 = 3;
/// Keys that one eviction looks at, at most, before it takes the next one whatever there is to say for it.
const LOOKS_MAX: usize = 64;

/// What remains to be done after the policy was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Done,
    /// Keys of the former lists are moved over.
    Move,
    /// Keys that were in no list are put at the end of one; this is a position of a scan.
    Gather(u32),
}

/// The order of eviction of a shard.
pub(super) struct Eviction {
    policy: Policy,
    pub(super) order: Order,
    ghosts: Ghosts,
    /// Which of [`list::MAIN`] is in use.
    main: usize,
    change: Change,
    /// Some keys may be in no list, although the policy wants them in one.
    unlisted: bool,
}

impl Eviction {
    pub(super) fn new(policy: Policy) -> Self {
        Eviction {
            policy,
            order: Order::default(),
            ghosts: Ghosts::default(),
            main: 0,
            change: Change::Done,
            unlisted: false,
        }
    }

    /// The policy in force: the one before the last, maybe, while a change is under way.
    pub(super) fn policy(&self) -> Policy {
        self.policy
    }

    /// Bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.ghosts.bytes()
    }

    /// Follows a change of the policy; [`Eviction::proceed`] does the rest. A change during a change waits. Answers
    /// whether there was one.
    pub(super) fn follow(&mut self, policy: Policy) -> bool {
        if policy == self.policy || self.change != Change::Done {
            return false;
        }
        self.unlisted |= self.policy.orders_volatile();
        let newcomers = self.policy == Policy::AllkeysS3fifo;
        if newcomers || self.policy.orders_volatile() != policy.orders_volatile() {
            self.main = 1 - self.main;
            self.change = Change::Move;
        }
        if policy != Policy::AllkeysS3fifo {
            self.ghosts.resize(0);
        }
        self.policy = policy;
        true
    }

    /// Goes on with a change of policy, by at most so many keys. Answers whether there is more to do.
    #[inline]
    pub(super) fn proceed(&mut self, entries: &mut Entries, index: &Index, steps: usize) -> bool {
        if self.change == Change::Done {
            return false;
        }
        self.advance(entries, index, steps)
    }

    fn advance(&mut self, entries: &mut Entries, index: &Index, steps: usize) -> bool {
        self.order.settle(entries);
        for _ in 0..steps {
            match self.change {
                Change::Done => return false,
                Change::Move => {
                    // Newcomers of a policy that has none any more are the most recent keys.
                    let newcomers = self.policy != Policy::AllkeysS3fifo;
                    let lists = [if newcomers { list::SMALL } else { list::NONE }, self.former()];
                    let next = lists.map(|list| self.order.ends(list).newest);
                    match next.into_iter().find(|&handle| handle != NONE) {
                        Some(handle) => {
                            self.order.unlink(entries, handle);
                            if self.wants(entries, handle) {
                                self.order.push_oldest(entries, self.current(), handle);
                            }
                        }
                        None if self.unlisted && !self.policy.orders_volatile() => {
                            self.change = Change::Gather(0);
                        }
                        None => self.change = Change::Done,
                    }
                }
                Change::Gather(position) => {
                    let mut found: smallvec::SmallVec<[u32; 32]> = smallvec::SmallVec::new();
                    let next = index.scan(position, entries, |handle| found.push(handle));
                    for handle in found {
                        if entries.meta(handle).list() == list::NONE {
                            self.order.push_oldest(entries, self.current(), handle);
                        }
                    }
                    self.unlisted = next.is_some();
                    self.change = next.map_or(Change::Done, Change::Gather);
                }
            }
        }
        self.change != Change::Done
    }

    /// Takes up a new entry.
    pub(super) fn inserted(&mut self, entries: &mut Entries, handle: u32, hash: u32) {
        if !self.wants(entries, handle) {
            return;
        }
        if self.policy != Policy::AllkeysS3fifo {
            return self.order.push_newest(entries, self.current(), handle);
        }
        let list = if self.ghosts.take(hash) { self.current() } else { list::SMALL };
        self.order.push_newest(entries, list, handle);
    }

    /// Notes that a key was used.
    pub(super) fn used(
        &mut self,
        entries: &mut Entries,
        handle: u32,
        write: bool,
        now: u64,
        budget: &Budget,
    ) {
        let before = entries.stamp(handle);
        let after = if self.policy.is_lfu() {
            stamp::counted(before, now, budget.decay(), fastrand::f64())
        } else {
            stamp::used(before, now)
        };
        if after != before {
            entries.set_stamp(handle, after);
        }
        let meta = entries.meta(handle);
        if self.policy == Policy::AllkeysS3fifo {
            // Whoever sets a key that is there has often just missed it, as others did in the same moment.
            if !write && meta.uses() < USES_MAX {
                entries.set_meta(handle, meta.with_uses(meta.uses() + 1));
            }
        } else if write || self.policy.renews_on_read() {
            self.renew(entries, handle);
        }
    }

    /// Puts an entry into the list it belongs to, or takes it out, after it was given or has lost a time to expire.
    pub(super) fn expiry_changed(&mut self, entries: &mut Entries, handle: u32) {
        let wanted = self.wants(entries, handle);
        if !wanted {
            self.order.unlink(entries, handle);
        } else if entries.meta(handle).list() == list::NONE {
            self.order.push_newest(entries, self.current(), handle);
        }
    }

    /// The key to evict next, if the policy has any.
    pub(super) fn victim(
        &mut self,
        entries: &mut Entries,
        index: &Index,
        wheel: &Wheel,
        now: u64,
        budget: &Budget,
    ) -> Option<u32> {
        self.order.settle(entries);
        match self.policy {
            Policy::AllkeysLru
            | Policy::AllkeysLrm
            | Policy::VolatileLru
            | Policy::VolatileLrm
            | Policy::NoEviction => self.oldest(entries),
            Policy::AllkeysS3fifo => self.quickly_demoted(entries),
            Policy::VolatileTtl => wheel.soonest(entries, LOOKS_MAX),
            Policy::AllkeysRandom | Policy::VolatileRandom => {
                self.sampled(entries, index, wheel, 1, |_, _| fastrand::u64(..))
            }
            Policy::AllkeysLfu | Policy::VolatileLfu => {
                let decay = budget.decay();
                self.sampled(entries, index, wheel, budget.samples(), |entries, handle| {
                    let stamp = entries.stamp(handle);
                    // Among keys that were used as often, the one that was not for longest.
                    let idle = stamp::idle_s(stamp, now);
                    u64::from(stamp::count(stamp, now, decay)) << 32 | (u64::from(u32::MAX) - idle)
                })
            }
        }
    }

    /// Notes that a key is about to be evicted.
    pub(super) fn evicted(&mut self, entries: &Entries, handle: u32, hash: u32) {
        if self.policy == Policy::AllkeysS3fifo && entries.meta(handle).list() == list::SMALL {
            self.ghosts
                .resize(self.order.ends(self.current()).len + self.order.ends(list::SMALL).len);
            self.ghosts.remember(hash);
        }
    }

    fn oldest(&mut self, entries: &mut Entries) -> Option<u32> {
        // What has not been moved yet is older than what has.
        for _ in 0..LOOKS_MAX {
            let former = [self.former(), list::SMALL].map(|list| self.order.ends(list).oldest);
            let Some(handle) = former.into_iter().find(|&handle| handle != NONE) else { break };
            if self.wants(entries, handle) {
                return Some(handle);
            }
            self.order.unlink(entries, handle);
        }
        let oldest = self.order.ends(self.current()).oldest;
        (oldest != NONE).then_some(oldest)
    }

    /// S3-FIFO's choice.
    fn quickly_demoted(&mut self, entries: &mut Entries) -> Option<u32> {
        for looks in 0.. {
            let (small, main) = (self.order.ends(list::SMALL), self.order.ends(self.current()));
            let last_look = looks >= LOOKS_MAX;
            if small.len > 0
                && (main.len == 0 || small.bytes * SMALL_PART >= small.bytes + main.bytes)
            {
                let uses = entries.meta(small.oldest).uses();
                if uses == 0 || last_look {
                    return Some(small.oldest);
                }
                self.order.unlink(entries, small.oldest);
                self.order.push_newest(entries, self.current(), small.oldest);
            } else if main.len > 0 {
                let uses = entries.meta(main.oldest).uses();
                if uses == 0 || last_look {
                    return Some(main.oldest);
                }
                self.order.make_newest(entries, main.oldest);
                let meta = entries.meta(main.oldest);
                entries.set_meta(main.oldest, meta.with_uses(uses - 1));
            } else {
                break;
            }
        }
        // Nothing has been moved yet from the lists of another policy.
        let oldest = self.order.ends(self.former()).oldest;
        (oldest != NONE).then_some(oldest)
    }

    /// Of at least `samples` random keys the one that `score` gives least.
    fn sampled(
        &self,
        entries: &Entries,
        index: &Index,
        wheel: &Wheel,
        samples: usize,
        mut score: impl FnMut(&Entries, u32) -> u64,
    ) -> Option<u32> {
        let (mut best, mut seen) = (None, 0);
        // Whole buckets: the keys of one have nothing in common but their hash, and lie at hand.
        for _ in 0..LOOKS_MAX {
            index.visit_random(
                |bound| fastrand::u32(..bound),
                |handle| {
                    if self.policy.is_volatile() && !entries.meta(handle).expires() {
                        return;
                    }
                    seen += 1;
                    let score = score(entries, handle);
                    if best.is_none_or(|(least, _)| score < least) {
                        best = Some((score, handle));
                    }
                },
            );
            if seen >= samples {
                break;
            }
        }
        // Where only few keys expire none may have been met.
        let found = best.map(|(_, handle)| handle);
        found.or_else(|| self.policy.is_volatile().then(|| wheel.soonest(entries, 1)).flatten())
    }

    fn renew(&mut self, entries: &mut Entries, handle: u32) {
        let list = entries.meta(handle).list();
        if list == self.current() {
            self.order.renew(entries, handle);
        } else if list != list::NONE || (self.unlisted && self.wants(entries, handle)) {
            self.order.unlink(entries, handle);
            if self.wants(entries, handle) {
                self.order.push_newest(entries, self.current(), handle);
            }
        }
    }

    /// Whether the policy has this entry in its lists.
    fn wants(&self, entries: &Entries, handle: u32) -> bool {
        !self.policy.orders_volatile() || entries.meta(handle).expires()
    }

    pub(super) fn current(&self) -> u8 {
        list::MAIN[self.main]
    }

    fn former(&self) -> u8 {
        list::MAIN[1 - self.main]
    }
}
