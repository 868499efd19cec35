//! Slots, and which node owns which: the same for everybody who knows the same nodes.

mod slots;

pub use slots::{SLOTS, SlotTable, slot_of};
