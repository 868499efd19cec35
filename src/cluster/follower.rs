//! A coordinator's side of the protocol: which node a request goes to, by the newest table that the authority gave.
//!
//! It may be wrong, as a node looks itself whether it may serve: what a table that is too old costs is a refusal and
//! another try, never a stale value.

#[cfg(test)]
use super::fence::Refusal;
use super::lease::Identity;
use super::message::{Grant, Heartbeat, Role};
use super::rules::{HEARTBEAT_MS, HURRY_MS, PEERS_MAX, SILENT_MS};
use super::table::{Epoch, NodeId, Table};
use std::collections::{BTreeMap, BTreeSet};

/// Where a request for a slot goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To this member of the table. The link says the table's epoch ([`Table::epoch`]) first, if it is not the last
    /// that it said.
    To(u16),
    /// To nobody yet: the slot is between two owners, for some milliseconds. Ask again after the next change.
    Wait,
    /// To nobody: `CLUSTERDOWN`.
    Down,
}

/// What the simulator's clients do with a request that a node refused; it was not executed.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Route it again, after the next change of the table or [`HURRY_MS`], for as long as a request may wait.
    Again,
    /// `CLUSTERDOWN`.
    Fail,
}

/// The state of a coordinator. The authority's own coordinator has one too.
pub struct Follower {
    identity: Identity,
    table: Table,
    /// Members that the authority cannot reach, and whether it said so not long ago.
    down: Vec<NodeId>,
    granted_ms: u64,
    /// When the latest heartbeat that was answered had been sent.
    answered_ms: u64,
    /// Of each node its latest heartbeat, as life and number, and the table that it serves by.
    heard: BTreeMap<NodeId, (u64, u64, Epoch)>,
    /// Members whose connection to us is closed.
    closed: BTreeSet<NodeId>,
    seen: Epoch,
    beat: u64,
    sent_ms: u64,
    next_ms: u64,
}

impl Follower {
    /// A coordinator that just started: it knows no table.
    pub fn new(identity: Identity, now_ms: u64) -> Self {
        Follower {
            identity,
            table: Table::default(),
            down: Vec::new(),
            granted_ms: 0,
            answered_ms: 0,
            heard: BTreeMap::new(),
            closed: BTreeSet::new(),
            seen: 0,
            beat: 0,
            sent_ms: 0,
            next_ms: now_ms,
        }
    }

    /// The table that it goes by.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Where a request for a slot goes.
    pub fn route(&self, slot: u16) -> Route {
        let Some(number) = self.table.slots.get(slot).owner else {
            return if self.table.members.is_empty() { Route::Down } else { Route::Wait };
        };
        match self.table.members.get(&number) {
            Some(member) if !self.is_down(member.id) => {
                let is_ready = self.is_ready(member.id, self.table.slots.get(slot).since);
                if is_ready { Route::To(number) } else { Route::Wait }
            }
            _ => Route::Down,
        }
    }

    /// Whether a member said that it serves what it was given in an epoch: a request that comes before would be refused.
    fn is_ready(&self, id: NodeId, since: Epoch) -> bool {
        self.heard.get(&id).is_some_and(|&(_, _, epoch)| epoch >= since)
    }

    /// Whether a member is known not to serve.
    pub fn is_down(&self, id: NodeId) -> bool {
        self.closed.contains(&id) || self.down.contains(&id)
    }

    /// When [`Follower::tick`] is to be called; it may be sooner after each other call.
    pub fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// A heartbeat for the authority, if it is time.
    pub fn tick(&mut self, now_ms: u64) -> Option<Heartbeat> {
        if now_ms >= self.granted_ms + SILENT_MS {
            // What the authority said of others is old by now; what we see ourselves is not.
            self.down.clear();
        }
        if now_ms < self.next_ms {
            return None;
        }
        self.beat += 1;
        self.sent_ms = now_ms;
        self.next_ms = now_ms + HEARTBEAT_MS;
        Some(Heartbeat {
            id: self.identity.id,
            boot: self.identity.boot,
            beat: self.beat,
            role: Role::Coordinator,
            address: self.identity.address.clone(),
            capacity: 0,
            sent_ms: now_ms,
            epoch: self.table.epoch,
            seen: self.seen,
            sweeping: false,
            leaving: false,
        })
    }

    /// The authority has news: asks for them.
    pub fn news(&mut self, now_ms: u64, epoch: Epoch) -> Option<Heartbeat> {
        self.seen = self.seen.max(epoch);
        self.next_ms = self.next_ms.min(self.sent_ms + HURRY_MS);
        self.tick(now_ms)
    }

    /// The authority answered. Says whether requests that wait should be routed again.
    pub fn grant(&mut self, now_ms: u64, grant: &Grant) -> bool {
        let is_old = grant.epoch < self.table.epoch || grant.sent_ms < self.answered_ms;
        if grant.boot != self.identity.boot || is_old {
            return false;
        }
        self.answered_ms = grant.sent_ms;
        self.seen = self.seen.max(grant.epoch);
        self.granted_ms = now_ms;
        let mut is_new = self.down != grant.down;
        self.down.clone_from(&grant.down);
        if let Some(update) = grant.update.as_ref().filter(|_| grant.epoch > self.table.epoch)
            && let Ok(table) = self.table.updated(update)
        {
            self.table = table;
            self.closed.retain(|&id| self.table.number(id).is_some());
            if self.heard.len() >= PEERS_MAX / 2 {
                // Who is neither a member nor going to be one soon: those whose last heartbeat came under an old table.
                let table = &self.table;
                self.heard.retain(|&id, _| table.number(id).is_some());
            }
            is_new = true;
        }
        is_new
    }

    /// A node's heartbeat came here. Says whether requests that wait should be routed again.
    pub fn heard(&mut self, heartbeat: &Heartbeat) -> bool {
        let Heartbeat { id, boot, beat, epoch, .. } = *heartbeat;
        self.seen = self.seen.max(epoch);
        let last = self.heard.get(&id).copied();
        let is_old = last.is_some_and(|(last, number, _)| (boot, beat) <= (last, number));
        if is_old || (last.is_none() && self.heard.len() >= PEERS_MAX) {
            return false;
        }
        self.heard.insert(id, (boot, beat, epoch));
        self.closed.remove(&id) || last.is_none_or(|(_, _, last)| last != epoch)
    }

    /// The connection of a node was closed, by its process's end for example. Says whether that is news.
    pub fn closed(&mut self, id: NodeId) -> bool {
        self.table.number(id).is_some() && self.closed.insert(id)
    }

    /// A node refused a request, as it may where nothing is announced. Says what to do with that, and maybe sends a heartbeat for a newer table.
    #[cfg(test)]
    pub(super) fn refused(&mut self, now_ms: u64, refusal: Refusal) -> (Retry, Option<Heartbeat>) {
        match refusal {
            Refusal::NotMine(epoch) if epoch > self.table.epoch => {
                (Retry::Again, self.news(now_ms, epoch))
            }
            // The node learns of our table by our link, and asks for it.
            Refusal::NotMine(_) => (Retry::Again, None),
            Refusal::NoLease => (Retry::Fail, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Member;
    use super::*;

    fn grant(table: &Table, down: Vec<NodeId>) -> Grant {
        let update = Some(table.update_since(0));
        Grant { boot: 1, sent_ms: 0, lease_ms: 0, epoch: table.epoch, update, down, left: false }
    }

    #[test]
    fn routes_by_what_it_knows() {
        let identity = Identity { id: NodeId([9; 20]), boot: 1, address: "h:1".to_owned() };
        let node = NodeId([1; 20]);
        let mut follower = Follower::new(identity, 0);
        assert_eq!(follower.route(0), Route::Down, "nobody is a member");
        let mut table = Table { epoch: 5, ..Table::default() };
        let number = table.admit(Member { id: node, address: "h:2".to_owned(), capacity: 1 });
        table.set_owner(0..9, Some(number));
        assert!(follower.grant(10, &grant(&table, vec![])));
        assert_eq!(follower.route(8), Route::Wait, "it has not said that it serves it");
        let heartbeat = follower.tick(10).unwrap();
        let heard = Heartbeat { id: node, epoch: 5, beat: 1, ..heartbeat };
        assert!(
            follower.heard(&heard) && !follower.heard(&Heartbeat { epoch: 4, ..heard.clone() })
        );
        assert_eq!(follower.route(8), Route::To(number));
        assert_eq!(follower.route(9), Route::Wait);
        // It is down when the authority says so, as long as that is heard, or when its connection is closed.
        assert!(follower.grant(20, &grant(&table, vec![node])));
        assert_eq!(follower.route(0), Route::Down);
        follower.tick(20 + SILENT_MS);
        assert_eq!(follower.route(0), Route::To(number));
        follower.closed(node);
        assert_eq!(follower.route(0), Route::Down);
        let heartbeat = follower.news(3000, 6).unwrap();
        assert!(follower.heard(&Heartbeat { id: node, beat: 2, ..heartbeat.clone() }));
        assert_eq!(follower.route(0), Route::To(number));
        assert_eq!((heartbeat.epoch, heartbeat.seen), (5, 6));
        // Neither an older table nor one for another life has an effect.
        assert!(!follower.grant(30, &grant(&Table { epoch: 4, ..Table::default() }, vec![])));
        assert!(!follower.grant(
            30,
            &Grant { boot: 2, ..grant(&Table { epoch: 7, ..Table::default() }, vec![]) }
        ));
        assert_eq!(follower.table(), &table);
    }

    #[test]
    fn asks_for_newer_tables_once_in_a_while() {
        let identity = Identity { id: NodeId([9; 20]), boot: 1, address: "h:1".to_owned() };
        let mut follower = Follower::new(identity, 0);
        assert!(follower.tick(0).is_some());
        assert!(follower.refused(1, Refusal::NotMine(3)) == (Retry::Again, None), "too soon");
        assert!(follower.tick(HURRY_MS).is_some());
        assert!(follower.tick(HEARTBEAT_MS).is_none());
        assert_eq!(follower.refused(1, Refusal::NotMine(0)), (Retry::Again, None));
        assert_eq!(follower.refused(1, Refusal::NoLease).0, Retry::Fail);
    }
}
