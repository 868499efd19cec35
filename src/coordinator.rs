//! A coordinator: plans each request by its row and the slot table, forwards it to the nodes, and merges what
//! they answer.

mod gather;
mod handshake;
mod info;
mod latency;
mod link;
mod merge;
mod plan;
mod queue;
mod transaction;

pub use link::Settings;

use crate::cluster::{SlotTable, slot_of};
use crate::command::{Context, Found, Keys, Route};
use crate::resp::{Args, Error, Proto, Reply};
use crate::server::{Call, Outcome, Queue, Server, Service};
use crate::store::{Ahead, Keyspace};
use bytes::Bytes;
use gather::{Gather, Join};
use link::Link;
use plan::{Part, Planned};
use queue::Target;
use std::rc::Rc;
use std::sync::Arc;

/// The service of a coordinator; each worker has its own links to every node.
pub struct Coordinator {
    table: Arc<SlotTable>,
    /// For each node a link for each protocol version: replies are forwarded as they are.
    links: Vec<[Rc<Link>; 2]>,
}

impl Coordinator {
    /// A coordinator over the nodes of a table. Must be made on its worker, whose runtime its links run on.
    pub fn new(
        table: Arc<SlotTable>,
        settings: &Arc<Settings>,
        server: &Arc<Server>,
        worker: usize,
    ) -> Self {
        let stats = server.stats.worker(worker);
        let link = |addr: &String, proto| {
            Link::new(addr.clone(), proto, settings.clone(), server.clone(), stats.clone(), worker)
        };
        let links = table.nodes().iter();
        let links: Vec<_> =
            links.map(|addr| [link(addr, Proto::Resp2), link(addr, Proto::Resp3)]).collect();
        // The RESP2 links also tell who is up; the others start when a client speaks RESP3.
        links.iter().for_each(|links| links[0].ensure_started());
        Coordinator { table, links }
    }

    /// Whether its key's slot is the hint.
    fn has_one_key(found: Found) -> bool {
        found.row.route == Route::OneSlot && found.row.keys == Keys::ONE
    }

    fn link(&self, node: usize, proto: Proto) -> &Rc<Link> {
        let [resp2, resp3] = &self.links[node];
        match proto {
            Proto::Resp2 => resp2,
            Proto::Resp3 => resp3,
        }
    }

    fn is_up(&self, node: usize) -> bool {
        self.links[node][0].is_up()
    }

    /// Forwards a request whose keys lie in one slot, as it came, and its reply as it comes.
    fn forward(&self, call: &mut Call<'_>, found: Found, args: Args<'_>, hint: u64) -> Outcome {
        let node = if Self::has_one_key(found) {
            plan::place(self.table.owner(hint as u16))
        } else {
            plan::one_slot(&self.table, found, args)
        };
        let node = match node {
            Ok(node) => node,
            Err(error) => return call.turn_away(error),
        };
        let link = self.link(node, call.session.proto());
        if !link.is_up() {
            return call.turn_away(Error::CLUSTER_DOWN);
        }
        let place = call.replies.borrow_mut().reserve(args.payload_len());
        let target = Target::Client {
            replies: call.replies.clone(),
            place,
            command: found.id,
            started: call.started,
        };
        link.send(call.session.db(), 0, call.started, target, |out| args.encode_into(out));
        Outcome::Pending
    }

    /// What has to be done for a request that is not simply forwarded.
    fn plan(&self, call: &mut Call<'_>, found: Found, args: Args<'_>) -> Result<Planned, Error> {
        let (nodes, db) = (self.table.nodes().len(), call.session.db());
        let planned = match found.row.route {
            Route::Local | Route::Transaction => {
                return self.run_here(call, found, args).map(Planned::Here);
            }
            Route::OneSlot => {
                let node = plan::one_slot(&self.table, found, args)?;
                Planned::Parts(vec![Part::whole(node, db, args)], Join::Whole)
            }
            Route::Split(merge) => plan::split(&self.table, db, found, args, merge)?,
            Route::AllNodes(merge) if latency::has(merge) => {
                latency::plan(self.table.nodes(), db, args, merge, call.now / 1000)
            }
            Route::AllNodes(merge) => plan::all_nodes(&self.table, db, args, merge)?,
            Route::Cursor => plan::cursor(nodes, db, args)?,
            Route::LocalAndNodes(merge) => {
                // Else it would be changed here and not there.
                if plan::needs_all(merge, args) && (0..nodes).any(|node| !self.is_up(node)) {
                    return Err(Error::CLUSTER_DOWN);
                }
                let own = self.run_here(call, found, args)?;
                let up = (0..nodes).filter(|&node| self.is_up(node)).collect();
                let is_larder = |node: usize| self.links[node][0].is_larder();
                plan::local_and_nodes(&self.table, up, is_larder, db, args, merge, own)?
            }
        };
        // Before anything is sent, so that a command that cannot succeed changes nothing.
        if let Planned::Parts(parts, join) = &planned {
            let all = matches!(found.row.route, Route::AllNodes(_) | Route::Cursor);
            let down = |node: usize| !self.is_up(node);
            if !join.spares_the_dead()
                && (parts.iter().any(|part| down(part.node)) || (all && (0..nodes).any(down)))
            {
                return Err(Error::CLUSTER_DOWN);
            }
        }
        Ok(planned)
    }

    /// Executes a command that needs no keys, and gives its encoded reply.
    fn run_here(&self, call: &mut Call<'_>, found: Found, args: Args<'_>) -> Result<Bytes, Error> {
        call.session.client.note_command(found.id);
        let mut output = crate::resp::Output::default();
        let mut reply = Reply::new(&mut output, call.session.proto());
        let keyspace = &mut Keyspace::nowhere(call.session.db(), call.now);
        let mut context = Context { server: call.server, session: call.session, keyspace };
        (found.row.run.handler)(&mut context, args, &mut reply)?;
        Ok(output.take())
    }

    /// Sends the parts of a plan to their nodes; the reply comes when the last one has answered.
    fn scatter(&self, call: &mut Call<'_>, command: u16, parts: Vec<Part>, join: Join) -> Outcome {
        let bytes = parts.iter().map(|part| part.request.len()).sum();
        let place = call.replies.borrow_mut().reserve(bytes);
        let proto = call.session.proto();
        let keys = parts.iter().map(|part| part.keys.clone()).collect();
        let gather = Gather::new(join, proto, keys, call, command, place);
        for (index, part) in parts.into_iter().enumerate() {
            let link = self.link(part.node, proto);
            let target = Target::Part { gather: gather.clone(), index };
            link.send(part.db, part.preamble, call.started, target, |out| {
                out.extend_from_slice(&part.request);
            });
            if part.moves_db {
                link.forget_db();
            }
        }
        Outcome::Pending
    }
}

impl Service for Coordinator {
    type Held<'a> = ();

    /// The slot of the key, if it has one key: a chain of look-ups, which the processor goes through beside the decoding of
    /// the next request.
    fn hint(&self, found: Found, args: Args<'_>) -> u64 {
        let one = Self::has_one_key(found);
        if one { u64::from(slot_of(args.at(1))) } else { 0 }
    }

    fn hold(&self, _: impl Iterator<Item = (Found, u64)>) {}

    fn look_ahead(&self, (): &(), _: Found, _: u64, _: Ahead) {}

    fn execute(
        &self,
        (): &mut (),
        call: &mut Call<'_>,
        found: Found,
        args: Args<'_>,
        hint: u64,
    ) -> Outcome {
        if found.row.route == Route::OneSlot {
            return self.forward(call, found, args, hint);
        }
        match self.plan(call, found, args) {
            Ok(Planned::Here(reply)) => call.answer(|_, out| {
                out.out.extend_shared(&reply);
                Ok(())
            }),
            Ok(Planned::Parts(parts, join)) => self.scatter(call, found.id, parts, join),
            Err(error) if error == Error::CLUSTER_DOWN => call.turn_away(error),
            Err(error) => call.refuse(error),
        }
    }

    fn execute_queue(&self, (): &mut (), call: &mut Call<'_>, queue: Queue) -> Outcome {
        match transaction::plan(self, call, &queue) {
            Ok((parts, join)) if parts.is_empty() => {
                let reply = gather::merged(&join, call.session.proto(), &[], &[]);
                call.answer(|_, out| {
                    out.out.extend(&reply);
                    Ok(())
                })
            }
            Ok((parts, join)) => {
                let exec = crate::command::find(b"EXEC");
                self.scatter(call, exec.map_or(0, |found| found.id), parts, join)
            }
            Err(error) => call.refuse(error),
        }
    }

    fn admit(&self, (): &mut (), _: &Call<'_>, _: Found, _: Args<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn may_reply(&self, (): ()) -> bool {
        true
    }
}
