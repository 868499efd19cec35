//! Memory in runs of 16 KiB, out of chunks mapped from the system: one pool for all shards of a store, so that what
//! one gives back another can have. Runs that are free beyond a few are given back to the system.

use rustix::mm::{self, MapFlags, ProtFlags};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a run.
pub(super) const RUN_BYTES: usize = 16 * 1024;
/// Bytes of a chunk: mapped at once, resident only where its runs are written to. Not in large pages: measured, they save
/// a GET without pipelining 5 % of its CPU, but while ten million keys came in a client waited for 23 ms instead of 5, and
/// an item of 30 to 600 bytes took 9 bytes more.
const CHUNK_BYTES: usize = 2 << 20;
/// Free runs that keep their memory, since somebody will soon want one.
const WARM_MAX: usize = 64;

type Bytes = [u8; RUN_BYTES];

/// Runs of memory for the shards of a store.
pub(super) struct Pool {
    free: Mutex<Free>,
    /// Runs in use.
    taken: AtomicUsize,
}

#[derive(Default)]
struct Free {
    chunks: Vec<NonNull<Bytes>>,
    /// Free runs that are resident.
    warm: Vec<NonNull<Bytes>>,
    /// Free runs that take no memory.
    cold: Vec<NonNull<Bytes>>,
}

/// A run, the property of whoever holds it.
pub(super) struct Run {
    start: NonNull<Bytes>,
    pool: Arc<Pool>,
}

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Pool { free: Mutex::default(), taken: AtomicUsize::new(0) })
    }

    /// A run; what is in it is left over from its last use.
    ///
    /// The process ends if the system has no memory left to map, as it does for any other allocation.
    pub(super) fn take(self: &Arc<Self>) -> Run {
        self.taken.fetch_add(1, Relaxed);
        let mut free = self.free();
        let start = loop {
            match free.warm.pop().or_else(|| free.cold.pop()) {
                Some(start) => break start,
                None => free.map_chunk(),
            }
        };
        Run { start, pool: self.clone() }
    }

    /// Bytes of runs in use, and of those that are free but resident.
    pub(super) fn committed(&self) -> usize {
        (self.taken.load(Relaxed) + self.free().warm.len()) * RUN_BYTES
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Free {
    #[allow(
        unsafe_code,
        reason = "the arena's memory is mapped, so that parts of it can be given back"
    )]
    fn map_chunk(&mut self) {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the system's choice concerns nobody else.
        let mapped = unsafe {
            mm::mmap_anonymous(
                std::ptr::null_mut(),
                CHUNK_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )
        };
        let Some(chunk) = mapped.ok().and_then(|start| NonNull::new(start.cast::<Bytes>())) else {
            std::alloc::handle_alloc_error(std::alloc::Layout::new::<[u8; CHUNK_BYTES]>());
        };
        self.chunks.push(chunk);
        // SAFETY: every run lies within the chunk.
        self.cold.extend((0..CHUNK_BYTES / RUN_BYTES).rev().map(|run| unsafe { chunk.add(run) }));
    }
}

impl Drop for Pool {
    #[allow(unsafe_code, reason = "see `map_chunk`")]
    fn drop(&mut self) {
        let free = self.free.get_mut().unwrap_or_else(PoisonError::into_inner);
        for chunk in free.chunks.drain(..) {
            // SAFETY: the chunk was mapped by `map_chunk`, and no run of it is left: each keeps the pool alive.
            let unmapped = unsafe { mm::munmap(chunk.as_ptr().cast(), CHUNK_BYTES) };
            debug_assert!(unmapped.is_ok());
        }
    }
}

impl Drop for Run {
    #[allow(unsafe_code, reason = "free memory must go back to the system")]
    fn drop(&mut self) {
        self.pool.taken.fetch_sub(1, Relaxed);
        let mut free = self.pool.free();
        if free.warm.len() < WARM_MAX {
            free.warm.push(self.start);
            return;
        }
        drop(free);
        #[cfg(target_os = "linux")]
        {
            // SAFETY: the run is whole pages of a private anonymous mapping that nobody else uses; afterwards it
            // reads as zeros. Should the system refuse, the run merely stays resident.
            let given_back = unsafe {
                mm::madvise(self.start.as_ptr().cast(), RUN_BYTES, mm::Advice::LinuxDontNeed)
            };
            debug_assert!(given_back.is_ok());
        }
        self.pool.free().cold.push(self.start);
    }
}

// SAFETY: a run is plain bytes with one owner, and its pool is behind a lock.
#[allow(unsafe_code, reason = "shards, and what is left of them, move between threads")]
unsafe impl Send for Run {}
// SAFETY: as above; a shared run can only be read.
#[allow(unsafe_code, reason = "see Send")]
unsafe impl Sync for Run {}
// SAFETY: the addresses in it are used by runs alone, of which each has one owner.
#[allow(unsafe_code, reason = "the pool is shared by all workers")]
unsafe impl Send for Free {}

impl Deref for Run {
    type Target = Bytes;

    #[allow(unsafe_code, reason = "one place where addresses become memory")]
    #[inline]
    fn deref(&self) -> &Bytes {
        // SAFETY: the run is mapped while its pool lives, which it keeps alive; it is zeros or what was written last,
        // and nobody else has it.
        unsafe { self.start.as_ref() }
    }
}

impl DerefMut for Run {
    #[allow(unsafe_code, reason = "one place where addresses become memory")]
    #[inline]
    fn deref_mut(&mut self) -> &mut Bytes {
        // SAFETY: as in `deref`.
        unsafe { self.start.as_mut() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_do_not_overlap_and_come_back() {
        let pool = Pool::new();
        let mut runs: Vec<Run> = (0..300).map(|_| pool.take()).collect();
        for (number, run) in runs.iter_mut().enumerate() {
            run.fill(number as u8);
            run[..4].copy_from_slice(&(number as u32).to_le_bytes());
        }
        for (number, run) in runs.iter().enumerate() {
            assert_eq!(run[..4], (number as u32).to_le_bytes());
            assert!(run[4..].iter().all(|&byte| byte == number as u8));
        }
        assert_eq!(pool.committed(), 300 * RUN_BYTES);
        runs.truncate(100);
        assert_eq!(pool.committed(), (100 + WARM_MAX) * RUN_BYTES);
        assert_eq!(runs[99][..4], 99u32.to_le_bytes());
        // What comes back is taken again before anything new is mapped.
        let chunks = pool.free().chunks.len();
        runs.extend((0..200).map(|_| pool.take()));
        assert_eq!(pool.free().chunks.len(), chunks);
    }

    #[test]
    fn runs_outlive_the_handle_to_their_pool() {
        let mut run = Pool::new().take();
        run.fill(7);
        std::thread::spawn(move || assert!(run.iter().all(|&byte| byte == 7))).join().unwrap();
    }
}
