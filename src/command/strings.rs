//! Reading and changing strings.

use super::Context;
use super::options::{check_len, int, key, len_for_write, range, string};
use crate::resp::{Args, Error, Reply};
use crate::store::Value;

pub(super) fn get(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.keyspace.get(key(args)) {
        Some(Value::Str(bytes)) => reply.bulk_shared(bytes),
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn mget(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.array(args.len() - 1);
    for key in args.from(1) {
        match cx.keyspace.get(key) {
            Some(Value::Str(bytes)) => reply.bulk_shared(bytes),
            None => reply.null(),
        }
    }
    Ok(())
}

pub(super) fn getdel(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match string(cx, key(args)) {
        Some(bytes) => {
            cx.keyspace.remove(key(args));
            reply.bulk_shared(&bytes);
        }
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn strlen(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let len = cx.keyspace.get(key(args)).map_or(0, |Value::Str(bytes)| bytes.len());
    reply.int(len as i64);
    Ok(())
}

pub(super) fn getrange(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (start, end) = (int(args.at(2))?, int(args.at(3))?);
    match cx.keyspace.get(key(args)) {
        Some(Value::Str(bytes)) => match range(start, end, bytes.len()) {
            Some(range) => reply.bulk_shared(&bytes.slice(range)),
            None => reply.bulk(b""),
        },
        None => reply.bulk(b""),
    }
    Ok(())
}

pub(super) fn append(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let added = args.at(2);
    let new_len = len_for_write(cx, key(args)) + added.len();
    check_len(cx, new_len)?;
    cx.keyspace.modify(key(args), new_len, |bytes| bytes.extend_from_slice(added))?;
    reply.int(new_len as i64);
    Ok(())
}

pub(super) fn setrange(
    cx: &mut Context<'_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (offset, new) = (int(args.at(2))?, args.at(3));
    let Ok(offset) = usize::try_from(offset) else {
        return Err(Error::new("ERR offset is out of range"));
    };
    let len = len_for_write(cx, key(args));
    if new.is_empty() {
        reply.int(len as i64);
        return Ok(());
    }
    let end = offset.saturating_add(new.len());
    check_len(cx, end)?;
    cx.keyspace.modify(key(args), end.max(len), |bytes| {
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(new);
    })?;
    reply.int(end.max(len) as i64);
    Ok(())
}
