//! CONFIG: the parameters.

use super::Context;
use super::glob::matches;
use crate::config::{Access, Config, Id, Kind, PARAMS, Param, Scope, find};
use crate::resp::{Args, Error, Reply};
use crate::server::{Role, Server};

/// Whether a parameter takes effect on the server itself; a coordinator asks its nodes for the others.
pub(crate) fn is_own(server: &Server, param: &Param) -> bool {
    match server.role {
        Role::Node => param.scope != Scope::Coordinator,
        Role::Coordinator => param.scope != Scope::Node,
    }
}

pub(super) fn get(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let lower: Vec<Vec<u8>> = args.from(2).map(<[u8]>::to_ascii_lowercase).collect();
    let asked =
        |param: &&Param| lower.iter().any(|pattern| matches(pattern, param.name.as_bytes()));
    let own = |param: &&Param| is_own(cx.server, param);
    let found: Vec<&Param> = PARAMS.iter().filter(own).filter(asked).collect();
    reply.map(found.len());
    for param in found {
        reply.bulk(param.name.as_bytes());
        reply.bulk(cx.server.config.get(param).as_bytes());
    }
    Ok(())
}

fn failed(name: &str, reason: &str) -> Error {
    Error::from(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}

/// The parameters that CONFIG SET is to change, each with its new value; nothing is changed yet.
pub(crate) fn changes<'a>(
    config: &Config,
    args: Args<'a>,
) -> Result<Vec<(&'static Param, &'a str)>, Error> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    let mut changes: Vec<(&Param, &str)> = Vec::new();
    for at in (2..args.len()).step_by(2) {
        let name = String::from_utf8_lossy(args.at(at));
        let Some(param) = find(args.at(at)) else {
            let text = "ERR Unknown option or number of arguments for CONFIG SET - ";
            return Err(Error::from(format!("{text}'{name}'")));
        };
        if changes.iter().any(|(other, _)| std::ptr::eq(*other, param)) {
            return Err(failed(&name, "duplicate parameter"));
        }
        let Ok(value) = std::str::from_utf8(args.at(at + 1)) else {
            return Err(failed(&name, "argument must be text"));
        };
        let same = matches!(param.kind, Kind::Text) && config.get(param) == value;
        if param.access != Access::RunTime && !same {
            return Err(failed(&name, "can't set immutable config"));
        }
        config.check(param, value).map_err(|reason| failed(&name, &reason))?;
        changes.push((param, value));
    }
    Ok(changes)
}

pub(super) fn set(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let config = &cx.server.config;
    for (param, value) in changes(config, args)? {
        // Checked by `changes`, so this cannot fail half-way.
        config.set(param, value).map_err(|reason| failed(param.name, &reason))?;
    }
    if let Some(store) = cx.keyspace.store() {
        config.apply_to(store);
        cx.server.stats.rearm();
    }
    cx.server.stats.set_tracking(config.is_on(Id::LatencyTracking));
    reply.ok();
    Ok(())
}

pub(super) fn resetstat(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    cx.keyspace.reset_stats();
    cx.server.stats.reset();
    reply.ok();
    Ok(())
}
