//! Large values: where they lie, and what they are charged.

use super::Peer;
use crate::resp::ArgsBuf;
use crate::store::{Access, Value, allocated};
use bytes::BytesMut;
use std::io::Write;

/// More than is read at once.
const LARGE: usize = 200_000;

fn encode(args: &[&[u8]]) -> BytesMut {
    let mut out = BytesMut::new();
    ArgsBuf::build(args).args().encode_into(&mut out);
    out
}

/// Takes the value of `k` out of a node's store, with what else lies in its memory.
fn memory_of(peer: &Peer) -> Vec<u8> {
    let store = peer.running.as_ref().unwrap().server.store.clone().unwrap();
    let mut keyspace = store.lock_all(0, 0);
    let Value::Str(value) = keyspace.view(b"k", Access::Peek).unwrap().value;
    let value = value.to_bytes();
    keyspace.remove(b"k");
    value.into()
}

#[test]
fn large_values_stay_where_they_were_read() {
    let node = Peer::alone();
    let mut conn = node.conn();
    let (fits, full) = (vec![b'v'; LARGE], vec![b'v'; 1 << 20]);
    for (line, value, reply) in [
        (&[&b"SET"[..], b"k", &fits][..], &fits, "+OK"),
        (&[b"SET", b"k", &fits, b"NX", b"PX", b"1000000"], &fits, "+OK"),
        (&[b"SETNX", b"k", &fits], &fits, ":1"),
        (&[b"SETEX", b"k", b"1000", &fits], &fits, "+OK"),
        (&[b"PSETEX", b"k", b"1000000", &fits], &fits, "+OK"),
        (&[b"GETSET", b"k", &fits], &fits, "$-1"),
        (&[b"MSET", b"k", &fits], &fits, "+OK"),
        // With the rest of the request it would take a larger block.
        (&[b"SET", b"k", &full], &full, "+OK"),
    ] {
        let request = encode(line);
        conn.0.write_all(&request).unwrap();
        assert_eq!(conn.line().unwrap(), reply);
        let memory = memory_of(&node);
        assert!(memory == *value, "{:?}", String::from_utf8_lossy(line[0]));
        if value.len() == LARGE {
            assert!(memory.capacity() > request.len(), "a copy: {}", memory.capacity());
        }
        assert_eq!(allocated(memory.capacity()), allocated(value.len()));
    }
}

#[test]
fn large_values_are_charged_what_they_take() {
    let node = Peer::alone();
    let mut conn = node.conn();
    let request = encode(&[b"SET", b"k", &[b'v'; LARGE]]);
    let lengths = [LARGE + 10, LARGE * 3 / 2, 1 << 19, 1 << 20];
    for (len, moves) in lengths.into_iter().flat_map(|len| [(len, false), (len, true)]) {
        conn.0.write_all(&request).unwrap();
        assert_eq!(conn.line().unwrap(), "+OK");
        assert_eq!(conn.cmd(&format!("SETRANGE k {} x", len - 1)), format!(":{len}"));
        if moves {
            conn.expect(&[("RENAME k {k}", "+OK"), ("RENAME {k} k", "+OK")]);
        }
        let charged: usize = conn.cmd("MEMORY USAGE k")[1..].parse().unwrap();
        let takes = allocated(memory_of(&node).capacity());
        assert!((takes..takes + 1000).contains(&charged), "{len} {moves}: {charged} for {takes}");
    }
}
