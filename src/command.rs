//! The commands: one row each in [`COMMANDS`], which the node, the coordinator, `COMMAND`, the client's help and
//! completion, and the README's list all read. Adding a command is a row, a function and a test.

mod bits;
mod clients;
mod cluster;
mod config;
mod connection;
mod debug;
mod expire;
mod glob;
mod introspect;
mod keys;
mod larder;
mod latency;
mod lookup;
mod numbers;
mod options;
mod server;
mod set;
mod slowlog;
mod strings;
mod table;
mod transactions;

pub(crate) use glob::matches as glob_matches;
pub(crate) use latency::no_samples;
pub(crate) use lookup::find;
pub use lookup::{Found, Likely, all, lookup};
pub(crate) use slowlog::wanted as slowlog_wanted;
pub use table::COMMANDS;

use crate::resp::{Args, Error, Reply};
use crate::server::{Server, Session};
use crate::store::Keyspace;

/// A command, or a subcommand of a container such as CONFIG.
pub struct Command {
    /// In lower case; of a subcommand only its own part.
    pub name: &'static str,
    /// Arguments with the name included; negative where that is the least number.
    pub arity: i16,
    /// Which arguments are keys.
    pub keys: Keys,
    /// A set of [`flag`]s.
    pub flags: u16,
    /// What it is about.
    pub group: Group,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// What a coordinator does with it.
    pub route: Route,
    /// Which part of the store it needs, and the function that executes it there.
    pub run: Run,
    /// Its arguments as Redis documents them.
    pub syntax: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// The subcommands, if it is a container.
    pub subcommands: &'static [Command],
}

/// What commands are marked with.
pub mod flag {
    /// Changes keys.
    pub const WRITE: u16 = 1;
    /// Reads keys.
    pub const READONLY: u16 = 1 << 1;
    /// May need memory: refused when there is none.
    pub const DENYOOM: u16 = 1 << 2;
    /// Takes constant time, or nearly.
    pub const FAST: u16 = 1 << 3;
    /// For operators.
    pub const ADMIN: u16 = 1 << 4;
    /// Allowed before authentication.
    pub const NO_AUTH: u16 = 1 << 5;
    /// Not allowed, or not queued, between MULTI and EXEC.
    pub const NO_MULTI: u16 = 1 << 6;
    /// Executed at once between MULTI and EXEC.
    pub const IMMEDIATE: u16 = 1 << 7;
    /// The connection's state, not the data, is its subject.
    pub const CONNECTION: u16 = 1 << 8;
    /// Can do harm or take long.
    pub const DANGEROUS: u16 = 1 << 9;
    /// Executed only when the client waits for no other reply: it changes how or whether replies come.
    pub const BARRIER: u16 = 1 << 10;
    /// Its reply is sent even when replies are turned off: it turns them on.
    pub const UNMUTED: u16 = 1 << 11;
    /// A container with one error text for unknown subcommands and for wrong numbers of their arguments.
    pub const LOOSE: u16 = 1 << 12;
    /// Not in SLOWLOG: it only executes others, which are.
    pub const SKIP_SLOWLOG: u16 = 1 << 13;
    /// Takes constant time here, if it is short, although Redis does not call it fast.
    pub const BRIEF: u16 = 1 << 14;
}

/// What a command is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Group {
    /// Strings.
    String,
    /// Strings as bits.
    Bitmap,
    /// Keys of any type.
    Generic,
    /// The connection.
    Connection,
    /// The server.
    Server,
    /// MULTI and EXEC.
    Transactions,
    /// Answers of clustered servers.
    Cluster,
}

impl Group {
    /// The name that COMMAND DOCS gives.
    pub fn name(self) -> &'static str {
        match self {
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::Generic => "generic",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Transactions => "transactions",
            Group::Cluster => "cluster",
        }
    }
}

/// Which arguments are keys: every `step`-th one from `first` to `last`, a negative `last` counting from the
/// end. All zero: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keys {
    /// Index of the first key.
    pub first: i8,
    /// Index of the last key.
    pub last: i8,
    /// Distance between keys.
    pub step: i8,
}

impl Keys {
    /// No argument is a key.
    pub const NONE: Keys = Keys { first: 0, last: 0, step: 0 };
    /// The first argument.
    pub const ONE: Keys = Keys { first: 1, last: 1, step: 1 };
    /// The first and the second argument.
    pub const TWO: Keys = Keys { first: 1, last: 2, step: 1 };
    /// All arguments.
    pub const ALL: Keys = Keys { first: 1, last: -1, step: 1 };
    /// Every other argument: key, value, key, value.
    pub const PAIRS: Keys = Keys { first: 1, last: -1, step: 2 };
    /// The first argument of a subcommand.
    pub const SUBCOMMAND: Keys = Keys { first: 2, last: 2, step: 1 };

    /// The indexes of the keys among `count` arguments.
    pub fn positions(self, count: usize) -> impl Iterator<Item = usize> + Clone {
        let last = match self.last {
            last if last < 0 => count.saturating_sub(last.unsigned_abs() as usize),
            last => (last as usize).min(count.saturating_sub(1)),
        };
        let end = if self.is_none() { 0 } else { last + 1 };
        (self.first as usize..end).step_by(self.step.max(1) as usize)
    }

    /// Whether there are none.
    pub fn is_none(self) -> bool {
        self.first == 0
    }
}

/// What a coordinator does with a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// Executes it itself.
    Local,
    /// Forwards it to the node of its keys, which must lie in one slot.
    OneSlot,
    /// Splits it by key over the nodes, and merges what they answer.
    Split(Merge),
    /// Sends it to every node, and merges what they answer. Needs all of them.
    AllNodes(Merge),
    /// Executes it itself and sends it to the nodes that are up, then merges all that.
    LocalAndNodes(Merge),
    /// Walks the nodes one after another by a cursor.
    Cursor,
    /// Executes the commands that MULTI queued.
    Transaction,
}

/// How the coordinator makes one reply out of several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merge {
    /// The elements of the arrays, in the order of the request's keys.
    ByKey,
    /// The sum of the integers.
    Sum,
    /// `+OK` if all say so, else the first error.
    AllOk,
    /// The arrays one after another.
    Concat,
    /// One of the replies, by chance, weighted by the nodes' numbers of keys.
    RandomKey,
    /// The maps, numbers added up.
    Fields,
    /// INFO sections: own, sums and merges.
    Info,
    /// CONFIG GET: own parameters, and the common value of the nodes' ones.
    ConfigGet,
    /// LARDER STATS: the nodes' reports added to the own one.
    Report,
    /// Texts, each under a line that names its node.
    Texts,
    /// LATENCY GRAPH: of the samples of all nodes, or of one.
    LatencyGraph,
    /// LATENCY HISTORY: the samples of all nodes by time, or of one.
    LatencyHistory,
    /// LATENCY LATEST: the events of all nodes, the newest first.
    LatencyLatest,
    /// LATENCY RESET: the sum, of the events that each node is asked to forget.
    LatencyReset,
    /// SLOWLOG GET: the newest entries of all nodes.
    Slowlog,
    /// CONFIG SET: own parameters here, the nodes' ones there.
    ConfigSet,
}

/// Which shards a node locks for a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// None: the command has nothing to do with keys.
    None,
    /// Those of its keys.
    Keys,
    /// All.
    All,
    /// Those of all queued commands together.
    Queue,
}

/// The function that executes a command. What it answers with `Err` becomes the error reply, so it
/// must not have written anything before.
pub type Handler = fn(&mut Context<'_, '_>, Args<'_>, &mut Reply<'_>) -> Result<(), Error>;

/// What executes a command.
pub struct Run {
    /// What it needs locked.
    pub lock: Lock,
    /// The function.
    pub handler: Handler,
}

/// What a handler works with.
pub struct Context<'a, 's> {
    /// The server it runs on.
    pub server: &'a Server,
    /// The client's session.
    pub session: &'a mut Session,
    /// The locked part of the store.
    pub keyspace: &'a mut Keyspace<'s>,
}

impl Context<'_, '_> {
    /// The time, in milliseconds since 1970.
    pub fn now(&self) -> u64 {
        self.keyspace.now
    }
}

impl Command {
    /// Whether all of `flags` are set.
    pub fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// Whether so many arguments are allowed.
    pub fn accepts(&self, count: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { count >= arity } else { count == arity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_positions() {
        let positions = |keys: Keys, count| keys.positions(count).collect::<Vec<_>>();
        assert_eq!(positions(Keys::NONE, 5), [0usize; 0]);
        assert_eq!(positions(Keys::ONE, 3), [1]);
        assert_eq!(positions(Keys::TWO, 5), [1, 2]);
        assert_eq!(positions(Keys::ALL, 4), [1, 2, 3]);
        assert_eq!(positions(Keys::PAIRS, 5), [1, 3]);
        assert_eq!(positions(Keys::SUBCOMMAND, 3), [2]);
    }

    #[test]
    fn rows_are_consistent() {
        let mut names = std::collections::HashSet::new();
        for found in all() {
            let (row, name) = (found.row, found.full_name);
            assert!(names.insert(name), "{name} twice");
            assert_eq!(row.name, row.name.to_lowercase());
            assert!(row.summary.ends_with('.') && !row.since.is_empty(), "{name}");
            let least = usize::from(row.arity.unsigned_abs());
            assert!(row.keys.positions(least).all(|at| at < least), "{name}: keys within arity");
            let keyed = matches!(row.route, Route::OneSlot | Route::Split(_));
            assert_eq!(keyed, !row.keys.is_none(), "{name}: keys go with a route by slot");
            assert_eq!(row.run.lock == Lock::Keys, keyed, "{name}: keys go with their lock");
            if let Route::Split(_) = row.route {
                assert_eq!(row.keys.last, -1, "{name}: only ranges of keys can be split");
            }
            let access = row.flags & (flag::WRITE | flag::READONLY);
            assert!(access == 0 || access.count_ones() == 1, "{name}: reads or writes");
            assert!(row.has(flag::WRITE) || !row.has(flag::DENYOOM), "{name}");
        }
        assert!(names.len() > 90);
    }
}
