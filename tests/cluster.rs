//! Clusters that form themselves: real processes that join, leave, crash, freeze and are cut off, and what clients see.

mod clients;
mod coordinators;
mod cuts;
mod failing;
mod faults;
mod forming;
mod harness;
mod history;
mod keys;
mod load;
mod moving;
mod partition;

use harness::Member;
