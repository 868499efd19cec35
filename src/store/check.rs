//! Walks through a shard and checks everything that must hold between its parts.

use super::arena::NONE;
use super::order::list;
use super::shard::{DbStats, Shard};
use super::{DATABASES, Str};
use std::collections::{HashMap, HashSet};

impl Shard {
    /// Bytes that do not depend on its entries alone.
    pub(super) fn fixed_bytes(&self) -> usize {
        self.index.bytes() + self.eviction.bytes() + self.entries.slab_bytes()
    }

    /// Panics at the first thing that is wrong. Answers the keys from the oldest to the newest of the main list, and
    /// all keys with their values and times of expiry.
    #[allow(clippy::type_complexity, reason = "keys as the model has them")]
    pub(super) fn check(&self) -> (Vec<(u8, Vec<u8>)>, HashMap<(u8, Vec<u8>), (Vec<u8>, u64)>) {
        let entries = &self.entries;
        let name = |handle: u32| (entries.meta(handle).db(), entries.key(handle).to_vec());

        let (mut all, mut handles) = (HashMap::new(), HashSet::new());
        let mut dbs = [DbStats::default(); DATABASES];
        let (mut charged, mut listed) = (0, [0; list::COUNT]);
        self.index.visit_all(|handle| {
            assert!(handles.insert(handle), "an entry is in the index once");
            let (meta, expires_at) = (entries.meta(handle), entries.expires_at(handle));
            let db = &mut dbs[meta.db() as usize];
            db.keys += 1;
            if expires_at != 0 {
                db.expires += 1;
                db.expires_at_sum += u128::from(expires_at);
            }
            charged += entries.charge(handle);
            listed[usize::from(meta.list())] += 1;
            let found = self.index.find(entries.hash(handle), |other| other == handle);
            assert_eq!(found, Some(handle), "an entry is found by its hash");
            let value: Str<'_> = entries.value(handle);
            let before = all.insert(name(handle), (value.to_vec(), expires_at));
            assert!(before.is_none(), "a key has one entry");
        });
        assert_eq!(handles.len(), self.index.len(), "entries that the index counts");
        assert_eq!(dbs, self.dbs, "counters of the databases");

        for number in 1..list::COUNT as u8 {
            let ends = self.eviction.order.ends(number);
            let (mut handle, mut newer, mut bytes, mut len) = (ends.newest, NONE, 0, 0);
            while handle != NONE {
                assert!(handles.contains(&handle), "a list has only entries");
                assert_eq!(entries.newer(handle), newer, "links of the order");
                assert_eq!(entries.meta(handle).list(), number, "an entry knows its list");
                bytes += entries.charge(handle);
                len += 1;
                (newer, handle) = (handle, entries.older(handle));
            }
            assert_eq!((ends.oldest, ends.bytes, ends.len), (newer, bytes, len), "list {number}");
            assert_eq!(len, listed[usize::from(number)], "entries that say they are in it");
        }

        let scheduled = self.wheel.check(entries);
        let expiring = |handle: &&u32| entries.expires_at(**handle) != 0;
        assert_eq!(scheduled, handles.iter().filter(expiring).copied().collect(), "the wheel");

        entries.check(handles.len(), charged);
        assert_eq!(self.charged, self.footprint(), "bytes charged");

        let mut order = Vec::new();
        let mut handle = self.eviction.order.ends(self.eviction.current()).oldest;
        while handle != NONE {
            order.push(name(handle));
            handle = entries.newer(handle);
        }
        // What was used and is not yet where it belongs.
        for late in self.eviction.order.late() {
            if entries.meta(late).list() == self.eviction.current() {
                let late = name(late);
                order.retain(|other| *other != late);
                order.push(late);
            }
        }
        (order, all)
    }
}
