//! What a connection is set to (login, database, protocol, transaction), so that the prompt can
//! show it and a new connection can be brought to it.

use super::Options;
use super::reply::Reply;

#[derive(Debug)]
pub(super) struct State {
    /// User, if named, and password.
    pub(super) login: Option<(Option<Vec<u8>>, Vec<u8>)>,
    pub(super) db: u32,
    pub(super) resp3: bool,
    pub(super) in_transaction: bool,
    muted: Muted,
}

/// What `CLIENT REPLY` asked for: nothing arrives, so nothing must be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Muted {
    No,
    Next,
    Yes,
}

impl State {
    pub(super) fn new(options: &Options) -> State {
        let user = options.user.as_ref().map(|user| user.as_bytes().to_vec());
        State {
            login: options.password.as_ref().map(|word| (user, word.as_bytes().to_vec())),
            db: options.db,
            resp3: options.resp3,
            in_transaction: false,
            muted: Muted::No,
        }
    }

    /// Forgets what ends with a connection.
    pub(super) fn disconnected(&mut self) {
        self.muted = Muted::No;
        self.in_transaction = false;
    }

    /// Whether a reply to this request will come. Call it once for each request sent.
    pub(super) fn will_answer(&mut self, args: &[Vec<u8>]) -> bool {
        if let [client, reply, mode] = args
            && client.eq_ignore_ascii_case(b"client")
            && reply.eq_ignore_ascii_case(b"reply")
        {
            match mode.to_ascii_lowercase().as_slice() {
                b"off" => self.muted = Muted::Yes,
                b"skip" if self.muted == Muted::No => {
                    self.muted = Muted::Next;
                    return false;
                }
                b"on" => self.muted = Muted::No,
                _ => {}
            }
        }
        match self.muted {
            Muted::No => true,
            Muted::Yes => false,
            Muted::Next => {
                self.muted = Muted::No;
                false
            }
        }
    }

    /// Notes what a request that went well has changed for this connection.
    pub(super) fn note(&mut self, args: &[Vec<u8>], reply: &Reply) {
        let Some((name, rest)) = args.split_first() else {
            return;
        };
        let name = name.to_ascii_lowercase();
        if name == b"exec" || name == b"discard" {
            self.in_transaction = false;
        }
        if reply.is_error() || reply.text() == Some(b"QUEUED") {
            return;
        }
        match (name.as_slice(), rest) {
            (b"multi", _) => self.in_transaction = true,
            (b"select", [db]) => {
                let db = std::str::from_utf8(db).ok().and_then(|db| db.parse().ok());
                self.db = db.unwrap_or(self.db);
            }
            (b"auth", [password]) => self.login = Some((None, password.clone())),
            (b"auth", [user, password]) => {
                self.login = Some((Some(user.clone()), password.clone()));
            }
            (b"hello", rest) => {
                self.resp3 = matches!(reply, Reply::Map(_));
                let auth = rest.iter().position(|word| word.eq_ignore_ascii_case(b"auth"));
                if let Some([user, password, ..]) = auth.and_then(|at| rest.get(at + 1..)) {
                    self.login = Some((Some(user.clone()), password.clone()));
                }
            }
            (b"reset", _) => {
                self.db = 0;
                self.resp3 = false;
                self.in_transaction = false;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State { login: None, db: 0, resp3: false, in_transaction: false, muted: Muted::No }
    }

    fn args(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn ok() -> Reply {
        Reply::Status("OK".into())
    }

    #[test]
    fn follows_what_is_sent() {
        let mut state = state();
        state.note(&args("SELECT 3"), &ok());
        state.note(&args("select 99"), &Reply::Error("ERR DB index is out of range".into()));
        assert_eq!(state.db, 3);
        state.note(&args("auth pass"), &ok());
        assert_eq!(state.login, Some((None, b"pass".to_vec())));
        state.note(&args("auth wrong"), &Reply::Error("WRONGPASS".into()));
        assert_eq!(state.login, Some((None, b"pass".to_vec())));
        state.note(&args("hello 3 auth bob secret"), &Reply::Map(vec![]));
        assert!(state.resp3);
        assert_eq!(state.login, Some((Some(b"bob".to_vec()), b"secret".to_vec())));
        state.note(&args("hello 2"), &Reply::Array(vec![]));
        assert!(!state.resp3);
        state.note(&args("reset"), &Reply::Status("RESET".into()));
        assert_eq!(state.db, 0);
        state.note(&[], &ok());
    }

    #[test]
    fn transactions() {
        let mut state = state();
        state.note(&args("multi"), &ok());
        state.note(&args("select 3"), &Reply::Status("QUEUED".into()));
        assert!(state.in_transaction && state.db == 0);
        state.note(&args("exec"), &Reply::Error("EXECABORT".into()));
        assert!(!state.in_transaction);
        state.note(&args("multi"), &ok());
        state.disconnected();
        assert!(!state.in_transaction);
    }

    #[test]
    fn muted_replies() {
        let mut state = state();
        assert!(state.will_answer(&args("get a")));
        assert!(!state.will_answer(&args("client reply skip")));
        assert!(!state.will_answer(&args("get a")));
        assert!(state.will_answer(&args("get a")));
        assert!(!state.will_answer(&args("CLIENT REPLY OFF")));
        assert!(!state.will_answer(&args("client reply skip")));
        assert!(!state.will_answer(&args("get a")));
        assert!(state.will_answer(&args("client reply on")));
    }
}
