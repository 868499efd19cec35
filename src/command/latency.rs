//! LATENCY: what took long, by event and by time, and how long commands take. A coordinator shows the events of its
//! nodes, and its own histograms, which are what its clients see.

use super::Context;
use crate::resp::{Args, Error, Reply};
use crate::stats::doctor;

pub(super) fn doctor(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    reply.verbatim(&doctor::latency(cx.server, cx.now() / 1000));
    Ok(())
}

/// There is no graph of nothing.
pub(crate) fn no_samples(event: &[u8]) -> Error {
    Error::from_parts(&[b"ERR No samples available for event '", event, b"'"])
}

pub(super) fn graph(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let event = args.at(2);
    let series = cx.server.events.find(event).ok_or_else(|| no_samples(event))?;
    reply.verbatim(&series.graph(&String::from_utf8_lossy(event), cx.now() / 1000));
    Ok(())
}

pub(super) fn history(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let series = cx.server.events.find(args.at(2)).unwrap_or_default();
    reply.array(series.samples.len());
    for sample in series.samples {
        reply.array(2);
        reply.int(sample.unix_s as i64);
        reply.int(sample.ms as i64);
    }
    Ok(())
}

pub(super) fn latest(
    cx: &mut Context<'_, '_>,
    _: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let latest = cx.server.events.latest();
    reply.array(latest.len());
    for (event, series) in latest {
        let (unix_s, ms) = series.samples.back().map_or((0, 0), |last| (last.unix_s, last.ms));
        reply.array(4);
        reply.bulk(event.name().as_bytes());
        reply.int(unix_s as i64);
        reply.int(ms as i64);
        reply.int(series.max_ms as i64);
    }
    Ok(())
}

pub(super) fn reset(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let names = args.from(2);
    let gone = cx.server.events.reset(|event| {
        args.len() == 2 || names.clone().any(|name| name == event.name().as_bytes())
    });
    reply.int(gone as i64);
    Ok(())
}

/// A container stands for all its subcommands, and what there is no command of for nothing.
pub(super) fn histogram(
    cx: &mut Context<'_, '_>,
    args: Args<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let mut all = cx.server.stats.commands();
    all.retain(|command| command.latency.count() > 0);
    let is_asked = |name: &str, asked: &[u8]| {
        let container = name.split_once('|').map_or(name, |(container, _)| container);
        [name, container].iter().any(|name| name.as_bytes().eq_ignore_ascii_case(asked))
    };
    let shown: Vec<_> = match args.len() {
        2 => all.iter().collect(),
        _ => args
            .from(2)
            .flat_map(|asked| all.iter().filter(move |command| is_asked(command.name, asked)))
            .collect(),
    };
    reply.map(shown.len());
    for command in shown {
        reply.bulk(command.name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.int(command.latency.count() as i64);
        reply.bulk(b"histogram_usec");
        let counts = command.latency.by_doubling_us();
        reply.map(counts.len());
        for (us, count) in counts {
            reply.int(us as i64);
            reply.int(count as i64);
        }
    }
    Ok(())
}
