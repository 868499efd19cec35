//! A node: executes commands on its store.

use crate::command::{Context, Found, Keys, Lock, flag};
use crate::resp::{Args, Error};
use crate::server::{Call, Outcome, Queue, Service};
use crate::stats::{Event, Moment};
use crate::store::{Ahead, Keyspace, Policy, Store};
use std::sync::Arc;

/// The service of a node; the workers share its store.
pub struct Node {
    store: Arc<Store>,
    /// It has one worker: nobody else wants the locks that a batch holds.
    alone: bool,
}

impl Node {
    /// A node over a store, with so many workers.
    pub fn new(store: Arc<Store>, workers: usize) -> Self {
        Node { store, alone: workers == 1 }
    }

    /// Whether the locks of a batch are good for this request.
    fn is_held(found: Found) -> bool {
        found.row.keys == Keys::ONE && found.row.run.lock == Lock::Keys
    }

    /// The part of the store that a command needs, locked.
    fn lock(&self, found: Found, args: Args<'_>, hint: u64, db: u8, now: u64) -> Keyspace<'_> {
        match found.row.run.lock {
            Lock::None | Lock::Queue => self.store.lock_none(db, now),
            Lock::All => self.store.lock_all(db, now),
            Lock::Keys if found.row.keys == Keys::ONE => {
                self.store.lock_key(db, now, args.at(1), hint)
            }
            Lock::Keys => {
                let positions = found.row.keys.positions(args.len());
                self.store.lock_keys(db, now, positions.map(|at| args.at(at)))
            }
        }
    }
}

impl Service for Node {
    /// The shards of a batch. Whatever needs others unlocks these first.
    type Held<'a> = Keyspace<'a>;

    /// The hash of the first key.
    fn hint(&self, found: Found, args: Args<'_>) -> u64 {
        match found.row.keys {
            Keys::NONE => 0,
            keys => self.store.hash(args.at(keys.first as usize)),
        }
    }

    fn hold(&self, batch: impl Iterator<Item = (Found, u64)>) -> Keyspace<'_> {
        // With several workers a batch would keep the others waiting: there each request locks for itself.
        let wanted = batch.filter(|&(found, _)| self.alone && Self::is_held(found));
        self.store.lock_hashes(wanted.map(|(_, hint)| hint))
    }

    fn look_ahead(&self, held: &Keyspace<'_>, found: Found, hint: u64, step: Ahead) {
        match found.row.run.lock {
            Lock::Keys if self.alone => held.prefetch(hint, step),
            Lock::Keys => self.store.prefetch(hint, step),
            _ => {}
        }
    }

    fn execute<'a>(
        &'a self,
        held: &mut Keyspace<'a>,
        call: &mut Call<'_>,
        found: Found,
        args: Args<'_>,
        hint: u64,
    ) -> Outcome {
        let (server, now) = (call.server, call.now);
        call.session.client.note_command(found.id);
        let mut refused = false;
        let outcome = call.answer(|session, reply| {
            let of_batch = Self::is_held(found) && held.holds(hint);
            let mut own;
            let keyspace = if of_batch {
                held.turn_to(session.db(), now, args.at(1), hint);
                held
            } else {
                held.release();
                own = self.lock(found, args, hint, session.db(), now);
                &mut own
            };
            if found.row.has(flag::DENYOOM) {
                let room = || keyspace.make_room(args.payload_len());
                server.timed(Event::EvictionCycle, room).inspect_err(|_| refused = true)?;
            }
            (found.row.run.handler)(&mut Context { server, session, keyspace }, args, reply)
        });
        if refused { Outcome::Refused } else { outcome }
    }

    fn execute_queue<'a>(
        &'a self,
        held: &mut Keyspace<'a>,
        call: &mut Call<'_>,
        queue: Queue,
    ) -> Outcome {
        let (server, now, stats) = (call.server, call.now, call.stats);
        held.release();
        call.answer(|session, reply| {
            let everything =
                queue.commands.iter().any(|(found, _)| found.row.run.lock == Lock::All);
            let mut keyspace = if everything {
                self.store.lock_all(session.db(), now)
            } else {
                let keys = queue.commands.iter().flat_map(|(found, args)| {
                    let args = args.args();
                    found.row.keys.positions(args.len()).map(move |at| args.at(at))
                });
                self.store.lock_keys(session.db(), now, keys)
            };
            reply.array(queue.commands.len());
            let mut context = Context { server, session, keyspace: &mut keyspace };
            let mut start = Moment::now();
            for (found, args) in &queue.commands {
                let args = args.args();
                context.keyspace.db = context.session.db();
                let room = if found.row.has(flag::DENYOOM) {
                    let room = || context.keyspace.make_room(args.payload_len());
                    server.timed(Event::EvictionCycle, room)
                } else {
                    Ok(())
                };
                let result = room.and_then(|()| (found.row.run.handler)(&mut context, args, reply));
                if let Err(error) = &result {
                    reply.error(error);
                    stats.error(error.code());
                }
                let end = Moment::now();
                let ns = end.ns_since(start);
                stats.executed(found.id, ns, result.is_err());
                server.note_slow(ns, found.id, args, &context.session.client);
                server.show(context.session, *found, args);
                start = end;
            }
            Ok(())
        })
    }

    fn admit(&self, _: &Call<'_>, found: Found, args: Args<'_>) -> Result<(), Error> {
        let budget = &self.store.budget;
        let full = budget.policy() == Policy::NoEviction && budget.excess(args.payload_len()) > 0;
        if full && found.row.has(flag::DENYOOM) { Err(Error::OOM) } else { Ok(()) }
    }
}
