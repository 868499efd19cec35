//! What a node may serve: looked at by every request, so it is a bitmap and a time.

use super::rules::Rules;
use super::slot_set::SlotSet;
use super::table::Epoch;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The slots that a node may serve, and until when. It does not change but for the time, and that no more once there is
/// another: so a request that began under one looks at the same one before its reply, and learns whether the node held
/// the slot all along.
///
/// The time is the node's `CLOCK_BOOTTIME`, which counts on while the machine sleeps. It is to be read after the
/// requests were, and again for [`Fence::holds`].
pub struct Fence {
    epoch: Epoch,
    slots: SlotSet,
    until_ms: AtomicU64,
}

/// Why a node does not serve a slot. Nothing was executed: to ask somebody else is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not this node's by the table of this epoch.
    NotMine(Epoch),
    /// This node has no lease.
    NoLease,
}

impl Fence {
    pub(super) fn new(epoch: Epoch, runs: impl Iterator<Item = Range<u16>>, rules: Rules) -> Self {
        let mut slots = if rules.table { SlotSet::default() } else { SlotSet::all() };
        runs.for_each(|run| slots.insert(run));
        Fence { epoch, slots, until_ms: AtomicU64::new(if rules.lease { 0 } else { u64::MAX }) }
    }

    /// One for tests of servers.
    #[cfg(test)]
    pub(crate) fn for_tests(epoch: Epoch, slots: Range<u16>, until_ms: u64) -> Self {
        let fence = Fence::new(epoch, std::iter::once(slots), Rules::ALL);
        fence.extend(until_ms);
        fence
    }

    /// One that lets nothing through.
    pub(super) fn none() -> Self {
        Fence::new(0, std::iter::empty(), Rules::ALL)
    }

    /// The epoch of the table that it is by.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether a request for a slot may be executed.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self, slot: u16, now_ms: u64) -> Result<(), Refusal> {
        if !self.holds(now_ms) {
            return Err(Refusal::NoLease);
        }
        match self.has(slot) {
            true => Ok(()),
            false => Err(Refusal::NotMine(self.epoch)),
        }
    }

    /// Whether what was executed may be replied. If not, its outcome is unknown to the client.
    pub fn holds(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms()
    }

    /// When the lease ends.
    pub fn until_ms(&self) -> u64 {
        // Who reads an older value stops too early, never too late.
        self.until_ms.load(Ordering::Relaxed)
    }

    pub(super) fn has(&self, slot: u16) -> bool {
        self.slots.has(slot)
    }

    /// The slots that it lets through.
    pub fn slots(&self) -> &SlotSet {
        &self.slots
    }

    /// Whether the other one lacks any of its slots.
    pub fn has_more_than(&self, other: &Fence) -> bool {
        !self.slots.without(&other.slots).is_empty()
    }

    pub(super) fn extend(&self, until_ms: u64) {
        self.until_ms.fetch_max(until_ms, Ordering::Relaxed);
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.slots.len();
        write!(f, "{count} slots by table {} until {} ms", self.epoch, self.until_ms())
    }
}
