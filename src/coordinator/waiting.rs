//! Requests that wait because one of their slots is between two owners, in the order they came.
//!
//! They are routed again when the worker adopts another table, before anything newer is executed. A slot that one of them
//! needs is held: later requests for it wait behind, even where its owner is known, as that of the second key of an MGET
//! may be. So no request of a client overtakes an earlier one for the same slot.

use super::gather::Caller;
use crate::cluster::slot_of;
use crate::command::Found;
use crate::resp::ArgsBuf;
use crate::server::sleep;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;
use tokio::sync::Notify;

/// A request that outlives the client's buffer: all that is needed to route it, at any time.
pub(super) struct Request {
    pub(super) found: Found,
    pub(super) args: ArgsBuf,
    pub(super) db: u8,
    pub(super) prepared: Prepared,
}

/// What was done here for a request before it is routed.
pub(super) enum Prepared {
    /// All of it: this is its reply.
    Here(Bytes),
    /// It goes to nodes. Where it was executed here as well, this is the reply to that.
    Nodes { own: Bytes },
}

/// What waits.
pub(super) enum Work {
    /// One request.
    One(Request),
    /// The queue of a transaction.
    Exec(Vec<Request>),
}

impl Work {
    fn requests(&self) -> &[Request] {
        match self {
            Work::One(request) => std::slice::from_ref(request),
            Work::Exec(requests) => requests,
        }
    }

    fn slots(&self) -> impl Iterator<Item = u16> + '_ {
        self.requests().iter().flat_map(|Request { found, args, .. }| {
            let args = args.args();
            found.row.keys.positions(args.len()).map(move |at| slot_of(args.at(at)))
        })
    }
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<(Caller, Work)>,
    /// The slots that they need.
    held: HashSet<u16>,
}

/// The requests of a worker that wait.
#[derive(Default)]
pub(super) struct Waiting {
    queue: RefCell<Queue>,
    some: Notify,
}

impl Waiting {
    /// Whether a request waits that needs this slot.
    pub(super) fn holds(&self, slot: u16) -> bool {
        let queue = self.queue.borrow();
        !queue.requests.is_empty() && queue.held.contains(&slot)
    }

    /// Whether any request waits.
    pub(super) fn has_any(&self) -> bool {
        !self.queue.borrow().requests.is_empty()
    }

    /// Has a request wait behind the others.
    pub(super) fn push(&self, caller: Caller, work: Work) {
        let queue = &mut *self.queue.borrow_mut();
        if queue.requests.is_empty() {
            self.some.notify_one();
        }
        queue.held.extend(work.slots());
        queue.requests.push_back((caller, work));
    }

    /// Takes all out, in their order. They hold nothing any more.
    pub(super) fn take(&self) -> impl Iterator<Item = (Caller, Work)> + use<> {
        std::mem::take(&mut *self.queue.borrow_mut()).requests.into_iter()
    }

    /// Waits until the oldest has waited as long as `allowed` says.
    pub(super) async fn overdue(&self, allowed: impl Fn() -> Duration) {
        loop {
            let oldest = self.queue.borrow().requests.front().map(|(caller, _)| caller.started);
            match oldest.map(|since| allowed().saturating_sub(since.elapsed())) {
                None => self.some.notified().await,
                Some(Duration::ZERO) => return,
                Some(left) => sleep(left).await,
            }
        }
    }
}
