//! LARDER: what only Larder's servers know.

use super::Context;
use crate::cluster::Epoch;
use crate::resp::{Args, Error, Reply};
use crate::server::Role;
use crate::stats::report::{Form, Report};

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
