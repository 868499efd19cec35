//! The replies of several nodes to one request: collected as they come, merged when the last one is there.

use super::latency::{self, Latency};
use super::{info, merge, transaction};
use crate::command::Merge;
use crate::resp::{Error, Output, Proto, Reply};
use crate::server::{Call, Replies};
use crate::stats::report::{Form, Report};
use crate::stats::{Moment, WorkerStats};
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What a node has answered: a reply, which may be an error, or why there is none.
pub(super) type NodeReply = Result<Bytes, Error>;

/// How the replies of nodes become one.
pub(super) enum Join {
    /// There is one: it is the reply.
    Whole,
    /// By the row's rule, for a request with so many keys.
    Merge { merge: Merge, keys: usize },
    /// A step of SCAN at the member of this number, behind which comes the next one.
    Cursor { number: u16, next: Option<u16> },
    /// SLOWLOG GET: so many entries at most, of these nodes.
    Slowlog { count: usize, nodes: Vec<String> },
    /// LATENCY, in one of its ways.
    Latency(Latency),
    /// Texts of these nodes, one after another.
    Texts { nodes: Vec<String> },
    /// CONFIG GET: what was found here, and the nodes that were not asked.
    Config { own: Bytes, down: Vec<String> },
    /// INFO: the sections of this server, the addresses that were asked, and all addresses.
    Info { own: Bytes, sections: Vec<&'static str>, addrs: Vec<String>, all: Vec<String> },
    /// LARDER STATS: this server's report, the form that is wanted, the addresses that were asked, and all addresses.
    Report { own: Bytes, form: Form, addrs: Vec<String>, all: Vec<String> },
    /// EXEC: how each queued command's reply is found.
    Transaction(Vec<transaction::Step>),
}

impl Join {
    /// Whether a node that is down is reported in the reply instead of failing it.
    pub(super) fn spares_the_dead(&self) -> bool {
        matches!(self, Join::Config { .. } | Join::Info { .. } | Join::Report { .. })
    }
}

/// Who gets the reply to a request, and what is counted with it.
pub(super) struct Caller {
    replies: Rc<RefCell<Replies>>,
    place: u64,
    proto: Proto,
    command: u16,
    /// When the request was taken up.
    pub(super) started: Moment,
    stats: Arc<WorkerStats>,
}

impl Caller {
    /// Keeps a place for the reply to a request of so many bytes.
    pub(super) fn reserve(call: &Call<'_>, command: u16, bytes: usize) -> Self {
        Caller {
            replies: call.replies.clone(),
            place: call.replies.borrow_mut().reserve(bytes),
            proto: call.session.proto(),
            command,
            started: call.started,
            stats: call.stats.clone(),
        }
    }

    /// The protocol version of the reply.
    pub(super) fn proto(&self) -> Proto {
        self.proto
    }

    /// Hands the reply over.
    pub(super) fn answer(&self, reply: &[u8], now: Moment) {
        let failed = reply.first() == Some(&b'-');
        if failed {
            count_error(&self.stats, reply);
        }
        self.stats.executed(self.command, 1, now.ns_since(self.started), failed.into());
        self.replies.borrow_mut().fill(self.place, reply);
    }
}

/// A request whose parts are at nodes.
pub(super) struct Gather {
    join: Join,
    keys: Vec<Vec<u32>>,
    replies: Vec<NodeReply>,
    missing: usize,
    caller: Caller,
}

impl Gather {
    pub(super) fn new(join: Join, keys: Vec<Vec<u32>>, caller: Caller) -> Rc<RefCell<Self>> {
        let replies: Vec<NodeReply> = keys.iter().map(|_| Ok(Bytes::new())).collect();
        let gather = Gather { missing: keys.len(), replies, join, keys, caller };
        let gather = Rc::new(RefCell::new(gather));
        if gather.borrow().missing == 0 {
            gather.borrow().finish(Moment::now());
        }
        gather
    }

    /// Takes the reply to a part.
    pub(super) fn fill(&mut self, part: usize, reply: NodeReply, now: Moment) {
        self.replies[part] = reply;
        self.missing -= 1;
        if self.missing == 0 {
            self.finish(now);
        }
    }

    fn finish(&self, now: Moment) {
        let reply = merged(&self.join, self.caller.proto, &self.keys, &self.replies);
        self.caller.answer(&reply, now);
    }
}

/// Counts an error reply by its code.
pub(super) fn count_error(stats: &WorkerStats, reply: &[u8]) {
    let end = reply.iter().position(|b| b" \r".contains(b)).unwrap_or(reply.len());
    stats.error(&String::from_utf8_lossy(reply.get(1..end).unwrap_or_default()));
}

/// An error as a reply.
pub(super) fn encode_error(error: &Error) -> Bytes {
    let mut output = Output::default();
    Reply::new(&mut output, Proto::Resp2).error(error);
    output.take()
}

/// The reply to a request, from those of its parts.
pub(super) fn merged(join: &Join, proto: Proto, keys: &[Vec<u32>], replies: &[NodeReply]) -> Bytes {
    if !join.spares_the_dead() {
        // The first error speaks for all: a part may have been applied even so.
        let errors = replies.iter().filter_map(|reply| match reply {
            Ok(bytes) if bytes.first() == Some(&b'-') => Some(bytes.clone()),
            Ok(_) => None,
            Err(error) => Some(encode_error(error)),
        });
        if let Some(error) = errors.into_iter().next() {
            return error;
        }
    }
    let good: Vec<Bytes> = replies.iter().flatten().cloned().collect();
    let mut out = BytesMut::new();
    let understood = match join {
        Join::Whole => return good.into_iter().next().unwrap_or_default(),
        Join::Merge { merge, keys: total } => {
            merge::merge(*merge, *total, keys, &good, proto, &mut out)
        }
        Join::Cursor { number, next } => merge::cursor(*number, *next, &good, &mut out),
        Join::Slowlog { count, nodes } => merge::slowlog(*count, nodes, &good, &mut out),
        Join::Latency(how) => latency::merge(how, &good, proto, &mut out),
        Join::Texts { nodes } => latency::texts(nodes, &good, proto, &mut out),
        Join::Config { own, down } => merge::config(own, down, &good, proto, &mut out),
        Join::Info { own, sections, addrs, all } => {
            info::merge(own, sections, addrs, all, replies, proto, &mut out)
        }
        Join::Report { own, form, addrs, all } => {
            report(own, form, addrs, all, replies, proto, &mut out)
        }
        Join::Transaction(steps) => transaction::merge(steps, &good, proto, &mut out),
    };
    match understood {
        Some(()) => out.freeze(),
        None => encode_error(&Error::new("ERR a node answered something that cannot be merged")),
    }
}

/// The report of the cluster. A node that answers something else than a report is up, if it is not that it cannot serve;
/// no more is known of it.
fn report(
    own: &Bytes,
    form: &Form,
    addrs: &[String],
    all: &[String],
    replies: &[NodeReply],
    proto: Proto,
    out: &mut BytesMut,
) -> Option<()> {
    let read = |reply: &[u8]| serde_json::from_slice::<Report>(merge::text(reply)?).ok();
    let answer = |addr: &String| {
        let place = addrs.iter().position(|asked| asked == addr)?;
        replies.get(place)?.as_ref().ok()
    };
    let node = |addr: &String| {
        let answer = answer(addr);
        let unknown = |reply: &Bytes| reply.starts_with(b"-ERR unknown");
        let up = answer.is_some_and(|reply| reply.first() != Some(&b'-') || unknown(reply));
        (addr.clone(), up, answer.and_then(|reply| read(reply)))
    };
    let nodes = all.iter().map(node).collect();
    let mut output = Output::default();
    form.write(&Report::of_cluster(read(own)?, nodes), &mut Reply::new(&mut output, proto));
    out.extend_from_slice(&output.take());
    Some(())
}
