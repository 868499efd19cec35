//! What the benchmark runner needs a fast program for: filling a server, probing how long one client waits, and a server
//! that stores nothing, to show what the machine itself makes a client wait; requests at a fixed rate, and some that go on
//! through changes of a cluster; and thousands of members that find each other without a network.

mod paced;
mod routing;
mod steady;

use anyhow::{Context, Result, bail};
use bytes::{Buf, BytesMut};
use clap::{Args, Parser};
use larder::resp::{Decoder, Limits};
use paced::Paced;
use routing::Routing;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;
use steady::Steady;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Requests that are sent before their replies are awaited.
const BATCH: u64 = 500;

#[derive(Parser)]
enum Tool {
    /// Sets keys, pipelined; ends with an error if any reply is one.
    Fill(Fill),
    /// GETs keys one at a time until its input ends, then prints how long it waited, as JSON.
    Probe(Probe),
    /// Sends requests at a fixed rate and prints how long they took, as JSON.
    Paced(Paced),
    /// Sends requests until its input ends, whatever happens, and prints how many were answered when, as JSON.
    Steady(Steady),
    /// Has members find each other by Kademlia's tables, without a network, and prints what it took, as JSON.
    Routing(Routing),
    /// A server that answers requests without storing anything.
    Bare {
        /// Where it listens.
        addr: String,
    },
}

#[derive(Args)]
struct Fill {
    addr: String,
    /// How many SETs.
    #[arg(long)]
    count: u64,
    /// Random keys out of so many; else the keys from 0 on in order.
    #[arg(long)]
    random: Option<u64>,
    /// Another seed gives other random keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bytes of a value; with `--value-to` those of the first ones, drifting to that by the end, half or double.
    #[arg(long, default_value_t = 32)]
    value_bytes: u64,
    #[arg(long)]
    value_to: Option<u64>,
    /// Values of 30 to 600 bytes, mostly small ones, as in the loads for hit ratios.
    #[arg(long)]
    mixed: bool,
    /// A time to live in seconds.
    #[arg(long)]
    ttl: Option<u64>,
    /// The keys expire one after another, evenly over so many milliseconds ...
    #[arg(long, requires = "expire_from")]
    expire_over: Option<u64>,
    /// ... from this time on, in milliseconds since 1970.
    #[arg(long)]
    expire_from: Option<u64>,
}

#[derive(Args)]
struct Probe {
    addr: String,
    /// The keys it asks for, at random.
    #[arg(long, default_value_t = 1000)]
    keys: u64,
}

fn main() -> Result<()> {
    match Tool::parse() {
        Tool::Fill(fill) => fill.run(),
        Tool::Probe(probe) => probe.run(),
        Tool::Paced(paced) => paced.run(),
        Tool::Steady(steady) => steady.run(),
        Tool::Routing(routing) => routing.run(),
        Tool::Bare { addr } => bare(&addr),
    }
}

fn connect(addr: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(addr).with_context(|| format!("cannot connect to {addr}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Fill {
    fn run(&self) -> Result<()> {
        let mut stream = connect(&self.addr)?;
        let mut random = fastrand::Rng::with_seed(self.seed);
        let (mut requests, mut replies) = (String::new(), vec![0; 1 << 16]);
        let most = self.value_bytes.max(self.value_to.unwrap_or(0)).max(400) * 2;
        let value = "v".repeat(most as usize);
        let mut sent = 0;
        while sent < self.count {
            requests.clear();
            let batch = BATCH.min(self.count - sent);
            for number in sent..sent + batch {
                let key = self.random.map_or(number, |keys| random.u64(..keys));
                let bytes = self.bytes(number, &mut random) as usize;
                let options = match (self.ttl, self.expire_over, self.expire_from) {
                    (Some(ttl), ..) => Some(("EX", ttl)),
                    (_, Some(over), Some(from)) => {
                        Some(("PXAT", from + over * number / self.count))
                    }
                    _ => None,
                };
                let words = if options.is_some() { 5 } else { 3 };
                let value = &value[..bytes];
                write!(
                    requests,
                    "*{words}\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n${bytes}\r\n{value}\r\n"
                )?;
                if let Some((option, time)) = options {
                    let time = time.to_string();
                    write!(
                        requests,
                        "${}\r\n{option}\r\n${}\r\n{time}\r\n",
                        option.len(),
                        time.len()
                    )?;
                }
            }
            stream.write_all(requests.as_bytes())?;
            let mut open = batch;
            while open > 0 {
                let read = stream.read(&mut replies)?;
                let part = &replies[..read];
                if read == 0 || part.contains(&b'-') {
                    bail!("unexpected reply: {:?}", String::from_utf8_lossy(part));
                }
                open -= part.iter().filter(|&&byte| byte == b'\n').count() as u64;
            }
            sent += batch;
        }
        Ok(())
    }

    fn bytes(&self, number: u64, random: &mut fastrand::Rng) -> u64 {
        if self.mixed {
            return (30.0 + 570.0 * random.f64().powi(3)) as u64;
        }
        match self.value_to {
            None => self.value_bytes,
            Some(to) => {
                let done = number as f64 / self.count as f64;
                let mean = self.value_bytes as f64 * (1.0 - done) + to as f64 * done;
                (mean * (0.5 + random.f64())) as u64
            }
        }
    }
}

impl Probe {
    fn run(&self) -> Result<()> {
        let mut stream = connect(&self.addr)?;
        let ended = Arc::new(AtomicBool::new(false));
        let end = ended.clone();
        std::thread::spawn(move || {
            let read = std::io::stdin().read_to_end(&mut Vec::new());
            end.store(true, Relaxed);
            read
        });
        let (mut waits, mut request, mut reply) = (Vec::new(), String::new(), vec![0; 1 << 16]);
        while !ended.load(Relaxed) {
            request.clear();
            let key = fastrand::u64(..self.keys);
            write!(request, "*2\r\n$3\r\nGET\r\n$16\r\nkey:{key:012}\r\n")?;
            let start = Instant::now();
            stream.write_all(request.as_bytes())?;
            let mut length = 0;
            // A value is shorter than its buffer, and a reply ends with a line break.
            while !reply[..length].ends_with(b"\r\n") || is_header(&reply[..length]) {
                match stream.read(&mut reply[length..])? {
                    0 => bail!("the server has closed the connection"),
                    read => length += read,
                }
            }
            if reply[0] != b'$' {
                bail!("unexpected reply: {:?}", String::from_utf8_lossy(&reply[..length]));
            }
            waits.push(start.elapsed().as_nanos() as u64);
        }
        waits.sort_unstable();
        let at = |part: f64| percentile_ms(&waits, part);
        println!(
            "{{\"count\": {}, \"p50_ms\": {:.4}, \"p99_ms\": {:.4}, \"p9999_ms\": {:.4}, \"max_ms\": {:.4}}}",
            waits.len(),
            at(0.5),
            at(0.99),
            at(0.9999),
            at(1.0)
        );
        Ok(())
    }
}

/// The wait that this part of all, which are sorted and in nanoseconds, are not longer than; in milliseconds.
fn percentile_ms(waits: &[u64], part: f64) -> f64 {
    let place = (waits.len() as f64 * part) as usize;
    waits.get(place.min(waits.len().saturating_sub(1))).map_or(0.0, |&ns| ns as f64 / 1e6)
}

/// Whether only the first line of a bulk string is there.
fn is_header(reply: &[u8]) -> bool {
    reply.iter().filter(|&&byte| byte == b'\n').count() == 1 && !reply.starts_with(b"$-1")
}

#[tokio::main(flavor = "current_thread")]
async fn bare(addr: &str) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(addr).await?;
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::task::spawn_local(answer(stream));
            }
        })
        .await
}

async fn answer(mut stream: tokio::net::TcpStream) -> Result<()> {
    let (mut input, mut output) = (BytesMut::new(), Vec::new());
    let mut decoder = Decoder::default();
    let limits = Limits { bulk_max: 1 << 30, authenticated: true };
    while {
        input.reserve(1 << 16);
        stream.read_buf(&mut input).await? > 0
    } {
        loop {
            let decoded = decoder.decode(&input, limits);
            let Some(decoded) = decoded.ok().flatten() else { break };
            let args = decoder.args(&input, &decoded);
            let reply: &[u8] = if args.is(0, "GET") {
                b"$32\r\n01234567890123456789012345678901\r\n"
            } else if args.is(0, "PING") {
                b"+PONG\r\n"
            } else {
                b"+OK\r\n"
            };
            output.extend_from_slice(reply);
            decoder.forget();
            input.advance(decoded.length);
        }
        stream.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}
