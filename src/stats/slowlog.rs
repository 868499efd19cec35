//! The latest commands that took long, as SLOWLOG shows them.

use crate::command::{Found, flag};
use crate::config::{self, Kind};
use crate::resp::Args;
use crate::server::Client;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Arguments of a command that are kept, and bytes of each: Redis's figures.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;
/// What stands for an argument that must not be shown.
const REDACTED: &[u8] = b"(redacted)";

/// A command that took long.
#[derive(Clone)]
pub struct Entry {
    /// Counts them from 0, since the start.
    pub id: u64,
    /// When it had been executed, in seconds since 1970.
    pub unix_s: u64,
    /// Microseconds it took.
    pub us: u64,
    /// The command and its arguments, shortened.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub addr: String,
    /// The client's name.
    pub name: String,
}

/// The log of a server.
#[derive(Default)]
pub struct SlowLog(Mutex<Log>);

#[derive(Default)]
struct Log {
    next: u64,
    /// The newest first.
    entries: VecDeque<Entry>,
}

impl SlowLog {
    /// Notes a command, and keeps `most` of them.
    pub fn note(
        &self,
        most: usize,
        (us, unix_s): (u64, u64),
        found: Found,
        args: Args<'_>,
        client: &Client,
    ) {
        if found.row.has(flag::SKIP_SLOWLOG) {
            return;
        }
        let mut log = self.log();
        let id = log.next;
        log.next += 1;
        let (addr, name) = (client.addr.clone(), client.name());
        log.entries.push_front(Entry { id, unix_s, us, args: shown(found, args), addr, name });
        log.entries.truncate(most);
    }

    /// The newest ones, so many at most.
    pub fn latest(&self, most: usize) -> Vec<Entry> {
        self.log().entries.iter().take(most).cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.log().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all of them.
    pub fn reset(&self) {
        self.log().entries.clear();
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The arguments of a command, passwords made unreadable.
pub(crate) fn redacted(found: Found, args: Args<'_>) -> impl Iterator<Item = &[u8]> {
    let mut secret = false;
    (0..args.len()).map(move |at| {
        // AUTH, HELLO 3 AUTH, CONFIG SET requirepass.
        let of_secret = at > 0
            && found.row.has(flag::ADMIN)
            && config::find(args.at(at - 1))
                .is_some_and(|param| matches!(param.kind, Kind::Secret));
        let hidden = secret || of_secret;
        secret |= found.row.has(flag::NO_AUTH) && args.is(at, "AUTH");
        if hidden { REDACTED } else { args.at(at) }
    })
}

/// The arguments as they are kept: no passwords, and not too much of the rest.
fn shown(found: Found, args: Args<'_>) -> Vec<Vec<u8>> {
    let kept = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let shortened = redacted(found, args).take(kept).map(|arg| {
        if arg.len() > ARG_BYTES_MAX {
            let more = arg.len() - ARG_BYTES_MAX;
            [&arg[..ARG_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat()
        } else {
            arg.to_vec()
        }
    });
    let mut shown: Vec<Vec<u8>> = shortened.collect();
    if kept < args.len() {
        shown.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lookup;
    use crate::resp::ArgsBuf;

    fn shown_of(words: &[&str]) -> Vec<String> {
        let args = ArgsBuf::build(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        let found = lookup(args.args()).unwrap();
        let shown = shown(found, args.args());
        shown.into_iter().map(|arg| String::from_utf8(arg).unwrap()).collect()
    }

    #[test]
    fn arguments_are_shortened_as_redis_shortens_them() {
        let long = "x".repeat(130);
        let expected = format!("{}... (2 more bytes)", "x".repeat(128));
        assert_eq!(shown_of(&["SET", "key", &long]), ["SET", "key", &expected]);
        let many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let mut words = vec!["MGET"];
        words.extend(many.iter().map(String::as_str));
        let shown = shown_of(&words);
        assert_eq!(shown.len(), 32);
        assert_eq!((shown[30].as_str(), shown[31].as_str()), ("29", "... (10 more arguments)"));
    }

    #[test]
    fn passwords_are_not_shown() {
        let config = shown_of(&["CONFIG", "SET", "RequirePass", "secret", "timeout", "3"]);
        assert_eq!(config, ["CONFIG", "SET", "RequirePass", "(redacted)", "timeout", "3"]);
        assert_eq!(shown_of(&["AUTH", "secret"]), ["AUTH", "(redacted)"]);
        let hello = shown_of(&["HELLO", "3", "auth", "default", "secret"]);
        assert_eq!(hello, ["HELLO", "3", "auth", "(redacted)", "(redacted)"]);
        assert_eq!(shown_of(&["SET", "requirepass", "data"]), ["SET", "requirepass", "data"]);
    }

    #[test]
    fn the_oldest_go() {
        let log = SlowLog::default();
        let client = crate::server::Clients::default().register("a:1".into(), String::new(), 0);
        for number in 0..5 {
            let args = ArgsBuf::build(&[b"GET", number.to_string().as_bytes()]);
            let found = lookup(args.args()).unwrap();
            log.note(3, (number, 7), found, args.args(), &client);
        }
        let ids: Vec<u64> = log.latest(2).iter().map(|entry| entry.id).collect();
        assert_eq!((log.len(), ids), (3, vec![4, 3]));
        log.reset();
        assert!(log.is_empty());
        let exec = ArgsBuf::build(&[b"EXEC"]);
        log.note(3, (9, 7), lookup(exec.args()).unwrap(), exec.args(), &client);
        assert!(log.is_empty());
    }
}
