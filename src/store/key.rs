//! The name of a key: short ones lie in the entry itself, which saves an allocation and, at each look-up, a
//! visit to memory elsewhere.

use super::allocated;
use std::ops::Deref;

/// Longest name that needs no allocation: what fits beside its length into the space of a boxed slice and its tag.
const INLINE_BYTES_MAX: usize = 22;

pub(super) enum Key {
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Boxed(Box<[u8]>),
}

impl Key {
    /// Bytes outside the entry.
    pub(super) fn allocated(&self) -> usize {
        match self {
            Key::Inline { .. } => 0,
            Key::Boxed(bytes) => allocated(bytes.len()),
        }
    }
}

impl From<&[u8]> for Key {
    fn from(name: &[u8]) -> Self {
        if name.len() > INLINE_BYTES_MAX {
            return Key::Boxed(name.into());
        }
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Key::Inline { len: name.len() as u8, bytes }
    }
}

impl Default for Key {
    fn default() -> Self {
        Key::from(&[][..])
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Key::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Key::Boxed(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn holds_names_of_every_length_in_the_space_of_a_boxed_one() {
        assert_eq!(size_of::<Key>(), 24);
        for len in 0..100 {
            let name: Vec<u8> = (0..len).collect();
            let key = Key::from(&name[..]);
            assert_eq!(*key, name[..]);
            assert_eq!(key.allocated() > 0, len > 22);
        }
    }
}
