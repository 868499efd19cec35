//! CRC16/XMODEM, eight bytes at a time ("slicing by 8", Kounavis and Berry 2005): byte by byte each step waits for the
//! table look-up of the one before it, which for a key of 16 bytes took an eighth of a coordinator's user time
//! for a pipelined request.

use crc16::{State, XMODEM};
use std::array::from_fn;
use std::sync::LazyLock;

/// What a byte adds to the CRC, by how many bytes follow it.
static TABLES: LazyLock<[[u16; 256]; 8]> = LazyLock::new(|| {
    from_fn(|follow| {
        from_fn(|byte| {
            let mut bytes = [0; 8];
            bytes[0] = byte as u8;
            State::<XMODEM>::calculate(&bytes[..=follow])
        })
    })
});

/// The CRC of all bytes.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    let tables = &*TABLES;
    let (chunks, rest) = bytes.as_chunks::<8>();
    let crc = chunks.iter().fold(0, |crc: u16, chunk| {
        let [high, low] = crc.to_be_bytes();
        let [a, b, c, d, e, f, g, h] = *chunk;
        let bytes = [a ^ high, b ^ low, c, d, e, f, g, h];
        // A fixed number of independent look-ups.
        (0..8).fold(0, |sum, at| sum ^ tables[7 - at][usize::from(bytes[at])])
    });
    rest.iter().fold(crc, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        u16::from(low) << 8 ^ tables[0][usize::from(high ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_that_of_the_library(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(crc16(&bytes), State::<XMODEM>::calculate(&bytes));
        }
    }
}
