//! Large values come from the allocator, which keeps what they leave for a while in case somebody wants as much again.
//! When small entries take their place nobody will, and the memory limit would be exceeded by what is kept: so it is
//! made to give that back.

use super::large::drop_elsewhere;

/// Bytes by which large values shrink, in sum, before the allocator is told.
const SHRUNK_MIN: usize = 4 << 20;

/// How much the large values of a store took at most since the allocator was told last.
#[derive(Default)]
pub(super) struct Reclaim {
    high: usize,
}

impl Reclaim {
    /// Takes note of the bytes that large values take now.
    pub(super) fn note(&mut self, large: usize) {
        self.high = self.high.max(large);
        if self.high - large >= SHRUNK_MIN {
            self.high = large;
            purge();
        }
    }
}

/// Makes the allocator give back what it keeps.
pub(crate) fn purge() {
    drop_elsewhere(Purge);
}

/// Purges when it is dropped, which a thread of its own does: the system takes a millisecond for a few megabytes.
struct Purge;

impl Drop for Purge {
    #[allow(unsafe_code, reason = "the allocator has no safe function for this")]
    fn drop(&mut self) {
        // Number 4096 stands for all arenas.
        let name = c"arena.4096.purge";
        let none = std::ptr::null_mut();
        // SAFETY: the name ends with a zero byte, and this control takes and gives no value. Where the process uses
        // another allocator there is just nothing to purge.
        let result =
            unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), none, none.cast(), none, 0) };
        tracing::trace!(result, "purged free pages of the allocator");
    }
}
