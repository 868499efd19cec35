//! HTTP enough for metrics and Prometheus's own interface: one request a connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What was answered.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    /// The headers as they came.
    pub head: String,
    pub body: String,
}

impl Page {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// The value of a metric's sample, by its name with its labels; `None` if there is none.
    pub fn sample(&self, name: &str) -> Option<f64> {
        let mut samples = self.body.lines().filter_map(|line| line.rsplit_once(' '));
        samples.find(|(found, _)| *found == name).map(|(_, value)| value.parse().unwrap())
    }
}

/// What a server answers to this, sent as it is.
pub fn exchange(addr: &str, request: &[u8]) -> Page {
    let mut stream =
        TcpStream::connect(addr).unwrap_or_else(|error| panic!("no connection to {addr}: {error}"));
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Page { status, head: head.to_owned(), body: body.to_owned() }
}

/// `GET path`, with these headers (each ended by a line break).
pub fn get_with(addr: &str, path: &str, headers: &str) -> Page {
    // HTTP/1.0: whoever answers closes, and sends no chunks.
    exchange(addr, format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\n{headers}\r\n").as_bytes())
}

/// `GET path`.
pub fn get(addr: &str, path: &str) -> Page {
    get_with(addr, path, "")
}
