//! The clients that watch what others send (MONITOR).

use super::{Client, Session};
use crate::command::{Found, flag};
use crate::resp::{Args, quote};
use crate::stats::redacted;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of an argument that are shown.
const ARG_BYTES_MAX: usize = 1 << 20;
/// Bytes of all arguments together that are shown in a line; unreadable ones take four times as many there.
const LINE_BYTES_MAX: usize = 16 << 20;

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
        let line = line(session, found, args);
        // The clock is read under the lock, so that the times of all workers' lines rise.
        let clients = self.clients();
        let time = time(now_us());
        clients.iter().for_each(|client| client.push(time.as_bytes(), &line));
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a line begins with: `+1339518083.107412`.
fn time(now_us: u64) -> String {
    format!("+{}.{:06}", now_us / 1_000_000, now_us % 1_000_000)
}

/// What is behind the time: ` [0 127.0.0.1:60866] "keys" "*"`, with its end. Long arguments are cut.
fn line(session: &Session, found: Found, args: Args<'_>) -> Vec<u8> {
    let addr = &session.client.addr;
    // A Unix socket's address ends like that, and no other.
    let client = match addr.strip_suffix(":0") {
        Some(path) => format!("unix:{path}"),
        None => addr.clone(),
    };
    let mut line = format!(" [{} {client}]", session.db()).into_bytes();
    let mut room = LINE_BYTES_MAX;
    for arg in redacted(found, args) {
        line.push(b' ');
        let shown = arg.len().min(ARG_BYTES_MAX).min(room);
        room -= shown;
        match arg.len() - shown {
            0 => quote(&mut line, arg),
            more => {
                let mark = format!("... ({more} more bytes)");
                quote(&mut line, &[&arg[..shown], mark.as_bytes()].concat());
            }
        }
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
        time(1_339_518_083_007_412)
            + &String::from_utf8(line(&session, found, args.args())).unwrap()
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
    fn long_arguments_are_cut() {
        let whole = vec![b'x'; ARG_BYTES_MAX];
        let line = shown("a:1", &[b"SET", b"k", &whole]);
        assert!(line.len() > ARG_BYTES_MAX && line.ends_with("xx\"\r\n"));
        let line = shown("a:1", &[b"SET", b"k", &[&whole[..], b"12345"].concat()]);
        assert!(line.ends_with("xx... (5 more bytes)\"\r\n"));
        let all: Vec<&[u8]> = std::iter::once(&b"DEL"[..]).chain([&whole[..]; 20]).collect();
        let line = shown("a:1", &all);
        assert!(line.len() < LINE_BYTES_MAX + 1000, "{}", line.len());
        assert!(line.contains("xx... (3 more bytes)\" \"... (1048576 more bytes)\""));
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
