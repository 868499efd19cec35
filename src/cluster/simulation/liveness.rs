//! What is served when: with nothing going wrong, and with one thing at a time.

use super::super::rules::Rules;
use super::fault::Fault;
use super::history::{Op, Outcome, out_of_turn, stale_reads};
use super::world::{Config, Event, World};
use std::ops::Range;

const SECOND: u64 = 1_000_000;
const SEEDS: Range<u64> = 0..8;

/// When something happens: the cluster has long formed, and heartbeats are not always as long ago.
fn then(seed: u64) -> u64 {
    5 * SECOND + seed * 70_000
}

fn config() -> Config {
    Config {
        nodes: 3,
        clients: 40,
        keys: 200,
        duration_us: 14 * SECOND,
        quiet_us: 0,
        pause_us: 1000..20_000,
        hop_us: 2000,
        clock_error: 1000,
        restart_us: 4 * SECOND,
        faults: false,
        stalls: false,
        rules: Rules::ALL,
        recheck: true,
        durable: true,
        disk_us: 8000,
    }
}

/// Runs a world in which this happens, so long after [`then`].
fn run(seed: u64, config: Config, happens: &[(u64, Fault)]) -> World {
    let mut world = World::new(config, seed);
    happens.iter().for_each(|&(after, fault)| world.at(then(seed) + after, Event::Fault(fault)));
    world.run();
    assert!(stale_reads(&world.ops, world.slots.len()).is_empty());
    assert!(out_of_turn(&world.ops, world.slots.len()).is_empty());
    world
}

fn is_served(op: &Op) -> bool {
    matches!(op.outcome, Outcome::Done(_))
}

/// Requests that were answered, in the order of their begins.
fn answered(world: &World, begin: Range<u64>) -> impl Iterator<Item = &Op> {
    world.ops.iter().filter(move |op| begin.contains(&op.begin) && op.end < u64::MAX)
}

/// How long after something happened the last request began that was not served, in milliseconds.
fn last_failure(world: &World, seed: u64) -> u64 {
    let failed = answered(world, then(seed)..u64::MAX).filter(|op| !is_served(op));
    failed.last().map_or(0, |op| (op.begin - then(seed)).div_ceil(1000))
}

/// The worst of all seeds, of what [`last_failure`] says. Also looks at each world.
fn worst(name: &str, config: &Config, happens: &[(u64, Fault)], look: impl Fn(u64, &World)) -> u64 {
    let (mut served, mut all, mut last, mut longest) = (0, 0, 0, 0);
    for seed in SEEDS {
        let world = run(seed, config.clone(), happens);
        for op in answered(&world, then(seed)..u64::MAX) {
            all += 1;
            if is_served(op) {
                served += 1;
                longest = longest.max((op.end - op.begin) / 1000);
            }
        }
        last = last.max(last_failure(&world, seed));
        look(seed, &world);
    }
    let percent = 100.0 * f64::from(served) / f64::from(all);
    println!(
        "{name:<28} {percent:.2} % of {all} requests served, the last other one began {last} ms after it, \
         the longest wait of one that was served {longest} ms"
    );
    last
}

fn no_slot_moved(_: u64, world: &World) {
    let table = world.files.last().unwrap();
    assert!(table.slots.iter().all(|(_, slot)| slot.since == table.epoch), "a slot moved");
}

#[test]
fn all_is_served_when_nothing_goes_wrong() {
    for seed in SEEDS {
        let world = run(seed, config(), &[]);
        // It waits 1.7 s for leases that somebody might have, and clients come a little before.
        let all: Vec<&Op> = answered(&world, 2_000_000..u64::MAX).collect();
        assert!(all.len() > 10_000);
        let odd = all.iter().find(|op| !is_served(op) || op.end - op.begin >= 20_000);
        assert!(odd.is_none(), "{odd:?}");
        no_slot_moved(seed, &world);
    }
}

#[test]
fn a_killed_nodes_slots_are_served_within_2500_ms() {
    let kill = [(0, Fault::Kill { host: 2 })];
    let last = worst("node killed", &config(), &kill, |seed, world| {
        // Clients are told at once, and do not wait.
        let begin = then(seed) + 100_000..then(seed) + SECOND;
        assert!(answered(world, begin).all(|op| op.end - op.begin < 20_000));
    });
    assert!(last < 2500);
}

#[test]
fn a_frozen_nodes_slots_are_served_within_3000_ms() {
    let freeze = [(0, Fault::Freeze { host: 2, us: 5 * SECOND })];
    assert!(worst("node frozen", &config(), &freeze, |_, _| ()) < 3000);
}

#[test]
fn no_request_fails_when_a_node_joins_or_leaves() {
    let mut config = config();
    let leave = [(0, Fault::Leave { host: 2 })];
    assert_eq!(worst("leave, and join after 4 s", &config, &leave, |_, _| ()), 0);
    let resize = [(0, Fault::Resize { host: 2, capacity: 4 << 30 })];
    assert_eq!(worst("four times the memory", &config, &resize, |_, _| ()), 0);
    config.nodes = 20;
    config.duration_us = 9 * SECOND;
    assert_eq!(worst("leave, one of 20", &config, &leave, |_, _| ()), 0);
}

#[test]
fn a_node_that_comes_back_at_once_keeps_its_slots() {
    let happens = [(0, Fault::Kill { host: 2 }), (200_000, Fault::Start { host: 2 })];
    assert!(worst("node killed, back in 200 ms", &config(), &happens, no_slot_moved) < 2500);
}

#[test]
fn an_authority_that_comes_back_makes_a_pause() {
    let happens = [(0, Fault::Kill { host: 0 }), (SECOND, Fault::Start { host: 0 })];
    // Leases end after 1.5 s; it waits 1.7 s after its start until it grants them again.
    assert!(worst("authority back after 1 s", &config(), &happens, no_slot_moved) < 3000);
    let freeze = [(0, Fault::Freeze { host: 0, us: 3 * SECOND })];
    assert!(worst("authority frozen for 3 s", &config(), &freeze, no_slot_moved) < 3100);
}

#[test]
fn the_side_without_the_authority_stops() {
    // A coordinator and a node are cut off from the authority and the other nodes.
    let mut happens = Vec::new();
    for (from, to) in [(0, 1), (0, 2), (3, 1), (4, 1), (3, 2), (4, 2)] {
        for (from, to) in [(from, to), (to, from)] {
            happens.push((0, Fault::Cut { from, to, us: 5 * SECOND }));
        }
    }
    let last = worst("cut in two for 5 s", &config(), &happens, |seed, world| {
        let during = then(seed) + 2_500_000..then(seed) + 3_700_000;
        let (cut_off, others): (Vec<&Op>, Vec<&Op>) =
            answered(world, during).partition(|op| op.coordinator == 1);
        assert!(!cut_off.is_empty() && cut_off.iter().all(|op| !is_served(op)));
        assert!(!others.is_empty() && others.iter().all(|op| is_served(op)));
    });
    // When the cut is over, both serve everything.
    assert!(last < 5500);
}

#[test]
fn a_rolled_back_file_is_refused() {
    let config = Config { restart_us: SECOND, ..config() };
    let resize = Fault::Resize { host: 2, capacity: 4 << 30 };
    let refused = SEEDS.filter(|&seed| {
        let world = run(seed, config.clone(), &[(0, resize), (3 * SECOND, Fault::RollBack)]);
        // Where the file that was put back is the newest, the cluster goes on.
        let goes_on = answered(&world, then(seed) + 6 * SECOND..u64::MAX).any(is_served);
        assert_eq!(world.refused_at.is_none(), goes_on);
        world.refused_at.is_some()
    });
    assert!(refused.count() >= 6);
}

#[test]
fn all_is_served_after_the_last_fault() {
    for seed in 0..300 {
        let (duration_us, quiet_us) = (27 * SECOND, 17 * SECOND);
        let mut world =
            World::new(Config { duration_us, quiet_us, ..super::safety::config(seed) }, seed);
        world.plan_faults();
        world.run();
        if world.refused_at.is_some() {
            continue;
        }
        // What froze before is frozen for four and a half seconds at most, some nodes come back later, and slots move
        // in small steps.
        let failed = answered(&world, duration_us - 3 * SECOND..u64::MAX).find(|op| !is_served(op));
        assert!(failed.is_none(), "LARDER_SIMULATION_SEED={seed}: {failed:?}");
        let table = world.files.last().unwrap();
        let shares = table.shares();
        assert_eq!(
            shares.len(),
            world.config.nodes,
            "LARDER_SIMULATION_SEED={seed}: not all are members"
        );
        let (least, most) = (shares.values().min().unwrap(), shares.values().max().unwrap());
        assert!(most - least <= 1, "LARDER_SIMULATION_SEED={seed}: {shares:?}");
    }
}
