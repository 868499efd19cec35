//! What a server knows of the cluster that it is a member of, and what its membership learns of the server.

use super::clock::now_ms;
use super::fences::Fences;
use super::message::Role;
use super::slots::SlotTable;
use super::table::{Epoch, Member, NodeId, Table};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subtle::ConstantTimeEq;
use tokio::sync::{Notify, mpsc, watch};

/// Orders that may wait for the membership.
const ORDERS_MAX: usize = 64;

/// The user that coordinators log in to nodes as.
pub const INTERNAL_USER: &str = "larder-coordinator";

/// The password of [`INTERNAL_USER`], derived from the cluster's key.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Derives it: SHA-256 of a purpose and the key.
    pub fn of(key: &[u8]) -> Self {
        let digest =
            Sha256::new().chain_update(b"larder internal login\0").chain_update(key).finalize();
        Secret(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.0
    }

    /// Whether this is the password, in a time that does not depend on how much of it is right.
    pub fn matches(&self, password: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(password).into()
    }
}

/// What a server asks of its membership.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A coordinator's link goes by a table of this epoch.
    Linked(Epoch),
    /// A member is to give its slots to others and to end.
    Leave(NodeId),
}

/// A member as the authority sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its name.
    pub id: NodeId,
    /// Node or coordinator.
    pub role: Role,
    /// Where it listens for RESP.
    pub address: String,
    /// Whether it decides on the table.
    pub is_authority: bool,
    /// The table it goes by.
    pub epoch: Epoch,
    /// Bytes of memory that it offers.
    pub capacity: u64,
    /// Slots that it owns.
    pub slots: u16,
    /// Milliseconds since its last heartbeat.
    pub heard_ms: u64,
    /// Milliseconds until its lease has surely ended; 0 if it has none.
    pub lease_ms: u64,
    /// Whether its connection is open.
    pub is_connected: bool,
    /// Whether it asked to go.
    pub is_leaving: bool,
}

/// The cluster as the authority sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The table in force.
    pub epoch: Epoch,
    /// Everybody that it hears.
    pub members: Vec<MemberStatus>,
    /// Slots that are to be given up by their owner, and are not yet.
    pub releasing: u16,
    /// Slots that nobody owns.
    pub unowned: u16,
    /// Nodes that are not in the table yet.
    pub joining: u16,
    /// Why it decides nothing any more, if so.
    pub refused: Option<String>,
}

/// What there is to tell of the cluster.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The newest table that this member knows.
    pub table: Table,
    /// Members of it that cannot serve just now, as far as is known here.
    pub down: Vec<NodeId>,
    /// What the authority last said. Coordinators only; never of a node.
    pub status: Option<Status>,
}

/// What a server tells of its cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Overview {
    /// Its own name.
    pub id: NodeId,
    /// Whether it is a coordinator.
    pub is_coordinator: bool,
    /// The newest table that it knows.
    pub epoch: Epoch,
    /// The nodes of that table, and how many slots each owns.
    pub nodes: Vec<(Member, u16)>,
    /// Those of them that cannot serve just now, as far as it knows.
    pub down: Vec<NodeId>,
    /// Whether this node holds a lease now; nothing of a coordinator.
    pub has_lease: Option<bool>,
    /// What the authority last said; coordinators only.
    pub status: Option<Status>,
}

impl Overview {
    /// What there is to tell now.
    pub fn of(local: &Local) -> Self {
        let view = local.view();
        let shares = view.table.shares();
        let share = |number: &u16| shares.get(number).copied().unwrap_or(0);
        let members = view.table.members.iter();
        let fence = local.fences.as_ref().map(Fences::current);
        Overview {
            id: local.id,
            is_coordinator: fence.is_none(),
            epoch: view.table.epoch,
            nodes: members.map(|(number, member)| (member.clone(), share(number))).collect(),
            down: view.down.clone(),
            has_lease: fence.map(|fence| fence.holds(now_ms())),
            status: view.status.clone(),
        }
    }
}

/// A connection to another member.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// Who it is.
    pub id: NodeId,
    /// Whether it was opened from here.
    pub is_ours: bool,
    /// When it was opened, in milliseconds since 1970.
    pub since_ms: u64,
}

/// A server's part in a cluster.
pub struct Local {
    /// This member's name.
    pub id: NodeId,
    /// Where others reach it for RESP, as `host:port`.
    pub address: String,
    /// How coordinators log in to nodes.
    pub secret: Secret,
    /// What this node may serve, for each worker. None for a coordinator.
    pub fences: Option<Fences>,
    /// What a coordinator's workers route by. Of a node it stays empty.
    pub routes: watch::Sender<Arc<SlotTable>>,
    /// What CLUSTER and `LARDER CLUSTER` tell.
    pub view: watch::Sender<Arc<View>>,
    /// The members that it is connected to.
    pub contacts: watch::Sender<Vec<Contact>>,
    orders: mpsc::Sender<Order>,
    /// The connections of coordinators to this node, by the client's number, and the table that each goes by.
    links: Mutex<BTreeMap<u64, Epoch>>,
    link_changed: Notify,
    /// The newest table that a link named.
    linked: AtomicU64,
}

impl Local {
    /// The part of a node with so many workers, or of a coordinator with none; and where its orders arrive.
    pub fn new(
        id: NodeId,
        address: String,
        secret: Secret,
        workers: Option<usize>,
    ) -> (Arc<Self>, mpsc::Receiver<Order>) {
        let (orders, arriving) = mpsc::channel(ORDERS_MAX);
        let local = Local {
            id,
            address,
            secret,
            fences: workers.map(Fences::new),
            routes: watch::Sender::new(Arc::new(SlotTable::nothing())),
            view: watch::Sender::default(),
            contacts: watch::Sender::default(),
            orders,
            links: Mutex::default(),
            link_changed: Notify::new(),
            linked: AtomicU64::new(0),
        };
        (Arc::new(local), arriving)
    }

    /// What is known of the cluster.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Asks something of the membership. What it has no room for is lost: it says so.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// A coordinator's link says by which table the requests behind this are routed.
    pub fn announce(&self, client: u64, epoch: Epoch) {
        self.links().insert(client, epoch);
        self.link_changed.notify_one();
        // Once for all links that name it.
        if self.linked.fetch_max(epoch, Relaxed) < epoch {
            self.order(Order::Linked(epoch));
        }
    }

    /// The table that a coordinator's link goes by.
    pub fn announced(&self, client: u64) -> Option<Epoch> {
        self.links().get(&client).copied()
    }

    /// A connection is gone.
    pub fn forget(&self, client: u64) {
        if self.links().remove(&client).is_some() {
            self.link_changed.notify_one();
        }
    }

    /// Waits until the links of all coordinators go by this table or a later one: then no request comes any more that was
    /// routed by an older one.
    pub async fn all_links_at(&self, epoch: Epoch) {
        loop {
            let changed = self.link_changed.notified();
            if self.links().values().all(|&theirs| theirs >= epoch) {
                return;
            }
            changed.await;
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<u64, Epoch>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(flavor = "current_thread")]
    async fn waits_for_all_links() {
        let (local, mut orders) =
            Local::new(NodeId([1; 20]), "h:1".into(), Secret::of(b"k"), Some(1));
        local.all_links_at(9).await;
        local.announce(1, 3);
        local.announce(2, 5);
        assert_eq!(orders.recv().await, Some(Order::Linked(3)));
        local.all_links_at(3).await;
        let wait = || timeout(Duration::from_millis(5), local.all_links_at(5));
        assert!(wait().await.is_err());
        local.forget(1);
        wait().await.unwrap();
    }

    #[test]
    fn secrets_differ_by_key() {
        let secret = Secret::of(b"one");
        assert!(secret.matches(Secret::of(b"one").password().as_bytes()));
        assert!(!secret.matches(Secret::of(b"two").password().as_bytes()) && !secret.matches(b""));
    }
}
