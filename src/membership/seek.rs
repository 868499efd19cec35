//! Whom to look for next, and when: while there is no coordinator, the members named by `--join`, and always the
//! coordinators that were known and are gone. Those that are not known yet Kademlia finds.

use super::Kind;
use super::network::socket_addr;
use libp2p::{Multiaddr, PeerId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Pauses between attempts, doubled from the least to the most, with jitter.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a member that has a coordinator looks whether there are more.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A coordinator that was not seen for so long, while others were, is looked for no more.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// The longest that a name may take to be resolved.
const RESOLVE: Duration = Duration::from_secs(5);
/// Resolved names that may wait.
const RESOLVED_MAX: usize = 16;

/// A name and its addresses.
type Resolved = (String, Vec<SocketAddr>);

struct Coordinator {
    addresses: Vec<SocketAddr>,
    /// Since when there is no connection.
    lost: Option<Instant>,
}

/// The state of a search that never ends, but for its pace.
pub(super) struct Seek {
    /// As on the command line, and as noted at the end of the last life; and whether it is being resolved.
    named: Vec<String>,
    resolving: Vec<String>,
    results: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
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
            resolving: Vec::new(),
            results: mpsc::channel(RESOLVED_MAX),
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

    /// The addresses to dial now, given whether any coordinator is connected; those of names come by [`Seek::resolved`].
    pub(super) fn due(&mut self, has_coordinator: bool) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        if !has_coordinator {
            for name in self.named.clone() {
                match name.parse() {
                    Ok(address) => addresses.push(address),
                    Err(_) => self.resolve(name),
                }
            }
        }
        self.coordinators.retain(|_, known| {
            !has_coordinator || known.lost.is_none_or(|since| since.elapsed() < FORGOTTEN)
        });
        let lost = self.coordinators.values().filter(|known| known.lost.is_some());
        let lost: Vec<SocketAddr> = lost.flat_map(|known| known.addresses.clone()).collect();
        // The first coordinator may have nobody to look for.
        let has_all = has_coordinator || (self.is_coordinator && self.named.is_empty());
        let is_settled = has_all && lost.is_empty();
        self.pause = if is_settled { LOOK_AGAIN } else { (2 * self.pause).min(PAUSE_MAX) };
        self.next = Instant::now() + self.pause.mul_f64(0.5 + fastrand::f64());
        addresses.extend(lost);
        addresses
    }

    /// Resolves a name beside everything else, which may take long.
    fn resolve(&mut self, name: String) {
        if self.resolving.contains(&name) {
            return;
        }
        self.resolving.push(name.clone());
        let results = self.results.0.clone();
        tokio::spawn(async move {
            let found = match timeout(RESOLVE, lookup_host(&name)).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(error)) => {
                    tracing::warn!(name, %error, "cannot make out an address");
                    Vec::new()
                }
                Err(_) => {
                    tracing::warn!(name, "a name was not resolved in time");
                    Vec::new()
                }
            };
            // Who asked may have ended meanwhile.
            drop(results.send((name, found)).await);
        });
    }

    /// The addresses of a name, when they are known.
    pub(super) async fn resolved(&mut self) -> Vec<SocketAddr> {
        match self.results.1.recv().await {
            Some((name, found)) => {
                self.resolving.retain(|other| *other != name);
                found
            }
            None => std::future::pending().await,
        }
    }

    /// Somebody is connected and said what it is.
    pub(super) fn found(&mut self, peer: PeerId, kind: Kind, addresses: &[Multiaddr]) {
        if kind.coordinates() {
            let addresses = addresses.iter().filter_map(socket_addr).collect();
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
        addresses.map(SocketAddr::to_string).collect()
    }
}
