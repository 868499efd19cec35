//! How many slots a member should own, and which slots move for it: pure functions of the table.
//!
//! Shares are in proportion to capacity, to within one slot. A slot leaves a member only if that has more than its
//! share (or goes), and goes only to one that has less, so that nothing moves between members that need not change.

use super::SLOTS;
use super::table::Table;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

/// Slots for each member, by number.
pub(super) type Shares = BTreeMap<u16, u16>;

/// How many slots each member should own, given its capacity (0 counts as 1) and how many it owns now.
///
/// What the division leaves over goes to those that have it already, then by the largest remainder.
pub(super) fn quotas(capacities: &BTreeMap<u16, u64>, shares: &Shares) -> Shares {
    let weight = |capacity: u64| u128::from(capacity.max(1));
    let total: u128 = capacities.values().map(|&capacity| weight(capacity)).sum();
    let mut quotas = Shares::new();
    let mut remainders = Vec::new();
    for (&number, &capacity) in capacities {
        let exact = weight(capacity) * SLOTS as u128;
        let quota = (exact / total) as u16;
        // Nothing is left over where the division is even.
        let is_over = |&share: &u16| share > quota;
        let has_more = !exact.is_multiple_of(total) && shares.get(&number).is_some_and(is_over);
        quotas.insert(number, quota);
        remainders.push((Reverse(has_more), Reverse(exact % total), number));
    }
    remainders.sort_unstable();
    let left: usize = SLOTS - quotas.values().map(|&quota| usize::from(quota)).sum::<usize>();
    for (_, _, number) in remainders.into_iter().take(left) {
        quotas.entry(number).and_modify(|quota| *quota += 1);
    }
    quotas
}

/// Gives free slots to the members that lack most; nobody gets more than its quota.
pub(super) fn give(
    free: &[Range<u16>],
    shares: &Shares,
    quotas: &Shares,
) -> Vec<(Range<u16>, u16)> {
    let lacks = |(&number, &quota): (&u16, &u16)| {
        let lack = quota.saturating_sub(shares.get(&number).copied().unwrap_or(0));
        (Reverse(lack), number)
    };
    let mut needy: Vec<_> = quotas.iter().map(lacks).collect();
    needy.sort_unstable();
    let mut needy = needy.into_iter().map(|(Reverse(lack), number)| (lack, number));
    let mut given = Vec::new();
    let mut current = needy.next();
    for run in free {
        let mut first = run.start;
        while first < run.end {
            let Some((lack, number)) = current else { return given };
            let end = run.end.min(first + lack);
            if first < end {
                given.push((first..end, number));
            }
            current = if first + lack > end {
                Some((lack - (end - first), number))
            } else {
                needy.next()
            };
            first = end;
        }
    }
    given
}

/// Takes at most `most` slots from the members that have more than their quota (0 for those without one): the slots,
/// and whose they were. From those first that have most too many, and from their last runs, so that runs stay long.
pub(super) fn take(table: &Table, quotas: &Shares, most: u16) -> Vec<(Range<u16>, u16)> {
    let too_many = |(number, share): (u16, u16)| {
        let quota = quotas.get(&number).copied().unwrap_or(0);
        (share > quota).then(|| (Reverse(share - quota), number))
    };
    let mut rich: Vec<_> = table.shares().into_iter().filter_map(too_many).collect();
    rich.sort_unstable();
    let mut left = most;
    let mut taken = Vec::new();
    for (Reverse(surplus), number) in rich {
        let mut wanted = surplus.min(left);
        left -= wanted;
        let mut runs: Vec<_> = table.owned_by(number).map(|(run, _)| run).collect();
        while wanted > 0 {
            let Some(run) = runs.pop() else { break };
            let first = run.end - wanted.min(run.len() as u16);
            wanted -= run.end - first;
            taken.push((first..run.end, number));
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::super::table::{Member, NodeId};
    use super::*;
    use proptest::prelude::*;

    fn free(table: &Table) -> Vec<Range<u16>> {
        table.slots.iter().filter(|(_, slot)| slot.owner.is_none()).map(|(run, _)| run).collect()
    }

    fn capacities(table: &Table) -> BTreeMap<u16, u64> {
        table.members.iter().map(|(&number, member)| (number, member.capacity)).collect()
    }

    /// Changes the table until nothing moves any more, `most` slots at a time, and says how many moved.
    fn settle(table: &mut Table, most: u16) -> usize {
        let mut moved = 0;
        loop {
            table.epoch += 1;
            let quotas = quotas(&capacities(table), &table.shares());
            let taken = take(table, &quotas, most);
            assert!(taken.iter().map(|(run, _)| run.len()).sum::<usize>() <= most.into());
            for (run, from) in &taken {
                assert!(run.clone().all(|slot| table.slots.get(slot).owner == Some(*from)));
                table.set_owner(run.clone(), None);
            }
            let given = give(&free(table), &table.shares(), &quotas);
            for (run, to) in &given {
                table.set_owner(run.clone(), Some(*to));
            }
            if given.is_empty() {
                assert!(taken.is_empty());
                return moved;
            }
            moved += given.iter().map(|(run, _)| run.len()).sum::<usize>();
        }
    }

    fn admit(table: &mut Table, capacity: u64) -> u16 {
        let id = NodeId([table.members.len() as u8; 20]);
        table.admit(Member { id, address: "10.0.0.1:6379".to_owned(), capacity })
    }

    fn assert_balanced(table: &Table) {
        let total: u128 = table.members.values().map(|member| u128::from(member.capacity)).sum();
        assert!(free(table).is_empty());
        for (number, share) in table.shares() {
            let exact = u128::from(table.members[&number].capacity) * SLOTS as u128;
            let (least, most) = (exact / total, exact.div_ceil(total));
            assert!((least..=most).contains(&share.into()), "{share}, not {least} to {most}");
        }
    }

    #[derive(Clone, Debug)]
    enum Change {
        Join(u64),
        Lose(usize),
        Resize(usize, u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        let capacity = 1u64..64;
        prop_oneof![
            3 => capacity.clone().prop_map(|c| Change::Join(c << 30)),
            2 => (0usize..99).prop_map(Change::Lose),
            1 => (0usize..99, capacity).prop_map(|(n, c)| Change::Resize(n, c << 30)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn stays_balanced_and_moves_little(
            first in prop::collection::vec(1u64..64, 1..12),
            changes in prop::collection::vec(change(), 1..12),
            most in 500u16..=16384,
        ) {
            let mut table = Table::default();
            first.iter().for_each(|c| { admit(&mut table, c << 30); });
            settle(&mut table, most);
            for change in changes {
                let numbers: Vec<u16> = table.members.keys().copied().collect();
                let before = table.clone();
                match change {
                    Change::Join(capacity) => { admit(&mut table, capacity); }
                    Change::Lose(_) if numbers.len() == 1 => continue,
                    Change::Lose(at) => {
                        let number = numbers[at % numbers.len()];
                        table.epoch += 1;
                        let runs: Vec<_> = table.owned_by(number).map(|(run, _)| run).collect();
                        runs.into_iter().for_each(|run| table.set_owner(run, None));
                        table.members.remove(&number);
                    }
                    Change::Resize(at, capacity) => {
                        table.members.get_mut(&numbers[at % numbers.len()]).unwrap().capacity = capacity;
                    }
                }
                let quotas = quotas(&capacities(&table), &table.shares());
                let lacking: usize = quotas.iter()
                    .map(|(n, &quota)| usize::from(quota.saturating_sub(table.shares()[n]))).sum();
                let mut other = table.clone();
                prop_assert_eq!(settle(&mut table, most), lacking, "no slot moves twice");
                assert_balanced(&table);
                for slot in 0..SLOTS as u16 {
                    let (from, to) = (before.slots.get(slot).owner, table.slots.get(slot).owner);
                    let Some(from) = from.filter(|from| Some(*from) != to) else { continue };
                    let was_over = !table.members.contains_key(&from) || before.shares()[&from] > quotas[&from];
                    prop_assert!(was_over, "slot {} left {}, which had not too many", slot, from);
                }
                settle(&mut other, most);
                prop_assert_eq!(&other, &table);
            }
        }
    }

    #[test]
    fn equal_nodes_have_equal_shares() {
        for count in [1, 2, 3, 5, 10, 50, 100] {
            let mut table = Table::default();
            (0..count).for_each(|_| {
                admit(&mut table, 1 << 30);
            });
            settle(&mut table, 1024);
            let most = f64::from(*table.shares().values().max().unwrap());
            assert!(most / (SLOTS as f64 / f64::from(count)) <= 1.01, "{count} nodes");
            // One more takes its share, and no slot moves that need not.
            admit(&mut table, 1 << 30);
            let share = SLOTS.div_ceil(count as usize + 1);
            assert!(settle(&mut table, 1024) <= share);
        }
    }
}
