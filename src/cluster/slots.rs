//! Hash slots as in Redis Cluster, and an even table of their owners.

use super::crc::crc16;
use super::follower::Route;
use super::table::{Epoch, Member, NodeId, Table};
use sha2::{Digest, Sha256};

/// Slots that keys hash to.
pub const SLOTS: usize = 16_384;

/// The slot of a key: CRC16 of it, or of what stands between the first `{` and the next `}` if that is not
/// empty, so that keys with the same tag share a slot.
pub fn slot_of(key: &[u8]) -> u16 {
    // Mostly there is none, which is quicker to see than where the first one is.
    let hashed = if key.contains(&b'{') { tag(key).unwrap_or(key) } else { key };
    crc16(hashed) % SLOTS as u16
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&b| b == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|&b| b == b'}')?;
    (close > 0).then(|| &rest[..close])
}

/// Nodes of a cluster at most, so that a cursor can name one.
pub const NODES_MAX: usize = 1000;

/// Nobody may serve it just now; it will have an owner soon.
const BETWEEN: u16 = u16::MAX;
/// Nobody serves it.
const NOBODY: u16 = u16::MAX - 1;

/// Whom a request for a slot goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The node at this place of the table.
    Node(usize),
    /// Nobody yet, for some milliseconds.
    Between,
    /// Nobody.
    Nobody,
}

/// A node that a coordinator routes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its name in a cluster that forms itself.
    pub id: Option<NodeId>,
    /// Its number, which stays as long as it is a member; below [`NODES_MAX`].
    pub number: u16,
    /// It is known not to serve.
    pub is_down: bool,
}

/// Who owns which slot, as a coordinator's workers want to know it. Places count the nodes of this one table.
#[derive(PartialEq, Eq)]
pub struct SlotTable {
    epoch: Epoch,
    addresses: Vec<String>,
    nodes: Vec<Node>,
    owners: Box<[u16]>,
}

impl SlotTable {
    /// The table of a fixed set of nodes: contiguous ranges, as even as can be, whatever the order in which the
    /// addresses are given.
    ///
    /// # Errors
    /// There are none, too many, or one is named twice; says which.
    pub fn even(mut nodes: Vec<String>) -> Result<Self, String> {
        nodes.sort();
        if let Some(twice) = nodes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the node {} is named twice", twice[0]));
        }
        if nodes.is_empty() {
            return Err("no nodes are named".to_owned());
        }
        if nodes.len() > NODES_MAX {
            return Err(format!("more than {NODES_MAX} nodes are named"));
        }
        let owners = (0..SLOTS).map(|slot| (slot * nodes.len() / SLOTS) as u16).collect();
        let node = |number| Node { id: None, number, is_down: false };
        Ok(SlotTable {
            epoch: 0,
            nodes: (0..nodes.len() as u16).map(node).collect(),
            addresses: nodes,
            owners,
        })
    }

    /// The table of a cluster of which nothing is known yet.
    pub fn nothing() -> Self {
        SlotTable { epoch: 0, addresses: vec![], nodes: vec![], owners: [NOBODY; SLOTS].into() }
    }

    /// A cluster's table as a coordinator may use it, by what it knows of the nodes: [`super::Follower::is_down`] and
    /// [`super::Follower::route`], for instance.
    pub fn of(
        table: &Table,
        is_down: impl Fn(NodeId) -> bool,
        route: impl Fn(u16) -> Route,
    ) -> Self {
        let mut owners: Box<[u16]> = [NOBODY; SLOTS].into();
        let members: Vec<_> = table.members.iter().collect();
        for (run, _) in table.slots.iter() {
            // Slots of a run have all in common that the route depends on.
            let owner = match route(run.start) {
                Route::To(wanted) => {
                    let place = members.iter().position(|&(&number, _)| number == wanted);
                    place.map_or(NOBODY, |place| place as u16)
                }
                Route::Wait => BETWEEN,
                Route::Down => NOBODY,
            };
            owners[run.start.into()..run.end.into()].fill(owner);
        }
        let node = |&(&number, member): &(&u16, &Member)| Node {
            id: Some(member.id),
            number,
            is_down: is_down(member.id),
        };
        SlotTable {
            epoch: table.epoch,
            nodes: members.iter().map(node).collect(),
            addresses: members.iter().map(|(_, member)| member.address.clone()).collect(),
            owners,
        }
    }

    /// The epoch of the cluster's table; 0 for a fixed list.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The addresses of the nodes, by their places.
    pub fn nodes(&self) -> &[String] {
        &self.addresses
    }

    /// What else is known of the node at a place.
    pub fn node(&self, place: usize) -> &Node {
        &self.nodes[place]
    }

    /// The owner of a slot.
    pub fn owner(&self, slot: u16) -> Owner {
        match self.owners[usize::from(slot)] {
            BETWEEN => Owner::Between,
            NOBODY => Owner::Nobody,
            place => Owner::Node(place.into()),
        }
    }

    /// Tells two fixed tables apart: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.addresses.join(" ").as_bytes());
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Tags are found wherever they stand.
        #[test]
        fn tags_are_found(key in "[a{}xy]{0,30}") {
            let found = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
            let hashed = found.map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(&key);
            prop_assert_eq!(slot_of(key.as_bytes()), crc16(hashed.as_bytes()) % SLOTS as u16);
        }
    }

    #[test]
    fn slots_are_redis_clusters() {
        // From CLUSTER KEYSLOT of redis-server 7.0.
        for (key, slot) in [
            ("foo", 12182),
            ("bar", 5061),
            ("123456789", 12739),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
            ("", 0),
        ] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    proptest! {
        #[test]
        fn tables_are_even_and_do_not_depend_on_the_order(count in 1usize..100, turn in 0usize..100) {
            let mut nodes: Vec<String> = (0..count).map(|n| format!("10.0.0.{n}:6379")).collect();
            let table = SlotTable::even(nodes.clone()).unwrap();
            nodes.rotate_left(turn % count);
            let turned = SlotTable::even(nodes).unwrap();
            prop_assert_eq!(&table.owners, &turned.owners);
            prop_assert_eq!(table.nodes(), turned.nodes());
            prop_assert_eq!(table.fingerprint(), turned.fingerprint());
            let mut shares = vec![0usize; count];
            table.owners.iter().for_each(|&owner| shares[owner as usize] += 1);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_cluster() {
        assert!(SlotTable::even(vec![]).is_err());
        let twice = SlotTable::even(vec!["a:1".into(), "b:1".into(), "a:1".into()]);
        assert!(twice.err().unwrap().contains("a:1"));
    }
}
