//! A simulator for the protocol of leases: random histories in virtual time, checked for stale reads.
//!
//! Real state machines of several nodes, two coordinators and one authority, with clients that write unique values,
//! run over a network, clocks and a disk that do what such things do at their worst. A history is a function of its
//! seed: `LARDER_SIMULATION_SEED=7 cargo test --lib no_read_is_stale` has that one alone. `LARDER_SIMULATION_COUNT`
//! says how many there are otherwise, and how many at least for each rule taken out (`every_rule_is_needed` prints the
//! figures with `--nocapture`).
//!
//! What the simulator does not do: deliver a request twice (nothing sends one twice), let clocks differ by more than
//! [`super::MARGIN_MS`] allows for, or put the epoch file back when nobody who can be heard knows a newer one. There is
//! only one authority at a time, so that nothing is said of [`super::TableAuthority::confirm_leadership`].

mod coordinator;
mod fault;
mod history;
mod liveness;
mod node;
mod safety;
mod world;

use super::{Epoch, Grant, Heartbeat};
use serde::{Deserialize, Serialize};

/// All that members send each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Message {
    /// To coordinators.
    Heartbeat(Heartbeat),
    /// From the authority.
    Grant(Grant),
    /// From the authority: there is a table, or another change, to be had for a heartbeat.
    News(Epoch),
}
