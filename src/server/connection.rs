//! One client connection: reads what is there, executes every whole request in it, and writes the replies in
//! one gathered write.

use super::batch::{BatchEnd, Progress, Request};
use super::dispatch::{Call, Outcome, Service, dispatch, refuse_unknown};
use super::input::{Input, READ_BYTES};
use super::late::Late;
use super::stream::Stream;
use super::{Replies, ReplyMode, Server, Session};
use crate::command::{self, Likely};
use crate::config::Id;
use crate::resp::{Decoder, Error, Limits, Output, Reply};
use crate::stats::{Moment, WorkerStats, add};
use crate::store::Ahead;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// While so many bytes of replies are not taken by the client, or are to be expected, its further requests stay
/// unread.
const REPLY_BYTES_MAX: usize = 1 << 20;
/// Requests that are decoded and prepared together; a bit stands for each, of 64.
const BATCH_MAX: usize = 16;
/// Reads of one connection before others get their turn, and bytes of them.
const READS_PER_TURN: usize = 4;
const BYTES_PER_TURN: usize = READ_BYTES;
/// How long a connection that is idle when the server stops still waits for what had come by then: the runtime has asked
/// the system meanwhile. The drain wakes it again.
const LAST_LOOK: Duration = Duration::from_millis(1);

/// What the connections of one worker share.
pub(super) struct Worker<S> {
    pub(super) server: Arc<Server>,
    pub(super) service: S,
    pub(super) stats: Arc<WorkerStats>,
    /// The read buffer of whichever connection is reading: an idle connection holds none.
    pub(super) read_buffer: RefCell<Vec<u8>>,
    /// Who waits for the rest of a batch.
    pub(super) late: Rc<Late>,
    /// The requests at hand of whichever connection is executing.
    pub(super) batch: RefCell<Vec<Request>>,
}

struct Connection<S> {
    worker: Rc<Worker<S>>,
    /// The worker's counters. What the server asks itself is counted apart, and forgotten.
    stats: Arc<WorkerStats>,
    stream: Stream,
    session: Session,
    replies: Rc<RefCell<Replies>>,
    input: Input,
    decoder: Decoder,
    /// The command of the latest request: the next one is often of the same.
    likely: Likely,
    /// There are whole requests in the buffer that could not be executed for lack of room for their replies.
    starved: bool,
    /// The request at the front can only be executed when no reply is missing.
    wait: bool,
    /// The client sends nothing more.
    input_ended: bool,
    /// The client has not taken all that was ready.
    owed: bool,
    /// Nothing is at hand, and nothing is owed: there is only to read.
    quiet: bool,
    /// Since when it has been idle while the server stops.
    stopping: Option<Instant>,
}

/// Serves a connection to its end.
pub(super) async fn serve<S: Service>(worker: Rc<Worker<S>>, stream: Stream, session: Session) {
    let client = session.client.clone();
    let apart = client.is_inner().then(|| Arc::new(WorkerStats::new()));
    let mut connection = Connection {
        stats: apart.unwrap_or_else(|| worker.stats.clone()),
        session,
        replies: Rc::new(RefCell::new(Replies::new(client, worker.late.clone()))),
        worker,
        stream,
        input: Input::default(),
        decoder: Decoder::default(),
        likely: Likely::default(),
        starved: false,
        wait: false,
        input_ended: false,
        owed: false,
        quiet: true,
        stopping: None,
    };
    std::future::poll_fn(|cx| {
        connection.session.client.set_waker(cx.waker());
        Poll::Ready(())
    })
    .await;
    let ended = std::future::poll_fn(|cx| connection.poll(cx)).await;
    if let Err(error) = ended {
        tracing::debug!(client = connection.session.client.addr, %error, "connection lost");
    }
}

impl<S: Service> Connection<S> {
    /// Goes on until there is nothing to do. Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut taken = 0;
        for _ in 0..READS_PER_TURN {
            if self.session.client.is_killed() {
                return Poll::Ready(Ok(()));
            }
            if !self.quiet || self.session.client.has_pushed() {
                let executed = self.execute();
                self.take_pushed();
                let flushed = self.write(cx)?;
                let answered = self.replies.borrow().waiting() == 0;
                let ends = self.session.closing || self.input_ended;
                let looks_on = self.session.is_monitoring();
                self.quiet = flushed && answered && self.input.is_empty() && !ends && !looks_on;
                if !self.quiet {
                    let more = executed || (self.starved && self.has_room());
                    if flushed && more && !self.input.is_empty() {
                        // There may be more whole requests that waited for room.
                        continue;
                    }
                    // Whoever looks on and takes its time must not keep the server.
                    let left = looks_on && self.worker.server.is_stopping();
                    if answered && (left || (flushed && ends)) {
                        return Poll::Ready(Ok(()));
                    }
                    if !self.may_read() {
                        return Poll::Pending;
                    }
                }
            }
            if taken >= BYTES_PER_TURN {
                break;
            }
            match self.read(cx) {
                Poll::Ready(Ok(read)) => {
                    (self.input_ended, self.quiet) = (read == 0, false);
                    taken += read;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.input.give_back(&self.worker.read_buffer);
                    // All that had come before the stop is answered: done.
                    if self.quiet && self.worker.server.is_stopping() {
                        let since = *self.stopping.get_or_insert_with(Instant::now);
                        if since.elapsed() >= LAST_LOOK {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    return Poll::Pending;
                }
            }
        }
        // Others first, those too of whom the runtime does not know yet that they have sent something: a wake alone would
        // bring this task back before it has asked the system.
        let yielded = std::pin::pin!(tokio::task::yield_now()).poll(cx);
        debug_assert!(yielded.is_pending());
        Poll::Pending
    }

    fn has_room(&self) -> bool {
        let replies = self.replies.borrow();
        let config = &self.worker.server.config;
        replies.expected_bytes() < REPLY_BYTES_MAX
            && replies.waiting() < config.number(Id::PipelineMax) as usize
    }

    fn may_read(&self) -> bool {
        !self.session.closing && !self.input_ended && !self.wait && self.has_room()
    }

    /// Reads what is there, some at least. Answers 0 when the client sends nothing more.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            // No room is made before there is something to put into it: a part of a request may be all that ever comes.
            ready!(self.stream.poll_read_ready(cx))?;
            let expected = self.decoder.expected(&self.input);
            let room = self.input.make_room(expected, S::KEEPS_ARGUMENTS, &self.worker.read_buffer);
            match self.stream.try_read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    add(&self.stats.net_in, read as u64);
                    return Poll::Ready(Ok(read));
                }
            }
        }
    }

    /// Writes what is ready; answers whether all of it is out.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let flushed = self.try_write(cx)?;
        if self.owed || !flushed {
            let bytes = if flushed { 0 } else { self.replies.borrow().bytes() };
            let server = &self.worker.server;
            let (limit, now) = (server.config.output_limit(), server.now_us() / 1000);
            self.session.client.note_owed(bytes, limit, now);
            self.owed = !flushed;
        }
        Ok(flushed)
    }

    /// Takes what others have pushed, unless replies that come before it are missing.
    fn take_pushed(&mut self) {
        if !self.session.client.has_pushed() || self.session.closing {
            return;
        }
        let mut replies = self.replies.borrow_mut();
        if self.session.reply_mode == ReplyMode::Off {
            self.session.client.take_pushed(&mut Output::default());
        } else if replies.waiting() == 0 {
            self.session.client.take_pushed(&mut replies.ready);
        }
    }

    fn try_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut replies = self.replies.borrow_mut();
        while !replies.ready.is_empty() {
            let written = replies.ready.write_to(|slices| self.stream.try_write(slices))?;
            add(&self.stats.net_out, written as u64);
            if !replies.ready.is_empty() {
                match self.stream.poll_write_ready(cx) {
                    Poll::Ready(ready) => ready?,
                    Poll::Pending => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Decodes the whole requests from `start` on, as many as may be executed together.
    fn decode_batch(&mut self, batch: &mut Vec<Request>, start: usize) -> BatchEnd {
        batch.clear();
        let (bytes, config) = (&*self.input, &self.worker.server.config);
        let limits = Limits {
            bulk_max: config.number(Id::ProtoMaxBulkLen) as i64,
            authenticated: self.session.authenticated,
        };
        // What a login allows must not be judged before it.
        let most = if limits.authenticated { BATCH_MAX } else { 1 };
        let mut at = start;
        while batch.len() < most {
            if at == bytes.len() {
                return BatchEnd::Input;
            }
            let decoded = match self.decoder.decode(&bytes[at..], limits) {
                Ok(Some(decoded)) => decoded,
                Ok(None) => {
                    let rest = (bytes.len() - at) as u64;
                    if rest > config.number(Id::ClientQueryBufferLimit) {
                        tracing::warn!(
                            client = self.session.client.addr,
                            "request longer than client-query-buffer-limit: closed the connection"
                        );
                        self.session.client.kill();
                    }
                    return BatchEnd::Input;
                }
                Err(error) => return BatchEnd::Error(error),
            };
            let args = self.decoder.args(&bytes[at..], &decoded);
            // What is wrong with it is worked out when it is its turn.
            let found = if args.is_empty() { None } else { self.likely.lookup(args).ok() };
            let hint = found.map_or(0, |found| self.worker.service.hint(found, args));
            batch.push(Request { at, decoded, found, hint });
            at += decoded.length;
        }
        BatchEnd::Full
    }

    /// Executes a batch while there is room for replies. Answers whether all of it was executed.
    fn execute_batch(&mut self, batch: &[Request], progress: &mut Progress) -> bool {
        if batch.is_empty() {
            return true;
        }
        self.input.lend();
        let worker = self.worker.clone();
        let known = || batch.iter().filter_map(|request| Some((request.found?, request.hint)));
        let mut held = worker.service.hold(known());
        // A request alone has nobody to wait with it for the second step.
        let steps = if batch.len() > 1 { &Ahead::STEPS[..] } else { &Ahead::STEPS[..1] };
        let mut over = 0u64;
        for &step in steps {
            for (number, (found, hint)) in known().enumerate() {
                if over >> number & 1 == 0 && !worker.service.look_ahead(&held, found, hint, step) {
                    over |= 1 << number;
                }
            }
        }
        if progress.end == Moment::START {
            // The clock is read while memory is fetched.
            progress.end = Moment::now();
            progress.now = worker.server.wall.ms(progress.end);
        }
        let executed = self.execute_each(&worker, &mut held, batch, progress);
        if progress.untimed > 0 {
            self.read_clock(&worker, batch, progress, false);
        }
        if !worker.service.may_reply(held) {
            let client = self.session.client.addr.as_str();
            tracing::debug!(client, "the lease ended before the reply: closed the connection");
            // On a node no reply waits for another one: all of them are here.
            self.replies.borrow_mut().ready = Output::default();
            self.session.client.kill();
            return false;
        }
        executed
    }

    fn execute_each<'a>(
        &mut self,
        worker: &'a Worker<S>,
        held: &mut S::Held<'a>,
        batch: &[Request],
        progress: &mut Progress,
    ) -> bool {
        let watched = !worker.server.monitors.is_empty();
        for (number, request) in batch.iter().enumerate() {
            if self.session.closing {
                return false;
            }
            if !self.has_room() {
                self.starved = true;
                return false;
            }
            let args = self.decoder.args(&self.input[request.at..], &request.decoded);
            let args = args.within(self.input.lent());
            if !args.is_empty() {
                let mut call = Call {
                    server: &worker.server,
                    session: &mut self.session,
                    replies: &self.replies,
                    now: progress.now,
                    started: progress.end,
                    stats: &self.stats,
                };
                let (outcome, id) = match request.found {
                    Some(found) => {
                        dispatch(&worker.service, held, &mut call, args, found, request.hint)
                    }
                    None => (refuse_unknown(&mut call, args), None),
                };
                if outcome == Outcome::Wait {
                    self.wait = true;
                    return false;
                }
                if let (Outcome::Done { failed }, Some(id)) = (outcome, id) {
                    (progress.untimed, progress.latest) = (progress.untimed + 1, number);
                    let looked_at = worker.stats.is_looked_at();
                    let alike = batch.get(number + 1).is_some_and(|next| request.is_like(next));
                    if !alike || failed || looked_at || worker.server.wants_exact_times() {
                        let ns = self.read_clock(worker, batch, progress, failed);
                        if looked_at {
                            worker.server.note_prefix(&worker.stats, ns, id, args);
                        }
                    }
                } else {
                    self.read_clock(worker, batch, progress, false);
                }
                if let Some(id) = id
                    && (watched || self.session.is_monitoring())
                {
                    let server = &worker.server;
                    server.show(&self.session, &command::all()[usize::from(id)], args);
                    // One's own command comes right behind its reply.
                    self.take_pushed();
                }
                progress.last = id.or(progress.last);
            }
            progress.consumed = request.at + request.decoded.length;
        }
        true
    }

    /// Counts the requests of one command that have been executed since the clock was read last, if there were any, and
    /// answers how many nanoseconds each took. The end of one command is the start of the next. `failed` says whether the
    /// latest did. If they took long together the latest stands for them in SLOWLOG.
    fn read_clock(
        &self,
        worker: &Worker<S>,
        batch: &[Request],
        progress: &mut Progress,
        failed: bool,
    ) -> u64 {
        let count = std::mem::take(&mut progress.untimed);
        let latest = batch.get(progress.latest).filter(|_| count > 0);
        let Some((latest, found)) = latest.and_then(|latest| Some((latest, latest.found?))) else {
            return 0;
        };
        let end = Moment::now();
        let ns = end.ns_since(progress.end);
        progress.end = end;
        self.stats.executed(found.id, count, ns, failed.into());
        let args = self.decoder.args(&self.input[latest.at..], &latest.decoded);
        worker.server.note_slow(ns, found.id, args, &self.session.client);
        ns / count
    }

    /// Executes the whole requests in the buffer while there is room for their replies. Answers whether any
    /// was executed.
    fn execute(&mut self) -> bool {
        if self.input.is_empty() || self.session.closing {
            return false;
        }
        if self.wait && self.replies.borrow().waiting() > 0 {
            return false;
        }
        self.wait = false;
        self.starved = false;
        let worker = self.worker.clone();
        let mut batch = std::mem::take(&mut *worker.batch.borrow_mut());
        let mut progress =
            Progress { consumed: 0, last: None, end: Moment::START, untimed: 0, latest: 0, now: 0 };
        loop {
            let authenticated = self.session.authenticated;
            let end = self.decode_batch(&mut batch, progress.consumed);
            let executed = self.execute_batch(&batch, &mut progress);
            if !executed || self.session.closing {
                // What is decoded but not executed will be decoded again, when there is room for it.
                self.decoder.rewind();
                break;
            }
            if authenticated != self.session.authenticated {
                // What follows was judged by limits that hold no more.
                self.decoder.rewind();
                continue;
            }
            self.decoder.forget();
            match end {
                BatchEnd::Full => {}
                BatchEnd::Input => break,
                BatchEnd::Error(error) => {
                    let error = Error::from_parts(&[b"ERR Protocol error: ", &error.0]);
                    let mut replies = self.replies.borrow_mut();
                    Reply::new(replies.writer(), self.session.proto()).error(&error);
                    self.stats.error(error.code());
                    self.session.closing = true;
                    progress.consumed = self.input.len();
                    break;
                }
            }
        }
        batch.clear();
        *worker.batch.borrow_mut() = batch;
        let Progress { consumed, last, now, .. } = progress;
        self.input.consume(consumed);
        if consumed > 0 {
            let queued = self.session.queue.as_ref().map_or(-1, |q| q.commands.len() as i32);
            let mut replies = self.replies.borrow_mut();
            replies.end_batch();
            replies.starved = self.starved;
            let output = replies.bytes();
            drop(replies);
            let command = last.unwrap_or(u16::MAX);
            // Nothing but what is no request.
            let now = if now == 0 { worker.server.wall.ms(Moment::now()) } else { now };
            self.session.client.note(now, command, queued, self.input.len(), output);
        }
        consumed > 0
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.session.stop_monitoring(&self.worker.server);
        self.worker.server.clients.remove(&self.session.client);
        self.session.forget_routes(&self.worker.server);
    }
}
