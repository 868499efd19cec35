//! The keys that take most memory, of those that were written since the start.

use super::Key;

/// Keys that are kept.
const KEYS_MAX: usize = 32;
/// A key that is longer is not kept: it is its own size that would be told.
const KEY_BYTES_MAX: usize = 1024;

/// A key that takes much memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigKey {
    /// The key.
    pub key: Vec<u8>,
    /// Its database.
    pub db: u8,
    /// What it is charged, in bytes.
    pub bytes: u64,
}

/// The biggest keys. They may have been deleted or changed since.
#[derive(Default)]
pub(super) struct BigKeys {
    keys: Vec<BigKey>,
}

impl BigKeys {
    pub(super) fn note(&mut self, key: Key<'_>, bytes: u64) {
        if key.name.len() > KEY_BYTES_MAX {
            return;
        }
        if let Some(known) = self.keys.iter_mut().find(|k| k.db == key.db && k.key == key.name) {
            known.bytes = bytes;
            return;
        }
        if self.keys.len() == KEYS_MAX
            && let Some(at) = (0..KEYS_MAX).min_by_key(|&at| self.keys[at].bytes)
        {
            self.keys.swap_remove(at);
        }
        self.keys.push(BigKey { key: key.name.to_vec(), db: key.db, bytes });
    }

    /// What a key must take more than to be kept.
    pub(super) fn least(&self) -> u64 {
        let full = self.keys.len() == KEYS_MAX;
        if full { self.keys.iter().map(|key| key.bytes).min().unwrap_or(0) } else { 0 }
    }

    /// Corrects the size of a key; nothing if it is gone. Unless it was noted anew meanwhile.
    pub(super) fn correct(&mut self, known: &BigKey, size: Option<u64>) {
        let Some(at) = self.keys.iter().position(|key| key == known) else { return };
        match size {
            Some(bytes) => self.keys[at].bytes = bytes,
            None => drop(self.keys.swap_remove(at)),
        }
    }

    /// Strikes out the keys of a database, or all.
    pub(super) fn flush(&mut self, db: Option<u8>) {
        self.keys.retain(|key| db.is_some_and(|db| db != key.db));
    }

    /// The biggest first.
    pub(super) fn list(&self) -> Vec<BigKey> {
        let mut list = self.keys.clone();
        list.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.key.cmp(&b.key)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_biggest_are_kept_and_confirmed() {
        let mut big = BigKeys::default();
        for number in (0..1000u64).rev().chain([500]) {
            if number > big.least() || big.least() == 0 {
                big.note(Key { db: 1, name: number.to_string().as_bytes(), hash: number }, number);
            }
        }
        let list = big.list();
        assert_eq!((list.len(), list[0].bytes, list[31].bytes), (32, 999, 968));
        for key in big.list() {
            big.correct(&key, (key.bytes % 2 == 0).then_some(key.bytes * 10));
        }
        assert_eq!((big.list().len(), big.list()[0].bytes, big.least()), (16, 9980, 0));
        big.flush(Some(0));
        assert_eq!(big.list().len(), 16);
        big.flush(Some(1));
        assert_eq!(big.list().len(), 0);
    }
}
