//! What a client has sent and what is not yet executed of it.
//!
//! A worker's connections share one read buffer: an idle one holds none. A request with a large argument is read into a
//! buffer that was made for it, and the argument is then kept where it lies in place of a copy (see [`Args::share`]).
//!
//! [`Args::share`]: crate::resp::Args::share

use crate::resp::Expected;
use crate::store::allocated;
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Deref;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// A large argument makes room for at most this much at once: a client that only announces one takes none.
const READ_AHEAD_BYTES_MAX: usize = 32 << 20;
/// A request gets a buffer of its own if so much of an argument is still missing: less is copied in no time.
const OWN_MISSING_MIN: usize = 32 * 1024;
/// Room behind the large argument of such a request, for what SET may have there: `KEEPTTL`, `NX`, a time.
const TAIL_BYTES: usize = 64;
/// Most that such a buffer may be larger than the argument.
const OWN_EXTRA_MAX: usize = 4096;

/// The bytes at hand.
#[derive(Default)]
pub(super) struct Input {
    buf: Vec<u8>,
    /// Where in `buf` that begins which is not yet executed.
    start: usize,
    /// `buf` was made for the request at its front.
    is_own: bool,
    /// All that is at hand, while that request is executed: parts of it may be kept.
    lent: Option<Bytes>,
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.lent {
            None => &self.buf[self.start..],
            Some(lent) => lent,
        }
    }
}

impl Input {
    /// Takes the buffer that is shared if there is none, and makes room in it. `expected` is what is known to come,
    /// `may_keep` whether it may be kept in place of a copy.
    pub(super) fn make_room(
        &mut self,
        expected: Option<Expected>,
        may_keep: bool,
        shared: &RefCell<Vec<u8>>,
    ) -> &mut Vec<u8> {
        if self.buf.capacity() == 0 {
            self.buf = std::mem::take(&mut *shared.borrow_mut());
        }
        if self.is_own && self.buf.len() < self.buf.capacity() {
            return &mut self.buf;
        }
        self.is_own = false;
        if self.start > 0 {
            self.buf.drain(..std::mem::take(&mut self.start));
        }
        let Some(Expected { argument, missing }) = expected else {
            self.buf.reserve(READ_BYTES);
            return &mut self.buf;
        };
        let whole = self.buf.len() + missing + TAIL_BYTES;
        // What is kept in place must not take more memory than a copy would.
        let fits = whole - argument <= OWN_EXTRA_MAX && allocated(whole) == allocated(argument);
        if may_keep && fits && (OWN_MISSING_MIN..=READ_AHEAD_BYTES_MAX).contains(&missing) {
            let mut own = Vec::with_capacity(whole);
            own.extend_from_slice(&self.buf);
            self.buf.clear();
            self.give_back(shared);
            (self.buf, self.is_own) = (own, true);
        } else {
            self.buf.reserve(missing.clamp(READ_BYTES, READ_AHEAD_BYTES_MAX));
        }
        &mut self.buf
    }

    /// Gives the buffer to the next reader, if nothing is in it.
    pub(super) fn give_back(&mut self, shared: &RefCell<Vec<u8>>) {
        if self.buf.is_empty() && self.buf.capacity() > 0 {
            let buf = std::mem::take(&mut self.buf);
            let mut shared = shared.borrow_mut();
            // One is kept, unless it has grown with a large value.
            if shared.capacity() == 0 && buf.capacity() <= 4 * READ_BYTES {
                *shared = buf;
            }
        }
    }

    /// Lets parts of a buffer that was made for one request be kept, until [`Input::consume`].
    pub(super) fn lend(&mut self) {
        if self.is_own && self.lent.is_none() {
            self.lent = Some(std::mem::take(&mut self.buf).into());
        }
    }

    /// The buffer that was made for the request at its front, if that is being executed.
    pub(super) fn lent(&self) -> Option<&Bytes> {
        self.lent.as_ref()
    }

    /// So many bytes have been executed.
    pub(super) fn consume(&mut self, count: usize) {
        match self.lent.take() {
            None if self.start + count == self.buf.len() => {
                self.buf.clear();
                self.start = 0;
            }
            None => self.start += count,
            // Nothing was executed, hence nothing kept: it stays where it is.
            Some(lent) if count == 0 => self.buf = lent.into(),
            Some(lent) => (self.buf, self.is_own) = (lent[count..].to_vec(), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{ArgsBuf, Decoder, Limits};
    use bytes::BytesMut;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { bulk_max: 512 << 20, authenticated: true };

    /// What became of the arguments of a stream that comes in pieces, each as it was when its request was executed; and
    /// which of them are kept.
    #[derive(Default)]
    struct Taken {
        requests: Vec<Vec<Vec<u8>>>,
        kept: Vec<(usize, Bytes)>,
    }

    /// Reads and executes `stream` in pieces of these sizes; the requests at some places are decoded but have to wait, and
    /// nothing is read meanwhile.
    fn take(stream: &[u8], pieces: &[usize], waits: &[usize]) -> Taken {
        let (mut input, mut decoder, mut taken) =
            (Input::default(), Decoder::default(), Taken::default());
        let shared = RefCell::default();
        let (mut rest, mut pieces, mut waited) = (stream, pieces.iter().cycle(), None);
        while !rest.is_empty() || waited.is_some() {
            if waited.is_none() {
                let expected = decoder.expected(&input);
                let room = input.make_room(expected, true, &shared);
                let free = room.capacity() - room.len();
                assert!(free > 0);
                let read = free.min(*pieces.next().unwrap()).min(rest.len());
                room.extend_from_slice(&rest[..read]);
                rest = &rest[read..];
            }
            let mut at = 0;
            while let Some(decoded) = decoder.decode(&input[at..], LIMITS).unwrap() {
                input.lend();
                let number = taken.requests.len();
                if waits.contains(&number) && waited != Some(number) {
                    waited = Some(number);
                    decoder.rewind();
                    break;
                }
                waited = None;
                let args = decoder.args(&input[at..], &decoded).within(input.lent());
                taken.kept.extend((0..args.len()).filter_map(|at| Some((number, args.share(at)?))));
                taken.requests.push(args.from(0).map(<[u8]>::to_vec).collect());
                at += decoded.length;
            }
            if waited.is_none() {
                decoder.forget();
            }
            input.consume(at);
        }
        assert!(input.is_empty());
        taken
    }

    fn encode(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let mut stream = BytesMut::new();
        for request in requests {
            let args: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
            ArgsBuf::build(&args).args().encode_into(&mut stream);
        }
        stream.to_vec()
    }

    fn request() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let length = prop_oneof![4 => 0..100usize, 1 => 0..70_000usize, 2 => 90_000..500_000usize];
        let arg = (length, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
        prop::collection::vec(arg, 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn all_arrives_in_order_and_what_is_kept_stays(
            requests in prop::collection::vec(request(), 1..8),
            pieces in prop::collection::vec(1_000..200_000usize, 1..5),
            waits in prop::collection::vec(0..8usize, 0..3),
        ) {
            let taken = take(&encode(&requests), &pieces, &waits);
            prop_assert!(taken.requests == requests);
            for (number, kept) in taken.kept {
                prop_assert!(requests[number].iter().any(|arg| arg[..] == kept[..]));
                // Nothing else hangs on it.
                let whole: Vec<u8> = kept.try_into_mut().unwrap().into();
                prop_assert_eq!(allocated(whole.capacity()), allocated(whole.len()));
            }
        }
    }

    #[test]
    fn a_large_argument_is_kept_where_it_was_read() {
        let set = |length, tail: &[&[u8]]| -> Vec<Vec<u8>> {
            let value = vec![b'v'; length];
            [&[&b"SET"[..], b"key", &value], tail].concat().iter().map(|arg| arg.to_vec()).collect()
        };
        let small = vec![b"GET".to_vec(), b"key".to_vec()];
        let two = vec![
            b"MSET".to_vec(),
            b"a".to_vec(),
            vec![b'v'; 200_000],
            b"b".to_vec(),
            vec![b'w'; 200_000],
        ];
        let all = [
            set(200_000, &[]),
            small.clone(),
            set(1_000_000, &[b"EX", b"1000"]),
            small.clone(),
            // What the allocator has a block for; with the rest of the request it takes the next larger one.
            set(1 << 20, &[]),
            set(OWN_MISSING_MIN, &[]),
            two,
            small,
        ];
        for waits in [&[][..], &[0, 2, 3]] {
            let taken = take(&encode(&all), &[10_000], waits);
            assert!(taken.requests == all);
            let kept: Vec<_> = taken.kept.iter().map(|(at, kept)| (*at, kept.len())).collect();
            assert_eq!(kept, [(0, 200_000), (2, 1_000_000)]);
        }
    }
}
