//! A node's part: what [`Lease`] says is done, with the server's workers and store.

use super::disk::DataDir;
use super::network::{Event, Network};
use super::wire::{Answer, Request};
use crate::cluster::{
    Epoch, Fence, Grant, Identity, Lease, Local, NodeAction, NodeId, Order, SlotSet, View, now_ms,
    slot_of,
};
use crate::config::Id;
use crate::server::Server;
use crate::store::{Store, Sweep};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// How long slots that are to be given up are served on, at most, while links of coordinators still go by an older table.
pub const LINKS_MS: u64 = 300;
/// ... but not until the lease is nearer its end than this.
const LINKS_BEFORE_END_MS: u64 = 50;
/// How long a node that is to end waits at most for its slots to be given to others.
pub const LEAVE_MS: u64 = 15_000;

/// ... and how long if it has no lease.
const LEAVE_UNLEASED_MS: u64 = 2000;

/// What is to be done, one after another.
enum Step {
    /// Wait until all links go by this table, or for the time.
    Links(Epoch, u64),
    /// Have all workers go by this.
    Publish(Arc<Fence>),
    /// Say that this table is gone by, when these slots are empty.
    Settle(Epoch, Vec<Range<u16>>),
}

/// The membership of a node.
pub(super) struct Driver {
    network: Network,
    lease: Lease,
    server: Arc<Server>,
    local: Arc<Local>,
    orders: Receiver<Order>,
    store: Arc<Store>,
    data: Option<DataDir>,
    /// Whose lease the node had last.
    authority: Option<NodeId>,
    steps: VecDeque<Step>,
    /// The fence that is published, and the one that will be last.
    published: Arc<Fence>,
    last: Arc<Fence>,
    /// Slots of which the store may have keys, though the node lost them.
    dirty: SlotSet,
    sweep: Option<JoinHandle<SlotSet>>,
    /// When the node ends, whether or not its slots are given to others by then.
    leave_by_ms: Option<u64>,
}

impl Driver {
    /// None for a server that is no node.
    pub(super) fn new(
        network: Network,
        identity: Identity,
        server: Arc<Server>,
        local: Arc<Local>,
        orders: Receiver<Order>,
        data: Option<DataDir>,
    ) -> Option<Self> {
        let (store, published) = (server.store.clone()?, local.fences.as_ref()?.current());
        let lease = Lease::new(identity, capacity(server.config.number(Id::Maxmemory)), now_ms());
        Some(Driver {
            network,
            lease,
            server,
            local,
            orders,
            store,
            data,
            authority: None,
            steps: VecDeque::new(),
            last: published.clone(),
            published,
            dirty: SlotSet::default(),
            sweep: None,
            leave_by_ms: None,
        })
    }

    /// Runs until the server stops.
    pub(super) async fn run(mut self) {
        let (server, local) = (self.server.clone(), self.local.clone());
        while !server.is_stopping() {
            self.advance();
            self.tell();
            let (now, links) = (now_ms(), self.waits_for_links());
            let next = links.map_or(u64::MAX, |(_, deadline)| deadline);
            let next = next.min(self.lease.next_ms()).min(self.leave_by_ms.unwrap_or(u64::MAX));
            tokio::select! {
                event = self.network.next() => self.take(event),
                Some(order) = self.orders.recv() => self.obey(order),
                () = sleep(Duration::from_millis(next.saturating_sub(now))) => {
                    let actions = self.lease.tick(now_ms());
                    self.act(actions);
                }
                () = local.all_links_at(links.map_or(0, |(epoch, _)| epoch)), if links.is_some() => {
                    self.steps.pop_front();
                }
                swept = ended(&mut self.sweep), if self.sweep.is_some() => self.swept(swept),
                () = server.stopped() => {}
            }
        }
    }

    fn take(&mut self, event: Event) {
        let now = now_ms();
        let actions = match event {
            Event::Asked(_, request, channel) => {
                let actions = match request {
                    Request::News(epoch) => self.lease.news(now, epoch),
                    Request::Leave => self.leave(),
                    Request::Heartbeat(_) | Request::Rival(..) => Vec::new(),
                };
                self.network.answer(channel, Answer::Noted);
                actions
            }
            Event::Answered(id, Answer::Grant(grant, _)) => self.granted(now, id, &grant),
            Event::Coordinator(id) => {
                tracing::info!(coordinator = %id, "found a coordinator");
                if let Some(data) = &self.data {
                    data.note_coordinators(&self.network.coordinator_addresses());
                }
                self.lease.news(now, 0)
            }
            Event::Closed(_) | Event::Answered(..) | Event::Rival(_) => Vec::new(),
        };
        self.act(actions);
    }

    /// While one authority's lease holds, another's word counts for nothing: two that do not know of each other must not
    /// both be believed.
    fn granted(&mut self, now: u64, from: NodeId, grant: &Grant) -> Vec<NodeAction> {
        let is_other = self.authority.is_some_and(|authority| authority != from);
        if is_other && self.lease.fence().holds(now) {
            tracing::warn!(coordinator = %from, "it grants leases, but another one does already: not believed");
            return Vec::new();
        }
        self.authority = Some(from);
        self.lease.grant(now, grant)
    }

    fn obey(&mut self, order: Order) {
        let now = now_ms();
        let actions = match order {
            Order::Linked(epoch) => self.lease.linked(now, epoch),
            Order::Leave(id) if id == self.local.id => self.leave(),
            Order::Leave(_) => Vec::new(),
        };
        self.act(actions);
    }

    /// Begins to go. Where nobody can take the slots over there is nothing to wait for.
    fn leave(&mut self) -> Vec<NodeAction> {
        let now = now_ms();
        let table = self.lease.table();
        let is_last = table.members.len() == 1 && table.number(self.local.id).is_some();
        if is_last || self.network.coordinators().is_empty() {
            self.server.stop();
            return Vec::new();
        }
        if self.leave_by_ms.is_none() {
            tracing::info!("leaving the cluster: its slots go to other nodes first");
            self.leave_by_ms = Some(now + LEAVE_MS);
        }
        self.lease.leave(now)
    }

    fn act(&mut self, actions: Vec<NodeAction>) {
        for action in actions {
            match action {
                NodeAction::Send(heartbeat) => {
                    self.network.ask_coordinators(&Request::Heartbeat(heartbeat));
                }
                NodeAction::Publish(fence) => {
                    if self.last.has_more_than(&fence) {
                        // The fence in force is prolonged no more: what it lets through must not end with it.
                        let end = self.last.until_ms().saturating_sub(LINKS_BEFORE_END_MS);
                        let deadline = (now_ms() + LINKS_MS).min(end);
                        self.steps.push_back(Step::Links(fence.epoch(), deadline));
                    }
                    self.last = fence.clone();
                    self.steps.push_back(Step::Publish(fence));
                }
                NodeAction::Settle(epoch, runs) => self.steps.push_back(Step::Settle(epoch, runs)),
                NodeAction::Left => {
                    tracing::info!("the cluster has taken over all slots");
                    self.server.stop();
                }
            }
        }
    }

    fn waits_for_links(&self) -> Option<(Epoch, u64)> {
        match self.steps.front() {
            Some(&Step::Links(epoch, deadline)) => Some((epoch, deadline)),
            _ => None,
        }
    }

    /// Does the steps that nothing is to be waited for.
    fn advance(&mut self) {
        let now = now_ms();
        if self.leave_by_ms.is_some_and(|end| now >= end) {
            tracing::warn!(
                "leaving though the cluster has not taken over all slots: their keys are lost"
            );
            self.server.stop();
        }
        if let Some(end) = &mut self.leave_by_ms
            && !self.lease.fence().holds(now)
        {
            // It serves nothing, and may be about to get slots, or the authority may be away.
            *end = (*end).min(now + LEAVE_UNLEASED_MS);
        }
        while let Some(step) = self.steps.front() {
            match step {
                Step::Links(epoch, deadline) if now < *deadline => {
                    return tracing::trace!(epoch, "waiting for the links of coordinators");
                }
                Step::Links(epoch, _) => {
                    tracing::warn!(
                        epoch,
                        "a coordinator's link goes by an old table still: going on"
                    );
                }
                Step::Publish(fence) => {
                    self.dirty.add(&self.published.slots().without(fence.slots()));
                    if let Some(fences) = &self.local.fences {
                        fences.publish(fence);
                    }
                    self.published = fence.clone();
                }
                Step::Settle(epoch, runs) => {
                    if runs.iter().cloned().flatten().any(|slot| self.dirty.has(slot)) {
                        break;
                    }
                    let actions = self.lease.settled(now, *epoch);
                    self.steps.pop_front();
                    self.act(actions);
                    continue;
                }
            }
            self.steps.pop_front();
        }
        // CONFIG SET may have changed it.
        let offered = capacity(self.server.config.number(Id::Maxmemory));
        let actions = self.lease.resize(now, offered);
        self.act(actions);
        let actions = self.lease.set_sweeping(now, !self.dirty.is_empty());
        self.act(actions);
        if self.sweep.is_none() && !self.dirty.is_empty() {
            let (slots, store) = (self.dirty.clone(), self.store.clone());
            self.sweep = Some(spawn_blocking(move || {
                let mut sweep = Sweep::new(|key| slots.has(slot_of(key)));
                while sweep.step(&store) {
                    std::thread::yield_now();
                }
                slots
            }));
        }
    }

    fn swept(&mut self, slots: Option<SlotSet>) {
        self.sweep = None;
        if let Some(slots) = slots {
            self.dirty = self.dirty.without(&slots);
        }
    }

    /// Shows the newest table to people and clients.
    fn tell(&mut self) {
        if let Some(contacts) = self.network.contacts() {
            self.local.contacts.send_replace(contacts);
        }
        let table = self.lease.table();
        let before = self.local.view();
        if table.epoch == before.table.epoch {
            return;
        }
        let share = |table: &crate::cluster::Table| {
            let number = table.number(self.local.id);
            number.and_then(|number| table.shares().get(&number).copied()).unwrap_or(0)
        };
        let (was, is) = (share(&before.table), share(table));
        if was != is {
            tracing::info!(slots = is, before = was, epoch = table.epoch, "slots of this node");
        }
        let view = View { table: table.clone(), ..View::default() };
        self.local.view.send_replace(Arc::new(view));
    }
}

/// What a node without a limit offers is as much as one with 1 GB.
fn capacity(maxmemory: u64) -> u64 {
    if maxmemory == 0 { 1 << 30 } else { maxmemory }
}

/// The slots of a sweep that has ended; none if it panicked.
async fn ended(sweep: &mut Option<JoinHandle<SlotSet>>) -> Option<SlotSet> {
    match sweep {
        Some(sweep) => sweep.await.ok(),
        None => std::future::pending().await,
    }
}
