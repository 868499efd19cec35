//! Merges the replies of nodes into one. Pure. `None` where a reply is not what its command promises.

use crate::cluster::NODES_MAX;
use crate::command::Merge;
use crate::config::{PARAMS, Scope};
use crate::resp::{Framer, Output, Proto, Reply, parse_int};
use bytes::{BufMut, Bytes, BytesMut};
use std::ops::Range;

/// The first line of a reply, without its end, and where the rest begins.
fn first_line(reply: &[u8]) -> Option<(&[u8], usize)> {
    let end = reply.iter().position(|&b| b == b'\r')?;
    Some((&reply[..end], end + 2))
}

/// Where the elements of an aggregate lie in it. A map's keys and values are elements of their own.
pub(super) fn elements(reply: &[u8]) -> Option<Vec<Range<usize>>> {
    let (line, mut at) = first_line(reply)?;
    let (marker, count) = line.split_first()?;
    let count = parse_int(count)?.max(0) as usize * if *marker == b'%' { 2 } else { 1 };
    if !matches!(marker, b'*' | b'%' | b'~') {
        return None;
    }
    let (mut framer, mut found) = (Framer::default(), Vec::with_capacity(count.min(reply.len())));
    for _ in 0..count {
        let length = framer.frame(&reply[at..]).ok()??;
        found.push(at..at + length);
        at += length;
    }
    Some(found)
}

/// The bytes of a bulk, verbatim or simple string.
pub(super) fn text(reply: &[u8]) -> Option<&[u8]> {
    let (line, start) = first_line(reply)?;
    match line.split_first()? {
        (b'+', text) => Some(text),
        (b'$', length) => reply.get(start..start + usize::try_from(parse_int(length)?).ok()?),
        // Behind the format's name and a colon.
        (b'=', length) => reply.get(start + 4..start + usize::try_from(parse_int(length)?).ok()?),
        _ => None,
    }
}

pub(super) fn int(reply: &[u8]) -> Option<i64> {
    match first_line(reply)?.0.split_first()? {
        (b':', digits) => parse_int(digits),
        _ => None,
    }
}

pub(super) fn header(out: &mut BytesMut, marker: u8, count: i64) {
    out.put_u8(marker);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub(super) fn bulk(out: &mut BytesMut, bytes: &[u8]) {
    header(out, b'$', bytes.len() as i64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The header of a map of so many pairs.
fn map(out: &mut BytesMut, proto: Proto, pairs: usize) {
    match proto {
        Proto::Resp2 => header(out, b'*', 2 * pairs as i64),
        Proto::Resp3 => header(out, b'%', pairs as i64),
    }
}

/// Merges by the rule of a row; `keys` says for each reply which of the request's `total` keys it is about.
pub(super) fn merge(
    rule: Merge,
    total: usize,
    keys: &[Vec<u32>],
    replies: &[Bytes],
    proto: Proto,
    out: &mut BytesMut,
) -> Option<()> {
    match rule {
        Merge::ByKey => {
            let mut places: Vec<&[u8]> = vec![b""; total];
            for (reply, ordinals) in replies.iter().zip(keys) {
                let found = elements(reply)?;
                if found.len() != ordinals.len() {
                    return None;
                }
                for (range, &ordinal) in found.into_iter().zip(ordinals) {
                    *places.get_mut(ordinal as usize)? = &reply[range];
                }
            }
            header(out, b'*', total as i64);
            places.iter().for_each(|element| out.extend_from_slice(element));
        }
        Merge::Sum => {
            let sum = replies.iter().map(|reply| int(reply)).sum::<Option<i64>>()?;
            header(out, b':', sum);
        }
        // An error would have been found before.
        Merge::AllOk => out.extend_from_slice(b"+OK\r\n"),
        Merge::Concat => {
            let mut count = 0;
            let mut body = BytesMut::new();
            for reply in replies {
                let found = elements(reply)?;
                count += found.len();
                found.into_iter().for_each(|range| body.extend_from_slice(&reply[range]));
            }
            header(out, b'*', count as i64);
            out.extend_from_slice(&body);
        }
        Merge::RandomKey => out.extend_from_slice(random(replies)?),
        Merge::Fields => fields(replies, proto, out)?,
        Merge::Slowlog | Merge::Report | Merge::Info | Merge::ConfigGet | Merge::ConfigSet => {
            return None;
        }
        Merge::LatencyGraph | Merge::LatencyHistory | Merge::LatencyLatest => return None,
        Merge::LatencyReset | Merge::Texts => return None,
    }
    Some(())
}

/// One of the keys in the first half of the replies, weighted by the numbers in the second half.
fn random(replies: &[Bytes]) -> Option<&[u8]> {
    let (keys, sizes) = replies.split_at(replies.len() / 2);
    let sizes: Vec<i64> = sizes.iter().map(|size| int(size)).collect::<Option<_>>()?;
    let mut number = fastrand::i64(0..sizes.iter().sum::<i64>().max(1));
    for (key, size) in keys.iter().zip(&sizes) {
        if number < *size {
            return Some(key);
        }
        number -= size;
    }
    keys.first().map(Bytes::as_ref)
}

/// Maps of names to numbers, added up; averages and ratios are worked out anew.
fn fields(replies: &[Bytes], proto: Proto, out: &mut BytesMut) -> Option<()> {
    let mut sums: Vec<(Vec<u8>, Option<i64>)> = Vec::new();
    for reply in replies {
        for pair in elements(reply)?.chunks_exact(2) {
            let (name, value) = (text(&reply[pair[0].clone()])?, int(&reply[pair[1].clone()]));
            match sums.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum = sum.zip(value).map(|(sum, value)| sum + value),
                None => sums.push((name.to_vec(), value)),
            }
        }
    }
    let of = |wanted: &[u8]| {
        sums.iter().find(|(name, _)| name == wanted).and_then(|sum| sum.1).unwrap_or(0)
    };
    let divide = |part: i64, whole: i64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let ratio = |part: &[u8], whole: &[u8]| divide(of(part), of(whole));
    let mut output = Output::default();
    let mut reply = Reply::new(&mut output, proto);
    reply.map(sums.len());
    for (name, sum) in &sums {
        reply.bulk(name);
        match (name.as_slice(), sum) {
            (b"keys.bytes-per-key", _) => {
                reply.int(of(b"total.allocated").checked_div(of(b"keys.count")).unwrap_or(0));
            }
            (b"dataset.percentage", _) => {
                let filled = of(b"total.allocated") - of(b"startup.allocated");
                reply.double(100.0 * divide(of(b"dataset.bytes"), filled));
            }
            (b"peak.percentage", _) => {
                reply.double(100.0 * ratio(b"total.allocated", b"peak.allocated"));
            }
            (b"fragmentation", _) => reply.double(ratio(b"rss.bytes", b"total.allocated")),
            (_, sum) => reply.int((*sum)?),
        }
    }
    out.extend_from_slice(&output.take());
    Some(())
}

/// A step of SCAN: the cursor names the member it goes on at.
pub(super) fn cursor(
    number: u16,
    next: Option<u16>,
    replies: &[Bytes],
    out: &mut BytesMut,
) -> Option<()> {
    let reply = replies.first()?;
    let found = elements(reply)?;
    let [cursor, keys] = found.as_slice() else { return None };
    let inner: u64 = std::str::from_utf8(text(&reply[cursor.clone()])?).ok()?.parse().ok()?;
    let next = match inner {
        0 => next.unwrap_or(0).into(),
        inner => inner.checked_mul(NODES_MAX as u64)?.checked_add(number.into())?,
    };
    header(out, b'*', 2);
    bulk(out, next.to_string().as_bytes());
    out.extend_from_slice(&reply[keys.clone()]);
    Some(())
}

/// SLOWLOG GET: the newest `count` entries of all nodes, each client's name followed by its node, with numbers that are
/// unique.
pub(super) fn slowlog(
    count: usize,
    nodes: &[String],
    replies: &[Bytes],
    out: &mut BytesMut,
) -> Option<()> {
    let mut entries = Vec::new();
    for (node, reply) in replies.iter().enumerate() {
        for range in elements(reply)? {
            let entry = &reply[range];
            let [id, time, us, args, addr, name] = &elements(entry)?[..] else { return None };
            let [id, time, us] = [id, time, us].map(|range| int(&entry[range.clone()]));
            let (args, addr) = (&entry[args.clone()], &entry[addr.clone()]);
            entries.push((time?, id?, node, us?, args, addr, text(&entry[name.clone()])?));
        }
    }
    entries.sort_by_key(|&(time, id, node, ..)| std::cmp::Reverse((time, id, node)));
    entries.truncate(count);
    header(out, b'*', entries.len() as i64);
    for (time, id, node, us, args, addr, name) in entries {
        header(out, b'*', 6);
        header(out, b':', id.checked_mul(nodes.len() as i64)?.checked_add(node as i64)?);
        header(out, b':', time);
        header(out, b':', us);
        out.extend_from_slice(args);
        out.extend_from_slice(addr);
        bulk(out, &[name, b"@", nodes.get(node)?.as_bytes()].concat());
    }
    Some(())
}

/// CONFIG GET: own parameters; of the nodes' ones the value they have in common, else `mixed`; and the nodes that
/// are down, if any.
pub(super) fn config(
    own: &[u8],
    down: &[String],
    replies: &[Bytes],
    proto: Proto,
    out: &mut BytesMut,
) -> Option<()> {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut read = |reply: &[u8], of_nodes: bool| {
        for pair in elements(reply)?.chunks_exact(2) {
            let (name, value) = (text(&reply[pair[0].clone()])?, text(&reply[pair[1].clone()])?);
            let is_nodes = |param: &crate::config::Param| {
                param.scope == Scope::Node && param.name.as_bytes() == name
            };
            if of_nodes != PARAMS.iter().any(is_nodes) {
                continue;
            }
            match pairs.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) if known == value => {}
                Some((_, known)) => *known = b"mixed".to_vec(),
                None => pairs.push((name.to_vec(), value.to_vec())),
            }
        }
        Some(())
    };
    read(own, false)?;
    for reply in replies {
        // A node that cannot answer counts as one that was not asked.
        if reply.first() != Some(&b'-') {
            read(reply, true)?;
        }
    }
    if !down.is_empty() {
        pairs.push((b"nodes-down".to_vec(), down.join(" ").into_bytes()));
    }
    map(out, proto, pairs.len());
    for (name, value) in &pairs {
        bulk(out, name);
        bulk(out, value);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rule: Merge, keys: &[Vec<u32>], replies: &[&'static str]) -> Option<String> {
        let replies: Vec<Bytes> =
            replies.iter().map(|reply| Bytes::from_static(reply.as_bytes())).collect();
        let mut out = BytesMut::new();
        let total = keys.iter().map(Vec::len).sum();
        merge(rule, total, keys, &replies, Proto::Resp2, &mut out)?;
        Some(String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn replies_stand_in_the_order_of_the_keys() {
        let keys = [vec![1, 3], vec![0], vec![2]];
        let replies = ["*2\r\n$1\r\nb\r\n$-1\r\n", "*1\r\n$1\r\na\r\n", "*1\r\n$4\r\nc\r\nc\r\n"];
        let merged = run(Merge::ByKey, &keys, &replies).unwrap();
        assert_eq!(merged, "*4\r\n$1\r\na\r\n$1\r\nb\r\n$4\r\nc\r\nc\r\n$-1\r\n");
        assert_eq!(run(Merge::ByKey, &keys, &["*1\r\n$1\r\nb\r\n", "*0\r\n", "*0\r\n"]), None);
    }

    #[test]
    fn sums_and_lists() {
        assert_eq!(run(Merge::Sum, &[], &[":1\r\n", ":0\r\n", ":41\r\n"]).unwrap(), ":42\r\n");
        assert_eq!(run(Merge::Sum, &[], &["+x\r\n"]), None);
        let lists = ["*1\r\n$1\r\na\r\n", "*0\r\n", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"];
        assert_eq!(
            run(Merge::Concat, &[], &lists).unwrap(),
            "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"
        );
        let maps = ["*2\r\n$1\r\na\r\n:1\r\n", "*2\r\n$1\r\na\r\n:2\r\n"];
        assert_eq!(run(Merge::Fields, &[], &maps).unwrap(), "*2\r\n$1\r\na\r\n:3\r\n");
    }

    #[test]
    fn random_keys_come_from_nodes_that_have_some() {
        let replies = ["$-1\r\n", "$1\r\nk\r\n", ":0\r\n", ":5\r\n"];
        for _ in 0..20 {
            assert_eq!(run(Merge::RandomKey, &[], &replies).unwrap(), "$1\r\nk\r\n");
        }
        assert_eq!(run(Merge::RandomKey, &[], &["$-1\r\n", ":0\r\n"]).unwrap(), "$-1\r\n");
    }

    #[test]
    fn a_walk_visits_one_node_after_another() {
        let step = |number, next, reply: &'static str| {
            let mut out = BytesMut::new();
            cursor(number, next, &[Bytes::from_static(reply.as_bytes())], &mut out).unwrap();
            String::from_utf8(out.to_vec()).unwrap()
        };
        let inner = "*2\r\n$1\r\n7\r\n*0\r\n";
        let end = "*2\r\n$1\r\n0\r\n*0\r\n";
        assert_eq!(step(2, Some(5), inner), "*2\r\n$4\r\n7002\r\n*0\r\n");
        assert_eq!(step(2, Some(5), end), "*2\r\n$1\r\n5\r\n*0\r\n");
        assert_eq!(step(5, None, end), "*2\r\n$1\r\n0\r\n*0\r\n");
        // Clients that count in doubles understand the greatest cursor of a node too.
        assert!((16u64 << 32) * (NODES_MAX as u64) < 1 << 53);
    }

    #[test]
    fn slow_commands_of_all_nodes_by_time() {
        let entry = |id: u64, time: u64| {
            format!("*6\r\n:{id}\r\n:{time}\r\n:9\r\n*1\r\n$3\r\nGET\r\n$1\r\na\r\n$1\r\nc\r\n")
        };
        let node =
            |entries: &[String]| Bytes::from(format!("*{}\r\n{}", entries.len(), entries.concat()));
        let nodes = ["x:1".to_owned(), "y:1".to_owned()];
        let replies = [node(&[entry(5, 30), entry(4, 10)]), node(&[entry(7, 20)])];
        let run = |count| {
            let mut out = BytesMut::new();
            slowlog(count, &nodes, &replies, &mut out).unwrap();
            String::from_utf8(out.to_vec()).unwrap()
        };
        let all = run(usize::MAX);
        let times: Vec<_> = ["*3\r\n", ":10\r\n:30", ":15\r\n:20", ":8\r\n:10"]
            .iter()
            .map(|part| all.find(part).unwrap())
            .collect();
        assert!(times.is_sorted(), "{all}");
        assert!(all.contains("$5\r\nc@x:1\r\n") && all.contains("$5\r\nc@y:1\r\n"), "{all}");
        let two = run(2);
        assert!(two.starts_with("*2\r\n") && !two.contains(":8\r\n"), "{two}");
    }

    #[test]
    fn parameters_of_nodes_are_given_where_they_agree() {
        let node = |limit: &str| {
            Bytes::from(format!(
                "*4\r\n$9\r\nmaxmemory\r\n${}\r\n{limit}\r\n$7\r\ntimeout\r\n$1\r\n9\r\n",
                limit.len()
            ))
        };
        let own = b"*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n";
        let run = |replies: &[Bytes], down: &[String]| {
            let mut out = BytesMut::new();
            config(own, down, replies, Proto::Resp3, &mut out).unwrap();
            String::from_utf8(out.to_vec()).unwrap()
        };
        let same = run(&[node("10"), node("10")], &[]);
        assert_eq!(same, "%2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n$9\r\nmaxmemory\r\n$2\r\n10\r\n");
        assert!(run(&[node("10"), node("11")], &[]).contains("$5\r\nmixed\r\n"));
        assert!(
            run(&[node("10")], &["a:1".into()]).ends_with("$10\r\nnodes-down\r\n$3\r\na:1\r\n")
        );
    }
}
