//! Links that don't come about: nodes that are not there yet, and passwords that don't fit.

use super::{NOTICE, down};
use crate::tools::failed;
use crate::util::{Server, Value, free_port, wait_for};
use std::time::Duration;

#[test]
fn a_node_that_comes_later() {
    let here = Server::node(&[]);
    let late = format!("127.0.0.1:{}", free_port());
    let coordinator = Server::spawn(&["coordinator", "127.0.0.1:0", &here.addr, &late]);
    let mut conn = coordinator.conn();
    let mut answers = [0, 0];
    for number in 0..100 {
        let reply = conn.cmd(&format!("SET key:{number} x"));
        match &reply {
            Value::Simple(ok) if ok == "OK" => answers[0] += 1,
            Value::Error(text) if text == "CLUSTERDOWN Hash slot not served" => answers[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(answers[0] > 20 && answers[1] > 20, "{answers:?}");
    assert_eq!(down(&mut conn), [&*late]);
    let warned = coordinator.stderr();
    assert!(warned.lines().any(|line| line.contains("WARN") && line.contains(&late)), "{warned}");

    let mut node = Server::spawn(&["node", &late]);
    wait_for("the late node", NOTICE, || !failed(&conn.cmd("DBSIZE")));
    for number in 0..100 {
        assert_eq!(conn.cmd(&format!("SET key:{number} x")), Value::Simple("OK".into()));
    }
    assert_eq!(conn.cmd("DBSIZE"), Value::Int(100));
    assert_eq!(here.conn().cmd("DBSIZE").int() + node.conn().cmd("DBSIZE").int(), 100);
    // Who comes and goes is told.
    let lines = coordinator.stderr().matches(&late).count();
    node.kill();
    wait_for("the loss is logged", Duration::from_secs(5), || {
        let _ = conn.cmd("DBSIZE");
        coordinator.stderr().matches(&late).count() > lines
    });
}

#[test]
fn a_down_node_does_not_fill_the_log() {
    let here = Server::node(&[]);
    let dead = format!("127.0.0.1:{}", free_port());
    let coordinator = Server::spawn(&["coordinator", "127.0.0.1:0", &here.addr, &dead]);
    let mut conn = coordinator.conn();
    for number in 0..2000 {
        let _ = conn.cmd(&format!("GET key:{number}"));
    }
    std::thread::sleep(Duration::from_secs(2));
    let logged = coordinator.stderr();
    assert!(logged.lines().count() < 30, "{logged}");
}

#[test]
fn passwords_of_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    std::fs::write(&right, "right-password\n").unwrap();
    std::fs::write(&wrong, "wrong-password\n").unwrap();
    let node = Server::node(&["--requirepass", "right-password"]);

    let trusted = Server::coordinator(&[&node], &["--node-password-file", right.to_str().unwrap()]);
    assert_eq!(trusted.conn().cmd("SET k v"), Value::Simple("OK".into()));
    assert_eq!(trusted.conn3().cmd("GET k").text(), "v");
    assert_eq!(trusted.conn().cmd("DBSIZE"), Value::Int(1));

    let mistaken =
        Server::coordinator(&[&node], &["--node-password-file", wrong.to_str().unwrap()]);
    let forgetful = Server::coordinator(&[&node], &[]);
    for (coordinator, reason) in [(&mistaken, "WRONGPASS"), (&forgetful, "--node-password-file")] {
        let reply = coordinator.conn().cmd("GET k");
        assert!(failed(&reply), "{reply:?}");
        wait_for("the log says why", NOTICE, || {
            let logged = coordinator.stderr();
            logged.lines().any(|line| line.contains(&node.addr) && line.contains(reason))
        });
        let logged = coordinator.stderr();
        assert!(!logged.contains("wrong-password"), "{logged}");
        assert!(failed(&coordinator.conn().cmd("DBSIZE")));
        assert_eq!(down(&mut coordinator.conn()), [&*node.addr]);
    }
    // And once the node asks for that password, the coordinator is in.
    let mut admin = node.conn();
    assert_eq!(admin.cmd("AUTH right-password"), Value::Simple("OK".into()));
    assert_eq!(admin.cmd("CONFIG SET requirepass wrong-password"), Value::Simple("OK".into()));
    let mut conn = mistaken.conn();
    wait_for("the password fits now", NOTICE, || !failed(&conn.cmd("GET k")));
    assert_eq!(conn.cmd("GET k").text(), "v");
}

#[test]
fn a_closed_connection_to_a_node_that_is_well() {
    let node = Server::node(&[]);
    let coordinator = Server::coordinator(&[&node], &[]);
    let (mut conn, mut admin) = (coordinator.conn(), node.conn());
    assert_eq!(conn.cmd("SET key value"), Value::Simple("OK".into()));
    conn.cmd("SELECT 3");
    assert_eq!(conn.cmd("SET key other"), Value::Simple("OK".into()));
    let mut answered = 0;
    for round in 0..20 {
        // A link that breaks at once again waits before it comes back.
        std::thread::sleep(Duration::from_millis(150));
        assert!(admin.cmd("CLIENT KILL SKIPME yes").int() > 0);
        let db = [0, 3][round % 2];
        conn.cmd(&format!("SELECT {db}"));
        match conn.cmd("GET key") {
            // It was on its way.
            Value::Error(text) => assert!(text.contains("may or may not have run"), "{text}"),
            value => {
                assert_eq!(value.text(), if db == 0 { "value" } else { "other" });
                answered += 1;
            }
        }
    }
    assert!(answered > 0);
}
