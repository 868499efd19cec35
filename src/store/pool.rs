//! Memory in runs of 16 KiB, out of chunks mapped from the system: one pool for all shards of a store, so that what
//! one gives back another can have. Runs that are free beyond a few are given back to the system, and so is a chunk of
//! which nothing is in use.
//!
//! Chunks are large pages, if the system has them: a look-up waits for the translation of two or three addresses, and when
//! there are millions of keys that is a quarter of its time. To find and clear a large page takes the system milliseconds,
//! so a thread of its own has that done before the chunk is needed ([`Pool::prepare`]). Only the first chunk, and those that
//! are needed before one is ready, are in small pages. Measured on Linux 6.18 while ten million keys came in, a client waits
//! 6 ms at most, as with small pages; 23 ms when a request has to wait for the page; 50 ms when pages that have filled are
//! merged (`MADV_COLLAPSE`).

use rustix::mm::{self, MapFlags, ProtFlags};
use std::alloc::Layout;
use std::collections::{BTreeSet, HashMap};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of a run.
pub(super) const RUN_BYTES: usize = 16 * 1024;
/// Bytes of a chunk, and what its address is a multiple of.
const CHUNK_BYTES: usize = 2 << 20;
const RUNS_PER_CHUNK: usize = CHUNK_BYTES / RUN_BYTES;
/// How many runs are left when the next chunk is prepared.
const FEW: usize = 64;
/// The smallest pages there are.
const PAGE_BYTES_MIN: usize = 4096;
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
    /// By address.
    chunks: HashMap<usize, Chunk>,
    /// Those that have cold runs.
    partly_cold: BTreeSet<usize>,
    /// How many cold runs there are.
    cold: usize,
    /// Free runs that are resident.
    warm: Vec<NonNull<Bytes>>,
    /// A chunk will soon be there. Or it could not be had, and none is prepared any more.
    is_preparing: bool,
}

struct Chunk {
    start: NonNull<Bytes>,
    is_large: bool,
    /// Free runs that take no memory.
    cold: Vec<NonNull<Bytes>>,
}

/// What memory becomes resident in.
enum Pages {
    Small,
    Large,
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
            match free.warm.pop().or_else(|| free.take_cold()) {
                Some(start) => break start,
                // The next chunk is not ready yet.
                None => match map_chunk() {
                    Some(chunk) => free.add(chunk, Pages::Small),
                    None => std::alloc::handle_alloc_error(Layout::new::<[u8; CHUNK_BYTES]>()),
                },
            }
        };
        if free.warm.len() + free.cold < FEW && !std::mem::replace(&mut free.is_preparing, true) {
            drop(free);
            self.prepare();
        }
        Run { start, pool: self.clone() }
    }

    /// Bytes of runs in use, and of those that are free but resident.
    pub(super) fn committed(&self) -> usize {
        (self.taken.load(Relaxed) + self.free().warm.len()) * RUN_BYTES
    }

    /// Runs in use.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Has a thread of its own make a chunk with memory in it.
    fn prepare(self: &Arc<Self>) {
        let pool = self.clone();
        let thread = std::thread::Builder::new().name("pages".to_owned()).spawn(move || {
            let Some(chunk) = map_chunk() else { return };
            fill(chunk);
            let mut free = pool.free();
            free.add(chunk, Pages::Large);
            free.is_preparing = false;
        });
        if let Err(error) = thread {
            tracing::debug!(%error, "no thread to prepare memory");
        }
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Free {
    /// Takes a new chunk. In large pages it is resident.
    fn add(&mut self, start: NonNull<Bytes>, pages: Pages) {
        let mut chunk = Chunk { start, is_large: false, cold: Vec::new() };
        match pages {
            Pages::Large => {
                chunk.is_large = true;
                self.warm.extend(runs_of(start));
            }
            Pages::Small => {
                chunk.cold.extend(runs_of(start));
                self.cold += RUNS_PER_CHUNK;
                self.partly_cold.insert(chunk_of(start));
            }
        }
        self.chunks.insert(chunk_of(start), chunk);
    }

    /// Whether the chunk of a run that is to be given back was a large page so far.
    fn break_up(&mut self, run: NonNull<Bytes>) -> bool {
        let chunk = self.chunks.get_mut(&chunk_of(run));
        chunk.is_some_and(|chunk| std::mem::take(&mut chunk.is_large))
    }

    fn take_cold(&mut self) -> Option<NonNull<Bytes>> {
        let &at = self.partly_cold.first()?;
        let cold = &mut self.chunks.get_mut(&at)?.cold;
        let run = cold.pop()?;
        if cold.is_empty() {
            self.partly_cold.remove(&at);
        }
        self.cold -= 1;
        Some(run)
    }

    /// Takes a run that has no memory any more. Answers its chunk if nothing of that is in use, which then belongs to the
    /// caller.
    fn put_cold(&mut self, run: NonNull<Bytes>) -> Option<NonNull<Bytes>> {
        let at = chunk_of(run);
        let chunk = self.chunks.get_mut(&at)?;
        chunk.cold.push(run);
        self.cold += 1;
        if chunk.cold.len() < RUNS_PER_CHUNK {
            self.partly_cold.insert(at);
            return None;
        }
        self.cold -= RUNS_PER_CHUNK;
        self.partly_cold.remove(&at);
        self.chunks.remove(&at).map(|chunk| chunk.start)
    }
}

/// The address of the chunk that a run is of.
fn chunk_of(run: NonNull<Bytes>) -> usize {
    run.addr().get() & !(CHUNK_BYTES - 1)
}

/// The runs of a chunk, those at its start last.
#[allow(unsafe_code, reason = "see `map_chunk`")]
fn runs_of(chunk: NonNull<Bytes>) -> impl Iterator<Item = NonNull<Bytes>> {
    // SAFETY: every run lies within the chunk.
    (0..RUNS_PER_CHUNK).rev().map(move |run| unsafe { chunk.add(run) })
}

/// Maps a chunk: resident only where its runs are written to, in small pages.
#[allow(
    unsafe_code,
    reason = "the arena's memory is mapped, so that parts of it can be given back"
)]
fn map_chunk() -> Option<NonNull<Bytes>> {
    // Mostly the system puts it right below the last one: then its address is a multiple of its size.
    let mut chunk = map(CHUNK_BYTES)?;
    if chunk_of(chunk) != chunk.addr().get() {
        // SAFETY: this was just mapped, and nobody has it yet. Twice as much has a whole chunk in it, and what is before and
        // behind that nobody has either.
        unsafe {
            unmap(chunk, CHUNK_BYTES);
            let start = map(2 * CHUNK_BYTES)?;
            let before = start.addr().get().next_multiple_of(CHUNK_BYTES) - start.addr().get();
            chunk = start.byte_add(before);
            unmap(start, before);
            unmap(chunk.byte_add(CHUNK_BYTES), CHUNK_BYTES - before);
        }
    }
    // Where parts of it were given back the system should not make the whole of it resident again.
    advise(chunk, Pages::Small);
    Some(chunk)
}

#[allow(unsafe_code, reason = "see `map_chunk`")]
fn map(bytes: usize) -> Option<NonNull<Bytes>> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new anonymous mapping at an address of the system's choice concerns nobody else.
    let mapped = unsafe { mm::mmap_anonymous(std::ptr::null_mut(), bytes, access, flags) };
    NonNull::new(mapped.ok()?.cast())
}

/// Unmaps whole pages.
///
/// # Safety
/// [`map`] has mapped them, and nobody uses them any more.
#[allow(unsafe_code, reason = "see `map_chunk`")]
unsafe fn unmap(start: NonNull<Bytes>, bytes: usize) {
    if bytes > 0 {
        // SAFETY: see above.
        let unmapped = unsafe { mm::munmap(start.as_ptr().cast(), bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

/// Makes a chunk resident, in a large page if there is one.
#[allow(unsafe_code, reason = "see `map_chunk`")]
fn fill(chunk: NonNull<Bytes>) {
    advise(chunk, Pages::Large);
    for run in runs_of(chunk) {
        // SAFETY: the chunk is mapped, and so far nobody else has it.
        let bytes = unsafe { &mut *run.as_ptr() };
        bytes.iter_mut().step_by(PAGE_BYTES_MIN).for_each(|byte| *byte = 0);
    }
    advise(chunk, Pages::Small);
}

/// Tells the system what pages to use when a part of the chunk becomes resident. Should it refuse, or have no large ones,
/// nothing but speed is lost.
#[allow(unsafe_code, reason = "see `map_chunk`")]
fn advise(chunk: NonNull<Bytes>, pages: Pages) {
    #[cfg(target_os = "linux")]
    {
        let advice = match pages {
            Pages::Small => mm::Advice::LinuxNoHugepage,
            Pages::Large => mm::Advice::LinuxHugepage,
        };
        // SAFETY: the chunk is mapped, and what is in it stays as it is.
        let taken = unsafe { mm::madvise(chunk.as_ptr().cast(), CHUNK_BYTES, advice) };
        tracing::trace!(?taken, "advised the system of a chunk's pages");
    }
    #[cfg(not(target_os = "linux"))]
    {
        // A hint only.
        let _ = (chunk, pages);
    }
}

impl Drop for Pool {
    #[allow(unsafe_code, reason = "see `map_chunk`")]
    fn drop(&mut self) {
        let free = self.free.get_mut().unwrap_or_else(PoisonError::into_inner);
        for chunk in free.chunks.values() {
            // SAFETY: the chunk was mapped by `map_chunk`, and no run of it is left: each keeps the pool alive.
            unsafe { unmap(chunk.start, CHUNK_BYTES) };
        }
    }
}

impl Drop for Run {
    #[allow(unsafe_code, reason = "free memory must go back to the system")]
    fn drop(&mut self) {
        self.pool.taken.fetch_sub(1, Relaxed);
        let mut free = self.pool.free();
        // Where the system's pages are larger than a run, none of them can be given back for it.
        if free.warm.len() < WARM_MAX || rustix::param::page_size() > RUN_BYTES {
            free.warm.push(self.start);
            return;
        }
        let was_large = free.break_up(self.start);
        drop(free);
        #[cfg(target_os = "linux")]
        {
            // SAFETY: the run is whole pages of a private anonymous mapping that nobody else uses; afterwards it
            // reads as zeros. Should the system refuse, the run merely stays resident.
            let advise = |advice| unsafe {
                let given_back = mm::madvise(self.start.as_ptr().cast(), RUN_BYTES, advice);
                debug_assert!(given_back.is_ok());
            };
            if was_large {
                // It splits the large page, of which otherwise nothing would be free before all of it is.
                advise(mm::Advice::LinuxFree);
            }
            advise(mm::Advice::LinuxDontNeed);
        }
        let unused = self.pool.free().put_cold(self.start);
        if let Some(chunk) = unused {
            // SAFETY: all its runs are free, and the pool does not know them any more.
            unsafe { unmap(chunk, CHUNK_BYTES) };
        }
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

    /// Waits for the chunk that is being prepared, if one is.
    fn settle(pool: &Pool) {
        while pool.free().is_preparing {
            std::thread::yield_now();
        }
    }

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
        settle(&pool);
        let warm = pool.free().warm.len();
        assert_eq!(pool.committed(), (300 + warm) * RUN_BYTES);
        runs.truncate(100);
        assert_eq!(pool.committed(), (100 + warm.max(WARM_MAX)) * RUN_BYTES);
        assert_eq!(runs[99][..4], 99u32.to_le_bytes());
        // What is given back is not there any more, and chunks that nobody uses are not mapped.
        runs.truncate(1);
        let free = pool.free();
        let known: BTreeSet<usize> = free.chunks.keys().copied().collect();
        let in_use = [runs[0].start].into_iter().chain(free.warm.iter().copied());
        assert_eq!(known, in_use.map(chunk_of).collect());
        assert_eq!(free.cold + free.warm.len() + 1, free.chunks.len() * RUNS_PER_CHUNK);
        assert_eq!(free.cold, free.chunks.values().map(|chunk| chunk.cold.len()).sum::<usize>());
        let partly = free.chunks.iter().filter(|(_, chunk)| !chunk.cold.is_empty());
        assert_eq!(free.partly_cold, partly.map(|(&at, _)| at).collect());
    }

    #[test]
    fn the_next_chunk_is_resident_before_it_is_needed() {
        let pool = Pool::new();
        let mut runs = Vec::new();
        #[cfg(target_os = "linux")]
        let fallbacks = counter("thp_fault_fallback ");
        for chunk in 1..10 {
            runs.extend((0..RUNS_PER_CHUNK - FEW).map(|_| pool.take()));
            assert_eq!(pool.free().chunks.len(), chunk, "there are enough runs left");
            runs.push(pool.take());
            settle(&pool);
            runs.extend((1..FEW).map(|_| pool.take()));
            let aligned = |(&at, chunk): (&usize, &Chunk)| chunk.start.addr().get() == at;
            assert!(pool.free().chunks.iter().all(aligned));
        }
        #[cfg(target_os = "linux")]
        let is_large = {
            let next = pool.take();
            assert_eq!(resident(chunk_of(next.start)), CHUNK_BYTES / 1024);
            let can_be = fallbacks.is_some() && counter("thp_fault_fallback ") == fallbacks;
            assert!(
                !can_be || large(chunk_of(next.start)) > 0,
                "the system has large pages, and was not asked"
            );
            can_be
        };
        // Runs of a large page are given back and come again like others.
        runs.iter_mut().enumerate().for_each(|(number, run)| run.fill(number as u8));
        let kept = (0..300).chain(900..runs.len());
        #[cfg(target_os = "linux")]
        let splits = counter("thp_split_page ");
        runs.drain(300..900);
        #[cfg(target_os = "linux")]
        assert!(!is_large || counter("thp_split_page ") > splits, "nothing of them is free");
        runs.extend((0..600).map(|_| pool.take()));
        runs[552..].iter_mut().for_each(|run| run.fill(0));
        for (run, number) in runs.iter().zip(kept) {
            assert!(run.iter().all(|&byte| byte == number as u8), "{number}");
        }
    }

    /// How often something has happened to large pages in the whole system; `None` where they are switched off.
    #[cfg(target_os = "linux")]
    fn counter(name: &str) -> Option<u64> {
        let enabled = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
        enabled.ok().filter(|enabled| !enabled.contains("[never]"))?;
        let counters = std::fs::read_to_string("/proc/vmstat").ok()?;
        counters.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
    }

    /// Kilobytes in large pages of the mapping that a chunk lies in.
    #[cfg(target_os = "linux")]
    fn large(chunk: usize) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let holds_it = |line: &&str| {
            let ends = line.split(' ').next().and_then(|range| range.split_once('-'));
            let ends = ends.map(|(a, b)| [a, b].map(|end| usize::from_str_radix(end, 16)));
            matches!(ends, Some([Ok(a), Ok(b)]) if (a..b).contains(&chunk))
        };
        let mut lines = maps.lines().skip_while(|line| !holds_it(line));
        let kilobytes = lines.find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
        kilobytes.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many kilobytes of a chunk the system says are there, by its map of pages.
    #[cfg(target_os = "linux")]
    fn resident(chunk: usize) -> usize {
        use std::os::unix::fs::FileExt;
        let page = rustix::param::page_size();
        let mut entries = vec![0; CHUNK_BYTES / page * 8];
        let map = std::fs::File::open("/proc/self/pagemap").unwrap();
        map.read_exact_at(&mut entries, (chunk / page * 8) as u64).unwrap();
        // The highest bit of each says whether the page is there.
        entries.chunks_exact(8).filter(|entry| entry[7] >> 7 == 1).count() * page / 1024
    }

    #[test]
    fn runs_outlive_the_handle_to_their_pool() {
        let mut run = Pool::new().take();
        run.fill(7);
        std::thread::spawn(move || assert!(run.iter().all(|&byte| byte == 7))).join().unwrap();
    }
}
