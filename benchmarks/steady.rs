//! A client that goes on whatever happens to the servers: it counts what is answered and what is an error, in bins of
//! time, so that one sees what a change in the cluster does to those who use it.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest wait for a reply; what takes longer is an error, and ends the connection.
const PATIENCE: Duration = Duration::from_secs(5);
const RECONNECT: Duration = Duration::from_millis(20);
/// How much of an error's text tells one kind from another.
const KIND_CHARS: usize = 60;

#[derive(Args)]
pub(crate) struct Steady {
    addr: String,
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests a second of all connections together; as many as go if there is none.
    #[arg(long)]
    rate: Option<f64>,
    /// The keys, of which it GETs nine times out of ten, and SETs one in ten.
    #[arg(long, default_value_t = 10_000)]
    keys: u64,
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
    /// How long a bin is.
    #[arg(long, default_value_t = 100)]
    bin_ms: u64,
}

/// What has happened in one bin.
#[derive(Clone, Default)]
struct Bin {
    answered: u64,
    errors: u64,
    longest_us: u64,
}

/// What one connection has seen.
#[derive(Default)]
struct Seen {
    bins: Vec<Bin>,
    kinds: BTreeMap<String, u64>,
}

impl Seen {
    fn count(&mut self, bin: u64, took: Duration, error: Option<String>) {
        let bin = bin as usize;
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, Bin::default());
        }
        let at = &mut self.bins[bin];
        at.longest_us = at.longest_us.max(took.as_micros() as u64);
        match error {
            None => at.answered += 1,
            Some(error) => {
                at.errors += 1;
                *self.kinds.entry(error.chars().take(KIND_CHARS).collect()).or_default() += 1;
            }
        }
    }
}

impl Steady {
    /// Runs until its input ends, and prints the bins as JSON.
    pub(crate) fn run(&self) -> Result<()> {
        let is_over = AtomicBool::new(false);
        let start = Instant::now();
        let start_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
        let all = Mutex::new(Vec::new());
        let ended = Arc::new(is_over);
        std::thread::scope(|scope| {
            for number in 0..self.connections {
                let (all, ended) = (&all, ended.clone());
                scope.spawn(move || {
                    let seen = self.drive(number, start, &ended);
                    if let Ok(mut all) = all.lock() {
                        all.push(seen);
                    }
                });
            }
            // The runner closes it.
            let read = std::io::stdin().read_to_end(&mut Vec::new());
            ended.store(true, Relaxed);
            read
        })?;
        let all = all.into_inner().unwrap_or_default();
        let mut sum = Seen::default();
        for seen in all {
            sum.bins.resize(sum.bins.len().max(seen.bins.len()), Bin::default());
            for (mine, its) in sum.bins.iter_mut().zip(&seen.bins) {
                mine.answered += its.answered;
                mine.errors += its.errors;
                mine.longest_us = mine.longest_us.max(its.longest_us);
            }
            for (kind, count) in seen.kinds {
                *sum.kinds.entry(kind).or_default() += count;
            }
        }
        let column = |of: fn(&Bin) -> u64| sum.bins.iter().map(of).collect::<Vec<_>>();
        println!(
            "{}",
            json!({
                "start_ms": start_ms, "bin_ms": self.bin_ms, "answered": column(|bin| bin.answered),
                "errors": column(|bin| bin.errors), "longest_us": column(|bin| bin.longest_us), "kinds": sum.kinds,
            })
        );
        Ok(())
    }

    /// One connection's requests.
    fn drive(&self, number: usize, start: Instant, ended: &AtomicBool) -> Seen {
        let mut seen = Seen::default();
        let mut random = fastrand::Rng::with_seed(number as u64 + 1);
        let value = "v".repeat(self.value_bytes);
        let pause = self.rate.map(|rate| Duration::from_secs_f64(self.connections as f64 / rate));
        // The connections do not all send at once.
        let mut due = start + pause.unwrap_or_default().mul_f64(random.f64());
        let mut stream = None;
        let (mut request, mut reply) = (String::new(), vec![0; 1 << 16]);
        while !ended.load(Relaxed) {
            if let Some(pause) = pause {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                // What could not be sent in time is not caught up with.
                due = (due + pause).max(Instant::now());
            }
            request.clear();
            let key = random.u64(..self.keys);
            let written = if random.u8(..10) == 0 {
                let bytes = value.len();
                write!(
                    request,
                    "*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n${bytes}\r\n{value}\r\n"
                )
            } else {
                write!(request, "*2\r\n$3\r\nGET\r\n$16\r\nkey:{key:012}\r\n")
            };
            let began = Instant::now();
            let asked = written
                .map_err(std::io::Error::other)
                .and_then(|()| self.ask(&mut stream, request.as_bytes(), &mut reply));
            let error = match asked {
                Ok(error) => error,
                Err(error) => {
                    stream = None;
                    std::thread::sleep(RECONNECT);
                    Some(error.to_string())
                }
            };
            let bin = start.elapsed().as_millis() as u64 / self.bin_ms;
            seen.count(bin, began.elapsed(), error);
        }
        seen
    }

    /// Sends a request and awaits its reply: the text of an error, if it is one.
    fn ask(
        &self,
        stream: &mut Option<TcpStream>,
        request: &[u8],
        reply: &mut [u8],
    ) -> std::io::Result<Option<String>> {
        let stream = match stream {
            Some(stream) => stream,
            None => {
                let made = TcpStream::connect(&self.addr)?;
                made.set_nodelay(true)?;
                made.set_read_timeout(Some(PATIENCE))?;
                stream.insert(made)
            }
        };
        stream.write_all(request)?;
        let mut length = 0;
        // A value has no line breaks, and a reply ends with one.
        while !reply[..length].ends_with(b"\r\n")
            || (reply[0] == b'$' && super::is_header(&reply[..length]))
        {
            match stream.read(&mut reply[length..])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => length += read,
            }
        }
        let text = || String::from_utf8_lossy(&reply[1..length]).trim_end().to_owned();
        Ok((reply[0] == b'-').then(text))
    }
}
