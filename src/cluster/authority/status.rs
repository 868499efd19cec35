//! What the authority tells people of the cluster.

use super::super::local::{MemberStatus, Status};
use super::super::message::Role;
use super::super::rules::SILENT_MS;
use super::super::table::NodeId;
use super::{Authority, Peer, TableAuthority};

impl<T: TableAuthority> Authority<T> {
    /// Everybody it hears, and what is being changed. `own` is the process that it is part of.
    pub fn status(&self, now_ms: u64, own: NodeId) -> Status {
        let table = self.decider.table();
        let shares = table.shares();
        let member = |peer: &Peer| {
            let heartbeat = &peer.heartbeat;
            let share = table.number(heartbeat.id).and_then(|number| shares.get(&number));
            MemberStatus {
                id: heartbeat.id,
                role: heartbeat.role,
                address: heartbeat.address.clone(),
                is_authority: heartbeat.id == own,
                epoch: heartbeat.epoch,
                capacity: heartbeat.capacity,
                slots: share.copied().unwrap_or(0),
                heard_ms: now_ms.saturating_sub(peer.heard_ms),
                lease_ms: peer.lease_end_ms.saturating_sub(now_ms),
                is_connected: peer.is_connected,
                is_leaving: heartbeat.leaving,
            }
        };
        let members: Vec<MemberStatus> = self.peers.values().map(member).collect();
        let is_joining = |member: &&MemberStatus| {
            member.role == Role::Node
                && member.is_connected
                && member.heard_ms < SILENT_MS
                && !member.is_leaving
                && table.number(member.id).is_none()
        };
        let unowned = table.slots.iter().filter(|(_, slot)| slot.owner.is_none());
        Status {
            epoch: table.epoch,
            joining: members.iter().filter(is_joining).count() as u16,
            releasing: self.releasing() as u16,
            unowned: unowned.map(|(run, _)| run.len() as u16).sum(),
            members,
            refused: None,
        }
    }
}
