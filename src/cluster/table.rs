//! The slot table of a cluster that forms itself: which member owns which slot, and since which epoch.
//!
//! Every change of the table has an epoch of its own, and a slot carries the epoch of its last change. So what changed
//! after an epoch is what carries a later one ([`Table::update_since`]), and an owner that sees an epoch other than the
//! one it knows has lost the slot in between, even if it never noticed.

use super::runs::Runs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The number of a table. Each is greater than those before; 0 is the empty table that everybody begins with.
pub type Epoch = u64;

/// Names a process of the cluster for good: 160 bits, written as 40 hexadecimal digits, as Redis Cluster does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(pub [u8; 20]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a node's id is 40 hexadecimal digits";
        if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(WRONG);
        }
        let mut id = [0; 20];
        for (byte, at) in id.iter_mut().zip((0..40).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| WRONG)?;
        }
        Ok(NodeId(id))
    }
}

impl TryFrom<String> for NodeId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

/// A node that takes part in the placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Where it listens for RESP, as `host:port`.
    pub address: String,
    /// What its share of the slots is in proportion to: bytes of memory.
    pub capacity: u64,
}

impl Member {
    /// The host of its address, an IPv6 one without its brackets, and the port, as Redis Cluster's clients want them.
    pub fn host_and_port(&self) -> (&str, u16) {
        let (host, port) = self.address.rsplit_once(':').unwrap_or((&self.address, "0"));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        (bare.unwrap_or(host), port.parse().unwrap_or(0))
    }
}

/// What the table says of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The number of the member that may serve it. None: it is between two owners, or there is no member.
    pub owner: Option<u16>,
    /// The epoch in which it came to be so.
    pub since: Epoch,
}

/// Which member owns which slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its number.
    pub epoch: Epoch,
    /// By number. The number of a member that is gone may be given again: its slots then have another `since`.
    pub members: BTreeMap<u16, Member>,
    /// All slots.
    pub slots: Runs<Slot>,
}

impl Default for Table {
    fn default() -> Self {
        let slots = Runs::new(Slot { owner: None, since: 0 });
        Table { epoch: 0, members: BTreeMap::new(), slots }
    }
}

/// What makes a table that has an epoch of at least `base` the one of `epoch`. With base 0: the whole table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    base: Epoch,
    epoch: Epoch,
    members: BTreeMap<u16, Member>,
    slots: Vec<(Range<u16>, Slot)>,
}

impl Update {
    /// The epoch of the table that it leads to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Table {
    /// The number of a member.
    pub fn number(&self, id: NodeId) -> Option<u16> {
        self.members.iter().find(|(_, member)| member.id == id).map(|(&number, _)| number)
    }

    /// The member that may serve a slot.
    pub fn owner(&self, slot: u16) -> Option<&Member> {
        self.members.get(&self.slots.get(slot).owner?)
    }

    /// The slots of a member.
    pub fn owned_by(&self, number: u16) -> impl Iterator<Item = (Range<u16>, Slot)> + '_ {
        self.slots.iter().filter(move |(_, slot)| slot.owner == Some(number))
    }

    /// How many slots each member owns.
    pub fn shares(&self) -> BTreeMap<u16, u16> {
        let mut shares: BTreeMap<u16, u16> =
            self.members.keys().map(|&number| (number, 0)).collect();
        for (run, slot) in self.slots.iter() {
            if let Some(share) = slot.owner.and_then(|owner| shares.get_mut(&owner)) {
                *share += run.len() as u16;
            }
        }
        shares
    }

    /// Changes the owner of slots, in this table's epoch.
    pub fn set_owner(&mut self, slots: Range<u16>, owner: Option<u16>) {
        self.slots.set(slots, Slot { owner, since: self.epoch });
    }

    /// Takes a member in, under the lowest number that is free, and says which.
    pub fn admit(&mut self, member: Member) -> u16 {
        let taken = self.members.keys().zip(0..).take_while(|&(&number, at)| number == at);
        let number = taken.count() as u16;
        self.members.insert(number, member);
        number
    }

    /// What somebody lacks who has the table of an earlier epoch; everything for 0.
    pub fn update_since(&self, base: Epoch) -> Update {
        let slots = self.slots.iter().filter(|(_, slot)| slot.since > base).collect();
        Update { base, epoch: self.epoch, members: self.members.clone(), slots }
    }

    /// The table that an update makes of this one.
    ///
    /// # Errors
    /// It is for a later table than this one, or names slots or owners that there are not.
    pub fn updated(&self, update: &Update) -> Result<Table, &'static str> {
        let mut table = if update.base == 0 { Table::default() } else { self.clone() };
        if update.base > table.epoch {
            return Err("the update is for a later table");
        }
        table.epoch = update.epoch;
        table.members = update.members.clone();
        for (run, slot) in &update.slots {
            if run.end > super::SLOTS as u16 {
                return Err("the update names slots that there are not");
            }
            table.slots.set(run.clone(), *slot);
        }
        let mut owners = table.slots.iter().filter_map(|(_, slot)| slot.owner);
        if owners.any(|owner| !table.members.contains_key(&owner)) {
            return Err("the update names an owner that is not a member");
        }
        drop(owners);
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(number: u8) -> Member {
        Member { id: NodeId([number; 20]), address: format!("10.0.0.{number}:6379"), capacity: 1 }
    }

    #[test]
    fn ids_are_forty_digits() {
        let id = NodeId([0xA7; 20]);
        assert_eq!(id.to_string(), "a7".repeat(20));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("a7".parse::<NodeId>().is_err());
        assert!("é".repeat(20).parse::<NodeId>().is_err());
    }

    #[test]
    fn numbers_are_given_again() {
        let mut table = Table::default();
        assert_eq!([0, 1, 2].map(|n| table.admit(member(n))), [0, 1, 2]);
        table.members.remove(&1);
        assert_eq!(table.admit(member(3)), 1);
        assert_eq!(table.number(NodeId([3; 20])), Some(1));
    }

    proptest! {
        #[test]
        fn updates_lead_to_the_same_table(
            steps in prop::collection::vec((0u16..16384, 1u16..9000, prop::option::of(0u16..4)), 1..20),
            at in 0usize..20,
            on in 0usize..20,
        ) {
            let mut tables = vec![Table::default()];
            for (first, length, owner) in steps {
                let mut table = tables.last().unwrap().clone();
                table.epoch += 3;
                if table.members.is_empty() {
                    (0..4).for_each(|n| { table.admit(member(n)); });
                }
                table.set_owner(first..(first + length).min(16384), owner);
                tables.push(table);
            }
            let last = tables.last().unwrap();
            let base = at % tables.len();
            let update = last.update_since(tables[base].epoch);
            let text = serde_json::to_string(&update).unwrap();
            let update: Update = serde_json::from_str(&text).unwrap();
            // An update also fits every table after the one that it is for.
            let on = base + on % (tables.len() - base);
            prop_assert_eq!(&tables[on].updated(&update).unwrap(), last);
            if base > 0 {
                prop_assert!(tables[base - 1].updated(&update).is_err());
            }
        }
    }
}
