//! COMMAND and the HELP of containers: the table, shown to clients.

use super::glob::matches;
use super::lookup::{find, find_full};
use super::{COMMANDS, Command, Context, Found, Group, Merge, Route, all, flag};
use crate::resp::{Args, Error, Reply};

/// The names of a row's flags, as COMMAND INFO gives them.
fn flag_names(row: &Command) -> Vec<&'static str> {
    let named = [
        (flag::WRITE, "write"),
        (flag::READONLY, "readonly"),
        (flag::DENYOOM, "denyoom"),
        (flag::ADMIN, "admin"),
        (flag::NO_MULTI, "no_multi"),
        (flag::FAST, "fast"),
        (flag::NO_AUTH, "no_auth"),
        (flag::SKIP_SLOWLOG, "skip_slowlog"),
    ];
    named.iter().filter(|(bit, _)| row.has(*bit)).map(|(_, name)| *name).collect()
}

/// The ACL categories of a row, without the `@`.
fn categories(row: &Command) -> Vec<&'static str> {
    let mut names = Vec::new();
    let mut add = |holds: bool, name| {
        if holds {
            names.push(name);
        }
    };
    add(
        row.group == Group::Generic || (row.group == Group::Server && keyspace_wide(row)),
        "keyspace",
    );
    add(row.has(flag::READONLY), "read");
    add(row.has(flag::WRITE), "write");
    add(row.group == Group::String, "string");
    add(row.group == Group::Bitmap, "bitmap");
    add(row.has(flag::ADMIN), "admin");
    add(row.has(flag::FAST), "fast");
    add(!row.has(flag::FAST), "slow");
    add(row.has(flag::DANGEROUS) || row.has(flag::ADMIN), "dangerous");
    add(row.has(flag::CONNECTION), "connection");
    add(row.group == Group::Transactions, "transaction");
    names
}

fn keyspace_wide(row: &Command) -> bool {
    row.flags & (flag::WRITE | flag::READONLY) != 0
}

/// How the routing is told to cluster-aware clients, in Redis's words.
fn tips(row: &Command) -> Vec<&'static str> {
    let response = |merge| match merge {
        Merge::Sum => Some("response_policy:agg_sum"),
        Merge::AllOk | Merge::LatencyReset => Some("response_policy:all_succeeded"),
        Merge::RandomKey | Merge::Fields | Merge::Slowlog | Merge::Report => {
            Some("response_policy:special")
        }
        Merge::LatencyGraph | Merge::LatencyHistory | Merge::LatencyLatest | Merge::Texts => {
            Some("response_policy:special")
        }
        Merge::ByKey | Merge::Concat | Merge::Info | Merge::ConfigGet | Merge::ConfigSet => None,
    };
    let (request, merge) = match row.route {
        Route::Split(merge) => ("request_policy:multi_shard", Some(merge)),
        Route::AllNodes(merge) | Route::LocalAndNodes(merge) => {
            ("request_policy:all_shards", Some(merge))
        }
        Route::Cursor => ("request_policy:special", None),
        Route::Local | Route::OneSlot | Route::Transaction => return Vec::new(),
    };
    std::iter::once(request).chain(merge.and_then(response)).collect()
}

fn describe(found: Found, reply: &mut Reply<'_>) {
    let row = found.row;
    reply.array(10);
    reply.bulk(found.full_name.as_bytes());
    reply.int(i64::from(row.arity));
    reply.names(flag_names(row).into_iter());
    reply.int(i64::from(row.keys.first));
    reply.int(i64::from(row.keys.last));
    reply.int(i64::from(row.keys.step));
    let categories: Vec<String> = categories(row).iter().map(|name| format!("@{name}")).collect();
    reply.names(categories.iter().map(String::as_str));
    reply.set(tips(row).len());
    for tip in tips(row) {
        reply.bulk(tip.as_bytes());
    }
    key_specs(row, reply);
    reply.array(row.subcommands.len());
    for id in subcommand_ids(found) {
        describe(&all()[id], reply);
    }
}

fn subcommand_ids(found: Found) -> std::ops::Range<usize> {
    let first = usize::from(found.id) + 1;
    first..first + found.row.subcommands.len()
}

fn access(row: &Command) -> &'static str {
    if row.has(flag::WRITE) { "RW" } else { "RO" }
}

fn key_specs(row: &Command, reply: &mut Reply<'_>) {
    if row.keys.is_none() {
        reply.set(0);
        return;
    }
    let text = |reply: &mut Reply<'_>, text: &str| reply.bulk(text.as_bytes());
    let keys = row.keys;
    reply.set(1);
    reply.map(3);
    text(reply, "flags");
    reply.names([access(row), "access"].into_iter());
    text(reply, "begin_search");
    reply.map(2);
    text(reply, "type");
    text(reply, "index");
    text(reply, "spec");
    reply.map(1);
    text(reply, "index");
    reply.int(i64::from(keys.first));
    text(reply, "find_keys");
    reply.map(2);
    text(reply, "type");
    text(reply, "range");
    text(reply, "spec");
    reply.map(3);
    // Relative to the first key, as Redis gives it.
    let last = if keys.last < 0 { keys.last } else { keys.last - keys.first };
    for (name, value) in [("lastkey", last), ("keystep", keys.step), ("limit", 0)] {
        text(reply, name);
        reply.int(i64::from(value));
    }
}

pub(super) fn command(
    _: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.array(COMMANDS.len());
    for row in COMMANDS {
        if let Some(found) = find(row.name.as_bytes()) {
            describe(found, reply);
        }
    }
    Ok(())
}

pub(super) fn count(
    _: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.int(COMMANDS.len() as i64);
    Ok(())
}

pub(super) fn info(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    if args.len() == 2 {
        return command(cx, args, reply);
    }
    reply.array(args.len() - 2);
    for name in args.from(2) {
        match find_full(name) {
            Some(found) => describe(found, reply),
            None => reply.null(),
        }
    }
    Ok(())
}

pub(super) fn docs(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let found: Vec<Found> = if args.len() == 2 {
        COMMANDS.iter().filter_map(|row| find(row.name.as_bytes())).collect()
    } else {
        args.from(2).filter_map(find_full).collect()
    };
    reply.map(found.len());
    for found in &found {
        document(found, reply);
    }
    Ok(())
}

fn document(found: Found, reply: &mut Reply<'_>) {
    let row = found.row;
    reply.bulk(found.full_name.as_bytes());
    reply.map(3 + usize::from(!row.subcommands.is_empty()));
    let fields = [("summary", row.summary), ("since", row.since), ("group", row.group.name())];
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    if !row.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(row.subcommands.len());
        for id in subcommand_ids(found) {
            document(&all()[id], reply);
        }
    }
}

pub(super) fn list(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let by = args.get(4);
    let keep: Box<dyn Fn(Found) -> bool> = match (args.len(), by) {
        (2, _) => Box::new(|_| true),
        (5, Some(_)) if !args.is(2, "FILTERBY") => return Err(Error::SYNTAX),
        (5, Some(_)) if args.is(3, "MODULE") => Box::new(|_| false),
        (5, Some(category)) if args.is(3, "ACLCAT") => Box::new(move |found| {
            let mut names = categories(found.row).into_iter();
            names.any(|name| name.as_bytes().eq_ignore_ascii_case(category))
        }),
        (5, Some(pattern)) if args.is(3, "PATTERN") => {
            let pattern = pattern.to_ascii_lowercase();
            Box::new(move |found| matches(&pattern, found.full_name.as_bytes()))
        }
        _ => return Err(Error::SYNTAX),
    };
    let found: Vec<Found> = all().iter().filter(|found| keep(found)).collect();
    reply.array(found.len());
    for found in found {
        reply.bulk(found.full_name.as_bytes());
    }
    Ok(())
}

/// The request behind COMMAND GETKEYS: its row, and its arguments from index 2 of ours.
fn inner(args: Args<'_>) -> Result<(Found, Vec<usize>), Error> {
    let found = find(args.at(2)).ok_or(Error::new("ERR Invalid command specified"))?;
    let found = match args.get(3) {
        Some(sub) if !found.row.subcommands.is_empty() => {
            let name = [args.at(2), b"|", sub].concat();
            find_full(&name).ok_or(Error::new("ERR Invalid command specified"))?
        }
        _ => found,
    };
    let count = args.len() - 2;
    if found.row.keys.is_none() {
        return Err(Error::new("ERR The command has no key arguments"));
    }
    if !found.row.accepts(count) {
        return Err(Error::new("ERR Invalid number of arguments specified for command"));
    }
    Ok((found, found.row.keys.positions(count).map(|at| at + 2).collect()))
}

pub(super) fn getkeys(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (_, positions) = inner(args)?;
    reply.array(positions.len());
    for at in positions {
        reply.bulk(args.at(at));
    }
    Ok(())
}

pub(super) fn getkeysandflags(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let (found, positions) = inner(args)?;
    reply.array(positions.len());
    for at in positions {
        reply.array(2);
        reply.bulk(args.at(at));
        reply.names([access(found.row), "access"].into_iter());
    }
    Ok(())
}

/// A syntax with the words that stand for something in brackets, as HELP shows it: `<key>`.
fn bracketed(syntax: &str) -> String {
    let mut out = String::new();
    for piece in syntax.split_inclusive([' ', '[', ']']) {
        let word = piece.trim_end_matches([' ', '[', ']']);
        let stands_for = word.starts_with(|c: char| c.is_ascii_lowercase());
        let (open, close) = if stands_for { ("<", ">") } else { ("", "") };
        out += &format!("{open}{word}{close}{}", &piece[word.len()..]);
    }
    out
}

/// `CONTAINER HELP`.
pub(super) fn help(
    _: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let Some(found) = find(args.at(0)).filter(|_| args.len() > 1) else {
        return Err(Error::arity(&String::from_utf8_lossy(args.at(0)).to_lowercase()));
    };
    let upper = found.row.name.to_uppercase();
    let mut lines =
        vec![format!("{upper} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")];
    for row in found.row.subcommands {
        let syntax = bracketed(row.syntax);
        lines.push(format!("{} {syntax}", row.name.to_uppercase()).trim_end().to_owned());
        lines.push(format!("    {}", row.summary));
    }
    reply.array(lines.len());
    for line in lines {
        reply.simple(&line);
    }
    Ok(())
}
