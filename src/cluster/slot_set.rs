//! A set of slots.

use super::SLOTS;
use std::ops::Range;

const WORDS: usize = SLOTS / 64;

/// A set of slots: a bit for each.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet([u64; WORDS]);

impl Default for SlotSet {
    fn default() -> Self {
        SlotSet([0; WORDS])
    }
}

impl SlotSet {
    /// All slots.
    pub fn all() -> Self {
        SlotSet([u64::MAX; WORDS])
    }

    /// Whether a slot is in it.
    pub fn has(&self, slot: u16) -> bool {
        self.0[usize::from(slot / 64)] >> (slot % 64) & 1 == 1
    }

    /// Puts slots in.
    pub fn insert(&mut self, slots: Range<u16>) {
        for slot in slots {
            self.0[usize::from(slot / 64)] |= 1 << (slot % 64);
        }
    }

    /// Puts all of another set in.
    pub fn add(&mut self, other: &SlotSet) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// What is in this one and not in the other.
    pub fn without(&self, other: &SlotSet) -> SlotSet {
        let mut rest = self.clone();
        rest.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine &= !theirs);
        rest
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let mut some = SlotSet::default();
        assert!(some.is_empty());
        some.insert(60..70);
        some.insert(16383..16384);
        assert_eq!(
            (some.len(), some.has(60), some.has(70), some.has(16383)),
            (11, true, false, true)
        );
        let mut more = SlotSet::default();
        more.insert(65..100);
        assert_eq!(some.without(&more).len(), 6);
        assert!(more.without(&SlotSet::all()).is_empty());
        some.add(&more);
        assert_eq!(some.len(), 41);
    }
}
