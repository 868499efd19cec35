//! A coordinator's part: what [`Follower`] knows is published to the workers; and, of the authority, what
//! [`Authority`] decides is written down and told.

use super::network::{Event, Network};
use super::wire::{Answer, Request};
use super::{DataDir, Kind, Settings};
use crate::cluster::{
    Authority, AuthorityAction, Epoch, FileAuthority, Follower, Grant, Heartbeat, Identity, Local,
    NodeId, Order, STEP_SLOTS, SlotTable, Status, TICK_MS, Table, TableAuthority, View, now_ms,
};
use crate::server::Server;
use libp2p::request_response::ResponseChannel;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// The membership of a coordinator.
pub(super) struct Driver {
    network: Network,
    follower: Follower,
    decides: Option<Decides>,
    server: Arc<Server>,
    local: Arc<Local>,
    orders: Receiver<Order>,
    data: Option<Arc<DataDir>>,
    status: Option<Status>,
}

/// What the authority has besides.
struct Decides {
    authority: Authority<FileAuthority>,
    since: u64,
    /// Where the answers to heartbeats go that are to be answered yet.
    channels: BTreeMap<NodeId, ResponseChannel<Answer>>,
    writing: Option<JoinHandle<bool>>,
    next_ms: u64,
}

impl Driver {
    pub(super) fn new(
        network: Network,
        identity: Identity,
        server: Arc<Server>,
        local: Arc<Local>,
        orders: Receiver<Order>,
        settings: Settings,
        table: Table,
    ) -> Self {
        let now = now_ms();
        let decides = match settings.kind {
            Kind::Authority => {
                let since = crate::server::now_us() / 1000;
                let file = FileAuthority::new(table, fastrand::u64(..));
                let new = if settings.is_new_cluster {
                    Authority::of_new_cluster
                } else {
                    Authority::new
                };
                let (channels, writing) = (BTreeMap::new(), None);
                Some(Decides {
                    authority: new(file, STEP_SLOTS, now),
                    since,
                    channels,
                    writing,
                    next_ms: now,
                })
            }
            _ => None,
        };
        Driver {
            network,
            follower: Follower::new(identity, now),
            decides,
            server,
            local,
            orders,
            data: settings.data.map(Arc::new),
            status: None,
        }
    }

    /// Runs until the server stops.
    pub(super) async fn run(mut self) {
        let server = self.server.clone();
        while !server.is_stopping() {
            let decides = self.decides.as_ref().map_or(u64::MAX, |decides| decides.next_ms);
            let pause = self.follower.next_ms().min(decides).saturating_sub(now_ms());
            tokio::select! {
                event = self.network.next() => self.take(event),
                Some(order) = self.orders.recv() => self.obey(order),
                () = sleep(Duration::from_millis(pause)) => self.tick(),
                is_durable = written(&mut self.decides), if self.is_writing() => {
                    if let Some(decides) = &mut self.decides {
                        decides.writing = None;
                        decides.authority.decider().written(is_durable);
                        decides.next_ms = 0;
                    }
                    self.tick();
                }
                () = server.stopped() => {}
            }
        }
        // What is being written is to be whole.
        if let Some(writing) = self.decides.and_then(|decides| decides.writing) {
            drop(writing.await);
        }
    }

    fn is_writing(&self) -> bool {
        self.decides.as_ref().is_some_and(|decides| decides.writing.is_some())
    }

    fn tick(&mut self) {
        let now = now_ms();
        if let Some(decides) = self.decides.as_mut().filter(|decides| now >= decides.next_ms) {
            decides.next_ms = now + TICK_MS;
            let actions = decides.authority.tick(now);
            self.act(actions);
        }
        if let Some(heartbeat) = self.follower.tick(now_ms()) {
            self.send(heartbeat);
            // What the authority said long ago may count no more.
            self.publish();
        }
    }

    /// A heartbeat of this coordinator: to the authority, wherever that is.
    fn send(&mut self, heartbeat: Heartbeat) {
        match &mut self.decides {
            Some(decides) => {
                let actions = decides.authority.heartbeat(now_ms(), heartbeat);
                self.act(actions);
            }
            None => self.network.ask_coordinators(&Request::Heartbeat(heartbeat)),
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Asked(id, Request::Heartbeat(heartbeat), channel) => {
                self.heartbeat(id, heartbeat, channel);
            }
            Event::Asked(id, request, channel) => {
                self.network.answer(channel, Answer::Noted);
                match request {
                    Request::News(epoch) => self.news(epoch),
                    Request::Rival(has_table, since) => self.rival(id, has_table, since),
                    Request::Heartbeat(_) | Request::Leave => {}
                }
            }
            Event::Answered(_, Answer::Grant(grant, status)) => {
                self.status = status.map(|status| *status).or(self.status.take());
                self.granted(&grant);
            }
            Event::Answered(_, Answer::Noted) => {}
            Event::Coordinator(_) => {
                if let Some(data) = &self.data {
                    data.note_coordinators(&self.network.coordinator_addresses());
                }
                self.news(0);
            }
            Event::Rival(id) => {
                if let Some((has_table, since)) = self.rank() {
                    self.network.ask(id, Request::Rival(has_table, since));
                }
            }
            Event::Closed(id) => {
                if self.follower.closed(id) {
                    tracing::warn!(node = %id, "the connection of a node is closed: its keys answer errors");
                    self.publish();
                }
                if let Some(decides) = &mut self.decides {
                    decides.channels.remove(&id);
                    let actions = decides.authority.closed(now_ms(), id);
                    self.act(actions);
                }
            }
        }
    }

    fn heartbeat(&mut self, id: NodeId, heartbeat: Heartbeat, channel: ResponseChannel<Answer>) {
        let is_news = self.follower.heard(&heartbeat);
        let Some(decides) = &mut self.decides else {
            self.network.answer(channel, Answer::Noted);
            if is_news {
                self.publish();
            }
            return;
        };
        if let Some(unanswered) = decides.channels.insert(id, channel) {
            // No lease yet; but who hears nothing at all takes the connection for dead.
            self.network.answer(unanswered, Answer::Noted);
        }
        let actions = decides.authority.heartbeat(now_ms(), heartbeat);
        self.act(actions);
        if is_news {
            self.publish();
        }
    }

    fn news(&mut self, epoch: Epoch) {
        if let Some(heartbeat) = self.follower.news(now_ms(), epoch) {
            self.send(heartbeat);
        }
    }

    fn granted(&mut self, grant: &Grant) {
        let before = self.follower.table().epoch;
        if self.follower.grant(now_ms(), grant) {
            self.publish();
        }
        let epoch = self.follower.table().epoch;
        if before != epoch {
            // The links of nodes ask for it; so may others.
            tracing::debug!(epoch, before, "another slot table");
        }
    }

    /// Does what the authority wants done.
    fn act(&mut self, actions: Vec<AuthorityAction>) {
        let own = self.local.id;
        for action in actions {
            match action {
                AuthorityAction::Grant(id, grant) if id == own => self.granted(&grant),
                AuthorityAction::Grant(id, grant) => self.answer(id, grant),
                AuthorityAction::News(id, epoch) if id == own => self.news(epoch),
                AuthorityAction::News(id, epoch) => self.network.ask(id, Request::News(epoch)),
                AuthorityAction::Refuse(id, epoch) => tracing::error!(
                    member = %id,
                    epoch,
                    "{}",
                    refusal(epoch)
                ),
            }
        }
        self.write();
    }

    fn answer(&mut self, id: NodeId, grant: Grant) {
        let Some(decides) = &mut self.decides else { return };
        let Some(channel) = decides.channels.remove(&id) else { return };
        // Coordinators show it to people; only they get grants without a lease.
        let status = (grant.lease_ms == 0).then(|| Box::new(self.full_status()).clone());
        self.network.answer(channel, Answer::Grant(Box::new(grant), status));
    }

    /// What the authority sees now.
    fn full_status(&self) -> Status {
        let Some(decides) = &self.decides else { return self.status.clone().unwrap_or_default() };
        let refused = decides
            .authority
            .refused()
            .map(|(id, epoch)| format!("{} (member {id})", refusal(epoch)));
        Status { refused, ..decides.authority.status(now_ms(), self.local.id) }
    }

    /// Begins to write the next table, if there is one.
    fn write(&mut self) {
        let Some(decides) = self.decides.as_mut().filter(|decides| decides.writing.is_none())
        else {
            return;
        };
        let Some(table) = decides.authority.decider().take_unwritten() else { return };
        let (table, data) = (table.clone(), self.data.clone());
        decides.writing =
            Some(spawn_blocking(move || match data.map(|data| data.write_table(&table)) {
                // A cluster that ends with this process needs no file.
                None | Some(Ok(())) => true,
                Some(Err(error)) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "the slot table cannot be changed"
                    );
                    false
                }
            }));
    }

    /// Whether it has decided on a table that holds, and since when it decides, if it does.
    fn rank(&mut self) -> Option<(bool, u64)> {
        let decides = self.decides.as_mut()?;
        let holds = decides.authority.refused().is_none();
        let has_table = decides.authority.decider().table().epoch > 0;
        Some((holds && has_table, decides.since))
    }

    /// Two that decide would give the same slot to two nodes: one that has no table yet, or else the younger one, ends.
    fn rival(&mut self, id: NodeId, has_table: bool, since: u64) {
        let own = self.local.id;
        let Some((have, mine)) = self.rank() else { return };
        if (!have, mine, own) < (!has_table, since, id) {
            return self.network.ask(id, Request::Rival(have, mine));
        }
        if let Some(decides) = &mut self.decides {
            decides.authority.stand_down(id);
        }
        tracing::error!(
            member = %id,
            "another coordinator decides on the slot table already, so this one ends: start it with --join and without \
             --authority, and with another --data-dir"
        );
        self.server.fail();
    }

    /// Gives the workers the routes, and people the view, if they changed.
    fn publish(&mut self) {
        let follower = &self.follower;
        let table =
            SlotTable::of(follower.table(), |id| follower.is_down(id), |slot| follower.route(slot));
        self.local.routes.send_if_modified(|routes| {
            let is_new = **routes != table;
            if is_new {
                *routes = Arc::new(table);
            }
            is_new
        });
        let members = follower.table().members.values();
        let view = View {
            table: follower.table().clone(),
            down: members.map(|member| member.id).filter(|&id| follower.is_down(id)).collect(),
            status: if self.decides.is_some() {
                Some(self.full_status())
            } else {
                self.status.clone()
            },
        };
        self.local.view.send_replace(Arc::new(view));
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Leave(id) => self.network.ask(id, Request::Leave),
            Order::Linked(_) => {}
        }
    }
}

/// Why the authority decides nothing any more.
fn refusal(epoch: Epoch) -> String {
    format!(
        "members know a slot table of epoch {epoch} that this coordinator never decided on: its --data-dir is not the \
         cluster's newest one, or another coordinator decides, too. To serve again, bring the right directory back; if \
         it is lost, stop all nodes and coordinators, and start this one first"
    )
}

/// Whether the table that is being written is on disk for good.
async fn written(decides: &mut Option<Decides>) -> bool {
    match decides.as_mut().and_then(|decides| decides.writing.as_mut()) {
        Some(writing) => writing.await.unwrap_or(false),
        None => std::future::pending().await,
    }
}
