//! The replies of one connection, in the order of its requests: those that are ready to be written, and behind
//! them the places of those that still wait for a node.

use super::Client;
use super::late::Late;
use crate::resp::Output;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// How long a reply is thought to be before the first one has come, in bytes.
const REPLY_BYTES_ASSUMED: usize = 8 * 1024;
/// Bytes that are written although replies of the same batch are missing.
const TOGETHER_BYTES_MAX: usize = 16 * 1024;

/// The queue of a connection's replies.
pub struct Replies {
    /// What can be written now.
    pub ready: Output,
    /// From the first reply on that is missing.
    places: VecDeque<Place>,
    /// The number of the place at the front.
    first: u64,
    /// Places that wait.
    waiting: usize,
    /// Bytes in places that are filled, as far as they are counted.
    early: usize,
    /// Bytes of these that are in the last place: replies that are made here may be added to it.
    counted: usize,
    /// Bytes of the requests whose replies are missing: they may still wait to be sent to their node.
    requests: usize,
    /// How long the replies of nodes have been of late, rather too much than too little.
    recent: usize,
    /// Replies are thrown away for now (`CLIENT REPLY OFF`).
    pub muted: bool,
    void: Output,
    client: Arc<Client>,
    /// The numbers of the places behind the last ones of batches that are not complete.
    batches: VecDeque<u64>,
    /// The batch that replies which are ready wait for; 0 is none.
    awaited: Rc<Cell<u64>>,
    late: Rc<Late>,
    /// The connection has requests that wait for room: replies are not held back.
    pub(super) starved: bool,
}

enum Place {
    /// A reply to come, whether it is to be thrown away, and how long its request was.
    Waiting { muted: bool, request_bytes: u32 },
    /// Replies that came early, or were made here while others waited.
    Filled(Output),
}

impl Replies {
    /// The replies of a connection.
    pub(super) fn new(client: Arc<Client>, late: Rc<Late>) -> Self {
        Replies {
            ready: Output::default(),
            places: VecDeque::new(),
            first: 0,
            waiting: 0,
            early: 0,
            counted: 0,
            requests: 0,
            recent: REPLY_BYTES_ASSUMED,
            muted: false,
            void: Output::default(),
            client,
            batches: VecDeque::new(),
            awaited: Rc::default(),
            late,
            starved: false,
        }
    }

    /// Replies that are still missing.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes held, written or not, that a client has yet to take.
    pub fn bytes(&self) -> usize {
        self.ready.len() + self.early + self.uncounted()
    }

    /// Bytes held for the client: replies, requests that are at nodes and, as far as can be foreseen, their
    /// replies.
    pub fn expected_bytes(&self) -> usize {
        self.bytes() + self.requests + self.waiting * self.recent
    }

    /// Where the next reply goes that is made here.
    pub fn writer(&mut self) -> &mut Output {
        if self.muted {
            self.void = Output::default();
            return &mut self.void;
        }
        if self.places.is_empty() {
            return &mut self.ready;
        }
        if !matches!(self.places.back(), Some(Place::Filled(_))) {
            let output = self.late.take_spare();
            self.places.push_back(Place::Filled(output));
        }
        match self.places.back_mut() {
            Some(Place::Filled(output)) => output,
            _ => &mut self.ready,
        }
    }

    /// Keeps a place for the reply to a request of so many bytes; answers its number.
    pub fn reserve(&mut self, request_bytes: usize) -> u64 {
        let request_bytes = u32::try_from(request_bytes).unwrap_or(u32::MAX);
        self.count_last();
        self.counted = 0;
        self.places.push_back(Place::Waiting { muted: self.muted, request_bytes });
        self.requests += request_bytes as usize;
        self.waiting += 1;
        self.first + self.places.len() as u64 - 1
    }

    /// Ends a batch: the replies to the requests since the last end are written together.
    pub fn end_batch(&mut self) {
        let end = self.first + self.places.len() as u64;
        if self.waiting > 0 && self.batches.back() != Some(&end) {
            self.batches.push_back(end);
        }
    }

    /// Fills a place that was kept. Wakes the connection when there is something to write.
    pub fn fill(&mut self, place: u64, reply: &[u8]) {
        let Some(index) = place.checked_sub(self.first).map(|index| index as usize) else { return };
        let Some(slot @ &mut Place::Waiting { muted, request_bytes }) = self.places.get_mut(index)
        else {
            return;
        };
        self.waiting -= 1;
        self.requests -= request_bytes as usize;
        self.recent = reply.len().max(self.recent - self.recent / 8);
        let reply = if muted { &[] } else { reply };
        if index > 0 {
            let mut output = self.late.take_spare();
            output.extend(reply);
            self.early += reply.len();
            *slot = Place::Filled(output);
            if index + 1 == self.places.len() {
                self.counted = reply.len();
            }
            return;
        }
        self.ready.extend(reply);
        self.advance();
        let batches = self.batches.len();
        while self.batches.front().is_some_and(|&end| end <= self.first) {
            self.batches.pop_front();
        }
        let whole = self.batches.len() < batches || batches == 0;
        if whole || self.starved || self.ready.len() >= TOGETHER_BYTES_MAX {
            self.awaited.set(0);
            // Also when nothing is to be written: the connection may be waiting for room in its queue.
            self.client.wake();
        } else if self.awaited.get() == 0 {
            self.awaited.set(self.batches[0]);
            self.late.add(&self.client, &self.awaited);
        }
    }

    /// Moves the replies at the front that are there behind those that are ready.
    fn advance(&mut self) {
        self.count_last();
        self.places.pop_front();
        self.first += 1;
        while let Some(Place::Filled(output)) = self.places.front_mut() {
            self.early -= output.len();
            self.ready.append(output);
            self.late.give_spare(std::mem::take(output));
            self.places.pop_front();
            self.first += 1;
        }
        if self.places.is_empty() {
            self.counted = 0;
        }
    }

    /// Bytes that were added to the last place since they were counted.
    fn uncounted(&self) -> usize {
        match self.places.back() {
            Some(Place::Filled(output)) => output.len() - self.counted,
            _ => 0,
        }
    }

    fn count_last(&mut self) {
        let more = self.uncounted();
        self.early += more;
        self.counted += more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Clients;

    fn replies() -> Replies {
        Replies::new(Clients::default().register(String::new(), String::new(), 0), Rc::default())
    }

    #[test]
    fn replies_leave_in_the_order_of_the_requests() {
        let mut replies = replies();
        replies.writer().extend(b"0");
        let (one, two) = (replies.reserve(10), replies.reserve(10));
        replies.writer().extend(b"3");
        replies.writer().extend(b"4");
        let five = replies.reserve(10);
        replies.writer().extend(b"6");
        assert_eq!(replies.waiting(), 3);
        replies.fill(five, b"5");
        replies.fill(two, b"2");
        assert_eq!(replies.ready.take(), "0");
        replies.fill(one, b"1");
        assert_eq!(replies.ready.take(), "123456");
        assert_eq!((replies.waiting(), replies.expected_bytes()), (0, 0));
        replies.writer().extend(b"7");
        assert_eq!(replies.ready.take(), "7");
    }

    #[test]
    fn replies_of_a_batch_leave_together() {
        let mut replies = replies();
        let (one, two) = (replies.reserve(10), replies.reserve(10));
        replies.end_batch();
        let three = replies.reserve(10);
        replies.end_batch();
        let woken = |replies: &Replies| replies.awaited.get() == 0;
        replies.fill(one, b"1");
        assert!(!woken(&replies));
        replies.fill(three, b"3");
        assert!(!woken(&replies));
        replies.fill(two, b"2");
        assert!(woken(&replies));
        assert_eq!(replies.ready.take(), "123");
        // A long reply does not wait.
        let (four, five) = (replies.reserve(10), replies.reserve(10));
        replies.end_batch();
        replies.fill(four, &[b'4'; TOGETHER_BYTES_MAX]);
        assert!(woken(&replies));
        replies.fill(five, b"5");
        assert!(woken(&replies) && replies.batches.is_empty());
    }

    #[test]
    fn replies_behind_a_missing_one_are_counted() {
        let mut replies = replies();
        let one = replies.reserve(10);
        replies.writer().extend(&[b'x'; 1000]);
        replies.writer().extend(&[b'x'; 1000]);
        assert_eq!(replies.bytes(), 2000);
        let two = replies.reserve(10);
        replies.writer().extend(&[b'x'; 500]);
        replies.fill(two, &[b'x'; 30]);
        let three = replies.reserve(10);
        replies.fill(three, &[b'x'; 7]);
        replies.writer().extend(&[b'x'; 3]);
        assert_eq!(replies.bytes(), 2540);
        replies.fill(one, b"1");
        assert_eq!((replies.bytes(), replies.early), (2541, 0));
        assert_eq!(replies.ready.take().len(), 2541);
    }

    #[test]
    fn muted_replies_are_thrown_away_but_keep_their_place() {
        let mut replies = replies();
        let one = replies.reserve(10);
        replies.muted = true;
        let two = replies.reserve(10);
        replies.writer().extend(b"3");
        replies.muted = false;
        let four = replies.reserve(10);
        for (place, reply) in [(four, b"4"), (two, b"2"), (one, b"1")] {
            replies.fill(place, reply);
        }
        assert_eq!(replies.ready.take(), "14");
    }
}
