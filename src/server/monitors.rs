//! The clients that watch what others send (MONITOR).

use super::{Client, Session};
use crate::command::{Found, flag};
use crate::resp::{Args, quote};
use crate::stats::redacted;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The monitoring clients of a server.
#[derive(Default)]
pub struct Monitors {
    /// How many there are: all that a request looks at while there are none.
    count: AtomicUsize,
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Monitors {
    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// A client begins to watch.
    pub(super) fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients();
        clients.push(client.clone());
        self.count.store(clients.len(), Relaxed);
    }

    /// A client watches no more: nothing is pushed to it from now on.
    pub(super) fn remove(&self, client: &Client) {
        let mut clients = self.clients();
        clients.retain(|other| other.id != client.id);
        self.count.store(clients.len(), Relaxed);
    }

    /// Shows a command that was executed to all of them, the client's session being what it left behind. Commands for
    /// operators are not shown, as with Redis.
    pub(crate) fn show(
        &self,
        session: &Session,
        found: Found,
        args: Args<'_>,
        now_us: impl Fn() -> u64,
    ) {
        if found.row.has(flag::ADMIN) {
            return;
        }
        // The clock is read under the lock, so that the times of all workers' lines rise.
        let clients = self.clients();
        let line = line(session, found, args, now_us());
        clients.iter().for_each(|client| client.push(&line));
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`, with its end.
fn line(session: &Session, found: Found, args: Args<'_>, now_us: u64) -> Vec<u8> {
    let (s, us, db) = (now_us / 1_000_000, now_us % 1_000_000, session.db());
    let addr = &session.client.addr;
    // A Unix socket's address ends like that, and no other.
    let client = match addr.strip_suffix(":0") {
        Some(path) => format!("unix:{path}"),
        None => addr.clone(),
    };
    let mut line = format!("+{s}.{us:06} [{db} {client}]").into_bytes();
    for arg in redacted(found, args) {
        line.push(b' ');
        quote(&mut line, arg);
    }
    line.extend_from_slice(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lookup;
    use crate::config::Config;
    use crate::resp::{ArgsBuf, Output};
    use crate::server::{Clients, Role, Server};

    fn shown(addr: &str, words: &[&[u8]]) -> String {
        let server = Server::new(Role::Node, Config::default(), None, 1);
        let client = Clients::default().register(addr.into(), String::new(), 0);
        let (session, args) = (Session::new(client, &server), ArgsBuf::build(words));
        let found = lookup(args.args()).unwrap();
        String::from_utf8(line(&session, found, args.args(), 1_339_518_083_007_412)).unwrap()
    }

    #[test]
    fn lines_are_those_of_redis() {
        assert_eq!(
            shown("127.0.0.1:60866", &[b"keys", b"*"]),
            "+1339518083.007412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n"
        );
        assert_eq!(
            shown("/run/larder.sock:0", &[b"SET", b"a\"\\ b", b"\x01\xff\n\r\t\x07\x08"]),
            "+1339518083.007412 [0 unix:/run/larder.sock] \"SET\" \"a\\\"\\\\ b\" \
             \"\\x01\\xff\\n\\r\\t\\a\\b\"\r\n"
        );
        let auth = shown("[::1]:60", &[b"auth", b"secret"]);
        assert!(auth.ends_with("[0 [::1]:60] \"auth\" \"(redacted)\"\r\n"), "{auth}");
    }

    #[test]
    fn only_who_watches_is_shown_something() {
        let server = Server::new(Role::Node, Config::default(), None, 1);
        let (monitors, clients) = (Monitors::default(), Clients::default());
        let register = || clients.register("a:1".into(), String::new(), 0);
        let (one, other) = (register(), register());
        let session = Session::new(register(), &server);
        let show = |words: &[&[u8]]| {
            let args = ArgsBuf::build(words);
            let found = lookup(args.args()).unwrap();
            monitors.show(&session, found, args.args(), || 0);
        };
        let taken = |client: &Client| {
            let mut output = Output::default();
            client.take_pushed(&mut output);
            output.take()
        };
        monitors.add(&one);
        show(&[b"PING"]);
        show(&[b"CONFIG", b"GET", b"*"]);
        monitors.add(&other);
        show(&[b"TIME"]);
        monitors.remove(&one);
        assert!(!monitors.is_empty());
        show(&[b"DBSIZE"]);
        let (one, other) = (taken(&one), taken(&other));
        assert_eq!(one, "+0.000000 [0 a:1] \"PING\"\r\n+0.000000 [0 a:1] \"TIME\"\r\n");
        assert_eq!(other, "+0.000000 [0 a:1] \"TIME\"\r\n+0.000000 [0 a:1] \"DBSIZE\"\r\n");
    }
}
