//! Slots, and which node owns which.
//!
//! A fixed list of nodes has a fixed table ([`SlotTable`]), the same for everybody who knows the same nodes. A cluster
//! that forms itself has a [`Table`] that changes, and leases. What decides there is in state machines without I/O and
//! without a clock: messages and times go in, messages and things to do come out.
//!
//! ```text
//!                    Heartbeat: who I am, the table I go by
//!   node: Lease  ----------------------------------------------->  Authority  <---  coordinator: Follower
//!     |          <-----------------------------------------------      |      --->     (the same, without
//!     v              Grant: a lease, what changed of the table         v               a lease)
//!   Fence: what may be served, until when                        TableAuthority: one table an epoch, durable
//! ```
//!
//! # How slots move
//!
//! A member that joined, or changed its capacity, enters the table when there was nothing new for a second, or after
//! two. Then slots
//! go from those that have too many to those that have too few, some in each step: a table takes them from their
//! owners; each stops to serve them, lets requests that are under way end, and says so by the epoch of its next
//! heartbeat; another table gives them to their next owners. These drop what they may have of them from another time
//! and serve them. Coordinators let requests wait meanwhile, for some ten milliseconds. Slots of a node that was not
//! heard until its lease had surely ended go to others in one table.
//!
//! A coordinator's link says which table it goes by, before the first request that was routed by it; a node that has
//! an older one asks the authority at once. A coordinator sends nothing for a slot before its owner has said that it
//! serves by the table that gave it the slot, and a node that is to give slots up serves them on until all links go by
//! the table that takes them. So nothing is refused for a move; where it is nevertheless (a link that was just being
//! made, a coordinator that did not run), nothing was executed, and the client is told to try again (`TRYAGAIN`).
//!
//! # Why no read is stale
//!
//! A node's server looks at the [`Fence`] before it executes a request, and again before it replies. The rules that
//! make that enough, each of which `cluster/simulation.rs` takes out to see what happens:
//!
//! 1. *table*: a node serves only what a table says that came with a lease from the authority.
//! 2. *drop*: of a slot whose `since` is not the one it last held, a node drops all keys before it serves it.
//! 3. *lease*, *from_send*, *recheck*: a lease ends 1.5 s after the node *sent* the heartbeat that it answers. It is
//!    looked at before executing, by a clock that may have been read a while ago, and before replying, by one that was
//!    read after. A request ends under the fence that it began under, whose time no later table prolongs.
//! 4. *wait*, *margin*, *withhold*: the authority gives a slot to another node when its owner gave it up, or 1.7 s
//!    after the last grant. While it is being decided that a node loses slots unasked, that node gets no lease.
//! 5. *floor*: a node's table gives way to later ones only, and it remembers under which epoch it held a slot.
//! 6. *settle*: a node says that it gave a slot up when no request is under way that began before.
//! 7. *boot*: a node that starts has no lease, and gets one when that of its last life has surely ended.
//! 8. *durable*, *restart*, *refuse*: a table is on disk before it is used; an authority that starts grants and moves
//!    nothing for 1.7 s; and it stops when anybody knows a table that it does not, for then its file is an old one.
//!    That nobody who can be heard knows better cannot be noticed.
//!
//! Without *settle* no read is stale while moved slots begin empty, but writes that were acknowledged are lost.

mod authority;
mod clock;
mod crc;
mod fence;
mod fences;
mod follower;
mod lease;
mod local;
mod message;
mod placement;
mod rules;
mod runs;
#[cfg(test)]
mod simulation;
mod slot_set;
mod slots;
mod table;

pub use authority::{
    Action as AuthorityAction, Authority, Conflict, Decision, FileAuthority, Peer, TableAuthority,
};
pub use clock::now_ms;
pub use fence::{Fence, Refusal};
pub use fences::{Entered, Fences};
#[cfg(test)]
use follower::Retry;
pub use follower::{Follower, Route};
pub use lease::{Action as NodeAction, Identity, Lease};
pub use local::{
    Contact, INTERNAL_USER, Local, MemberStatus, Order, Overview, Secret, Status, View,
};
pub use message::{Grant, Heartbeat, Role};
pub use rules::{
    DEBOUNCE_MAX_MS, DEBOUNCE_MS, FORGET_MS, HEARTBEAT_MS, HURRY_MS, LEASE_MS, MARGIN_MS,
    PEERS_MAX, SILENT_MS, STALL_MS, STEP_MS, STEP_SLOTS, TICK_MS,
};
pub use runs::Runs;
pub use slot_set::SlotSet;
pub use slots::{NODES_MAX, Owner, SLOTS, SlotTable, slot_of};
pub use table::{Epoch, Member, NodeId, Slot, Table, Update};
