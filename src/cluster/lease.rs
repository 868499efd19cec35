//! A node's side of the protocol: sends heartbeats, and keeps the [`Fence`] that says what may be served.
//!
//! A table takes effect in two steps. At once, a new fence is published that has only what the node held before and
//! still holds. When no request is under way under an older fence, and what came anew is empty ([`Action::Settle`],
//! [`Lease::settled`]), another one has all of the node's slots; only then the heartbeats name the new table, by which
//! the authority knows that what it took was given up.

use super::fence::Fence;
use super::message::{Grant, Heartbeat, Role};
use super::rules::{HEARTBEAT_MS, HURRY_MS, LEASE_MS, Rules};
use super::runs::Runs;
use super::table::{Epoch, NodeId, Table};
use std::ops::Range;
use std::sync::Arc;

/// What the node is to do, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send this to every coordinator.
    Send(Heartbeat),
    /// Requests that are read from now on go by this.
    Publish(Arc<Fence>),
    /// When all requests that began under an older fence than the last one published are done, remove all keys of these
    /// slots, then call [`Lease::settled`] with the epoch. Calls for less than the last epoch asked for do nothing.
    Settle(Epoch, Vec<Range<u16>>),
    /// The node's slots are with others: it may go.
    Left,
}

/// Who the node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub id: NodeId,
    /// Greater with every start of the process.
    pub boot: u64,
    /// Where it listens for RESP, as `host:port`.
    pub address: String,
}

/// The state of a node. All times are its own clock's.
pub struct Lease {
    identity: Identity,
    capacity: u64,
    rules: Rules,
    table: Table,
    /// The table that the heartbeats name.
    settled: Epoch,
    /// For each slot the epoch under which what the store has of it was written. It stays when the slot goes.
    held: Runs<Epoch>,
    fence: Arc<Fence>,
    seen: Epoch,
    beat: u64,
    sent_ms: u64,
    next_ms: u64,
    sweeping: bool,
    leaving: bool,
}

impl Lease {
    /// A node that just started, with an empty store: it serves nothing yet.
    pub fn new(identity: Identity, capacity: u64, now_ms: u64) -> Self {
        Self::with_rules(identity, capacity, now_ms, Rules::ALL)
    }

    pub(super) fn with_rules(identity: Identity, capacity: u64, now_ms: u64, rules: Rules) -> Self {
        Lease {
            identity,
            capacity,
            rules,
            table: Table::default(),
            settled: 0,
            held: Runs::new(0),
            fence: Arc::new(Fence::none()),
            seen: 0,
            beat: 0,
            sent_ms: 0,
            next_ms: now_ms,
            sweeping: false,
            leaving: false,
        }
    }

    /// The fence that was published last.
    pub fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// The newest table that came with a lease.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// When [`Lease::tick`] is to be called; it may be sooner after each other call.
    pub fn next_ms(&self) -> u64 {
        self.next_ms
    }

    /// A heartbeat, if it is time.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Action> {
        if now_ms < self.next_ms {
            return Vec::new();
        }
        self.beat += 1;
        self.sent_ms = now_ms;
        self.next_ms = now_ms + HEARTBEAT_MS;
        vec![Action::Send(Heartbeat {
            id: self.identity.id,
            boot: self.identity.boot,
            beat: self.beat,
            role: Role::Node,
            address: self.identity.address.clone(),
            capacity: self.capacity,
            sent_ms: now_ms,
            epoch: self.settled,
            seen: self.seen,
            sweeping: self.sweeping,
            leaving: self.leaving,
        })]
    }

    /// The authority has news.
    pub fn news(&mut self, now_ms: u64, epoch: Epoch) -> Vec<Action> {
        self.seen = self.seen.max(epoch);
        self.hurry(now_ms)
    }

    /// A coordinator goes by a table of this epoch, as its link says.
    pub fn linked(&mut self, now_ms: u64, epoch: Epoch) -> Vec<Action> {
        if epoch > self.table.epoch { self.news(now_ms, epoch) } else { Vec::new() }
    }

    /// Offers another amount of memory.
    pub fn resize(&mut self, now_ms: u64, capacity: u64) -> Vec<Action> {
        let is_same = std::mem::replace(&mut self.capacity, capacity) == capacity;
        if is_same { Vec::new() } else { self.hurry(now_ms) }
    }

    /// Notes whether keys of slots that were lost are still being removed.
    pub fn set_sweeping(&mut self, now_ms: u64, sweeping: bool) -> Vec<Action> {
        let is_same = std::mem::replace(&mut self.sweeping, sweeping) == sweeping;
        if is_same { Vec::new() } else { self.hurry(now_ms) }
    }

    /// Asks for the node's slots to be given to others; [`Action::Left`] follows.
    pub fn leave(&mut self, now_ms: u64) -> Vec<Action> {
        self.leaving = true;
        self.hurry(now_ms)
    }

    /// The authority answered.
    pub fn grant(&mut self, now_ms: u64, grant: &Grant) -> Vec<Action> {
        // Nothing that this node has sent is of later.
        let is_mine = grant.boot == self.identity.boot && grant.sent_ms <= now_ms;
        let start_ms = if self.rules.from_send { grant.sent_ms } else { now_ms };
        let until_ms = start_ms.saturating_add(grant.lease_ms.min(LEASE_MS));
        // A table without a lease has no effect, whoever it comes from.
        if !is_mine || until_ms <= now_ms {
            return Vec::new();
        }
        self.seen = self.seen.max(grant.epoch);
        let mut actions = Vec::new();
        if grant.epoch > self.table.epoch || !self.rules.floor {
            let table = grant.update.as_ref().map(|update| self.table.updated(update));
            match table {
                Some(Ok(table)) => self.adopt(table, until_ms, &mut actions),
                // It answers a heartbeat of an older table than ours: the next one will do.
                Some(Err(_)) => return actions,
                None if grant.epoch > self.table.epoch => return actions,
                None => {}
            }
        }
        self.fence.extend(until_ms);
        if grant.left {
            actions.push(Action::Left);
        }
        actions
    }

    /// No request is under way that began before [`Action::Settle`], and its slots are empty.
    pub fn settled(&mut self, now_ms: u64, epoch: Epoch) -> Vec<Action> {
        if epoch != self.table.epoch || epoch == self.settled {
            return Vec::new();
        }
        for (run, since) in self.owned() {
            self.held.set(run, since);
        }
        self.settled = epoch;
        let mut actions = Vec::new();
        self.publish(self.fence.until_ms(), &mut actions);
        actions.extend(self.hurry(now_ms));
        actions
    }

    /// Goes by a newer table.
    fn adopt(&mut self, table: Table, until_ms: u64, actions: &mut Vec<Action>) {
        self.table = table;
        let before = Arc::clone(&self.fence);
        self.publish(until_ms, actions);
        let gained = self.gained();
        let is_same = gained.is_empty() && !before.has_more_than(&self.fence);
        // Without the rule, what it gave up is given up while requests go on with it.
        if !self.rules.settle && gained.is_empty() || is_same && before.epoch() == self.settled {
            self.settled = self.table.epoch;
        } else {
            actions.push(Action::Settle(
                self.table.epoch,
                if self.rules.drop { gained } else { Vec::new() },
            ));
        }
    }

    /// A new fence, without what is not known to be empty or our own.
    fn publish(&mut self, until_ms: u64, actions: &mut Vec<Action>) {
        let mut held = Vec::new();
        for (run, since) in self.owned() {
            held.extend(
                self.held.within(run).filter(|&(_, last)| last == since).map(|(run, _)| run),
            );
        }
        let fence = Arc::new(Fence::new(self.table.epoch, held.into_iter(), self.rules));
        fence.extend(until_ms);
        self.fence = Arc::clone(&fence);
        actions.push(Action::Publish(fence));
    }

    /// Our slots, and since when they are ours.
    fn owned(&self) -> Vec<(Range<u16>, Epoch)> {
        let Some(number) = self.table.number(self.identity.id) else { return Vec::new() };
        self.table.owned_by(number).map(|(run, slot)| (run, slot.since)).collect()
    }

    /// Our slots that somebody else may have had since we did.
    fn gained(&self) -> Vec<Range<u16>> {
        let mut gained = Vec::new();
        for (run, since) in self.owned() {
            gained.extend(
                self.held.within(run).filter(|&(_, last)| last != since).map(|(run, _)| run),
            );
        }
        gained
    }

    /// A heartbeat at once, or as soon as the last one was a little while ago.
    fn hurry(&mut self, now_ms: u64) -> Vec<Action> {
        self.next_ms = self.next_ms.min(self.sent_ms + HURRY_MS);
        self.tick(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fence::Refusal;
    use super::super::table::Member;
    use super::*;

    const ME: NodeId = NodeId([1; 20]);

    fn lease() -> Lease {
        Lease::new(Identity { id: ME, boot: 5, address: "h:1".to_owned() }, 1, 0)
    }

    /// A table in which slots are ours, or another's.
    fn table(last: &Table, epoch: Epoch, slots: Range<u16>, is_ours: bool) -> Table {
        let mut table = Table { epoch, ..last.clone() };
        if table.members.is_empty() {
            for id in [ME, NodeId([2; 20])] {
                table.admit(Member { id, address: "h:1".to_owned(), capacity: 1 });
            }
        }
        table.set_owner(slots, Some(u16::from(!is_ours)));
        table
    }

    fn grant(sent_ms: u64, table: &Table) -> Grant {
        let update = Some(table.update_since(0));
        Grant {
            boot: 5,
            sent_ms,
            lease_ms: LEASE_MS,
            epoch: table.epoch,
            update,
            down: vec![],
            left: false,
        }
    }

    /// What is to be dropped before it goes on.
    fn to_drop(actions: Vec<Action>) -> Option<Vec<u16>> {
        actions.into_iter().find_map(|action| match action {
            Action::Settle(_, runs) => Some(runs.into_iter().flatten().collect()),
            _ => None,
        })
    }

    #[test]
    fn serves_what_it_was_given_once_that_is_empty() {
        let mut lease = lease();
        assert_eq!(lease.fence().check(0, 0), Err(Refusal::NoLease));
        let first = table(&Table::default(), 3, 0..100, true);
        assert_eq!(to_drop(lease.grant(10, &grant(5, &first))), Some(Vec::from_iter(0..100)));
        assert_eq!(lease.fence().check(0, 20), Err(Refusal::NotMine(3)));
        let actions = lease.settled(30, 3);
        assert!(
            matches!(&actions[..], [Action::Publish(_), Action::Send(heartbeat)] if heartbeat.epoch == 3)
        );
        assert_eq!(lease.fence().check(99, 30), Ok(()));
        assert_eq!(lease.fence().check(100, 30), Err(Refusal::NotMine(3)));
        // From when the heartbeat was sent, not from when the answer came.
        assert_eq!(lease.fence().check(99, 5 + LEASE_MS - 1), Ok(()));
        assert_eq!(lease.fence().check(99, 5 + LEASE_MS), Err(Refusal::NoLease));
    }

    #[test]
    fn drops_what_was_away() {
        let mut lease = lease();
        let first = table(&Table::default(), 3, 0..100, true);
        lease.grant(0, &grant(0, &first));
        lease.settled(0, 3);
        let fence = Arc::clone(lease.fence());
        // It went and came back, in one table for us.
        let second = table(&table(&first, 4, 40..60, false), 5, 40..60, true);
        assert_eq!(to_drop(lease.grant(500, &grant(500, &second))), Some(Vec::from_iter(40..60)));
        assert_eq!(
            [39, 40, 60].map(|slot| lease.fence().check(slot, 500).is_ok()),
            [true, false, true]
        );
        // Until that is done, the heartbeats are about the old table.
        assert!(lease.settled(500, 4).is_empty());
        assert!(matches!(&lease.tick(600)[..], [Action::Send(heartbeat)] if heartbeat.epoch == 3));
        lease.settled(610, 5);
        assert!(lease.fence().check(40, 610).is_ok());
        // What began under the old fence has no longer than that had.
        lease.grant(1200, &Grant { update: None, ..grant(1100, &second) });
        assert!(lease.fence().holds(1600) && !fence.holds(1600));
    }

    #[test]
    fn gives_up_and_keeps_to_it() {
        let mut lease = lease();
        let first = table(&Table::default(), 3, 0..100, true);
        lease.grant(0, &grant(0, &first));
        lease.settled(0, 3);
        let second = table(&first, 4, 40..60, false);
        // Nothing is to be dropped, but what is under way is to be waited for.
        assert_eq!(to_drop(lease.grant(10, &grant(10, &second))), Some(vec![]));
        assert_eq!(lease.fence().check(40, 20), Err(Refusal::NotMine(4)));
        lease.settled(20, 4);
        // An older answer prolongs the lease, but does not bring the old table back.
        assert!(lease.grant(30, &grant(25, &first)).is_empty());
        assert_eq!(lease.fence().check(40, 30), Err(Refusal::NotMine(4)));
        assert_eq!(lease.fence().until_ms(), 25 + LEASE_MS);
        // A table that concerns others only is taken as it is.
        let third = table(&second, 6, 200..300, false);
        assert_eq!(to_drop(lease.grant(40, &grant(40, &third))), None);
        assert!(matches!(&lease.tick(600)[..], [Action::Send(heartbeat)] if heartbeat.epoch == 6));
    }

    #[test]
    fn takes_no_table_without_a_lease() {
        let mut lease = lease();
        let first = table(&Table::default(), 3, 0..100, true);
        assert!(lease.grant(LEASE_MS, &grant(0, &first)).is_empty(), "it has ended");
        assert!(
            lease.grant(0, &Grant { boot: 4, ..grant(0, &first) }).is_empty(),
            "it is another life's"
        );
        assert!(
            lease.grant(0, &Grant { update: None, ..grant(0, &first) }).is_empty(),
            "the table is missing"
        );
        assert!(lease.linked(0, 3).len() == 1, "it asks for the table");
        assert_eq!((lease.table().epoch, lease.fence().until_ms()), (0, 0));
    }
}
