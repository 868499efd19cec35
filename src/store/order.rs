//! The order of eviction: lists of entries linked through the entries themselves, most recent first.

use super::arena::NONE;
use super::entry::Entries;

/// The lists an entry can be in; it knows which.
pub(super) mod list {
    /// None: the policy never evicts it.
    pub(in super::super) const NONE: u8 = 0;
    /// The list of all that the policy may evict, or those of them that have proved themselves.
    pub(in super::super) const MAIN: [u8; 2] = [1, 2];
    /// Newcomers, where the policy treats them differently.
    pub(in super::super) const SMALL: u8 = 3;
    /// How many there are.
    pub(in super::super) const COUNT: usize = 4;
}

/// The ends of a list.
#[derive(Clone, Copy, Default)]
pub(super) struct Ends {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    /// What its entries are charged.
    pub(super) bytes: usize,
    pub(super) len: usize,
}

/// Uses that are put off.
const LATE: usize = 4;

/// The lists of a shard.
///
/// A use is entered in them a little later, when its entry's neighbours have been fetched; whatever else is done to the
/// lists, or looks at them, comes after it all the same.
#[derive(Default)]
pub(super) struct Order {
    lists: [Ends; list::COUNT],
    /// Entries that were used, each to become the newest of its list: a ring, and where the longest put off is.
    late: [u32; LATE],
    first: usize,
}

impl Order {
    /// Those of a list; the uses that are put off are not in it, unless [`Order::settle`] was called.
    pub(super) fn ends(&self, list: u8) -> Ends {
        self.lists[usize::from(list)]
    }

    /// Entries whose use is put off, the longest first.
    #[cfg(any(test, fuzzing))]
    pub(super) fn late(&self) -> impl Iterator<Item = u32> {
        let in_order = (0..LATE).map(|nth| self.late[(self.first + nth) % LATE]);
        in_order.filter(|&handle| handle != NONE)
    }

    /// Enters the uses that were put off. To be called before links or handles of entries change, other than by this.
    #[inline]
    pub(super) fn settle(&mut self, entries: &mut Entries) {
        if self.late != [NONE; LATE] {
            self.settle_all(entries);
        }
    }

    fn settle_all(&mut self, entries: &mut Entries) {
        for _ in 0..LATE {
            let handle = std::mem::replace(&mut self.late[self.first], NONE);
            self.first = (self.first + 1) % LATE;
            if handle != NONE {
                self.make_newest(entries, handle);
            }
        }
    }

    /// Puts an entry that is in no list at the newest end of one.
    pub(super) fn push_newest(&mut self, entries: &mut Entries, list: u8, handle: u32) {
        self.settle(entries);
        let charge = entries.charge(handle);
        let ends = &mut self.lists[usize::from(list)];
        ends.bytes += charge;
        ends.len += 1;
        let older = std::mem::replace(&mut ends.newest, handle);
        if older == NONE {
            ends.oldest = handle;
        } else {
            entries.set_newer(older, handle);
        }
        entries.set_newer(handle, NONE);
        entries.set_older(handle, older);
        entries.set_meta(handle, entries.meta(handle).in_list(list));
    }

    /// Puts an entry that is in no list at the oldest end of one.
    pub(super) fn push_oldest(&mut self, entries: &mut Entries, list: u8, handle: u32) {
        self.settle(entries);
        let charge = entries.charge(handle);
        let ends = &mut self.lists[usize::from(list)];
        ends.bytes += charge;
        ends.len += 1;
        let newer = std::mem::replace(&mut ends.oldest, handle);
        if newer == NONE {
            ends.newest = handle;
        } else {
            entries.set_older(newer, handle);
        }
        entries.set_newer(handle, newer);
        entries.set_older(handle, NONE);
        entries.set_meta(handle, entries.meta(handle).in_list(list));
    }

    /// Takes an entry out of the list it is in, if any.
    pub(super) fn unlink(&mut self, entries: &mut Entries, handle: u32) {
        self.settle(entries);
        let meta = entries.meta(handle);
        if meta.list() == list::NONE {
            return;
        }
        let charge = entries.charge(handle);
        let ends = &mut self.lists[usize::from(meta.list())];
        ends.bytes -= charge;
        ends.len -= 1;
        let (newer, older) = (entries.newer(handle), entries.older(handle));
        if newer == NONE {
            ends.newest = older;
        } else {
            entries.set_older(newer, older);
        }
        if older == NONE {
            ends.oldest = newer;
        } else {
            entries.set_newer(older, newer);
        }
        entries.set_newer(handle, NONE);
        entries.set_older(handle, NONE);
        entries.set_meta(handle, meta.in_list(list::NONE));
    }

    /// Makes an entry the newest of the list it is in, soon.
    #[inline]
    pub(super) fn renew(&mut self, entries: &mut Entries, handle: u32) {
        entries.prefetch_neighbours(handle);
        let late = std::mem::replace(&mut self.late[self.first], handle);
        self.first = (self.first + 1) % LATE;
        if late != NONE {
            self.make_newest(entries, late);
        }
    }

    /// Makes an entry the newest of the list it is in, at once.
    pub(super) fn make_newest(&mut self, entries: &mut Entries, handle: u32) {
        let list = entries.meta(handle).list();
        let newest = self.lists[usize::from(list)].newest;
        if list == list::NONE || newest == handle {
            return;
        }
        let (newer, older) = entries.links(handle);
        entries.set_links(handle, NONE, newest);
        entries.set_newer(newest, handle);
        entries.set_older(newer, older);
        let ends = &mut self.lists[usize::from(list)];
        ends.newest = handle;
        if older == NONE {
            ends.oldest = newer;
        } else {
            entries.set_newer(older, newer);
        }
    }

    /// Tells an entry's neighbours that it has moved to another cell.
    pub(super) fn moved(&mut self, entries: &mut Entries, old: u32, new: u32) {
        debug_assert!(self.late == [NONE; LATE], "the links are copied already");
        let list = entries.meta(new).list();
        if list == list::NONE {
            return;
        }
        let (newer, older) = (entries.newer(new), entries.older(new));
        let ends = &mut self.lists[usize::from(list)];
        debug_assert!(
            (newer == NONE) == (ends.newest == old) && (older == NONE) == (ends.oldest == old)
        );
        if newer == NONE {
            ends.newest = new;
        } else {
            entries.set_older(newer, new);
        }
        if older == NONE {
            ends.oldest = new;
        } else {
            entries.set_newer(older, new);
        }
    }

    /// Corrects what the entries of a list are charged after one of them has changed.
    pub(super) fn recharge(&mut self, list: u8, before: usize, after: usize) {
        if list != list::NONE {
            let bytes = &mut self.lists[usize::from(list)].bytes;
            *bytes = *bytes - before + after;
        }
    }
}
