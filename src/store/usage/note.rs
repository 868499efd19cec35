//! What a shard tells of the uses of its keys.

use super::{Found, Key, Use};
use crate::store::{Budget, Shard};

impl Shard {
    /// Whether this use of a key, of all in the shard, is one that is looked at.
    #[inline]
    pub(in crate::store) fn is_looked_at(&mut self) -> bool {
        self.until -= 1;
        if self.until > 0 {
            return false;
        }
        self.until = self.parts.usage.stride();
        true
    }

    /// Notes that a key was used.
    #[inline]
    pub(in crate::store) fn note_use(
        &mut self,
        key: Key<'_>,
        what: Use,
        handle: Option<u32>,
        now: u64,
        budget: &Budget,
    ) {
        self.note_look(key, what);
        if self.parts.usage.is_tracked(key.hash) {
            self.track(key, what, handle, now, budget);
        }
    }

    /// Notes that a key was asked about, which is no use of it to the policies, nor to the curve.
    pub(in crate::store) fn note_peek(&mut self, key: Key<'_>, what: Use) {
        self.note_look(key, what);
        *match what {
            Use::Hit => &mut self.told_reads.0,
            _ => &mut self.told_reads.1,
        } += 1;
    }

    #[inline]
    fn note_look(&mut self, key: Key<'_>, what: Use) {
        if self.is_looked_at() {
            self.parts.usage.count(key, what);
        }
    }

    #[cold]
    fn track(&self, key: Key<'_>, what: Use, handle: Option<u32>, now: u64, budget: &Budget) {
        let entries = &self.entries;
        let handle = match what {
            // Entries may have moved since it was written.
            Use::Write => {
                self.index.find(key.hash as u32, |handle| entries.is(handle, key.db, key.name))
            }
            _ => handle,
        };
        let found = handle.map(|handle| Found {
            bytes: entries.charge(handle),
            expires_at: entries.expires_at(handle),
        });
        self.parts.usage.track(key, what, found, now, budget.limit());
    }

    /// Notes that a key was written, which takes about so many bytes now.
    #[inline]
    pub(in crate::store) fn note_write(
        &mut self,
        key: Key<'_>,
        bytes: usize,
        now: u64,
        budget: &Budget,
    ) {
        self.note_use(key, Use::Write, None, now, budget);
        if self.parts.usage.is_big(bytes) {
            self.parts.usage.note_big(key, bytes);
        }
    }

    /// Begins anew to count uses up to one that is looked at.
    pub(in crate::store) fn rearm(&mut self) {
        self.until = self.parts.usage.stride();
    }

    /// Tells of the reads since it was last asked.
    pub(in crate::store) fn tell_reads(&mut self) {
        let now = (self.stats.hits, self.stats.misses);
        let (hits, misses) = std::mem::replace(&mut self.told_reads, now);
        self.parts.usage.add_reads(now.0 - hits, now.1 - misses);
    }
}
