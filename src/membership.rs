//! Membership of a cluster that forms itself: a thread a server that finds the others, sends and answers heartbeats, and
//! has the state machines of [`crate::cluster`] decide. The only place with libp2p.
//!
//! ```text
//!    node                                              coordinator, the first of which is the authority
//!    membership/node        Heartbeat ------------->   membership/coordinator
//!      |  ^                 <------- Grant, News         |  ^
//!      v  |                                              v  |
//!    cluster::Local                                    cluster::Local
//!      |  fences           RESP: LARDER EPOCH, requests  |  routes
//!      v                   <---------------------------  v
//!    workers                                           workers
//! ```
//!
//! Every connection is encrypted twice: by the key that all members share, without which nobody gets any further, and
//! by Noise, which also says who the other one is. A member listens on one port for it, and joins by the address of any
//! other. Kademlia (`membership/network.rs`) tells it who the coordinators are; to those it keeps connections, over which
//! heartbeats go. That a connection closes is noticed at once, silence after 1.5 s.
//!
//! A node gives slots up in this order: it waits until the links of all coordinators go by the new table (or for
//! [`LINKS_MS`]), so that nothing more comes for them; publishes the new fence, behind which no request is under way;
//! tells the authority; and removes their keys. So no request is refused because slots move.

mod coordinator;
mod disk;
mod key;
mod network;
mod node;
mod seek;
mod wire;

pub use disk::DataDir;
pub use key::ClusterKey;
pub use node::{LEAVE_MS, LINKS_MS};

use crate::cluster::{Identity, Local, NodeId, Order, Table};
use crate::server::Server;
use anyhow::{Context, Result, anyhow};
use libp2p::identity::Keypair;
use network::Network;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use tokio::sync::mpsc::Receiver;

/// What a member is to the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It keeps slots.
    Node,
    /// It routes requests.
    Coordinator,
    /// It routes requests, and decides on the table.
    Authority,
}

impl Kind {
    /// Whether it wants to hear heartbeats.
    pub fn coordinates(self) -> bool {
        self != Kind::Node
    }

    /// What the text of [`fmt::Display`] says; none for what is not Larder.
    fn read(text: &str) -> Option<Self> {
        [Kind::Node, Kind::Coordinator, Kind::Authority]
            .into_iter()
            .find(|kind| kind.to_string() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Node => "larder node",
            Kind::Coordinator => "larder coordinator",
            Kind::Authority => "larder authority",
        })
    }
}

/// How a member is to take part.
pub struct Settings {
    /// What it is.
    pub kind: Kind,
    /// The cluster's key.
    pub key: ClusterKey,
    /// Addresses of members, one of which is enough; none for the first member.
    pub join: Vec<String>,
    /// Where it listens for other members.
    pub control: SocketAddr,
    /// Where it keeps what is to last, if anywhere.
    pub data: Option<DataDir>,
    /// The key was made just now, so nobody can have been in this cluster before.
    pub is_new_cluster: bool,
}

/// A member that does not take part yet.
pub struct Member {
    settings: Settings,
    pair: Keypair,
    boot: u64,
}

impl Member {
    /// Finds out who it is.
    ///
    /// # Errors
    /// Its directory cannot be used.
    pub fn new(settings: Settings) -> Result<Self> {
        let (pair, boot) = match &settings.data {
            Some(data) => (data.identity()?, data.next_boot()?),
            None => (Keypair::generate_ed25519(), disk::boot_now()),
        };
        Ok(Member { settings, pair, boot })
    }

    /// Its name.
    pub fn id(&self) -> NodeId {
        wire::node_id(&self.pair.public().to_peer_id())
    }

    /// The table that it decided on in an earlier life; the empty one if it never did.
    ///
    /// # Errors
    /// It cannot be read.
    fn table(&self) -> Result<Table> {
        match &self.settings.data {
            Some(data) => Ok(data.table()?.unwrap_or_default()),
            None => Ok(Table::default()),
        }
    }

    /// Takes part, until the server stops. Answers where it listens for other members.
    ///
    /// # Errors
    /// It cannot listen there.
    pub fn start(
        self,
        server: Arc<Server>,
        local: Arc<Local>,
        orders: Receiver<Order>,
    ) -> Result<(SocketAddr, JoinHandle<()>)> {
        let table = self.table()?;
        let (started, wait) = sync_channel(1);
        let thread = std::thread::Builder::new().name("membership".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime.context("cannot start the membership's runtime") {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            runtime.block_on(async move {
                let Member { settings, pair, boot } = self;
                let known = settings.data.as_ref().map(DataDir::coordinators).unwrap_or_default();
                let listening = async {
                    let mut network = Network::start(&settings, pair, known)?;
                    let addr = network.listening().await?;
                    Ok((network, addr))
                };
                let network = match listening.await {
                    Ok((network, addr)) => {
                        drop(started.send(Ok(addr)));
                        network
                    }
                    Err(error) => return drop(started.send(Err(error))),
                };
                let identity = Identity { id: local.id, boot, address: local.address.clone() };
                match settings.kind {
                    Kind::Node => {
                        if let Some(driver) = node::Driver::new(
                            network,
                            identity,
                            server,
                            local,
                            orders,
                            settings.data,
                        ) {
                            driver.run().await;
                        }
                    }
                    _ => {
                        let driver = coordinator::Driver::new(
                            network, identity, server, local, orders, settings, table,
                        );
                        driver.run().await;
                    }
                }
            });
            // A name that is being resolved, or the like, need not be waited for.
            runtime.shutdown_background();
        });
        let thread = thread.context("cannot start the membership's thread")?;
        let addr = wait.recv().map_err(|_| anyhow!("the membership's thread ended at once"))??;
        Ok((addr, thread))
    }
}
