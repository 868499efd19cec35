//! How a server becomes a member of a cluster that forms itself, by the flags it was given or as part of `up`.

use crate::cluster::{Local, Order, Owner, Secret};
use crate::config::{Config, Id};
use crate::membership::{ClusterKey, DataDir, Kind, Member, Settings};
use crate::server::{Role, Running, Server};
use anyhow::{Context, Result, bail};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// How far the port for members is from that for clients, unless it is said otherwise: as in Redis Cluster.
const CONTROL_PORT_OFFSET: u16 = 10_000;
/// How long `up` waits at most until its nodes have all slots.
const FORMED_MS: u64 = 10_000;

/// What the servers of `up` have in common.
#[derive(Clone)]
pub(super) struct InUp {
    pub(super) key: ClusterKey,
    /// Nobody else can have the key.
    pub(super) is_new: bool,
    /// Where the coordinator listens for its nodes; none for itself.
    pub(super) join: Option<SocketAddr>,
    /// The node's number, counted from 1; 0 is the coordinator.
    pub(super) number: u16,
}

/// A server's part in the cluster, before it runs.
pub(super) struct Part {
    member: Member,
    local: Arc<Local>,
    orders: Receiver<Order>,
    fingerprint: String,
    /// Whether people may want to join here.
    is_told: bool,
}

impl Part {
    /// The part of a server that listens on `addr`; none if it is to be in no cluster.
    pub(super) fn of(
        config: &Config,
        role: Role,
        addr: SocketAddr,
        workers: usize,
        is_authority: bool,
        up: Option<&InUp>,
    ) -> Result<Option<Self>> {
        let key_file = config.text(Id::ClusterKeyFile);
        let mut join = names(&config.text(Id::Join));
        let key = match up {
            Some(up) => up.key.clone(),
            None if !key_file.is_empty() => ClusterKey::read(&key_file)?,
            None if !join.is_empty() => bail!(
                "--join needs the key of that cluster: --cluster-key-file FILE (`larder cluster keygen` makes one, for all \
                 members)"
            ),
            None => {
                for id in [Id::ClusterAddr, Id::ClusterAnnounce, Id::DataDir] {
                    if !config.text(id).is_empty() {
                        let name = crate::config::PARAMS[id as usize].name;
                        bail!(
                            "--{name} is for members of a cluster: --cluster-key-file FILE is missing"
                        );
                    }
                }
                return Ok(None);
            }
        };
        if up.is_some_and(|up| up.is_new && up.join.is_none()) && !join.is_empty() {
            bail!("--join needs the key of that cluster: --cluster-key-file FILE");
        }
        if up.is_some_and(|up| !up.is_new) && addr.ip().is_unspecified() {
            bail!(
                "`up` is to be joined by others, but listens on {addr}, which is no address that they can reach: name one \
                 by --host"
            );
        }
        let in_up = up.and_then(|up| up.join);
        if let Some(coordinator) = in_up {
            join = vec![coordinator.to_string()];
        }
        for name in &join {
            crate::server::check_address(name).with_context(|| format!("--join {name}"))?;
        }
        let data = data_dir(config, up)?;
        let decides = role == Role::Coordinator
            && (is_authority
                || join.is_empty()
                || matches!(&data, Some(data) if data.table()?.is_some()));
        let is_new_cluster = up.is_some_and(|up| up.is_new);
        if decides && data.is_none() && !is_new_cluster {
            bail!(
                "this coordinator decides on the slot table, which must outlast it: name a directory for that by \
                 --data-dir, or a member to join by --join"
            );
        }
        let kind = match role {
            Role::Node => Kind::Node,
            Role::Coordinator if decides => Kind::Authority,
            Role::Coordinator => Kind::Coordinator,
        };
        let control = control_addr(config, addr, up)?;
        let address = announced(config, addr, up)?;
        let (secret, fingerprint) = (Secret::of(key.bytes()), key.fingerprint());
        let member = Member::new(Settings { kind, key, join, control, data, is_new_cluster })?;
        let workers = (role == Role::Node).then_some(workers);
        let (local, orders) = Local::new(member.id(), address, secret, workers);
        let is_told = up.is_none_or(|up| !up.is_new && up.number == 0);
        Ok(Some(Part { member, local, orders, fingerprint, is_told }))
    }

    /// Tells the server, before it listens.
    pub(super) fn tell(&self, server: &Server) {
        server.cluster.get_or_init(|| self.local.clone());
    }

    /// Takes part; answers where it listens for members.
    pub(super) fn begin(self, running: &mut Running) -> Result<SocketAddr> {
        let (id, is_told) = (self.local.id, self.is_told);
        let (control, thread) =
            self.member.start(running.server.clone(), self.local, self.orders)?;
        running.adopt(thread);
        if is_told {
            let fingerprint = &self.fingerprint;
            println!("member {control}  id {id}, key fingerprint {fingerprint}");
        }
        Ok(control)
    }
}

/// The directory that a member was given; in `up` each server has one of its own within it.
fn data_dir(config: &Config, up: Option<&InUp>) -> Result<Option<DataDir>> {
    let path = config.text(Id::DataDir);
    match up {
        _ if path.is_empty() => Ok(None),
        Some(InUp { number: number @ 1.., .. }) => {
            DataDir::open(&format!("{path}/node-{number}")).map(Some)
        }
        _ => DataDir::open(&path).map(Some),
    }
}

fn control_addr(config: &Config, addr: SocketAddr, up: Option<&InUp>) -> Result<SocketAddr> {
    let given = config.text(Id::ClusterAddr);
    let is_flag_mine = up.is_none_or(|up| up.number == 0);
    if !given.is_empty() && is_flag_mine {
        let found =
            given.to_socket_addrs().with_context(|| format!("--cluster-addr {given}"))?.next();
        return found.with_context(|| format!("--cluster-addr {given}: the name has no address"));
    }
    // In `up` nobody needs to know it, but where others may join.
    let is_known = up.is_none_or(|up| !up.is_new && up.number == 0);
    let port = if is_known { addr.port().checked_add(CONTROL_PORT_OFFSET) } else { Some(0) };
    match port {
        Some(port) => Ok(SocketAddr::new(addr.ip(), port)),
        None => bail!(
            "the port for members would be {} + {CONTROL_PORT_OFFSET}: name another one by --cluster-addr HOST:PORT",
            addr.port()
        ),
    }
}

fn announced(config: &Config, addr: SocketAddr, up: Option<&InUp>) -> Result<String> {
    let given = config.text(Id::ClusterAnnounce);
    if !given.is_empty() && up.is_none() {
        crate::server::check_address(&given).context("--cluster-announce")?;
        return Ok(given);
    }
    if up.is_some() {
        return Ok(super::reachable(&addr));
    }
    if addr.ip().is_unspecified() {
        bail!(
            "it listens on {addr}, which is no address that others can reach: name one by --cluster-announce HOST:PORT"
        );
    }
    Ok(addr.to_string())
}

/// The names in a list with commas or spaces.
fn names(text: &str) -> Vec<String> {
    text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Waits until the nodes of `up` have all slots.
pub(super) fn wait_until_formed(coordinator: &Server) {
    let Some(local) = coordinator.local() else { return };
    for _ in 0..FORMED_MS / 5 {
        let routes = local.routes.borrow().clone();
        let slots = 0..crate::cluster::SLOTS as u16;
        if slots.into_iter().all(|slot| matches!(routes.owner(slot), Owner::Node(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tracing::warn!(
        "the cluster has not formed yet: requests are answered with -CLUSTERDOWN until it has"
    );
}
