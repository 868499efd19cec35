//! MULTI, EXEC and DISCARD. Queueing is done where requests are dispatched, executing in each role.

use super::Context;
use crate::resp::{Args, Error, Reply};

pub(super) fn multi(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if cx.session.queue.is_some() {
        return Err(Error::new("ERR MULTI calls can not be nested"));
    }
    cx.session.queue = Some(Default::default());
    reply.ok();
    Ok(())
}

pub(super) fn discard(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if cx.session.queue.take().is_none() {
        return Err(Error::new("ERR DISCARD without MULTI"));
    }
    reply.ok();
    Ok(())
}

/// EXEC without anything to execute: both roles take a queue before they come here.
pub(super) fn exec(_: &mut Context<'_, '_>, _: Args<'_>, _: &mut Reply<'_>) -> Result<(), Error> {
    Err(Error::new("ERR EXEC without MULTI"))
}
