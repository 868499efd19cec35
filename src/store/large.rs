//! Values, and keys, that are too large for a cell: blocks of the allocator, named by a number.

use super::value::Str;
use bytes::Bytes;

/// Values of one block of the slab: growth allocates a block and moves nothing.
const BLOCK: usize = 64;
/// Bytes of the block that a shared string counts its references in.
const COUNT_BYTES: usize = 32;
/// From here on a value is freed by a thread of its own: it takes the system a while.
const SLOW_BYTES: usize = 8 << 20;

/// A value that lies outside the cells.
#[derive(Default)]
pub(super) struct Large {
    /// Empty unless it is too large for a cell as well.
    pub(super) key: Box<[u8]>,
    pub(super) value: Bytes,
    /// Bytes that the value's memory is larger than the value, after it was changed in place.
    slack: usize,
}

impl Large {
    pub(super) fn new(key: &[u8], value: Str<'_>, slack: usize) -> Self {
        Large { key: key.into(), value: value.to_bytes(), slack }
    }

    pub(super) fn slack(&self) -> usize {
        self.slack
    }

    /// Bytes outside the slab.
    pub(super) fn charge(&self) -> usize {
        allocated(self.value.len() + self.slack) + allocated(self.key.len()) + COUNT_BYTES
    }

    /// Frees the value without making anybody wait.
    pub(super) fn free(self) {
        if self.value.len() >= SLOW_BYTES {
            drop_elsewhere(self);
        }
    }
}

/// Bytes that a value of this length takes outside its cell at most, a new block included.
pub(super) fn needed(len: usize) -> usize {
    allocated(len) + COUNT_BYTES + allocated(BLOCK * size_of::<Large>())
}

/// The large values of a shard.
#[derive(Default)]
pub(super) struct Slab {
    blocks: Vec<Box<[Large]>>,
    free: Vec<u32>,
    used: u32,
    /// Sum of what they are charged.
    charged: usize,
}

impl Slab {
    pub(super) fn get(&self, number: u32) -> &Large {
        &self.blocks[number as usize / BLOCK][number as usize % BLOCK]
    }

    pub(super) fn insert(&mut self, large: Large) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.used as usize == self.blocks.len() * BLOCK {
                self.blocks.push((0..BLOCK).map(|_| Large::default()).collect());
            }
            self.used += 1;
            self.used - 1
        });
        self.charged += large.charge();
        self.blocks[number as usize / BLOCK][number as usize % BLOCK] = large;
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> Large {
        self.free.push(number);
        let large =
            std::mem::take(&mut self.blocks[number as usize / BLOCK][number as usize % BLOCK]);
        self.charged -= large.charge();
        large
    }

    /// Takes the value out of a place that stays taken.
    pub(super) fn take_value(&mut self, number: u32) -> Bytes {
        let large = &mut self.blocks[number as usize / BLOCK][number as usize % BLOCK];
        let before = large.charge();
        let value = std::mem::take(&mut large.value);
        large.slack = 0;
        self.charged = self.charged - before + large.charge();
        value
    }

    /// Bytes of the values.
    #[cfg(any(test, fuzzing))]
    pub(super) fn charged(&self) -> usize {
        self.charged
    }

    /// Bytes of the values, and of the slab itself.
    pub(super) fn bytes(&self) -> usize {
        self.charged + self.blocks.len() * allocated(BLOCK * size_of::<Large>())
    }
}

/// Drops something by a thread of its own, so that nobody waits for it. Where there is no thread to be had it takes the
/// time it takes: the closure is dropped here.
pub(super) fn drop_elsewhere(it: impl Send + 'static) {
    drop(std::thread::Builder::new().name("free".to_owned()).spawn(move || drop(it)));
}

/// Bytes that the allocator takes for a block of `size` bytes: jemalloc's size classes, 16-byte steps up to
/// 128, then four classes for each doubling.
pub(crate) fn allocated(size: usize) -> usize {
    match size {
        0 => 0,
        1..=8 => 8,
        9..=128 => size.next_multiple_of(16),
        _ => {
            let doubling = (size - 1).ilog2();
            size.next_multiple_of(1 << (doubling - 2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_jemallocs() {
        let expected = [(1, 8), (9, 16), (17, 32), (129, 160), (160, 160), (161, 192), (257, 320)];
        for (size, class) in expected.into_iter().chain([(4097, 5120), (1 << 20, 1 << 20)]) {
            assert_eq!(allocated(size), class, "{size}");
        }
    }

    #[test]
    fn numbers_are_used_again() {
        let mut slab = Slab::default();
        let large = |byte: u8| Large::new(&[], Str::Slice(&[byte; 5000]), 0);
        let numbers: Vec<u32> = (0..BLOCK as u8).map(|byte| slab.insert(large(byte))).collect();
        assert!(numbers.iter().all(|&n| slab.get(n).value[..] == [n as u8; 5000]));
        assert_eq!(slab.remove(numbers[7]).value[0], 7);
        assert_eq!(slab.insert(large(1)), numbers[7]);
        let bytes = slab.bytes();
        slab.insert(large(2));
        assert!(slab.bytes() > bytes);
    }
}
