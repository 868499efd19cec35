//! DEBUG: what tests need.

use super::Context;
use super::keys::encoding;
use super::options::float;
use crate::resp::{Args, Error, Proto, Reply};
use crate::store::{Access, Value};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What Redis answers to `DEBUG PROTOCOL DOUBLE`.
#[allow(clippy::approx_constant, reason = "this number is Redis's, not the circle's")]
const DOUBLE: f64 = 3.141;

pub(super) fn object(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let view = cx.keyspace.view(args.at(2), Access::Peek).ok_or(Error::NO_SUCH_KEY)?;
    let Value::Str(bytes) = view.value;
    reply.simple(&format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:0 lru_seconds_idle:{}",
        bytes.as_ptr(),
        encoding(view.value),
        bytes.len() + 1,
        view.idle_s,
    ));
    Ok(())
}

/// Stops the whole server, since all shards are locked meanwhile, for an hour at most.
pub(super) fn sleep(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let seconds = float(args.at(2)).unwrap_or(0.0).clamp(0.0, 3600.0);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    reply.ok();
    Ok(())
}

pub(super) fn set_active_expire(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    cx.server.active_expire.store(args.at(2) != b"0", Relaxed);
    reply.ok();
    Ok(())
}

pub(super) fn protocol(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let resp3 = reply.proto == Proto::Resp3;
    match args.at(2).to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.int(12345),
        b"double" => reply.double(DOUBLE),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|value| reply.int(value));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|value| reply.int(value));
        }
        b"map" => {
            reply.map(3);
            for value in 0..3 {
                reply.int(value);
                reply.boolean(value == 1);
            }
        }
        b"attrib" if resp3 => {
            reply.header(b'|', 1);
            reply.bulk(b"key-popularity");
            reply.array(2);
            reply.bulk(b"key:123");
            reply.int(90);
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if resp3 => {
            reply.header(b'>', 2);
            reply.bulk(b"server-cpu-usage");
            reply.int(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"attrib" => reply.bulk(b"Some real reply following the attribute"),
        b"push" => return Err(Error::new("ERR RESP2 is not supported by this command")),
        b"verbatim" => reply.verbatim("This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"bignum" if resp3 => {
            reply.out.extend(b"(1234567999999999999999999999999999999\r\n");
        }
        b"bignum" => reply.bulk(b"1234567999999999999999999999999999999"),
        _ => {
            return Err(Error::new(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}
