//! Replies of both protocols, and bytes that are none.

use super::*;

fn decode(bytes: &[u8]) -> Reply {
    take(&mut BytesMut::from(bytes)).unwrap().unwrap()
}

fn bulk(text: &'static str) -> Reply {
    Reply::Bulk(Bytes::from_static(text.as_bytes()))
}

#[test]
fn resp2() {
    assert_eq!(decode(b"+OK\r\n"), Reply::Status("OK".into()));
    assert_eq!(decode(b"-ERR no\r\n"), Reply::Error("ERR no".into()));
    assert_eq!(decode(b":-5\r\n"), Reply::Integer(-5));
    assert_eq!(decode(b"$-1\r\n"), Reply::Nil);
    assert_eq!(decode(b"*-1\r\n"), Reply::Nil);
    assert_eq!(
        decode(b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n"),
        Reply::Array(vec![bulk("a"), Reply::Array(vec![Reply::Integer(1)])])
    );
}

#[test]
fn resp3_keeps_the_order_of_maps_and_sets() {
    let keys = ["zeta", "alpha", "mid", "beta", "omega"];
    let mut wire = b"%5\r\n".to_vec();
    for key in keys {
        wire.extend(format!("${}\r\n{key}\r\n:1\r\n", key.len()).bytes());
    }
    let expected = keys.map(|key| (bulk(key), Reply::Integer(1))).to_vec();
    assert_eq!(decode(&wire), Reply::Map(expected), "known by its first byte");
    assert_eq!(decode(b"~2\r\n+z\r\n+a\r\n"), {
        Reply::Set(vec![Reply::Status("z".into()), Reply::Status("a".into())])
    });
    let numbers = (1..=3).map(Reply::Integer).collect();
    assert_eq!(decode(b"~3\r\n:1\r\n:2\r\n:3\r\n"), Reply::Set(numbers));
}

#[test]
fn resp3_that_only_redis_itself_understands() {
    let map = Reply::Map(vec![(Reply::Status("a".into()), Reply::Nil)]);
    assert_eq!(decode(b"~1\r\n%1\r\n+a\r\n_\r\n"), Reply::Set(vec![map]));
    assert_eq!(decode(b"|1\r\n+ttl\r\n:9\r\n:5\r\n"), Reply::Integer(5));
    assert_eq!(decode(b"%1\r\n*0\r\n$-1\r\n"), {
        Reply::Map(vec![(Reply::Array(vec![]), Reply::Nil)])
    });
}

#[test]
fn resp3_scalars() {
    assert_eq!(decode(b"_\r\n"), Reply::Nil);
    assert_eq!(decode(b"#t\r\n"), Reply::Boolean(true));
    assert_eq!(decode(b",1.5\r\n"), Reply::Double("1.5".into()));
    assert_eq!(decode(b"=6\r\ntxt:hi\r\n"), Reply::Verbatim("hi".into()));
    assert_eq!(decode(b"(123456789012345678901\r\n"), {
        Reply::BigNumber("123456789012345678901".into())
    });
    assert_eq!(decode(b">1\r\n+x\r\n"), Reply::Push(vec![Reply::Status("x".into())]));
}

#[test]
fn waits_for_the_whole_reply_and_keeps_the_rest() {
    let wire = b"*2\r\n$3\r\na\r\n\r\n:1\r\n";
    for length in 0..wire.len() {
        let mut buffer = BytesMut::from(&wire[..length]);
        assert_eq!(take(&mut buffer).unwrap(), None, "{length} bytes");
        assert_eq!(buffer.len(), length);
    }
    let mut buffer = BytesMut::from(&b"+A\r\n+B\r\n"[..]);
    assert_eq!(take(&mut buffer).unwrap(), Some(Reply::Status("A".into())));
    assert_eq!(take(&mut buffer).unwrap(), Some(Reply::Status("B".into())));
    assert_eq!(take(&mut buffer).unwrap(), None);
}

#[test]
fn garbage_is_an_error() {
    let error = take(&mut BytesMut::from(&b"HTTP/1.1 200 OK\r\n"[..])).unwrap_err();
    assert!(error.to_string().contains("does not speak the Redis protocol"), "{error}");
}
