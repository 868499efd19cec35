//! A blocking client connection: raw bytes out, parsed replies in.

use super::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a reply may take before a test gives up.
const REPLY_LIMIT: Duration = Duration::from_secs(10);

/// A connection to a server.
pub struct Conn {
    stream: Stream,
    /// Read, not parsed yet.
    buffer: Vec<u8>,
    eof: bool,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Conn {
    /// Connects to `host:port`.
    pub fn tcp(addr: &str) -> Conn {
        let stream = TcpStream::connect(addr)
            .unwrap_or_else(|error| panic!("no connection to {addr}: {error}"));
        stream.set_nodelay(true).unwrap();
        Conn { stream: Stream::Tcp(stream), buffer: Vec::new(), eof: false }
    }

    /// Connects to `host:port`, where perhaps nobody listens, or who does is frozen.
    pub fn try_tcp(addr: &str) -> Option<Conn> {
        let addr = addr.parse().unwrap_or_else(|error| panic!("{addr}: {error}"));
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Conn { stream: Stream::Tcp(stream), buffer: Vec::new(), eof: false })
    }

    /// Connects to a Unix socket.
    pub fn unix(path: &Path) -> Conn {
        let stream = UnixStream::connect(path)
            .unwrap_or_else(|error| panic!("no connection to {}: {error}", path.display()));
        Conn { stream: Stream::Unix(stream), buffer: Vec::new(), eof: false }
    }

    /// Another hand on the connection, to send while this one reads.
    pub fn sender(&self) -> Conn {
        let stream = match &self.stream {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone().unwrap()),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone().unwrap()),
        };
        Conn { stream, buffer: Vec::new(), eof: false }
    }

    /// Sends nothing more; replies may still come.
    pub fn finish(&self) {
        let finished = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        finished.unwrap();
    }

    /// Sends bytes as they are. A server that has closed already is no failure here: what it
    /// answered before is still to be read.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let sent = match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        };
        if let Err(error) = sent {
            assert!(is_gone(error.kind()), "sending failed: {error}");
        }
    }

    /// Sends one request of the words in `line` and reads its reply. Words may be
    /// `"quoted \r\n \x00 \""`.
    pub fn cmd(&mut self, line: &str) -> Value {
        self.send(line);
        self.read_for(line)
    }

    /// Sends one request of the words in `line`; the reply is for [`Conn::read`].
    pub fn send(&mut self, line: &str) {
        let words = words(line);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        self.send_raw(&request(&words));
    }

    /// Sends one request of these arguments and reads its reply.
    pub fn args(&mut self, args: &[&[u8]]) -> Value {
        self.send_raw(&request(args));
        self.read_for(
            &args.iter().map(|arg| arg.escape_ascii().to_string() + " ").collect::<String>(),
        )
    }

    /// The next reply; panics when there is none in 10 s or the connection is closed.
    pub fn read(&mut self) -> Value {
        self.read_for("(read)")
    }

    fn read_for(&mut self, what: &str) -> Value {
        let value = self.try_read(REPLY_LIMIT);
        let what = what.get(..200).unwrap_or(what);
        value.unwrap_or_else(|| match self.eof {
            true => panic!("connection closed instead of a reply to: {what}"),
            false => panic!("no reply in {REPLY_LIMIT:?} to: {what}"),
        })
    }

    /// The next reply, if it comes in time and the connection is not closed before.
    pub fn try_read(&mut self, limit: Duration) -> Option<Value> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some((value, length)) = Value::parse(&self.buffer) {
                self.buffer.drain(..length);
                return Some(value);
            }
            if !self.fill(deadline) {
                return None;
            }
        }
    }

    /// Whether the server closes the connection within 5 s and sends nothing before.
    pub fn closed(&mut self) -> bool {
        if self.buffer.is_empty() && !self.eof {
            self.fill(Instant::now() + Duration::from_secs(5));
        }
        self.buffer.is_empty() && self.eof
    }

    /// Everything until the server closes the connection or is quiet for `quiet`, and whether it
    /// closed.
    pub fn drain_raw(&mut self, quiet: Duration) -> (Vec<u8>, bool) {
        while self.fill(Instant::now() + quiet) {}
        (std::mem::take(&mut self.buffer), self.eof)
    }

    /// Reads what is there, waiting until `deadline`: false when nothing came.
    fn fill(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would mean no limit.
        let left = Some(left.max(Duration::from_millis(1)));
        let mut chunk = [0; 65536];
        let got = match &mut self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(left).unwrap();
                stream.read(&mut chunk)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(left).unwrap();
                stream.read(&mut chunk)
            }
        };
        match got {
            Ok(0) => self.eof = true,
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                return true;
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                kind if is_gone(kind) => self.eof = true,
                ErrorKind::Interrupted => return true,
                _ => panic!("reading failed: {error}"),
            },
        }
        false
    }
}

/// Whether an error says that there is nobody on the other side any more.
fn is_gone(error: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
    // The last three are of a network that was cut.
    matches!(error, BrokenPipe | ConnectionReset | HostUnreachable | NetworkUnreachable | TimedOut)
}

/// One request as an array of bulk strings.
pub fn request(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The words of a line; in double quotes, `\r \n \t \" \\ \xHH` are escapes.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(&first) = chars.peek() {
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        let (mut word, mut quoted) = (Vec::new(), false);
        while let Some(&next) = chars.peek() {
            if next.is_whitespace() && !quoted {
                break;
            }
            chars.next();
            match next {
                '"' => quoted = !quoted,
                '\\' if quoted => match chars.next().expect("an escape has a letter") {
                    'r' => word.push(b'\r'),
                    'n' => word.push(b'\n'),
                    't' => word.push(b'\t'),
                    'x' => {
                        let digits: String = chars.by_ref().take(2).collect();
                        word.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
                    }
                    other => word.extend(other.to_string().bytes()),
                },
                other => word.extend(other.to_string().bytes()),
            }
        }
        assert!(!quoted, "unbalanced quotes in {line}");
        words.push(word);
    }
    words
}
