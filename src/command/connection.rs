//! The connection's own state: protocol, user, database.

use super::Context;
use super::options::{db, has_one_db, int};
use crate::cluster::INTERNAL_USER;
use crate::resp::{Args, Error, Proto, Reply};
use crate::server::DENIED;
use crate::stats::info::REDIS_VERSION;

const WRONGPASS: Error =
    Error::new("WRONGPASS invalid username-password pair or user is disabled.");

pub(super) fn ping(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match args.len() {
        1 => reply.simple("PONG"),
        2 => reply.bulk(args.at(1)),
        _ => return Err(Error::arity("ping")),
    }
    Ok(())
}

pub(super) fn echo(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.bulk(args.at(1));
    Ok(())
}

pub(super) fn quit(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    cx.session.closing = true;
    reply.ok();
    Ok(())
}

pub(super) fn reset(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    cx.session.reset(cx.server);
    // What a monitor was shown before comes before.
    cx.session.client.take_pushed(reply.out);
    reply.simple("RESET");
    Ok(())
}

/// A coordinator shows what its own clients send; what its nodes get, these show.
pub(super) fn monitor(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if cx.session.in_exec {
        return Err(Error::new("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    // No reply to the second one: so it is with Redis.
    if !cx.session.is_monitoring() {
        cx.session.start_monitoring(cx.server);
        reply.ok();
    }
    Ok(())
}

pub(super) fn select(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if int(args.at(1))? != 0 && has_one_db(cx) {
        return Err(Error::new("ERR SELECT is not allowed in cluster mode"));
    }
    cx.session.set_db(db(args.at(1))?);
    reply.ok();
    Ok(())
}

pub(super) fn auth(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (user, password) = match args.len() {
        2 => {
            if !cx.server.config.has_password() {
                return Err(Error::new(
                    "ERR AUTH <password> called without any password configured for the default user. Are you \
                     sure your configuration is correct?",
                ));
            }
            (&b"default"[..], args.at(1))
        }
        3 => (args.at(1), args.at(2)),
        _ => return Err(Error::SYNTAX),
    };
    authenticate(cx, user, password)?;
    reply.ok();
    Ok(())
}

/// There is one user, `default`; without a password any will do, as in Redis, but not from where even that is refused.
/// On a node of a cluster that forms itself there are the coordinators too.
fn authenticate(cx: &mut Context<'_, '_>, user: &[u8], password: &[u8]) -> Result<(), Error> {
    if user == INTERNAL_USER.as_bytes()
        && let Some(local) = cx.server.member()
    {
        if !local.secret.matches(password) {
            return Err(WRONGPASS);
        }
        cx.session.log_in_internal();
        return Ok(());
    }
    match cx.server.config.password_matches(password) {
        _ if user != b"default" => return Err(WRONGPASS),
        Some(false) => return Err(WRONGPASS),
        None if cx.session.is_restricted() => return Err(DENIED),
        _ => {}
    }
    cx.session.log_in(cx.server);
    Ok(())
}

pub(super) fn hello(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let proto = match args.get(1) {
        None => cx.session.proto(),
        Some(version) => match crate::resp::parse_int(version) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return Err(Error::new("NOPROTO unsupported protocol version")),
            None => {
                let text = "ERR Protocol version is not an integer or out of range";
                return Err(Error::new(text));
            }
        },
    };
    let (mut at, mut credentials, mut name) = (2, None, None);
    while at < args.len() {
        let more = args.len() - at - 1;
        if args.is(at, "AUTH") && more >= 2 {
            credentials = Some((args.at(at + 1), args.at(at + 2)));
            at += 3;
        } else if args.is(at, "SETNAME") && more >= 1 {
            name = Some(super::clients::valid_name(args.at(at + 1))?);
            at += 2;
        } else {
            let option = String::from_utf8_lossy(args.at(at));
            return Err(Error::from(format!("ERR Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(cx, user, password)?;
    }
    if !cx.session.authenticated {
        if cx.session.is_restricted() {
            return Err(DENIED);
        }
        return Err(Error::new(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
             AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
             version at the same time",
        ));
    }
    if let Some(name) = name {
        cx.session.client.set_name(name);
    }
    cx.session.set_proto(proto);
    reply.proto = proto;
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.int(proto.version());
    reply.bulk(b"id");
    reply.int(cx.session.client.id as i64);
    for (field, value) in [("mode", cx.server.mode()), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

pub(super) fn wait(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    int(args.at(1))?;
    let timeout = crate::resp::parse_int(args.at(2));
    match timeout.ok_or(Error::new("ERR timeout is not an integer or out of range"))? {
        ..0 => Err(Error::new("ERR timeout is negative")),
        _ => {
            reply.int(0);
            Ok(())
        }
    }
}

pub(super) fn acl_whoami(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let user = if cx.session.is_internal() { INTERNAL_USER } else { "default" };
    reply.bulk(user.as_bytes());
    Ok(())
}
