//! A value for every slot, kept as runs of slots with the same value: what a slot table is in memory and on the wire.

use super::SLOTS;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The number of slots, as a slot's number.
const END: u16 = SLOTS as u16;

/// A value for every slot. Neighbouring runs differ, so that equal contents are equal runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    try_from = "Vec<(u16, T)>",
    into = "Vec<(u16, T)>",
    bound = "T: Copy + PartialEq + Serialize + for<'a> Deserialize<'a>"
)]
pub struct Runs<T> {
    /// The first slot of each run, in order, beginning with slot 0.
    runs: Vec<(u16, T)>,
}

impl<T: Copy + PartialEq> Runs<T> {
    /// The same value for all slots.
    pub fn new(value: T) -> Self {
        Runs { runs: vec![(0, value)] }
    }

    /// The value of a slot.
    pub fn get(&self, slot: u16) -> T {
        self.runs[self.run_of(slot)].1
    }

    /// Gives some slots a value.
    ///
    /// # Panics
    /// There are no such slots.
    pub fn set(&mut self, slots: Range<u16>, value: T) {
        assert!(slots.end <= END, "slots end at {END}");
        if slots.is_empty() {
            return;
        }
        // What begins within, or right behind, is replaced by the new run and the rest of the one that it cuts.
        let rest = (slots.end < END).then(|| (slots.end, self.get(slots.end)));
        let from = self.runs.partition_point(|&(first, _)| first < slots.start);
        let to = self.runs.partition_point(|&(first, _)| first <= slots.end);
        let joins_last = from > 0 && self.runs[from - 1].1 == value;
        let new = (!joins_last).then_some((slots.start, value));
        let rest = rest.filter(|&(_, next)| next != value);
        self.runs.splice(from..to, new.into_iter().chain(rest));
    }

    /// All runs: slots and their value.
    pub fn iter(&self) -> impl Iterator<Item = (Range<u16>, T)> + '_ {
        self.within(0..END)
    }

    /// The runs of some slots.
    pub fn within(&self, slots: Range<u16>) -> impl Iterator<Item = (Range<u16>, T)> + '_ {
        let from = if slots.is_empty() { self.runs.len() } else { self.run_of(slots.start) };
        let ends = self.runs[from..].iter().skip(1).map(|&(first, _)| first).chain([END]);
        self.runs[from..]
            .iter()
            .zip(ends)
            .map(move |(&(first, value), end)| (first.max(slots.start)..end.min(slots.end), value))
            .take_while(|(run, _)| !run.is_empty())
    }

    fn run_of(&self, slot: u16) -> usize {
        self.runs.partition_point(|&(first, _)| first <= slot) - 1
    }
}

impl<T> From<Runs<T>> for Vec<(u16, T)> {
    fn from(runs: Runs<T>) -> Self {
        runs.runs
    }
}

impl<T: Copy + PartialEq> TryFrom<Vec<(u16, T)>> for Runs<T> {
    type Error = &'static str;

    fn try_from(runs: Vec<(u16, T)>) -> Result<Self, Self::Error> {
        let starts = runs.first().is_some_and(|&(first, _)| first == 0);
        let ends = runs.last().is_some_and(|&(first, _)| first < END);
        let goes_on = |pair: &[(u16, T)]| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1;
        if starts && ends && runs.windows(2).all(goes_on) {
            Ok(Runs { runs })
        } else {
            Err("these are not runs of all slots, in order")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn matches_an_array(
            steps in prop::collection::vec((0u16..=END, 0u16..=END, 0u8..4), 0..40),
            (from, to) in (0u16..=END, 0u16..=END),
        ) {
            let mut runs = Runs::new(0u8);
            let mut array = vec![0u8; SLOTS];
            for (from, to, value) in steps {
                runs.set(from..to, value);
                if from < to {
                    array[from.into()..to.into()].fill(value);
                }
            }
            for (run, value) in runs.iter() {
                prop_assert!(array[run.start.into()..run.end.into()].iter().all(|&v| v == value));
            }
            prop_assert_eq!(runs.iter().map(|(run, _)| run.len()).sum::<usize>(), SLOTS);
            prop_assert_eq!(runs.within(from..to).map(|(run, _)| run.len()).sum::<usize>(), (from..to).len());
            let text = serde_json::to_string(&runs).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Runs<u8>>(&text).unwrap(), &runs);
        }
    }

    #[test]
    fn refuses_what_is_not_in_order() {
        for text in [
            "[]",
            "[[1,0]]",
            "[[0,0],[0,1]]",
            "[[0,0],[5,0]]",
            "[[0,0],[16384,1]]",
            "[[0,0],[7,1],[6,2]]",
        ] {
            assert!(serde_json::from_str::<Runs<u8>>(text).is_err(), "{text}");
        }
    }
}
