//! What becomes of links when the table changes: what they announce, and when they end.

use super::bench::{Bench, PATIENCE, id};
use super::fake::{Fake, wait_for};
use crate::cluster::{Member, Secret};
use std::sync::atomic::Ordering::SeqCst;
use std::thread::sleep;
use std::time::{Duration, Instant};

const DOWN: &str = "-CLUSTERDOWN Hash slot not served";
const SOON: Duration = Duration::from_millis(30);

#[test]
fn every_link_announces_the_table_also_when_it_is_idle() {
    let mut bench = Bench::with_members(2, 2);
    let mut client = bench.client();
    client.send(&["HELLO 3", "GET k"]);
    client.reply();
    assert_eq!(client.reply(), "$-1");
    bench.fakes[0].link(2);
    bench.fakes[1].link(1);
    for _ in 0..20 {
        let began = Instant::now();
        bench.publish(&[]);
        bench.settle();
        assert!(began.elapsed() < PATIENCE / 2);
    }
    let secret = Secret::of(b"key");
    let login = format!("AUTH larder-coordinator {}", secret.password());
    let links = bench.fakes.iter().flat_map(|fake| fake.links());
    let logs: Vec<_> = links.map(|link| link.log()).collect();
    assert_eq!(logs.len(), 5, "of two workers to two nodes, and one that speaks RESP3");
    for log in logs {
        assert!([login.clone(), format!("HELLO 3 {login}")].contains(&log[0]), "{log:?}");
        assert!(log[1].starts_with("LARDER EPOCH "), "{log:?}");
        assert_eq!(log[2..4], ["CLIENT SETNAME larder-coordinator", "PING"]);
        assert_eq!(log.iter().filter(|line| *line == "LARDER EPOCH 9").count(), 1, "{log:?}");
    }
    // One that begins later begins with the table that is in force.
    let mut third = bench.client();
    third.send(&["HELLO 3", "SET later 1"]);
    third.reply();
    assert_eq!(third.reply(), "+OK");
    let epoch = format!("LARDER EPOCH {}", bench.epoch());
    for link in bench.fakes[0].links() {
        let log = link.log();
        if let Some(set) = log.iter().position(|line| line == "SET later 1") {
            assert!(log[..set].contains(&epoch), "{log:?}");
        }
    }
}

/// The table changes while a link shakes hands, before it was up for the first time and after it was down.
#[test]
fn no_request_comes_before_its_table_is_announced() {
    for after_it_was_down in [false, true] {
        let mut bench = Bench::start(1, 1);
        let fake = bench.fakes[0].clone();
        let mut client = bench.client();
        fake.refuses.store(after_it_was_down, SeqCst);
        fake.holds.store(true, SeqCst);
        bench.table.admit(Member { id: id(0), address: fake.addr.clone(), capacity: 1 });
        bench.publish(&[(0..16384, Some(0))]);
        if after_it_was_down {
            wait_for("the loss", || client.ask("GET k") == DOWN);
            fake.refuses.store(false, SeqCst);
        }
        wait_for("a handshake", || !fake.links().is_empty());
        if !after_it_was_down {
            client.send(&["GET one"]);
        }
        sleep(SOON);
        bench.publish(&[]);
        sleep(SOON);
        if !after_it_was_down {
            client.send(&["GET two"]);
        }
        sleep(SOON);
        fake.holds.store(false, SeqCst);
        wait_for("the link", || client.ask("GET three") != DOWN);
        let log = fake.link(0).log();
        let mut log = log
            .iter()
            .map(String::as_str)
            .filter(|line| line.starts_with("LARDER") || line.starts_with("GET"));
        let (one, two) = ("LARDER EPOCH 1", "LARDER EPOCH 2");
        let want =
            if after_it_was_down { vec![one, two] } else { vec![one, "GET one", two, "GET two"] };
        assert!(want.into_iter().all(|line| log.next() == Some(line)), "{:?}", fake.link(0).log());
    }
}

#[test]
fn links_to_nodes_that_are_gone_end() {
    let mut bench = Bench::with_members(3, 1);
    let mut client = bench.client();
    let (first, second) = (bench.fakes[0].link(0), bench.fakes[1].link(0));
    assert_eq!(client.ask("SET k 0"), "+OK");
    // What is in flight when the node is gone is answered.
    bench.fakes[0].holds.store(true, SeqCst);
    client.send(&["SET k 1"]);
    first.place_of("SET k 1");
    bench.table.members.remove(&0);
    bench.publish(&[(0..16384, Some(1))]);
    second.place_of(&format!("LARDER EPOCH {}", bench.epoch()));
    client.send(&["GET k"]);
    second.place_of("GET k");
    assert!(!first.is_closed());
    bench.fakes[0].holds.store(false, SeqCst);
    assert_eq!(client.reply(), "+OK");
    wait_for("the end", || first.is_closed());
    assert_eq!(first.log().last().unwrap(), "SET k 1");
    client.reply();
    // One that is idle ends at once. It comes back at another place: that is another link.
    let moved = Fake::start(1, &bench.world);
    bench.table.members.get_mut(&1).unwrap().address = moved.addr.clone();
    bench.publish(&[]);
    wait_for("the end", || second.is_closed());
    assert_eq!(client.ask("SET k 2"), "+OK");
    moved.link(0).place_of("SET k 2");
    // Nor does one stay that is dead, or never came up.
    moved.holds.store(true, SeqCst);
    client.send(&["GET k"]);
    moved.link(0).place_of("GET k");
    let never = Fake::start(3, &bench.world);
    never.holds.store(true, SeqCst);
    let number = bench.table.admit(Member { id: id(3), address: never.addr.clone(), capacity: 1 });
    bench.publish(&[(0..100, Some(number))]);
    wait_for("a handshake", || !never.links().is_empty());
    bench.table.members.retain(|&number, _| number == 2);
    bench.publish(&[(0..16384, Some(2))]);
    let reply = client.reply();
    assert!(reply.contains("may or may not have run"), "{reply}");
    [&moved, &never].iter().for_each(|fake| fake.holds.store(false, SeqCst));
    wait_for("the end", || moved.links().is_empty() && never.links().is_empty());
    sleep(PATIENCE);
    assert!(bench.fakes[0].links().is_empty() && moved.links().is_empty());
    assert_eq!(bench.fakes[2].links().len(), 1, "the one to the node that stayed");
    assert_eq!(client.ask("SET k 3"), "+OK");
}

#[test]
fn a_node_that_is_said_to_be_down_fails_at_once() {
    let bench = Bench::with_members(2, 1);
    let mut client = bench.client();
    assert_eq!(client.ask("SET k 1"), "+OK");
    let link = bench.fakes[0].link(0);
    bench.publish_with(&[id(0)]);
    wait_for("the news", || client.ask("GET k") == DOWN);
    let began = Instant::now();
    for line in ["SET k 2", "MGET k a", "DBSIZE"] {
        assert_eq!(client.ask(line), DOWN);
    }
    assert!(began.elapsed() < PATIENCE / 4);
    assert!(client.ask("INFO nodes").contains("state=down"));
    // By the same link, which nobody has lost.
    bench.publish_with(&[]);
    wait_for("the news", || client.ask("GET k") == "$1 1");
    assert!(!link.is_closed() && bench.fakes[0].links().len() == 1);
}

/// The timer of a link stays where it is when the request it was set for is answered.
#[test]
fn each_request_has_its_own_time() {
    let bench = Bench::with_members(1, 1);
    bench.allow(Duration::from_secs(2));
    // That of the announcement runs out.
    sleep(2 * PATIENCE);
    let (fake, mut client) = (&bench.fakes[0], bench.client());
    assert_eq!(client.ask("SET k 1"), "+OK");
    let link = fake.link(0);
    sleep(Duration::from_millis(1200));
    // It runs out in the middle of this one, which is young,
    fake.holds.store(true, SeqCst);
    client.send(&["GET k"]);
    sleep(Duration::from_millis(1200));
    fake.holds.store(false, SeqCst);
    assert_eq!(client.reply(), "$1 1");
    // and then while there is none.
    sleep(Duration::from_millis(2500));
    assert!(!link.is_closed());
    fake.holds.store(true, SeqCst);
    let reply = client.ask("GET k");
    assert!(reply.contains("did not answer within 2000 ms"), "{reply}");
    fake.holds.store(false, SeqCst);
}
