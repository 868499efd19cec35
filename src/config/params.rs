//! The table of parameters.

use crate::store::Policy;

/// A parameter, as an index into [`PARAMS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each is described where it is defined, in PARAMS")]
pub enum Id {
    Maxmemory,
    MaxmemoryPolicy,
    MaxmemorySamples,
    LfuLogFactor,
    LfuDecayTime,
    Requirepass,
    ProtectedMode,
    Maxclients,
    Timeout,
    TcpKeepalive,
    TcpBacklog,
    Workers,
    Unixsocket,
    Unixsocketperm,
    Metrics,
    Join,
    ClusterKeyFile,
    ClusterAddr,
    ClusterAnnounce,
    DataDir,
    BackendTimeoutMs,
    ConnectTimeoutMs,
    ProtoMaxBulkLen,
    ClientQueryBufferLimit,
    ClientOutputBufferLimit,
    PipelineMax,
    Databases,
    Port,
    Bind,
    Save,
    Appendonly,
    IoThreads,
    ReplicaReadOnly,
    SlowlogLogSlowerThan,
    SlowlogMaxLen,
    LatencyMonitorThreshold,
    LatencyTracking,
    StatsSampleEvery,
    StatsCurve,
    StatsSeparator,
    NotifyKeyspaceEvents,
    ListMaxListpackSize,
    HashMaxListpackEntries,
    HashMaxListpackValue,
    SetMaxIntsetEntries,
    ZsetMaxListpackEntries,
    ZsetMaxListpackValue,
}

/// What values a parameter takes.
pub enum Kind {
    /// An integer between bounds.
    Number {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// A number of bytes between bounds, with Redis's units.
    Size {
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
    },
    /// `yes` or `no`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// For each class of clients three limits of what it may be owed, as Redis writes them.
    OutputLimits,
    /// What ends the prefix of a key: a short text.
    Separator,
    /// Any text.
    Text,
    /// A password: kept as a digest, never shown.
    Secret,
}

/// Which servers a parameter belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Every server for itself.
    Server,
    /// Nodes; a coordinator asks its nodes for it and hands changes on to all of them.
    Node,
    /// Coordinators.
    Coordinator,
}

/// How a parameter can be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// By flag, by environment, and at run time by CONFIG SET.
    RunTime,
    /// By flag and environment.
    Start,
    /// Not at all: it tells tools that ask for it how things are.
    Fixed,
}

/// One parameter.
pub struct Param {
    /// Its place in [`PARAMS`].
    pub id: Id,
    /// Its name on the command line (`--name`), in the environment (`LARDER_NAME`) and for CONFIG.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The value at start.
    pub default: &'static str,
    /// Which servers have it.
    pub scope: Scope,
    /// How it can be changed.
    pub access: Access,
    /// What it does, for `--help`.
    pub help: &'static str,
}

const fn run_time(
    id: Id,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    scope: Scope,
    help: &'static str,
) -> Param {
    Param { id, name, kind, default, scope, access: Access::RunTime, help }
}

const fn start(
    id: Id,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    scope: Scope,
    help: &'static str,
) -> Param {
    Param { id, name, kind, default, scope, access: Access::Start, help }
}

const fn fixed(id: Id, name: &'static str, default: &'static str) -> Param {
    let help = "Fixed; for tools that ask.";
    Param { id, name, kind: Kind::Text, default, scope: Scope::Server, access: Access::Fixed, help }
}

/// Redis's default; the other classes are there for tools that ask.
const OUTPUT_LIMITS: &str = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";

/// Every parameter, in the order of [`Id`].
#[rustfmt::skip]
pub static PARAMS: &[Param] = &[
    run_time(Id::Maxmemory, "maxmemory", Kind::Size { min: 0, max: 1 << 50 }, "0", Scope::Node,
        "Memory for keys and values (256mb, 1gb; 0 = no limit) [default: 60 % of the cgroup's limit, else 25 % of the memory available at start; `up`: 256mb a node]"),
    run_time(Id::MaxmemoryPolicy, "maxmemory-policy", Kind::Choice(Policy::NAMES), "allkeys-lru", Scope::Node,
        "What makes room when memory is full: Redis's policies, and allkeys-s3fifo, which a scan of keys that nobody wants again cannot flush; volatile-* evict only keys that expire, noeviction answers -OOM"),
    run_time(Id::MaxmemorySamples, "maxmemory-samples", Kind::Number { min: 1, max: 64 }, "10", Scope::Node,
        "Keys that the lfu policies compare for each eviction; the others need none"),
    run_time(Id::LfuLogFactor, "lfu-log-factor", Kind::Number { min: 0, max: i32::MAX as i64 }, "10", Scope::Node,
        "How slowly the counter of a key's uses rises under the lfu policies"),
    run_time(Id::LfuDecayTime, "lfu-decay-time", Kind::Number { min: 0, max: i32::MAX as i64 }, "1", Scope::Node,
        "Minutes without use that lower that counter by one, 0 = never"),
    run_time(Id::Requirepass, "requirepass", Kind::Secret, "", Scope::Server,
        "Password that clients must give with AUTH or HELLO; rather by environment or file, which other users of the machine cannot see"),
    run_time(Id::ProtectedMode, "protected-mode", Kind::Bool, "yes", Scope::Server,
        "Without a password, refuse clients that do not come from this machine: yes or no"),
    run_time(Id::Maxclients, "maxclients", Kind::Number { min: 1, max: u32::MAX as i64 }, "10000", Scope::Server,
        "Most clients at once"),
    run_time(Id::Timeout, "timeout", Kind::Number { min: 0, max: i32::MAX as i64 }, "0", Scope::Server,
        "Close a client that was idle for so many seconds, 0 = never"),
    run_time(Id::TcpKeepalive, "tcp-keepalive", Kind::Number { min: 0, max: i32::MAX as i64 }, "300", Scope::Server,
        "Seconds between keep-alive probes of client connections, 0 = none"),
    start(Id::TcpBacklog, "tcp-backlog", Kind::Number { min: 1, max: 65_535 }, "511", Scope::Server,
        "Connections that may wait to be accepted"),
    start(Id::Workers, "workers", Kind::Number { min: 0, max: 256 }, "0", Scope::Server,
        "Worker threads [default: one a core; `up`: one a server]"),
    start(Id::Unixsocket, "unixsocket", Kind::Text, "", Scope::Server,
        "Listen on a Unix socket at this path, too"),
    start(Id::Unixsocketperm, "unixsocketperm", Kind::Text, "", Scope::Server,
        "Permissions of the Unix socket, in octal (700)"),
    start(Id::Metrics, "metrics", Kind::Text, "", Scope::Server,
        "Serve metrics for Prometheus over HTTP on this address (127.0.0.1:9121), to everybody who reaches it: /metrics, /stats.json, /healthz, /dashboard.json; `up`: the coordinator's, each node's on the ports behind"),
    start(Id::Join, "join", Kind::Text, "", Scope::Server,
        "Join the cluster that this member is in (HOST:PORT of its --cluster-addr; several with commas: one that answers is enough); the first member has nobody to join"),
    start(Id::ClusterKeyFile, "cluster-key-file", Kind::Text, "", Scope::Server,
        "Be a member of a cluster that forms itself: the file with the key that its members share, made by `larder cluster keygen`"),
    start(Id::ClusterAddr, "cluster-addr", Kind::Text, "", Scope::Server,
        "Where this member listens for the others (HOST:PORT) [default: the host of ADDR, its port + 10000]"),
    start(Id::ClusterAnnounce, "cluster-announce", Kind::Text, "", Scope::Server,
        "Where others reach this server for RESP (HOST:PORT) [default: ADDR]; needed where ADDR is 0.0.0.0"),
    start(Id::DataDir, "data-dir", Kind::Text, "", Scope::Server,
        "Directory for what a member of a cluster is to remember: its name, known coordinators, the slot table; never keys"),
    run_time(Id::BackendTimeoutMs, "backend-timeout-ms", Kind::Number { min: 1, max: 3_600_000 }, "1000", Scope::Coordinator,
        "Longest a client waits for a node's answer, in milliseconds; then the node counts as down"),
    run_time(Id::ConnectTimeoutMs, "connect-timeout-ms", Kind::Number { min: 1, max: 3_600_000 }, "500", Scope::Coordinator,
        "Longest a connection to a node may take to come about, its handshake included, in milliseconds"),
    run_time(Id::ProtoMaxBulkLen, "proto-max-bulk-len", Kind::Size { min: 1 << 20, max: 1 << 30 }, "512mb", Scope::Server,
        "Longest argument of a request and longest value"),
    run_time(Id::ClientQueryBufferLimit, "client-query-buffer-limit", Kind::Size { min: 1 << 20, max: 4_000_000_000 }, "1gb", Scope::Server,
        "Longest request, as a whole, that a client may send; a longer one closes its connection"),
    run_time(Id::ClientOutputBufferLimit, "client-output-buffer-limit", Kind::OutputLimits, OUTPUT_LIMITS, Scope::Server,
        "Close a client that leaves replies of so many bytes untaken: `normal HARD SOFT SECONDS`, at once beyond HARD, after SECONDS beyond SOFT, 0 = never; whatever it says, a client that is owed 1 MB is not read from"),
    run_time(Id::PipelineMax, "pipeline-max", Kind::Number { min: 1, max: 1_000_000 }, "1024", Scope::Coordinator,
        "Requests of one client that may wait for nodes at once; further ones stay unread meanwhile"),
    fixed(Id::Databases, "databases", "16"),
    fixed(Id::Port, "port", "0"),
    fixed(Id::Bind, "bind", ""),
    fixed(Id::Save, "save", ""),
    fixed(Id::Appendonly, "appendonly", "no"),
    fixed(Id::IoThreads, "io-threads", "1"),
    fixed(Id::ReplicaReadOnly, "replica-read-only", "yes"),
    run_time(Id::SlowlogLogSlowerThan, "slowlog-log-slower-than", Kind::Number { min: -1, max: i64::MAX }, "10000", Scope::Node,
        "Keep commands in SLOWLOG that took so many microseconds to execute, 0 = all, -1 = none; below 1000 each command is timed by itself, however many short ones of a kind come together"),
    run_time(Id::SlowlogMaxLen, "slowlog-max-len", Kind::Number { min: 0, max: i64::MAX }, "128", Scope::Node,
        "Commands that SLOWLOG keeps"),
    run_time(Id::LatencyMonitorThreshold, "latency-monitor-threshold", Kind::Number { min: 0, max: i64::MAX }, "0", Scope::Node,
        "Keep for LATENCY what took so many milliseconds: commands, evictions, rounds of expiry; 0 = nothing"),
    run_time(Id::LatencyTracking, "latency-tracking", Kind::Bool, "yes", Scope::Server,
        "Record how long each command takes, for LATENCY HISTOGRAM and all percentiles that INFO and the statistics tell: yes or no"),
    run_time(Id::StatsSampleEvery, "stats-sample-every", Kind::Number { min: 0, max: 1_000_000 }, "256", Scope::Node,
        "Look at one use of a key in so many, by chance, for the statistics by prefix and of hot keys, and count it as so many; 1 = all, 0 = none"),
    run_time(Id::StatsCurve, "stats-curve", Kind::Bool, "yes", Scope::Node,
        "Keep the miss-ratio curve, which tells the hit ratio that other memory sizes would give: yes or no"),
    run_time(Id::StatsSeparator, "stats-separator", Kind::Separator, ":", Scope::Node,
        "What ends the prefix of a key in the statistics by prefix: one to seven bytes"),
    fixed(Id::NotifyKeyspaceEvents, "notify-keyspace-events", ""),
    fixed(Id::ListMaxListpackSize, "list-max-listpack-size", "-2"),
    fixed(Id::HashMaxListpackEntries, "hash-max-listpack-entries", "128"),
    fixed(Id::HashMaxListpackValue, "hash-max-listpack-value", "64"),
    fixed(Id::SetMaxIntsetEntries, "set-max-intset-entries", "512"),
    fixed(Id::ZsetMaxListpackEntries, "zset-max-listpack-entries", "128"),
    fixed(Id::ZsetMaxListpackValue, "zset-max-listpack-value", "64"),
];
