//! The keys that are used most: Space-Saving (Metwally et al., ICDT 2005) over a sample of the uses, which fade.

use super::Key;

/// Keys that are counted at once: a key with more than one in so many of all uses is surely among them.
const KEYS_MAX: usize = 64;
/// Bytes of a key that are kept.
const KEY_BYTES_MAX: usize = 128;
/// Of all uses a hot key has at least one in so many.
const TELLING: u64 = 1000;

/// A key that is used much.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// Its first 128 bytes.
    pub key: Vec<u8>,
    /// Its uses within about two minutes, as the sample has it.
    pub uses: u64,
    /// Its part of all uses within that time.
    pub share: f64,
}

struct Counted {
    hash: u64,
    db: u8,
    key: Box<[u8]>,
    count: u64,
    /// What may be another's of this count: that of the key whose place it took.
    inherited: u64,
}

/// Keys and how often they were used.
#[derive(Default)]
pub(super) struct HotKeys {
    keys: Vec<Counted>,
    all: u64,
}

impl HotKeys {
    pub(super) fn count(&mut self, key: Key<'_>) {
        self.all += 1;
        if let Some(known) = self.keys.iter_mut().find(|k| k.hash == key.hash && k.db == key.db) {
            known.count += 1;
            return;
        }
        let name = &key.name[..key.name.len().min(KEY_BYTES_MAX)];
        let new = |inherited| Counted {
            hash: key.hash,
            db: key.db,
            key: name.into(),
            count: inherited + 1,
            inherited,
        };
        if self.keys.len() < KEYS_MAX {
            self.keys.push(new(0));
        } else if let Some(least) = self.keys.iter_mut().min_by_key(|k| k.count) {
            *least = new(least.count);
        }
    }

    /// Uses that were counted, of all keys.
    pub(super) fn all(&self) -> u64 {
        self.all
    }

    /// Halves all counts.
    pub(super) fn fade(&mut self) {
        self.all /= 2;
        for key in &mut self.keys {
            key.count /= 2;
            key.inherited /= 2;
        }
        self.keys.retain(|key| key.count > 0);
    }

    /// The hottest keys, where each use that was counted stands for so many. Only what is surely a key's own counts, and
    /// a key with less than one in [`TELLING`] of all uses, or that was met once, is not hot.
    pub(super) fn list(&self, each: u64) -> Vec<HotKey> {
        let mut list: Vec<HotKey> = self
            .keys
            .iter()
            .map(|key| (key, key.count - key.inherited))
            .filter(|(_, own)| *own > 1 && own * TELLING >= self.all)
            .map(|(key, own)| HotKey {
                key: key.key.to_vec(),
                uses: own * each,
                share: own as f64 / self.all.max(1) as f64,
            })
            .collect();
        list.sort_by_key(|key| std::cmp::Reverse(key.uses));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_are_found_among_many() {
        let mut hot = HotKeys::default();
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..100_000 {
            let hash = match random.u32(..10) {
                0 | 1 => 1,
                2 => 2,
                _ => random.u64(10..100_000),
            };
            hot.count(Key { db: 0, name: hash.to_string().as_bytes(), hash });
        }
        let list = hot.list(64);
        assert_eq!((list[0].key.as_slice(), list[1].key.as_slice()), (&b"1"[..], &b"2"[..]));
        assert!((list[0].share - 0.2).abs() < 0.02 && (list[1].share - 0.1).abs() < 0.02);
        assert!(list[0].uses.abs_diff(20_000 * 64) < 2_000 * 64);
        assert!(list.len() <= KEYS_MAX);
        hot.fade();
        assert!(hot.list(64)[0].uses.abs_diff(10_000 * 64) < 1_000 * 64);
        assert!((hot.list(64)[0].share - 0.2).abs() < 0.02);
    }
}
