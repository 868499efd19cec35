//! A node: executes commands on its store. As a member of a cluster that forms itself it executes what its fence lets
//! through, and replies only if its lease lasted.

mod member;
#[cfg(test)]
mod tests;

use crate::cluster::Local;
use crate::command::{Context, Found, Keys, Lock, flag};
use crate::resp::{Args, Error};
use crate::server::{Call, Outcome, Queue, Service};
use crate::stats::{Event, Moment};
use crate::store::{Ahead, Keyspace, Policy, Store};
use member::{Member, Pass};
use std::sync::Arc;

/// The service of a node; the workers share its store.
pub struct Node {
    store: Arc<Store>,
    /// It has one worker: nobody else wants the locks that a batch holds.
    alone: bool,
    /// Its part in a cluster that forms itself.
    member: Option<Member>,
}

/// What a node keeps from one request of a batch to the next.
pub struct Held<'a> {
    /// The shards of the batch. Whatever needs others unlocks these first.
    keyspace: Keyspace<'a>,
    pass: Pass<'a>,
}

impl Node {
    /// The service of one of so many workers of a node over a store. `local` is its part in a cluster that forms itself.
    pub fn new(
        store: Arc<Store>,
        workers: usize,
        worker: usize,
        local: Option<&Arc<Local>>,
    ) -> Self {
        Node { store, alone: workers == 1, member: Member::of(local, worker) }
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
    const KEEPS_ARGUMENTS: bool = true;

    type Held<'a> = Held<'a>;

    /// The hash of the first key.
    fn hint(&self, found: Found, args: Args<'_>) -> u64 {
        match found.row.keys {
            Keys::NONE => 0,
            keys => self.store.hash(args.at(keys.first as usize)),
        }
    }

    fn hold(&self, batch: impl Iterator<Item = (Found, u64)>) -> Held<'_> {
        // With several workers a batch would keep the others waiting: there each request locks for itself.
        let wanted = batch.filter(|&(found, _)| self.alone && Self::is_held(found));
        let keyspace = self.store.lock_hashes(wanted.map(|(_, hint)| hint));
        Held { keyspace, pass: Pass::default() }
    }

    fn look_ahead(&self, held: &Held<'_>, found: Found, hint: u64, step: Ahead) -> bool {
        match found.row.run.lock {
            Lock::Keys if self.alone => held.keyspace.prefetch(hint, step),
            Lock::Keys => self.store.prefetch(hint, step),
            _ => false,
        }
    }

    fn execute<'a>(
        &'a self,
        Held { keyspace: held, pass }: &mut Held<'a>,
        call: &mut Call<'_>,
        found: Found,
        args: Args<'_>,
        hint: u64,
    ) -> Outcome {
        if let Some(member) = &self.member
            && let Err(error) = member.pass(pass, call.session, found, args)
        {
            return call.turn_away(error);
        }
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
        Held { keyspace: held, pass }: &mut Held<'a>,
        call: &mut Call<'_>,
        queue: Queue,
    ) -> Outcome {
        if let Some(member) = &self.member {
            let requests = queue.commands.iter().map(|(found, args)| (*found, args.args()));
            if let Err(error) = member.pass_all(pass, call.session, requests) {
                return call.turn_away(error);
            }
        }
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
                stats.executed(found.id, 1, ns, result.is_err().into());
                server.note_slow(ns, found.id, args, &context.session.client);
                server.show(context.session, found, args);
                start = end;
            }
            Ok(())
        })
    }

    fn admit<'a>(
        &'a self,
        held: &mut Held<'a>,
        call: &Call<'_>,
        found: Found,
        args: Args<'_>,
    ) -> Result<(), Error> {
        // A coordinator looks at the reply to EXEC only: there it learns why, and not that something was refused before.
        if let Some(member) = &self.member
            && !call.session.is_internal()
        {
            member.check(&mut held.pass, call.session, std::iter::once((found, args)))?;
        }
        let budget = &self.store.budget;
        let full = budget.policy() == Policy::NoEviction && budget.excess(args.payload_len()) > 0;
        if full && found.row.has(flag::DENYOOM) { Err(Error::OOM) } else { Ok(()) }
    }
    fn may_reply(&self, held: Held<'_>) -> bool {
        held.pass.may_reply()
    }
}
