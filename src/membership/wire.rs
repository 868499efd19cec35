//! What members send each other: requests, each with an answer.

use crate::cluster::{Epoch, Grant, Heartbeat, NodeId, Status};
use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest RESP address that is believed.
const ADDRESS_MAX: usize = 300;

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Of a coordinator.
    Heartbeat(Heartbeat),
    /// By the authority: there is a table of this epoch, or another change, to be had for a heartbeat.
    News(Epoch),
    /// By one that decides on tables, of another that does: whether it has decided on any, and since when it decides, in
    /// milliseconds since 1970.
    Rival(bool, u64),
    /// By a coordinator: give your slots to others, and end.
    Leave,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// By the authority to a heartbeat; with what it sees of the cluster, if a coordinator asks.
    Grant(Box<Grant>, Option<Box<Status>>),
    /// It was taken note of.
    Noted,
}

/// The name of a member: the first 160 bits of the SHA-256 digest of its libp2p name, which is its public key.
pub(super) fn node_id(peer: &PeerId) -> NodeId {
    let digest = Sha256::digest(peer.to_bytes());
    let mut id = [0; 20];
    id.copy_from_slice(&digest[..20]);
    NodeId(id)
}

/// Whether a heartbeat can be from this peer.
pub(super) fn is_credible(peer: &PeerId, heartbeat: &Heartbeat) -> bool {
    heartbeat.id == node_id(peer)
        && heartbeat.boot > 0
        && heartbeat.address.len() <= ADDRESS_MAX
        && crate::server::check_address(&heartbeat.address).is_ok()
}
