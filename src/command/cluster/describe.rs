//! The cluster in the words of Redis Cluster: CLUSTER INFO, NODES, SLOTS and SHARDS.

use crate::cluster::{Epoch, Local, Member, NodeId, SLOTS, View, now_ms};
use crate::resp::Reply;
use std::sync::Arc;

/// How much higher the port of the cluster's bus is with Redis; here nobody listens there.
const BUS_PORT_OFFSET: u32 = 10_000;

/// What a node tells of its cluster.
pub(super) struct Picture {
    view: Arc<View>,
    myself: NodeId,
    /// This node holds a lease.
    serves: bool,
    nodes: Vec<Node>,
}

/// A node of the cluster.
struct Node {
    member: Member,
    /// First and last slot of each run that it owns.
    runs: Vec<(u16, u16)>,
    /// The epoch in which its slots last changed.
    epoch: Epoch,
    is_down: bool,
}

impl Node {
    fn slots(&self) -> usize {
        self.runs.iter().map(|&(first, last)| usize::from(last - first) + 1).sum()
    }
}

impl Picture {
    /// What a node knows now.
    pub(super) fn of(local: &Local) -> Self {
        let view = local.view();
        let table = &view.table;
        let mut nodes: Vec<Node> = table
            .members
            .iter()
            .map(|(&number, member)| {
                let (mut runs, mut epoch): (Vec<(u16, u16)>, _) = (Vec::new(), None);
                for (run, slot) in table.owned_by(number) {
                    epoch = epoch.max(Some(slot.since));
                    // Runs differ in their epochs too, which nobody asks for here.
                    match runs.last_mut() {
                        Some((_, last)) if *last + 1 == run.start => *last = run.end - 1,
                        _ => runs.push((run.start, run.end - 1)),
                    }
                }
                let is_down = view.down.contains(&member.id);
                Node { member: member.clone(), runs, epoch: epoch.unwrap_or(table.epoch), is_down }
            })
            .collect();
        // A node always knows itself, or clients could not tell whom they talk to.
        if nodes.iter().all(|node| node.member.id != local.id) {
            let (id, address) = (local.id, local.address.clone());
            let member = Member { id, address, capacity: 0 };
            nodes.push(Node { member, runs: vec![], epoch: 0, is_down: false });
        }
        let fence = local.fences.as_ref().map(|fences| fences.current());
        let serves = fence.is_some_and(|fence| fence.holds(now_ms()));
        Picture { view, myself: local.id, serves, nodes }
    }

    /// Whether a node has this id.
    pub(super) fn has(&self, id: &[u8]) -> bool {
        let id = std::str::from_utf8(id).ok().and_then(|id| id.parse::<NodeId>().ok());
        self.nodes.iter().any(|node| Some(node.member.id) == id)
    }

    /// CLUSTER INFO.
    pub(super) fn info(&self) -> String {
        let slots = |nodes: &mut dyn Iterator<Item = &Node>| nodes.map(Node::slots).sum::<usize>();
        let assigned = slots(&mut self.nodes.iter());
        let failed = slots(&mut self.nodes.iter().filter(|node| node.is_down));
        let myself = self.nodes.iter().find(|node| node.member.id == self.myself);
        let fields = [
            ("slots_assigned", assigned as u64),
            ("slots_ok", (assigned - failed) as u64),
            ("slots_pfail", 0),
            ("slots_fail", failed as u64),
            ("known_nodes", self.nodes.len() as u64),
            ("size", self.nodes.iter().filter(|node| !node.runs.is_empty()).count() as u64),
            ("current_epoch", self.view.table.epoch),
            ("my_epoch", myself.map_or(0, |node| node.epoch)),
            ("stats_messages_sent", 0),
            ("stats_messages_received", 0),
        ];
        let state = if self.serves && assigned == SLOTS { "ok" } else { "fail" };
        let fields = fields.map(|(name, value)| format!("cluster_{name}:{value}\r\n")).concat();
        format!("cluster_state:{state}\r\n{fields}total_cluster_links_buffer_limit_exceeded:0\r\n")
    }

    /// CLUSTER NODES.
    pub(super) fn nodes(&self) -> String {
        self.nodes.iter().map(|node| self.line(node)).collect()
    }

    /// `<id> <ip:port@cport> <flags> <master> <ping-sent> <pong-recv> <config-epoch> <link-state> <slot> ...`
    fn line(&self, node: &Node) -> String {
        let (host, port) = node.member.host_and_port();
        let bus = u32::from(port) + BUS_PORT_OFFSET;
        let myself = if node.member.id == self.myself { "myself," } else { "" };
        let fail = if node.is_down { ",fail" } else { "" };
        let link = if node.is_down { "disconnected" } else { "connected" };
        let runs: String = node
            .runs
            .iter()
            .map(|&(first, last)| match first == last {
                true => format!(" {first}"),
                false => format!(" {first}-{last}"),
            })
            .collect();
        let (id, epoch) = (node.member.id, node.epoch);
        format!("{id} {host}:{port}@{bus} {myself}master{fail} - 0 0 {epoch} {link}{runs}\n")
    }

    /// CLUSTER SLOTS.
    pub(super) fn slots(&self, reply: &mut Reply<'_>) {
        let mut runs: Vec<(u16, u16, &Node)> = Vec::new();
        for node in &self.nodes {
            runs.extend(node.runs.iter().map(|&(first, last)| (first, last, node)));
        }
        runs.sort_unstable_by_key(|&(first, ..)| first);
        reply.array(runs.len());
        for (first, last, node) in runs {
            let (host, port) = node.member.host_and_port();
            reply.array(3);
            reply.int(first.into());
            reply.int(last.into());
            reply.array(4);
            reply.bulk(host.as_bytes());
            reply.int(port.into());
            reply.bulk(node.member.id.to_string().as_bytes());
            // What else is known of it: nothing.
            reply.map(0);
        }
    }

    /// CLUSTER SHARDS.
    pub(super) fn shards(&self, reply: &mut Reply<'_>) {
        reply.array(self.nodes.len());
        for node in &self.nodes {
            reply.map(2);
            reply.bulk(b"slots");
            reply.array(2 * node.runs.len());
            for &(first, last) in &node.runs {
                reply.int(first.into());
                reply.int(last.into());
            }
            reply.bulk(b"nodes");
            reply.array(1);
            self.shard_node(node, reply);
        }
    }

    fn shard_node(&self, node: &Node, reply: &mut Reply<'_>) {
        let (host, port) = node.member.host_and_port();
        let is_online = !node.is_down && (self.serves || node.member.id != self.myself);
        reply.map(7);
        reply.bulk(b"id");
        reply.bulk(node.member.id.to_string().as_bytes());
        reply.bulk(b"port");
        reply.int(port.into());
        for (name, value) in [("ip", host), ("endpoint", host), ("role", "master")] {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
        reply.bulk(b"replication-offset");
        reply.int(0);
        reply.bulk(b"health");
        reply.bulk(if is_online { b"online" } else { b"fail" });
    }
}
