//! How long keys live.

use super::Context;
use super::options::{int, key};
use crate::resp::{Args, Error, Reply};
use crate::store::{Access, Expiry};

/// How a time is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// Milliseconds in one.
    ms: i64,
    /// Counted from 1970, not from now.
    absolute: bool,
}

impl Unit {
    pub(super) const SECONDS: Unit = Unit { ms: 1000, absolute: false };
    pub(super) const MILLISECONDS: Unit = Unit { ms: 1, absolute: false };
    const UNIX_SECONDS: Unit = Unit { ms: 1000, absolute: true };
    const UNIX_MILLISECONDS: Unit = Unit { ms: 1, absolute: true };

    /// The unit of an option of SET and GETEX.
    pub(super) fn of_option(option: &[u8]) -> Option<Unit> {
        match option.to_ascii_uppercase().as_slice() {
            b"EX" => Some(Unit::SECONDS),
            b"PX" => Some(Unit::MILLISECONDS),
            b"EXAT" => Some(Unit::UNIX_SECONDS),
            b"PXAT" => Some(Unit::UNIX_MILLISECONDS),
            _ => None,
        }
    }

    /// A time in milliseconds since 1970, `None` if it is out of range.
    fn at(self, number: i64, now: u64) -> Option<i64> {
        let ms = number.checked_mul(self.ms)?;
        if self.absolute { Some(ms) } else { ms.checked_add(now as i64) }
    }
}

/// When a key that is set expires; the time must be positive.
pub(super) fn expires_at(number: &[u8], unit: Unit, now: u64, name: &str) -> Result<u64, Error> {
    let number = int(number)?;
    let at = unit.at(number, now).filter(|_| number > 0);
    at.map(|at| at as u64).ok_or_else(|| Error::invalid_expire(name))
}

/// EXPIRE and its relatives. A time that has passed deletes the key.
fn expire_by(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    unit: Unit,
    name: &str,
) -> Result<(), Error> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in args.from(3) {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" => nx = true,
            b"XX" => xx = true,
            b"GT" => gt = true,
            b"LT" => lt = true,
            _ => {
                return Err(Error::from_parts(&[b"ERR Unsupported option ", option]));
            }
        }
    }
    if nx && (xx || gt || lt) {
        let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
        return Err(Error::new(text));
    }
    if gt && lt {
        let text = "ERR GT and LT options at the same time are not compatible";
        return Err(Error::new(text));
    }
    let at = unit.at(int(args.at(2))?, cx.now()).ok_or_else(|| Error::invalid_expire(name))?;
    let at = at.max(0) as u64;
    let Some(current) = cx.keyspace.view(key(args), Access::Write).map(|view| view.expires_at)
    else {
        reply.int(0);
        return Ok(());
    };
    // A key without expiry lives forever: later than any time.
    let refused = (nx && current.is_some())
        || (xx && current.is_none())
        || (gt && current.is_none_or(|current| at <= current))
        || (lt && current.is_some_and(|current| at >= current));
    if !refused {
        cx.keyspace.expire(key(args), Expiry::At(at));
    }
    reply.int(i64::from(!refused));
    Ok(())
}

pub(super) fn expire(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    expire_by(cx, args, reply, Unit::SECONDS, "expire")
}

pub(super) fn pexpire(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    expire_by(cx, args, reply, Unit::MILLISECONDS, "pexpire")
}

pub(super) fn expireat(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    expire_by(cx, args, reply, Unit::UNIX_SECONDS, "expireat")
}

pub(super) fn pexpireat(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    expire_by(cx, args, reply, Unit::UNIX_MILLISECONDS, "pexpireat")
}

/// The times a key can be asked for: -2 if it is not there, -1 if it does not expire.
fn time_of(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
    show: fn(u64, u64) -> u64,
) {
    let now = cx.now();
    reply.int(match cx.keyspace.view(key(args), Access::Peek).map(|view| view.expires_at) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => show(at, now) as i64,
    });
}

pub(super) fn ttl(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    time_of(cx, args, reply, |at, now| (at.saturating_sub(now) + 500) / 1000);
    Ok(())
}

pub(super) fn pttl(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    time_of(cx, args, reply, |at, now| at.saturating_sub(now));
    Ok(())
}

pub(super) fn expiretime(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    time_of(cx, args, reply, |at, _| at.saturating_add(500) / 1000);
    Ok(())
}

pub(super) fn pexpiretime(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    time_of(cx, args, reply, |at, _| at);
    Ok(())
}

pub(super) fn persist(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let view = cx.keyspace.view(key(args), Access::Write);
    let expires = view.is_some_and(|view| view.expires_at.is_some());
    if expires {
        cx.keyspace.expire(key(args), Expiry::Never);
    }
    reply.int(i64::from(expires));
    Ok(())
}
