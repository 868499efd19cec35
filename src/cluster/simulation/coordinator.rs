//! A coordinator's process with its clients, and the authority in one of them.

use super::super::{
    Authority, AuthorityAction, Epoch, FileAuthority, Follower, Heartbeat, Identity, Retry, Role,
    Route, TableAuthority,
};
use super::Message;
use super::history::{Kind, Op, Outcome};
use super::node::{Reply, Request};
use super::world::{Event, Packet, World};
use std::collections::BTreeMap;

/// How long a request waits for somebody to serve it, and a client for any answer, in microseconds.
const WAIT_US: u64 = 1_000_000;
const TIMEOUT_US: u64 = 1_200_000;

/// A request that a client waits for.
#[derive(Debug)]
struct Pending {
    client: usize,
    begin: u64,
    /// The node's process that it was sent to.
    sent_to: Option<usize>,
}

pub(super) struct Coordinator {
    pub(super) follower: Follower,
    pub(super) authority: Option<Authority<FileAuthority>>,
    /// The process that the link to each host leads to.
    pub(super) links: BTreeMap<usize, usize>,
    pending: BTreeMap<usize, Pending>,
}

impl Coordinator {
    pub(super) fn new(
        identity: Identity,
        now_ms: u64,
        authority: Option<Authority<FileAuthority>>,
    ) -> Self {
        let follower = Follower::new(identity, now_ms);
        Coordinator { follower, authority, links: BTreeMap::new(), pending: BTreeMap::new() }
    }
}

impl World {
    fn coordinator(&mut self, process: usize) -> &mut Coordinator {
        self.processes[process].coordinator.as_mut().expect("it is a coordinator")
    }

    pub(super) fn coordinate(&mut self, process: usize) {
        let now_ms = self.local_ms(process);
        if let Some(heartbeat) = self.coordinator(process).follower.tick(now_ms) {
            self.tell_authority(process, heartbeat);
        }
        self.with_authority(process, |authority, now_ms| authority.tick(now_ms));
    }

    fn tell_authority(&mut self, process: usize, heartbeat: Heartbeat) {
        if let Some(head) = self.current[0] {
            self.send(process, head, Packet::Control(Message::Heartbeat(heartbeat)));
        }
    }

    /// Lets the authority do something, and does what that says, if there is one in this process.
    pub(super) fn with_authority(
        &mut self,
        process: usize,
        act: impl FnOnce(&mut Authority<FileAuthority>, u64) -> Vec<AuthorityAction>,
    ) {
        let now_ms = self.local_ms(process);
        let Some(authority) = &mut self.coordinator(process).authority else { return };
        let actions = act(authority, now_ms);
        let unwritten = authority.decider().take_unwritten().cloned();
        for action in actions {
            let (to, message) = match action {
                AuthorityAction::Grant(to, grant) => (to, Message::Grant(grant)),
                AuthorityAction::News(to, epoch) => (to, Message::News(epoch)),
                AuthorityAction::Refuse(_, _) => {
                    self.refused_at = Some(self.now);
                    continue;
                }
            };
            // A process that was replaced, but lives, gets what is meant for the other: they have one name.
            for other in self.processes_of(to) {
                self.send(process, other, Packet::Control(message.clone()));
            }
        }
        if let Some(table) = unwritten {
            let delay = self.rng.u64(200..self.disk_max_us);
            self.writing = Some(table);
            self.after(delay, Event::Written { process });
            if !self.config.durable {
                self.decide(process, true);
            }
        }
    }

    /// The disk did what it was asked.
    pub(super) fn written(&mut self, process: usize) {
        let Some(table) = self.writing.take() else { return };
        let is_durable = !self.config.faults || self.rng.u8(..) > 8;
        if is_durable || self.rng.bool() {
            self.files.push(table);
        }
        if self.config.durable {
            self.decide(process, is_durable);
        }
    }

    /// The table that was proposed is in force, or not.
    fn decide(&mut self, process: usize, is_durable: bool) {
        self.with_authority(process, |authority, now_ms| {
            authority.decider().written(is_durable);
            authority.tick(now_ms)
        });
        let head = self.coordinator(process).authority.as_mut();
        let newest = head.map_or(0, |authority| authority.decider().table().epoch);
        self.newest = self.newest.max(newest);
    }

    /// Something came from another process about membership.
    pub(super) fn control(&mut self, process: usize, message: Message) {
        let now_ms = self.local_ms(process);
        let follower = &mut self.coordinator(process).follower;
        match message {
            Message::Heartbeat(heartbeat) => {
                if heartbeat.role == Role::Node {
                    follower.heard(&heartbeat);
                }
                self.with_authority(process, |authority, now_ms| {
                    authority.heartbeat(now_ms, heartbeat)
                });
            }
            Message::Grant(grant) => drop(follower.grant(now_ms, &grant)),
            Message::News(epoch) => self.news(process, epoch),
        }
    }

    fn news(&mut self, process: usize, epoch: Epoch) {
        let now_ms = self.local_ms(process);
        let follower = &mut self.coordinator(process).follower;
        let (heartbeat, next_ms) = (follower.news(now_ms, epoch), follower.next_ms());
        if let Some(heartbeat) = heartbeat {
            self.tell_authority(process, heartbeat);
        }
        self.wake(process, next_ms);
    }

    /// A connection to a host was closed: what was sent over it has an unknown outcome.
    pub(super) fn closed(&mut self, process: usize, host: usize) {
        let id = self.id(host);
        let coordinator = self.coordinator(process);
        coordinator.follower.closed(id);
        let link = coordinator.links.remove(&host);
        let sent = |pending: &Pending| pending.sent_to.is_some() && pending.sent_to == link;
        let lost: Vec<usize> =
            coordinator.pending.iter().filter(|(_, p)| sent(p)).map(|(&op, _)| op).collect();
        lost.into_iter().for_each(|op| self.answer(process, op, Outcome::Unknown));
        self.with_authority(process, |authority, now_ms| authority.closed(now_ms, id));
    }

    /// A client sends its next request.
    pub(super) fn ask(&mut self, client: usize) {
        let host = client % 2;
        let key = self.rng.usize(0..self.slots.len());
        let kind = match self.rng.u8(0..20) {
            0..9 => Kind::Read,
            9..19 => Kind::Write,
            _ => Kind::Delete,
        };
        let op = self.ops.len();
        self.ops.push(Op::new(key, kind, self.now, host));
        let Some(process) = self.current[host] else {
            self.ops[op].outcome = Outcome::Failed;
            self.ops[op].end = self.now;
            self.rest(client, 5);
            return;
        };
        let begin = self.now;
        self.coordinator(process).pending.insert(op, Pending { client, begin, sent_to: None });
        self.after(TIMEOUT_US, Event::Timeout { process, op });
        self.after(self.config.hop_us, Event::Route { process, op });
    }

    fn rest(&mut self, client: usize, times: u64) {
        let pause = times * self.rng.u64(self.config.pause_us.clone());
        self.after(pause, Event::Ask { client });
    }

    /// Sends a request to the node that should have it, or lets it wait.
    pub(super) fn route(&mut self, process: usize, op: usize) {
        let (now, slot) = (self.now, self.slots[self.ops[op].key]);
        let Some(pending) = self.coordinator(process).pending.get(&op) else { return };
        let has_waited = now - pending.begin >= WAIT_US;
        let follower = &self.coordinator(process).follower;
        let (route, epoch) = (follower.route(slot), follower.table().epoch);
        let target = match route {
            Route::To(number) => follower.table().members.get(&number).map(|member| member.id),
            _ => None,
        };
        match (route, target) {
            (_, Some(id)) => {
                let host = self.host(id);
                let Some(current) = self.current[host] else {
                    return self.answer(process, op, Outcome::Failed);
                };
                let link = *self.coordinator(process).links.entry(host).or_insert(current);
                if let Some(pending) = self.coordinator(process).pending.get_mut(&op) {
                    pending.sent_to = Some(link);
                }
                let Op { key, kind, .. } = self.ops[op];
                self.send(
                    process,
                    link,
                    Packet::Request(Request { op, key, kind, epoch, from: process }),
                );
            }
            (Route::Wait, _) if !has_waited => self.again(process, op),
            _ => self.answer(process, op, Outcome::Failed),
        }
    }

    fn again(&mut self, process: usize, op: usize) {
        let pause = self.rng.u64(2000..8000);
        self.after(pause, Event::Route { process, op });
    }

    /// A node replied.
    pub(super) fn replied(&mut self, process: usize, op: usize, reply: Reply) {
        let now_ms = self.local_ms(process);
        let refusal = match reply {
            Reply::Done(found) => return self.answer(process, op, Outcome::Done(found)),
            Reply::Late => return self.answer(process, op, Outcome::Unknown),
            Reply::Refused(refusal) => refusal,
        };
        let Some(pending) = self.coordinator(process).pending.get_mut(&op) else {
            return self.over(op);
        };
        pending.sent_to = None;
        let has_waited = pending.begin + WAIT_US <= self.now;
        let (retry, heartbeat) = self.coordinator(process).follower.refused(now_ms, refusal);
        if let Some(heartbeat) = heartbeat {
            self.tell_authority(process, heartbeat);
        }
        match retry {
            Retry::Again if !has_waited => self.again(process, op),
            _ => self.answer(process, op, Outcome::Failed),
        }
    }

    /// Tells the client.
    pub(super) fn answer(&mut self, process: usize, op: usize, outcome: Outcome) {
        let Some(Pending { client, sent_to, .. }) = self.coordinator(process).pending.remove(&op)
        else {
            return;
        };
        let now = self.now;
        let ended = &mut self.ops[op];
        ended.outcome = outcome;
        ended.end = now;
        if sent_to.is_none() {
            ended.over = ended.over.min(now);
        }
        self.rest(client, if outcome == Outcome::Failed { 5 } else { 1 });
    }

    /// The client waited long enough.
    pub(super) fn timeout(&mut self, process: usize, op: usize) {
        self.answer(process, op, Outcome::Unknown);
    }

    /// The process ended: its clients lose their connections, and come again.
    pub(super) fn forget_clients(&mut self, process: usize) {
        let lost: Vec<usize> = self.coordinator(process).pending.keys().copied().collect();
        lost.into_iter().for_each(|op| self.answer(process, op, Outcome::Unknown));
    }
}
