//! The requests of a connection that are decoded and executed together.

use crate::command::{Found, flag};
use crate::resp::{Decoded, ProtocolError};
use crate::stats::Moment;

/// Longest request of a command of constant time that shares a clock reading with others of its kind: what is longer may
/// take long to copy, or evict many keys.
const BRIEF_BYTES_MAX: usize = 1024;

/// A request that is decoded but not yet executed.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// Where it begins in the read buffer.
    pub(super) at: usize,
    pub(super) decoded: Decoded,
    /// Its row, if it has one.
    pub(super) found: Option<Found>,
    /// What the service wanted to know of it beforehand.
    pub(super) hint: u64,
}

impl Request {
    /// Whether it takes next to no time, whatever is in the store.
    fn is_brief(&self, found: Found) -> bool {
        found.row.flags & (flag::FAST | flag::BRIEF) != 0 && self.decoded.length <= BRIEF_BYTES_MAX
    }

    /// Whether it and the one behind it are so much alike that one clock reading will do for both.
    pub(super) fn is_like(&self, next: &Request) -> bool {
        match (self.found, next.found) {
            (Some(found), Some(other)) => {
                found.id == other.id && self.is_brief(found) && next.is_brief(other)
            }
            _ => false,
        }
    }
}

/// How far the requests in the buffer have been executed.
pub(super) struct Progress {
    /// Bytes of them.
    pub(super) consumed: usize,
    /// The command of the last one.
    pub(super) last: Option<u16>,
    /// When the clock was read last, and how many requests of that command have been executed since.
    pub(super) end: Moment,
    pub(super) untimed: u64,
    /// The latest of them, by its place in the batch.
    pub(super) latest: usize,
    /// The time, in milliseconds since 1970.
    pub(super) now: u64,
}

/// Why a batch is no longer.
pub(super) enum BatchEnd {
    /// There may be more.
    Full,
    /// No whole request follows.
    Input,
    /// What follows is no request.
    Error(ProtocolError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::lookup;
    use crate::resp::{ArgsBuf, Decoder, Limits};
    use bytes::BytesMut;

    fn request(args: &[&[u8]]) -> Request {
        let args = ArgsBuf::build(args);
        let mut bytes = BytesMut::new();
        args.args().encode_into(&mut bytes);
        let limits = Limits { bulk_max: 1 << 20, authenticated: true };
        let decoded = Decoder::default().decode(&bytes, limits).unwrap().unwrap();
        Request { at: 0, decoded, found: lookup(args.args()).ok(), hint: 0 }
    }

    #[test]
    fn short_requests_of_one_command_of_constant_time_are_alike() {
        let (get, set) = (request(&[b"GET", b"a"]), request(&[b"set", b"a", b"b"]));
        assert!(get.is_like(&request(&[b"get", b"b"])) && set.is_like(&set));
        assert!(!get.is_like(&set), "another command");
        let long = request(&[b"SET", b"a", &[b'x'; BRIEF_BYTES_MAX]]);
        assert!(!set.is_like(&long) && !long.is_like(&set), "which may evict many keys");
        let (unknown, keys) = (request(&[b"nothing"]), request(&[b"KEYS", b"*"]));
        assert!(!unknown.is_like(&unknown) && !keys.is_like(&keys), "none, or one that takes long");
    }
}
