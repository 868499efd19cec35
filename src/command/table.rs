//! The table of commands: one row each.

use super::flag::*;
use super::latency;
use super::{Command, Group, Handler, Keys, Lock, Merge, Route, Run};
use super::{bits, clients, cluster, config, connection, debug, expire, introspect, keys, larder};
use super::{numbers, server, set, slowlog, strings, transactions};

const READ: u16 = READONLY | FAST;
const UPDATE: u16 = WRITE | DENYOOM | FAST;
const SESSION: u16 = CONNECTION | FAST;

/// The parts of a row that a command says about itself: name, arity, flags, since, syntax, summary.
type About = (&'static str, i16, u16, &'static str, &'static str, &'static str);

const fn row(
    about: About,
    group: Group,
    keys: Keys,
    route: Route,
    lock: Lock,
    handler: Handler,
) -> Command {
    let (name, arity, flags, since, syntax, summary) = about;
    let run = Run { lock, handler };
    Command {
        name,
        arity,
        keys,
        flags,
        group,
        since,
        route,
        run,
        syntax,
        summary,
        subcommands: &[],
    }
}

/// A command whose keys lie in one slot.
const fn keyed(about: About, group: Group, keys: Keys, handler: Handler) -> Command {
    row(about, group, keys, Route::OneSlot, Lock::Keys, handler)
}

/// A command that is split by key.
const fn split(about: About, group: Group, keys: Keys, merge: Merge, handler: Handler) -> Command {
    row(about, group, keys, Route::Split(merge), Lock::Keys, handler)
}

/// A command that node and coordinator execute each for itself.
const fn local(about: About, group: Group, handler: Handler) -> Command {
    row(about, group, Keys::NONE, Route::Local, Lock::None, handler)
}

/// A command about the whole keyspace.
const fn whole(about: About, group: Group, route: Route, handler: Handler) -> Command {
    row(about, group, Keys::NONE, route, Lock::All, handler)
}

/// A container of subcommands; called without one it runs `handler`.
const fn container(
    about: About,
    group: Group,
    handler: Handler,
    subcommands: &'static [Command],
) -> Command {
    Command { subcommands, ..local(about, group, handler) }
}

const fn help(container: &'static str) -> Command {
    local((container, 2, 0, "5.0.0", "", "Lists the subcommands."), Group::Server, introspect::help)
}

/// Every command, by group.
#[rustfmt::skip]
pub static COMMANDS: &[Command] = &[
    keyed(("append", 3, UPDATE, "2.0.0", "key value", "Appends to a string; creates it if it is not there."), Group::String, Keys::ONE, strings::append),
    keyed(("decr", 2, UPDATE, "1.0.0", "key", "Decrements an integer by one; 0 if it is not there."), Group::String, Keys::ONE, numbers::decr),
    keyed(("decrby", 3, UPDATE, "1.0.0", "key decrement", "Decrements an integer by a number."), Group::String, Keys::ONE, numbers::decrby),
    keyed(("get", 2, READ, "1.0.0", "key", "Returns the value of a key."), Group::String, Keys::ONE, strings::get),
    keyed(("getdel", 2, WRITE | FAST, "6.2.0", "key", "Returns the value of a key and deletes it."), Group::String, Keys::ONE, strings::getdel),
    keyed(("getex", -2, WRITE | FAST, "6.2.0", "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]", "Returns the value of a key and sets when it expires."), Group::String, Keys::ONE, set::getex),
    keyed(("getrange", 4, READONLY, "2.4.0", "key start end", "Returns a part of a string."), Group::String, Keys::ONE, strings::getrange),
    keyed(("getset", 3, UPDATE, "1.0.0", "key value", "Sets a key and returns its old value."), Group::String, Keys::ONE, set::getset),
    keyed(("incr", 2, UPDATE, "1.0.0", "key", "Increments an integer by one; 0 if it is not there."), Group::String, Keys::ONE, numbers::incr),
    keyed(("incrby", 3, UPDATE, "1.0.0", "key increment", "Increments an integer by a number."), Group::String, Keys::ONE, numbers::incrby),
    keyed(("incrbyfloat", 3, UPDATE, "2.6.0", "key increment", "Increments a floating-point number."), Group::String, Keys::ONE, numbers::incrbyfloat),
    split(("mget", -2, READ, "1.0.0", "key [key ...]", "Returns the values of several keys."), Group::String, Keys::ALL, Merge::ByKey, strings::mget),
    split(("mset", -3, WRITE | DENYOOM, "1.0.1", "key value [key value ...]", "Sets several keys; not atomic across nodes."), Group::String, Keys::PAIRS, Merge::AllOk, set::mset),
    keyed(("msetnx", -3, WRITE | DENYOOM, "1.0.1", "key value [key value ...]", "Sets several keys of one slot if none of them is there."), Group::String, Keys::PAIRS, set::msetnx),
    keyed(("psetex", 4, WRITE | DENYOOM | BRIEF, "2.6.0", "key milliseconds value", "Sets a key that expires, in milliseconds."), Group::String, Keys::ONE, set::psetex),
    keyed(("set", -3, WRITE | DENYOOM | BRIEF, "1.0.0", "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]", "Sets a key, whatever it was before."), Group::String, Keys::ONE, set::set),
    keyed(("setex", 4, WRITE | DENYOOM | BRIEF, "2.0.0", "key seconds value", "Sets a key that expires, in seconds."), Group::String, Keys::ONE, set::setex),
    keyed(("setnx", 3, UPDATE, "1.0.0", "key value", "Sets a key if it is not there."), Group::String, Keys::ONE, set::setnx),
    keyed(("setrange", 4, WRITE | DENYOOM, "2.2.0", "key offset value", "Overwrites a part of a string, padding it with zeros."), Group::String, Keys::ONE, strings::setrange),
    keyed(("strlen", 2, READ, "2.2.0", "key", "Returns the length of a string in bytes."), Group::String, Keys::ONE, strings::strlen),
    keyed(("substr", 4, READONLY, "1.0.0", "key start end", "Returns a part of a string; the old name of GETRANGE."), Group::String, Keys::ONE, strings::getrange),

    keyed(("bitcount", -2, READONLY, "2.6.0", "key [start end [BYTE | BIT]]", "Counts the bits that are set."), Group::Bitmap, Keys::ONE, bits::bitcount),
    keyed(("getbit", 3, READ, "2.2.0", "key offset", "Returns a bit of a string."), Group::Bitmap, Keys::ONE, bits::getbit),
    keyed(("setbit", 4, WRITE | DENYOOM, "2.2.0", "key offset value", "Sets or clears a bit of a string and returns the old one."), Group::Bitmap, Keys::ONE, bits::setbit),

    keyed(("copy", -3, WRITE | DENYOOM, "6.2.0", "source destination [DB destination-db] [REPLACE]", "Copies a value to another key of the same slot."), Group::Generic, Keys::TWO, keys::copy),
    split(("del", -2, WRITE, "1.0.0", "key [key ...]", "Deletes keys."), Group::Generic, Keys::ALL, Merge::Sum, keys::del),
    split(("exists", -2, READ, "1.0.0", "key [key ...]", "Counts how many of the keys are there."), Group::Generic, Keys::ALL, Merge::Sum, keys::exists),
    keyed(("expire", -3, WRITE | FAST, "1.0.0", "key seconds [NX | XX | GT | LT]", "Sets how long a key lives, in seconds."), Group::Generic, Keys::ONE, expire::expire),
    keyed(("expireat", -3, WRITE | FAST, "1.2.0", "key unix-time-seconds [NX | XX | GT | LT]", "Sets when a key expires, in seconds since 1970."), Group::Generic, Keys::ONE, expire::expireat),
    keyed(("expiretime", 2, READ, "7.0.0", "key", "Returns when a key expires, in seconds since 1970."), Group::Generic, Keys::ONE, expire::expiretime),
    whole(("keys", 2, READONLY | DANGEROUS, "1.0.0", "pattern", "Lists all keys that match a pattern; SCAN does not block."), Group::Generic, Route::AllNodes(Merge::Concat), keys::keys),
    container(("object", -2, READONLY, "2.2.3", "subcommand", "Tells what is known of a key's value."), Group::Generic, introspect::help, &[
        keyed(("encoding", 3, READONLY, "2.2.3", "key", "Returns how a value is stored."), Group::Generic, Keys::SUBCOMMAND, keys::object_encoding),
        keyed(("freq", 3, READONLY, "4.0.0", "key", "Returns how often a key is used, under an LFU policy."), Group::Generic, Keys::SUBCOMMAND, keys::object_freq),
        help("help"),
        keyed(("idletime", 3, READONLY, "2.2.3", "key", "Returns the seconds since a key was last used."), Group::Generic, Keys::SUBCOMMAND, keys::object_idletime),
        keyed(("refcount", 3, READONLY, "2.2.3", "key", "Returns the references to a value: always 1."), Group::Generic, Keys::SUBCOMMAND, keys::object_refcount),
    ]),
    keyed(("persist", 2, WRITE | FAST, "2.2.0", "key", "Makes a key live until it is evicted."), Group::Generic, Keys::ONE, expire::persist),
    keyed(("pexpire", -3, WRITE | FAST, "2.6.0", "key milliseconds [NX | XX | GT | LT]", "Sets how long a key lives, in milliseconds."), Group::Generic, Keys::ONE, expire::pexpire),
    keyed(("pexpireat", -3, WRITE | FAST, "2.6.0", "key unix-time-milliseconds [NX | XX | GT | LT]", "Sets when a key expires, in milliseconds since 1970."), Group::Generic, Keys::ONE, expire::pexpireat),
    keyed(("pexpiretime", 2, READ, "7.0.0", "key", "Returns when a key expires, in milliseconds since 1970."), Group::Generic, Keys::ONE, expire::pexpiretime),
    keyed(("pttl", 2, READ, "2.6.0", "key", "Returns how long a key still lives, in milliseconds."), Group::Generic, Keys::ONE, expire::pttl),
    whole(("randomkey", 1, READONLY, "1.0.0", "", "Returns a random key."), Group::Generic, Route::AllNodes(Merge::RandomKey), keys::randomkey),
    keyed(("rename", 3, WRITE, "1.0.0", "key newkey", "Renames a key within its slot."), Group::Generic, Keys::TWO, keys::rename),
    keyed(("renamenx", 3, WRITE | FAST, "1.0.0", "key newkey", "Renames a key within its slot if the new name is free."), Group::Generic, Keys::TWO, keys::renamenx),
    whole(("scan", -2, READONLY, "2.8.0", "cursor [MATCH pattern] [COUNT count] [TYPE type]", "Walks the keys a few at a time; misses none that stays."), Group::Generic, Route::Cursor, keys::scan),
    split(("touch", -2, READ, "3.2.1", "key [key ...]", "Uses keys without reading them; counts those that are there."), Group::Generic, Keys::ALL, Merge::Sum, keys::touch),
    keyed(("ttl", 2, READ, "1.0.0", "key", "Returns how long a key still lives, in seconds."), Group::Generic, Keys::ONE, expire::ttl),
    keyed(("type", 2, READ, "1.0.0", "key", "Returns the type of a value."), Group::Generic, Keys::ONE, keys::key_type),
    split(("unlink", -2, WRITE | FAST, "4.0.0", "key [key ...]", "Deletes keys; their memory is freed in the background."), Group::Generic, Keys::ALL, Merge::Sum, keys::del),
    local(("wait", 3, CONNECTION, "3.0.0", "numreplicas timeout", "Returns the number of replicas: 0."), Group::Generic, connection::wait),

    local(("auth", -2, SESSION | NO_AUTH, "1.0.0", "[username] password", "Authenticates the connection."), Group::Connection, connection::auth),
    container(("client", -2, CONNECTION, "2.4.0", "subcommand", "Asks about and controls client connections."), Group::Connection, introspect::help, &[
        local(("getname", 2, SESSION, "2.6.9", "", "Returns the name of the connection."), Group::Connection, clients::getname),
        help("help"),
        local(("id", 2, SESSION, "5.0.0", "", "Returns the number of the connection."), Group::Connection, clients::id),
        local(("info", 2, SESSION, "6.2.0", "", "Describes the connection."), Group::Connection, clients::info),
        local(("kill", -3, ADMIN | CONNECTION | DANGEROUS, "2.4.0", "ip:port | [ID client-id | TYPE NORMAL | USER username | ADDR ip:port | LADDR ip:port | SKIPME yes/no | MAXAGE seconds ...]", "Closes connections."), Group::Connection, clients::kill),
        local(("list", -2, ADMIN | CONNECTION | DANGEROUS, "2.4.0", "[TYPE NORMAL | MASTER | REPLICA | PUBSUB] [ID client-id [client-id ...]]", "Lists the connections."), Group::Connection, clients::list),
        local(("no-evict", 3, ADMIN | CONNECTION, "7.0.0", "ON | OFF", "Accepted: clients are never evicted."), Group::Connection, clients::no_evict),
        local(("reply", 3, SESSION | UNMUTED, "3.2.0", "ON | OFF | SKIP", "Turns the replies of the connection on or off."), Group::Connection, clients::reply),
        local(("setinfo", 4, SESSION, "7.2.0", "LIB-NAME libname | LIB-VER libver", "Names the client library."), Group::Connection, clients::setinfo),
        local(("setname", 3, SESSION, "2.6.9", "connection-name", "Names the connection."), Group::Connection, clients::setname),
    ]),
    local(("echo", 2, SESSION, "1.0.0", "message", "Returns its argument."), Group::Connection, connection::echo),
    local(("hello", -1, SESSION | NO_AUTH | BARRIER, "6.0.0", "[protover [AUTH username password] [SETNAME clientname]]", "Chooses the protocol version; authenticates."), Group::Connection, connection::hello),
    local(("ping", -1, SESSION, "1.0.0", "[message]", "Answers PONG, or its argument."), Group::Connection, connection::ping),
    local(("quit", -1, SESSION | NO_AUTH | IMMEDIATE, "1.0.0", "", "Closes the connection."), Group::Connection, connection::quit),
    local(("reset", 1, SESSION | NO_AUTH | IMMEDIATE | BARRIER, "6.2.0", "", "Brings the connection back to its first state."), Group::Connection, connection::reset),
    local(("select", 2, SESSION, "1.0.0", "index", "Chooses one of 16 databases."), Group::Connection, connection::select),

    container(("acl", -2, ADMIN, "6.0.0", "subcommand", "Access control: one user, `default`."), Group::Server, introspect::help, &[
        help("help"),
        local(("whoami", 2, 0, "6.0.0", "", "Returns the user of the connection."), Group::Server, connection::acl_whoami),
    ]),
    container(("command", -1, CONNECTION, "2.8.13", "[subcommand]", "Describes the commands."), Group::Server, introspect::command, &[
        local(("count", 2, 0, "2.8.13", "", "Counts the commands."), Group::Server, introspect::count),
        local(("docs", -2, 0, "7.0.0", "[command-name [command-name ...]]", "Documents commands."), Group::Server, introspect::docs),
        local(("getkeys", -4, 0, "2.8.13", "command [arg ...]", "Finds the keys in a request."), Group::Server, introspect::getkeys),
        local(("getkeysandflags", -4, 0, "7.0.0", "command [arg ...]", "Finds the keys in a request and what is done with them."), Group::Server, introspect::getkeysandflags),
        help("help"),
        local(("info", -2, 0, "2.8.13", "[command-name [command-name ...]]", "Describes commands."), Group::Server, introspect::info),
        local(("list", -2, 0, "7.0.0", "[FILTERBY MODULE module-name | ACLCAT category | PATTERN pattern]", "Lists the commands."), Group::Server, introspect::list),
    ]),
    container(("config", -2, ADMIN, "2.0.0", "subcommand", "Reads and changes parameters."), Group::Server, introspect::help, &[
        row(("get", -3, ADMIN | DANGEROUS, "2.0.0", "parameter [parameter ...]", "Returns parameters that match patterns."), Group::Server, Keys::NONE, Route::LocalAndNodes(Merge::ConfigGet), Lock::None, config::get),
        help("help"),
        row(("resetstat", 2, ADMIN | DANGEROUS, "2.0.0", "", "Sets the statistics to zero."), Group::Server, Keys::NONE, Route::LocalAndNodes(Merge::AllOk), Lock::All, config::resetstat),
        row(("set", -4, ADMIN | DANGEROUS, "2.0.0", "parameter value [parameter value ...]", "Changes parameters at run time."), Group::Server, Keys::NONE, Route::LocalAndNodes(Merge::ConfigSet), Lock::None, config::set),
    ]),
    whole(("dbsize", 1, READ, "1.0.0", "", "Counts the keys of the database."), Group::Server, Route::AllNodes(Merge::Sum), server::dbsize),
    container(("debug", -2, ADMIN | DANGEROUS | LOOSE, "1.0.0", "subcommand", "Helps tests."), Group::Server, introspect::help, &[
        help("help"),
        keyed(("object", 3, READONLY | ADMIN, "1.0.0", "key", "Tells how a value is kept."), Group::Server, Keys::SUBCOMMAND, debug::object),
        local(("protocol", 3, ADMIN, "6.0.0", "STRING | INTEGER | DOUBLE | NULL | ARRAY | SET | MAP | ATTRIB | PUSH | VERBATIM | TRUE | FALSE", "Answers with a value of the type."), Group::Server, debug::protocol),
        whole(("set-active-expire", 3, ADMIN, "2.6.0", "0 | 1", "Turns off the freeing of expired keys that nobody reads."), Group::Server, Route::AllNodes(Merge::AllOk), debug::set_active_expire),
        whole(("sleep", 3, ADMIN, "1.0.0", "seconds", "Stops the server for a while."), Group::Server, Route::AllNodes(Merge::AllOk), debug::sleep),
    ]),
    whole(("flushall", -1, WRITE | DANGEROUS, "1.0.0", "[ASYNC | SYNC]", "Deletes all keys."), Group::Server, Route::AllNodes(Merge::AllOk), server::flushall),
    whole(("flushdb", -1, WRITE | DANGEROUS, "1.0.0", "[ASYNC | SYNC]", "Deletes all keys of the database."), Group::Server, Route::AllNodes(Merge::AllOk), server::flushdb),
    row(("info", -1, DANGEROUS, "1.0.0", "[section [section ...]]", "Returns statistics and state."), Group::Server, Keys::NONE, Route::LocalAndNodes(Merge::Info), Lock::All, server::info),
    container(("latency", -2, 0, "2.8.13", "subcommand", "What took longer than `latency-monitor-threshold`; through a coordinator on all nodes, each event named event@node."), Group::Server, introspect::help, &[
        row(("doctor", 2, ADMIN | DANGEROUS, "2.8.13", "", "Explains what took long, and what may help."), Group::Server, Keys::NONE, Route::AllNodes(Merge::Texts), Lock::None, latency::doctor),
        row(("graph", 3, ADMIN | DANGEROUS, "2.8.13", "event", "Draws the samples of an event (through a coordinator also of event@node)."), Group::Server, Keys::NONE, Route::AllNodes(Merge::LatencyGraph), Lock::None, latency::graph),
        help("help"),
        local(("histogram", -2, ADMIN | DANGEROUS, "7.0.0", "[command [command ...]]", "Returns how many calls of commands took how long, as clients of this server see it."), Group::Server, latency::histogram),
        row(("history", 3, ADMIN | DANGEROUS, "2.8.13", "event", "Returns the samples of an event (through a coordinator also of event@node)."), Group::Server, Keys::NONE, Route::AllNodes(Merge::LatencyHistory), Lock::None, latency::history),
        row(("latest", 2, ADMIN | DANGEROUS, "2.8.13", "", "Returns the latest sample of each event, and the longest one."), Group::Server, Keys::NONE, Route::AllNodes(Merge::LatencyLatest), Lock::None, latency::latest),
        row(("reset", -2, ADMIN | DANGEROUS, "2.8.13", "[event [event ...]]", "Forgets the samples of events, or all of them."), Group::Server, Keys::NONE, Route::AllNodes(Merge::LatencyReset), Lock::None, latency::reset),
    ]),
    container(("memory", -2, READONLY, "4.0.0", "subcommand", "Tells what memory is used for."), Group::Server, introspect::help, &[
        whole(("doctor", 2, READONLY, "4.0.0", "", "Explains what is wrong with the memory in use, if anything."), Group::Server, Route::AllNodes(Merge::Texts), server::memory_doctor),
        help("help"),
        row(("malloc-stats", 2, READONLY, "4.0.0", "", "Returns the statistics of the allocator."), Group::Server, Keys::NONE, Route::AllNodes(Merge::Texts), Lock::None, server::memory_malloc_stats),
        row(("purge", 2, READONLY, "4.0.0", "", "Makes the allocator give free pages back."), Group::Server, Keys::NONE, Route::AllNodes(Merge::AllOk), Lock::None, server::memory_purge),
        whole(("stats", 2, READONLY, "4.0.0", "", "Returns what memory is used for."), Group::Server, Route::AllNodes(Merge::Fields), server::memory_stats),
        keyed(("usage", -3, READONLY, "4.0.0", "key [SAMPLES count]", "Returns the bytes that a key takes."), Group::Server, Keys::SUBCOMMAND, server::memory_usage),
    ]),
    container(("module", -2, ADMIN, "4.0.0", "subcommand", "Modules: there are none."), Group::Server, introspect::help, &[
        help("help"),
        local(("list", 2, ADMIN, "4.0.0", "", "Lists the modules: none."), Group::Server, server::module_list),
    ]),
    local(("monitor", 1, ADMIN, "1.0.0", "", "Shows what all clients of this server send, as it is executed; a coordinator shows what its own clients send."), Group::Server, connection::monitor),
    local(("role", 1, FAST | ADMIN, "2.8.12", "", "Returns the replication role: always a master without replicas."), Group::Server, server::role),
    local(("shutdown", -1, ADMIN | NO_MULTI | DANGEROUS | BARRIER, "1.0.0", "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", "Stops the server, when the replies in flight are sent."), Group::Server, server::shutdown),
    container(("slowlog", -2, ADMIN, "2.2.12", "subcommand", "The commands that took longer than `slowlog-log-slower-than`; through a coordinator those of all nodes."), Group::Server, introspect::help, &[
        row(("get", -2, ADMIN | DANGEROUS, "2.2.12", "[count]", "Returns the latest entries: id, time, microseconds, arguments, client, and its name (through a coordinator: name@node)."), Group::Server, Keys::NONE, Route::AllNodes(Merge::Slowlog), Lock::None, slowlog::get),
        help("help"),
        row(("len", 2, ADMIN | DANGEROUS, "2.2.12", "", "Counts the entries."), Group::Server, Keys::NONE, Route::AllNodes(Merge::Sum), Lock::None, slowlog::len),
        row(("reset", 2, ADMIN | DANGEROUS, "2.2.12", "", "Forgets the entries."), Group::Server, Keys::NONE, Route::AllNodes(Merge::AllOk), Lock::None, slowlog::reset),
    ]),
    local(("time", 1, FAST, "2.6.0", "", "Returns the time, as seconds and microseconds."), Group::Server, server::time),

    local(("discard", 1, FAST | IMMEDIATE, "2.0.0", "", "Forgets the queued commands."), Group::Transactions, transactions::discard),
    row(("exec", 1, IMMEDIATE | SKIP_SLOWLOG, "1.2.0", "", "Executes the queued commands; atomic on each node."), Group::Transactions, Keys::NONE, Route::Transaction, Lock::Queue, transactions::exec),
    local(("multi", 1, FAST | IMMEDIATE, "1.2.0", "", "Queues the commands that follow."), Group::Transactions, transactions::multi),

    local(("asking", 1, SESSION, "3.0.0", "", "Accepted on a node of a cluster that forms itself: slots move without it."), Group::Cluster, cluster::accept),
    container(("cluster", -2, 0, "3.0.0", "subcommand", "What Redis Cluster's clients ask the nodes of a cluster that forms itself."), Group::Cluster, cluster::help, &[
        local(("count-failure-reports", 3, ADMIN, "3.0.0", "node-id", "Returns 0: the nodes do not judge each other."), Group::Cluster, cluster::count_failure_reports),
        local(("countkeysinslot", 3, NO_MULTI, "3.0.0", "slot", "Counts the keys of a slot that this node has; walks all of its keys."), Group::Cluster, cluster::count_keys),
        local(("getkeysinslot", 4, NO_MULTI, "3.0.0", "slot count", "Returns keys of a slot that this node has; walks its keys until it has so many."), Group::Cluster, cluster::get_keys),
        local(("help", 2, 0, "5.0.0", "", "Lists the subcommands."), Group::Cluster, cluster::help),
        local(("info", 2, 0, "3.0.0", "", "Returns the state of the cluster as this node sees it."), Group::Cluster, cluster::info),
        local(("keyslot", 3, 0, "3.0.0", "key", "Returns the slot of a key."), Group::Cluster, cluster::keyslot),
        local(("links", 2, 0, "7.0.0", "", "Lists the connections to other members."), Group::Cluster, cluster::links),
        local(("myid", 2, 0, "3.0.0", "", "Returns the id of this node."), Group::Cluster, cluster::myid),
        local(("nodes", 2, 0, "3.0.0", "", "Lists the nodes and their slots, a line each."), Group::Cluster, cluster::nodes),
        local(("shards", 2, 0, "7.0.0", "", "Lists the nodes and their slots."), Group::Cluster, cluster::shards),
        local(("slots", 2, 0, "3.0.0", "", "Lists the runs of slots and their nodes."), Group::Cluster, cluster::slots),
    ]),
    container(("larder", -2, ADMIN, "7.4.0", "subcommand", "What only Larder knows."), Group::Cluster, introspect::help, &[
        local(("cluster", 2, ADMIN, "7.4.0", "", "Returns what a server knows of the cluster that it is a member of, as JSON."), Group::Cluster, larder::cluster),
        local(("epoch", 3, ADMIN | FAST, "7.4.0", "epoch", "A coordinator that joined the cluster tells a node by which table the requests behind this are routed."), Group::Cluster, larder::epoch),
        help("help"),
        local(("leave", 3, ADMIN, "7.4.0", "id", "Has a node of the cluster give its slots to others, and end."), Group::Cluster, larder::leave),
        row(("stats", -2, ADMIN | NO_MULTI, "7.4.0", "[JSON | TEXT] [section [section ...]]", "Returns what is known of a server, or of a cluster: traffic, hits, commands, prefixes, hot keys and more."), Group::Server, Keys::NONE, Route::LocalAndNodes(Merge::Report), Lock::None, larder::stats),
        local(("table", 4, ADMIN, "7.4.0", "hash coordinator", "A coordinator tells a node the hash of its slot table; the node refuses a second, different one."), Group::Cluster, larder::table),
    ]),
    local(("readonly", 1, SESSION, "3.0.0", "", "Accepted on a node of a cluster that forms itself: there are no replicas to read from."), Group::Cluster, cluster::accept),
    local(("readwrite", 1, SESSION, "3.0.0", "", "Accepted on a node of a cluster that forms itself."), Group::Cluster, cluster::accept),
];
