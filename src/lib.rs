//! Larder: a cache cluster that speaks the Redis protocol.
//!
//! A **node** keeps keys in an LRU hash table under a memory limit. A **coordinator** is a proxy: clients connect to it
//! as if it were one Redis, and it shards keys over the nodes by hash slot. One binary is both, and the client.
//!
//! # The path of a request
//!
//! The same six stops for both roles:
//!
//! ```text
//!           client
//!             |  bytes                                            ^  one gathered write
//!             v                                                   |
//!  1  server/connection    reads what is there              server/replies    in request order
//!             |                                                   ^
//!  2  resp/decode          frames one request as slices           |
//!             |                                                   |
//!  3  command/lookup       its row; server/dispatch checks arity, login, MULTI
//!             |                                                   |
//!  4  Service::execute ----------------+                          |
//!             | node                   | coordinator              |
//!             v                        v                          |
//!     store: lock the shards    coordinator/plan: row + slots -> parts
//!     of the keys, run the             |                          |
//!     row's handler                    v                          |
//!             |                 coordinator/link: one pipelined   |
//!             |                 connection a node, shared         |
//!             |                        |                          |
//!             v                        v                          |
//!  5  resp/reply           merge: the nodes' replies -> one ------+
//! ```
//!
//! A request is copied once on its way through a coordinator, into the output of the link; so is its reply, into the
//! output of the client. Between [`resp`] and the handler nothing is allocated for a request, unless it is large: a node
//! reads it into a buffer of its own, in which its value stays.
//!
//! # The modules, downwards
//!
//! Each depends only on those below it.
//!
//! - [`cli`] and `start`: `up | node | coordinator | cluster | client | stats`, and what goes wrong at start.
//! - [`client`]: the interactive client, and the statistics for people.
//! - [`metrics`]: what `--metrics` serves over HTTP: Prometheus's metrics, the report as JSON.
//! - [`membership`]: a thread that finds the other members and talks to them. The only place with libp2p.
//! - [`node`], [`coordinator`]: the two roles, as [`server::Service`]s.
//! - [`cluster`]: slots, and which node owns which: state machines, and [`cluster::Local`], where workers and membership
//!   meet.
//! - [`server`]: listener, workers, connections, sessions, drain.
//! - [`command`]: the table, one row a command ([`command::COMMANDS`]), and the handlers by family.
//! - [`stats`]: counters, latency histograms, what took long, INFO, reports.
//! - [`config`]: every parameter once ([`config::PARAMS`]).
//! - [`store`]: the LRU hash table. No I/O, no protocol, no clock.
//! - [`resp`]: bytes to requests and replies to bytes. Knows no command.
//!
//! [`command`] and [`server`] name each other: a handler is given the session and the server it runs on, and a server
//! looks commands up.
//!
//! # Decisions
//!
//! - **A worker is a thread with a current-thread runtime.** Connections, links and their replies are `Rc`, not `Arc`;
//!   workers share the store's shards, each behind a mutex, and counters that only their owner writes. The timers of all
//!   have a thread to themselves, so that no worker looks after them each time it asks the system for events.
//! - **A command is one plain row**: name, arity, keys, flags, route, lock, handler, syntax, summary. Node, coordinator,
//!   COMMAND, the client's help and the README's list read it. No other place compares command names.
//! - **Every shard keeps an exact LRU order**, and eviction happens before the memory is taken; the other policies use the
//!   same lists (`store/evict.rs`).
//! - **No operation of the store takes long.** The index grows by linear hashing, one bucket at a time, so that no request
//!   ever pays for a rehash; a SCAN cursor is a position in bit-reversed hash space, which no growth moves. Keys expire by
//!   a timing wheel. Evicting down to a lower limit, moving entries together and changing the policy are done a little at
//!   a time by [`store::Store::tick`]; what FLUSHALL leaves, and large values, are freed by threads of their own.
//! - **An entry is one cell of an arena**, with its links for the order of eviction and for the wheel in it, named by a
//!   32-bit handle; the index has the handle and 8 bits of the hash. So an item of 48 bytes takes 26 more. Cells that
//!   others have left are moved together, a few an operation, or sizes that drift would make holes; holes that remain
//!   (among large values too) are taken off the memory limit.
//! - **Requests are decoded a batch at a time**, and what their look-ups will need is fetched ahead, step by step for the
//!   whole batch: their waits for memory overlap. A node with one worker also locks the shards of a batch together. A use
//!   is entered in the order of eviction a few uses later, when its neighbours have come (`store/order.rs`).
//! - **Entries lie in large pages**, where the system has them; a thread of its own has the next one cleared before it is
//!   needed (`store/pool.rs`).
//! - **Short requests of one command that come together are timed together**, each as long as the mean: a clock reading
//!   would be a tenth of their user time. If they take long together the last one stands for them in SLOWLOG. With a
//!   `slowlog-log-slower-than` below a millisecond, or a `latency-monitor-threshold`, each is timed by itself.
//! - **Requests to a node that is busy wait for others**, for four turns of the runtime at most: they share system calls,
//!   here and at the node.
//! - **Replies to requests that came together leave together**: what nodes answer apart waits for the rest of its batch, for
//!   a few milliseconds at most.
//! - **A connection has its turn**: 64 KB of requests, then the runtime looks who else has sent something.
//! - **What is known is known once**: a node's [`stats::report::Report`] goes to coordinators as JSON, which add it up, and
//!   from it come `LARDER STATS`, the metrics and what `larder stats` draws. Latencies are histograms throughout, so that
//!   percentiles of a cluster are those of all its requests.
//! - **Uses of keys are looked at by chance** (`store/usage.rs`): one in 256 for hot keys and the counts by prefix, those of
//!   one key in 32 for the miss-ratio curve, or of fewer where they are used much; keys and bytes by prefix are counted when
//!   somebody asks (`store/census.rs`). With all that a request takes some 2 % more instructions.
//! - **`unsafe` is in three small modules**: `store/pool.rs` maps memory, `store/prefetch.rs` fetches ahead,
//!   `store/reclaim.rs` tells the allocator to give memory back. `tests/memcheck` runs them under AddressSanitizer and
//!   valgrind.
//! - **Replies keep the order of the requests**: a request that goes to a node keeps a place in its connection's queue
//!   ([`server::Replies`]), which the reply fills.
//! - **A node that does not answer costs its own keys only.** Its link fails what is in flight after
//!   `backend-timeout-ms`, then answers at once while it tries to come back; other links do not notice. A request that
//!   was sent is never sent again.
//! - **What decides in a cluster that forms itself is state machines** without I/O and clock, run in virtual time over
//!   thousands of random histories with everything going wrong; taking any one rule out shows stale reads, or lost writes
//!   ([`cluster`]). [`membership`] drives them in a thread of its own.
//! - **A worker holds its fence for the time of a batch**: a mutex that nobody else wants, but who publishes another
//!   fence. So when that is done, no request is under way that began under the old one ([`cluster::Fences`]).
//! - **Slots move without a refusal**: a coordinator's links announce its table in order with the requests, requests for
//!   a slot between two owners wait at the coordinator (`coordinator/waiting.rs`), and a node serves what it is to give up
//!   until all links have announced the table that takes it.
//! - **Keys know no slot**: a node that gave slots up walks through its keys, a few at a time, and removes those
//!   (`store/sweep.rs`). A table a slot would make that quicker, and everything else slower.
//! - **What can grow is bounded** (see [`config`]): requests and values by length, replies that a client does not take by
//!   leaving its further requests unread, requests in flight by `pipeline-max`.
//! - **What a client is sent unasked** (MONITOR) is pushed on its [`server::Client`], from whichever worker; its own
//!   connection sends it behind the replies that are due. Whoever leaves 64 MB of it untaken is closed.
//!
//! # Invariants
//!
//! - The charge of a shard is the sum of its live cells, its large values, its buckets and what its policy remembers; the
//!   store's `used_memory` is the sum of the shards. `store/check.rs` walks through all of a shard, and `store/model.rs`
//!   has that done after every step of random operations, beside a plain model.
//! - A cell is live, in the index, in at most one list and, if it expires, in one slot of the wheel, or it is free.
//! - Shards are locked in index order, and nothing waits while it holds one.
//! - A handler that answers an error has written nothing before.
//! - What a link has in flight is what it has sent and queued, in that order: one reply for each.
//!
//! # Reading order
//!
//! [`command`] and `command/table.rs`, [`server`] with `server/connection.rs` and `server/dispatch.rs`, [`node`], then
//! `coordinator/plan.rs` and `coordinator/link.rs`; [`store`] by itself: `store/entry.rs`, then `shard.rs` with what it
//! puts together (`index.rs`, `arena.rs`, `order.rs`, `evict.rs`, `wheel.rs`), then `keyspace.rs`; [`stats`] with
//! `stats/report.rs`, then [`metrics`].

pub mod cli;
pub mod client;
pub mod cluster;
pub mod command;
pub mod config;
pub mod coordinator;
mod logging;
pub mod membership;
pub mod metrics;
pub mod node;
pub mod resp;
pub mod server;
mod start;
pub mod stats;
pub mod store;
