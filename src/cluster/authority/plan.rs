//! What the next table should be: a pure function of the one in force and of what is known of its members.

use super::super::placement::{give, quotas, take};
use super::super::table::{Epoch, Member, NodeId, Table};
use std::ops::Range;

/// Slots that were taken from a member that lives: nobody gets them before it gave them up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Release {
    pub(super) slots: Range<u16>,
    pub(super) from: NodeId,
    /// The table that took them.
    pub(super) epoch: Epoch,
}

/// What is known.
pub(super) struct Situation<'a> {
    /// In force.
    pub(super) table: &'a Table,
    /// Of the next table.
    pub(super) epoch: Epoch,
    /// Members that are gone; they surely serve nothing any more.
    pub(super) lost: &'a [NodeId],
    /// Members that want to go.
    pub(super) leaving: &'a [NodeId],
    /// New members, and members of which something changed.
    pub(super) joining: Vec<Member>,
    /// What is not given up yet.
    pub(super) releases: &'a [Release],
    /// How many slots may be taken from members that live.
    pub(super) step: u16,
}

/// The next table.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) table: Table,
    /// What it takes from members that live.
    pub(super) releases: Vec<Release>,
}

/// The next table, if it is another than the one in force.
///
/// Slots of lost members get their next owner in one step. Those of members that live go by two tables: one in which
/// nobody has them, and when their owner gave them up, one with the next owner.
pub(super) fn plan(situation: Situation<'_>) -> Option<Plan> {
    let Situation { table, epoch, lost, leaving, joining, releases, step } = situation;
    let mut next = Table { epoch, ..table.clone() };
    for number in lost.iter().filter_map(|&id| table.number(id)) {
        table.owned_by(number).for_each(|(run, _)| next.set_owner(run, None));
        next.members.remove(&number);
    }
    for &id in leaving {
        let Some(number) = next.number(id) else { continue };
        let has_slots = table.owned_by(number).next().is_some();
        if !has_slots && releases.iter().all(|release| release.from != id) {
            next.members.remove(&number);
        }
    }
    for member in joining {
        match next.number(member.id) {
            Some(number) => drop(next.members.insert(number, member)),
            None => drop(next.admit(member)),
        }
    }
    let staying = next.members.iter().filter(|(_, member)| !leaving.contains(&member.id));
    let capacities = staying.map(|(&number, member)| (number, member.capacity)).collect();
    let quotas = quotas(&capacities, &next.shares());
    for (run, to) in give(&free(&next, releases), &next.shares(), &quotas) {
        next.set_owner(run, Some(to));
    }
    let mut taken = Vec::new();
    for (slots, from) in take(&next, &quotas, step) {
        let Some(from) = next.members.get(&from).map(|member| member.id) else { continue };
        next.set_owner(slots.clone(), None);
        taken.push(Release { slots, from, epoch });
    }
    let is_new = next.members != table.members || next.slots != table.slots;
    is_new.then_some(Plan { table: next, releases: taken })
}

/// The slots that nobody has and nobody has to give up first.
fn free(table: &Table, releases: &[Release]) -> Vec<Range<u16>> {
    let mut free = table.slots.clone();
    for release in releases {
        // Any owner does: what counts is that there is one.
        free.set(release.slots.clone(), super::super::table::Slot { owner: Some(0), since: 0 });
    }
    free.iter().filter(|(_, slot)| slot.owner.is_none()).map(|(run, _)| run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> NodeId {
        NodeId([number; 20])
    }

    fn member(number: u8) -> Member {
        Member { id: id(number), address: "h:1".to_owned(), capacity: 1 }
    }

    fn quiet<'a>(table: &'a Table) -> Situation<'a> {
        let epoch = table.epoch + 1;
        Situation {
            table,
            epoch,
            lost: &[],
            leaving: &[],
            joining: vec![],
            releases: &[],
            step: 1024,
        }
    }

    /// Two members with all slots.
    fn two() -> Table {
        let table = Table::default();
        plan(Situation { joining: vec![member(0), member(1)], ..quiet(&table) }).unwrap().table
    }

    #[test]
    fn nothing_changes_without_a_reason() {
        let table = two();
        assert_eq!(table.shares().into_values().collect::<Vec<_>>(), [8192, 8192]);
        assert!(plan(quiet(&table)).is_none());
        assert!(plan(quiet(&Table::default())).is_none());
    }

    #[test]
    fn a_join_takes_slots_in_steps_and_gives_them_once_they_are_given_up() {
        let first = plan(Situation { joining: vec![member(2)], ..quiet(&two()) }).unwrap();
        assert_eq!(first.releases.iter().map(|release| release.slots.len()).sum::<usize>(), 1024);
        assert!(first.table.owned_by(2).next().is_none());
        let waiting = Situation { releases: &first.releases, step: 0, ..quiet(&first.table) };
        assert!(plan(waiting).is_none());
        let second = plan(Situation { step: 0, ..quiet(&first.table) }).unwrap();
        assert_eq!(second.table.shares()[&2], 1024);
        assert!(second.releases.is_empty());
        assert!(second.table.owned_by(2).all(|(_, slot)| slot.since == second.table.epoch));
    }

    #[test]
    fn a_lost_members_slots_have_new_owners_at_once() {
        let plan = plan(Situation { lost: &[id(1)], step: 0, ..quiet(&two()) }).unwrap();
        assert_eq!(plan.table.shares(), [(0, 16384)].into());
        assert!(plan.releases.is_empty());
    }

    #[test]
    fn a_leaving_member_goes_when_others_have_its_slots() {
        let mut table = two();
        for _ in 0..8 {
            let taken = plan(Situation { leaving: &[id(1)], ..quiet(&table) }).unwrap();
            assert!(taken.table.number(id(1)).is_some());
            let waiting = Situation {
                leaving: &[id(1)],
                releases: &taken.releases,
                step: 0,
                ..quiet(&taken.table)
            };
            assert!(plan(waiting).is_none());
            table = plan(Situation { leaving: &[id(1)], step: 0, ..quiet(&taken.table) })
                .unwrap()
                .table;
        }
        assert_eq!(table.shares(), [(0, 16384)].into());
        // The last one can go too.
        let taken = plan(Situation { leaving: &[id(0)], step: 16384, ..quiet(&table) }).unwrap();
        let last = plan(Situation { leaving: &[id(0)], ..quiet(&taken.table) }).unwrap().table;
        assert!(last.members.is_empty());
    }
}
