//! The request decoder of the hot path: finds one request in the read buffer, as slices of it, without
//! an allocation; resumes where it stopped when the rest arrives. Its answers to odd input are those of
//! Redis 7.0's `processInputBuffer`, held by the recorded table in `tests/conformance`.

use super::{Args, parse_int};

/// Longest inline request, and longest length line of a request, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Most arguments of a request.
const ARGS_MAX: i64 = i32::MAX as i64;
/// Most arguments, and longest argument in bytes, before the client has authenticated.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_MAX: i64 = 16_384;
/// The argument vector is kept between requests up to this many arguments.
const RANGES_KEPT: usize = 1024;

/// What bounds a request.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Longest argument in bytes (`proto-max-bulk-len`).
    pub bulk_max: i64,
    /// Whether the client may send large requests: it has authenticated, or need not.
    pub authenticated: bool,
}

/// A request that cannot be understood: the reply says so, then the connection closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtocolError(pub Vec<u8>);

/// A request that was found: its arguments are had from [`Decoder::args`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes it takes in the buffer.
    pub length: usize,
    /// Where its arguments begin and end in the decoder's list. An argument takes six bytes at least, so there would have
    /// to be 24 GiB of requests at hand before these are too small.
    begin: u32,
    end: u32,
    is_inline: bool,
}

/// An argument of which a part is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its length in bytes.
    pub argument: usize,
    /// Bytes that are missing of it and of its end.
    pub missing: usize,
}

/// Decodes the requests of one connection. Several can be decoded before the first is executed.
#[derive(Default)]
pub struct Decoder {
    /// Where the arguments lie, relative to the start of their request (or in `inline`): of the requests that were
    /// found since the last [`Decoder::forget`], then of the one that is being read.
    ranges: Vec<(u32, u32)>,
    /// Where in `ranges` the request that is being read begins.
    begin: usize,
    /// The unquoted arguments of inline requests.
    inline: Vec<u8>,
    /// How far the current request is understood, relative to its start.
    pos: usize,
    /// Arguments still to come; `None` before the count is known.
    remaining: Option<i64>,
}

impl Decoder {
    /// Looks for a whole request at the start of `buf`, which holds the same request as at the last call
    /// until that call has returned one. `None` while some of it is missing. A request without arguments
    /// is to be passed over.
    pub fn decode(&mut self, buf: &[u8], limits: Limits) -> Result<Option<Decoded>, ProtocolError> {
        let Some(&first) = buf.first() else { return Ok(None) };
        let is_inline = first != b'*';
        let length =
            if is_inline { self.decode_inline(buf)? } else { self.decode_array(buf, limits)? };
        let Some(length) = length else { return Ok(None) };
        let begin = std::mem::replace(&mut self.begin, self.ranges.len());
        self.pos = 0;
        self.remaining = None;
        Ok(Some(Decoded { length, begin: begin as u32, end: self.begin as u32, is_inline }))
    }

    /// The arguments of a request that was found at the start of `buf`.
    pub fn args<'a>(&'a self, buf: &'a [u8], decoded: &Decoded) -> Args<'a> {
        let ranges = &self.ranges[decoded.begin as usize..decoded.end as usize];
        if decoded.is_inline {
            Args::new(&self.inline, ranges, false)
        } else {
            Args::new(&buf[..decoded.length], ranges, true)
        }
    }

    /// Forgets the requests that were found; the one that is being read goes on.
    pub fn forget(&mut self) {
        self.ranges.drain(..self.begin);
        self.begin = 0;
        self.inline.clear();
        if self.ranges.capacity() > RANGES_KEPT {
            self.ranges.shrink_to(RANGES_KEPT);
        }
    }

    /// Forgets everything: the requests that were found but not executed will be decoded once more.
    pub fn rewind(&mut self) {
        *self = Decoder { ranges: std::mem::take(&mut self.ranges), ..Decoder::default() };
        self.ranges.clear();
    }

    /// The argument that is being read, if its length is known: lets the reader make room for a large one once. `buf` is
    /// what [`Decoder::decode`] found no whole request in.
    pub fn expected(&self, buf: &[u8]) -> Option<Expected> {
        self.remaining?;
        let (length, start) = length_line(buf, self.pos, b'$').ok()??;
        let argument = usize::try_from(length).ok()?;
        let missing = (start + argument + 2).saturating_sub(buf.len());
        Some(Expected { argument, missing })
    }

    fn decode_array(&mut self, buf: &[u8], limits: Limits) -> Result<Option<usize>, ProtocolError> {
        let mut remaining = match self.remaining {
            Some(remaining) => remaining,
            None => {
                let (count, next) = match length_line(buf, 0, b'*') {
                    Ok(Some(found)) => found,
                    Ok(None) => return Ok(None),
                    Err(LineError::TooLong) => return protocol("too big mbulk count string"),
                    Err(_) => return protocol("invalid multibulk length"),
                };
                if count > ARGS_MAX {
                    return protocol("invalid multibulk length");
                }
                if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
                    return protocol("unauthenticated multibulk length");
                }
                self.pos = next;
                if count <= 0 {
                    return Ok(Some(next));
                }
                self.remaining = Some(count);
                count
            }
        };
        while remaining > 0 {
            let (length, start) = match length_line(buf, self.pos, b'$') {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err(LineError::TooLong) => return protocol("too big bulk count string"),
                Err(LineError::Marker(got)) => {
                    return Err(ProtocolError([b"expected '$', got '", &[got][..], b"'"].concat()));
                }
                Err(LineError::Number) => return protocol("invalid bulk length"),
            };
            if length < 0 || length > limits.bulk_max {
                return protocol("invalid bulk length");
            }
            if length > UNAUTHENTICATED_BULK_MAX && !limits.authenticated {
                return protocol("unauthenticated bulk length");
            }
            let end = start + length as usize;
            // The two bytes behind an argument are passed over unseen, as Redis does.
            if buf.len() < end + 2 {
                return Ok(None);
            }
            let (Ok(start), Ok(end_u32)) = (u32::try_from(start), u32::try_from(end)) else {
                return protocol("invalid bulk length");
            };
            self.ranges.push((start, end_u32));
            self.pos = end + 2;
            remaining -= 1;
            self.remaining = Some(remaining);
        }
        Ok(Some(self.pos))
    }

    fn decode_inline(&mut self, buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(newline) = buf[self.pos..].iter().position(|&b| b == b'\n') else {
            if buf.len() > LINE_BYTES_MAX {
                return protocol("too big inline request");
            }
            self.pos = buf.len();
            return Ok(None);
        };
        let newline = self.pos + newline;
        let line = buf[..newline].strip_suffix(b"\r").unwrap_or(&buf[..newline]);
        if split_inline(line, &mut self.inline, &mut self.ranges).is_none() {
            return protocol("unbalanced quotes in request");
        }
        Ok(Some(newline + 1))
    }
}

fn protocol<T>(text: &str) -> Result<T, ProtocolError> {
    Err(ProtocolError(text.as_bytes().to_vec()))
}

enum LineError {
    TooLong,
    Marker(u8),
    Number,
}

/// Reads `<marker><integer>\r\n` at `start`: the integer and where the next line begins.
fn length_line(buf: &[u8], start: usize, marker: u8) -> Result<Option<(i64, usize)>, LineError> {
    let line = &buf[start..];
    // Nearly all are of one or two digits.
    match *line {
        [first, a @ b'0'..=b'9', b'\r', _, ..] if first == marker => {
            return Ok(Some((i64::from(a - b'0'), start + 4)));
        }
        [first, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] if first == marker => {
            return Ok(Some((i64::from(a - b'0') * 10 + i64::from(b - b'0'), start + 5)));
        }
        _ => {}
    }
    // A length line is short: the search for its end looks at few bytes unless it is refused anyway.
    let Some(end) = line.iter().position(|&b| b == b'\r') else {
        return if line.len() > LINE_BYTES_MAX { Err(LineError::TooLong) } else { Ok(None) };
    };
    if line.len() < end + 2 {
        return Ok(None);
    }
    if line[0] != marker {
        return Err(LineError::Marker(line[0]));
    }
    let value = parse_int(&line[1..end]).ok_or(LineError::Number)?;
    Ok(Some((value, start + end + 2)))
}

/// Splits an inline request into its arguments by the quoting rules of Redis's `sdssplitargs`: double quotes
/// with `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` escapes, single quotes with `\'`. `None` if a quote is not closed or
/// is followed by anything but a space.
fn split_inline(line: &[u8], out: &mut Vec<u8>, ranges: &mut Vec<(u32, u32)>) -> Option<()> {
    let space = |b: &u8| matches!(*b, b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c);
    let mut rest = line;
    loop {
        while rest.first().is_some_and(space) {
            rest = &rest[1..];
        }
        // The line is a C string to Redis: it ends at a NUL.
        if rest.is_empty() || rest[0] == 0 {
            return Some(());
        }
        let start = out.len() as u32;
        loop {
            match rest {
                [] | [0, ..] => break,
                [b' ' | b'\n' | b'\r' | b'\t', ..] => break,
                [b'"', ..] => {
                    rest = double_quoted(&rest[1..], out)?;
                    if rest.first().is_some_and(|b| !space(b) && *b != 0) {
                        return None;
                    }
                    break;
                }
                [b'\'', ..] => {
                    rest = single_quoted(&rest[1..], out)?;
                    if rest.first().is_some_and(|b| !space(b) && *b != 0) {
                        return None;
                    }
                    break;
                }
                [b, tail @ ..] => {
                    out.push(*b);
                    rest = tail;
                }
            }
        }
        ranges.push((start, out.len() as u32));
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let hex = |b: u8| (b as char).to_digit(16).map(|digit| digit as u8);
    loop {
        match rest {
            [] | [0, ..] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high)? * 16 + hex(*low)?);
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = tail;
            }
            [b, tail @ ..] => {
                out.push(*b);
                rest = tail;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] | [0, ..] => return None,
            [b'\'', tail @ ..] => return Some(tail),
            [b'\\', b'\'', tail @ ..] => {
                out.push(b'\'');
                rest = tail;
            }
            [b, tail @ ..] => {
                out.push(*b);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use proptest::prelude::*;
    use redis_protocol::resp2::decode::decode_bytes_mut;
    use redis_protocol::resp2::types::BytesFrame;

    const LIMITS: Limits = Limits { bulk_max: 512 << 20, authenticated: true };

    fn decode_all(pieces: &[&[u8]]) -> Result<Requests, ProtocolError> {
        let (mut decoder, mut buf, mut requests) = (Decoder::default(), Vec::new(), Vec::new());
        for piece in pieces {
            buf.extend_from_slice(piece);
            // Two at a time: the arguments of the first must be there when the second has been found.
            let mut found = Vec::new();
            let mut at = 0;
            while let Some(decoded) = decoder.decode(&buf[at..], LIMITS)? {
                at += decoded.length;
                found.push((at - decoded.length, decoded));
                if found.len() == 2 {
                    take(&mut requests, &decoder, &buf, &mut found);
                    decoder.forget();
                }
            }
            take(&mut requests, &decoder, &buf, &mut found);
            decoder.forget();
            buf.drain(..at);
        }
        Ok(requests)
    }

    type Requests = Vec<Vec<Vec<u8>>>;

    fn take(
        requests: &mut Requests,
        decoder: &Decoder,
        buf: &[u8],
        found: &mut Vec<(usize, Decoded)>,
    ) {
        for (start, decoded) in found.drain(..) {
            let args = decoder.args(&buf[start..], &decoded);
            requests.push(args.from(0).map(<[u8]>::to_vec).collect());
        }
    }

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn inline_requests_follow_the_quoting_rules() {
        let got = decode_all(&[b"SET k \"a\\x41\\n b\"\r\nset 'it\\'s' x\nping\r\n\r\n"]).unwrap();
        assert_eq!(got[0], [b"SET".to_vec(), b"k".to_vec(), b"aA\n b".to_vec()]);
        assert_eq!(got[1], [b"set".to_vec(), b"it's".to_vec(), b"x".to_vec()]);
        assert_eq!(got[2], words("ping"));
        assert!(got[3].is_empty());
        for bad in ["get \"a\r\n", "get 'a\r\n", "get \"a\"b\r\n"] {
            let error = decode_all(&[bad.as_bytes()]).unwrap_err();
            assert_eq!(error.0, b"unbalanced quotes in request");
        }
    }

    #[test]
    fn empty_requests_are_passed_over() {
        let got = decode_all(&[b"*0\r\n*-1\r\n*-5\r\n*1\r\n$4\r\nPING\r\n"]).unwrap();
        assert_eq!(got, [vec![], vec![], vec![], words("PING")]);
    }

    #[test]
    fn limits_hold_before_authentication() {
        let limits = Limits { authenticated: false, ..LIMITS };
        let error = |bytes: &[u8]| Decoder::default().decode(bytes, limits).unwrap_err().0;
        assert_eq!(error(b"*11\r\n"), b"unauthenticated multibulk length");
        assert_eq!(error(b"*2\r\n$16385\r\n"), b"unauthenticated bulk length");
    }

    #[test]
    fn says_how_much_of_a_large_value_is_missing() {
        let mut decoder = Decoder::default();
        let buf = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\nabc";
        assert_eq!(decoder.decode(buf, LIMITS), Ok(None));
        assert_eq!(decoder.expected(buf), Some(Expected { argument: 1000, missing: 1000 - 3 + 2 }));
    }

    proptest! {
        /// Valid requests, cut anywhere, decode to what redis-protocol decodes.
        #[test]
        fn agrees_with_redis_protocol(
            requests in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let mut wire = BytesMut::new();
            for request in &requests {
                crate::resp::args::encode(&mut wire, request.iter().map(Vec::as_slice));
            }
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            places.extend([0, wire.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|w| &wire[w[0]..w[1]]).collect();
            let ours = decode_all(&pieces).unwrap();

            let mut theirs = Vec::new();
            let mut rest = wire.clone();
            while let Some((BytesFrame::Array(items), ..)) = decode_bytes_mut(&mut rest).unwrap() {
                theirs.push(items.iter().map(|item| match item {
                    BytesFrame::BulkString(bytes) => bytes.to_vec(),
                    other => panic!("{other:?}"),
                }).collect::<Vec<_>>());
            }
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(ours, requests);
        }

        /// Whatever comes, the decoder answers or waits; it does not panic, and cutting changes nothing.
        #[test]
        fn garbage_is_answered_the_same_however_it_is_cut(
            bytes in prop::collection::vec(
                prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'"'), any::<u8>()],
                0..60),
        ) {
            let whole = decode_all(&[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(whole, decode_all(&single));
        }
    }
}
