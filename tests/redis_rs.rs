//! redis-rs, as an application uses it, in RESP2 and RESP3.

use crate::tools::on_both;
use crate::util::Server;
use redis::{Client, Commands, Connection, ErrorKind, RedisResult, ServerErrorKind};
use std::collections::{BTreeSet, HashMap};

/// Runs a case in both protocols, on a node and on a coordinator.
fn each_way(case: fn(&Client)) {
    on_both(|server| {
        for query in ["", "?protocol=resp3"] {
            println!("with {query:?}");
            let client = open(server, query);
            let mut conn = connect(&client);
            let _: String = redis::cmd("FLUSHALL").query(&mut conn).unwrap();
            case(&client);
        }
    });
}

fn open(server: &Server, query: &str) -> Client {
    Client::open(format!("redis://{}/{query}", server.addr)).unwrap()
}

fn connect(client: &Client) -> Connection {
    client.get_connection().unwrap()
}

#[test]
fn typical_use() {
    each_way(|client| {
        let mut conn = connect(client);
        let (): () = conn.set("k", 42).unwrap();
        assert_eq!(conn.get::<_, i64>("k").unwrap(), 42);
        assert_eq!(conn.incr::<_, _, i64>("k", 8).unwrap(), 50);
        assert_eq!(conn.get::<_, Option<String>>("nosuch").unwrap(), None);
        let (): () = conn.set_ex("expiring", "x", 100).unwrap();
        assert!((1..=100).contains(&conn.ttl::<_, i64>("expiring").unwrap()));
        assert!(conn.persist::<_, bool>("expiring").unwrap());
        assert!(!conn.set_nx::<_, _, bool>("k", 1).unwrap());
        assert!(conn.exists::<_, bool>("k").unwrap());

        let pairs: Vec<(String, usize)> = (0..100).map(|n| (format!("many:{n}"), n)).collect();
        let (): () = conn.mset(&pairs).unwrap();
        let keys: Vec<&String> = pairs.iter().map(|(key, _)| key).collect();
        let found: Vec<usize> = conn.mget(&keys).unwrap();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
        assert_eq!(conn.del::<_, usize>(&keys).unwrap(), 100);

        let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        let (): () = conn.set(&binary[..300], &binary).unwrap();
        assert_eq!(conn.get::<_, Vec<u8>>(&binary[..300]).unwrap(), binary);

        let settings: HashMap<String, String> =
            redis::cmd("CONFIG").arg("GET").arg("max*").query(&mut conn).unwrap();
        assert!(settings.contains_key("maxmemory") && settings.contains_key("maxclients"));
        let info: String = redis::cmd("INFO").query(&mut conn).unwrap();
        assert!(info.contains("\r\nredis_mode:standalone\r\n"));
    });
}

#[test]
fn errors() {
    each_way(|client| {
        let mut conn = connect(client);
        let (): () = conn.set("text", "x").unwrap();
        let wrong = conn.incr::<_, _, i64>("text", 1).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Server(ServerErrorKind::ResponseError));
        assert!(wrong.to_string().contains("value is not an integer"), "{wrong}");
        let unknown: RedisResult<()> = redis::cmd("NOSUCH").query(&mut conn);
        assert!(unknown.unwrap_err().to_string().contains("unknown command"));
        // The connection lives on.
        assert_eq!(conn.get::<_, String>("text").unwrap(), "x");
    });
}

#[test]
fn pipelines() {
    each_way(|client| {
        let mut conn = connect(client);
        for atomic in [false, true] {
            let mut pipe = redis::pipe();
            if atomic {
                pipe.atomic();
            }
            for n in 0..300 {
                pipe.set(format!("key:{n}"), n).ignore().incr(format!("key:{n}"), 1);
            }
            let replies: Vec<i64> = pipe.query(&mut conn).unwrap();
            assert_eq!(replies, (1..=300).collect::<Vec<_>>(), "atomic: {atomic}");
        }
        let (a, missing, sum): (String, Option<String>, i64) = redis::pipe()
            .atomic()
            .get("key:0")
            .get("nosuch")
            .incr("sum", 5)
            .query(&mut conn)
            .unwrap();
        assert_eq!((a.as_str(), missing, sum), ("1", None, 5));
    });
}

#[test]
fn scan() {
    each_way(|client| {
        let mut conn = connect(client);
        let mut pipe = redis::pipe();
        for n in 0..2000 {
            pipe.set(format!("scan:{n}"), n).ignore();
        }
        pipe.set("other", 1).ignore();
        let (): () = pipe.query(&mut conn).unwrap();
        let all: RedisResult<BTreeSet<String>> = conn.scan().unwrap().collect();
        assert_eq!(all.unwrap().len(), 2001);
        let some: RedisResult<BTreeSet<String>> = conn.scan_match("scan:1*").unwrap().collect();
        let expected = (0..2000).map(|n| format!("scan:{n}")).filter(|k| k.starts_with("scan:1"));
        assert_eq!(some.unwrap(), expected.collect());
    });
}

#[test]
fn databases() {
    on_both(|server| {
        let mut zero = connect(&open(server, "0"));
        let mut nine = connect(&open(server, "9?protocol=resp3"));
        let (): () = zero.set("k", "zero").unwrap();
        let (): () = nine.set("k", "nine").unwrap();
        assert_eq!(zero.get::<_, String>("k").unwrap(), "zero");
        assert_eq!(nine.get::<_, String>("k").unwrap(), "nine");
    });
}

#[test]
fn eight_threads() {
    each_way(|client| {
        std::thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || {
                    let mut conn = connect(client);
                    for n in 0..300 {
                        let key = format!("thread:{thread}:{n}");
                        let (): () = conn.set(&key, &key).unwrap();
                        let (read, _): (String, i64) =
                            redis::pipe().get(&key).incr("all", 1).query(&mut conn).unwrap();
                        assert_eq!(read, key);
                    }
                });
            }
        });
        assert_eq!(connect(client).get::<_, i64>("all").unwrap(), 8 * 300);
    });
}
