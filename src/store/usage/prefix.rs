//! Use by key prefix: what keys begin with, up to the first separator.

use super::Use;

/// Prefixes that are counted apart at most; the rest counts as [`OTHER`].
const PREFIXES_MAX: usize = 128;
/// A longer prefix is none.
const PREFIX_BYTES_MAX: usize = 64;
/// What keys without a prefix, and those whose prefix found no place, count as.
const NONE: &[u8] = b"(none)";
/// What keys count as whose prefix is not among those that are counted apart.
pub const OTHER: &[u8] = b"(other)";

/// What ends a prefix: up to seven bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Separator {
    bytes: [u8; 7],
    len: u8,
}

impl Default for Separator {
    fn default() -> Self {
        Separator { bytes: *b":\0\0\0\0\0\0", len: 1 }
    }
}

impl Separator {
    /// Longest separator, in bytes.
    pub const MAX: usize = 7;

    /// A separator; one that is longer than seven bytes is cut. No key has a prefix that an empty one ends.
    pub fn new(text: &[u8]) -> Self {
        let len = text.len().min(Self::MAX);
        let mut bytes = [0; Self::MAX];
        bytes[..len].copy_from_slice(&text[..len]);
        Separator { bytes, len: len as u8 }
    }

    pub(super) fn to_bits(self) -> u64 {
        let [a, b, c, d, e, f, g] = self.bytes;
        u64::from_le_bytes([a, b, c, d, e, f, g, self.len])
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        let [bytes @ .., len] = bits.to_le_bytes();
        Separator { bytes, len }
    }

    /// What a key counts as.
    pub fn prefix_of<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        let separator = &self.bytes[..usize::from(self.len)];
        let window = &key[..key.len().min(PREFIX_BYTES_MAX + separator.len())];
        let end = match separator {
            [] => None,
            [byte] => window.iter().position(|b| b == byte),
            longer => window.windows(longer.len()).position(|part| part == longer),
        };
        end.map_or(NONE, |end| &key[..end])
    }
}

/// How often the keys of a prefix were used.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct PrefixUse {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Writes.
    pub writes: u64,
    /// Keys that were evicted.
    pub evicted: u64,
}

impl PrefixUse {
    fn total(&self) -> u64 {
        self.hits + self.misses + self.writes + self.evicted
    }

    fn add(&mut self, other: &PrefixUse) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.writes += other.writes;
        self.evicted += other.evicted;
    }
}

/// What is kept for each of a bounded number of prefixes. A list: what is looked for often moves to its front, and there
/// are few prefixes that are.
pub struct ByPrefix<T>(Vec<(Box<[u8]>, T)>);

impl<T> Default for ByPrefix<T> {
    fn default() -> Self {
        ByPrefix(Vec::new())
    }
}

impl<T: Default> ByPrefix<T> {
    /// What is kept for this prefix. Where there are too many a new one takes the place of the one that weighs least, for
    /// which what was kept goes to `leave`: what is used much is found, and nothing is lost from the sums (Space-Saving,
    /// Metwally et al., ICDT 2005, without its inherited counts).
    pub fn find(
        &mut self,
        prefix: &[u8],
        weight: impl Fn(&T) -> u64,
        leave: impl FnOnce(T),
    ) -> &mut T {
        let at = match self.0.iter().position(|(known, _)| **known == *prefix) {
            Some(0) => 0,
            Some(at) => {
                self.0.swap(at, at - 1);
                at - 1
            }
            None if self.0.len() < PREFIXES_MAX => {
                self.0.push((prefix.into(), T::default()));
                self.0.len() - 1
            }
            None => {
                let least = (0..self.0.len()).min_by_key(|&at| weight(&self.0[at].1)).unwrap_or(0);
                let before = std::mem::replace(&mut self.0[least], (prefix.into(), T::default()));
                leave(before.1);
                least
            }
        };
        &mut self.0[at].1
    }

    /// What is kept, by prefix.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        self.0.iter().map(|(prefix, kept)| (&**prefix, kept))
    }
}

/// The prefixes that are used.
#[derive(Default)]
pub(super) struct Prefixes {
    uses: ByPrefix<PrefixUse>,
    other: PrefixUse,
}

impl Prefixes {
    pub(super) fn count(&mut self, prefix: &[u8], what: Use, n: u64) {
        let other = &mut self.other;
        let uses = self.uses.find(prefix, PrefixUse::total, |uses| other.add(&uses));
        *match what {
            Use::Hit => &mut uses.hits,
            Use::Miss => &mut uses.misses,
            Use::Write => &mut uses.writes,
            Use::Evicted => &mut uses.evicted,
        } += n;
    }

    pub(super) fn list(&self) -> Vec<(Vec<u8>, PrefixUse)> {
        let mut list: Vec<_> =
            self.uses.iter().map(|(prefix, uses)| (prefix.to_vec(), *uses)).collect();
        if self.other.total() > 0 {
            list.push((OTHER.to_vec(), self.other));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_the_first_separator() {
        let colon = Separator::default();
        assert_eq!(colon.prefix_of(b"user:1:name"), b"user");
        assert_eq!(colon.prefix_of(b":x"), b"");
        assert_eq!(colon.prefix_of(b"user"), NONE);
        assert_eq!(colon.prefix_of(&[b'x'; 500]), NONE);
        let long = [&[b'x'; 64][..], b":1"].concat();
        assert_eq!(colon.prefix_of(&long), &[b'x'; 64]);
        assert_eq!(colon.prefix_of(&[&b"x"[..], &long].concat()), NONE);
        let arrow = Separator::new(b"->");
        assert_eq!(arrow.prefix_of(b"a-b>c->d->e"), b"a-b>c");
        assert_eq!(Separator::new(b"").prefix_of(b"a:b"), NONE);
        for separator in [colon, arrow, Separator::new(b""), Separator::new(b"12345678")] {
            assert_eq!(Separator::from_bits(separator.to_bits()), separator);
        }
    }

    #[test]
    fn what_is_used_much_is_kept_and_nothing_is_lost() {
        let mut prefixes = Prefixes::default();
        for number in 0..10_000u32 {
            prefixes.count(b"often", Use::Miss, 2);
            prefixes.count(&number.to_be_bytes(), Use::Evicted, 2);
        }
        let list = prefixes.list();
        assert_eq!(list.len(), PREFIXES_MAX + 1);
        let often = list.iter().find(|(prefix, _)| prefix == b"often").unwrap();
        assert_eq!(often.1, PrefixUse { misses: 20_000, ..PrefixUse::default() });
        assert_eq!(list.iter().map(|(_, uses)| uses.total()).sum::<u64>(), 40_000);
    }
}
