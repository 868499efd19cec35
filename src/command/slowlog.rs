//! SLOWLOG: the commands that took long. A coordinator shows those of its nodes.

use super::Context;
use crate::resp::{Args, Error, Reply, parse_int};

/// Entries that SLOWLOG GET gives unless it is told how many.
const COUNT: i64 = 10;

/// How many entries SLOWLOG GET is to give; all there are if it says -1.
pub(crate) fn wanted(args: Args<'_>) -> Result<usize, Error> {
    if args.len() > 3 {
        let name = String::from_utf8_lossy(args.at(1)).into_owned();
        let text = "ERR unknown subcommand or wrong number of arguments for";
        return Err(Error::from(format!("{text} '{name}'. Try SLOWLOG HELP.")));
    }
    match args.get(2).map_or(Some(COUNT), parse_int) {
        Some(-1) => Ok(usize::MAX),
        Some(count @ 0..) => Ok(count as usize),
        _ => Err(Error::new("ERR count should be greater than or equal to -1")),
    }
}

pub(super) fn get(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let entries = cx.server.slowlog.latest(wanted(args)?);
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.int(entry.id as i64);
        reply.int(entry.unix_s as i64);
        reply.int(entry.us as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(entry.name.as_bytes());
    }
    Ok(())
}

pub(super) fn len(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.int(cx.server.slowlog.len() as i64);
    Ok(())
}

pub(super) fn reset(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    cx.server.slowlog.reset();
    reply.ok();
    Ok(())
}
