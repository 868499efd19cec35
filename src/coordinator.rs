//! A coordinator: plans each request by its row and the slot table, forwards it to the nodes, and merges what
//! they answer.
//!
//! Over a fixed list of nodes the table never changes. In a cluster that forms itself each worker follows the tables that
//! the membership publishes ([`Local::routes`]): it *adopts* one between two requests, and from then on
//!
//! 1. every link that is connected announces the table, before it carries anything that was routed by it, and at once
//!    even if nothing is to be sent; a new connection begins with an announcement (`coordinator/link.rs`);
//! 2. links to nodes that are gone send nothing new, and end when what is in flight is answered;
//! 3. requests that waited for a slot without an owner are routed again, before any newer one (`coordinator/waiting.rs`).

mod gather;
mod handshake;
mod info;
mod latency;
mod link;
mod merge;
mod plan;
mod queue;
mod router;
mod routes;
#[cfg(test)]
mod tests;
mod transaction;
mod waiting;

pub use link::Settings;

use crate::cluster::{Local, SlotTable, slot_of};
use crate::command::{Context, Found, Keys, Route};
use crate::resp::{Args, Error, Reply};
use crate::server::{Call, Outcome, Queue, Server, Service};
use crate::store::{Ahead, Keyspace};
use bytes::Bytes;
use gather::{Caller, merged};
use plan::{Planned, Stop};
use queue::Target;
use router::Router;
use std::rc::Rc;
use std::sync::Arc;
use waiting::{Prepared, Request, Work};

/// The service of a coordinator; each worker has its own links to every node.
pub struct Coordinator {
    router: Rc<Router>,
}

impl Coordinator {
    /// A coordinator over the nodes of a table that stays. Must be made on its worker, whose runtime its links run on.
    pub fn new(
        table: Arc<SlotTable>,
        settings: &Arc<Settings>,
        server: &Arc<Server>,
        worker: usize,
    ) -> Self {
        let router = Router::new(settings.clone(), server.clone(), worker);
        router.adopt(table);
        Coordinator { router }
    }

    /// A coordinator over the members of a cluster, as the membership makes them known; until it does, nobody serves
    /// anything. Must be made on its worker.
    pub fn of_cluster(local: &Local, server: &Arc<Server>, worker: usize) -> Self {
        let settings = Arc::new(Settings::Members { secret: local.secret.clone() });
        let router = Router::new(settings, server.clone(), worker);
        let mut tables = local.routes.subscribe();
        router.adopt(tables.borrow_and_update().clone());
        tokio::task::spawn_local(router.clone().follow(tables));
        Coordinator { router }
    }

    /// Whether its key's slot is the hint.
    fn has_one_key(found: Found) -> bool {
        found.row.route == Route::OneSlot && found.row.keys == Keys::ONE
    }

    /// Forwards a request whose keys lie in one slot, as it came, and its reply as it comes.
    fn forward(&self, call: &mut Call<'_>, found: Found, args: Args<'_>, hint: u64) -> Outcome {
        let slot = if Self::has_one_key(found) {
            hint as u16
        } else {
            match plan::one_slot(found, args) {
                Ok(slot) => slot,
                Err(error) => return call.turn_away(error),
            }
        };
        let routes = self.router.routes();
        let node = match self.router.place(&routes, slot) {
            Ok(node) => node,
            Err(Stop::Wait) => return self.wait_for_one(call, found, args),
            Err(Stop::Fail(error)) => return call.turn_away(error),
        };
        let link = routes.link(node, call.session.proto());
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

    /// Has a request wait for its slots.
    fn wait_for_one(&self, call: &mut Call<'_>, found: Found, args: Args<'_>) -> Outcome {
        let caller = Caller::reserve(call, found.id, args.payload_len());
        let (args, db) = (args.to_owned(), call.session.db());
        let prepared = Prepared::Nodes { own: Bytes::new() };
        self.router.wait(caller, Work::One(Request { found, args, db, prepared }));
        Outcome::Pending
    }

    /// Does what has to be done here for a request.
    fn prepare(
        &self,
        call: &mut Call<'_>,
        found: Found,
        args: Args<'_>,
    ) -> Result<Prepared, Error> {
        match found.row.route {
            Route::Local | Route::Transaction => {
                self.run_here(call, found, args).map(Prepared::Here)
            }
            Route::LocalAndNodes(merge) => {
                // Else it would be changed here and not there.
                if plan::needs_all(merge, args) && !self.router.routes().are_all_up() {
                    return Err(Error::CLUSTER_DOWN);
                }
                self.run_here(call, found, args).map(|own| Prepared::Nodes { own })
            }
            _ => Ok(Prepared::Nodes { own: Bytes::new() }),
        }
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

    /// Answers a request, or sends its parts to their nodes.
    fn answer_or_scatter(&self, call: &mut Call<'_>, command: u16, planned: Planned) -> Outcome {
        let reply = match planned {
            Planned::Here(reply) => reply,
            Planned::Parts(parts, join) if parts.is_empty() => {
                merged(&join, call.session.proto(), &[], &[])
            }
            Planned::Parts(parts, join) => {
                let bytes = parts.iter().map(|part| part.request.len()).sum();
                self.router.scatter(Caller::reserve(call, command, bytes), parts, join);
                return Outcome::Pending;
            }
        };
        call.answer(|_, out| {
            out.out.extend_shared(&reply);
            Ok(())
        })
    }
}

impl Service for Coordinator {
    const KEEPS_ARGUMENTS: bool = false;

    type Held<'a> = ();

    /// The slot of the key, if it has one key: a chain of look-ups, which the processor goes through beside the decoding of
    /// the next request.
    fn hint(&self, found: Found, args: Args<'_>) -> u64 {
        let one = Self::has_one_key(found);
        if one { u64::from(slot_of(args.at(1))) } else { 0 }
    }

    fn hold(&self, _: impl Iterator<Item = (Found, u64)>) {}

    fn look_ahead(&self, (): &(), _: Found, _: u64, _: Ahead) -> bool {
        false
    }

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
        let db = call.session.db();
        let planned = self.prepare(call, found, args).map_err(Stop::Fail);
        let planned = planned.and_then(|prepared| match prepared {
            Prepared::Here(reply) => Ok(Planned::Here(reply)),
            Prepared::Nodes { own } => self.router.plan(found, db, args, &own),
        });
        match planned {
            Ok(planned) => self.answer_or_scatter(call, found.id, planned),
            Err(Stop::Wait) => self.wait_for_one(call, found, args),
            Err(Stop::Fail(error)) if error == Error::CLUSTER_DOWN => call.turn_away(error),
            Err(Stop::Fail(error)) => call.refuse(error),
        }
    }

    fn execute_queue(&self, (): &mut (), call: &mut Call<'_>, queue: Queue) -> Outcome {
        let bytes = queue.bytes;
        let exec = crate::command::find(b"EXEC").map_or(0, |found| found.id);
        match transaction::prepare(self, call, queue) {
            Ok(Ok(planned)) => self.answer_or_scatter(call, exec, planned),
            Ok(Err(requests)) => {
                self.router.wait(Caller::reserve(call, exec, bytes), Work::Exec(requests));
                Outcome::Pending
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
