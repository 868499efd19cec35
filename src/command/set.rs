//! Setting strings: SET with its options, and its older relatives.

use super::Context;
use super::expire::{Unit, expires_at};
use super::options::{key, string};
use crate::resp::{Args, Error, Reply};
use crate::store::Expiry;

/// Whether a key must or must not be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    IfAbsent,
    IfPresent,
}

pub(super) fn set(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (mut condition, mut get, mut keep, mut time) = (Condition::Always, false, false, None);
    let mut at = 3;
    while let Some(option) = args.get(at) {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" if condition != Condition::IfPresent => condition = Condition::IfAbsent,
            b"XX" if condition != Condition::IfAbsent => condition = Condition::IfPresent,
            b"GET" => get = true,
            b"KEEPTTL" if time.is_none() => keep = true,
            _ => match (Unit::of_option(option), args.get(at + 1)) {
                // The same option may stand twice: the last one counts.
                (Some(unit), Some(number))
                    if !keep && time.is_none_or(|(_, other)| other == unit) =>
                {
                    time = Some((number, unit));
                    at += 1;
                }
                _ => return Err(Error::SYNTAX),
            },
        }
        at += 1;
    }
    let expiry = match time {
        Some((number, unit)) => Expiry::At(expires_at(number, unit, cx.now(), "set")?),
        None if keep => Expiry::Keep,
        None => Expiry::Never,
    };
    apply_set(cx, args, reply, condition, get, expiry)
}

fn apply_set(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    condition: Condition,
    get: bool,
    expiry: Expiry,
) -> Result<(), Error> {
    let key = key(args);
    let old = if get { string(cx, key) } else { None };
    let there = match condition {
        Condition::Always => false,
        _ => old.is_some() || cx.keyspace.contains(key),
    };
    let wanted = match condition {
        Condition::Always => true,
        Condition::IfAbsent => !there,
        Condition::IfPresent => there,
    };
    if wanted {
        match expiry {
            // A time that has passed: the key is as good as gone.
            Expiry::At(at) if at <= cx.now() => drop(cx.keyspace.remove(key)),
            _ => put(cx, key, args, 2, expiry)?,
        }
    }
    match old {
        Some(old) => reply.bulk_shared(&old),
        None if get || !wanted => reply.null(),
        None => reply.ok(),
    }
    Ok(())
}

pub(super) fn setnx(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let absent = !cx.keyspace.contains(key(args));
    if absent {
        put(cx, key(args), args, 2, Expiry::Never)?;
    }
    reply.int(i64::from(absent));
    Ok(())
}

pub(super) fn setex(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let at = expires_at(args.at(2), Unit::SECONDS, cx.now(), "setex")?;
    put(cx, key(args), args, 3, Expiry::At(at))?;
    reply.ok();
    Ok(())
}

pub(super) fn psetex(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let at = expires_at(args.at(2), Unit::MILLISECONDS, cx.now(), "psetex")?;
    put(cx, key(args), args, 3, Expiry::At(at))?;
    reply.ok();
    Ok(())
}

pub(super) fn getset(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let old = string(cx, key(args));
    put(cx, key(args), args, 2, Expiry::Never)?;
    match old {
        Some(old) => reply.bulk_shared(&old),
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn getex(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let expiry = match (args.get(2), args.get(3), args.len()) {
        (None, ..) => Ok(Expiry::Keep),
        (Some(_), None, 3) if args.is(2, "PERSIST") => Ok(Expiry::Never),
        (Some(option), Some(time), 4) => match Unit::of_option(option) {
            Some(unit) => expires_at(time, unit, cx.now(), "getex").map(Expiry::At),
            None => return Err(Error::SYNTAX),
        },
        _ => return Err(Error::SYNTAX),
    };
    // A key that is not there answers nil, whatever its time would have been.
    let Some(bytes) = string(cx, key(args)) else {
        reply.null();
        return Ok(());
    };
    cx.keyspace.expire(key(args), expiry?);
    reply.bulk_shared(&bytes);
    Ok(())
}

pub(super) fn mset(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    put_pairs(cx, args, "mset")?;
    reply.ok();
    Ok(())
}

pub(super) fn msetnx(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if args.len().is_multiple_of(2) {
        return Err(Error::arity("msetnx"));
    }
    if args.from(1).step_by(2).any(|key| cx.keyspace.contains(key)) {
        reply.int(0);
        return Ok(());
    }
    put_pairs(cx, args, "msetnx")?;
    reply.int(1);
    Ok(())
}

/// Sets a key to an argument.
fn put(
    cx: &mut Context<'_, '_>,
    key: &[u8],
    args: Args<'_>,
    value: usize,
    expiry: Expiry,
) -> Result<(), Error> {
    match args.share(value) {
        Some(shared) => cx.keyspace.put(key, (&shared).into(), expiry),
        None => cx.keyspace.put(key, args.at(value).into(), expiry),
    }
}

fn put_pairs(cx: &mut Context<'_, '_>, args: Args<'_>, name: &str) -> Result<(), Error> {
    if args.len().is_multiple_of(2) {
        return Err(Error::arity(name));
    }
    for at in (1..args.len()).step_by(2) {
        put(cx, args.at(at), args, at + 1, Expiry::Never)?;
    }
    Ok(())
}
