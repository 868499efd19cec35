//! The link to one node: a connection that carries the requests of all clients of a worker, pipelined, and hands
//! each reply to whom it belongs. It comes back by itself when it breaks.
//!
//! A link to a member of a cluster says by which table its requests are routed, as soon as the worker adopts another one:
//! never does it carry a request that was routed by table N before it has announced N or a later one, whether it comes
//! back meanwhile or not. What was routed by an older table and is not sent yet goes before the announcement, as it would
//! have without delay; if the slot was moved on, the node refuses it.

use super::gather::{NodeReply, count_error, encode_error};
use super::handshake::connect;
use super::queue::{InFlight, Queue, Target};
use crate::cluster::{Epoch, Secret};
use crate::config::Id;
use crate::resp::{Error, Framer, Proto};
use crate::server::{Replies, Server, Stream, sleep, timeout};
use crate::stats::{Moment, WorkerStats};
use anyhow::anyhow;
use bytes::{Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Sleep;

/// Pauses between attempts to connect: doubled from the least to the most, with jitter.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(1000);
/// A connection that held for so long is followed by another at once when it breaks.
const STABLE: Duration = Duration::from_millis(100);
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Reads before others on the worker get their turn.
const READS_PER_TURN: usize = 8;

/// How all links of a coordinator introduce themselves.
pub enum Settings {
    /// To nodes that were named to it.
    List {
        /// The nodes' password, if they ask for one.
        password: Option<String>,
        /// The fingerprint of the slot table, which the nodes are told.
        table: String,
        /// The coordinator's name, by which a node speaks of it.
        name: String,
    },
    /// To members of the cluster that it is a member of itself.
    Members {
        /// How it logs in.
        secret: Secret,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody has asked for it yet.
    Idle,
    /// The first attempt is under way: requests wait for it.
    Connecting,
    Up,
    /// Requests fail at once; attempts go on.
    Down,
    /// Nobody sends any more: it ends when all is answered.
    Retired,
}

/// A link to a node.
pub(super) struct Link {
    addr: String,
    proto: Proto,
    settings: Arc<Settings>,
    server: Arc<Server>,
    stats: Arc<WorkerStats>,
    worker: usize,
    state: Cell<State>,
    /// The table says that the node does not serve.
    is_known_down: Cell<bool>,
    is_larder: Cell<bool>,
    /// The table that requests are routed by.
    epoch: Cell<Epoch>,
    /// It is retired, or the node is said to be back.
    news: Notify,
    queue: RefCell<Queue>,
}

impl Link {
    pub(super) fn new(
        addr: String,
        proto: Proto,
        settings: Arc<Settings>,
        server: Arc<Server>,
        stats: Arc<WorkerStats>,
        worker: usize,
    ) -> Rc<Self> {
        Rc::new(Link {
            addr,
            proto,
            settings,
            server,
            stats,
            worker,
            state: Cell::new(State::Idle),
            is_known_down: Cell::new(false),
            is_larder: Cell::new(true),
            epoch: Cell::new(0),
            news: Notify::new(),
            queue: RefCell::default(),
        })
    }

    /// Whether a request that is sent now has a chance.
    pub(super) fn is_up(&self) -> bool {
        !matches!(self.state.get(), State::Down | State::Retired) && !self.is_known_down.get()
    }

    /// Goes by another table from now on, which says whether the node is down. Announces it at once, also if there is
    /// nothing else to send: the node may wait for that.
    pub(super) fn adopt(&self, epoch: Epoch, is_down: bool) {
        if self.is_known_down.replace(is_down) && !is_down {
            self.news.notify_one();
        }
        self.epoch.set(epoch);
        // Otherwise nothing is queued, and a new connection begins with an announcement.
        if matches!(self.state.get(), State::Connecting | State::Up) {
            self.queue.borrow_mut().announce(epoch);
        }
    }

    /// Ends, as the node is no member any more. What was sent or can be sent now is still answered.
    pub(super) fn retire(&self) {
        let before = self.state.replace(State::Retired);
        if before != State::Up {
            self.fail(true, "is no member any more");
        }
        self.news.notify_one();
        self.queue.borrow_mut().wake();
    }

    fn is_retired(&self) -> bool {
        self.state.get() == State::Retired
    }

    async fn retired(&self) {
        while !self.is_retired() {
            self.news.notified().await;
        }
    }

    /// Whether the node is one of Larder's, unless it has said that it is not.
    pub(super) fn is_larder(&self) -> bool {
        self.is_larder.get()
    }

    /// Begins to connect, if nobody has yet.
    pub(super) fn ensure_started(self: &Rc<Self>) {
        if self.state.get() == State::Idle {
            self.state.set(State::Connecting);
            self.queue.borrow_mut().begin(self.epoch.get());
            tokio::task::spawn_local(run(self.clone()));
        }
    }

    /// Queues a request for database `db`. Its reply, after `preamble` others that nobody wants, goes to `target`.
    pub(super) fn send(
        self: &Rc<Self>,
        db: u8,
        preamble: usize,
        since: Moment,
        target: Target,
        encode: impl FnOnce(&mut BytesMut),
    ) {
        self.ensure_started();
        if !self.is_up() {
            return finish(target, Err(Error::CLUSTER_DOWN), since, &self.stats);
        }
        self.queue.borrow_mut().push(db, preamble, since, target, encode);
    }

    /// The last request may have left the link in any database: the next one selects its own.
    pub(super) fn forget_db(&self) {
        self.queue.borrow_mut().db = None;
    }

    fn timeout(&self, id: Id) -> Duration {
        Duration::from_millis(self.server.config.number(id))
    }

    /// A connection is there, and has announced what [`Queue::begin`] told.
    fn come_up(&self, is_larder: bool) {
        // While it was down nothing was queued, announcements neither.
        self.queue.borrow_mut().announce(self.epoch.get());
        self.state.set(State::Up);
        self.is_larder.set(is_larder);
    }

    /// Fails what is in flight, all of it or only what was sent. What was not sent certainly did not run.
    fn fail(&self, all: bool, why: &str) {
        let (sent, unsent) = self.queue.borrow_mut().fail(all);
        if !sent.is_empty() {
            let text = format!("ERR node {} {why}; the command may or may not have run", self.addr);
            self.finish_with(sent, Error::from(text));
        }
        self.finish_with(unsent, Error::CLUSTER_DOWN);
    }

    fn finish_with(&self, failed: VecDeque<InFlight>, error: Error) {
        for InFlight { target, since, .. } in failed {
            finish(target, Err(error.clone()), since, &self.stats);
        }
    }

    /// One for all workers speaks of what happens to the node.
    fn speaks(&self) -> bool {
        self.worker == 0 && self.proto == Proto::Resp2
    }
}

/// Hands a reply over.
fn finish(target: Target, reply: NodeReply, now: Moment, stats: &WorkerStats) {
    match target {
        Target::Client { replies, place, command, started } => {
            let failed = match &reply {
                Ok(bytes) => bytes.first() == Some(&b'-'),
                Err(_) => true,
            };
            let reply = reply.unwrap_or_else(|error| encode_error(&error));
            hand_over(&replies, place, &reply, failed, command, started, now, stats);
        }
        Target::Part { gather, index } => gather.borrow_mut().fill(index, reply, now),
        Target::Discard | Target::Announced { .. } => {}
    }
}

#[allow(clippy::too_many_arguments, reason = "the parts of one target, apart from its reply")]
fn hand_over(
    replies: &Rc<RefCell<Replies>>,
    place: u64,
    reply: &[u8],
    failed: bool,
    command: u16,
    started: Moment,
    now: Moment,
    stats: &WorkerStats,
) {
    if failed {
        count_error(stats, reply);
    }
    stats.executed(command, 1, now.ns_since(started), failed.into());
    replies.borrow_mut().fill(place, reply);
}

/// Connects, serves, and connects again, until the server stops or the link is retired.
async fn run(link: Rc<Link>) {
    let mut pause = RETRY_MIN;
    let mut complained = false;
    loop {
        let allowed = link.timeout(Id::ConnectTimeoutMs);
        let epoch = || link.queue.borrow_mut().begin(link.epoch.get());
        let connected = tokio::select! {
            biased;
            () = link.retired() => return,
            connected = timeout(allowed, connect(&link.addr, link.proto, &link.settings, epoch)) => connected,
        };
        let connected = connected
            .unwrap_or_else(|_| Err(anyhow!("no answer within {} ms", allowed.as_millis())));
        let ended = match connected {
            Ok((stream, is_larder)) => {
                if complained && link.speaks() {
                    tracing::info!(node = link.addr, "node is back");
                }
                (complained, pause) = (false, RETRY_MIN);
                link.come_up(is_larder);
                let began = Moment::now();
                let ended = serve(&link, Stream::Tcp(stream)).await;
                if link.server.is_stopping() {
                    link.state.set(State::Down);
                    return link.fail(true, "is being left, as the coordinator stops");
                }
                match ended {
                    Ended::Lost(reason) | Ended::Silent(reason) if link.is_retired() => {
                        return link.fail(true, &reason);
                    }
                    // The node may be well: what was not sent waits for the next connection.
                    Ended::Lost(reason) if began.elapsed() >= STABLE => {
                        tracing::debug!(node = link.addr, reason, "connecting again");
                        link.state.set(State::Connecting);
                        link.fail(false, &reason);
                        continue;
                    }
                    Ended::Lost(reason) | Ended::Silent(reason) => anyhow!(reason),
                    Ended::Retired => return,
                }
            }
            Err(error) => error,
        };
        link.state.set(State::Down);
        link.fail(true, &format!("{ended:#}"));
        if !complained && link.speaks() {
            tracing::warn!(
                node = link.addr,
                reason = format!("{ended:#}"),
                "node is down: its keys answer errors"
            );
        }
        complained = true;
        let jittered = pause.mul_f64(0.5 + fastrand::f64());
        tokio::select! {
            () = link.server.stopped() => return,
            () = link.news.notified() => {}
            () = sleep(jittered) => {}
        }
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Carries requests and replies until the connection breaks; answers why it did.
async fn serve(link: &Rc<Link>, stream: Stream) -> Ended {
    let mut carrier = Carrier {
        link,
        stream,
        buf: Vec::new(),
        framer: Framer::default(),
        deadline: None,
        progress: Moment::now(),
    };
    std::future::poll_fn(|cx| carrier.poll(cx)).await
}

/// Why a connection is over.
enum Ended {
    /// It was closed or broke.
    Lost(String),
    /// The node does not answer: the next connection would not help.
    Silent(String),
    /// It is not needed any more.
    Retired,
}

struct Carrier<'a> {
    link: &'a Rc<Link>,
    stream: Stream,
    buf: Vec<u8>,
    framer: Framer,
    /// When to look whether the oldest request has waited too long, if anything was in flight since it was set.
    deadline: Option<Pin<Box<Sleep>>>,
    /// When the oldest request, or its reply, last moved a bit: a large value may take longer than a node may be
    /// silent.
    progress: Moment,
}

impl Carrier<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let holds_back = self.link.queue.borrow_mut().holds_back();
        for _ in 0..READS_PER_TURN {
            if !holds_back && let Err(error) = self.write(cx) {
                return Poll::Ready(Ended::Lost(format!("broke the connection ({error})")));
            }
            match self.read(cx) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Ended::Lost("closed the connection".to_owned()));
                }
                Poll::Ready(Ok(_)) => {
                    if let Err(reason) = self.deliver() {
                        return Poll::Ready(Ended::Lost(reason));
                    }
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Ended::Lost(format!("broke the connection ({error})")));
                }
                Poll::Pending => {
                    self.link.queue.borrow_mut().rest(cx.waker());
                    if holds_back {
                        // Unlike a wake this lets the runtime ask the system for more first.
                        let yielded = pin!(tokio::task::yield_now()).poll(cx);
                        debug_assert!(yielded.is_pending());
                    }
                    return self.check_deadline(cx);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut queue = self.link.queue.borrow_mut();
        while !queue.out.is_empty() {
            let sent = queue.sent();
            let written = queue.out.write_to(|slices| self.stream.try_write(slices))?;
            // What later requests move says nothing of a node that may have stopped: the kernel takes them.
            if written > 0 && queue.in_flight.front().is_some_and(|oldest| oldest.end > sent) {
                self.progress = Moment::now();
            }
            if !queue.out.is_empty() {
                match self.stream.poll_write_ready(cx) {
                    Poll::Ready(ready) => ready?,
                    Poll::Pending => break,
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            self.buf.reserve(READ_BYTES);
            match self.stream.try_read(&mut self.buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// Hands out the whole replies in the buffer.
    fn deliver(&mut self) -> Result<(), String> {
        let now = Moment::now();
        self.progress = now;
        let mut consumed = 0;
        loop {
            let rest = &self.buf[consumed..];
            let length = match self.framer.frame(rest) {
                Ok(Some(length)) => length,
                Ok(None) => break,
                Err(_) => return Err("answered something that is not RESP".to_owned()),
            };
            let reply = &rest[..length];
            consumed += length;
            // A push message answers no request.
            if reply[0] == b'>' {
                continue;
            }
            let Some(InFlight { target, .. }) = self.link.queue.borrow_mut().pop_sent() else {
                return Err("answered without being asked".to_owned());
            };
            match target {
                // From the link's buffer to the client's: the one copy.
                Target::Client { replies, place, command, started } => {
                    let failed = reply[0] == b'-';
                    let stats = &self.link.stats;
                    hand_over(&replies, place, reply, failed, command, started, now, stats);
                }
                target => finish(target, Ok(Bytes::copy_from_slice(reply)), now, &self.link.stats),
            }
        }
        self.buf.drain(..consumed);
        if self.buf.is_empty() && self.buf.capacity() > 4 * READ_BYTES {
            self.buf = Vec::new();
        }
        Ok(())
    }

    /// Whether the oldest request has waited too long. The timer is only ever moved when it has run out.
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let oldest = self.link.queue.borrow().in_flight.front().map(|first| first.since);
        if oldest.is_none() && self.link.is_retired() {
            return Poll::Ready(Ended::Retired);
        }
        // Later requests have later deadlines: one that was set for another will do for them.
        while self.deadline.as_ref().is_none_or(|timer| timer.is_elapsed()) {
            let Some(oldest) = oldest.map(|since| since.max(self.progress)) else {
                self.deadline = None;
                break;
            };
            let allowed = self.link.timeout(Id::BackendTimeoutMs);
            let left = allowed.saturating_sub(oldest.elapsed());
            if left.is_zero() {
                let reason = format!("did not answer within {} ms", allowed.as_millis());
                return Poll::Ready(Ended::Silent(reason));
            }
            let timer = self.deadline.insert(Box::pin(sleep(left)));
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
        }
        Poll::Pending
    }
}
