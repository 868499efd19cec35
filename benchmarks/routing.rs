//! How members find each other when there are thousands: libp2p's own routing tables, one a member, driven without a
//! network. Members join one after another through a random one and look for themselves; then some look for random keys.
//!
//! What is libp2p's: the tables (k-buckets of 20, which keep whom they have and refuse others when full) and the answer
//! to "who is closest to this key". What is ours: the lookup, after the paper (alpha 3, k 20, in rounds), since
//! libp2p's needs a swarm; and that each learns of whom it asks and of who asks it, as `src/membership/network.rs` does by
//! identify. Nobody fails or leaves here, and connections that still are open make no difference.

use anyhow::Result;
use clap::Args;
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{ALPHA_VALUE, Behaviour, Config, K_VALUE, KBucketDistance, KBucketKey};
use libp2p::{Multiaddr, PeerId, StreamProtocol, identity::Keypair};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

#[derive(Args)]
pub(crate) struct Routing {
    /// How many members.
    #[arg(long, default_value_t = 1000)]
    members: usize,
    /// How many random keys are looked for, each by a random member.
    #[arg(long, default_value_t = 2000)]
    lookups: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

struct Member {
    peer: PeerId,
    address: Multiaddr,
    kad: Behaviour<MemoryStore>,
}

/// Somebody that a lookup has heard of.
struct Heard {
    member: usize,
    /// How many were asked in a row until it was heard of, and it itself.
    hops: usize,
    is_asked: bool,
}

/// What a lookup was like.
struct Found {
    closest: Vec<usize>,
    /// Of whom is closest; 0 if that is the one who looks.
    hops: usize,
    asked: Vec<usize>,
    rounds: usize,
}

struct Network {
    members: Vec<Member>,
    numbers: HashMap<PeerId, usize>,
}

impl Network {
    fn add(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        let peer = Keypair::ed25519_from_bytes(secret)?.public().to_peer_id();
        let mut config = Config::new(StreamProtocol::new("/larder/kad/1"));
        // Nothing is to happen by itself.
        config.set_periodic_bootstrap_interval(None);
        config.set_provider_publication_interval(None);
        config.set_publication_interval(None).set_replication_interval(None);
        let kad = Behaviour::with_config(peer, MemoryStore::new(peer), config);
        let number = self.members.len();
        let address =
            format!("/ip4/10.{}.{}.{}/tcp/7946", number >> 16, number >> 8 & 255, number & 255);
        self.numbers.insert(peer, number);
        self.members.push(Member { peer, address: address.parse()?, kad });
        Ok(())
    }

    /// Two have a connection, and tell each other where they listen.
    fn meet(&mut self, one: usize, other: usize) {
        for (who, whom) in [(one, other), (other, one)] {
            let (peer, address) = (self.members[whom].peer, self.members[whom].address.clone());
            // Whom a full bucket has no place for is forgotten, as it should be.
            let _ = self.members[who].kad.add_address(&peer, address);
        }
    }

    /// Looks for those closest to a key, and says who was asked.
    fn look_up<T: Clone + AsRef<[u8]>>(&mut self, who: usize, target: &KBucketKey<T>) -> Found {
        let own = self.members[who].peer;
        let mut heard: BTreeMap<KBucketDistance, Heard> = BTreeMap::new();
        let first: Vec<_> =
            self.members[who].kad.get_closest_local_peers(target).take(K_VALUE.get()).collect();
        for key in first {
            let member = self.numbers[key.preimage()];
            heard.insert(key.distance(target), Heard { member, hops: 1, is_asked: false });
        }
        let (mut asked, mut rounds) = (Vec::new(), 0);
        loop {
            let nearest = heard.values_mut().take(K_VALUE.get()).filter(|heard| !heard.is_asked);
            let now: Vec<_> = nearest
                .take(ALPHA_VALUE.get())
                .map(|heard| {
                    heard.is_asked = true;
                    (heard.member, heard.hops)
                })
                .collect();
            if now.is_empty() {
                break;
            }
            rounds += 1;
            for (member, hops) in now {
                asked.push(member);
                let told: Vec<_> =
                    self.members[member].kad.find_closest_local_peers(target, &own).collect();
                for peer in told {
                    let found = Heard {
                        member: self.numbers[&peer.node_id],
                        hops: hops + 1,
                        is_asked: false,
                    };
                    heard.entry(KBucketKey::from(peer.node_id).distance(target)).or_insert(found);
                }
            }
        }
        let own_distance = KBucketKey::from(own).distance(target);
        let is_self = heard.keys().next().is_none_or(|nearest| own_distance < *nearest);
        let hops =
            heard.values().next().map_or(0, |nearest| if is_self { 0 } else { nearest.hops });
        let mut closest: Vec<_> =
            heard.values().take(K_VALUE.get()).map(|heard| heard.member).collect();
        if is_self {
            closest.insert(0, who);
        }
        Found { closest, hops, asked, rounds }
    }

    /// How many others a member knows.
    fn size(&mut self, who: usize) -> usize {
        self.members[who].kad.kbuckets().map(|bucket| bucket.num_entries()).sum()
    }
}

impl Routing {
    /// Runs, and prints the figures as JSON.
    pub(crate) fn run(&self) -> Result<()> {
        let began = Instant::now();
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut network = Network { members: Vec::new(), numbers: HashMap::new() };
        let mut joined = Vec::new();
        for number in 0..self.members {
            network.add(&mut random)?;
            if number == 0 {
                continue;
            }
            network.meet(number, random.usize(..number));
            let target = KBucketKey::new(network.members[number].peer.to_bytes());
            let found = network.look_up(number, &target);
            for &other in &found.asked {
                network.meet(number, other);
            }
            joined.push(found.asked.len());
        }
        let mut sizes: Vec<_> = (0..self.members).map(|who| network.size(who)).collect();
        let (mut hops, mut asked, mut rounds, mut right) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for _ in 0..self.lookups {
            let mut key = [0; 32];
            random.fill(&mut key);
            let target = KBucketKey::new(key);
            let who = random.usize(..self.members);
            let found = network.look_up(who, &target);
            let distance = |member: &Member| KBucketKey::from(member.peer).distance(&target);
            let nearest =
                (0..self.members).min_by_key(|&number| distance(&network.members[number]));
            right += usize::from(found.closest.first().copied() == nearest);
            hops.push(found.hops);
            asked.push(found.asked.len());
            rounds.push(found.rounds);
        }
        println!(
            "{}",
            json!({
                "members": self.members,
                "lookups": self.lookups,
                "found_closest": right as f64 / self.lookups as f64,
                "hops": told(&mut hops),
                "rounds": told(&mut rounds),
                "asked": told(&mut asked),
                "table": told(&mut sizes),
                "asked_at_join": told(&mut joined),
                "seconds": began.elapsed().as_secs_f64(),
            })
        );
        Ok(())
    }
}

/// Mean, 99th percentile and greatest.
fn told(values: &mut [usize]) -> serde_json::Value {
    values.sort_unstable();
    let mean = values.iter().sum::<usize>() as f64 / values.len().max(1) as f64;
    let p99 = values.get((values.len() * 99 / 100).min(values.len().saturating_sub(1)));
    json!({ "mean": mean, "p99": p99, "max": values.last() })
}
