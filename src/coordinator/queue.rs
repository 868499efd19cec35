//! The requests of a link: those that wait to be sent, and those that wait for their replies, in one order.
//!
//! Between them stand announcements: `LARDER EPOCH n` says that what comes behind it was routed by table n of the cluster,
//! and what came before by older ones. A node that has lost slots waits for it before it says that it gave them up, and a
//! node that does not know table n yet asks for it. So an announcement keeps its place in the order whatever becomes of the
//! connection ([`Queue::begin`]).

use super::gather::Gather;
use crate::cluster::Epoch;
use crate::resp::{ArgsBuf, Output};
use crate::server::Replies;
use crate::stats::Moment;
use bytes::BytesMut;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

/// Requests wait for others to share a system call with while they are fewer bytes than this, and for so many turns.
const TOGETHER_BYTES_MAX: usize = 16 * 1024;
const HELD_BACK_MAX: usize = 4;

/// Whom a reply belongs to.
pub(super) enum Target {
    /// A client, whose request was forwarded as it was.
    Client { replies: Rc<RefCell<Replies>>, place: u64, command: u16, started: Moment },
    /// A request with parts at several nodes.
    Part { gather: Rc<RefCell<Gather>>, index: usize },
    /// Nobody.
    Discard,
    /// Nobody: it answers an announcement, before which the link went by this table.
    Announced { before: Epoch },
}

/// A request whose reply has not come.
pub(super) struct InFlight {
    pub(super) target: Target,
    /// Where its request begins in all that was ever sent.
    begin: u64,
    /// Where it ends.
    pub(super) end: u64,
    pub(super) since: Moment,
    /// The database it is for.
    db: u8,
}

/// What is to be sent, and what is to be answered.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) out: Output,
    pub(super) in_flight: VecDeque<InFlight>,
    /// Bytes that were ever queued.
    queued: u64,
    /// The database that the last request leaves the link in, if that is known.
    pub(super) db: Option<u8>,
    /// The table that the last request was routed by, as far as was announced or will be.
    epoch: Epoch,
    /// Turns for which the link has put off sending.
    held_back: usize,
    /// How the link is woken, and whether it waits for that.
    waker: Option<Waker>,
    rests: bool,
}

impl Queue {
    /// Appends a request for database `db`. Its reply, after `preamble` others that nobody wants, goes to `target`.
    pub(super) fn push(
        &mut self,
        db: u8,
        preamble: usize,
        since: Moment,
        target: Target,
        encode: impl FnOnce(&mut BytesMut),
    ) {
        let (unsent, first, begin) = (self.out.len(), self.in_flight.len(), self.queued);
        let in_flight = |target| InFlight { target, begin, end: begin, since, db };
        if self.db != Some(db) {
            self.db = Some(db);
            select(db).args().encode_into(self.out.buffer());
            self.in_flight.push_back(in_flight(Target::Discard));
        }
        for _ in 0..preamble {
            self.in_flight.push_back(in_flight(Target::Discard));
        }
        encode(self.out.buffer());
        self.in_flight.push_back(in_flight(target));
        self.queued_behind(unsent, first);
    }

    /// Appends an announcement of this table, unless one of it or of a later one was the last.
    pub(super) fn announce(&mut self, epoch: Epoch) {
        if epoch <= self.epoch {
            return;
        }
        let (unsent, first, begin) = (self.out.len(), self.in_flight.len(), self.queued);
        let target = Target::Announced { before: std::mem::replace(&mut self.epoch, epoch) };
        ArgsBuf::build(&[b"LARDER", b"EPOCH", epoch.to_string().as_bytes()])
            .args()
            .encode_into(self.out.buffer());
        // It needs no database, and what follows counts on the one that is selected.
        let db = self.db.unwrap_or_default();
        let since = Moment::now();
        self.in_flight.push_back(InFlight { target, begin, end: begin, since, db });
        self.queued_behind(unsent, first);
    }

    /// Begins a connection at a time when table `epoch` is in force. Answers what is to be announced on it first: the table
    /// that the oldest request which was kept for it was routed by. Those of later tables have their announcements with
    /// them.
    pub(super) fn begin(&mut self, epoch: Epoch) -> Epoch {
        if self.in_flight.is_empty() {
            self.epoch = epoch;
        }
        let first = self.in_flight.iter().find_map(|request| match request.target {
            Target::Announced { before } => Some(before),
            _ => None,
        });
        first.unwrap_or(self.epoch)
    }

    /// Counts what was queued since there were so many bytes unsent and so many requests in flight.
    fn queued_behind(&mut self, unsent: usize, first: usize) {
        self.queued += (self.out.len() - unsent) as u64;
        // The requests of a group count as one: they are sent together.
        for request in self.in_flight.iter_mut().skip(first) {
            request.end = self.queued;
        }
        if unsent == 0 {
            self.wake();
        }
    }

    /// The link has had its turn: what is queued from now on wakes it.
    pub(super) fn rest(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        self.rests = true;
    }

    /// Gives the link a turn, one for all that is queued before it gets it.
    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.rests)
            && let Some(waker) = &self.waker
        {
            waker.wake_by_ref();
        }
    }

    /// The oldest request of which something was sent: the one that is answered next.
    pub(super) fn pop_sent(&mut self) -> Option<InFlight> {
        let sent = self.sent();
        self.in_flight.pop_front_if(|oldest| oldest.begin < sent)
    }

    /// Whether what is queued should wait for more: the node is busy with what it has already, and the runtime has not
    /// looked often enough who else has sent something. So under load many requests share a system call, here and at the
    /// node, and nobody waits for a timer. To be asked at each turn of the link.
    pub(super) fn holds_back(&mut self) -> bool {
        let unsent = self.out.len();
        let is_busy = self.in_flight.front().is_some_and(|oldest| oldest.begin < self.sent());
        let holds_back =
            (1..TOGETHER_BYTES_MAX).contains(&unsent) && is_busy && self.held_back < HELD_BACK_MAX;
        self.held_back = if holds_back { self.held_back + 1 } else { 0 };
        holds_back
    }

    /// Bytes that were ever sent.
    pub(super) fn sent(&self) -> u64 {
        self.queued - self.out.len() as u64
    }

    /// Takes out what can get no answer any more, as the connection is lost: what was sent, in part at least, and what
    /// was not, if `all` is to go. What stays is as if it had just been queued for a new connection.
    pub(super) fn fail(&mut self, all: bool) -> (VecDeque<InFlight>, VecDeque<InFlight>) {
        let sent = self.sent();
        let unsent = self.in_flight.partition_point(|request| request.begin < sent);
        let unsent = self.in_flight.split_off(unsent);
        let failed = std::mem::replace(&mut self.in_flight, unsent);
        let Some(first) = self.in_flight.front().filter(|_| !all) else {
            self.out = Output::default();
            self.db = None;
            return (failed, std::mem::take(&mut self.in_flight));
        };
        let (begin, since, db) = (first.begin, first.since, first.db);
        self.out.discard((begin - sent) as usize);
        // The new connection begins in database 0.
        let mut out = Output::default();
        select(db).args().encode_into(out.buffer());
        let shift = out.len() as u64;
        out.append(&mut self.out);
        self.out = out;
        self.queued += shift;
        for request in &mut self.in_flight {
            request.begin += shift;
            request.end += shift;
        }
        let end = begin + shift;
        self.in_flight.push_front(InFlight { target: Target::Discard, begin, end, since, db });
        (failed, VecDeque::new())
    }
}

fn select(db: u8) -> ArgsBuf {
    ArgsBuf::build(&[b"SELECT", db.to_string().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut Queue, db: u8, request: &[u8]) {
        queue.push(db, 0, Moment::now(), Target::Discard, |out| out.extend_from_slice(request));
    }

    /// Sends so many bytes, and answers all that was sent.
    fn send(queue: &mut Queue, mut bytes: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        let written = queue.out.write_to(|slices| {
            let taken = bytes.min(slices[0].len());
            bytes -= taken;
            sent.extend_from_slice(&slices[0][..taken]);
            if taken == 0 { Err(std::io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        });
        assert_eq!(written.unwrap(), sent.len());
        sent
    }

    #[test]
    fn what_was_not_sent_stays_for_the_next_connection() {
        let select = |db: u8| format!("*2\r\n$6\r\nSELECT\r\n$1\r\n{db}\r\n");
        let mut queue = Queue::default();
        for (db, request) in [(3, "first "), (3, "second "), (3, "third "), (5, "fourth ")] {
            push(&mut queue, db, request.as_bytes());
        }
        // The second is on its way when the connection breaks.
        let sent = send(&mut queue, select(3).len() + 8);
        assert_eq!(String::from_utf8(sent).unwrap(), format!("{}first se", select(3)));
        let (failed, rest) = queue.fail(false);
        assert_eq!((failed.len(), rest.len()), (3, 0), "SELECT, first, second");
        assert_eq!(queue.in_flight.len(), 4, "SELECT, third, SELECT, fourth");
        assert!(queue.pop_sent().is_none(), "what was not sent has no answer");
        push(&mut queue, 5, b"fifth");
        let expected = format!("{}third {}fourth fifth", select(3), select(5));
        let half = send(&mut queue, select(3).len() + 3);
        let begun = queue.in_flight.iter().filter(|request| request.begin < queue.sent()).count();
        assert_eq!(begun, 2, "{}", String::from_utf8_lossy(&half));
        let sent = [half, send(&mut queue, usize::MAX)].concat();
        assert_eq!(String::from_utf8(sent).unwrap(), expected);
        push(&mut queue, 5, b"sixth");
        let (failed, rest) = queue.fail(true);
        assert_eq!((failed.len(), rest.len()), (5, 1));
        assert!(queue.out.is_empty() && queue.in_flight.is_empty() && queue.db.is_none());
    }

    #[test]
    fn requests_wait_for_others_while_the_node_is_busy() {
        let mut queue = Queue::default();
        assert!(!queue.holds_back(), "there is nothing to send");
        push(&mut queue, 0, b"first");
        assert!(!queue.holds_back(), "the node has nothing to do");
        send(&mut queue, usize::MAX);
        for _ in 0..2 {
            push(&mut queue, 0, b"second");
            for turn in 0..HELD_BACK_MAX {
                assert!(queue.holds_back(), "{turn}");
            }
            assert!(!queue.holds_back(), "not for ever");
            send(&mut queue, usize::MAX);
        }
        push(&mut queue, 0, &[b'x'; TOGETHER_BYTES_MAX]);
        assert!(!queue.holds_back(), "it is enough");
        push(&mut queue, 0, b"third");
        while queue.pop_sent().is_some() {}
        assert!(!queue.holds_back());
    }

    #[test]
    fn announcements_keep_their_place() {
        let epoch = |n: u64| format!("*3\r\n$6\r\nLARDER\r\n$5\r\nEPOCH\r\n$1\r\n{n}\r\n");
        let select = |db: u8| format!("*2\r\n$6\r\nSELECT\r\n$1\r\n{db}\r\n");
        let mut queue = Queue::default();
        assert_eq!(queue.begin(4), 4, "what is in force, where nothing was kept");
        push(&mut queue, 3, b"four ");
        queue.announce(5);
        queue.announce(5);
        queue.announce(4);
        push(&mut queue, 3, b"five ");
        queue.announce(6);
        let expected = [select(3), "four ".into(), epoch(5), "five ".into(), epoch(6)].concat();
        // All the way through nothing but "four " was sent when the connection breaks.
        let sent = send(&mut queue, select(3).len() + 5);
        assert_eq!(String::from_utf8(sent).unwrap(), expected[..select(3).len() + 5]);
        assert_eq!(queue.fail(false).0.len(), 2);
        assert_eq!(queue.begin(6), 4, "what is kept has its announcements with it");
        // The announcement is sent, but what is behind it is not.
        send(&mut queue, select(3).len() + epoch(5).len());
        let (failed, _) = queue.fail(false);
        assert_eq!(failed.len(), 2, "SELECT, EPOCH 5");
        assert_eq!(queue.begin(6), 5);
        let rest = send(&mut queue, usize::MAX);
        let expected = [select(3), "five ".into(), epoch(6)].concat();
        assert_eq!(String::from_utf8(rest).unwrap(), expected);
        while queue.pop_sent().is_some() {}
        assert_eq!(queue.begin(6), 6);
        // It selects nothing.
        queue.db = None;
        queue.announce(7);
        assert_eq!(send(&mut queue, usize::MAX), epoch(7).as_bytes());
        push(&mut queue, 0, b"seven");
        assert_eq!(send(&mut queue, usize::MAX), [select(0), "seven".into()].concat().as_bytes());
    }
}
