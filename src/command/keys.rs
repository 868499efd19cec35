//! Keys of any type.

use super::Context;
use super::glob::matches;
use super::options::{db, has_one_db, key};
use crate::resp::{Args, Error, Reply, parse_int};
use crate::store::{Access, Expiry, Value};

pub(super) fn del(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let deleted = args.from(1).filter(|key| cx.keyspace.remove(key)).count();
    reply.int(deleted as i64);
    Ok(())
}

pub(super) fn exists(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let there = args.from(1).filter(|key| cx.keyspace.view(key, Access::Peek).is_some()).count();
    reply.int(there as i64);
    Ok(())
}

pub(super) fn touch(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let there = args.from(1).filter(|key| cx.keyspace.get(key).is_some()).count();
    reply.int(there as i64);
    Ok(())
}

pub(super) fn key_type(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let view = cx.keyspace.view(key(args), Access::Peek);
    reply.simple(view.map_or("none", |view| view.value.type_name()));
    Ok(())
}

pub(super) fn rename(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (value, expiry) = cx.keyspace.take(args.at(1)).ok_or(Error::NO_SUCH_KEY)?;
    cx.keyspace.put(args.at(2), (&value).into(), expiry)?;
    reply.ok();
    Ok(())
}

pub(super) fn renamenx(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if !cx.keyspace.contains(args.at(1)) {
        return Err(Error::NO_SUCH_KEY);
    }
    let free = !cx.keyspace.contains(args.at(2));
    if let Some((value, expiry)) = free.then(|| cx.keyspace.take(args.at(1))).flatten() {
        cx.keyspace.put(args.at(2), (&value).into(), expiry)?;
    }
    reply.int(i64::from(free));
    Ok(())
}

pub(super) fn copy(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (source_db, mut target_db, mut replace) = (cx.keyspace.db, cx.keyspace.db, false);
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "REPLACE") {
            replace = true;
        } else if args.is(at, "DB") && at + 1 < args.len() {
            target_db = db(args.at(at + 1))?;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if target_db != source_db && has_one_db(cx) {
        let text = "ERR Copying to another database is not allowed in cluster mode";
        return Err(Error::new(text));
    }
    let (source, target) = (args.at(1), args.at(2));
    if source == target && source_db == target_db {
        return Err(Error::new("ERR source and destination objects are the same"));
    }
    let found = cx.keyspace.view(source, Access::Read).map(|view| {
        let Value::Str(string) = view.value;
        (string.to_bytes(), view.expires_at.map_or(Expiry::Never, Expiry::At))
    });
    cx.keyspace.db = target_db;
    let copied = match found {
        Some((value, expiry)) if replace || !cx.keyspace.contains(target) => {
            let room = cx.keyspace.make_room(value.len() + target.len());
            room.and_then(|()| cx.keyspace.put(target, (&value).into(), expiry)).map(|()| true)
        }
        _ => Ok(false),
    };
    cx.keyspace.db = source_db;
    reply.int(i64::from(copied?));
    Ok(())
}

pub(super) fn keys(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let pattern = args.at(1);
    let mut found: Vec<Vec<u8>> = Vec::new();
    cx.keyspace.scan_all(|key| {
        if matches(pattern, key) {
            found.push(key.to_vec());
        }
    });
    reply.array(found.len());
    for key in &found {
        reply.bulk(key);
    }
    Ok(())
}

pub(super) fn scan(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let text = std::str::from_utf8(args.at(1)).ok();
    let cursor: u64 =
        text.and_then(|text| text.parse().ok()).ok_or(Error::new("ERR invalid cursor"))?;
    let (mut pattern, mut count, mut kind) = (None, 10, None);
    let mut at = 2;
    while at < args.len() {
        let Some(value) = args.get(at + 1) else { return Err(Error::SYNTAX) };
        if args.is(at, "MATCH") {
            pattern = Some(value);
        } else if args.is(at, "COUNT") {
            count = parse_int(value).ok_or(Error::NOT_INTEGER)?;
            if count < 1 {
                return Err(Error::SYNTAX);
            }
        } else if args.is(at, "TYPE") {
            kind = Some(value);
        } else {
            return Err(Error::SYNTAX);
        }
        at += 2;
    }
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = cx.keyspace.scan(cursor, count as usize, |key, value| {
        let of_kind =
            kind.is_none_or(|kind| kind.eq_ignore_ascii_case(value.type_name().as_bytes()));
        if of_kind && pattern.is_none_or(|pattern| matches(pattern, key)) {
            found.push(key.to_vec());
        }
    });
    reply.array(2);
    reply.bulk(next.to_string().as_bytes());
    reply.array(found.len());
    for key in &found {
        reply.bulk(key);
    }
    Ok(())
}

pub(super) fn randomkey(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.keyspace.random_key() {
        Some(key) => reply.bulk(&key),
        None => reply.null(),
    }
    Ok(())
}

/// What OBJECT ENCODING says of a string: as Redis would keep it.
pub(super) fn encoding(value: Value<'_>) -> &'static str {
    let Value::Str(bytes) = value;
    if bytes.len() <= 20 && parse_int(&bytes).is_some() {
        "int"
    } else if bytes.len() <= 44 {
        "embstr"
    } else {
        "raw"
    }
}

pub(super) fn object_encoding(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.keyspace.view(args.at(2), Access::Peek) {
        Some(view) => reply.bulk(encoding(view.value).as_bytes()),
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn object_refcount(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.keyspace.view(args.at(2), Access::Peek) {
        Some(_) => reply.int(1),
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn object_idletime(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.keyspace.view(args.at(2), Access::Peek) {
        Some(view) => reply.int(view.idle_s as i64),
        None => reply.null(),
    }
    Ok(())
}

pub(super) fn object_freq(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.keyspace.view(args.at(2), Access::Peek).map(|view| view.frequency) {
        None => reply.null(),
        Some(Some(frequency)) => reply.int(i64::from(frequency)),
        Some(None) => {
            return Err(Error::new(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
    }
    Ok(())
}
