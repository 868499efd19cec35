//! Random faults under load, drawn from a seed: whatever happens, no read returns what was overwritten before it began.
//!
//! `LARDER_HISTORY_SECONDS=600 LARDER_HISTORY_SEED=7 tests/run cluster::faults` for longer, or for the same faults
//! again (what the clients do between them depends on the machine, too).

use super::harness::{AGREE, Cluster, Member};
use super::load::{Load, Target, from_environment};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nodes at most and at least.
const NODES: std::ops::RangeInclusive<usize> = 2..=5;

/// What is to be done later to undo a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Repair {
    Thaw,
    Restart,
    /// It was asked to go.
    Reap,
}

/// A member, and what is wrong with it.
struct Patient {
    member: Member,
    repair: Option<(Repair, Instant)>,
}

/// The members of the cluster, and who among them is in a bad way.
struct Faults {
    random: fastrand::Rng,
    cluster: Cluster,
    coordinators: Vec<Patient>,
    nodes: Vec<Patient>,
    addresses: Arc<Mutex<Vec<String>>>,
    began: Instant,
}

impl Faults {
    fn new(seed: u64) -> Faults {
        let mut cluster = Cluster::start_with(3, 1);
        let well = |member| Patient { member, repair: None };
        let nodes: Vec<Patient> = cluster.nodes.drain(..).map(well).collect();
        let addresses = nodes.iter().map(|node| node.member.server.addr.clone()).collect();
        Faults {
            random: fastrand::Rng::with_seed(seed),
            coordinators: cluster.coordinators.drain(..).map(well).collect(),
            nodes,
            cluster,
            addresses: Arc::new(Mutex::new(addresses)),
            began: Instant::now(),
        }
    }

    fn say(&self, what: &str) {
        println!("{:9.3?} {what}", self.began.elapsed());
    }

    /// One more fault.
    fn hurt(&mut self) {
        let choice = self.random.u8(..10);
        let pause = Duration::from_millis(self.random.u64(100..4000));
        match choice {
            0 if self.nodes.len() < *NODES.end() => {
                // Through any coordinator that can be spoken to, or neither.
                let joins: Vec<_> =
                    self.coordinators.iter().map(|one| one.member.control.clone()).collect();
                let joins: Vec<&str> = joins.iter().map(String::as_str).collect();
                let member = self.cluster.home.node(&joins, &[]);
                self.say(&format!("joins: {}", member.server.addr));
                self.addresses.lock().unwrap().push(member.server.addr.clone());
                self.nodes.push(Patient { member, repair: None });
            }
            1 if self.nodes.len() > *NODES.start() => {
                let number = self.random.usize(..self.nodes.len());
                self.hurt_one(true, number, Repair::Reap, Duration::ZERO);
            }
            2..7 => {
                let number = self.random.usize(..self.nodes.len());
                let repair = if self.random.bool() { Repair::Thaw } else { Repair::Restart };
                self.hurt_one(true, number, repair, pause);
            }
            7.. => {
                let number = self.random.usize(..self.coordinators.len());
                let repair = if self.random.bool() { Repair::Thaw } else { Repair::Restart };
                self.hurt_one(false, number, repair, pause);
            }
            _ => {}
        }
    }

    fn hurt_one(&mut self, is_node: bool, number: usize, repair: Repair, pause: Duration) {
        let patients = if is_node { &mut self.nodes } else { &mut self.coordinators };
        let patient = &mut patients[number];
        if patient.repair.is_some() {
            return;
        }
        let server = &mut patient.member.server;
        let what = match repair {
            Repair::Thaw => {
                server.freeze();
                "freezes"
            }
            Repair::Restart => {
                server.kill();
                "crashes"
            }
            Repair::Reap => {
                server.signal("TERM");
                "leaves"
            }
        };
        let addr = server.addr.clone();
        patient.repair = Some((repair, Instant::now() + pause));
        self.say(&format!("{what} for {pause:?}: {addr}"));
    }

    /// Ends the faults whose time is over; all of them if there are to be no more.
    fn repair(&mut self, all: bool) {
        let now = Instant::now();
        let mut said = Vec::new();
        for patient in self.nodes.iter_mut().chain(&mut self.coordinators) {
            let Some((repair, due)) = patient.repair.filter(|(_, due)| all || *due <= now) else {
                continue;
            };
            let _ = due;
            match repair {
                Repair::Thaw => patient.member.server.thaw(),
                Repair::Restart => patient.member.restart(),
                // It takes its time; what it does is looked at below.
                Repair::Reap => continue,
            }
            said.push(format!("is back: {}", patient.member.server.addr));
            patient.repair = None;
        }
        self.nodes.retain_mut(|node| {
            let is_leaving = matches!(node.repair, Some((Repair::Reap, _)));
            if is_leaving && all {
                assert!(node.member.server.wait_exit(Duration::from_secs(30)).success());
            }
            let is_gone = is_leaving && !node.member.server.alive();
            if is_gone {
                let addr = &node.member.server.addr;
                said.push(format!("is gone: {addr}"));
                self.addresses.lock().unwrap().retain(|other| other != addr);
            }
            !is_gone
        });
        for what in said {
            self.say(&what);
        }
    }
}

#[test]
fn no_read_is_stale_whatever_happens() {
    let seed = from_environment("LARDER_HISTORY_SEED", fastrand::u64(..1_000_000));
    let seconds = from_environment("LARDER_HISTORY_SECONDS", 20);
    println!("LARDER_HISTORY_SEED={seed} LARDER_HISTORY_SECONDS={seconds}");
    let mut faults = Faults::new(seed);
    let mut targets: Vec<Target> = Vec::new();
    for coordinator in faults.coordinators.iter().chain(&faults.coordinators) {
        targets.push(Target::Coordinator(coordinator.member.server.addr.clone()));
    }
    targets.extend((0..3).map(|_| Target::Nodes(faults.addresses.clone())));
    let load = Load::start(&targets, seed);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        faults.hurt();
        let pause = Duration::from_millis(faults.random.u64(50..800));
        let next = (Instant::now() + pause).min(deadline);
        while Instant::now() < next {
            faults.repair(false);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    faults.say("the last faults end");
    faults.repair(true);
    let nodes = faults.nodes.len();
    let settled = Instant::now();
    for coordinator in &faults.coordinators {
        coordinator.member.wait_settled(nodes);
    }
    println!("settled after {:?}, at most {AGREE:?}", settled.elapsed());
    std::thread::sleep(Duration::from_millis(300));
    let done = load.stop();
    done.check(seed);
}
