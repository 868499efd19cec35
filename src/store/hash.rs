//! The hash of keys: SipHash-1-3 with a random key, so that a client cannot choose keys that collide.

use siphasher::sip::SipHasher13;
use std::hash::{BuildHasher, RandomState};

/// Hashes keys; a copy gives the same hashes.
#[derive(Clone)]
pub(super) struct KeyHasher(SipHasher13);

impl KeyHasher {
    /// One with a key that nobody knows: what the standard library keys its tables with.
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        KeyHasher(SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1)))
    }

    /// The hash of a key; all of its bits are as good as any other.
    #[inline]
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.0.hash(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_hashers_differ() {
        let (one, other) = (KeyHasher::new(), KeyHasher::new());
        assert_eq!(one.hash(b"key"), one.clone().hash(b"key"));
        assert_ne!(one.hash(b"key"), other.hash(b"key"));
        assert_ne!(one.hash(b"key"), one.hash(b"key\0"));
        assert_ne!(one.hash(b"12345678"), one.hash(b"123456780"));
    }
}
