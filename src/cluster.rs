//! Slots, and which node owns which.
//!
//! A fixed list of nodes has a fixed table ([`SlotTable`]), the same for everybody who knows the same nodes. A cluster
//! that forms itself has a [`Table`] that changes.

mod runs;
mod slots;
mod table;

pub use runs::Runs;
pub use slots::{SLOTS, SlotTable, slot_of};
pub use table::{Epoch, Member, NodeId, Slot, Table, Update};
