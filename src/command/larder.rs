//! LARDER: what only Larder's servers know.

use super::Context;
use crate::cluster::{Epoch, NodeId, Order, Overview};
use crate::resp::{Args, Error, Reply};
use crate::server::Role;
use crate::stats::report::{Form, Report};

const NO_MEMBER: Error = Error::new("ERR this server is in no cluster that forms itself");

/// `LARDER STATS [JSON | TEXT] [section ...]`.
pub(super) fn stats(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let form = Form::parse(args, 2)?;
    let report = Report::of(cx.server, &form);
    match cx.server.role {
        Role::Node => form.write(&report, reply),
        // The nodes' reports come to it, as JSON, before it takes its form.
        Role::Coordinator => Form::JSON.write(&report, reply),
    }
    Ok(())
}

/// `LARDER TABLE hash coordinator`.
pub(super) fn table(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if cx.server.member().is_some() {
        return Err(Error::new(
            "ERR this node is a member of a cluster that forms itself: start the coordinator with --join instead of naming \
             nodes",
        ));
    }
    let text = |at: usize| String::from_utf8_lossy(args.at(at)).into_owned();
    cx.server.clients.claim_table(&cx.session.client, text(2), text(3))?;
    reply.ok();
    Ok(())
}

/// `LARDER EPOCH epoch`.
pub(super) fn epoch(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let local = cx.server.member().filter(|_| cx.session.is_internal()).ok_or(Error::new(
        "ERR LARDER EPOCH is for coordinators that joined the cluster of this node",
    ))?;
    let text = std::str::from_utf8(args.at(2)).ok();
    let epoch: Epoch = text.and_then(|text| text.parse().ok()).ok_or(Error::NOT_INTEGER)?;
    local.announce(cx.session.client.id, epoch);
    reply.ok();
    Ok(())
}

/// `LARDER CLUSTER`: what this server knows of its cluster, as JSON.
pub(super) fn cluster(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let local = cx.server.local().ok_or(NO_MEMBER)?;
    let text = serde_json::to_string(&Overview::of(local));
    reply.bulk(text.map_err(|_| Error::new("ERR the overview cannot be written"))?.as_bytes());
    Ok(())
}

/// `LARDER LEAVE id`: the node of that name gives its slots to others, and ends. A beginning of its name will do.
pub(super) fn leave(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let local = cx.server.local().ok_or(NO_MEMBER)?;
    let wanted = String::from_utf8_lossy(args.at(2)).to_ascii_lowercase();
    let named = |id: &NodeId| !wanted.is_empty() && id.to_string().starts_with(&wanted);
    let view = local.view();
    let nodes = view.table.members.values().map(|member| member.id).filter(named);
    let found: Vec<NodeId> = nodes.collect();
    let id = match found[..] {
        [id] => id,
        [] => return Err(Error::new("ERR no node of the cluster has a name that begins so")),
        _ => return Err(Error::new("ERR several nodes have names that begin so")),
    };
    if cx.server.role == Role::Node && id != local.id {
        return Err(Error::new("ERR a node can send itself away only: ask a coordinator"));
    }
    if view.down.contains(&id) {
        return Err(Error::new("ERR that node is down: its slots go to others by themselves"));
    }
    if !local.order(Order::Leave(id)) {
        return Err(Error::new("ERR too much is asked of this member already"));
    }
    reply.ok();
    Ok(())
}
