//! EXEC through a coordinator: the queued commands are grouped by node, each group is a transaction there, and the
//! replies are put back into the order of the queue. Atomic on each node, not across them.

use super::Coordinator;
use super::gather::{Join, encode_error, merged};
use super::merge::elements;
use super::plan::{Part, Planned, Stop};
use super::router::Router;
use super::waiting::{Prepared, Request};
use crate::resp::{ArgsBuf, Error, Proto};
use crate::server::{Call, Queue};
use bytes::{BufMut, Bytes, BytesMut};

/// Where the reply of a queued command comes from.
pub(super) enum Step {
    /// It was executed here.
    Here(Bytes),
    /// From elements of the nodes' replies to EXEC, each with the keys it is about.
    Parts { sources: Vec<Source>, join: Join },
}

/// An element of a node's reply.
pub(super) struct Source {
    /// The part, counted from 0.
    part: usize,
    element: usize,
    keys: Vec<u32>,
}

/// The commands for one node.
struct Group {
    node: usize,
    first_db: u8,
    db: u8,
    requests: BytesMut,
    count: usize,
}

impl Group {
    fn push(&mut self, part: &Part) -> usize {
        if part.db != self.db {
            let select = ArgsBuf::build(&[b"SELECT", part.db.to_string().as_bytes()]);
            select.args().encode_into(&mut self.requests);
            self.db = part.db;
            self.count += 1;
        }
        self.requests.extend_from_slice(&part.request);
        self.count += 1;
        self.count - 1
    }

    fn into_part(self) -> Part {
        let mut request = BytesMut::new();
        ArgsBuf::build(&[b"MULTI"]).args().encode_into(&mut request);
        request.extend_from_slice(&self.requests);
        ArgsBuf::build(&[b"EXEC"]).args().encode_into(&mut request);
        // +OK for MULTI and +QUEUED for each command come before the reply to EXEC.
        let mut part = Part::new(self.node, self.first_db, request);
        part.preamble = self.count + 1;
        // Only if the node executes it: a transaction that it refuses selects nothing.
        part.moves_db = self.db != self.first_db;
        part
    }
}

/// What a queue is to become of.
#[derive(Default)]
struct Plan {
    groups: Vec<Group>,
    steps: Vec<Step>,
}

impl Plan {
    /// Adds what a command is planned as.
    fn add(&mut self, planned: Result<Planned, Stop>) -> Result<(), Stop> {
        let (parts, join) = match planned {
            Ok(Planned::Parts(parts, join)) => (parts, join),
            Ok(Planned::Here(reply)) => {
                self.steps.push(Step::Here(reply));
                return Ok(());
            }
            Err(Stop::Fail(error)) if error != Error::CLUSTER_DOWN => {
                self.steps.push(Step::Here(encode_error(&error)));
                return Ok(());
            }
            Err(stop) => return Err(stop),
        };
        let mut sources = Vec::new();
        for part in parts {
            let group = match self.groups.iter().position(|group| group.node == part.node) {
                Some(group) => group,
                None => {
                    self.groups.push(Group {
                        node: part.node,
                        first_db: part.db,
                        db: part.db,
                        requests: BytesMut::new(),
                        count: 0,
                    });
                    self.groups.len() - 1
                }
            };
            let element = self.groups[group].push(&part);
            sources.push(Source { part: group, element, keys: part.keys });
        }
        self.steps.push(Step::Parts { sources, join });
        Ok(())
    }

    fn finish(self) -> Planned {
        let parts = self.groups.into_iter().map(Group::into_part).collect();
        Planned::Parts(parts, Join::Transaction(self.steps))
    }
}

/// Executes the commands of a queue that need no node, each in its turn, and plans it. Where it has to wait for a slot,
/// answers what it is planned from later.
///
/// # Errors
/// A node that is needed is down: then nothing has been sent.
pub(super) fn prepare(
    coordinator: &Coordinator,
    call: &mut Call<'_>,
    queue: Queue,
) -> Result<Result<Planned, Vec<Request>>, Error> {
    let (mut plan, mut waits) = (Plan::default(), false);
    let mut requests = Vec::with_capacity(queue.commands.len());
    for (found, args) in queue.commands {
        let db = call.session.db();
        let prepared = match coordinator.prepare(call, found, args.args()) {
            Ok(prepared) => prepared,
            Err(error) if error == Error::CLUSTER_DOWN => return Err(error),
            Err(error) => Prepared::Here(encode_error(&error)),
        };
        let request = Request { found, args, db, prepared };
        match plan.add(coordinator.router.plan_prepared(&request)) {
            Ok(()) => {}
            Err(Stop::Wait) => waits = true,
            Err(Stop::Fail(error)) => return Err(error),
        }
        call.server.show(call.session, found, request.args.args());
        requests.push(request);
    }
    Ok(if waits { Err(requests) } else { Ok(plan.finish()) })
}

/// Plans a queue that was prepared.
pub(super) fn plan(router: &Router, requests: &[Request]) -> Result<Planned, Stop> {
    let mut plan = Plan::default();
    for request in requests {
        plan.add(router.plan_prepared(request))?;
    }
    Ok(plan.finish())
}

/// The reply to EXEC, from those of the nodes.
pub(super) fn merge(
    steps: &[Step],
    replies: &[Bytes],
    proto: Proto,
    out: &mut BytesMut,
) -> Option<()> {
    let found: Vec<_> = replies.iter().map(|reply| elements(reply)).collect::<Option<_>>()?;
    out.put_slice(format!("*{}\r\n", steps.len()).as_bytes());
    for step in steps {
        match step {
            Step::Here(reply) => out.extend_from_slice(reply),
            Step::Parts { sources, join } => {
                let mut parts = Vec::new();
                for source in sources {
                    let range = found.get(source.part)?.get(source.element)?.clone();
                    parts.push(Ok(replies[source.part].slice(range)));
                }
                let keys: Vec<Vec<u32>> =
                    sources.iter().map(|source| source.keys.clone()).collect();
                out.extend_from_slice(&merged(join, proto, &keys, &parts));
            }
        }
    }
    Some(())
}
