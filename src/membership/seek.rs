//! Whom to look for next, and when: the members named by `--join` until one answers, coordinators that were known and are
//! gone, and, by Kademlia, those that are not known yet.

use super::Kind;
use super::network::socket_addr;
use libp2p::{Multiaddr, PeerId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Pauses between attempts, doubled from the least to the most, with jitter.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a member that has a coordinator looks whether there are more.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// A coordinator that was not seen for so long is looked for no more.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// The longest that a name may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(1);

/// What it is time for.
#[derive(Default)]
pub(super) struct Due {
    /// Dial these.
    pub(super) addresses: Vec<SocketAddr>,
    /// Dial these, whose names are known.
    pub(super) peers: Vec<(PeerId, Vec<Multiaddr>)>,
    /// Look coordinators up in the DHT.
    pub(super) look_up: bool,
}

struct Coordinator {
    addresses: Vec<Multiaddr>,
    /// Since when there is no connection.
    lost: Option<Instant>,
}

/// The state of a search that never ends, but for its pace.
pub(super) struct Seek {
    /// As on the command line, and as noted at the end of the last life.
    named: Vec<String>,
    coordinators: BTreeMap<PeerId, Coordinator>,
    pause: Duration,
    next: Instant,
    is_coordinator: bool,
}

impl Seek {
    /// Begins with the members that are named and those that were known once.
    pub(super) fn new(mut named: Vec<String>, known: Vec<String>, kind: Kind) -> Self {
        named.extend(known);
        Seek {
            named,
            coordinators: BTreeMap::new(),
            pause: PAUSE_MIN,
            next: Instant::now(),
            is_coordinator: kind.coordinates(),
        }
    }

    /// How long there is nothing to do.
    pub(super) fn pause(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// What it is time for, given whether anybody is connected, and any coordinator.
    pub(super) async fn due(&mut self, has_anybody: bool, has_coordinator: bool) -> Due {
        let mut due = Due::default();
        if !has_anybody {
            for name in &self.named {
                match timeout(RESOLVE, lookup_host(name)).await {
                    Ok(Ok(found)) => due.addresses.extend(found),
                    Ok(Err(error)) => tracing::warn!(name, %error, "cannot make out an address"),
                    Err(_) => tracing::warn!(name, "a name was not resolved in time"),
                }
            }
        }
        self.coordinators
            .retain(|_, known| known.lost.is_none_or(|since| since.elapsed() < FORGOTTEN));
        let lost = self.coordinators.iter().filter(|(_, known)| known.lost.is_some());
        due.peers = lost.map(|(&peer, known)| (peer, known.addresses.clone())).collect();
        due.look_up = has_anybody;
        // The first coordinator may have nobody to look for.
        let is_settled = (has_coordinator || (self.is_coordinator && self.named.is_empty()))
            && due.peers.is_empty();
        self.pause = if is_settled { LOOK_AGAIN } else { (2 * self.pause).min(PAUSE_MAX) };
        self.next = Instant::now() + self.pause.mul_f64(0.5 + fastrand::f64());
        due
    }

    /// Somebody is connected and said what it is.
    pub(super) fn found(&mut self, peer: PeerId, kind: Kind, addresses: Vec<Multiaddr>) {
        if kind.coordinates() {
            self.coordinators.insert(peer, Coordinator { addresses, lost: None });
        } else if self.coordinators.values().all(|known| known.lost.is_some()) {
            // It may know one.
            self.hurry();
        }
    }

    /// A connection is lost.
    pub(super) fn lost(&mut self, peer: &PeerId) {
        if let Some(known) = self.coordinators.get_mut(peer) {
            known.lost = Some(Instant::now());
            self.hurry();
        }
    }

    fn hurry(&mut self) {
        self.pause = PAUSE_MIN;
        self.next = self.next.min(Instant::now() + PAUSE_MIN.mul_f64(fastrand::f64()));
    }

    /// The addresses of the coordinators that were seen.
    pub(super) fn coordinators(&self) -> Vec<String> {
        let addresses = self.coordinators.values().flat_map(|known| &known.addresses);
        addresses.filter_map(socket_addr).map(|addr| addr.to_string()).collect()
    }
}
