//! LARDER: what only Larder's servers know.

use super::Context;
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
    let text = |at: usize| String::from_utf8_lossy(args.at(at)).into_owned();
    cx.server.clients.claim_table(&cx.session.client, text(2), text(3))?;
    reply.ok();
    Ok(())
}
