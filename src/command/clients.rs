//! CLIENT: the connections of the server.

use super::Context;
use super::options::int;
use crate::resp::{Args, Error, Reply, parse_int};
use crate::server::{Client, ReplyMode};
use std::sync::Arc;

/// A connection's name: printable, without spaces.
pub(super) fn valid_name(name: &[u8]) -> Result<String, Error> {
    match String::from_utf8(name.to_vec()) {
        Ok(name) if name.bytes().all(|b| (b'!'..=b'~').contains(&b)) => Ok(name),
        _ => Err(Error::new(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        )),
    }
}

pub(super) fn setname(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    cx.session.client.set_name(valid_name(args.at(2))?);
    reply.ok();
    Ok(())
}

pub(super) fn getname(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    match cx.session.client.name() {
        name if name.is_empty() => reply.null(),
        name => reply.bulk(name.as_bytes()),
    }
    Ok(())
}

pub(super) fn setinfo(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let is_name = args.is(2, "LIB-NAME");
    let attribute = String::from_utf8_lossy(args.at(2)).into_owned();
    if !is_name && !args.is(2, "LIB-VER") {
        return Err(Error::from(format!("ERR Unrecognized option '{attribute}'")));
    }
    let Ok(value) = valid_name(args.at(3)) else {
        let text =
            format!("ERR {attribute} cannot contain spaces, newlines or special characters.");
        return Err(Error::from(text));
    };
    cx.session.client.set_library(is_name, value);
    reply.ok();
    Ok(())
}

pub(super) fn id(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.int(cx.session.client.id as i64);
    Ok(())
}

pub(super) fn info(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let line = cx.session.client.describe(cx.now());
    reply.verbatim(&format!("{line}\n"));
    Ok(())
}

pub(super) fn no_evict(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if !args.is(2, "ON") && !args.is(2, "OFF") {
        return Err(Error::SYNTAX);
    }
    cx.session.client.set_no_evict(args.is(2, "ON"));
    reply.ok();
    Ok(())
}

pub(super) fn reply(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if args.is(2, "ON") {
        cx.session.reply_mode = ReplyMode::On;
        reply.ok();
    } else if args.is(2, "OFF") {
        cx.session.reply_mode = ReplyMode::Off;
    } else if args.is(2, "SKIP") {
        if cx.session.reply_mode == ReplyMode::On {
            cx.session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Error::SYNTAX);
    }
    Ok(())
}

fn valid_type(name: &[u8]) -> Result<bool, Error> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(true),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(false),
        _ => {
            let name = String::from_utf8_lossy(name);
            Err(Error::from(format!("ERR Unknown client type '{name}'")))
        }
    }
}

pub(super) fn list(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let mut ids = None;
    let mut none = false;
    if args.is(2, "TYPE") && args.len() == 4 {
        none = !valid_type(args.at(3))?;
    } else if args.is(2, "ID") && args.len() > 3 {
        let parse = |id| parse_int(id).filter(|&id| id > 0);
        let wanted: Option<Vec<i64>> = args.from(3).map(parse).collect();
        ids = Some(wanted.ok_or(Error::new("ERR Invalid client ID"))?);
    } else if args.len() > 2 {
        return Err(Error::SYNTAX);
    }
    let mut text = String::new();
    for client in cx.server.clients.all() {
        if !none && ids.as_ref().is_none_or(|ids| ids.contains(&(client.id as i64))) {
            text.push_str(&client.describe(cx.now()));
            text.push('\n');
        }
    }
    reply.verbatim(&text);
    Ok(())
}

/// What CLIENT KILL is to close; a filter that is not given holds for all.
#[derive(Default)]
struct Filters {
    id: Option<i64>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    max_age_s: Option<i64>,
    /// A type or user that no connection has.
    nobody: bool,
}

impl Filters {
    fn hold(&self, client: &Client, now: u64) -> bool {
        !self.nobody
            && self.id.is_none_or(|id| id == client.id as i64)
            && self.addr.as_ref().is_none_or(|addr| addr == client.addr.as_bytes())
            && self.laddr.as_ref().is_none_or(|laddr| laddr == client.laddr.as_bytes())
            && self.max_age_s.is_none_or(|age| client.age_s(now) as i64 >= age)
    }
}

pub(super) fn kill(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if args.len() == 3 {
        let mut clients = cx.server.clients.all().into_iter();
        let Some(client) = clients.find(|client| client.addr.as_bytes() == args.at(2)) else {
            return Err(Error::new("ERR No such client"));
        };
        close(cx, &client);
        reply.ok();
        return Ok(());
    }
    let (mut filters, mut skip_me) = (Filters::default(), true);
    let mut at = 2;
    while at < args.len() {
        let Some(value) = args.get(at + 1) else { return Err(Error::SYNTAX) };
        match args.at(at).to_ascii_uppercase().as_slice() {
            b"ID" => {
                let id = parse_int(value).filter(|&id| id > 0);
                filters.id = Some(id.ok_or(Error::new("ERR client-id should be greater than 0"))?);
            }
            b"TYPE" => filters.nobody |= !valid_type(value)?,
            b"USER" if value == b"default" => {}
            b"USER" => {
                let user = String::from_utf8_lossy(value);
                return Err(Error::from(format!("ERR No such user '{user}'")));
            }
            b"ADDR" => filters.addr = Some(value.to_vec()),
            b"LADDR" => filters.laddr = Some(value.to_vec()),
            b"MAXAGE" => filters.max_age_s = Some(int(value)?),
            b"SKIPME" => match value.to_ascii_lowercase().as_slice() {
                b"yes" => skip_me = true,
                b"no" => skip_me = false,
                _ => return Err(Error::SYNTAX),
            },
            _ => return Err(Error::SYNTAX),
        }
        at += 2;
    }
    let mut killed = 0;
    for client in cx.server.clients.all() {
        let me = client.id == cx.session.client.id;
        if !(me && skip_me) && filters.hold(&client, cx.now()) {
            close(cx, &client);
            killed += 1;
        }
    }
    reply.int(killed);
    Ok(())
}

/// Closes a connection; one's own only when the reply is sent.
fn close(cx: &mut Context<'_, '_>, client: &Arc<Client>) {
    if client.id == cx.session.client.id {
        cx.session.closing = true;
    } else {
        client.kill();
    }
}
