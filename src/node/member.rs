//! A node as a member of a cluster that forms itself: each batch of requests goes by the worker's fence.

use crate::cluster::{Entered, Fences, Local, Refusal, now_ms, slot_of};
use crate::command::{Found, flag};
use crate::resp::{Args, Error};
use crate::server::Session;
use std::sync::Arc;

const NO_LEASE: Error =
    Error::new("CLUSTERDOWN this node holds no lease just now; nothing was executed");

/// What a worker of a member checks requests by.
pub(super) struct Member {
    local: Arc<Local>,
    worker: usize,
}

/// What a batch has of the fence. Entered with the first request that needs it: the requests were all read before.
#[derive(Default)]
pub(super) struct Pass<'a> {
    entered: Option<Entered<'a>>,
    /// Something was executed since it was entered.
    used: bool,
    /// The lease ended under something that was executed.
    lost: bool,
}

impl Pass<'_> {
    /// Whether what the batch executed may be replied.
    pub(super) fn may_reply(&self) -> bool {
        !self.lost && (!self.used || self.entered.as_ref().is_some_and(Entered::holds))
    }

    /// Ends the part of the batch that was executed so far. What takes long and is about no key begins after that: who
    /// publishes another fence would wait for it, and with it the lease.
    fn leave(&mut self) {
        self.lost = !self.may_reply();
        (self.entered, self.used) = (None, false);
    }
}

impl Member {
    /// The part of a worker in the cluster, if the server is a node of one.
    pub(super) fn of(local: Option<&Arc<Local>>, worker: usize) -> Option<Self> {
        let local = local.filter(|local| local.fences.is_some())?;
        Some(Member { local: local.clone(), worker })
    }

    /// Lets a request pass that is executed next.
    ///
    /// # Errors
    /// It must not be executed here and now: says why, and where it may be.
    pub(super) fn pass<'a>(
        &'a self,
        pass: &mut Pass<'a>,
        session: &Session,
        found: Found,
        args: Args<'_>,
    ) -> Result<(), Error> {
        if found.row.keys.is_none() {
            self.check_keyless(session, found)?;
            if !found.row.has(flag::FAST) {
                pass.leave();
            }
            return Ok(());
        }
        self.pass_all(pass, session, std::iter::once((found, args)))
    }

    /// Lets the requests of a transaction pass, all or none.
    ///
    /// # Errors
    /// As [`Member::pass`].
    pub(super) fn pass_all<'a, 'r>(
        &'a self,
        pass: &mut Pass<'a>,
        session: &Session,
        requests: impl Iterator<Item = (Found, Args<'r>)>,
    ) -> Result<(), Error> {
        if self.check(pass, session, requests)? {
            pass.used = true;
        }
        Ok(())
    }

    /// Whether requests could be executed now, and have keys at all.
    ///
    /// # Errors
    /// As [`Member::pass`].
    pub(super) fn check<'a, 'r>(
        &'a self,
        pass: &mut Pass<'a>,
        session: &Session,
        requests: impl Iterator<Item = (Found, Args<'r>)>,
    ) -> Result<bool, Error> {
        let Some(fences) = &self.local.fences else { return Ok(false) };
        let mut first = None;
        let mut refused = None;
        for (found, args) in requests {
            if found.row.keys.is_none() {
                self.check_keyless(session, found)?;
            }
            for at in found.row.keys.positions(args.len()) {
                let slot = slot_of(args.at(at));
                if first == Some(slot) {
                    continue;
                }
                if first.is_some() && !session.is_internal() {
                    return Err(Error::CROSS_SLOT);
                }
                first = Some(slot);
                if refused.is_none() {
                    refused = self.check_slot(fences, pass, slot).err().map(|why| (slot, why));
                }
            }
        }
        match refused {
            Some((slot, why)) => Err(self.refusal(session, slot, why)),
            None => Ok(first.is_some()),
        }
    }

    /// Whether a coordinator may ask for all keys here. To flush them, what it believes to be all nodes must be so: else
    /// what another coordinator has just written to a new one would still be there.
    fn check_keyless(&self, session: &Session, found: Found) -> Result<(), Error> {
        let is_flush = found.row.has(flag::WRITE);
        let is_of_all_keys = is_flush || found.row.has(flag::READONLY);
        let Some(fences) =
            self.local.fences.as_ref().filter(|_| is_of_all_keys && session.is_internal())
        else {
            return Ok(());
        };
        let fence = fences.current();
        if !fence.holds(now_ms()) {
            return Err(NO_LEASE);
        }
        match self.local.announced(session.client.id) {
            _ if !is_flush => Ok(()),
            Some(epoch) if epoch >= fence.epoch() => Ok(()),
            _ => Err(Error::new("TRYAGAIN The slot table has just changed; nothing was executed")),
        }
    }

    fn check_slot<'a>(
        &'a self,
        fences: &'a Fences,
        pass: &mut Pass<'a>,
        slot: u16,
    ) -> Result<(), Refusal> {
        pass.entered.get_or_insert_with(|| fences.enter(self.worker)).check(slot)
    }

    /// What a refusal is to the client. Only here the table is looked at: taking it is not for every request.
    #[cold]
    fn refusal(&self, session: &Session, slot: u16, why: Refusal) -> Error {
        let between = || {
            Error::from(format!("TRYAGAIN Slot {slot} is between two nodes; nothing was executed"))
        };
        match (why, session.is_internal()) {
            (Refusal::NoLease, true) => return NO_LEASE,
            (Refusal::NoLease, false) => return Error::CLUSTER_DOWN,
            (Refusal::NotMine(_), true) => return between(),
            (Refusal::NotMine(_), false) => {}
        }
        let view = self.local.view();
        match view.table.owner(slot) {
            Some(owner) if owner.id != self.local.id => {
                // As Redis writes it: an IPv6 address has no brackets.
                let (host, port) = owner.host_and_port();
                Error::from(format!("MOVED {slot} {host}:{port}"))
            }
            None if view.table.members.is_empty() => Error::CLUSTER_DOWN,
            _ => between(),
        }
    }
}
