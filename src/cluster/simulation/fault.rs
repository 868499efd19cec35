//! What can go wrong, and a random choice of it.

use super::world::{Event, World};

/// Something that goes wrong, or is wanted by an operator. Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// SIGSTOP and SIGCONT.
    Freeze { host: usize, us: u64 },
    /// The same, just before the node's next request is executed, or just after.
    Trap { host: usize, before: bool, us: u64 },
    /// Nothing gets from one host to another.
    Cut { from: usize, to: usize, us: u64 },
    /// kill -9.
    Kill { host: usize },
    /// A new process, if there is none.
    Start { host: usize },
    /// A new process while the old one is frozen, which thaws later.
    Twin { host: usize, us: u64 },
    /// The connections of a host are closed.
    Close { host: usize },
    /// The authority is started again over an older state of its file, while somebody who knows better can be heard.
    RollBack,
    /// A node offers another amount of memory.
    Resize { host: usize, capacity: u64 },
    /// A node asks to go, and does when it may; another process comes after it.
    Leave { host: usize },
    /// Looks whether it may.
    Exit { process: usize, deadline: u64 },
    /// The end of a process that another took the place of.
    End { process: usize },
    /// Nothing goes wrong from now on.
    Quiet,
    /// Half of the messages of membership are late.
    Slow { us: u64, late: u64 },
    /// Writing takes up to so long.
    Disk { us: u64 },
}

impl World {
    /// Several faults at random.
    pub(super) fn plan_faults(&mut self) {
        let quiet = self.config.duration_us - self.config.quiet_us;
        self.at(quiet, Event::Fault(Fault::Quiet));
        let count = self.rng.u64(2..8);
        // Each history has its own favourite.
        let favourite = self.rng.u8(0..24);
        let end = quiet - 500_000;
        for _ in 0..count {
            let time = self.rng.u64(1_600_000..end);
            let choice = if self.rng.bool() { favourite } else { self.rng.u8(0..24) };
            self.plan_fault(time, choice);
        }
        if self.rng.u8(0..6) == 0 {
            let time = self.rng.u64(end * 4 / 10..end * 6 / 10);
            self.at(time, Event::Fault(Fault::RollBack));
        }
    }

    fn plan_fault(&mut self, time: u64, choice: u8) {
        let hosts = self.current.len();
        let node = self.rng.usize(2..hosts);
        let us = self.rng.u64(100_000..4_500_000);
        self.plan_companions(time, us);
        let fault = match choice {
            0..4 => Fault::Freeze { host: node, us },
            4 | 5 => Fault::Trap { host: node, before: self.rng.bool(), us },
            6 => Fault::Freeze { host: self.rng.usize(0..2), us },
            7..10 => {
                // A node and the authority do not hear each other, in one direction or both, and others hear both.
                for (from, to) in [(node, 0), (0, node)] {
                    if self.rng.u8(0..3) > 0 {
                        self.at(time, Event::Fault(Fault::Cut { from, to, us }));
                    }
                }
                return;
            }
            10 | 11 => {
                Fault::Cut { from: self.rng.usize(0..hosts), to: self.rng.usize(0..hosts), us }
            }
            12 => {
                // Two sides; the authority is on one of them.
                let side: Vec<bool> = (0..hosts).map(|_| self.rng.bool()).collect();
                for from in 0..hosts {
                    for to in (0..hosts).filter(|&to| side[from] != side[to]) {
                        self.at(time, Event::Fault(Fault::Cut { from, to, us }));
                    }
                }
                return;
            }
            13 | 14 => {
                self.at(time + us / 3, Event::Fault(Fault::Start { host: node }));
                Fault::Kill { host: node }
            }
            15 => Fault::Twin { host: node, us: us / 4 },
            16 | 17 => {
                let host = usize::from(self.rng.u8(0..4) == 0);
                self.at(time + us / 8, Event::Fault(Fault::Start { host }));
                Fault::Kill { host }
            }
            18..21 => {
                // Slots move to and fro.
                self.at(
                    time + 2 * us / 3,
                    Event::Fault(Fault::Resize { host: node, capacity: 1 << 30 }),
                );
                Fault::Resize { host: node, capacity: 1 << self.rng.u32(26..34) }
            }
            21 => Fault::Leave { host: node },
            22 => {
                // A node is frozen for so long that others have its slots, and a coordinator does not hear of that.
                let us = 2_200_000 + us / 2;
                for (from, to) in [(1, 0), (0, 1)] {
                    self.at(time, Event::Fault(Fault::Cut { from, to, us }));
                }
                Fault::Freeze { host: node, us }
            }
            _ if self.rng.u8(0..3) == 0 => Fault::Close { host: node },
            _ => {
                // The authority ends when it has just moved a frozen node's slots, and all who may have heard of that
                // are cut off when it comes again.
                let us = 1_700_000 + self.rng.u64(0..900_000);
                self.at(time + us, Event::Fault(Fault::Kill { host: 0 }));
                self.at(time + us + 100_000, Event::Fault(Fault::Start { host: 0 }));
                for other in (1..hosts).filter(|&other| other != node) {
                    for (from, to) in [(other, 0), (0, other)] {
                        self.at(time + us, Event::Fault(Fault::Cut { from, to, us: 4_000_000 }));
                    }
                }
                Fault::Freeze { host: node, us: us + 200_000 }
            }
        };
        self.at(time, Event::Fault(fault));
    }

    /// What makes other faults worse: a coordinator that learns of nothing, messages that are late before and while it
    /// happens, a disk that takes its time.
    fn plan_companions(&mut self, time: u64, us: u64) {
        if self.rng.u8(0..3) == 0 {
            self.at(time, Event::Fault(Fault::Cut { from: 1, to: 0, us }));
            self.at(time, Event::Fault(Fault::Cut { from: 0, to: 1, us }));
        }
        if self.rng.u8(0..3) == 0 {
            let late = self.rng.u64(1000..1_500_000);
            self.at(time - 500_000, Event::Fault(Fault::Slow { us: us + 500_000, late }));
        }
        if self.rng.u8(0..4) == 0 {
            self.at(time, Event::Fault(Fault::Disk { us: 900_000 }));
            self.at(time + us, Event::Fault(Fault::Disk { us: self.config.disk_us }));
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Freeze { host, us } => {
                if let Some(process) = self.current[host] {
                    self.freeze(process, us);
                }
            }
            Fault::Trap { host, before, us } => {
                if let Some(node) =
                    self.current[host].and_then(|at| self.processes[at].node.as_mut())
                {
                    node.trap = Some((before, us));
                }
            }
            Fault::Cut { from, to, us } => {
                let until = self.now + us;
                self.cuts
                    .entry((from, to))
                    .and_modify(|old| *old = until.max(*old))
                    .or_insert(until);
            }
            Fault::Kill { host } => self.kill(host),
            Fault::Start { host } => {
                if self.current[host].is_none() {
                    self.start(host);
                }
            }
            Fault::Twin { host, us } => {
                if let Some(old) = self.current[host] {
                    self.freeze(old, us);
                    self.start(host);
                    self.after(us + 1_500_000, Event::Fault(Fault::End { process: old }));
                    // One coordinator goes on with the old process.
                    let process = self.rng.usize(0..2);
                    if let Some(process) = self.current[process] {
                        self.after(1000, Event::Closed { process, host });
                    }
                }
            }
            Fault::Close { host } => self.close_connections(host),
            Fault::RollBack => self.roll_back(),
            Fault::Resize { host, capacity } => {
                if let Some(process) = self.current[host] {
                    self.with_lease(process, |lease, now_ms| lease.resize(now_ms, capacity));
                }
            }
            Fault::Leave { host } => {
                if let Some(process) = self.current[host] {
                    self.with_lease(process, |lease, now_ms| lease.leave(now_ms));
                    self.after(
                        50_000,
                        Event::Fault(Fault::Exit { process, deadline: self.now + 4_000_000 }),
                    );
                }
            }
            Fault::End { process } => {
                let is_replaced = self.current[self.processes[process].host] != Some(process);
                if is_replaced && self.processes[process].is_alive {
                    self.end(process);
                }
            }
            Fault::Quiet => {
                (self.config.faults, self.config.stalls, self.disk_max_us) =
                    (false, false, self.config.disk_us);
                self.cuts.clear();
                let nodes = self.processes.iter_mut().filter_map(|process| process.node.as_mut());
                nodes.for_each(|node| node.trap = None);
            }
            Fault::Exit { process, deadline } => self.exit(process, deadline),
            Fault::Slow { us, late } => self.slow = (self.now + us, late),
            Fault::Disk { us } => self.disk_max_us = us,
        }
    }

    fn exit(&mut self, process: usize, deadline: u64) {
        let host = self.processes[process].host;
        if self.current[host] != Some(process) {
            return;
        }
        if self.processes[process].node.as_ref().is_some_and(|node| node.has_left)
            || self.now > deadline
        {
            self.kill(host);
            self.after(self.config.restart_us, Event::Fault(Fault::Start { host }));
        } else {
            self.after(50_000, Event::Fault(Fault::Exit { process, deadline }));
        }
    }

    /// The epoch file is an old one. That can be noticed only if somebody who knows a newer table can be heard before
    /// the authority grants leases again.
    fn roll_back(&mut self) {
        let knows = |&at: &usize| {
            let process = &self.processes[at];
            let epoch = match (&process.node, &process.coordinator) {
                (Some(node), _) => node.lease.table().epoch,
                (_, Some(coordinator)) => coordinator.follower.table().epoch,
                _ => 0,
            };
            process.frozen_until <= self.now && epoch == self.newest
        };
        let witness = self.current[1..].iter().flatten().find(|at| knows(at));
        let Some(&witness) = witness else { return };
        self.trusted = Some(witness);
        self.kill(0);
        let kept = self.rng.usize(1..=self.files.len());
        self.files.truncate(kept);
        self.after(self.config.restart_us, Event::Fault(Fault::Start { host: 0 }));
    }
}
