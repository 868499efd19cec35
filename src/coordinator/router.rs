//! Routes the requests of a worker by the table in force: sends them to nodes, has them wait while a slot of theirs is
//! between two owners, and routes those again when there is another table.

use super::gather::{Caller, Gather, Join, encode_error};
use super::link::{Link, Settings};
use super::plan::{self, Part, Planned, Stop};
use super::queue::Target;
use super::routes::Routes;
use super::waiting::{Prepared, Request, Waiting, Work};
use super::{latency, transaction};
use crate::cluster::{Owner, SlotTable};
use crate::command::{Found, Route};
use crate::config::Id;
use crate::resp::{Args, Error};
use crate::server::Server;
use crate::stats::Moment;
use bytes::Bytes;
use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What a worker of a coordinator routes by.
pub(super) struct Router {
    settings: Arc<Settings>,
    server: Arc<Server>,
    worker: usize,
    routes: RefCell<Routes>,
    waiting: Waiting,
}

impl Router {
    pub(super) fn new(settings: Arc<Settings>, server: Arc<Server>, worker: usize) -> Rc<Self> {
        let (routes, waiting) = (RefCell::new(Routes::nothing()), Waiting::default());
        Rc::new(Router { settings, server, worker, routes, waiting })
    }

    /// Adopts each table that is published, and fails what has waited too long.
    pub(super) async fn follow(self: Rc<Self>, mut tables: watch::Receiver<Arc<SlotTable>>) {
        loop {
            let allowed = || Duration::from_millis(self.server.config.number(Id::BackendTimeoutMs));
            tokio::select! {
                changed = tables.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let table = tables.borrow_and_update().clone();
                    self.adopt(table);
                }
                () = self.waiting.overdue(allowed) => self.route_waiting(),
            }
        }
    }

    /// Goes by another table from now on.
    pub(super) fn adopt(&self, table: Arc<SlotTable>) {
        let stats = self.server.stats.worker(self.worker);
        self.routes.borrow_mut().adopt(table, |addr, proto| {
            let (settings, server) = (self.settings.clone(), self.server.clone());
            Link::new(addr.to_owned(), proto, settings, server, stats.clone(), self.worker)
        });
        self.route_waiting();
    }

    /// The table in force and its links.
    pub(super) fn routes(&self) -> Ref<'_, Routes> {
        self.routes.borrow()
    }

    /// Where a request for a slot goes.
    pub(super) fn place(&self, routes: &Routes, slot: u16) -> Result<usize, Stop> {
        if self.waiting.holds(slot) {
            return Err(Stop::Wait);
        }
        match routes.table().owner(slot) {
            Owner::Node(place) => Ok(place),
            Owner::Between => Err(Stop::Wait),
            Owner::Nobody => Err(Stop::Fail(Error::CLUSTER_DOWN)),
        }
    }

    /// Plans what goes to nodes. `own` is the reply to what was executed here, if the route says that something is.
    pub(super) fn plan(
        &self,
        found: Found,
        db: u8,
        args: Args<'_>,
        own: &Bytes,
    ) -> Result<Planned, Stop> {
        let routes = self.routes();
        let table = routes.table();
        let place = |slot| self.place(&routes, slot);
        let all = matches!(found.row.route, Route::AllNodes(_) | Route::Cursor);
        // What is about all keys comes after what waits for some of them.
        if all && self.waiting.has_any() {
            return Err(Stop::Wait);
        }
        let planned = match found.row.route {
            Route::Local | Route::Transaction => return Ok(Planned::Here(own.clone())),
            Route::OneSlot => {
                let node = place(plan::one_slot(found, args)?)?;
                Planned::Parts(vec![Part::whole(node, db, args)], Join::Whole)
            }
            Route::Split(merge) => plan::split(table.nodes().len(), place, db, found, args, merge)?,
            Route::AllNodes(merge) if latency::has(merge) => {
                latency::plan(table.nodes(), db, args, merge, self.server.now_us() / 1_000_000)
            }
            Route::AllNodes(merge) => plan::all_nodes(table, db, args, merge)?,
            Route::Cursor => plan::cursor(table, db, args)?,
            Route::LocalAndNodes(merge) => {
                let up = (0..table.nodes().len()).filter(|&node| routes.is_up(node)).collect();
                let is_larder = |node: usize| routes.is_larder(node);
                plan::local_and_nodes(table, up, is_larder, db, args, merge, own.clone())?
            }
        };
        // Before anything is sent, so that a command that cannot succeed changes nothing.
        let served = match &planned {
            Planned::Parts(parts, join) if !join.spares_the_dead() => {
                parts.iter().all(|part| routes.is_up(part.node))
            }
            _ => true,
        };
        if !served || (all && !routes.are_all_up()) {
            return Err(Stop::Fail(Error::CLUSTER_DOWN));
        }
        Ok(planned)
    }

    /// Plans a request that was prepared.
    pub(super) fn plan_prepared(&self, request: &Request) -> Result<Planned, Stop> {
        match &request.prepared {
            Prepared::Here(reply) => Ok(Planned::Here(reply.clone())),
            Prepared::Nodes { own } => {
                self.plan(request.found, request.db, request.args.args(), own)
            }
        }
    }

    /// Has a request wait until there is another table.
    pub(super) fn wait(&self, caller: Caller, work: Work) {
        self.waiting.push(caller, work);
    }

    /// Sends the parts of a plan to their nodes; the reply comes when the last one has answered.
    pub(super) fn scatter(&self, caller: Caller, parts: Vec<Part>, join: Join) {
        let (proto, started) = (caller.proto(), caller.started);
        let keys = parts.iter().map(|part| part.keys.clone()).collect();
        let gather = Gather::new(join, keys, caller);
        let routes = self.routes();
        for (index, part) in parts.into_iter().enumerate() {
            let link = routes.link(part.node, proto);
            let target = Target::Part { gather: gather.clone(), index };
            link.send(part.db, part.preamble, started, target, |out| {
                out.extend_from_slice(&part.request);
            });
            if part.moves_db {
                link.forget_db();
            }
        }
    }

    /// Routes again what waits, in the order it came. What still has to wait keeps its turn; what has waited too long fails.
    fn route_waiting(&self) {
        let now = Moment::now();
        let allowed_ms = self.server.config.number(Id::BackendTimeoutMs);
        for (caller, work) in self.waiting.take() {
            let planned = match &work {
                Work::One(request) => self.plan_prepared(request),
                Work::Exec(requests) => transaction::plan(self, requests),
            };
            let overdue = now.ns_since(caller.started) / 1_000_000 >= allowed_ms;
            match planned {
                Ok(Planned::Parts(parts, join)) => self.scatter(caller, parts, join),
                Ok(Planned::Here(reply)) => caller.answer(&reply, now),
                Err(Stop::Wait) if !overdue => self.waiting.push(caller, work),
                Err(Stop::Wait) => caller.answer(&encode_error(&Error::CLUSTER_DOWN), now),
                Err(Stop::Fail(error)) => caller.answer(&encode_error(&error), now),
            }
        }
    }
}
