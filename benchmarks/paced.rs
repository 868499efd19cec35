//! Sends requests at a fixed rate, whether the server keeps up or not, and tells how long each took from the moment it
//! was due: a server that stalls is charged for all that had to wait meanwhile.

use anyhow::{Result, bail};
use clap::Args;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What is sent before anything is measured.
const WARM_UP: Duration = Duration::from_millis(300);

#[derive(Args)]
pub(crate) struct Paced {
    addr: String,
    /// Requests a second, at random moments (a Poisson process).
    #[arg(long)]
    rate: f64,
    /// How long.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Connections, used in turn.
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// The keys, redis-benchmark's, of which it GETs nine times out of ten, and SETs one in ten.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
}

/// A connection, and when the requests that it has not answered were due.
struct Connection {
    stream: TcpStream,
    due: RefCell<VecDeque<Instant>>,
}

impl Paced {
    /// Runs, and prints percentiles as JSON.
    pub(crate) fn run(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let local = tokio::task::LocalSet::new();
        let mut waits = local.block_on(&runtime, self.send())?;
        waits.sort_unstable();
        let at = |part: f64| super::percentile_ms(&waits, part);
        println!(
            "{{\"count\": {}, \"p50_ms\": {:.4}, \"p99_ms\": {:.4}, \"p999_ms\": {:.4}, \"max_ms\": {:.4}}}",
            waits.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        Ok(())
    }

    async fn send(&self) -> Result<Vec<u64>> {
        let waits = Rc::new(RefCell::new(Vec::new()));
        let (failed, measured) = (Rc::new(Cell::new(false)), Instant::now() + WARM_UP);
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            let stream = TcpStream::connect(&self.addr).await?;
            stream.set_nodelay(true)?;
            let connection = Rc::new(Connection { stream, due: RefCell::default() });
            connections.push(connection.clone());
            let (waits, failed) = (waits.clone(), failed.clone());
            tokio::task::spawn_local(async move {
                if receive(connection, &waits, measured).await.is_err() {
                    failed.set(true);
                }
            });
        }
        let (start, value) = (Instant::now(), "x".repeat(self.value_bytes));
        let end = start + WARM_UP + Duration::from_secs_f64(self.seconds);
        let (mut due, mut turn) = (start, 0);
        while due < end {
            // The clock is watched all the time: a timer would bundle the requests of a millisecond.
            if due > Instant::now() {
                // A server that the system has put on the same core need not wait until this one's time is over.
                std::thread::yield_now();
                tokio::task::yield_now().await;
                continue;
            }
            if failed.get() {
                bail!("the server has answered an error, or closed a connection");
            }
            let connection = &connections[turn % connections.len()];
            turn += 1;
            let key = fastrand::u64(..self.keys);
            let request = if turn % 10 == 0 {
                let length = value.len();
                format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n${length}\r\n{value}\r\n")
            } else {
                format!("*2\r\n$3\r\nGET\r\n$16\r\nkey:{key:012}\r\n")
            };
            connection.due.borrow_mut().push_back(due);
            loop {
                match connection.stream.try_write(request.as_bytes()) {
                    Ok(written) if written == request.len() => break,
                    Ok(_) => bail!("the server does not take what it is sent"),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            due += Duration::from_secs_f64(-(1.0 - fastrand::f64()).ln() / self.rate);
        }
        while connections.iter().any(|connection| !connection.due.borrow().is_empty()) {
            if failed.get() || Instant::now() > end + Duration::from_secs(10) {
                bail!("replies are missing");
            }
            tokio::task::yield_now().await;
        }
        let waits = std::mem::take(&mut *waits.borrow_mut());
        Ok(waits)
    }
}

/// Takes the replies of a connection, and notes how long those took that were due from `measured` on.
async fn receive(
    connection: Rc<Connection>,
    waits: &RefCell<Vec<u64>>,
    measured: Instant,
) -> Result<()> {
    let (mut buffer, mut kept) = (vec![0; 1 << 16], 0);
    loop {
        connection.stream.readable().await?;
        match connection.stream.try_read(&mut buffer[kept..]) {
            Ok(0) => bail!("closed"),
            Ok(read) => kept += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        let (mut framer, mut consumed) = (larder::resp::Framer::default(), 0);
        while let Ok(Some(length)) = framer.frame(&buffer[consumed..kept]) {
            if buffer[consumed] == b'-' {
                bail!("{}", String::from_utf8_lossy(&buffer[consumed..consumed + length]));
            }
            consumed += length;
            if let Some(due) = connection.due.borrow_mut().pop_front()
                && due >= measured
            {
                waits.borrow_mut().push(due.elapsed().as_nanos() as u64);
            }
        }
        buffer.copy_within(consumed..kept, 0);
        kept -= consumed;
    }
}
