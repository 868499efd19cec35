//! What becomes of requests while slots move.

use super::bench::{Bench, Client, PATIENCE};
use crate::cluster::slot_of;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const DOWN: &str = "-CLUSTERDOWN Hash slot not served";
const SOON: Duration = Duration::from_millis(30);

fn replies(client: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|_| client.reply()).collect()
}

#[test]
fn nothing_is_served_before_there_is_a_table() {
    let mut bench = Bench::start(1, 1);
    let mut client = bench.client();
    for line in ["GET k", "MGET a b", "DBSIZE", "SCAN 0", "FLUSHALL", "CONFIG SET maxmemory 1mb"] {
        assert_eq!(client.ask(line), DOWN, "{line}");
    }
    assert_eq!(client.ask("PING"), "+PONG");
    assert!(client.ask("INFO nodes").contains("# Nodes"));
    // A table without members is no better; the first member makes the rest wait.
    bench.publish(&[]);
    assert_eq!(client.ask("GET k"), DOWN);
    let (id, address) = (super::bench::id(0), bench.fakes[0].addr.clone());
    bench.table.admit(crate::cluster::Member { id, address, capacity: 1 });
    bench.publish(&[]);
    bench.fakes[0].link(0);
    client.send(&["GET k"]);
    assert_eq!(client.reply_within(SOON), None);
    bench.publish(&[(0..16384, Some(0))]);
    assert_eq!(client.reply(), "$-1");
    assert_eq!(client.ask("DBSIZE"), ":1");
}

#[test]
fn requests_wait_for_an_owner_and_go_in_order() {
    let mut bench = Bench::with_members(2, 1);
    let (mut client, mut other) = (bench.client(), bench.client());
    assert_eq!(client.ask("SET other old"), "+OK");
    bench.give("k", None);
    bench.settle();
    let lines = ["SET k 1", "GET k", "MGET k other", "SET other new", "GET k", "SET free 1"];
    client.send(&lines);
    assert_eq!(client.reply_within(SOON), None);
    // Nobody else is kept up, and who needs no slot that others wait for neither.
    assert_eq!(other.ask("GET free"), "$1 1");
    bench.give("k", Some(1));
    let want = ["+OK", "$1 1", "*2 $1 1 $3 old", "+OK", "$1 1", "+OK"];
    assert_eq!(replies(&mut client, 6), want);
    assert_eq!(client.ask("GET other"), "$3 new");
    let link = bench.fakes[1].link(0);
    assert!(link.place_of("SET k 1") < link.place_of("GET k"));
    // Many wait for one another through several keys, and a table that brings nothing new moves none of them.
    bench.give("k", None);
    bench.settle();
    client.send(&["MSET k 2 a 1", "MSET a 2 b 1", "MSET b 2 c 1", "SET c 2", "MGET k a b c"]);
    bench.publish(&[]);
    assert_eq!(client.reply_within(SOON), None);
    bench.give("k", Some(0));
    assert_eq!(replies(&mut client, 4), ["+OK"; 4]);
    assert!(client.reply().starts_with("*4 $"));
}

#[test]
fn waiting_ends() {
    let mut bench = Bench::with_members(2, 1);
    bench.give("k", None);
    bench.settle();
    let mut client = bench.client();
    let began = Instant::now();
    client.send(&["GET k", "MGET k other", "SET other 1", "MULTI", "SET k 1", "EXEC"]);
    let want = [DOWN, DOWN, "+OK", "+OK", "+QUEUED", DOWN];
    assert_eq!(replies(&mut client, 6), want);
    let took = began.elapsed();
    assert!((PATIENCE..PATIENCE * 2).contains(&took), "{took:?}");
    assert!(!bench.fakes[0].link(0).log().contains(&"GET k".to_owned()));
    // Nothing is held any more.
    assert_eq!(client.ask("GET other"), "$1 1");
    // A later one waits as long, and one that has gone hurts nobody.
    let mut gone = bench.client();
    gone.send(&["SET k gone", "SET k gone2"]);
    std::thread::sleep(SOON);
    drop(gone);
    client.send(&["GET k"]);
    assert_eq!(client.reply_within(SOON), None);
    bench.give("k", Some(1));
    let reply = client.reply();
    assert!(reply == "$5 gone2" || reply == "$-1", "{reply}");
}

#[test]
fn transactions_wait_as_a_whole() {
    let mut bench = Bench::with_members(2, 1);
    bench.give("k", None);
    bench.settle();
    let mut client = bench.client();
    let lines = ["MULTI", "SET other 1", "SELECT 3", "SET k 2", "PING", "MGET other k", "EXEC"];
    client.send(&lines);
    // Behind it, and in the database that it selected.
    client.send(&["GET other", "SET free x"]);
    assert_eq!(client.reply(), "+OK");
    assert_eq!(replies(&mut client, 5), ["+QUEUED"; 5]);
    assert_eq!(client.reply_within(SOON), None);
    let link = bench.fakes[0].link(0);
    link.place_of("SET free x");
    assert!(!link.log().iter().any(|line| line.contains("other")));
    bench.give("k", Some(1));
    assert_eq!(client.reply(), "*5 +OK +OK +OK +PONG *2 $1 1 $1 2");
    assert_eq!(replies(&mut client, 2), ["$1 1", "+OK"]);
    let log = link.log();
    let exec = link.place_of("EXEC");
    assert_eq!(log[exec - 4..exec], ["MULTI", "SET other 1", "SELECT 3", "MGET other"]);
    assert!(exec < link.place_of("GET other"));
    let sent = bench.fakes[1].link(0).log();
    let exec = sent.iter().position(|line| line == "EXEC").unwrap();
    assert_eq!(sent[exec - 4..exec], ["SELECT 3", "MULTI", "SET k 2", "MGET k"]);
}

#[test]
fn walks_go_on_when_members_come_and_go() {
    let mut bench = Bench::with_members(3, 1);
    let mut client = bench.client();
    let step = |client: &mut Client, cursor: &str| {
        let reply = client.ask(&format!("SCAN {cursor}"));
        let words: Vec<_> = reply.split(' ').collect();
        (words[2].to_owned(), words[5].to_owned())
    };
    assert_eq!(step(&mut client, "0"), ("7000".into(), "of-0-at-0".into()));
    assert_eq!(step(&mut client, "7000"), ("1".into(), "of-0-at-7".into()));
    assert_eq!(step(&mut client, "1"), ("7001".into(), "of-1-at-0".into()));
    bench.table.members.remove(&1);
    bench.publish(&[]);
    super::fake::wait_for("two nodes", || client.ask("DBSIZE") == ":2");
    assert_eq!(step(&mut client, "7001"), ("7002".into(), "of-2-at-0".into()));
    assert_eq!(step(&mut client, "7002"), ("0".into(), "of-2-at-7".into()));
    assert_eq!(client.ask("SCAN 7005"), "*2 $1 0 *0");
}

/// Slots go to and fro as in a cluster: nobody serves one before its owner has given it up, for which that waits until
/// all links have announced that they know. Then no request comes to the wrong node, and each client sees its own writes.
#[test]
fn nothing_is_lost_or_reordered_while_tables_change() {
    const CLIENTS: usize = 6;
    const FLIPS: usize = 400;
    let mut bench = Bench::with_members(3, 2);
    // On a busy machine what has to wait for both halves may do so for many tables.
    bench.allow(Duration::from_secs(60));
    // Halves of the slots move, so that MGET has keys of both.
    let halves = [0..8192u16, 8192..16384];
    let mut owner = [0u16, 0];
    let all = |owner: [u16; 2]| {
        (0..16384u16).map(move |slot| (slot, owner[usize::from(slot >= 8192)].into()))
    };
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| bench.client()).collect();
    clients.iter_mut().skip(CLIENTS / 2).for_each(|client| drop(client.ask("HELLO 3")));
    // A link that is not up yet is not known to its node, which does not wait for it: what it carries may be refused.
    for owner in [2, 1, 0] {
        bench.publish(&[(0..16384, Some(owner))]);
        bench.fakes[usize::from(owner)].all_links_at(bench.epoch());
        for (number, client) in clients.iter_mut().enumerate() {
            talk(client, number, 0);
        }
    }
    bench.world.owners.lock().unwrap().extend(all(owner));
    let over = AtomicBool::new(false);
    let rounds: u64 = std::thread::scope(|scope| {
        let over = &over;
        let talking = |(number, mut client): (usize, Client)| {
            scope.spawn(move || {
                let mut round = 0u64;
                while !over.load(SeqCst) {
                    round += 1;
                    talk(&mut client, number, round);
                }
                round
            })
        };
        let threads: Vec<_> = clients.into_iter().enumerate().map(talking).collect();
        for flip in 0..FLIPS {
            let half = flip % 2;
            let next = (owner[half] + 1 + (flip / 2 % 2) as u16) % 3;
            bench.publish(&[(halves[half].clone(), None)]);
            bench.fakes[usize::from(owner[half])].all_links_at(bench.epoch());
            owner[half] = next;
            bench.world.owners.lock().unwrap().extend(all(owner));
            bench.publish(&[(halves[half].clone(), Some(next))]);
            // Every other time both halves are seen to have an owner, else the next table comes at once, most often
            // before this one was seen.
            if half == 0 {
                bench.settle();
            }
        }
        over.store(true, SeqCst);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(*bench.world.strays.lock().unwrap(), Vec::<String>::new());
    assert!(rounds > 100, "{rounds}");
    assert!(!bench.fakes.iter().any(|fake| fake.has_lost_any()));
}

/// A pipeline of requests for keys of a client's own, each of which tells what was before.
fn talk(client: &mut Client, number: usize, round: u64) {
    // One in each half of the slots.
    let [a, b] = keys(number);
    let mut lines = Vec::new();
    let mut want = Vec::new();
    for step in 0..8 {
        let value = format!("{round}.{step}");
        let bulk = format!("${} {value}", value.len());
        lines.extend([format!("SET {a} {value}"), format!("GET {a}"), format!("MSET {b} {value}")]);
        want.extend(["+OK".to_owned(), bulk.clone(), "+OK".to_owned()]);
        lines.push(format!("MGET {a} {b}"));
        want.push(format!("*2 {bulk} {bulk}"));
        lines.extend([
            "MULTI".into(),
            format!("SET {b} x"),
            format!("MGET {b} {a}"),
            "EXEC".into(),
        ]);
        want.extend(["+OK", "+QUEUED", "+QUEUED"].map(str::to_owned));
        want.push(format!("*2 +OK *2 $1 x {bulk}"));
        lines.push(format!("GET {b}"));
        want.push("$1 x".to_owned());
    }
    client.send(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let got = replies(client, want.len());
    for ((line, want), got) in lines.iter().zip(&want).zip(&got) {
        assert_eq!(got, want, "{line} in {lines:?}: {got:?}");
    }
}

fn keys(number: usize) -> [String; 2] {
    let in_half = |half: bool| {
        let mut names = (0..).map(|tail| format!("{{{number}.{tail}}}"));
        names.find(|name| (slot_of(name.as_bytes()) >= 8192) == half).unwrap()
    };
    [in_half(false), in_half(true)]
}
