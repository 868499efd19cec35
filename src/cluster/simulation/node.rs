//! A node's process: its lease, a store, and requests that may be held up between any two of their steps.

use super::super::rules::Rules;
use super::super::{Identity, Lease, NodeAction, NodeId, Refusal};
use super::history::Kind;
use super::world::{Event, Packet, World};
use crate::cluster::Fence;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What a request asks, and where its reply goes.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) op: usize,
    pub(super) key: usize,
    pub(super) kind: Kind,
    /// The table that the coordinator goes by.
    pub(super) epoch: u64,
    /// The coordinator's process.
    pub(super) from: usize,
}

/// What a node says to a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Done(Option<usize>),
    Refused(Refusal),
    /// It was executed, but the lease ended.
    Late,
}

/// A request that is under way, and the fence that it began under.
#[derive(Debug)]
struct UnderWay {
    request: Request,
    fence: Arc<Fence>,
    /// Since which epoch the slot is ours.
    turn: u64,
    found: Option<Option<usize>>,
}

pub(super) struct Node {
    pub(super) lease: Lease,
    fence: Arc<Fence>,
    store: BTreeMap<usize, usize>,
    under_way: BTreeMap<usize, UnderWay>,
    /// What is to be dropped for which table, and the requests to be waited for.
    settling: Option<(u64, Vec<Range<u16>>, Vec<usize>)>,
    /// The next request freezes the process for so long: before it is executed, or before its reply.
    pub(super) trap: Option<(bool, u64)>,
    pub(super) has_left: bool,
    /// The clock was read before the process froze, and requests that were read after go by that.
    pub(super) old_clock_ms: Option<u64>,
}

impl Node {
    pub(super) fn new(id: NodeId, boot: u64, capacity: u64, now_ms: u64, rules: Rules) -> Self {
        let lease = Lease::with_rules(
            Identity { id, boot, address: "node".to_owned() },
            capacity,
            now_ms,
            rules,
        );
        let fence = Arc::clone(lease.fence());
        Node {
            lease,
            fence,
            store: BTreeMap::new(),
            under_way: BTreeMap::new(),
            settling: None,
            trap: None,
            has_left: false,
            old_clock_ms: None,
        }
    }
}

impl World {
    fn node(&mut self, process: usize) -> &mut Node {
        self.processes[process].node.as_mut().expect("it is a node")
    }

    /// Lets a node's lease do something, and does what that says.
    pub(super) fn with_lease(
        &mut self,
        process: usize,
        act: impl FnOnce(&mut Lease, u64) -> Vec<NodeAction>,
    ) {
        let now_ms = self.local_ms(process);
        for action in act(&mut self.node(process).lease, now_ms) {
            match action {
                NodeAction::Send(heartbeat) => self.tell_coordinators(process, heartbeat),
                NodeAction::Publish(fence) => self.node(process).fence = fence,
                NodeAction::Settle(epoch, slots) => {
                    let waits = self.config.rules.settle;
                    let node = self.node(process);
                    let begun = node.under_way.keys().copied().filter(|_| waits).collect();
                    node.settling = Some((epoch, slots, begun));
                    self.maybe_settle(process);
                }
                NodeAction::Left => self.node(process).has_left = true,
            }
        }
        let next_ms = self.node(process).lease.next_ms();
        self.wake(process, next_ms);
    }

    fn maybe_settle(&mut self, process: usize) {
        if let Some((epoch, _, begun)) = &self.node(process).settling
            && begun.is_empty()
        {
            let epoch = *epoch;
            let delay = self.rng.u64(0..3000);
            self.after(delay, Event::Settle { process, epoch });
        }
    }

    /// The slots are emptied that had to be.
    pub(super) fn settle(&mut self, process: usize, epoch: u64) {
        let slots = self.slots.clone();
        let node = self.node(process);
        let Some((_, dropped, _)) =
            node.settling.take_if(|(wanted, _, begun)| *wanted == epoch && begun.is_empty())
        else {
            return;
        };
        node.store.retain(|&key, _| !dropped.iter().any(|run| run.contains(&slots[key])));
        self.with_lease(process, |lease, now_ms| lease.settled(now_ms, epoch));
    }

    /// A request came.
    pub(super) fn request(&mut self, process: usize, request: Request) {
        let epoch = request.epoch;
        self.with_lease(process, |lease, now_ms| lease.linked(now_ms, epoch));
        let (now_ms, slot) = (self.local_ms(process), self.slots[request.key]);
        let just_thawed = self.processes[process].frozen_until == self.now;
        let node = self.node(process);
        let fence = Arc::clone(&node.fence);
        let clock_ms = node.old_clock_ms.filter(|_| just_thawed).unwrap_or(now_ms);
        if let Err(refusal) = fence.check(slot, clock_ms) {
            self.reply(process, &request, Reply::Refused(refusal));
            return;
        }
        let (op, trap) = (request.op, node.trap.take());
        let turn = node.lease.table().slots.get(slot).since;
        node.under_way.insert(op, UnderWay { request, fence, turn, found: None });
        // Most go through in one piece.
        let held_up = self.config.stalls && self.rng.u8(..) < 8;
        let delay = if held_up { 1 << self.rng.u32(0..22) } else { 0 };
        match trap {
            Some((true, us)) => {
                self.freeze(process, us);
                self.after(0, Event::Execute { process, op });
            }
            Some((false, us)) => {
                self.execute(process, op, 1);
                self.freeze(process, us);
            }
            None if delay == 0 => self.execute(process, op, 0),
            None => self.after(delay, Event::Execute { process, op }),
        }
    }

    /// Does what a request asks, and replies `delay` later.
    pub(super) fn execute(&mut self, process: usize, op: usize, mut delay: u64) {
        let node = self.node(process);
        let Some(UnderWay { request, found, .. }) = node.under_way.get_mut(&op) else { return };
        *found = Some(match request.kind {
            Kind::Read => node.store.get(&request.key).copied(),
            Kind::Write => node.store.insert(request.key, op).and(None),
            Kind::Delete => node.store.remove(&request.key).and(None),
        });
        self.over(op);
        if self.config.stalls && self.rng.u8(..) < 8 {
            delay = 1 << self.rng.u32(0..22);
        }
        match delay {
            0 => self.finish(process, op),
            _ => self.after(delay, Event::Finish { process, op }),
        }
    }

    /// Looks whether the reply may be given.
    pub(super) fn finish(&mut self, process: usize, op: usize) {
        let now_ms = self.local_ms(process);
        let Some(UnderWay { request, fence, turn, found }) =
            self.node(process).under_way.remove(&op)
        else {
            return;
        };
        let holds = fence.holds(now_ms) || !self.config.recheck;
        let reply = found.filter(|_| holds).map_or(Reply::Late, Reply::Done);
        self.ops[op].turn = holds.then_some(turn);
        self.reply(process, &request, reply);
        if let Some((_, _, begun)) = &mut self.node(process).settling
            && let Some(at) = begun.iter().position(|&other| other == op)
        {
            begun.swap_remove(at);
            self.maybe_settle(process);
        }
    }

    fn reply(&mut self, process: usize, request: &Request, reply: Reply) {
        self.send(process, request.from, Packet::Reply(request.op, reply));
    }

    /// The process ended: what was under way is lost.
    pub(super) fn forget_requests(&mut self, process: usize) {
        let lost: Vec<usize> = self.node(process).under_way.keys().copied().collect();
        lost.into_iter().for_each(|op| self.over(op));
    }
}
