//! The memory of a shard's entries: cells of size classes, cut out of runs. A cell is named by a 32-bit handle, the
//! number of its run and its place in it in units of 4 bytes.
//!
//! Cells that are freed are used again by others of their class. When sizes drift, the runs of a class that is no longer
//! wanted become sparse: [`Arena::next_to_move`] then names cells of the emptiest run, a few at a time, and when the
//! last one has moved elsewhere the run goes back to the pool.

use super::classes::{CELL_BYTES, CELL_BYTES_MAX, CLASS_OF, CLASSES, UNIT, per_run};
use super::pool::{Pool, RUN_BYTES, Run};
use super::prefetch::prefetch;
use std::sync::Arc;

/// No cell; memory that is all zeros is full of these.
pub(super) const NONE: u32 = 0;
/// Handles from here on are not given to cells; the timing wheel names its slots so.
pub(super) const RESERVED: u32 = 0xFFFF_F000;
/// Bits of a handle that are the place within the run.
const PLACE_BITS: u32 = (RUN_BYTES / UNIT).ilog2();
/// Where a free cell is marked as one, and the mark. No entry has these bytes there: see `entry::Meta`.
const MARK_AT: usize = 8;
const FREE: [u8; 4] = [0xFF; 4];
/// How full a run that can take cells is, in eighths; and that it is full, or being emptied.
const FULL: u8 = 8;
const LEAVING: u8 = 9;
/// Bytes of free cells that are tolerated: as a part of the live ones, and anyway.
const WASTE_PART: usize = 64;
const WASTE_MIN: usize = if cfg!(any(test, fuzzing)) { 0 } else { 128 << 10 };

/// What there is to know of a run.
#[derive(Clone, Copy, Default)]
struct Meta {
    class: u8,
    level: u8,
    /// Live cells.
    used: u16,
    /// Cells that were ever used: the rest of the run is not touched, so that it takes no memory if its chunk was not
    /// prepared.
    carved: u16,
    /// The first free cell among those, plus one; it names the next.
    free: u16,
    /// Neighbours in the list of runs of the same class and level.
    previous: u32,
    next: u32,
}

#[derive(Clone, Copy, Default)]
struct Class {
    runs: u32,
    used: u32,
    /// The first run of each level; 0 is none, as there is no run 0.
    levels: [u32; FULL as usize],
}

/// A run that is being emptied, and the first of its cells not yet looked at.
#[derive(Clone, Copy)]
struct Leaving {
    run: u32,
    cell: u16,
}

/// The cells of one shard.
pub(super) struct Arena {
    pool: Arc<Pool>,
    /// By number. The first is never used: its first handle would be [`NONE`].
    runs: Vec<Option<Run>>,
    metas: Vec<Meta>,
    /// Numbers of runs that went back.
    vacant: Vec<u32>,
    classes: [Class; CLASSES],
    live: usize,
    held: usize,
    leaving: Option<Leaving>,
    /// Waste at which it is worth looking for a sparse run again, after none was found.
    look_again_at: usize,
}

impl Arena {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Arena {
            pool,
            runs: vec![None],
            metas: vec![Meta::default()],
            vacant: Vec::new(),
            classes: [Class::default(); CLASSES],
            live: 0,
            held: 0,
            leaving: None,
            look_again_at: 0,
        }
    }

    /// Bytes of live cells.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The cell at `handle`, and what follows it in its run.
    #[inline]
    pub(super) fn cell(&self, handle: u32) -> &[u8] {
        match &self.runs[(handle >> PLACE_BITS) as usize] {
            Some(run) => &run[place(handle)..],
            // A handle of no cell is a bug; whoever reads from nothing will find out.
            None => &[],
        }
    }

    /// As [`Arena::cell`], to write to.
    #[inline]
    pub(super) fn cell_mut(&mut self, handle: u32) -> &mut [u8] {
        match &mut self.runs[(handle >> PLACE_BITS) as usize] {
            Some(run) => &mut run[place(handle)..],
            None => &mut [],
        }
    }

    /// Copies the first `bytes` of a cell to another.
    pub(super) fn copy(&mut self, from: u32, to: u32, bytes: usize) {
        let mut buffer = [0; CELL_BYTES_MAX];
        buffer[..bytes].copy_from_slice(&self.cell(from)[..bytes]);
        self.cell_mut(to)[..bytes].copy_from_slice(&buffer[..bytes]);
    }

    /// Fetches the first two cache lines of a cell.
    #[inline]
    pub(super) fn prefetch(&self, handle: u32) {
        let cell = self.cell(handle);
        if let Some(first) = cell.first() {
            prefetch(first);
        }
        if let Some(second) = cell.get(64) {
            prefetch(second);
        }
    }

    /// A cell for `size` bytes, at most [`CELL_BYTES_MAX`].
    pub(super) fn allocate(&mut self, size: usize) -> u32 {
        let class = CLASS_OF[size.div_ceil(UNIT)];
        let levels = &self.classes[usize::from(class)].levels;
        // The fullest first, so that the emptier ones become empty.
        let number = match levels.iter().rev().find(|&&run| run != NONE) {
            Some(&run) => run,
            None => self.add_run(class),
        };
        let bytes = usize::from(CELL_BYTES[usize::from(class)]);
        let meta = &mut self.metas[number as usize];
        let cell = match meta.free.checked_sub(1) {
            Some(cell) => {
                let run = self.runs[number as usize].as_deref();
                let at = usize::from(cell) * bytes;
                meta.free = run.map_or(0, |run| u16::from_le_bytes([run[at], run[at + 1]]));
                cell
            }
            None => {
                meta.carved += 1;
                meta.carved - 1
            }
        };
        meta.used += 1;
        self.classes[usize::from(class)].used += 1;
        self.live += bytes;
        self.settle(number);
        number << PLACE_BITS | (usize::from(cell) * bytes / UNIT) as u32
    }

    /// Frees a cell.
    pub(super) fn free(&mut self, handle: u32) {
        let number = handle >> PLACE_BITS;
        let meta = &mut self.metas[number as usize];
        let bytes = usize::from(CELL_BYTES[usize::from(meta.class)]);
        let next = std::mem::replace(&mut meta.free, (place(handle) / bytes) as u16 + 1);
        meta.used -= 1;
        self.classes[usize::from(meta.class)].used -= 1;
        self.live -= bytes;
        let cell = self.cell_mut(handle);
        cell[..2].copy_from_slice(&next.to_le_bytes());
        cell[MARK_AT..MARK_AT + FREE.len()].copy_from_slice(&FREE);
        self.settle(number);
    }

    /// Bytes of the cell at `handle`.
    pub(super) fn size(&self, handle: u32) -> usize {
        let class = self.metas[(handle >> PLACE_BITS) as usize].class;
        usize::from(CELL_BYTES[usize::from(class)])
    }

    /// Whether free cells take more than is tolerated.
    pub(super) fn is_wasteful(&self) -> bool {
        self.waste() > self.tolerated() && self.waste() >= self.look_again_at
    }

    /// Whether they take a quarter as much again: what is moved does not keep up.
    pub(super) fn is_very_wasteful(&self) -> bool {
        self.waste() > self.tolerated() * 5 / 4
    }

    fn waste(&self) -> usize {
        self.held * RUN_BYTES - self.live
    }

    fn tolerated(&self) -> usize {
        self.live / WASTE_PART + WASTE_MIN
    }

    /// A cell whose contents should move to a new one, so that its run can be given back; `None` when there is
    /// nothing to gain. The caller frees it.
    pub(super) fn next_to_move(&mut self) -> Option<u32> {
        loop {
            let leaving = match self.leaving {
                Some(leaving) => leaving,
                None => self.leave_sparsest()?,
            };
            let meta = &self.metas[leaving.run as usize];
            if leaving.cell >= meta.carved {
                // Empty by now, unless a caller did not free what it was given.
                return None;
            }
            self.leaving = Some(Leaving { cell: leaving.cell + 1, ..leaving });
            let bytes = usize::from(CELL_BYTES[usize::from(meta.class)]);
            let place = usize::from(leaving.cell) * bytes / UNIT;
            let handle = leaving.run << PLACE_BITS | place as u32;
            if self.cell(handle)[MARK_AT..MARK_AT + FREE.len()] != FREE {
                return Some(handle);
            }
        }
    }

    /// Checks lists and counters against the cells themselves, and answers how many are live.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self) -> usize {
        let (mut live, mut bytes, mut held) = (0, 0, 0);
        let mut classes = [Class::default(); CLASSES];
        for (number, meta) in self.metas.iter().enumerate() {
            let Some(run) = &self.runs[number] else { continue };
            held += 1;
            let size = usize::from(CELL_BYTES[usize::from(meta.class)]);
            let cells = run.chunks_exact(size).take(usize::from(meta.carved));
            let used = cells.filter(|cell| cell[MARK_AT..MARK_AT + FREE.len()] != FREE).count();
            assert_eq!(used, usize::from(meta.used), "live cells of run {number}");
            let (mut free, mut at) = (0, meta.free);
            while at != 0 {
                free += 1;
                let cell = usize::from(at - 1) * size;
                at = u16::from_le_bytes([run[cell], run[cell + 1]]);
            }
            assert_eq!(used + free, usize::from(meta.carved), "free cells of run {number}");
            let class = &mut classes[usize::from(meta.class)];
            class.runs += 1;
            class.used += used as u32;
            live += used;
            bytes += used * size;
            let listed = self.classes[usize::from(meta.class)].levels.iter().any(|&first| {
                std::iter::successors(Some(first), |&run| Some(self.metas[run as usize].next))
                    .take_while(|&run| run != NONE)
                    .any(|run| run as usize == number)
            });
            assert_eq!(listed, meta.level < FULL, "run {number} is in a list");
        }
        for (counted, class) in classes.iter().zip(&self.classes) {
            assert_eq!(
                (counted.runs, counted.used),
                (class.runs, class.used),
                "counters of a class"
            );
        }
        assert_eq!((bytes, held), (self.live, self.held), "bytes and runs");
        live
    }

    /// Chooses the run to be emptied: of the class with most free cells for its size, if these are a run or more, so
    /// that its cells find room in the others.
    fn leave_sparsest(&mut self) -> Option<Leaving> {
        let mut best = None;
        for (index, class) in self.classes.iter().enumerate() {
            let per_run = per_run(index);
            let cells = class.runs * per_run;
            let free = cells - class.used;
            if free >= per_run && best.is_none_or(|(part, _)| free as f32 / cells as f32 > part) {
                best = Some((free as f32 / cells as f32, index));
            }
        }
        let run = best.and_then(|(_, index)| {
            self.classes[index].levels.iter().copied().find(|&run| run != NONE)
        });
        let Some(run) = run else {
            self.look_again_at = self.waste() + 4 * RUN_BYTES;
            return None;
        };
        self.look_again_at = 0;
        self.unlist(run);
        self.metas[run as usize].level = LEAVING;
        let leaving = Leaving { run, cell: 0 };
        self.leaving = Some(leaving);
        Some(leaving)
    }

    fn add_run(&mut self, class: u8) -> u32 {
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.runs.push(None);
            self.metas.push(Meta::default());
            self.runs.len() as u32 - 1
        });
        assert!(number < RESERVED >> PLACE_BITS, "a shard holds at most 16 GiB of small entries");
        self.runs[number as usize] = Some(self.pool.take());
        self.metas[number as usize] = Meta { class, ..Meta::default() };
        self.held += 1;
        self.classes[usize::from(class)].runs += 1;
        self.list(number);
        number
    }

    /// Puts a run where it belongs by the number of its live cells.
    fn settle(&mut self, number: u32) {
        let Meta { class, level, used, .. } = self.metas[number as usize];
        if used == 0 {
            if level < FULL {
                self.unlist(number);
            } else if level == LEAVING {
                self.leaving = None;
            }
            self.runs[number as usize] = None;
            self.vacant.push(number);
            self.held -= 1;
            self.classes[usize::from(class)].runs -= 1;
            return;
        }
        let fits = (u32::from(used) * u32::from(FULL) / per_run(usize::from(class))) as u8;
        if fits != level && level != LEAVING {
            if level < FULL {
                self.unlist(number);
            }
            self.metas[number as usize].level = fits;
            if fits < FULL {
                self.list(number);
            }
        }
    }

    fn list(&mut self, number: u32) {
        let Meta { class, level, .. } = self.metas[number as usize];
        let first = &mut self.classes[usize::from(class)].levels[usize::from(level)];
        let next = std::mem::replace(first, number);
        self.metas[number as usize].next = next;
        self.metas[number as usize].previous = NONE;
        if next != NONE {
            self.metas[next as usize].previous = number;
        }
    }

    fn unlist(&mut self, number: u32) {
        let Meta { class, level, previous, next, .. } = self.metas[number as usize];
        if previous == NONE {
            self.classes[usize::from(class)].levels[usize::from(level)] = next;
        } else {
            self.metas[previous as usize].next = next;
        }
        if next != NONE {
            self.metas[next as usize].previous = previous;
        }
    }
}

fn place(handle: u32) -> usize {
    (handle & ((1 << PLACE_BITS) - 1)) as usize * UNIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(arena: &mut Arena, handle: u32, size: usize) {
        // Never what marks a free cell.
        arena.cell_mut(handle)[..size].fill((handle % 251) as u8);
    }

    proptest! {
        /// Cells do not overlap, keep what is in them while others come and go, and sparse runs are given back.
        #[test]
        fn cells_are_apart(operations in prop::collection::vec((any::<bool>(), 24usize..600, any::<u16>()), 1..1500)) {
            let mut arena = Arena::new(Pool::new());
            let mut cells: Vec<(u32, usize)> = Vec::new();
            for (add, size, which) in operations {
                if add || cells.is_empty() {
                    let handle = arena.allocate(size);
                    fill(&mut arena, handle, size);
                    cells.push((handle, size));
                } else {
                    let (handle, _) = cells.swap_remove(usize::from(which) % cells.len());
                    arena.free(handle);
                }
            }
            for &(handle, size) in &cells {
                prop_assert!(arena.cell(handle)[..size].iter().all(|&byte| byte == (handle % 251) as u8));
            }
            prop_assert_eq!(arena.check(), cells.len());
            // Everything is moved together as far as it will go.
            while let Some(old) = arena.next_to_move() {
                let at = cells.iter().position(|&(handle, _)| handle == old).unwrap();
                let size = cells[at].1;
                let new = arena.allocate(size);
                prop_assert_ne!(new >> PLACE_BITS, old >> PLACE_BITS);
                arena.copy(old, new, size);
                fill(&mut arena, new, size);
                arena.free(old);
                cells[at].0 = new;
            }
            prop_assert_eq!(arena.check(), cells.len());
            for &(handle, size) in &cells {
                prop_assert!(arena.cell(handle)[..size].iter().all(|&byte| byte == (handle % 251) as u8));
            }
            for (index, class) in arena.classes.iter().enumerate() {
                prop_assert!(class.runs * per_run(index) - class.used < per_run(index));
            }
        }
    }

    /// Sizes drift: what one class took, another can have.
    #[test]
    fn waste_is_bounded_when_sizes_drift() {
        let pool = Pool::new();
        let mut arena = Arena::new(pool.clone());
        // Each cell says where it is in this list.
        let mut cells: Vec<(u32, usize)> = Vec::new();
        let say = |arena: &mut Arena, handle: u32, at: usize| {
            arena.cell_mut(handle)[16..24].copy_from_slice(&at.to_le_bytes());
        };
        let mut random = fastrand::Rng::with_seed(7);
        let (mut live, mut most) = (0, 0);
        for step in 0..300_000u32 {
            let size = 64 + (step / 300) as usize % 900;
            while live + size > 8 << 20 {
                let at = random.usize(..cells.len());
                let (handle, size) = cells.swap_remove(at);
                if let Some(&(moved, _)) = cells.get(at) {
                    say(&mut arena, moved, at);
                }
                arena.free(handle);
                live -= size;
            }
            let handle = arena.allocate(size);
            arena.cell_mut(handle)[..size].fill(0);
            say(&mut arena, handle, cells.len());
            cells.push((handle, size));
            live += size;
            for _ in 0..16 {
                let old = if arena.is_wasteful() { arena.next_to_move() } else { None };
                let Some(old) = old else { break };
                let mut at = [0; 8];
                at.copy_from_slice(&arena.cell(old)[16..24]);
                let at = usize::from_le_bytes(at);
                let new = arena.allocate(cells[at].1);
                arena.copy(old, new, cells[at].1);
                arena.free(old);
                cells[at].0 = new;
            }
            most = most.max(arena.held * RUN_BYTES - arena.live);
        }
        assert_eq!(arena.check(), cells.len());
        assert!(most < (8 << 20) / 20 + (768 << 10), "{most} bytes are free");
    }
}
