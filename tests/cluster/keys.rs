//! The cluster's key: who has it is a member, nobody else gets a word.

use super::harness::{AGREE, Home, overview};
use crate::tools::run;
use crate::util::{Conn, larder, wait_for};
use std::os::unix::fs::PermissionsExt;

/// Runs a member that is to refuse to start: what it says.
#[track_caller]
fn refused(args: &[&str]) -> String {
    let output = run(&mut larder(args), b"");
    assert_eq!(output.code, Some(1), "{output:?}");
    output.err
}

#[test]
fn another_key_is_refused_and_both_sides_say_why() {
    let (home, other) = (Home::new(), Home::new());
    let authority = home.coordinator(&[], &[]);
    let stranger = other.node(&[&authority.control], &[]);
    assert_ne!(authority.fingerprint, stranger.fingerprint);
    let words = ["WARN", "another cluster key"];
    let port = authority.control.rsplit(':').next().unwrap();
    stranger.wait_logged(&[&words[..], &[&stranger.fingerprint, port]].concat());
    authority.wait_logged(&[&words[..], &[&authority.fingerprint]].concat());
    // One with the right key is a member at once, the stranger is not.
    let member = home.node(&[&authority.control], &[]);
    authority.wait_settled(1);
    let told = overview(&mut authority.server.conn());
    assert_eq!(told["status"]["members"].as_array().unwrap().len(), 2, "{told:#}");
    assert!(!told.to_string().contains(&stranger.id));
    assert!(stranger.server.conn().cmd("GET k").text().starts_with("CLUSTERDOWN"));
    drop(member);
}

#[test]
fn who_speaks_no_larder_is_no_harm() {
    let home = Home::new();
    let authority = home.coordinator(&[], &[]);
    let mut clients: Vec<Conn> = (0..50).map(|_| Conn::tcp(&authority.control)).collect();
    for conn in &mut clients {
        conn.send_raw(b"*1\r\n$4\r\nPING\r\n");
    }
    let _node = home.node(&[&authority.control], &[]);
    authority.wait_settled(1);
}

#[test]
fn a_member_needs_the_key() {
    let home = Home::new();
    let node = ["node", "127.0.0.1:0", "--cluster-addr", "127.0.0.1:0"];
    let said = refused(&[&node[..], &["--join", "127.0.0.1:7946"]].concat());
    assert!(said.contains("--cluster-key-file") && said.contains("keygen"), "{said}");
    let missing = home.path("nosuch");
    let said = refused(&[&node[..], &["--cluster-key-file", &missing]].concat());
    assert!(said.contains(&missing), "{said}");
    let broken = home.path("broken");
    for content in ["", "secret", "/key/swarm/psk/1.0.0/\n/base16/\n00ff\n"] {
        std::fs::write(&broken, content).unwrap();
        let said = refused(&[&node[..], &["--cluster-key-file", &broken]].concat());
        assert!(said.contains(&broken) && said.contains("keygen"), "{said}");
    }
    // Who decides on the table needs a place for it.
    let key = home.key();
    let said = refused(&["coordinator", "127.0.0.1:0", "--cluster-key-file", &key]);
    assert!(said.contains("--data-dir"), "{said}");
    // Two processes in one directory would be the same member.
    let first = home.node(&[], &[]);
    let said =
        refused(&[&node[..], &["--cluster-key-file", &key, "--data-dir", &first.data]].concat());
    assert!(said.contains("another process uses it"), "{said}");
}

#[test]
fn keygen_makes_a_secret_once() {
    let home = Home::new();
    let (path, text) = (home.path("made"), |path: &str| std::fs::read_to_string(path).unwrap());
    let output = run(&mut larder(&["cluster", "keygen", &path]), b"").ok();
    let first = text(&path);
    assert!(first.starts_with("/key/swarm/psk/1.0.0/\n/base16/\n"));
    assert!(output.contains(&path) && output.contains("fingerprint"), "{output}");
    assert!(!output.contains(first.lines().last().unwrap()), "the secret is not for the screen");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let said = refused(&["cluster", "keygen", &path]);
    assert!(said.contains(&path), "{said}");
    assert_eq!(text(&path), first);
    // For pipes, without a file; never twice the same.
    let printed = run(&mut larder(&["cluster", "keygen"]), b"").ok();
    assert_eq!(printed.lines().count(), first.lines().count());
    assert_ne!(printed, first);
}

#[test]
fn coordinators_get_in_by_the_key_and_clients_by_the_password() {
    let home = Home::new();
    let authority = home.coordinator(&[], &[]);
    let node = home.node(&[&authority.control], &["--requirepass", "secret"]);
    authority.wait_settled(1);
    let mut conn = authority.server.conn();
    assert_eq!(conn.cmd("SET k v").text(), "OK");
    let mut direct = node.server.conn();
    assert!(direct.cmd("GET k").text().starts_with("NOAUTH"));
    // Nobody is the internal user by saying so.
    for line in ["AUTH larder-coordinator secret", "AUTH default wrong", "LARDER EPOCH 1"] {
        assert!(matches!(direct.cmd(line), crate::util::Value::Error(_)), "{line}");
    }
    assert_eq!(direct.cmd("AUTH secret").text(), "OK");
    assert!(direct.cmd("LARDER EPOCH 1").text().starts_with("ERR"));
    wait_for("the client reads at the node", AGREE, || direct.cmd("GET k").text() == "v");
}
