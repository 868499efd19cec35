//! What a worker routes by: the table that it goes by, and the links to the nodes that the table names.

use super::link::Link;
use crate::cluster::{NodeId, SlotTable};
use crate::resp::Proto;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// A table and its links.
pub(super) struct Routes {
    table: Arc<SlotTable>,
    /// For each node a link for each protocol version: replies are forwarded as they are.
    links: Vec<[Rc<Link>; 2]>,
}

/// A node that comes back with another address is reached by other links.
fn key(table: &SlotTable, place: usize) -> (Option<NodeId>, &str) {
    (table.node(place).id, &table.nodes()[place])
}

impl Routes {
    /// No nodes.
    pub(super) fn nothing() -> Self {
        Routes { table: Arc::new(SlotTable::nothing()), links: Vec::new() }
    }

    /// The table.
    pub(super) fn table(&self) -> &SlotTable {
        &self.table
    }

    /// Goes by another table. The links to nodes that stay are kept, those to others are retired, and all that are connected
    /// announce it before they carry anything that is routed by it.
    pub(super) fn adopt(
        &mut self,
        table: Arc<SlotTable>,
        connect: impl Fn(&str, Proto) -> Rc<Link>,
    ) {
        let old = std::mem::replace(&mut self.table, table);
        let links = self.links.drain(..).enumerate();
        let mut links: HashMap<_, _> =
            links.map(|(place, links)| (key(&old, place), links)).collect();
        for place in 0..self.table.nodes().len() {
            let key = key(&self.table, place);
            let new = || [Proto::Resp2, Proto::Resp3].map(|proto| connect(key.1, proto));
            let links = links.remove(&key).unwrap_or_else(new);
            for link in &links {
                link.adopt(self.table.epoch(), self.table.node(place).is_down);
            }
            // The RESP2 links also tell who is up; the others start when a client speaks RESP3.
            links[0].ensure_started();
            self.links.push(links);
        }
        links.into_values().flatten().for_each(|link| link.retire());
    }

    /// The link to a node.
    pub(super) fn link(&self, node: usize, proto: Proto) -> &Rc<Link> {
        let [resp2, resp3] = &self.links[node];
        match proto {
            Proto::Resp2 => resp2,
            Proto::Resp3 => resp3,
        }
    }

    /// Whether a node serves, as far as is known.
    pub(super) fn is_up(&self, node: usize) -> bool {
        self.links[node][0].is_up()
    }

    /// Whether a node is one of Larder's, unless it has said that it is not.
    pub(super) fn is_larder(&self, node: usize) -> bool {
        self.links[node][0].is_larder()
    }

    /// Whether all nodes serve, and there are some.
    pub(super) fn are_all_up(&self) -> bool {
        !self.links.is_empty() && (0..self.links.len()).all(|node| self.is_up(node))
    }
}
