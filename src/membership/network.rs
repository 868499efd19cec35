//! The network of a member: connections to others behind the cluster's key, Kademlia to find coordinators, requests and
//! answers. The only file that works with libp2p's swarm.

use super::seek::Seek;
use super::wire::{Answer, Request, is_credible, node_id};
use super::{Kind, Settings};
use crate::cluster::{self, NodeId};
use anyhow::{Context, Result, anyhow};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::ConnectedPoint;
use libp2p::futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::pnet::PnetConfig;
use libp2p::request_response::{self, ProtocolSupport, ResponseChannel, cbor};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, ListenError, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, Transport, identify, kad};
use libp2p::{core::transport::ListenerId, core::upgrade, noise, tcp, yamux};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// Under which protocols members speak; a change that others would not understand needs another number.
const KAD: &str = "/larder/kad/1";
const TALK: &str = "/larder/talk/1";
const IDENTIFY: &str = "/larder/1";
/// What coordinators provide in the DHT.
const COORDINATORS: &[u8] = b"/larder/coordinators";
/// How often they say so, and how long it is believed.
const PROVIDE_EVERY: Duration = Duration::from_secs(3);
const PROVIDED_FOR: Duration = Duration::from_secs(30);
/// A connection that nobody uses for so long is closed. Heartbeats keep those to coordinators open.
const IDLE: Duration = Duration::from_secs(20);
/// The longest wait for an answer: what comes later is of no use.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// A coordinator that answered nothing for so long is not there any more, whatever the connection says.
const MUTE: Duration = Duration::from_secs(3);
/// Connections from others: of all together while they shake hands, and of one member.
const SHAKING_MAX: u32 = 256;
const OF_ONE_MAX: u32 = 8;
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// Refused connections are spoken of once in so long.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

type Channel = ResponseChannel<Answer>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    // Before the others: what it refuses they would otherwise count as a connection for ever.
    limits: connection_limits::Behaviour,
    kad: kad::Behaviour<kad::store::MemoryStore>,
    identify: identify::Behaviour,
    talk: cbor::Behaviour<Request, Answer>,
}

/// What happens on the network.
pub(super) enum Event {
    /// Somebody asks; the answer goes to [`Network::answer`].
    Asked(NodeId, Request, Channel),
    /// Somebody answers.
    Answered(NodeId, Answer),
    /// A coordinator can be spoken to from now on.
    Coordinator(NodeId),
    /// Another process decides on tables.
    Rival(NodeId),
    /// The last connection to somebody is closed.
    Closed(NodeId),
}

/// Somebody that there is a connection to.
struct Contact {
    peer: PeerId,
    since_ms: u64,
    kind: Option<Kind>,
    /// When it last said anything.
    heard: Instant,
    /// Where it was dialled, if it was.
    dialled: Vec<SocketAddr>,
}

/// A member's network.
pub(super) struct Network {
    swarm: Swarm<Behaviour>,
    listener: ListenerId,
    contacts: BTreeMap<NodeId, Contact>,
    seek: Seek,
    kind: Kind,
    fingerprint: String,
    provided: Option<Instant>,
    complained: Option<Instant>,
    /// Somebody came or went.
    is_changed: bool,
    /// When it last looked who does not answer.
    looked: Instant,
}

impl Network {
    /// Listens, and begins to look for others. Must be called on the runtime that it is to run on.
    ///
    /// # Errors
    /// It cannot listen there.
    pub(super) fn start(settings: &Settings, pair: Keypair, known: Vec<String>) -> Result<Self> {
        let kind = settings.kind;
        let shared = settings.key.shared();
        let mut swarm = SwarmBuilder::with_existing_identity(pair)
            .with_tokio()
            .with_other_transport(|pair| {
                let noise = noise::Config::new(pair).map_err(Box::new)?;
                let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
                let guarded =
                    tcp.and_then(move |socket, _| PnetConfig::new(shared).handshake(socket));
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    guarded
                        .upgrade(upgrade::Version::V1Lazy)
                        .authenticate(noise)
                        .multiplex(yamux::Config::default()),
                )
            })
            .map_err(|error| anyhow!("{error}"))?
            .with_behaviour(|pair| behaviour(pair, kind))
            .map_err(|error| anyhow!("{error}"))?
            .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
            .build();
        // Else it would wait to learn of an address of its own that others can reach.
        swarm.behaviour_mut().kad.set_mode(Some(kad::Mode::Server));
        let addr = settings.control;
        let taken = || {
            format!(
                "cannot listen on {addr} for the members of the cluster: another process may have that port, choose \
                 another one by --cluster-addr HOST:PORT"
            )
        };
        // libp2p would share the port with whoever has it.
        drop(TcpListener::bind(addr).with_context(taken)?);
        let listener = swarm.listen_on(multiaddr(addr)).with_context(taken)?;
        Ok(Network {
            swarm,
            listener,
            contacts: BTreeMap::new(),
            seek: Seek::new(settings.join.clone(), known, kind),
            kind,
            fingerprint: settings.key.fingerprint(),
            provided: None,
            complained: None,
            is_changed: false,
            looked: Instant::now(),
        })
    }

    /// Waits until it listens; says where.
    ///
    /// # Errors
    /// It cannot.
    pub(super) async fn listening(&mut self) -> Result<SocketAddr> {
        loop {
            match self.swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address }
                    if listener_id == self.listener =>
                {
                    let found = socket_addr(&address);
                    self.swarm.add_external_address(address);
                    return found.context("the address that it listens on");
                }
                SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                    return Err(error).context("cannot listen for the members of the cluster");
                }
                _ => {}
            }
        }
    }

    /// Who can be spoken to as a coordinator.
    pub(super) fn coordinators(&self) -> Vec<NodeId> {
        let is_one = |contact: &Contact| contact.kind.is_some_and(Kind::coordinates);
        self.contacts.iter().filter(|(_, contact)| is_one(contact)).map(|(&id, _)| id).collect()
    }

    /// The members that there is a connection to, if they are others than at the last call.
    pub(super) fn contacts(&mut self) -> Option<Vec<cluster::Contact>> {
        let contact = |(&id, contact): (&NodeId, &Contact)| cluster::Contact {
            id,
            is_ours: !contact.dialled.is_empty(),
            since_ms: contact.since_ms,
        };
        let is_new = std::mem::take(&mut self.is_changed);
        is_new.then(|| self.contacts.iter().map(contact).collect())
    }

    /// Where the coordinators listen that are known, for the next start.
    pub(super) fn coordinator_addresses(&self) -> Vec<String> {
        self.seek.coordinators()
    }

    /// Asks somebody. It is lost if there is no connection.
    pub(super) fn ask(&mut self, id: NodeId, request: Request) {
        if let Some(contact) = self.contacts.get(&id) {
            self.swarm.behaviour_mut().talk.send_request(&contact.peer, request);
        }
    }

    /// Asks all coordinators.
    pub(super) fn ask_coordinators(&mut self, request: &Request) {
        self.hang_up();
        for id in self.coordinators() {
            self.ask(id, request.clone());
        }
    }

    /// Answers a request. It is lost if the connection is.
    pub(super) fn answer(&mut self, channel: Channel, answer: Answer) {
        // Who asked has gone, and will notice.
        drop(self.swarm.behaviour_mut().talk.send_response(channel, answer));
    }

    /// What happens next. Nothing is lost if it is dropped before.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            self.provide();
            let pause = self.seek.pause();
            tokio::select! {
                event = self.swarm.select_next_some() => {
                    if let Some(event) = self.take(event) {
                        return event;
                    }
                }
                found = self.seek.resolved() => self.dial_all(found),
                () = tokio::time::sleep(pause) => self.seek_others(),
            }
        }
    }

    /// Tells the DHT, if it is time, that this is a coordinator.
    fn provide(&mut self) {
        let is_due = self.provided.is_none_or(|last| last.elapsed() >= PROVIDE_EVERY);
        if !self.kind.coordinates() || !is_due || self.contacts.is_empty() {
            return;
        }
        self.provided = Some(Instant::now());
        // Only a store that is full refuses.
        if let Err(error) = self.swarm.behaviour_mut().kad.start_providing(key()) {
            tracing::warn!(%error, "cannot tell others that this is a coordinator");
        }
    }

    /// Does what it is time for: dials those who might know more, or looks coordinators up.
    fn seek_others(&mut self) {
        let has_coordinator = !self.coordinators().is_empty();
        let addresses = self.seek.due(has_coordinator);
        self.dial_all(addresses);
        if !self.contacts.is_empty() {
            self.swarm.behaviour_mut().kad.get_providers(key());
        }
    }

    /// Dials addresses that nobody is connected at, whoever listens there.
    fn dial_all(&mut self, addresses: Vec<SocketAddr>) {
        for address in addresses {
            let is_there = |contact: &Contact| contact.dialled.contains(&address);
            if !self.contacts.values().any(is_there) {
                let dial = DialOpts::unknown_peer_id().address(multiaddr(address)).build();
                // What fails at once will be tried again.
                drop(self.swarm.dial(dial));
            }
        }
    }

    /// Closes the connections to coordinators that answer nothing: after a cut the system would take minutes to notice.
    fn hang_up(&mut self) {
        let asleep = std::mem::replace(&mut self.looked, Instant::now()).elapsed() >= MUTE / 2;
        if asleep {
            // It was this process that did not run.
            self.contacts.values_mut().for_each(|contact| contact.heard = Instant::now());
        }
        let is_mute = |contact: &&Contact| {
            contact.kind.is_some_and(Kind::coordinates) && contact.heard.elapsed() >= MUTE
        };
        let mute: Vec<PeerId> =
            self.contacts.values().filter(is_mute).map(|contact| contact.peer).collect();
        for peer in mute {
            if self.swarm.disconnect_peer_id(peer).is_ok() {
                tracing::warn!(member = %node_id(&peer), "a coordinator answers nothing: connecting anew");
            }
        }
    }

    fn take(&mut self, event: SwarmEvent<BehaviourEvent>) -> Option<Event> {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Talk(event)) => self.take_talk(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.take_identify(event),
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => {
                self.take_kad(event);
                None
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                let new = Contact {
                    peer: peer_id,
                    since_ms: crate::server::now_us() / 1000,
                    kind: None,
                    heard: Instant::now(),
                    dialled: Vec::new(),
                };
                self.is_changed = true;
                let contact = self.contacts.entry(node_id(&peer_id)).or_insert(new);
                if let ConnectedPoint::Dialer { address, .. } = endpoint {
                    contact.dialled.extend(socket_addr(&address));
                }
                None
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                let id = node_id(&peer_id);
                self.contacts.remove(&id);
                self.is_changed = true;
                self.seek.lost(&peer_id);
                Some(Event::Closed(id))
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                self.swarm.add_external_address(address);
                None
            }
            SwarmEvent::OutgoingConnectionError { error: DialError::Transport(errors), .. } => {
                let (addresses, errors): (Vec<_>, Vec<_>) = errors
                    .into_iter()
                    .map(|(address, error)| (host_and_port(&address), in_words(&error)))
                    .unzip();
                self.complain(addresses.join(" "), errors.join("; "), "cannot connect to a member");
                None
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. }
                if !matches!(error, ListenError::Aborted) =>
            {
                let text = "a connection of another member failed";
                self.complain(host_and_port(&send_back_addr), in_words(&error), text);
                None
            }
            _ => None,
        }
    }

    /// Speaks of a connection that did not come about, but not of each.
    fn complain(&mut self, address: String, error: String, text: &str) {
        if self.complained.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY) {
            return;
        }
        self.complained = Some(Instant::now());
        let fingerprint = &self.fingerprint;
        // Who has another key, or none, sends what looks like noise: it can only hang up.
        if error.contains("refused") {
            tracing::warn!(address, error, "{text}: nobody listens there");
        } else {
            tracing::warn!(
                address,
                error,
                "{text}: most likely one of the two has another cluster key; the fingerprint of this one's is \
                 {fingerprint}"
            );
        }
    }

    fn take_talk(&mut self, event: request_response::Event<Request, Answer>) -> Option<Event> {
        let request_response::Event::Message { peer, message, .. } = event else { return None };
        let id = node_id(&peer);
        if let Some(contact) = self.contacts.get_mut(&id) {
            contact.heard = Instant::now();
        }
        match message {
            request_response::Message::Request { request, channel, .. } => {
                if matches!(&request, Request::Heartbeat(heartbeat) if !is_credible(&peer, heartbeat))
                {
                    tracing::warn!(member = %id, "a heartbeat that cannot be true: ignored");
                    return None;
                }
                Some(Event::Asked(id, request, channel))
            }
            request_response::Message::Response { response, .. } => {
                Some(Event::Answered(id, response))
            }
        }
    }

    fn take_identify(&mut self, event: identify::Event) -> Option<Event> {
        let identify::Event::Received { peer_id, info, .. } = event else { return None };
        let kind = Kind::read(&info.agent_version)?;
        let kad = &mut self.swarm.behaviour_mut().kad;
        // Who connects to us is not known to Kademlia by that alone.
        for address in &info.listen_addrs {
            kad.add_address(&peer_id, address.clone());
        }
        let id = node_id(&peer_id);
        let contact = self.contacts.get_mut(&id)?;
        let before = contact.kind.replace(kind);
        self.seek.found(peer_id, kind, &info.listen_addrs);
        match kind {
            Kind::Authority if self.kind == Kind::Authority => Some(Event::Rival(id)),
            kind if kind.coordinates() && before.is_none() => Some(Event::Coordinator(id)),
            _ => None,
        }
    }

    fn take_kad(&mut self, event: kad::Event) {
        let kad::Event::OutboundQueryProgressed { result, .. } = event else { return };
        if let kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders {
            providers,
            ..
        })) = result
        {
            // At once: the query still knows their addresses.
            for peer in providers {
                let dial = DialOpts::peer_id(peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .build();
                // It is connected already, or is this member itself.
                drop(self.swarm.dial(dial));
            }
        }
    }
}

/// An error with all its causes: the outer ones say little.
fn in_words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut words: Vec<String> =
        causes.map(ToString::to_string).filter(|text| !text.is_empty()).collect();
    words.dedup();
    words.join(": ")
}

fn behaviour(pair: &Keypair, kind: Kind) -> Behaviour {
    let peer = pair.public().to_peer_id();
    let mut config = kad::Config::new(StreamProtocol::new(KAD));
    config.set_provider_record_ttl(Some(PROVIDED_FOR));
    config.set_provider_publication_interval(None);
    config.set_query_timeout(LOOKUP_TIMEOUT);
    let store = kad::store::MemoryStoreConfig {
        max_provided_keys: 16,
        max_providers_per_key: NonZeroUsize::MAX.get().min(256),
        ..Default::default()
    };
    let store = kad::store::MemoryStore::with_config(peer, store);
    let identify = identify::Config::new(IDENTIFY.to_owned(), pair.public())
        .with_agent_version(kind.to_string());
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(SHAKING_MAX))
        .with_max_established_per_peer(Some(OF_ONE_MAX));
    let talk = request_response::Config::default().with_request_timeout(ANSWER_TIMEOUT);
    Behaviour {
        kad: kad::Behaviour::with_config(peer, store, config),
        identify: identify::Behaviour::new(identify),
        talk: cbor::Behaviour::new([(StreamProtocol::new(TALK), ProtocolSupport::Full)], talk),
        limits: connection_limits::Behaviour::new(limits),
    }
}

fn key() -> kad::RecordKey {
    kad::RecordKey::new(&COORDINATORS)
}

/// An address as libp2p writes it.
fn multiaddr(addr: SocketAddr) -> Multiaddr {
    Multiaddr::from(addr.ip()).with(Protocol::Tcp(addr.port()))
}

/// An address as people write it.
fn host_and_port(address: &Multiaddr) -> String {
    socket_addr(address).map_or_else(|| address.to_string(), |addr| addr.to_string())
}

/// The other way round, if it is one of TCP.
pub(super) fn socket_addr(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}
