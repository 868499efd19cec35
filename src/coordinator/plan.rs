//! Plans a request: which nodes it goes to, in which form, and how their replies become one. Pure: a row, arguments
//! and a slot table in, a plan out.

use super::gather::Join;
use crate::cluster::{NODES_MAX, SlotTable, slot_of};
use crate::command::{Found, Merge, slowlog_wanted};
use crate::config::{self, PARAMS, Scope};
use crate::resp::{Args, ArgsBuf, Error};
use crate::stats::report::Form;
use bytes::{Bytes, BytesMut};

/// What goes to one node.
pub(super) struct Part {
    /// The node's number.
    pub(super) node: usize,
    /// The database it is about.
    pub(super) db: u8,
    /// The request, encoded.
    pub(super) request: BytesMut,
    /// Which of the request's keys it holds, counted from 0.
    pub(super) keys: Vec<u32>,
    /// Replies that come before the one that counts.
    pub(super) preamble: usize,
    /// Whether it may leave the link in another database.
    pub(super) moves_db: bool,
}

impl Part {
    pub(super) fn new(node: usize, db: u8, request: BytesMut) -> Self {
        Part { node, db, request, keys: Vec::new(), preamble: 0, moves_db: false }
    }

    /// The request as it is.
    pub(super) fn whole(node: usize, db: u8, args: Args<'_>) -> Self {
        let mut request = BytesMut::new();
        args.encode_into(&mut request);
        Part::new(node, db, request)
    }
}

/// How a request is executed.
pub(super) enum Planned {
    /// It is: this is its reply.
    Here(Bytes),
    /// By nodes.
    Parts(Vec<Part>, Join),
}

/// Why a request does not go to nodes.
#[derive(PartialEq, Debug)]
pub(super) enum Stop {
    /// Not yet: nobody may serve one of its slots just now, or others that came before wait for one.
    Wait,
    /// It cannot.
    Fail(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Fail(error)
    }
}

/// The slot of a request whose keys must lie in one.
pub(super) fn one_slot(found: Found, args: Args<'_>) -> Result<u16, Error> {
    check_groups(found, args)?;
    let mut positions = found.row.keys.positions(args.len());
    let slot = positions.next().map_or(0, |at| slot_of(args.at(at)));
    for at in positions {
        if slot_of(args.at(at)) != slot {
            return Err(Error::CROSS_SLOT);
        }
    }
    Ok(slot)
}

/// Whether each key has all that belongs to it, as in MSET.
fn check_groups(found: Found, args: Args<'_>) -> Result<(), Error> {
    let keys = found.row.keys;
    let step = usize::from(keys.step.unsigned_abs()).max(1);
    if keys.last == -1 && !(args.len() - keys.first as usize).is_multiple_of(step) {
        return Err(Error::arity(found.full_name));
    }
    Ok(())
}

/// Splits a request by key over so many nodes; `place` says which one a slot is at.
pub(super) fn split(
    nodes: usize,
    place: impl Fn(u16) -> Result<usize, Stop>,
    db: u8,
    found: Found,
    args: Args<'_>,
    merge: Merge,
) -> Result<Planned, Stop> {
    let keys = found.row.keys;
    let step = usize::from(keys.step.unsigned_abs());
    check_groups(found, args)?;
    let mut by_node: Vec<Vec<u32>> = vec![Vec::new(); nodes];
    for (ordinal, at) in keys.positions(args.len()).enumerate() {
        by_node[place(slot_of(args.at(at)))?].push(ordinal as u32);
    }
    let mut owners = by_node.iter().enumerate().filter(|(_, keys)| !keys.is_empty());
    if let (Some((node, _)), None) = (owners.next(), owners.next()) {
        return Ok(Planned::Parts(vec![Part::whole(node, db, args)], Join::Whole));
    }
    let total = by_node.iter().map(Vec::len).sum();
    let parts = by_node.into_iter().enumerate().filter(|(_, keys)| !keys.is_empty());
    let parts = parts.map(|(node, ordinals)| {
        let mut words = Vec::with_capacity(1 + ordinals.len() * step);
        words.push(args.at(0));
        for &ordinal in &ordinals {
            let first = keys.first as usize + ordinal as usize * step;
            words.extend((first..first + step).map(|at| args.at(at)));
        }
        let mut request = BytesMut::new();
        crate::resp::encode(&mut request, words.into_iter());
        Part { keys: ordinals, ..Part::new(node, db, request) }
    });
    Ok(Planned::Parts(parts.collect(), Join::Merge { merge, keys: total }))
}

/// Sends a request to every node.
pub(super) fn all_nodes(
    table: &SlotTable,
    db: u8,
    args: Args<'_>,
    merge: Merge,
) -> Result<Planned, Error> {
    let nodes = table.nodes().len();
    let mut parts: Vec<Part> = (0..nodes).map(|node| Part::whole(node, db, args)).collect();
    if merge == Merge::RandomKey {
        // Their sizes come with it, so that each key of the cluster is as likely as every other.
        let dbsize = ArgsBuf::build(&[b"DBSIZE"]);
        parts.extend((0..nodes).map(|node| Part::whole(node, db, dbsize.args())));
    }
    let join = match merge {
        Merge::Slowlog => {
            Join::Slowlog { count: slowlog_wanted(args)?, nodes: table.nodes().to_vec() }
        }
        Merge::Texts => Join::Texts { nodes: table.nodes().to_vec() },
        merge => Join::Merge { merge, keys: 0 },
    };
    Ok(Planned::Parts(parts, join))
}

/// One step of a walk over all nodes: the cursor is the node's cursor times [`NODES_MAX`], plus the node's number as a
/// member. If that is no member any more, the walk goes on with the next one.
pub(super) fn cursor(table: &SlotTable, db: u8, args: Args<'_>) -> Result<Planned, Error> {
    let text = std::str::from_utf8(args.at(1)).ok();
    let cursor: u64 =
        text.and_then(|text| text.parse().ok()).ok_or(Error::new("ERR invalid cursor"))?;
    let (wanted, inner) = (cursor % NODES_MAX as u64, cursor / NODES_MAX as u64);
    let numbers = (0..table.nodes().len()).map(|place| (place, table.node(place).number));
    let mut rest = numbers.skip_while(|&(_, number)| u64::from(number) < wanted);
    let Some((node, number)) = rest.next() else {
        return Ok(Planned::Here(Bytes::from_static(b"*2\r\n$1\r\n0\r\n*0\r\n")));
    };
    let inner = if u64::from(number) == wanted { inner } else { 0 }.to_string();
    let mut words: Vec<&[u8]> = args.from(0).collect();
    words[1] = inner.as_bytes();
    let part = Part::whole(node, db, ArgsBuf::build(&words).args());
    let next = rest.next().map(|(_, number)| number);
    Ok(Planned::Parts(vec![part], Join::Cursor { number, next }))
}

/// Whether a request that is executed here and on nodes fails when one of those is down.
pub(super) fn needs_all(merge: Merge, args: Args<'_>) -> bool {
    match merge {
        Merge::Info | Merge::ConfigGet | Merge::Report => false,
        Merge::ConfigSet => args.from(2).step_by(2).any(is_of_nodes),
        _ => true,
    }
}

fn is_of_nodes(name: &[u8]) -> bool {
    config::find(name).is_some_and(|param| param.scope == Scope::Node)
}

/// Sends a request to the nodes that are up, after it was executed here with the reply `own`. A node that is none of
/// Larder's is only asked what it understands.
pub(super) fn local_and_nodes(
    table: &SlotTable,
    up: Vec<usize>,
    is_larder: impl Fn(usize) -> bool,
    db: u8,
    args: Args<'_>,
    merge: Merge,
    own: Bytes,
) -> Result<Planned, Error> {
    let nodes = table.nodes();
    let down = (0..nodes.len()).filter(|node| !up.contains(node));
    let down: Vec<String> = down.map(|node| nodes[node].clone()).collect();
    let every = (0..nodes.len()).collect();
    let to = |nodes: Vec<usize>, request: Args<'_>| {
        nodes.into_iter().map(|node| Part::whole(node, db, request)).collect()
    };
    Ok(match merge {
        Merge::Info => {
            let sections = crate::stats::info::wanted(args.from(1));
            if !sections.iter().any(|section| super::info::SECTIONS_OF_NODES.contains(section)) {
                return Ok(Planned::Here(own));
            }
            let request = ArgsBuf::build(&[b"INFO", b"default"]);
            let addrs = up.iter().map(|&node| nodes[node].clone()).collect();
            let all = nodes.to_vec();
            Planned::Parts(to(up, request.args()), Join::Info { own, sections, addrs, all })
        }
        Merge::Report => {
            let form = Form::parse(args, 2)?;
            let mut words: Vec<&[u8]> = vec![b"LARDER", b"STATS", b"JSON"];
            words.extend(form.of_nodes().into_iter().map(str::as_bytes));
            let request = ArgsBuf::build(&words);
            let sign_of_life = ArgsBuf::build(&[b"PING"]);
            let addrs = up.iter().map(|&node| nodes[node].clone()).collect();
            let all = nodes.to_vec();
            let parts = up.into_iter().map(|node| {
                let request = if is_larder(node) { &request } else { &sign_of_life };
                Part::whole(node, db, request.args())
            });
            Planned::Parts(parts.collect(), Join::Report { own, form, addrs, all })
        }
        Merge::ConfigGet => {
            let lower: Vec<Vec<u8>> = args.from(2).map(<[u8]>::to_ascii_lowercase).collect();
            let asked = |name: &str| {
                lower.iter().any(|pattern| crate::command::glob_matches(pattern, name.as_bytes()))
            };
            let of_nodes =
                PARAMS.iter().any(|param| param.scope == Scope::Node && asked(param.name));
            if !of_nodes && !asked("nodes-down") {
                return Ok(Planned::Here(own));
            }
            // Without a node there is nobody to ask, but still something to say.
            Planned::Parts(to(up, args), Join::Config { own, down })
        }
        Merge::ConfigSet => {
            let mut words: Vec<&[u8]> = vec![args.at(0), args.at(1)];
            for at in (2..args.len()).step_by(2) {
                if is_of_nodes(args.at(at)) {
                    words.extend([args.at(at), args.at(at + 1)]);
                }
            }
            if words.len() == 2 {
                return Ok(Planned::Here(own));
            }
            let request = ArgsBuf::build(&words);
            let join = Join::Merge { merge: Merge::AllOk, keys: 0 };
            Planned::Parts(to(every, request.args()), join)
        }
        _ => Planned::Parts(to(every, args), Join::Merge { merge, keys: 0 }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Member, NodeId, Owner, Route, Table};
    use crate::command::lookup;

    fn table() -> SlotTable {
        SlotTable::even(vec!["a:1".into(), "b:1".into(), "c:1".into()]).unwrap()
    }

    fn place(slot: u16) -> Result<usize, Stop> {
        match table().owner(slot) {
            Owner::Node(place) => Ok(place),
            _ => Err(Stop::Wait),
        }
    }

    fn request(line: &str) -> ArgsBuf {
        ArgsBuf::build(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn splits_by_key_and_remembers_their_order() {
        // Slots 12182, 5061 and 15495: nodes 2, 0 and 2.
        let args = request("MSET foo 1 bar 2 a 3");
        let found = lookup(args.args()).unwrap();
        let Ok(Planned::Parts(parts, Join::Merge { merge, keys })) =
            split(3, place, 3, found, args.args(), Merge::AllOk)
        else {
            panic!("not split")
        };
        assert_eq!((merge, keys, parts.len()), (Merge::AllOk, 3, 2));
        assert_eq!((parts[0].node, parts[0].keys.as_slice(), parts[0].db), (0, &[1][..], 3));
        assert_eq!(&parts[0].request[..], b"*3\r\n$4\r\nMSET\r\n$3\r\nbar\r\n$1\r\n2\r\n");
        assert_eq!((parts[1].node, parts[1].keys.as_slice()), (2, &[0, 2][..]));
        let one = request("DEL {t}a {t}b");
        let found = lookup(one.args()).unwrap();
        let planned = split(3, place, 0, found, one.args(), Merge::Sum);
        assert!(matches!(planned, Ok(Planned::Parts(parts, Join::Whole)) if parts.len() == 1));
        let odd = request("MSET a 1 b");
        let error = split(3, place, 0, lookup(odd.args()).unwrap(), odd.args(), Merge::AllOk);
        assert_eq!(error.err(), Some(Stop::Fail(Error::arity("mset"))));
        // A key whose slot is between two nodes has all wait.
        let moving = |slot| if slot == 5061 { Err(Stop::Wait) } else { place(slot) };
        let found = lookup(args.args()).unwrap();
        let waits = split(3, moving, 3, found, args.args(), Merge::AllOk);
        assert_eq!(waits.err(), Some(Stop::Wait));
    }

    #[test]
    fn one_slot_or_none() {
        let rename = request("RENAME {t}a {t}b");
        let found = lookup(rename.args()).unwrap();
        assert_eq!(one_slot(found, rename.args()), Ok(slot_of(b"t")));
        let across = request("RENAME foo bar");
        assert_eq!(one_slot(found, across.args()), Err(Error::CROSS_SLOT));
    }

    #[test]
    fn nodes_are_asked_for_the_sections_that_are_wanted() {
        let asked = |line: &str| {
            let args = request(line);
            let (merge, own) = (Merge::Report, Bytes::new());
            let is_larder = |node| node == 2;
            let planned =
                local_and_nodes(&table(), vec![0, 2], is_larder, 0, args.args(), merge, own);
            let Ok(Planned::Parts(parts, Join::Report { .. })) = planned else {
                panic!("not a report")
            };
            assert_eq!(&parts[0].request[..], b"*1\r\n$4\r\nPING\r\n");
            let request = String::from_utf8_lossy(&parts[1].request).into_owned();
            let words = request.split("\r\n").skip(2).step_by(2);
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(asked("LARDER STATS TEXT"), "LARDER STATS JSON");
        let lines = "LARDER STATS JSON server traffic cache";
        assert_eq!(asked("LARDER STATS nodes"), format!("{lines} latency"));
        assert_eq!(asked("LARDER STATS ages CACHE"), format!("{lines} latency ages"));
    }

    /// Where a walk goes on: the node's place, its cursor there, and the next member.
    fn walk(table: &SlotTable, cursor: u64) -> Option<(usize, String, Option<u16>)> {
        let args = request(&format!("SCAN {cursor} COUNT 5"));
        match super::cursor(table, 0, args.args()).unwrap() {
            Planned::Here(reply) => {
                assert_eq!(reply, "*2\r\n$1\r\n0\r\n*0\r\n");
                None
            }
            Planned::Parts(parts, Join::Cursor { next, .. }) => {
                let request = String::from_utf8(parts[0].request.to_vec()).unwrap();
                let inner = request.split("\r\n").nth(4).unwrap().to_owned();
                Some((parts[0].node, inner, next))
            }
            Planned::Parts(..) => panic!("not a cursor"),
        }
    }

    #[test]
    fn cursors_name_the_member() {
        assert_eq!(walk(&table(), 0), Some((0, "0".into(), Some(1))));
        assert_eq!(walk(&table(), 10_001), Some((1, "10".into(), Some(2))));
        assert_eq!(walk(&table(), 7_002), Some((2, "7".into(), None)));
        assert!(super::cursor(&table(), 0, request("SCAN x").args()).is_err());
        let mut members = Table::default();
        for number in 0..5u8 {
            let address = format!("h:{number}");
            members.admit(Member { id: NodeId([number; 20]), address, capacity: 1 });
        }
        members.members.retain(|number, _| number % 2 == 1);
        let members = SlotTable::of(&members, |_| false, |_| Route::Wait);
        assert_eq!(
            walk(&members, 7_000),
            Some((0, "0".into(), Some(3))),
            "0 is gone: 1 from its start"
        );
        assert_eq!(walk(&members, 7_002), Some((1, "0".into(), None)));
        assert_eq!(walk(&members, 7_003), Some((1, "7".into(), None)));
        assert_eq!(walk(&members, 7_004), None);
    }
}
