//! Reading and changing strings.

use super::Context;
use super::options::{bulk, int, key, range, room_to_grow};
use crate::resp::{Args, Error, Reply};
use crate::store::{Str, Value};

pub(super) fn get(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.keyspace.get(key(args)) {
        Some(Value::Str(string)) => bulk(reply, string),
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn mget(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.array(args.len() - 1);
    for key in args.from(1) {
        match cx.keyspace.get(key) {
            Some(Value::Str(string)) => bulk(reply, string),
            None => reply.null(),
        }
    }
    Ok(())
}

pub(super) fn getdel(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.keyspace.get(key(args)) {
        Some(Value::Str(string)) => bulk(reply, string),
        None => reply.null(),
    }
    cx.keyspace.remove(key(args));
    Ok(())
}

pub(super) fn strlen(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let len = cx.keyspace.get(key(args)).map_or(0, |Value::Str(string)| string.len());
    reply.int(len as i64);
    Ok(())
}

pub(super) fn getrange(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (start, end) = (int(args.at(2))?, int(args.at(3))?);
    match cx.keyspace.get(key(args)) {
        Some(Value::Str(string)) => match (range(start, end, string.len()), string) {
            (Some(range), Str::Slice(bytes)) => reply.bulk(&bytes[range]),
            (Some(range), Str::Shared(bytes)) => reply.bulk_shared(&bytes.slice(range)),
            (None, _) => reply.bulk(b""),
        },
        None => reply.bulk(b""),
    }
    Ok(())
}

pub(super) fn append(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let added = args.at(2);
    let new_len = room_to_grow(cx, key(args), |len| len + added.len())?;
    cx.keyspace.modify(key(args), new_len, |bytes| bytes.extend_from_slice(added))?;
    reply.int(new_len as i64);
    Ok(())
}

pub(super) fn setrange(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (offset, new) = (int(args.at(2))?, args.at(3));
    let Ok(offset) = usize::try_from(offset) else {
        return Err(Error::new("ERR offset is out of range"));
    };
    let end = if new.is_empty() { 0 } else { offset.saturating_add(new.len()) };
    let new_len = room_to_grow(cx, key(args), |len| len.max(end))?;
    if new.is_empty() {
        reply.int(new_len as i64);
        return Ok(());
    }
    cx.keyspace.modify(key(args), new_len, |bytes| {
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(new);
    })?;
    reply.int(new_len as i64);
    Ok(())
}
