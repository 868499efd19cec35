//! LATENCY through a coordinator: `command` is an event of all nodes, `command@127.0.0.1:5001` that of one. Pure, as
//! planning and merging are.

use super::gather::{Join, encode_error};
use super::merge::{bulk, elements, header, int, text};
use super::plan::{Part, Planned};
use crate::command::{Merge, no_samples};
use crate::resp::{Args, ArgsBuf, Output, Proto, Reply};
use crate::stats::{Sample, Series};
use bytes::{Bytes, BytesMut};

/// How the nodes' replies become one.
pub(super) enum Latency {
    /// LATEST: the events of these nodes.
    Latest { nodes: Vec<String> },
    /// HISTORY: the samples by time.
    History,
    /// GRAPH of an event at a time: the samples come first, then the latest ones, which tell the longest ever.
    Graph { event: Vec<u8>, now_s: u64 },
}

/// The node that an event is of, if it names one, and its name there.
fn of_node<'a>(nodes: &[String], event: &'a [u8]) -> Option<(usize, &'a [u8])> {
    let at = event.iter().position(|&byte| byte == b'@')?;
    let node = nodes.iter().position(|node| node.as_bytes() == &event[at + 1..])?;
    Some((node, &event[..at]))
}

/// Whether it is planned here.
pub(super) fn has(merge: Merge) -> bool {
    let latency =
        [Merge::LatencyGraph, Merge::LatencyHistory, Merge::LatencyLatest, Merge::LatencyReset];
    latency.contains(&merge)
}

/// Plans by the rule of a row at a time in seconds since 1970.
pub(super) fn plan(nodes: &[String], db: u8, args: Args<'_>, merge: Merge, now_s: u64) -> Planned {
    let part = |node, words: &[&[u8]]| Part::whole(node, db, ArgsBuf::build(words).args());
    let every = || (0..nodes.len()).map(|node| Part::whole(node, db, args));
    if merge == Merge::LatencyReset {
        let join = Join::Merge { merge: Merge::Sum, keys: 0 };
        let parts = if args.len() == 2 { every().collect() } else { resets(nodes, db, args) };
        return Planned::Parts(parts, join);
    }
    if merge == Merge::LatencyLatest {
        let join = Join::Latency(Latency::Latest { nodes: nodes.to_vec() });
        return Planned::Parts(every().collect(), join);
    }
    let event = args.at(2);
    if let Some((node, event)) = of_node(nodes, event) {
        return Planned::Parts(vec![part(node, &[args.at(0), args.at(1), event])], Join::Whole);
    }
    let history = (0..nodes.len()).map(|node| part(node, &[b"LATENCY", b"HISTORY", event]));
    if merge == Merge::LatencyHistory {
        return Planned::Parts(history.collect(), Join::Latency(Latency::History));
    }
    let latest = (0..nodes.len()).map(|node| part(node, &[b"LATENCY", b"LATEST"]));
    let join = Join::Latency(Latency::Graph { event: event.to_vec(), now_s });
    Planned::Parts(history.chain(latest).collect(), join)
}

/// Each node is asked to forget what is named of it; without a name it would forget all.
fn resets(nodes: &[String], db: u8, args: Args<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    for node in 0..nodes.len() {
        let mut words = vec![args.at(0), args.at(1)];
        words.extend(args.from(2).filter_map(|event| match of_node(nodes, event) {
            Some((of, event)) => (of == node).then_some(event),
            None => Some(event),
        }));
        if words.len() > 2 {
            parts.push(Part::whole(node, db, ArgsBuf::build(&words).args()));
        }
    }
    parts
}

/// Merges the replies. `None` where a reply is not what was asked for.
pub(super) fn merge(
    how: &Latency,
    replies: &[Bytes],
    proto: Proto,
    out: &mut BytesMut,
) -> Option<()> {
    match how {
        Latency::Latest { nodes } => {
            let mut events = Vec::new();
            for (node, reply) in nodes.iter().zip(replies) {
                events.extend(latest(reply)?.into_iter().map(|event| (node, event)));
            }
            events.sort_by_key(|(_, event)| std::cmp::Reverse(event.last.unix_s));
            header(out, b'*', events.len() as i64);
            for (node, event) in events {
                header(out, b'*', 4);
                bulk(out, &[event.name.as_slice(), b"@", node.as_bytes()].concat());
                for number in [event.last.unix_s, event.last.ms, event.max_ms] {
                    header(out, b':', number as i64);
                }
            }
        }
        Latency::History => {
            let samples = history(replies)?;
            header(out, b'*', samples.len() as i64);
            for sample in samples {
                header(out, b'*', 2);
                header(out, b':', sample.unix_s as i64);
                header(out, b':', sample.ms as i64);
            }
        }
        Latency::Graph { event, now_s } => {
            let (samples, latests) = replies.split_at(replies.len() / 2);
            let samples = history(samples)?;
            if samples.is_empty() {
                out.extend_from_slice(&encode_error(&no_samples(event)));
                return Some(());
            }
            let mut max_ms = 0;
            for reply in latests {
                let mut found = latest(reply)?.into_iter();
                let of_event = found.find(|found| found.name == *event);
                max_ms = max_ms.max(of_event.map_or(0, |found| found.max_ms));
            }
            let series = Series { samples: samples.into(), max_ms };
            let mut output = Output::default();
            let graph = series.graph(&String::from_utf8_lossy(event), *now_s);
            Reply::new(&mut output, proto).verbatim(&graph);
            out.extend_from_slice(&output.take());
        }
    }
    Some(())
}

/// Texts one after another, each under its node's address.
pub(super) fn texts(
    nodes: &[String],
    replies: &[Bytes],
    proto: Proto,
    out: &mut BytesMut,
) -> Option<()> {
    let mut all = Vec::new();
    for (node, reply) in nodes.iter().zip(replies) {
        let text = String::from_utf8_lossy(text(reply)?).trim_end().to_owned();
        all.push(format!("# {node}\n{text}\n"));
    }
    let mut output = Output::default();
    Reply::new(&mut output, proto).verbatim(&all.join("\n"));
    out.extend_from_slice(&output.take());
    Some(())
}

/// An event as LATEST gives it.
struct Latest {
    name: Vec<u8>,
    last: Sample,
    max_ms: u64,
}

fn number(reply: &[u8]) -> Option<u64> {
    u64::try_from(int(reply)?).ok()
}

/// The events in a reply to LATEST.
fn latest(reply: &[u8]) -> Option<Vec<Latest>> {
    let events = elements(reply)?.into_iter().map(|range| {
        let entry = &reply[range];
        let [name, time, ms, max] = &elements(entry)?[..] else { return None };
        let [unix_s, ms, max_ms] = [time, ms, max].map(|range| number(&entry[range.clone()]));
        let last = Sample { unix_s: unix_s?, ms: ms? };
        Some(Latest { name: text(&entry[name.clone()])?.to_vec(), last, max_ms: max_ms? })
    });
    events.collect()
}

/// The samples in replies to HISTORY, by time.
fn history(replies: &[Bytes]) -> Option<Vec<Sample>> {
    let mut samples = Vec::new();
    for reply in replies {
        for range in elements(reply)? {
            let entry = &reply[range];
            let [time, ms] = &elements(entry)?[..] else { return None };
            let [unix_s, ms] = [time, ms].map(|range| number(&entry[range.clone()]));
            samples.push(Sample { unix_s: unix_s?, ms: ms? });
        }
    }
    samples.sort_by_key(|sample| sample.unix_s);
    Some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<String> {
        vec!["x:1".to_owned(), "y:1".to_owned()]
    }

    /// What goes where, as inline requests.
    fn parts(line: &str, merge: Merge) -> (Vec<(usize, String)>, Join) {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let args = ArgsBuf::build(&words);
        let Planned::Parts(parts, join) = plan(&nodes(), 0, args.args(), merge, 100) else {
            panic!("{line} is not sent to nodes")
        };
        let request = |part: &Part| {
            let words = elements(&part.request).unwrap().into_iter();
            let words = words.map(|range| text(&part.request[range]).unwrap());
            String::from_utf8(words.collect::<Vec<_>>().join(&b' ')).unwrap()
        };
        (parts.iter().map(|part| (part.node, request(part))).collect(), join)
    }

    fn run(how: &Latency, replies: &[&'static str]) -> Option<String> {
        let replies: Vec<Bytes> =
            replies.iter().map(|reply| Bytes::from_static(reply.as_bytes())).collect();
        let mut out = BytesMut::new();
        merge(how, &replies, Proto::Resp2, &mut out)?;
        Some(String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn an_event_may_name_its_node() {
        let to = |node: usize, request: &str| (node, request.to_owned());
        let all = |request: &str| vec![to(0, request), to(1, request)];
        let (sent, join) = parts("latency history command@y:1", Merge::LatencyHistory);
        assert!(matches!(join, Join::Whole));
        assert_eq!(sent, [to(1, "latency history command")]);
        let (sent, _) = parts("LATENCY HISTORY command@z:1", Merge::LatencyHistory);
        assert_eq!(sent, all("LATENCY HISTORY command@z:1"));
        let (sent, _) = parts("LATENCY GRAPH command", Merge::LatencyGraph);
        assert_eq!(sent, [all("LATENCY HISTORY command"), all("LATENCY LATEST")].concat());
        let (sent, _) = parts("LATENCY RESET", Merge::LatencyReset);
        assert_eq!(sent, all("LATENCY RESET"));
        let (sent, _) = parts("LATENCY RESET a@x:1 b", Merge::LatencyReset);
        assert_eq!(sent, [to(0, "LATENCY RESET a b"), to(1, "LATENCY RESET b")]);
        // A node of which nothing is named must not forget everything.
        let (sent, _) = parts("LATENCY RESET a@x:1", Merge::LatencyReset);
        assert_eq!(sent, [to(0, "LATENCY RESET a")]);
    }

    const X: &str =
        "*2\r\n*4\r\n$1\r\na\r\n:30\r\n:5\r\n:50\r\n*4\r\n$1\r\nb\r\n:10\r\n:6\r\n:60\r\n";
    const Y: &str = "*1\r\n*4\r\n$1\r\na\r\n:20\r\n:7\r\n:70\r\n";

    #[test]
    fn the_newest_event_comes_first() {
        let latest = run(&Latency::Latest { nodes: nodes() }, &[X, Y]);
        let entry = |name: &str, numbers: &str| format!("*4\r\n$5\r\n{name}\r\n{numbers}\r\n");
        let want = [
            "*3\r\n".to_owned(),
            entry("a@x:1", ":30\r\n:5\r\n:50"),
            entry("a@y:1", ":20\r\n:7\r\n:70"),
            entry("b@x:1", ":10\r\n:6\r\n:60"),
        ];
        assert_eq!(latest, Some(want.concat()));
        assert_eq!(run(&Latency::Latest { nodes: nodes() }, &[X, ":1\r\n"]), None);
    }

    #[test]
    fn samples_are_merged_by_time() {
        let samples = ["*2\r\n*2\r\n:10\r\n:3\r\n*2\r\n:30\r\n:5\r\n", "*1\r\n*2\r\n:20\r\n:7\r\n"];
        let history = run(&Latency::History, &samples);
        let want = "*3\r\n*2\r\n:10\r\n:3\r\n*2\r\n:20\r\n:7\r\n*2\r\n:30\r\n:5\r\n";
        assert_eq!(history.as_deref(), Some(want));
        assert_eq!(run(&Latency::History, &["*0\r\n", "*0\r\n"]).as_deref(), Some("*0\r\n"));
        let how = Latency::Graph { event: b"a".to_vec(), now_s: 40 };
        let graph = run(&how, &[samples[0], samples[1], X, Y]).unwrap();
        assert!(graph.contains("a - high 7 ms, low 3 ms (all time high 70 ms)\n"), "{graph}");
        assert!(graph.contains("321\n000\nsss\n"), "{graph}");
        let none = run(&how, &["*0\r\n", "*0\r\n", X, Y]);
        assert_eq!(none.as_deref(), Some("-ERR No samples available for event 'a'\r\n"));
    }

    #[test]
    fn texts_stand_under_their_nodes() {
        let mut out = BytesMut::new();
        let replies =
            [Bytes::from_static(b"=7\r\ntxt:o\n\n\r\n"), Bytes::from_static(b"$1\r\ne\r\n")];
        texts(&nodes(), &replies, Proto::Resp2, &mut out).unwrap();
        assert_eq!(out, "$17\r\n# x:1\no\n\n# y:1\ne\n\r\n");
    }
}
