//! EXEC through a coordinator: the queued commands are grouped by node, each group is a transaction there, and the
//! replies are put back into the order of the queue. Atomic on each node, not across them.

use super::Coordinator;
use super::gather::{Join, encode_error, merged};
use super::merge::elements;
use super::plan::{Part, Planned};
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

/// Plans a queue. Commands that need no node are executed here, in their turn.
///
/// # Errors
/// A node that is needed is down: then nothing has been sent.
pub(super) fn plan(
    coordinator: &Coordinator,
    call: &mut Call<'_>,
    queue: &Queue,
) -> Result<(Vec<Part>, Join), Error> {
    let (mut groups, mut steps): (Vec<Group>, Vec<Step>) = (Vec::new(), Vec::new());
    for (found, args) in &queue.commands {
        let planned = coordinator.plan(call, *found, args.args());
        if !matches!(&planned, Err(error) if *error == Error::CLUSTER_DOWN) {
            call.server.show(call.session, *found, args.args());
        }
        let (parts, join) = match planned {
            Ok(Planned::Parts(parts, join)) => (parts, join),
            Ok(Planned::Here(reply)) => {
                steps.push(Step::Here(reply));
                continue;
            }
            Err(error) if error == Error::CLUSTER_DOWN => return Err(error),
            Err(error) => {
                steps.push(Step::Here(encode_error(&error)));
                continue;
            }
        };
        let mut sources = Vec::new();
        for part in parts {
            let group = match groups.iter().position(|group| group.node == part.node) {
                Some(group) => group,
                None => {
                    groups.push(Group {
                        node: part.node,
                        first_db: part.db,
                        db: part.db,
                        requests: BytesMut::new(),
                        count: 0,
                    });
                    groups.len() - 1
                }
            };
            let element = groups[group].push(&part);
            sources.push(Source { part: group, element, keys: part.keys });
        }
        steps.push(Step::Parts { sources, join });
    }
    let parts = groups.into_iter().map(Group::into_part).collect();
    Ok((parts, Join::Transaction(steps)))
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
