//! What several families share: parsing of arguments, and looking a string up.

use super::Context;
use crate::config::Id;
use crate::resp::{Args, Error, Reply, parse_int};
use crate::store::{Access, Str, Value};
use bytes::Bytes;

/// An integer argument.
pub(super) fn int(arg: &[u8]) -> Result<i64, Error> {
    parse_int(arg).ok_or(Error::NOT_INTEGER)
}

/// A database number.
pub(super) fn db(arg: &[u8]) -> Result<u8, Error> {
    let index = int(arg)?;
    u8::try_from(index)
        .ok()
        .filter(|&index| usize::from(index) < crate::store::DATABASES)
        .ok_or(Error::DB_INDEX)
}

/// Whether the client may use the first database only: so it is with what Redis Cluster's clients find.
pub(super) fn has_one_db(cx: &Context<'_, '_>) -> bool {
    cx.server.member().is_some() && !cx.session.is_internal()
}

/// A floating-point argument, as Redis's `strtold` with its checks takes it.
pub(super) fn float(arg: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(arg).ok()?;
    if text.is_empty() || text.len() > 256 || text.starts_with(char::is_whitespace) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| !value.is_nan())
}

/// Replies with a string, by reference if it is large.
pub(super) fn bulk(reply: &mut Reply<'_>, string: Str<'_>) {
    match string {
        Str::Slice(bytes) => reply.bulk(bytes),
        Str::Shared(bytes) => reply.bulk_shared(bytes),
    }
}

/// The value of a key that is read, as a string of its own; a large one is not copied.
pub(super) fn string(cx: &mut Context<'_, '_>, key: &[u8]) -> Option<Bytes> {
    cx.keyspace.get(key).map(|Value::Str(string)| string.to_bytes())
}

/// The length of a string that is about to be written; 0 if it is not there.
fn len_for_write(cx: &mut Context<'_, '_>, key: &[u8]) -> usize {
    match cx.keyspace.view(key, Access::Write).map(|view| view.value) {
        Some(Value::Str(bytes)) => bytes.len(),
        None => 0,
    }
}

/// The length that a string will have, by `grown` from the one it has. Room is made for what it grows by, which a request
/// that only names an offset does not tell.
pub(super) fn room_to_grow(
    cx: &mut Context<'_, '_>,
    key: &[u8],
    grown: impl Fn(usize) -> usize,
) -> Result<usize, Error> {
    loop {
        let before = len_for_write(cx, key);
        let after = grown(before);
        check_len(cx, after)?;
        cx.keyspace.make_room(after.saturating_sub(before))?;
        // It may itself have been evicted to make room.
        if len_for_write(cx, key) == before {
            return Ok(after);
        }
    }
}

/// Whether a string may have this length.
pub(super) fn check_len(cx: &Context<'_, '_>, len: usize) -> Result<(), Error> {
    if len as u64 > cx.server.config.number(Id::ProtoMaxBulkLen) {
        return Err(Error::TOO_LONG);
    }
    Ok(())
}

/// The range that `start` and `end` name in a string of `len` bytes, both inclusive and negative ones counted from
/// the end; `None` if it is empty.
pub(super) fn range(start: i64, end: i64, len: usize) -> Option<std::ops::RangeInclusive<usize>> {
    let len = len as i64;
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let absolute = |at: i64| if at < 0 { (len + at).max(0) } else { at };
    let (start, end) = (absolute(start), absolute(end).min(len - 1));
    (start <= end && len > 0).then_some(start as usize..=end as usize)
}

/// The key of the commands whose first argument it is.
pub(super) fn key<'a>(args: Args<'a>) -> &'a [u8] {
    args.at(1)
}
