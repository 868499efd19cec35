//! What waits to be written to a peer: small replies in one buffer, large values by reference.

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// A value of at least this many bytes is queued by reference instead of copied. Measured at 4.5 KB: a fifth less CPU at
/// pipeline 16, as much without pipelining, at pipeline 64 and in an MGET of 100.
const SHARED_BYTES_MIN: usize = 4 * 1024;
/// Most slices of one gathered write.
const SLICES_MAX: usize = 64;
/// The buffer is given back after a burst when it has grown beyond this.
const BUFFER_KEPT: usize = 64 * 1024;

/// Bytes in the order they are to be written.
#[derive(Default)]
pub struct Output {
    /// Written before `tail`; large values and what stood before them.
    segments: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in `segments`.
    segments_len: usize,
}

impl Output {
    /// Bytes not yet written.
    pub fn len(&self) -> usize {
        self.segments_len + self.tail.len()
    }

    /// Bytes of its own that it has room for.
    pub fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.segments_len == 0 && self.tail.is_empty()
    }

    /// The buffer that small replies are appended to.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends bytes by copying them.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Appends a value, by reference where that is cheaper than a copy.
    pub fn extend_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            self.tail.extend_from_slice(bytes);
        } else {
            self.seal();
            self.segments_len += bytes.len();
            self.segments.push_back(bytes.clone());
        }
    }

    /// Appends all of another output, leaving it empty.
    pub fn append(&mut self, other: &mut Output) {
        if !other.segments.is_empty() {
            self.seal();
            self.segments_len += other.segments_len;
            self.segments.append(&mut other.segments);
            other.segments_len = 0;
        }
        self.tail.extend_from_slice(&other.tail);
        other.tail.clear();
    }

    /// Writes as much as `write` takes, one gathered call at a time, until all is written or the peer's
    /// window is full (`WouldBlock`, which is not an error here). Answers the bytes written.
    pub fn write_to(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut total = 0;
        while !self.is_empty() {
            let written = if self.segments.is_empty() {
                write(&[IoSlice::new(&self.tail)])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut count = 0;
                let parts = self.segments.iter().map(Bytes::as_ref).chain([self.tail.as_ref()]);
                for part in parts.filter(|part| !part.is_empty()).take(SLICES_MAX) {
                    slices[count] = IoSlice::new(part);
                    count += 1;
                }
                write(&slices[..count])
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    total += n;
                    self.advance(n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        if self.tail.is_empty() && self.tail.capacity() > BUFFER_KEPT {
            self.tail = BytesMut::new();
        }
        Ok(total)
    }

    /// Takes everything as one piece of bytes.
    pub fn take(&mut self) -> Bytes {
        if self.segments.is_empty() {
            return self.tail.split().freeze();
        }
        let mut all = BytesMut::with_capacity(self.len());
        for segment in self.segments.drain(..) {
            all.extend_from_slice(&segment);
        }
        self.segments_len = 0;
        all.extend_from_slice(&self.tail);
        self.tail.clear();
        all.freeze()
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.segments_len += self.tail.len();
            self.segments.push_back(self.tail.split().freeze());
        }
    }

    /// Drops so many bytes at the front, all there are at most.
    pub fn discard(&mut self, bytes: usize) {
        self.advance(bytes.min(self.len()));
    }

    fn advance(&mut self, mut written: usize) {
        while written > 0 {
            let Some(first) = self.segments.front_mut() else {
                // Clearing keeps the buffer; advancing would creep through it.
                if written == self.tail.len() {
                    self.tail.clear();
                } else {
                    self.tail.advance(written);
                }
                return;
            };
            let step = written.min(first.len());
            first.advance(step);
            if first.is_empty() {
                self.segments.pop_front();
            }
            self.segments_len -= step;
            written -= step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn large_values_are_not_copied() {
        for (length, shared) in [(SHARED_BYTES_MIN - 1, false), (SHARED_BYTES_MIN, true)] {
            let (mut output, value) = (Output::default(), Bytes::from(vec![b'x'; length]));
            output.extend_shared(&value);
            let written = output.write_to(|slices| {
                assert_eq!(slices[0].as_ptr() == value.as_ptr(), shared, "{length}");
                Ok(slices[0].len())
            });
            assert_eq!(written.unwrap(), length);
        }
    }

    proptest! {
        /// Whatever mix of small and large pieces, written in whatever steps, arrives whole and in order.
        #[test]
        fn writes_everything_in_order(
            pieces in prop::collection::vec((any::<u8>(), prop_oneof![0usize..50, 4_000usize..4_200]), 0..300),
            steps in prop::collection::vec(1usize..40_000, 1..5),
        ) {
            let (mut output, mut expected, mut written) = (Output::default(), Vec::new(), Vec::new());
            for &(byte, length) in &pieces {
                let piece = Bytes::from(vec![byte; length]);
                output.extend_shared(&piece);
                expected.extend_from_slice(&piece);
            }
            prop_assert_eq!(output.len(), expected.len());
            let mut steps = steps.into_iter().cycle();
            output.write_to(|slices| {
                let mut room = steps.next().unwrap();
                let before = written.len();
                for slice in slices {
                    let taken = room.min(slice.len());
                    written.extend_from_slice(&slice[..taken]);
                    room -= taken;
                }
                Ok(written.len() - before)
            }).unwrap();
            prop_assert!(output.is_empty());
            prop_assert_eq!(written, expected);
        }
    }
}
