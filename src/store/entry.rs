//! The entries of a shard, each in one cell:
//!
//! ```text
//! 0        4        8        12       16                  24       28       32
//! | newer  | older  | meta   | stamp  | expires_at        | next   | before | key | value |
//! |        order    |        |        |   only of entries that expire        |
//! ```
//!
//! `newer` and `older` are the neighbours in the order of eviction, `next` and `before` those in a slot of the timing
//! wheel, all of them handles of cells. A value that makes the cell too large lies elsewhere (see [`super::large`]),
//! and the cell has its number in place of it; a key that alone is too large lies there as well.

use super::arena::{Arena, NONE};
use super::classes::{CELL_BYTES_MAX, cell_size};
use super::hash::KeyHasher;
use super::large::{Large, Slab};
use super::pool::Pool;
use super::prefetch::prefetch;
use super::value::Str;
use bytes::Bytes;

use std::sync::Arc;

const HEADER_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 16;
/// Bytes of the number of a value that lies elsewhere.
const NUMBER_BYTES: usize = 4;
/// Where the fields of a cell are.
const NEWER: usize = 0;
const OLDER: usize = 4;
const META: usize = 8;
const STAMP: usize = 12;
const EXPIRES_AT: usize = 16;
const WHEEL_NEXT: usize = 24;
const WHEEL_BEFORE: usize = 28;

/// Bytes of what so many entries have beside key and value, if some of them expire: their links and times.
pub(super) fn header_bytes(entries: usize, expiring: usize) -> usize {
    entries * HEADER_BYTES + expiring * EXPIRY_BYTES
}

/// What an entry is, packed into 32 bits. All of them set mean a free cell: a value that lies elsewhere has length 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta(u32);

impl Meta {
    const KEY_BITS: u32 = 11;
    const VALUE_AT: u32 = 11;
    const LENGTH: u32 = (1 << Self::KEY_BITS) - 1;
    const DB_AT: u32 = 22;
    const EXPIRES: u32 = 1 << 26;
    const LARGE: u32 = 1 << 27;
    const LIST_AT: u32 = 28;
    const USES_AT: u32 = 30;
    /// In place of a key's length: it lies with the value.
    const LONG_KEY: usize = Self::LENGTH as usize;

    fn new(key_len: usize, value_len: usize, db: u8) -> Self {
        let lengths = key_len as u32 | (value_len as u32) << Self::VALUE_AT;
        Meta(lengths | u32::from(db) << Self::DB_AT)
    }

    /// That of the entry in this cell.
    #[inline]
    fn of(cell: &[u8]) -> Self {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&cell[META..STAMP]);
        Meta(u32::from_le_bytes(bytes))
    }

    /// Bytes of the key in the cell.
    fn key_len(self) -> usize {
        let len = (self.0 & Self::LENGTH) as usize;
        if len == Self::LONG_KEY { 0 } else { len }
    }

    fn has_long_key(self) -> bool {
        self.0 & Self::LENGTH == Self::LENGTH
    }

    fn value_len(self) -> usize {
        if self.is_large() {
            NUMBER_BYTES
        } else {
            (self.0 >> Self::VALUE_AT & Self::LENGTH) as usize
        }
    }

    fn key_at(self) -> usize {
        HEADER_BYTES + if self.expires() { EXPIRY_BYTES } else { 0 }
    }

    fn value_at(self) -> usize {
        self.key_at() + self.key_len()
    }

    fn len(self) -> usize {
        self.value_at() + self.value_len()
    }

    /// The database it is in.
    pub(super) fn db(self) -> u8 {
        (self.0 >> Self::DB_AT & 15) as u8
    }

    /// Whether it has a time to expire.
    pub(super) fn expires(self) -> bool {
        self.0 & Self::EXPIRES != 0
    }

    /// Whether its value lies elsewhere.
    fn is_large(self) -> bool {
        self.0 & Self::LARGE != 0
    }

    /// The list of the eviction order it is in.
    pub(super) fn list(self) -> u8 {
        (self.0 >> Self::LIST_AT & 3) as u8
    }

    /// How often it was used since it was last considered for eviction, up to 3.
    pub(super) fn uses(self) -> u8 {
        (self.0 >> Self::USES_AT) as u8
    }

    /// The same in another list, its uses forgotten.
    pub(super) fn in_list(self, list: u8) -> Self {
        Meta(self.0 & !(0b1111 << Self::LIST_AT) | u32::from(list) << Self::LIST_AT)
    }

    /// The same with another number of uses.
    pub(super) fn with_uses(self, uses: u8) -> Self {
        Meta(self.0 & !(3 << Self::USES_AT) | u32::from(uses) << Self::USES_AT)
    }
}

/// What an entry is made of.
#[derive(Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) db: u8,
    pub(super) key: &'a [u8],
    pub(super) value: Str<'a>,
    /// Bytes that the value's memory is larger than the value.
    pub(super) slack: usize,
    /// 0 if it does not expire.
    pub(super) expires_at: u64,
}

impl Content<'_> {
    /// Its form in a cell.
    fn meta(&self) -> Meta {
        let fixed = HEADER_BYTES + if self.expires_at == 0 { 0 } else { EXPIRY_BYTES };
        let (key, value) = (self.key.len(), self.value.len());
        let meta = if fixed + key + value <= CELL_BYTES_MAX {
            Meta::new(key, value, self.db)
        } else {
            // Room for the time is kept in any case: whether the key is long does not depend on it.
            let long = HEADER_BYTES + EXPIRY_BYTES + NUMBER_BYTES + key > CELL_BYTES_MAX;
            Meta(Meta::new(if long { Meta::LONG_KEY } else { key }, 0, self.db).0 | Meta::LARGE)
        };
        if self.expires_at == 0 { meta } else { Meta(meta.0 | Meta::EXPIRES) }
    }
}

/// The entries of a shard.
pub(super) struct Entries {
    pub(super) arena: Arena,
    large: Slab,
    hasher: KeyHasher,
}

impl Entries {
    pub(super) fn new(pool: Arc<Pool>, hasher: KeyHasher) -> Self {
        Entries { arena: Arena::new(pool), large: Slab::default(), hasher }
    }

    pub(super) fn meta(&self, handle: u32) -> Meta {
        Meta(self.word(handle, META))
    }

    pub(super) fn set_meta(&mut self, handle: u32, meta: Meta) {
        self.set_word(handle, META, meta.0);
    }

    pub(super) fn newer(&self, handle: u32) -> u32 {
        self.word(handle, NEWER)
    }

    pub(super) fn set_newer(&mut self, handle: u32, newer: u32) {
        self.set_word(handle, NEWER, newer);
    }

    /// Its neighbours in the order of eviction, the newer one first.
    pub(super) fn links(&self, handle: u32) -> (u32, u32) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.arena.cell(handle)[NEWER..META]);
        let both = u64::from_le_bytes(bytes);
        (both as u32, (both >> 32) as u32)
    }

    pub(super) fn set_links(&mut self, handle: u32, newer: u32, older: u32) {
        let both = u64::from(newer) | u64::from(older) << 32;
        self.arena.cell_mut(handle)[NEWER..META].copy_from_slice(&both.to_le_bytes());
    }

    /// Fetches the neighbours in the order of eviction.
    pub(super) fn prefetch_neighbours(&self, handle: u32) {
        let (newer, older) = self.links(handle);
        for neighbour in [newer, older] {
            // There is no cell of no number.
            if let Some(first) = self.arena.cell(neighbour).first() {
                prefetch(first);
            }
        }
    }

    pub(super) fn older(&self, handle: u32) -> u32 {
        self.word(handle, OLDER)
    }

    pub(super) fn set_older(&mut self, handle: u32, older: u32) {
        self.set_word(handle, OLDER, older);
    }

    /// See [`super::stamp`].
    pub(super) fn stamp(&self, handle: u32) -> u32 {
        self.word(handle, STAMP)
    }

    pub(super) fn set_stamp(&mut self, handle: u32, stamp: u32) {
        self.set_word(handle, STAMP, stamp);
    }

    /// When it expires, in milliseconds since 1970; 0 means never.
    pub(super) fn expires_at(&self, handle: u32) -> u64 {
        let cell = self.arena.cell(handle);
        if !Meta::of(cell).expires() {
            return 0;
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&cell[EXPIRES_AT..WHEEL_NEXT]);
        u64::from_le_bytes(bytes)
    }

    /// Changes the time at which it expires; it has one already, and is in no slot of the wheel.
    pub(super) fn set_expires_at(&mut self, handle: u32, expires_at: u64) {
        let cell = self.arena.cell_mut(handle);
        cell[EXPIRES_AT..WHEEL_NEXT].copy_from_slice(&expires_at.to_le_bytes());
    }

    pub(super) fn wheel_next(&self, handle: u32) -> u32 {
        self.word(handle, WHEEL_NEXT)
    }

    pub(super) fn set_wheel_next(&mut self, handle: u32, next: u32) {
        self.set_word(handle, WHEEL_NEXT, next);
    }

    pub(super) fn wheel_before(&self, handle: u32) -> u32 {
        self.word(handle, WHEEL_BEFORE)
    }

    pub(super) fn set_wheel_before(&mut self, handle: u32, before: u32) {
        self.set_word(handle, WHEEL_BEFORE, before);
    }

    pub(super) fn key(&self, handle: u32) -> &[u8] {
        let cell = self.arena.cell(handle);
        let meta = Meta::of(cell);
        if meta.has_long_key() {
            return &self.large.get(self.number(handle)).key;
        }
        &cell[meta.key_at()..meta.value_at()]
    }

    pub(super) fn value(&self, handle: u32) -> Str<'_> {
        let cell = self.arena.cell(handle);
        let meta = Meta::of(cell);
        if meta.is_large() {
            return Str::Shared(&self.large.get(self.number(handle)).value);
        }
        Str::Slice(&cell[meta.value_at()..meta.len()])
    }

    /// Whether it is the entry of this key.
    #[inline(always)]
    pub(super) fn is(&self, handle: u32, db: u8, key: &[u8]) -> bool {
        let cell = self.arena.cell(handle);
        let meta = Meta::of(cell);
        if meta.has_long_key() {
            return meta.db() == db && self.key(handle) == key;
        }
        meta.db() == db && &cell[meta.key_at()..meta.value_at()] == key
    }

    /// The half of a key's hash that a shard uses.
    pub(super) fn hash(&self, handle: u32) -> u32 {
        self.hasher.hash(self.key(handle)) as u32
    }

    /// Bytes that an entry takes.
    pub(super) fn charge(&self, handle: u32) -> usize {
        let cell = self.arena.size(handle);
        if self.meta(handle).is_large() {
            cell + self.large.get(self.number(handle)).charge()
        } else {
            cell
        }
    }

    /// Bytes that all of them take.
    pub(super) fn bytes(&self) -> usize {
        self.arena.live() + self.large.bytes()
    }

    /// Bytes that the memory of a value is larger than the value.
    pub(super) fn slack(&self, handle: u32) -> usize {
        if self.meta(handle).is_large() { self.large.get(self.number(handle)).slack() } else { 0 }
    }

    /// Takes out a value that lies elsewhere, in order to write another in its place.
    pub(super) fn take_value(&mut self, handle: u32) -> Option<Bytes> {
        let number = self.meta(handle).is_large().then(|| self.number(handle))?;
        Some(self.large.take_value(number))
    }

    /// Makes an entry; it is in no list.
    pub(super) fn create(&mut self, content: Content<'_>, stamp: u32) -> u32 {
        let meta = content.meta();
        let handle = self.arena.allocate(meta.len());
        self.set_word(handle, NEWER, NONE);
        self.set_word(handle, OLDER, NONE);
        self.set_word(handle, STAMP, stamp);
        self.write(handle, meta, content);
        handle
    }

    /// Writes an entry anew where it is, if its cell is of the right size; its place in the lists stays. What lay
    /// elsewhere and is no longer used is given back.
    pub(super) fn rewrite(
        &mut self,
        handle: u32,
        content: Content<'_>,
    ) -> Result<Option<Large>, u32> {
        let (old, new) = (self.meta(handle), content.meta());
        if old.expires() != new.expires() || cell_size(new.len()) != self.arena.size(handle) {
            return Err(new.len() as u32);
        }
        let freed = old.is_large().then(|| self.large.remove(self.number(handle)));
        self.write(handle, new.in_list(old.list()).with_uses(old.uses()), content);
        Ok(freed)
    }

    fn write(&mut self, handle: u32, meta: Meta, content: Content<'_>) {
        let number = meta.is_large().then(|| {
            let key = if meta.has_long_key() { content.key } else { &[] };
            self.large.insert(Large::new(key, content.value, content.slack)).to_le_bytes()
        });
        let cell = self.arena.cell_mut(handle);
        cell[META..STAMP].copy_from_slice(&meta.0.to_le_bytes());
        if meta.expires() {
            cell[EXPIRES_AT..WHEEL_NEXT].copy_from_slice(&content.expires_at.to_le_bytes());
        }
        if !meta.has_long_key() {
            cell[meta.key_at()..meta.value_at()].copy_from_slice(content.key);
        }
        let value = match &number {
            Some(number) => number,
            None => &*content.value,
        };
        cell[meta.value_at()..meta.len()].copy_from_slice(value);
    }

    /// Gives a new cell the place in the order of eviction that an old one has.
    pub(super) fn inherit(&mut self, old: u32, new: u32) {
        let (from, to) = (self.meta(old), self.meta(new));
        self.set_newer(new, self.newer(old));
        self.set_older(new, self.older(old));
        self.set_meta(new, to.in_list(from.list()).with_uses(from.uses()));
    }

    /// Copies an entry to a new cell, with everything that names its neighbours.
    pub(super) fn duplicate(&mut self, handle: u32) -> u32 {
        let len = self.meta(handle).len();
        let new = self.arena.allocate(len);
        self.arena.copy(handle, new, len);
        new
    }

    /// Frees an entry that no list has any more, and gives back what lay elsewhere.
    pub(super) fn destroy(&mut self, handle: u32) -> Option<Large> {
        let large = self.meta(handle).is_large().then(|| self.large.remove(self.number(handle)));
        self.arena.free(handle);
        large
    }

    /// Bytes of the blocks for values that lie elsewhere.
    #[cfg(any(test, fuzzing))]
    pub(super) fn slab_bytes(&self) -> usize {
        self.large.bytes() - self.large.charged()
    }

    /// Checks that as many cells are live as there are entries, and that bytes are accounted for.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self, entries: usize, charged: usize) {
        assert_eq!(self.arena.check(), entries, "live cells");
        assert_eq!(self.arena.live() + self.large.charged(), charged, "bytes of entries");
    }

    fn number(&self, handle: u32) -> u32 {
        let meta = self.meta(handle);
        self.word(handle, meta.value_at())
    }

    #[inline]
    fn word(&self, handle: u32, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.arena.cell(handle)[at..at + 4]);
        u32::from_le_bytes(bytes)
    }

    #[inline]
    fn set_word(&mut self, handle: u32, at: usize, word: u32) {
        self.arena.cell_mut(handle)[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}
