//! From a request to the service: the row of its command, the checks that hold for every command, and the queue
//! of a transaction.

use super::{Queue, Replies, ReplyMode, Server, Session};
use crate::command::{self, Found, Route, find, flag};
use crate::resp::{Args, Error, Reply};
use crate::stats::{Moment, WorkerStats};
use crate::store::Ahead;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

const NOAUTH: Error = Error::new("NOAUTH Authentication required.");
/// What clients of other machines are told.
pub(crate) const DENIED: Error = Error::new(
    "DENIED this server has no password, so it serves clients of its own machine only (protected mode). Give it one with \
     --requirepass, LARDER_REQUIREPASS or CONFIG SET requirepass, or, if everybody who can reach it may use it, start it \
     with --protected-mode no.",
);
const NO_MULTI: Error = Error::new("ERR Command not allowed inside a transaction");
const NO_KEYS: Error = Error::new("ERR Replica can't interact with the keyspace");
const EXECABORT: Error = Error::new("EXECABORT Transaction discarded because of previous errors.");

/// What has become of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is answered.
    Done {
        /// Whether with an error.
        failed: bool,
    },
    /// It is answered with an error and was not executed.
    Refused,
    /// Its answer will fill the place that was kept for it.
    Pending,
    /// It must be tried again when the connection waits for nothing any more.
    Wait,
}

/// What a role does with the requests of its clients. Each worker has its own.
pub trait Service: 'static {
    /// Whether it keeps arguments: a large one is then read into a buffer of its own.
    const KEEPS_ARGUMENTS: bool;

    /// What is kept from one request of a batch to the next.
    type Held<'a>;

    /// What is worth knowing of a request before it is executed; handed to the calls below.
    fn hint(&self, found: Found, args: Args<'_>) -> u64;

    /// Takes what the requests of a batch will need all together.
    fn hold(&self, batch: impl Iterator<Item = (Found, u64)>) -> Self::Held<'_>;

    /// Prepares for a request that will be executed soon, a step at a time for all that are at hand. Answers whether
    /// another step is of use.
    fn look_ahead(&self, held: &Self::Held<'_>, found: Found, hint: u64, step: Ahead) -> bool;

    /// Executes a request.
    fn execute<'a>(
        &'a self,
        held: &mut Self::Held<'a>,
        call: &mut Call<'_>,
        found: Found,
        args: Args<'_>,
        hint: u64,
    ) -> Outcome;

    /// Executes what MULTI queued.
    fn execute_queue<'a>(
        &'a self,
        held: &mut Self::Held<'a>,
        call: &mut Call<'_>,
        queue: Queue,
    ) -> Outcome;

    /// Whether a command that is about to be queued could run now.
    ///
    /// # Errors
    /// Says why not.
    fn admit<'a>(
        &'a self,
        held: &mut Self::Held<'a>,
        call: &Call<'_>,
        found: Found,
        args: Args<'_>,
    ) -> Result<(), Error>;

    /// Ends a batch. Answers whether what it executed may be replied: if not, the client must not learn of it.
    fn may_reply(&self, held: Self::Held<'_>) -> bool;
}

/// What a request is executed with.
pub struct Call<'a> {
    /// The server.
    pub server: &'a Server,
    /// The connection's state.
    pub session: &'a mut Session,
    /// The connection's replies.
    pub replies: &'a Rc<RefCell<Replies>>,
    /// The time, in milliseconds since 1970.
    pub now: u64,
    /// When the request was taken up.
    pub started: Moment,
    /// The worker's counters.
    pub stats: &'a Arc<WorkerStats>,
}

impl Call<'_> {
    /// Answers at once with what `write` writes, or with its error.
    pub fn answer(
        &mut self,
        write: impl FnOnce(&mut Session, &mut Reply<'_>) -> Result<(), Error>,
    ) -> Outcome {
        let mut replies = self.replies.borrow_mut();
        let mut reply = Reply::new(replies.writer(), self.session.proto());
        let result = write(self.session, &mut reply);
        if let Err(error) = &result {
            reply.error(error);
            self.stats.error(error.code());
        }
        Outcome::Done { failed: result.is_err() }
    }

    /// Answers at once with the reason why it cannot be executed here and now.
    pub fn turn_away(&mut self, error: Error) -> Outcome {
        self.refuse(error);
        Outcome::Refused
    }

    /// Answers at once with an error.
    pub fn refuse(&mut self, error: Error) -> Outcome {
        self.answer(|_, _| Err(error))
    }
}

/// Executes one request, whose row was `found`. Answers what has become of it and, if it was executed, its
/// command's number.
pub(super) fn dispatch<'a, S: Service>(
    service: &'a S,
    held: &mut S::Held<'a>,
    call: &mut Call<'_>,
    args: Args<'_>,
    found: Found,
    hint: u64,
) -> (Outcome, Option<u16>) {
    if found.row.has(flag::BARRIER) && call.replies.borrow().waiting() > 0 {
        return (Outcome::Wait, None);
    }
    if call.session.reply_mode == ReplyMode::On {
        return check_and_execute(service, held, call, args, found, hint);
    }
    // CLIENT REPLY ON answers again.
    let muted = !(found.row.has(flag::UNMUTED) && args.is(2, "ON"));
    mute(call, muted, |call| check_and_execute(service, held, call, args, found, hint))
}

/// Answers a request that names no command, or has a wrong number of arguments for it, with the error that says so.
pub(super) fn refuse_unknown(call: &mut Call<'_>, args: Args<'_>) -> Outcome {
    let muted = call.session.reply_mode != ReplyMode::On;
    mute(call, muted, |call| {
        // What browsers and spam send: nothing good comes of going on.
        if args.is(0, "post") || args.is(0, "host:") {
            let client = &call.session.client.addr;
            tracing::warn!(client, "HTTP request: closed the connection");
            call.session.closing = true;
            return Outcome::Done { failed: true };
        }
        // It has been looked up in vain; whatever it is now, it gets an answer.
        let error = command::lookup(args).err().unwrap_or(Error::SYNTAX);
        reject(call, args, error)
    })
}

/// Answers a request or, if `muted`, keeps its reply from the client.
fn mute<T>(call: &mut Call<'_>, muted: bool, answer: impl FnOnce(&mut Call<'_>) -> T) -> T {
    if call.session.reply_mode == ReplyMode::SkipNext {
        call.session.reply_mode = ReplyMode::On;
    }
    call.replies.borrow_mut().muted = muted;
    let done = answer(call);
    call.replies.borrow_mut().muted = false;
    done
}

fn check_and_execute<'a, S: Service>(
    service: &'a S,
    held: &mut S::Held<'a>,
    call: &mut Call<'_>,
    args: Args<'_>,
    found: Found,
    hint: u64,
) -> (Outcome, Option<u16>) {
    let row = found.row;
    let refusal = if !call.session.authenticated && !row.has(flag::NO_AUTH) {
        Some(if call.session.is_restricted() { DENIED } else { NOAUTH })
    } else if call.session.queue.is_some() && row.has(flag::NO_MULTI) {
        Some(NO_MULTI)
    } else if call.session.is_monitoring() && row.flags & (flag::WRITE | flag::READONLY) != 0 {
        // Redis counts a monitor as a replica.
        Some(NO_KEYS)
    } else {
        None
    };
    if let Some(error) = refusal {
        call.stats.rejected(found.id);
        return (reject(call, args, error), None);
    }
    if call.session.queue.is_some() && !row.has(flag::IMMEDIATE) {
        let admitted = service.admit(held, call, found, args);
        return (enqueue(call, found, args, admitted), None);
    }
    let outcome = match call.session.queue.take_if(|_| row.route == Route::Transaction) {
        Some(queue) if queue.aborted => call.refuse(EXECABORT),
        Some(queue) => {
            call.session.in_exec = true;
            let outcome = service.execute_queue(held, call, queue);
            call.session.in_exec = false;
            outcome
        }
        None => service.execute(held, call, found, args, hint),
    };
    if outcome == Outcome::Refused {
        call.stats.rejected(found.id);
        return (outcome, None);
    }
    (outcome, Some(found.id))
}

/// Refuses a request; between MULTI and EXEC that spoils the transaction, and a refused EXEC ends it.
fn reject(call: &mut Call<'_>, args: Args<'_>, mut error: Error) -> Outcome {
    if find(args.at(0)).is_some_and(|found| found.row.route == Route::Transaction) {
        call.session.queue = None;
        error = error.aborting_exec();
    } else if let Some(queue) = &mut call.session.queue {
        queue.aborted = true;
    }
    call.refuse(error)
}

fn enqueue(
    call: &mut Call<'_>,
    found: Found,
    args: Args<'_>,
    admitted: Result<(), Error>,
) -> Outcome {
    if let Err(error) = admitted {
        call.stats.rejected(found.id);
        return reject(call, args, error);
    }
    let limit = call.server.config.number(crate::config::Id::ClientQueryBufferLimit) as usize;
    if let Some(queue) = &mut call.session.queue {
        if queue.bytes > limit {
            let text = "ERR the queued commands are larger than client-query-buffer-limit";
            return reject(call, args, Error::new(text));
        }
        // What is refused anyway need not be kept.
        if !queue.aborted {
            queue.push(found, args);
        }
    }
    call.answer(|_, reply| {
        reply.simple("QUEUED");
        Ok(())
    })
}
