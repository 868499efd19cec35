//! Many random histories without a stale read; and with a rule taken out, some with one.

use super::super::rules::Rules;
use super::history::{Outcome, out_of_turn, stale_reads};
use super::world::{Config, World};
use std::time::Instant;

pub(super) fn config(seed: u64) -> Config {
    Config {
        nodes: 2 + (seed % 3) as usize,
        clients: 6,
        keys: 3,
        duration_us: 10_000_000,
        quiet_us: 0,
        pause_us: 5000..50_000,
        hop_us: 2000,
        clock_error: 40_000,
        restart_us: 300_000,
        faults: true,
        stalls: true,
        rules: Rules::ALL,
        recheck: true,
        durable: true,
        disk_us: 8000,
    }
}

/// What became of some histories.
#[derive(Default)]
struct Tally {
    histories: u64,
    /// With a stale read, and the first of them.
    wrong: u64,
    wrong_turn: u64,
    first: Option<(u64, String)>,
    stale: usize,
    out_of_turn: usize,
    reads: usize,
    ops: usize,
    served: usize,
    refusals: u64,
    /// Though the epoch file was the newest.
    false_refusals: u64,
}

impl Tally {
    fn add(&mut self, seed: u64, change: impl Fn(&mut Config)) {
        let mut config = config(seed);
        change(&mut config);
        let mut world = World::new(config, seed);
        world.plan_faults();
        world.run();
        let stale = stale_reads(&world.ops, world.slots.len());
        self.histories += 1;
        let out_of_turn = out_of_turn(&world.ops, world.slots.len());
        self.wrong += u64::from(!stale.is_empty());
        self.wrong_turn += u64::from(!out_of_turn.is_empty());
        self.out_of_turn += out_of_turn.len();
        self.stale += stale.len();
        self.refusals += u64::from(world.refused_at.is_some());
        self.false_refusals += u64::from(world.refused_at.is_some() && world.trusted.is_none());
        self.ops += world.ops.len();
        self.served += world.ops.iter().filter(|op| matches!(op.outcome, Outcome::Done(_))).count();
        self.reads +=
            world.ops.iter().filter(|op| matches!(op.outcome, Outcome::Done(Some(_)))).count();
        let wrong = stale.first().map(|stale| format!("{stale:?}"));
        let wrong = wrong.or(out_of_turn.first().map(|op| format!("{op} is out of turn")));
        self.first = self.first.take().or(wrong.map(|wrong| (seed, wrong)));
    }

    fn merge(&mut self, other: Tally) {
        self.histories += other.histories;
        self.wrong += other.wrong;
        self.wrong_turn += other.wrong_turn;
        self.stale += other.stale;
        self.out_of_turn += other.out_of_turn;
        self.reads += other.reads;
        self.ops += other.ops;
        self.served += other.served;
        self.refusals += other.refusals;
        self.false_refusals += other.false_refusals;
        self.first = self.first.take().or(other.first);
    }

    fn line(&self, name: &str) -> String {
        let Tally {
            histories,
            wrong,
            stale,
            out_of_turn,
            wrong_turn,
            reads,
            ops,
            served,
            refusals,
            ..
        } = self;
        let percent = 100.0 * *served as f64 / *ops as f64;
        format!(
            "{name:<10} {histories:>6} histories, {wrong:>4} with stale reads, \
             {stale:>6} of {reads} reads stale, {wrong_turn:>4} with {out_of_turn:>4} out of turn, \
             {percent:.1} % of {ops} requests served, {refusals} refusals"
        )
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Histories with these seeds, on two threads.
fn histories(from: u64, count: u64, change: impl Fn(&mut Config) + Sync) -> Tally {
    let half = |first: u64| {
        let mut tally = Tally::default();
        (from + first..from + count).step_by(2).for_each(|seed| tally.add(seed, &change));
        tally
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        let mut tally = half(0);
        tally.merge(other.join().unwrap());
        tally
    })
}

#[test]
fn no_read_is_stale() {
    let single = from_environment("LARDER_SIMULATION_SEED");
    let count = from_environment("LARDER_SIMULATION_COUNT").unwrap_or(10_000);
    let (from, count) = single.map_or((0, count), |seed| (seed, 1));
    let begin = Instant::now();
    let tally = histories(from, count, |_| ());
    println!("{}, in {:.1} s", tally.line("all rules"), begin.elapsed().as_secs_f64());
    if let Some((seed, wrong)) = tally.first {
        panic!("LARDER_SIMULATION_SEED={seed}: {wrong}");
    }
    assert_eq!(tally.false_refusals, 0);
    assert!(single.is_some() || tally.served * 2 > tally.ops, "most requests are served");
}

/// What a rule is shown to be for.
#[derive(Clone, Copy, PartialEq)]
enum For {
    NoStaleRead,
    /// While moved slots begin empty, without the rule only acknowledged writes are lost.
    OneAtATime,
}

/// Without a rule, which `change` takes out, histories are wrong.
fn assert_needed(name: &str, what: For, change: impl Fn(&mut Config) + Sync) {
    let least = from_environment("LARDER_SIMULATION_COUNT").unwrap_or(1);
    let mut tally = Tally::default();
    let wrong =
        |tally: &Tally| if what == For::NoStaleRead { tally.wrong } else { tally.wrong_turn };
    while tally.histories < least || tally.histories < 4000 && wrong(&tally) == 0 {
        tally.merge(histories(tally.histories, 100, &change));
    }
    println!("{}", tally.line(name));
    assert!(wrong(&tally) > 0, "nothing shows what the rule \"{name}\" is for");
}

#[test]
fn every_rule_is_needed() {
    use For::{NoStaleRead, OneAtATime};
    assert_needed("table", NoStaleRead, |config| config.rules.table = false);
    assert_needed("drop", NoStaleRead, |config| config.rules.drop = false);
    assert_needed("lease", NoStaleRead, |config| config.rules.lease = false);
    assert_needed("from_send", NoStaleRead, |config| config.rules.from_send = false);
    assert_needed("margin", NoStaleRead, |config| config.clock_error = 300_000);
    assert_needed("recheck", NoStaleRead, |config| config.recheck = false);
    assert_needed("floor", NoStaleRead, |config| config.rules.floor = false);
    assert_needed("settle", OneAtATime, |config| config.rules.settle = false);
    assert_needed("wait", NoStaleRead, |config| config.rules.wait = false);
    assert_needed("withhold", NoStaleRead, |config| config.rules.withhold = false);
    assert_needed("boot", NoStaleRead, |config| config.rules.boot = false);
    assert_needed("restart", NoStaleRead, |config| config.rules.restart = false);
    assert_needed("refuse", NoStaleRead, |config| config.rules.refuse = false);
    assert_needed("durable", NoStaleRead, |config| {
        (config.durable, config.disk_us) = (false, 900_000);
    });
}
