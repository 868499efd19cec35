//! Strings as numbers.

use super::Context;
use super::options::{float, int, key};
use crate::resp::{Args, Error, Reply, parse_int};
use crate::store::{Access, Expiry, Value};
use bytes::Bytes;

fn add(cx: &mut Context<'_>, args: Args<'_>, reply: &mut Reply<'_>, by: i64) -> Result<(), Error> {
    let old = match cx.keyspace.view(key(args), Access::Write).map(|view| view.value) {
        Some(Value::Str(bytes)) => parse_int(bytes).ok_or(Error::NOT_INTEGER)?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(Error::new("ERR increment or decrement would overflow"))?;
    put(cx, args, itoa::Buffer::new().format(new).as_bytes())?;
    reply.int(new);
    Ok(())
}

fn put(cx: &mut Context<'_>, args: Args<'_>, text: &[u8]) -> Result<(), Error> {
    cx.keyspace.put(key(args), Value::Str(Bytes::copy_from_slice(text)), Expiry::Keep)
}

pub(super) fn incr(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    add(cx, args, reply, 1)
}

pub(super) fn decr(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    add(cx, args, reply, -1)
}

pub(super) fn incrby(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let by = int(args.at(2))?;
    add(cx, args, reply, by)
}

pub(super) fn decrby(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let by = int(args.at(2))?;
    let by = by.checked_neg().ok_or(Error::new("ERR decrement would overflow"))?;
    add(cx, args, reply, by)
}

pub(super) fn incrbyfloat(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let old = match cx.keyspace.view(key(args), Access::Write).map(|view| view.value) {
        Some(Value::Str(bytes)) => float(bytes).ok_or(Error::NOT_FLOAT)?,
        None => 0.0,
    };
    let new = old + float(args.at(2)).ok_or(Error::NOT_FLOAT)?;
    if !new.is_finite() {
        return Err(Error::new("ERR increment would produce NaN or Infinity"));
    }
    // The shortest digits that read back as the same number, never with an exponent.
    let text = if new == 0.0 { "0".to_owned() } else { new.to_string() };
    put(cx, args, text.as_bytes())?;
    reply.bulk(text.as_bytes());
    Ok(())
}
