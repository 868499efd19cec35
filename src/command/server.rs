//! The server as a whole: sizes, INFO, flushing, stopping.

use super::Context;
use super::options::int;
use crate::resp::{Args, Error, Reply};
use crate::stats::doctor;
use crate::stats::info;
use crate::stats::process;
use crate::store::{Access, purge};

pub(super) fn dbsize(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let db = usize::from(cx.keyspace.db);
    reply.int(cx.keyspace.db_stats()[db].keys as i64);
    Ok(())
}

fn check_flush(args: Args<'_>) -> Result<(), Error> {
    let known = args.len() == 1 || (args.len() == 2 && (args.is(1, "ASYNC") || args.is(1, "SYNC")));
    if known { Ok(()) } else { Err(Error::SYNTAX) }
}

pub(super) fn flushall(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    check_flush(args)?;
    cx.keyspace.flush(None);
    reply.ok();
    Ok(())
}

pub(super) fn flushdb(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    check_flush(args)?;
    let db = cx.keyspace.db;
    cx.keyspace.flush(Some(db));
    reply.ok();
    Ok(())
}

pub(super) fn info(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let sections = info::wanted(args.from(1));
    reply.verbatim(&info::render(cx.server, cx.keyspace, &sections));
    Ok(())
}

pub(super) fn memory_usage(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match args.len() {
        3 => {}
        5 if args.is(3, "SAMPLES") => {
            if int(args.at(4))? < 0 {
                return Err(Error::SYNTAX);
            }
        }
        _ => return Err(Error::SYNTAX),
    }
    match cx.keyspace.view(args.at(2), Access::Peek) {
        Some(view) => reply.int(view.charged as i64),
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn memory_stats(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (allocated, active, resident) = info::allocator(cx.keyspace);
    let rss = process::resident_bytes();
    let (used, peak) = match cx.keyspace.store() {
        Some(store) => (store.budget.used() as u64, store.budget.peak() as u64),
        None => (0, 0),
    };
    let (startup, overhead, clients) = info::overhead(cx.server, cx.keyspace);
    let dataset = used.saturating_sub(overhead);
    let keys: u64 = cx.keyspace.db_stats().iter().map(|db| db.keys).sum();
    let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    // Worked out anew by a coordinator, from the sums.
    let ratios = [
        ("dataset.percentage", 100.0 * ratio(dataset, used.saturating_sub(startup))),
        ("peak.percentage", 100.0 * ratio(used, peak)),
        ("fragmentation", ratio(rss, used)),
    ];
    let fields = [
        ("peak.allocated", peak),
        ("total.allocated", used),
        ("startup.allocated", startup),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", clients),
        ("aof.buffer", 0),
        ("lua.caches", 0),
        ("functions.caches", 0),
        ("overhead.total", overhead),
        ("keys.count", keys),
        ("keys.bytes-per-key", used.checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", dataset),
        ("allocator.allocated", allocated),
        ("allocator.active", active),
        ("allocator.resident", resident),
        ("rss.bytes", rss),
    ];
    reply.map(fields.len() + ratios.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.int(value as i64);
    }
    for (name, value) in ratios {
        reply.bulk(name.as_bytes());
        reply.double(value);
    }
    Ok(())
}

pub(super) fn memory_doctor(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.verbatim(&doctor::memory(cx.server, cx.keyspace));
    Ok(())
}

pub(super) fn memory_malloc_stats(
    _: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.verbatim(&process::allocator_report());
    Ok(())
}

/// Answers at once: a thread of its own does it.
pub(super) fn memory_purge(
    _: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    purge();
    reply.ok();
    Ok(())
}

pub(super) fn module_list(
    _: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.array(0);
    Ok(())
}

pub(super) fn role(
    _: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.array(3);
    reply.bulk(b"master");
    reply.int(0);
    reply.array(0);
    Ok(())
}

pub(super) fn time(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let us = cx.server.now_us();
    reply.array(2);
    reply.bulk((us / 1_000_000).to_string().as_bytes());
    reply.bulk((us % 1_000_000).to_string().as_bytes());
    Ok(())
}

pub(super) fn shutdown(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    _: &mut Reply<'_>,
) -> Result<(), Error> {
    let known = ["SAVE", "NOSAVE", "NOW", "FORCE", "ABORT"];
    let given = |word: &str| (1..args.len()).any(|at| args.is(at, word));
    let abort = given("ABORT");
    if (1..args.len()).any(|at| !known.iter().any(|word| args.is(at, word)))
        || (given("SAVE") && given("NOSAVE"))
        || (abort && args.len() > 2)
    {
        return Err(Error::SYNTAX);
    }
    if abort {
        return Err(Error::new("ERR No shutdown in progress."));
    }
    if given("SAVE") {
        return Err(Error::new("ERR this cache keeps nothing on disk; use SHUTDOWN NOSAVE"));
    }
    tracing::info!(client = cx.session.client.addr, "SHUTDOWN: stopping");
    // A node of a cluster gives its slots to others first.
    if given("NOW") || !cx.server.leave() {
        cx.server.stop();
    }
    // No reply: the client sees the connection close, as with Redis.
    cx.session.closing = true;
    Ok(())
}
