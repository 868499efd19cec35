//! CLUSTER, as Redis Cluster's clients want it from the nodes of a cluster that forms itself. Other servers answer, as
//! Redis does, that they are part of none: coordinators too, which clients use like one Redis.

mod describe;

use super::{Context, introspect};
use crate::cluster::{Contact, Local, SLOTS, slot_of};
use crate::resp::{Args, Error, Reply};
use crate::server::Server;
use describe::Picture;
use std::sync::Arc;

const DISABLED: Error = Error::new("ERR This instance has cluster support disabled");

fn member(server: &Server) -> Result<&Arc<Local>, Error> {
    server.member().ok_or(DISABLED)
}

/// What there is of the cluster, on a node of one.
fn picture(cx: &Context<'_, '_>) -> Result<Picture, Error> {
    member(cx.server).map(|local| Picture::of(local))
}

/// ASKING, READONLY and READWRITE: nothing follows from them.
pub(super) fn accept(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    member(cx.server)?;
    reply.ok();
    Ok(())
}

pub(super) fn help(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if args.len() > 1 {
        member(cx.server)?;
    }
    introspect::help(cx, args, reply)
}

pub(super) fn info(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.verbatim(&picture(cx)?.info());
    Ok(())
}

pub(super) fn nodes(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.verbatim(&picture(cx)?.nodes());
    Ok(())
}

pub(super) fn slots(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    picture(cx)?.slots(reply);
    Ok(())
}

pub(super) fn shards(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    picture(cx)?.shards(reply);
    Ok(())
}

/// The connections of the membership: those to coordinators stay, others come and go.
pub(super) fn links(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let contacts = member(cx.server)?.contacts.borrow().clone();
    reply.array(contacts.len());
    for Contact { id, is_ours, since_ms } in contacts {
        reply.map(6);
        let direction = if is_ours { "to" } else { "from" };
        for (name, value) in [("direction", direction), ("node", &id.to_string()), ("events", "rw")]
        {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
        // Of its buffers libp2p tells nothing.
        let numbers =
            [("create-time", since_ms), ("send-buffer-allocated", 0), ("send-buffer-used", 0)];
        for (name, value) in numbers {
            reply.bulk(name.as_bytes());
            reply.int(value as i64);
        }
    }
    Ok(())
}

pub(super) fn myid(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.bulk(member(cx.server)?.id.to_string().as_bytes());
    Ok(())
}

pub(super) fn keyslot(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    member(cx.server)?;
    reply.int(slot_of(args.at(2)).into());
    Ok(())
}

pub(super) fn count_failure_reports(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if !picture(cx)?.has(args.at(2)) {
        return Err(Error::from_parts(&[b"ERR Unknown node ", args.at(2)]));
    }
    reply.int(0);
    Ok(())
}

/// A slot, if it is one.
fn slot(arg: &[u8]) -> Result<Option<u16>, Error> {
    let slot = super::options::int(arg)?;
    Ok(u16::try_from(slot).ok().filter(|&slot| usize::from(slot) < SLOTS))
}

pub(super) fn count_keys(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    member(cx.server)?;
    let slot = slot(args.at(2))?.ok_or(Error::new("ERR Invalid slot"))?;
    let mut count = 0;
    if let Some(store) = &cx.server.store {
        store.walk(cx.keyspace.db, cx.now(), |key| {
            count += i64::from(slot_of(key) == slot);
            true
        });
    }
    reply.int(count);
    Ok(())
}

pub(super) fn get_keys(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    const INVALID: Error = Error::new("ERR Invalid slot or number of keys");
    member(cx.server)?;
    let (slot, most) = (slot(args.at(2))?, super::options::int(args.at(3))?);
    let (Some(slot), Ok(most)) = (slot, usize::try_from(most)) else { return Err(INVALID) };
    let mut keys: Vec<Vec<u8>> = Vec::new();
    if let Some(store) = &cx.server.store
        && most > 0
    {
        store.walk(cx.keyspace.db, cx.now(), |key| {
            if slot_of(key) == slot {
                keys.push(key.to_vec());
            }
            keys.len() < most
        });
    }
    reply.array(keys.len());
    for key in &keys {
        reply.bulk(key);
    }
    Ok(())
}
