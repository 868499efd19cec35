//! Hash slots as in Redis Cluster, and an even table of their owners.

use crc16::{State, XMODEM};
use sha2::{Digest, Sha256};

/// Slots that keys hash to.
pub const SLOTS: usize = 16_384;

/// The slot of a key: CRC16 of it, or of what stands between the first `{` and the next `}` if that is not
/// empty, so that keys with the same tag share a slot.
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&b| b == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|&b| b == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    State::<XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS as u16
}

/// Who owns which slot.
pub struct SlotTable {
    nodes: Vec<String>,
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
        if nodes.len() > 1000 {
            return Err("more than 1000 nodes are named".to_owned());
        }
        let owners = (0..SLOTS).map(|slot| (slot * nodes.len() / SLOTS) as u16).collect();
        Ok(SlotTable { nodes, owners })
    }

    /// The addresses of the nodes; a node's place here is its number.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The number of the node that owns a slot.
    pub fn owner(&self, slot: u16) -> usize {
        self.owners[slot as usize].into()
    }

    /// The number of the node that owns a key.
    pub fn owner_of(&self, key: &[u8]) -> usize {
        self.owner(slot_of(key))
    }

    /// Tells two tables apart: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.nodes.join(" ").as_bytes());
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
