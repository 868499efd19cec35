//! A network that is cut in two again and again under load, as a seed says: no read returns what was overwritten before
//! it began, on neither side, and the side with the authority serves.
//!
//! The wire is cut as a whole, or it loses what is sent in one direction. Meanwhile members freeze, or crash and start
//! again. Lengths and seeds as in `faults`: `LARDER_HISTORY_SECONDS=600 LARDER_HISTORY_SEED=7 tests/run cluster::cuts`.

use super::harness::{AGREE, Home, wait_settled};
use super::load::{Load, Target, from_environment};
use super::partition::{Side, enter, networks};
use crate::util::Server;
use std::fs::File;
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// A cut that lasts longer than this must not stop the side with the authority.
const LONG: Duration = Duration::from_secs(3);
/// Where the coordinators know each other and take members in.
const JOIN: &str = "10.77.0.1:17000,10.77.0.2:17001";
/// What is wrong with the wire when each frame goes to a card that is not there.
const NOBODY: &str = "02:00:00:00:00:01";

/// How a wire is cut; `usize` is a side.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The card of this side is off, so neither gets anything.
    Whole(usize),
    /// What this side sends is lost.
    OneWay(usize),
}

/// A process of the cluster, and what it takes to start it again.
struct Member {
    server: Server,
    side: usize,
    role: &'static str,
}

/// Two sides, near and far, and who is on them. The authority is the first member.
struct Cuts {
    random: fastrand::Rng,
    members: Vec<Member>,
    sides: [Side; 2],
    home: Home,
    began: Instant,
}

impl Cuts {
    fn new(sides: [Side; 2], seed: u64) -> Cuts {
        let (random, home) = (fastrand::Rng::with_seed(seed), Home::new());
        let mut cuts = Cuts { random, members: Vec::new(), sides, home, began: Instant::now() };
        let roles = [(0, "coordinator"), (1, "coordinator"), (0, "node"), (1, "node"), (1, "node")];
        for (number, (side, role)) in roles.into_iter().enumerate() {
            let server = cuts.start(side, role, number);
            cuts.members.push(Member { server, side, role });
        }
        cuts
    }

    fn start(&self, side: usize, role: &str, number: usize) -> Server {
        let join = match number {
            0 => None,
            1 => JOIN.split(',').next(),
            _ => Some(JOIN),
        };
        self.sides[side].member(&self.home, role, number, join)
    }

    fn say(&self, what: &str) {
        println!("{:9.3?} {what}", self.began.elapsed());
    }

    /// Addresses of the members of a side that have this role.
    fn addresses(&self, side: usize, role: &str) -> Vec<String> {
        let those = self.members.iter().filter(|one| one.side == side && one.role == role);
        those.map(|one| one.server.addr.clone()).collect()
    }

    /// Every coordinator, asked from its own side, says that all slots are served.
    fn wait_settled(&self, doors: &[Arc<File>; 2]) {
        for coordinator in self.members.iter().filter(|one| one.role == "coordinator") {
            let (door, server) = (&doors[coordinator.side], &coordinator.server);
            scope(|scope| {
                let waits = scope.spawn(|| {
                    enter(door);
                    wait_settled(server, 3);
                });
                waits.join().expect("it settles");
            });
        }
    }

    fn cut(&self, cut: Cut) {
        let is_cut = match cut {
            Cut::Whole(side) => self.sides[side].ip(&["link", "set", "wire", "down"]),
            Cut::OneWay(side) => {
                let peer = self.sides[1 - side].host;
                let wrong = ["neigh", "replace", peer, "lladdr", NOBODY, "dev", "wire"];
                self.sides[side].ip(&[&wrong[..], &["nud", "permanent"]].concat())
            }
        };
        assert!(is_cut);
    }

    fn heal(&self, cut: Cut) {
        let is_healed = match cut {
            Cut::Whole(side) => self.sides[side].ip(&["link", "set", "wire", "up"]),
            Cut::OneWay(side) => {
                let peer = self.sides[1 - side].host;
                self.sides[side].ip(&["neigh", "del", peer, "dev", "wire"])
            }
        };
        assert!(is_healed);
    }

    /// One cut, and perhaps one member that has a hard time, too. The near side is to serve during a long cut that is
    /// all there is.
    fn round(&mut self, is_first: bool, near_replies: impl Fn() -> usize) {
        let side = self.random.usize(..2);
        let cut = if self.random.bool() { Cut::Whole(side) } else { Cut::OneWay(side) };
        let shortest = if is_first { 3200 } else { 200 };
        let length = Duration::from_millis(self.random.u64(shortest..4000));
        let victim =
            (!is_first && self.random.u8(..5) < 2).then(|| self.random.usize(..self.members.len()));
        let (crashes, before, after) = (self.random.bool(), self.random.bool(), self.random.bool());

        if let Some(number) = victim.filter(|_| before) {
            self.hurt(number, crashes);
        }
        self.say(&format!("{cut:?} for {length:?}"));
        self.cut(cut);
        if let Some(number) = victim.filter(|_| !before) {
            self.hurt(number, crashes);
        }
        // What was on its way when the wire was cut does not count.
        let settling = Duration::from_millis(100);
        sleep(settling);
        let replies = near_replies();
        sleep(length - settling);
        let replies = near_replies() - replies;
        if let Some(number) = victim.filter(|_| !after) {
            self.repair(number, crashes);
        }
        self.heal(cut);
        if let Some(number) = victim.filter(|_| after) {
            sleep(Duration::from_millis(self.random.u64(..1000)));
            self.repair(number, crashes);
        }
        self.say(&format!("healed; the near side got {replies} replies"));
        if victim.is_none() && length >= LONG && replies == 0 {
            for Member { server, role, .. } in &self.members {
                println!("--- {role} {}\n{}", server.addr, server.stderr());
            }
            panic!("the near side does not serve");
        }
    }

    fn hurt(&mut self, number: usize, crashes: bool) {
        let server = &mut self.members[number].server;
        let what = if crashes { "crashes" } else { "freezes" };
        if crashes {
            server.kill();
        } else {
            server.freeze();
        }
        self.say(&format!("{what}: {}", self.members[number].server.addr));
    }

    fn repair(&mut self, number: usize, crashes: bool) {
        let Member { side, role, .. } = self.members[number];
        if crashes {
            self.members[number].server = self.start(side, role, number);
        } else {
            self.members[number].server.thaw();
        }
        self.say(&format!("is back: {}", self.members[number].server.addr));
    }
}

#[test]
fn no_read_is_stale_on_either_side() {
    let Some((near, far)) = networks() else {
        println!("SKIPPED: this system allows no network namespaces here");
        return;
    };
    let seed = from_environment("LARDER_HISTORY_SEED", fastrand::u64(..1_000_000));
    let seconds = from_environment("LARDER_HISTORY_SECONDS", 14);
    println!("LARDER_HISTORY_SEED={seed} LARDER_HISTORY_SECONDS={seconds}");
    let doors = [near.door(), far.door()];
    let mut cuts = Cuts::new([near, far], seed);
    cuts.wait_settled(&doors);

    // Two through the coordinator of each side, and one that asks the nodes there.
    let (mut targets, mut entered) = (Vec::new(), Vec::new());
    for (side, door) in doors.iter().enumerate() {
        let coordinator = cuts.addresses(side, "coordinator").remove(0);
        let nodes = Arc::new(Mutex::new(cuts.addresses(side, "node")));
        targets
            .extend([Target::Coordinator(coordinator.clone()), Target::Coordinator(coordinator)]);
        targets.push(Target::Nodes(nodes));
        entered.extend([0; 3].map(|_| door.clone()));
    }
    let load = Load::start_with(&targets, seed, move |number| enter(&entered[number]));
    sleep(Duration::from_millis(500));

    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut is_first = true;
    while Instant::now() < deadline {
        cuts.round(is_first, || load.replies(&[0, 1, 2]));
        is_first = false;
        // Sometimes too short for anybody to find anybody again.
        sleep(Duration::from_millis(cuts.random.u64(50..2500)));
    }
    let healed = Instant::now();
    cuts.wait_settled(&doors);
    println!("settled after {:?}, at most {AGREE:?}", healed.elapsed());
    sleep(Duration::from_millis(300));
    load.stop().check(seed);
}
