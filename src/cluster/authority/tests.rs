//! What the authority answers to single messages. The interplay is for `cluster/simulation.rs`.

use super::super::message::{Grant, Heartbeat, Role};
use super::super::rules::STEP_SLOTS;
use super::super::table::{NodeId, Table};
use super::*;
use std::ops::Range;

/// When it begins to grant: it starts at 0.
const BEGIN: u64 = LEASE_MS + MARGIN_MS;

fn id(number: u8) -> NodeId {
    NodeId([number; 20])
}

/// An authority with a disk that takes no time.
struct Tester {
    authority: Authority<FileAuthority>,
    beats: u64,
}

impl Tester {
    fn new(table: Table) -> Self {
        Tester { authority: Authority::new(FileAuthority::new(table, 0), STEP_SLOTS, 0), beats: 0 }
    }

    /// One with members 1 and 2 that have leases, at [`BEGIN`].
    fn with_two() -> Self {
        let mut tester = Tester::new(Table::default());
        for time in [BEGIN - 1100, BEGIN] {
            tester.beat_all(time, 1..3);
        }
        tester.write(BEGIN);
        let epoch = tester.table().epoch;
        (1..3).for_each(|node| {
            drop(tester.beat_with(BEGIN, node, |heartbeat| heartbeat.epoch = epoch))
        });
        assert_eq!(tester.table().shares().into_values().collect::<Vec<_>>(), [8192, 8192]);
        tester
    }

    fn table(&mut self) -> &Table {
        self.authority.decider().table()
    }

    /// What is to be written is.
    fn write(&mut self, now_ms: u64) -> Vec<Action> {
        let mut actions = self.authority.tick(now_ms);
        while self.authority.decider().take_unwritten().is_some() {
            self.authority.decider().written(true);
            actions.extend(self.authority.tick(now_ms));
        }
        actions
    }

    fn heartbeat(&mut self, node: u8, sent_ms: u64) -> Heartbeat {
        self.beats += 1;
        Heartbeat {
            id: id(node),
            boot: 1,
            beat: self.beats,
            role: Role::Node,
            address: "h:1".to_owned(),
            capacity: 1 << 30,
            sent_ms,
            epoch: 0,
            seen: 0,
            sweeping: false,
            leaving: false,
        }
    }

    fn beat_with(
        &mut self,
        now_ms: u64,
        node: u8,
        change: impl Fn(&mut Heartbeat),
    ) -> Option<Grant> {
        let mut heartbeat = self.heartbeat(node, now_ms);
        change(&mut heartbeat);
        granted(self.authority.heartbeat(now_ms, heartbeat))
    }

    fn beat(&mut self, now_ms: u64, node: u8) -> Option<Grant> {
        self.beat_with(now_ms, node, |_| ())
    }

    fn beat_all(&mut self, now_ms: u64, nodes: Range<u8>) {
        nodes.for_each(|node| drop(self.beat(now_ms, node)));
    }
}

fn granted(actions: Vec<Action>) -> Option<Grant> {
    actions.into_iter().find_map(|action| match action {
        Action::Grant(_, grant) => Some(grant),
        _ => None,
    })
}

#[test]
fn a_start_waits_for_the_leases_of_the_last_life() {
    let mut tester = Tester::new(Table::default());
    assert_eq!(tester.beat(BEGIN - 1, 1), None);
    let news = tester.authority.tick(BEGIN);
    assert_eq!(news, [Action::News(id(1), 0)]);
    let grant = tester.beat(BEGIN + 10, 1).unwrap();
    assert_eq!((grant.sent_ms, grant.lease_ms, grant.boot), (BEGIN + 10, LEASE_MS, 1));
    // Coordinators get their answer at once, without a lease.
    let coordinator = |heartbeat: &mut Heartbeat| heartbeat.role = Role::Coordinator;
    assert_eq!(Tester::new(Table::default()).beat_with(1, 3, coordinator).unwrap().lease_ms, 0);
}

#[test]
fn joins_wait_for_others() {
    let mut tester = Tester::with_two();
    let joins: Vec<u64> = (0..8).map(|n| BEGIN + 10 + n * 400).collect();
    for (node, &time) in (3..).zip(&joins) {
        tester.beat_all(time, 1..node + 1);
        tester.write(time);
        let count = tester.table().members.len();
        assert_eq!(count > 2, time >= joins[0] + DEBOUNCE_MAX_MS, "{count} members at {time}");
    }
    let mut tester = Tester::with_two();
    tester.beat(BEGIN + 10, 3);
    tester.write(BEGIN + 9 + DEBOUNCE_MS);
    assert_eq!(tester.table().members.len(), 2);
    tester.write(BEGIN + 10 + DEBOUNCE_MS);
    assert_eq!(tester.table().members.len(), 3);
}

#[test]
fn a_slot_moves_when_it_was_given_up() {
    let mut tester = Tester::with_two();
    tester.beat(BEGIN + 10, 3);
    let now = BEGIN + 10 + DEBOUNCE_MS;
    tester.beat_all(now, 1..4);
    let actions = tester.write(now);
    assert!(actions.iter().any(|action| matches!(action, Action::News(..))));
    assert_eq!(tester.authority.releasing(), 1024);
    let epoch = tester.table().epoch;
    // Only what is said in the table's epoch counts.
    tester.beat_with(now + 100, 1, |heartbeat| heartbeat.epoch = epoch - 1);
    tester.beat_with(now + 100, 2, |heartbeat| heartbeat.epoch = epoch - 1);
    tester.write(now + 100);
    assert_eq!((tester.authority.releasing(), tester.table().shares()[&2]), (1024, 0));
    (1..3).for_each(|node| {
        drop(tester.beat_with(now + 200, node, |heartbeat| heartbeat.epoch = epoch))
    });
    tester.write(now + 200);
    assert_eq!(tester.table().shares()[&2], 1024);
}

#[test]
fn a_lost_nodes_slots_move_when_its_lease_has_surely_ended() {
    let mut tester = Tester::with_two();
    let sent = |tester: &mut Tester, now| drop(tester.beat(now, 1));
    tester.authority.closed(BEGIN + 1, id(2));
    // Coordinators hear of it at once.
    let grant =
        tester.beat_with(BEGIN + 2, 9, |heartbeat| heartbeat.role = Role::Coordinator).unwrap();
    assert_eq!(grant.down, [id(2)]);
    (1..=17).for_each(|n| sent(&mut tester, BEGIN + n * 99));
    tester.write(BEGIN + LEASE_MS + MARGIN_MS - 1);
    assert_eq!(tester.table().members.len(), 2);
    tester.write(BEGIN + LEASE_MS + MARGIN_MS);
    assert_eq!(tester.table().shares(), [(0, 16384)].into());
    // It comes again as a new one.
    let grant = tester.beat(BEGIN + LEASE_MS + MARGIN_MS + 1, 2).unwrap();
    assert_eq!((grant.lease_ms, grant.update.unwrap().epoch()), (LEASE_MS, tester.table().epoch));
}

#[test]
fn who_loses_slots_gets_no_lease_while_that_is_decided() {
    let mut tester = Tester::with_two();
    let end = BEGIN + LEASE_MS + MARGIN_MS;
    (1..=17).for_each(|n| drop(tester.beat(BEGIN + n * 99, 1)));
    tester.authority.tick(end);
    assert_eq!(tester.authority.decider().take_unwritten().unwrap().members.len(), 1);
    assert_eq!(tester.beat(end + 1, 2), None);
    assert!(tester.beat(end + 1, 1).is_some());
    tester.authority.decider().written(false);
    tester.authority.tick(end + 2);
    assert_eq!(tester.beat(end + 3, 2).unwrap().epoch, tester.table().epoch, "it is here again");
}

#[test]
fn a_frozen_authority_takes_nobody_for_lost() {
    let mut tester = Tester::with_two();
    let thawed = BEGIN + 9000;
    tester.write(thawed);
    assert_eq!(tester.table().members.len(), 2);
    (1..18).for_each(|n| drop(tester.write(thawed + n * 100)));
    assert_eq!(tester.table().members.len(), 0, "until they stay silent");
}

#[test]
fn a_new_life_gets_a_lease_when_that_of_the_last_one_has_ended() {
    let mut tester = Tester::with_two();
    let reborn = |heartbeat: &mut Heartbeat| heartbeat.boot = 2;
    assert_eq!(tester.beat_with(BEGIN + 100, 1, reborn), None);
    assert_eq!(tester.beat(BEGIN + 200, 1), None, "the last life is over");
    assert_eq!(tester.beat_with(BEGIN + LEASE_MS + MARGIN_MS - 1, 1, reborn), None);
    assert!(tester.beat_with(BEGIN + LEASE_MS + MARGIN_MS, 1, reborn).is_some());
}

#[test]
fn what_comes_late_or_twice_is_not_heard() {
    let mut tester = Tester::with_two();
    let old = tester.heartbeat(1, BEGIN);
    let new = tester.heartbeat(1, BEGIN + 500);
    assert!(granted(tester.authority.heartbeat(BEGIN + 500, new.clone())).is_some());
    assert_eq!(granted(tester.authority.heartbeat(BEGIN + 510, old)), None);
    assert_eq!(granted(tester.authority.heartbeat(BEGIN + 520, new)), None);
}

#[test]
fn a_node_that_wants_to_go_may_when_all_coordinators_know() {
    let mut tester = Tester::with_two();
    let mut now = BEGIN;
    let mut has_left = false;
    // The coordinator is one table behind what it could know, as long as that changes.
    let (mut known, mut knows) = (0, 0);
    while !has_left {
        now += STEP_MS;
        assert!(now < BEGIN + 3000, "it may not go");
        let epoch = tester.table().epoch;
        let coordinator = |heartbeat: &mut Heartbeat| {
            (heartbeat.role, heartbeat.epoch) = (Role::Coordinator, known)
        };
        tester.beat_with(now, 9, coordinator);
        knows = known;
        known = epoch;
        tester.beat_with(now, 1, |heartbeat| heartbeat.epoch = epoch);
        let leaving =
            |heartbeat: &mut Heartbeat| (heartbeat.leaving, heartbeat.epoch) = (true, epoch);
        has_left = tester.beat_with(now, 2, leaving).is_some_and(|grant| grant.left);
        tester.write(now);
    }
    assert_eq!(tester.table().shares(), [(0, 16384)].into());
    assert_eq!(knows, tester.table().epoch);
}

#[test]
fn refuses_to_go_on_with_an_old_file() {
    let mut tester = Tester::with_two();
    let epoch = tester.table().epoch;
    let file = tester.table().clone();
    // Members go on with what the next tables say, and the file does not.
    let mut tester = Tester::new(file);
    assert_eq!(tester.beat_with(10, 1, |heartbeat| heartbeat.epoch = epoch), None);
    let newer = Heartbeat { seen: epoch + 1, ..tester.heartbeat(2, 20) };
    assert_eq!(tester.authority.heartbeat(20, newer), [Action::Refuse(id(2), epoch + 1)]);
    assert_eq!(tester.authority.refused(), Some((id(2), epoch + 1)));
    assert_eq!(tester.beat(BEGIN + 10, 1), None);
    assert_eq!(tester.write(BEGIN + 20), []);
}
