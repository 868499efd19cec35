//! What members and the authority say to each other, beside that there is news. Any of it may be lost, doubled, late or
//! out of order.

use super::table::{Epoch, NodeId, Update};
use serde::{Deserialize, Serialize};

/// What a process is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It keeps slots.
    Node,
    /// It routes requests to nodes.
    Coordinator,
}

/// Sent by everybody to every coordinator each [`super::HEARTBEAT_MS`], and at once when there is something to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who it is.
    pub id: NodeId,
    /// Which of its lives: greater with every start of the process.
    pub boot: u64,
    /// Counts the heartbeats of this life, so that old ones that come late are known.
    pub beat: u64,
    /// Node or coordinator.
    pub role: Role,
    /// Where it listens for RESP, as `host:port`.
    pub address: String,
    /// Bytes of memory that it offers; 0 for coordinators.
    pub capacity: u64,
    /// When it was sent, by the sender's clock. The answer says it again.
    pub sent_ms: u64,
    /// The table it goes by. Of a node also: what that takes from it is given up, no request is under way there any
    /// more.
    pub epoch: Epoch,
    /// The newest table that it has heard of.
    pub seen: Epoch,
    /// It still removes keys of slots that it lost: it had better get none for now.
    pub sweeping: bool,
    /// It wants to go, and asks for its slots to be given to others first.
    pub leaving: bool,
}

/// The authority's answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The life of the one that it answers.
    pub boot: u64,
    /// When the heartbeat was sent.
    pub sent_ms: u64,
    /// How long from then the node may serve what the table gives it; 0 for coordinators.
    pub lease_ms: u64,
    /// The table in force.
    pub epoch: Epoch,
    /// What makes it out of the one that the heartbeat was about, if it is another.
    pub update: Option<Update>,
    /// Members that cannot serve just now, though they have slots.
    pub down: Vec<NodeId>,
    /// Who asked to go may.
    pub left: bool,
}
