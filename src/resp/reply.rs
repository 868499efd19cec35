//! Writes one reply in the client's protocol version, and the errors that replies carry.

use super::Output;
use bytes::{BufMut, Bytes};
use std::borrow::Cow;

/// The protocol version a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Proto {
    /// The protocol every client understands.
    #[default]
    Resp2,
    /// Asked for with `HELLO 3`: maps, sets, doubles and nulls of their own.
    Resp3,
}

impl Proto {
    /// 2 or 3.
    pub fn version(self) -> i64 {
        match self {
            Proto::Resp2 => 2,
            Proto::Resp3 => 3,
        }
    }
}

/// An error reply: its code and text without the leading `-`. The connection lives on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Cow<'static, [u8]>);

impl Error {
    /// An error with a fixed text.
    pub const fn new(text: &'static str) -> Self {
        Error(Cow::Borrowed(text.as_bytes()))
    }

    /// An error whose text contains what a client has sent, which may be any bytes.
    pub fn from_parts(parts: &[&[u8]]) -> Self {
        Error(parts.concat().into())
    }

    /// The text, bytes that are no UTF-8 replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The error that EXEC answers when it is itself refused for this reason.
    pub fn aborting_exec(&self) -> Self {
        let reason = self.0.strip_prefix(b"ERR ").unwrap_or(&self.0);
        Error::from_parts(&[b"EXECABORT Transaction discarded because of: ", reason])
    }

    /// The options do not fit together, or one is unknown.
    pub const SYNTAX: Error = Error::new("ERR syntax error");
    /// An argument should have been an integer.
    pub const NOT_INTEGER: Error = Error::new("ERR value is not an integer or out of range");
    /// An argument or a value should have been a number.
    pub const NOT_FLOAT: Error = Error::new("ERR value is not a valid float");
    /// The key must exist.
    pub const NO_SUCH_KEY: Error = Error::new("ERR no such key");
    /// A database number out of 0..15.
    pub const DB_INDEX: Error = Error::new("ERR DB index is out of range");
    /// The value would be longer than `proto-max-bulk-len`.
    pub const TOO_LONG: Error =
        Error::new("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    /// Memory is full and the policy frees none, or the value alone is larger than the limit.
    pub const OOM: Error = Error::new("OOM command not allowed when used memory > 'maxmemory'.");
    /// The node that owns a key's slot is down.
    pub const CLUSTER_DOWN: Error = Error::new("CLUSTERDOWN Hash slot not served");
    /// The keys of a command that needs one slot lie in several.
    pub const CROSS_SLOT: Error =
        Error::new("CROSSSLOT Keys in request don't hash to the same slot");

    /// The wrong number of arguments for the command `full_name`.
    pub fn arity(full_name: &str) -> Self {
        Error::from(format!("ERR wrong number of arguments for '{full_name}' command"))
    }

    /// The expire time of the command `name` is not one.
    pub fn invalid_expire(name: &str) -> Self {
        Error::from(format!("ERR invalid expire time in '{name}' command"))
    }

    /// The first word, by which clients and errorstats tell errors apart.
    pub fn code(&self) -> &str {
        let end = self.0.iter().position(|&b| b == b' ').unwrap_or(self.0.len());
        std::str::from_utf8(&self.0[..end]).unwrap_or("ERR")
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Error(text.into_bytes().into())
    }
}

/// Encodes one reply into an output.
pub struct Reply<'a> {
    /// Where the reply goes.
    pub out: &'a mut Output,
    /// The client's protocol version.
    pub proto: Proto,
}

impl<'a> Reply<'a> {
    /// A writer of one reply.
    pub fn new(out: &'a mut Output, proto: Proto) -> Self {
        Reply { out, proto }
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend(b"+OK\r\n");
    }

    /// A simple string; must not contain line breaks.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error. Line breaks in its text become spaces.
    pub fn error(&mut self, error: &Error) {
        self.out.buffer().put_u8(b'-');
        let clean = error.0.iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b });
        self.out.buffer().extend(clean);
        self.out.extend(b"\r\n");
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        match value {
            0 => self.out.extend(b":0\r\n"),
            1 => self.out.extend(b":1\r\n"),
            _ => self.line(b':', itoa::Buffer::new().format(value).as_bytes()),
        }
    }

    /// A bulk string, copied.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.out.extend(bytes);
        self.out.extend(b"\r\n");
    }

    /// A bulk string, by reference if it is large.
    pub fn bulk_shared(&mut self, bytes: &Bytes) {
        self.header(b'$', bytes.len());
        self.out.extend_shared(bytes);
        self.out.extend(b"\r\n");
    }

    /// No value: `$-1` in RESP2, `_` in RESP3.
    pub fn null(&mut self) {
        match self.proto {
            Proto::Resp2 => self.out.extend(b"$-1\r\n"),
            Proto::Resp3 => self.out.extend(b"_\r\n"),
        }
    }

    /// The header of an array of `len` values, which follow.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// The header of a map of `len` pairs: in RESP2 a flat array.
    pub fn map(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', 2 * len),
            Proto::Resp3 => self.header(b'%', len),
        }
    }

    /// The header of a set: in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', len),
            Proto::Resp3 => self.header(b'~', len),
        }
    }

    /// A double: in RESP2 a bulk string.
    pub fn double(&mut self, value: f64) {
        let text = value.to_string();
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A truth value: in RESP2 an integer.
    pub fn boolean(&mut self, value: bool) {
        match self.proto {
            Proto::Resp2 => self.int(i64::from(value)),
            Proto::Resp3 => self.out.extend(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// Text meant for people: in RESP2 a bulk string.
    pub fn verbatim(&mut self, text: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(text.as_bytes()),
            Proto::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.out.extend(b"txt:");
                self.out.extend(text.as_bytes());
                self.out.extend(b"\r\n");
            }
        }
    }

    /// A simple string for each of `names`, as the members of a set.
    pub fn names<'n>(&mut self, names: impl ExactSizeIterator<Item = &'n str>) {
        self.set(names.len());
        for name in names {
            self.simple(name);
        }
    }

    /// The header of an aggregate or bulk value.
    pub fn header(&mut self, marker: u8, len: usize) {
        // Nearly all lengths are of one or two digits.
        if len < 10 {
            return self.out.extend(&[marker, b'0' + len as u8, b'\r', b'\n']);
        }
        if len < 100 {
            let (tens, ones) = (b'0' + (len / 10) as u8, b'0' + (len % 10) as u8);
            return self.out.extend(&[marker, tens, ones, b'\r', b'\n']);
        }
        self.line(marker, itoa::Buffer::new().format(len).as_bytes());
    }

    fn line(&mut self, marker: u8, text: &[u8]) {
        let out = self.out.buffer();
        out.put_u8(marker);
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }
}
