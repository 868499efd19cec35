//! The one that decides: hears everybody's heartbeats, answers with leases, and has the table changed.
//!
//! What it may do rests on one number for each node, [`Peer::lease_end_ms`]: before that, the node may be serving
//! whatever any table up to now gave it, unless it said that it gave it up.

mod file;
mod plan;
mod status;
#[cfg(test)]
mod tests;

pub use file::{Conflict, Decision, FileAuthority, TableAuthority};

use super::NODES_MAX;
use super::message::{Grant, Heartbeat, Role};
use super::rules::{
    DEBOUNCE_FIRST_MS, DEBOUNCE_MAX_MS, DEBOUNCE_MS, FORGET_MS, LEASE_MS, MARGIN_MS, PEERS_MAX,
    Rules, SILENT_MS, STALL_MS, STEP_MS, TICK_MS,
};
use super::table::{Epoch, Member, NodeId};
use plan::{Plan, Release, Situation, plan};
use std::collections::BTreeMap;

/// What the authority is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Answer somebody's heartbeat.
    Grant(NodeId, Grant),
    /// Tell somebody that there is something new.
    News(NodeId, Epoch),
    /// Nothing more: the tables on file are older than what this process knows of. Says so to people.
    Refuse(NodeId, Epoch),
}

/// A process that sends heartbeats.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its last heartbeat.
    pub heartbeat: Heartbeat,
    /// When that came.
    pub heard_ms: u64,
    /// Whether its connection is open, as far as is known.
    pub is_connected: bool,
    /// When its last lease, of whichever life, has surely ended.
    pub lease_end_ms: u64,
    /// It gets no lease before.
    grant_from_ms: u64,
    /// When what the table should say of it last changed.
    changed_ms: u64,
}

impl Peer {
    fn new(heartbeat: Heartbeat, heard_ms: u64, lease_end_ms: u64) -> Self {
        let (grant_from_ms, changed_ms) = (lease_end_ms, heard_ms);
        Peer { heartbeat, heard_ms, is_connected: true, lease_end_ms, grant_from_ms, changed_ms }
    }

    fn is_silent(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.heard_ms) >= SILENT_MS
    }

    /// Whether it cannot be relied on just now.
    fn is_down(&self, now_ms: u64) -> bool {
        !self.is_connected || self.is_silent(now_ms)
    }

    fn member(&self) -> Member {
        let Heartbeat { id, ref address, capacity, .. } = self.heartbeat;
        Member { id, address: address.clone(), capacity }
    }
}

/// Who sent a heartbeat that is to be answered, and which: its life and its number.
type Waiting = BTreeMap<NodeId, (u64, u64)>;

/// The state of the authority. All times are its own clock's.
pub struct Authority<T> {
    decider: T,
    rules: Rules,
    step_slots: u16,
    peers: BTreeMap<NodeId, Peer>,
    /// What is being decided: slots that are given up then, and members that lose theirs unasked.
    proposal: Option<(Vec<Release>, Vec<NodeId>)>,
    releases: Vec<Release>,
    /// Heartbeats to be answered once leadership is confirmed again, and those for which that was begun.
    waiting: Waiting,
    confirming: Option<(u64, Waiting)>,
    /// The table that it began with: who has an older one gets all of the table, not what changed, as it may be from
    /// before the file was put back.
    first: Epoch,
    /// No grant and no change of the table before.
    begin_ms: u64,
    has_begun: bool,
    last_ms: u64,
    step_ms: u64,
    down: Vec<NodeId>,
    refused: Option<(NodeId, Epoch)>,
    actions: Vec<Action>,
}

impl<T: TableAuthority> Authority<T> {
    /// An authority that just started, or came to lead. `step_slots` slots of members that live move each [`STEP_MS`].
    pub fn new(decider: T, step_slots: u16, now_ms: u64) -> Self {
        Self::with_rules(decider, step_slots, now_ms, Rules::ALL)
    }

    /// The authority of a cluster that nobody can ever have been in, as its key was made just now: it need not wait for
    /// leases to end.
    pub fn of_new_cluster(decider: T, step_slots: u16, now_ms: u64) -> Self {
        let mut authority = Self::new(decider, step_slots, now_ms);
        authority.begin_ms = 0;
        authority
    }

    pub(super) fn with_rules(decider: T, step_slots: u16, now_ms: u64, rules: Rules) -> Self {
        let begin_ms = if rules.restart { now_ms + LEASE_MS + MARGIN_MS } else { 0 };
        // Members have from then on the usual time to be heard. Without the rule, a few moments from now.
        let heard_ms =
            if rules.restart { begin_ms } else { now_ms.saturating_sub(SILENT_MS - 4 * TICK_MS) };
        let peer = |member: &Member| {
            let heartbeat = Heartbeat {
                id: member.id,
                boot: 0,
                beat: 0,
                role: Role::Node,
                address: member.address.clone(),
                capacity: member.capacity,
                sent_ms: 0,
                epoch: 0,
                seen: 0,
                sweeping: false,
                leaving: false,
            };
            (member.id, Peer::new(heartbeat, heard_ms, begin_ms))
        };
        let peers = decider.table().members.values().map(peer).collect();
        Authority {
            first: decider.table().epoch,
            decider,
            rules,
            step_slots,
            peers,
            proposal: None,
            releases: Vec::new(),
            waiting: Waiting::new(),
            confirming: None,
            begin_ms,
            has_begun: false,
            last_ms: now_ms,
            step_ms: 0,
            down: Vec::new(),
            refused: None,
            actions: Vec::new(),
        }
    }

    /// Whom it goes by. After a change there, [`Authority::tick`] is to be called.
    pub fn decider(&mut self) -> &mut T {
        &mut self.decider
    }

    /// All that are heard.
    pub fn peers(&self) -> &BTreeMap<NodeId, Peer> {
        &self.peers
    }

    /// How many slots are between two owners, and not given up yet.
    pub fn releasing(&self) -> usize {
        self.releases.iter().map(|release| release.slots.len()).sum()
    }

    /// Who knows a table that this authority does not. It grants and decides nothing any more: its file is not the
    /// cluster's. People have to bring the file back, or to restart all nodes, empty, before the authority.
    pub fn refused(&self) -> Option<(NodeId, Epoch)> {
        self.refused
    }

    /// Somebody else decides on tables, too, and has done so for longer: nothing more is granted or decided here.
    pub fn stand_down(&mut self, other: NodeId) {
        self.refused.get_or_insert((other, self.decider.table().epoch));
    }

    /// To be called each [`TICK_MS`].
    pub fn tick(&mut self, now_ms: u64) -> Vec<Action> {
        self.catch_up(now_ms);
        if !self.has_begun && now_ms >= self.begin_ms && self.refused.is_none() {
            self.has_begun = true;
            self.news_to(|_| true);
        }
        let table = self.decider.table();
        let is_old = |peer: &Peer| now_ms.saturating_sub(peer.heard_ms) >= FORGET_MS;
        self.peers.retain(|&id, peer| !is_old(peer) || table.number(id).is_some());
        self.run(now_ms, true)
    }

    /// Somebody's connection was closed: it is down, but what it serves it may serve on until its lease ends.
    pub fn closed(&mut self, now_ms: u64, id: NodeId) -> Vec<Action> {
        self.catch_up(now_ms);
        let has_left = self.has_left(id, now_ms);
        if has_left && self.releases.iter().all(|release| release.from != id) {
            // It gave everything up, and went.
            self.peers.remove(&id);
        } else if let Some(peer) = self.peers.get_mut(&id) {
            peer.is_connected = false;
        }
        self.run(now_ms, true)
    }

    /// A heartbeat came.
    pub fn heartbeat(&mut self, now_ms: u64, heartbeat: Heartbeat) -> Vec<Action> {
        self.catch_up(now_ms);
        let newest = heartbeat.epoch.max(heartbeat.seen);
        let known = [heartbeat.epoch, heartbeat.seen].map(|epoch| self.decider.knows(epoch));
        if self.rules.refuse && known.contains(&false) && self.refused.is_none() {
            self.refused = Some((heartbeat.id, newest));
            self.actions.push(Action::Refuse(heartbeat.id, newest));
        }
        let (id, number) = (heartbeat.id, (heartbeat.boot, heartbeat.beat));
        // Most heartbeats say nothing new.
        let was_down = self.peers.get(&id).is_none_or(|peer| peer.is_down(now_ms));
        let look = was_down || heartbeat.leaving || !self.releases.is_empty();
        if self.refused.is_none() && self.hear(now_ms, heartbeat) {
            self.waiting.insert(id, number);
        }
        self.run(now_ms, look)
    }

    /// Takes in what a heartbeat says. False: it is not to be answered.
    fn hear(&mut self, now_ms: u64, heartbeat: Heartbeat) -> bool {
        let count = self.peers.len();
        let Some(peer) = self.peers.get_mut(&heartbeat.id) else {
            if count < PEERS_MAX {
                self.peers.insert(heartbeat.id, Peer::new(heartbeat, now_ms, 0));
            }
            return count < PEERS_MAX;
        };
        let last = &peer.heartbeat;
        let is_ended = now_ms >= peer.lease_end_ms;
        if heartbeat.boot != last.boot {
            // A life before the one we know of is over, or is a clock's mistake that must not shut a node out for good.
            if heartbeat.boot < last.boot && !(is_ended && peer.is_down(now_ms)) {
                return false;
            }
            if self.rules.boot {
                peer.grant_from_ms = peer.lease_end_ms;
            }
        } else if heartbeat.beat <= last.beat {
            return false;
        }
        let is_changed = (&heartbeat.address, heartbeat.capacity) != (&last.address, last.capacity);
        if is_changed || peer.is_down(now_ms) {
            peer.changed_ms = now_ms;
        }
        peer.heartbeat = heartbeat;
        peer.heard_ms = now_ms;
        peer.is_connected = true;
        true
    }

    /// The time in which this process did not run counts for nobody's silence.
    fn catch_up(&mut self, now_ms: u64) {
        let stall_ms = now_ms.saturating_sub(self.last_ms);
        if stall_ms >= STALL_MS {
            self.peers.values_mut().for_each(|peer| peer.heard_ms += stall_ms);
        }
        self.last_ms = self.last_ms.max(now_ms);
    }

    /// Does what there is to do; `look` for whether the table should change, too.
    fn run(&mut self, now_ms: u64, mut look: bool) -> Vec<Action> {
        if self.refused.is_some() {
            self.waiting.clear();
            return std::mem::take(&mut self.actions);
        }
        loop {
            if std::mem::take(&mut look) {
                self.mark_down(now_ms);
                self.propose(now_ms);
            }
            if self.confirming.is_none() && !self.waiting.is_empty() {
                // Begun after the heartbeats came: nobody else can have taken over before they were sent.
                let number = self.decider.confirm_leadership();
                self.confirming = Some((number, std::mem::take(&mut self.waiting)));
            }
            match self.decider.watch() {
                Some(Decision::Decided) => {
                    self.decided();
                    look = true;
                }
                Some(Decision::Dropped) => self.proposal = None,
                Some(Decision::Confirmed(number)) => self.confirmed(now_ms, number),
                None => return std::mem::take(&mut self.actions),
            }
        }
    }

    /// Whether a node surely serves nothing.
    fn is_ended(&self, id: NodeId, now_ms: u64) -> bool {
        !self.rules.wait || self.peers.get(&id).is_none_or(|peer| now_ms >= peer.lease_end_ms)
    }

    fn is_lost(&self, id: NodeId, now_ms: u64) -> bool {
        self.is_ended(id, now_ms) && self.peers.get(&id).is_none_or(|peer| peer.is_down(now_ms))
    }

    /// Has the next table decided on, if there should be one.
    fn propose(&mut self, now_ms: u64) {
        if self.proposal.is_some() || now_ms < self.begin_ms {
            return;
        }
        let given_up = |release: &Release| {
            let peer = self.peers.get(&release.from);
            peer.is_some_and(|peer| peer.heartbeat.epoch >= release.epoch)
                || self.is_ended(release.from, now_ms)
        };
        let mut releases = self.releases.clone();
        releases.retain(|release| !given_up(release));
        self.releases = releases;
        let table = self.decider.table();
        let members = table.members.values().map(|member| member.id);
        let lost: Vec<NodeId> = members.filter(|&id| self.is_lost(id, now_ms)).collect();
        let leaving = |peer: &&Peer| peer.heartbeat.leaving && peer.heartbeat.role == Role::Node;
        let leaving: Vec<NodeId> =
            self.peers.values().filter(leaving).map(|peer| peer.heartbeat.id).collect();
        let may_step = now_ms >= self.step_ms && self.releases.is_empty();
        let situation = Situation {
            table,
            epoch: self.decider.next_epoch(),
            lost: &lost,
            leaving: &leaving,
            joining: self.joining(now_ms),
            releases: &self.releases,
            step: if may_step { self.step_slots } else { 0 },
        };
        let (expected, Some(Plan { table, releases })) = (table.epoch, plan(situation)) else {
            return;
        };
        if !releases.is_empty() {
            self.step_ms = now_ms + STEP_MS;
        }
        if self.decider.propose(expected, table).is_ok() {
            self.proposal = Some((releases, lost));
        }
    }

    /// Whom the table should have or does not say the truth of, when they have been quiet for a while.
    fn joining(&self, now_ms: u64) -> Vec<Member> {
        let table = self.decider.table();
        let differs = |peer: &&Peer| {
            let Heartbeat { id, role, leaving, sweeping, boot, .. } = peer.heartbeat;
            let known = table.number(id).and_then(|number| table.members.get(&number));
            let is_node = role == Role::Node && boot > 0 && !peer.is_down(now_ms);
            let is_able = !leaving && (known.is_some() || !sweeping);
            is_node && is_able && known != Some(&peer.member())
        };
        let joining: Vec<&Peer> = self.peers.values().filter(differs).collect();
        let first = joining.iter().map(|peer| peer.changed_ms).min().unwrap_or(0);
        let last = joining.iter().map(|peer| peer.changed_ms).max().unwrap_or(0);
        // The first nodes of a cluster have nothing to lose by a step too many.
        let quiet_ms = if table.members.is_empty() { DEBOUNCE_FIRST_MS } else { DEBOUNCE_MS };
        // A table has no more of them.
        let room = NODES_MAX.saturating_sub(table.members.len());
        let is_time = now_ms >= (last + quiet_ms).min(first + DEBOUNCE_MAX_MS);
        if is_time {
            joining.into_iter().take(room).map(Peer::member).collect()
        } else {
            Vec::new()
        }
    }

    /// A table is in force: tells whom it gives or takes slots, and all coordinators.
    fn decided(&mut self) {
        let Some((releases, _)) = self.proposal.take() else { return };
        let table = self.decider.table();
        let changed = table.slots.iter().filter(|(_, slot)| slot.since == table.epoch);
        let owners = changed.filter_map(|(_, slot)| Some(table.members.get(&slot.owner?)?.id));
        let concerned: Vec<NodeId> =
            owners.chain(releases.iter().map(|release| release.from)).collect();
        self.releases.extend(releases);
        self.news_to(|peer| {
            let Heartbeat { id, role, leaving, .. } = peer.heartbeat;
            role == Role::Coordinator || leaving || concerned.contains(&id)
        });
    }

    fn news_to(&mut self, is_concerned: impl Fn(&Peer) -> bool) {
        let epoch = self.decider.table().epoch;
        let concerned = self.peers.values().filter(|peer| peer.is_connected && is_concerned(peer));
        self.actions.extend(concerned.map(|peer| Action::News(peer.heartbeat.id, epoch)));
    }

    /// Tells coordinators which members cannot serve, when that changes.
    fn mark_down(&mut self, now_ms: u64) {
        let members = self.decider.table().members.values().map(|member| member.id);
        let is_down = |id: &NodeId| self.peers.get(id).is_none_or(|peer| peer.is_down(now_ms));
        let down: Vec<NodeId> = members.filter(is_down).collect();
        if down != self.down {
            self.down = down;
            self.news_to(|peer| peer.heartbeat.role == Role::Coordinator);
        }
    }

    /// Answers the heartbeats that came before leadership was confirmed.
    fn confirmed(&mut self, now_ms: u64, number: u64) {
        let Some((_, waiting)) = self.confirming.take_if(|(wanted, _)| *wanted <= number) else {
            return;
        };
        for (id, number) in waiting {
            self.grant(now_ms, id, number);
        }
    }

    /// Answers a heartbeat, if it is still the last one.
    fn grant(&mut self, now_ms: u64, id: NodeId, number: (u64, u64)) {
        let has_left = self.has_left(id, now_ms);
        let table = self.decider.table();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let heartbeat = &peer.heartbeat;
        if number != (heartbeat.boot, heartbeat.beat) {
            return;
        }
        let is_node = heartbeat.role == Role::Node;
        let is_losing = |(_, losing): &(Vec<Release>, Vec<NodeId>)| losing.contains(&id);
        let is_withheld = self.rules.withhold && self.proposal.as_ref().is_some_and(is_losing);
        if is_node && (is_withheld || now_ms < peer.grant_from_ms.max(self.begin_ms)) {
            return;
        }
        let is_ours = self.rules.floor && heartbeat.epoch >= self.first;
        let base = if is_ours { heartbeat.epoch } else { 0 };
        let grant = Grant {
            boot: heartbeat.boot,
            sent_ms: heartbeat.sent_ms,
            lease_ms: if is_node { LEASE_MS } else { 0 },
            epoch: table.epoch,
            update: (base != table.epoch || !self.rules.floor).then(|| table.update_since(base)),
            down: if is_node { Vec::new() } else { self.down.clone() },
            left: has_left,
        };
        if is_node {
            peer.lease_end_ms = now_ms + LEASE_MS + MARGIN_MS;
        }
        self.actions.push(Action::Grant(id, grant));
    }

    /// Whether a node that wants to go may: it is no member any more, and every coordinator that lives knows.
    fn has_left(&self, id: NodeId, now_ms: u64) -> bool {
        let table = self.decider.table();
        let wants_to = self.peers.get(&id).is_some_and(|peer| peer.heartbeat.leaving);
        let knows =
            |peer: &Peer| peer.heartbeat.role == Role::Node || peer.heartbeat.epoch >= table.epoch;
        wants_to
            && table.number(id).is_none()
            && self.proposal.is_none()
            && self.peers.values().all(|peer| peer.is_down(now_ms) || knows(peer))
    }
}
